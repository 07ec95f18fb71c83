"""Adapters by language, played: behind the MLP of a layer, a small one for the language of each sequence, which the
config names for all of them (modeling_xmod.py, XmodOutput.lang_adapter)."""

from __future__ import annotations

from hubvram.architecture.adapters import LanguageAdapters
from hubvram.architecture.layers import Architecture, Layer
from hubvram.architecture.mlp import DenseMLP
from hubvram.memory.forward.mlp import play_mlp
from hubvram.memory.forward.run import FP32, ID_BYTES, Run
from hubvram.memory.forward.tape import Tensor

_BYTE = 1
"""Of a boolean."""


def knows_language(architecture: Architecture) -> bool:
    """Whether every layer has adapters, and the config names the language: the class does not run without."""
    return all(_adapters(group.layer).knows_language for group in architecture.groups())


def languages(run: Run, architecture: Architecture) -> tuple[Tensor, ...]:
    """Which one each sequence has."""
    return (run.tensor("languages", 1, element_bytes=FP32),)


def adapt(run: Run, layer: Layer) -> None:
    """Beside the sum that they read: the same normed; zeros, for what they say; all sequences of the language, which is
    all of them; an inner width; and what they say of it."""
    adapters, size = _adapters(layer), layer.norms.hidden_size
    down, _ = adapters.linears
    assert isinstance(layer.mlp, DenseMLP)
    has_norm = adapters.reuses_norm or any(weight.name == "adapter norm" for weight in layer.extras)
    run.phase("adapters")
    normed = run.norm(size) if has_norm else None
    zeros = run.features("zeros, for what adapters say", size)
    which = run.tensor("sequences of the language", 1, element_bytes=_BYTE)
    places = run.tensor("their places", 1, element_bytes=ID_BYTES)
    read = run.features("what the adapter reads", size)
    del places
    inner_width = down.out_features
    play_mlp(
        run, DenseMLP(hidden_size=size, intermediate_size=inner_width, hidden_act=layer.mlp.hidden_act, gated=False)
    )
    inner = run.features("inner of the adapter", inner_width)
    said = run.features("what the adapter says", size)
    del inner
    places = run.tensor("their places", 1, element_bytes=ID_BYTES)
    del normed, zeros, which, places, read, said


def _adapters(layer: Layer) -> LanguageAdapters:
    (adapters,) = layer.others
    assert isinstance(adapters, LanguageAdapters)
    return adapters
