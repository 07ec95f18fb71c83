"""Hyper-connections (2409.19606): several residual streams, which are mixed around attention and MLP."""

from __future__ import annotations

from hubvram.architecture.parts import Tensor, Weight, vector
from hubvram.checkpoint.components import Component
from hubvram.config.document import ConfigDocument


def hyper_connections(config: ConfigDocument, index: int, *, between_streams: bool) -> tuple[Weight, ...]:
    """What reads from the streams and writes to them, in a layer; and what mixes them with each other (deepseek_v4)."""
    streams = config.size("hc_mult")
    rows = (2 + streams) * streams if between_streams else 2 * streams
    return (
        Tensor(name="hc fn", shape=(rows, streams * config.size("hidden_size")), count=2, component=Component.OTHER),
        Tensor(name="hc base", shape=(rows,), count=2, component=Component.OTHER),
        Tensor(name="hc scale", shape=(3 if between_streams else 2,), count=2, component=Component.OTHER),
    )


def hyper_head(config: ConfigDocument) -> tuple[Weight, ...]:
    """What makes one stream of them at the end."""
    streams = config.size("hc_mult")
    return (
        Tensor(name="hc fn", shape=(streams, streams * config.size("hidden_size")), component=Component.OTHER),
        vector("hc base", streams, Component.OTHER),
        vector("hc scale", 1, Component.OTHER),
    )
