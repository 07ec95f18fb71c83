"""inkling2: mixtures of sources, and convolutions by weights of each token, term by term by hand."""

from __future__ import annotations

from hubvram.architecture.attention import FullAttention
from hubvram.memory.forward.inkling2 import play_dynamic_convolution, play_mixture
from hubvram.memory.forward.modeling_code import LLAMA, with_traits
from tests.memory.forward.test_programs import peak_of, sizes


def test_mixture() -> None:
    # Five sources and the same normed, in fp32, with a root of each.
    assert peak_of(lambda run: play_mixture(run, 100, 5), sizes(7, 3)) == 21 * 4 * (2 * 500 + 5)


def test_dynamic_convolution() -> None:
    mixer = FullAttention(hidden_size=100, num_attention_heads=4, num_key_value_heads=2, head_dim=8)
    # Of 16 features in fp32: weights of 3 tokens each, the same tokens, products of both and their sum; what is
    # convolved, and the same behind 2 tokens more. Of 2 heads their own weights.
    of_token = 2 * 3 + 16 * (3 + 3 + 3 + 1) + 2 * 16
    assert peak_of(lambda run: play_dynamic_convolution(run, mixer, 3), sizes(30, 7)) == 7 * 4 * (
        30 * of_token + 2 * 16
    )


def test_what_is_fp32_already_is_not_copied_for_a_gate() -> None:
    code = with_traits(LLAMA, gating_in_fp32=(3, 1))
    assert (code.gating_bytes(2), code.gating_bytes(4)) == (12, 8)
    assert LLAMA.gating_bytes(2) == 4
