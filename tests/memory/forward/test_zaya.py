"""zaya: Q, K and V as they are convolved, term by term by hand."""

from __future__ import annotations

from hubvram.architecture.attention import FullAttention
from hubvram.architecture.parts import Block, State, Tensor
from hubvram.checkpoint.components import Component
from hubvram.memory.forward.zaya import play_projection
from tests.memory.forward.test_programs import peak_of, sizes

ATTENTION = FullAttention(hidden_size=100, num_attention_heads=4, num_key_value_heads=2, head_dim=8)
BLOCK = Block(
    kind="convolutional_attention",
    component=Component.ATTENTION,
    others=(Tensor(name="convolution of heads", shape=(48, 8, 2)),),
    keeps=(ATTENTION,),
    kept_states=(State(name="conv", shape=(48, 2)), State(name="v before", shape=(8,))),
)


def test_projection() -> None:
    # Q and K 48, their means 32 and 16, both convolved 48, and that with the means 48; V in three halves, and joined.
    # Of each sequence the last two inputs of the convolutions, and half of V of the token before the first.
    of_token, of_sequence = 48 + 32 + 16 + 48 + 48 + 3 * 8 + 16, 2 * 48 + 8
    said = peak_of(lambda run: play_projection(run, BLOCK, ATTENTION), sizes(30, 7))
    assert said == 7 * 2 * (30 * of_token + of_sequence)
