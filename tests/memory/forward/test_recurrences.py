"""Recurrences of single model types by hand."""

from __future__ import annotations

from hubvram.architecture.parts import Block
from hubvram.memory.forward.griffin import play_rg_lru
from tests.memory.forward.test_programs import peak_of, sizes, step
from tests.samples import architecture_of


def test_griffin() -> None:
    block = architecture_of({"model_type": "recurrent_gemma", "lru_width": 64}).layers[0].mixer
    assert isinstance(block, Block)
    # Twelve of each token, what was convolved with 3 tokens more; three of one token, in fp32.
    expected = 2 * 64 * (12 * 50 + 53) + 4 * 3 * 64
    assert peak_of(lambda run: play_rg_lru(run, block), sizes(50)) == expected
    assert peak_of(lambda run: play_rg_lru(run, block), sizes(50, 3)) == 3 * expected
    # One token: eleven, of which none is put in another order; the new state, and what is put in.
    assert peak_of(lambda run: play_rg_lru(run, block), step(1000)) == 2 * 64 * 11 + 4 * 2 * 64
