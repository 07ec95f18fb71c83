"""cpmant's passes, term by term by hand."""

from __future__ import annotations

from dataclasses import replace

from hubvram.architecture.attention import FullAttention
from hubvram.architecture.layers import Architecture
from hubvram.memory.engines.transformers_code import play
from hubvram.memory.forward.cpmant import play_cpmant_attention
from hubvram.memory.forward.tape import Peak
from tests.memory.forward.test_programs import peak_of, sizes
from tests.samples import architecture_of

MIXER = FullAttention(hidden_size=16, num_attention_heads=8, num_key_value_heads=8, head_dim=2)


def test_scores_before_and_behind_a_step() -> None:
    # Q; a truth value for each key; and two scores of each head.
    of_token = 2 * 16 + 100 + 8 * 100 * (2 + 2)
    assert peak_of(lambda run: play_cpmant_attention(run, MIXER), sizes(100, 3)) == 300 * of_token


def _architecture() -> Architecture:
    return architecture_of(
        {
            "model_type": "cpmant", "vocab_size": 128, "hidden_size": 16, "num_attention_heads": 8, "dim_head": 2,
            "dim_ff": 8, "num_hidden_layers": 2, "prompt_length": 10,
        }
    )  # fmt: skip


def _step(batch_size: int) -> Peak:
    step = replace(sizes(1, batch_size), past_tokens=99, decodes=True, prompt_tokens=50)
    return play(_architecture(), step)[0]


def test_a_step_makes_biases_of_all_pairs() -> None:
    # 10 tokens of its own before 100: ids in 64 bits; five times in 32; one length; 16 features of segments and of
    # sums. Of each pair the mask, a bucket by segments and biases of 8 heads, twice; for all sequences one by distance.
    # Less what 2 layers will cache of the new token.
    pairs = 110 * 110
    of_sequence = 100 * 8 + 110 * (5 * 4 + 2 * 16 * 2) + 4 + pairs * (4 + 4 + 2 * 8 * 2) - 2 * 2 * 16 * 2
    assert _step(3).total_bytes == 3 * of_sequence + 4 * pairs
