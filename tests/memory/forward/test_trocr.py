"""trocr's decoder alone, term by term by hand; and which of them are known."""

from __future__ import annotations

from typing import Any, Final

from hubvram.memory.engines.transformers_code import knows, play
from hubvram.memory.forward.run import Sizes
from hubvram.memory.workload import Attention
from tests.samples import architecture_of

TROCR: Final[dict[str, Any]] = {
    "model_type": "trocr",
    "vocab_size": 500,
    "d_model": 32,
    "decoder_layers": 2,
    "decoder_attention_heads": 4,
    "decoder_ffn_dim": 40,
}
PROMPT: Final = Sizes(batch_size=2, tokens=80, element_bytes=2, attention=Attention.EAGER)


def test_alone_it_attends_to_no_encoder() -> None:
    # Of 80 tokens: ids, embedding, position, the layer's input, Q, a mask; scores of 4 heads with it, and their
    # softmax.
    peak, _ = play(architecture_of(TROCR), PROMPT)
    assert peak.phase == "attention"
    assert peak.total_bytes == 2 * (80 * 8 + (80 * 4 * 32 + 80 * 80 + 2 * 4 * 80 * 80) * 2)


def test_it_makes_the_logits_of_all_tokens() -> None:
    # 500 words for each, beside hidden states, and then the last one's in fp32.
    _, head = play(architecture_of(TROCR), PROMPT)
    assert head.total_bytes == 2 * (80 * 8 + 80 * (500 + 32) * 2)
    _, head = play(architecture_of({**TROCR, "vocab_size": 3000}), PROMPT)
    assert head.total_bytes == 2 * (80 * 8 + 80 * 3000 * 2 + 3000 * 4)


def test_computed_positions_are_not_known() -> None:
    assert knows(architecture_of(TROCR))
    assert not knows(architecture_of({**TROCR, "use_learned_position_embeddings": False}))
