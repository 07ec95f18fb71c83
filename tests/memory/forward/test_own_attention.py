"""Attention of single model types by hand."""

from __future__ import annotations

from hubvram.memory.engines.transformers_code import play
from hubvram.memory.forward.differential import play_differential_attention
from hubvram.memory.forward.sinks_in_fp32 import play_flint_attention
from hubvram.memory.workload import Attention
from tests.memory.forward.test_programs import MIXER, peak_of, sizes, step
from tests.samples import architecture_of


def test_two_passes() -> None:
    # Q 128, V 64 wide: halves of V twice as wide as V each, what both passes say, the difference, the same normed, and
    # by a factor: all of a token but the cached.
    said = 2 * 50 * (128 + 2 * 64 + 2 * 128 + 3 * 128)
    assert peak_of(lambda run: play_differential_attention(run, MIXER), sizes(50, 3)) == 3 * said
    # Of 100 tokens that are cached one step repeats V's halves.
    token = 2 * (128 + 2 * 128 + 3 * 128)
    assert peak_of(lambda run: play_differential_attention(run, MIXER), step(100)) == 2 * 100 * 2 * 64 + token


def test_scores_in_fp32_with_sinks() -> None:
    # Q 128 wide, K and V repeated for its 4 heads; scores of 200 tokens, and twice with the sinks' column, in fp32.
    prompt = sizes(200, 3, Attention.EAGER)
    expected = 600 * (2 * (128 + 2 * 128) + 4 * 4 * (200 + 2 * 201))
    assert peak_of(lambda run: play_flint_attention(run, MIXER), prompt) == expected
    # Of few tokens Q, twice, and K in fp32 are more than the softmax of scores.
    few = sizes(10, 3, Attention.EAGER)
    assert peak_of(lambda run: play_flint_attention(run, MIXER), few) == 30 * (2 * 3 * 128 + 4 * 3 * 128 + 4 * 4 * 10)


def test_stacks_in_turns() -> None:
    fields: dict[str, object] = {"hidden_size": 64, "num_attention_heads": 4, "head_dim": 16, "intermediate_size": 512}
    fields |= {"model_type": "hrm_text", "num_layers_per_stack": 2, "L_cycles": 1}
    hrm = architecture_of({**fields, "H_cycles": 2})
    before, _ = play(hrm, sizes(50, 3), copies_logits=False)
    # Embeddings, both states, their sum, the layer's input, residual, normed; gate, up and their product.
    per_token = 2 * (7 * 64 + 3 * 512) + 8
    cos_and_sin, positions = 2 * 50 * 2 * 16, 8 * 50
    assert before.total_bytes == 150 * per_token + cos_and_sin + positions
    once = architecture_of({**fields, "H_cycles": 1})
    # The high state is the embeddings until the end.
    assert play(once, sizes(50, 3), copies_logits=False)[0].total_bytes == before.total_bytes - 150 * 2 * 64
