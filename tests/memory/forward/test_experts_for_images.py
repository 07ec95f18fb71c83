"""Experts that only images take do not run on text alone."""

from __future__ import annotations

from dataclasses import replace

from hubvram.memory.engines.transformers_code import knows, play
from hubvram.memory.forward.decoder import is_playable
from tests.memory.forward.test_programs import sizes
from tests.samples import architecture_of


def test_text_alone() -> None:
    found = architecture_of({"model_type": "ernie4_5_vl_moe_text", "num_hidden_layers": 2})
    assert found.layers[-1].others and not is_playable(found)
    assert knows(found)
    text = replace(found, layers=tuple(replace(layer, others=()) for layer in found.layers))
    assert play(found, sizes(7, 2)) == play(text, sizes(7, 2))
