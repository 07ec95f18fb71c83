"""What is alive in a forward of moshi's main decoder, alone and with codes of sound, term by term by hand."""

from __future__ import annotations

from typing import Any

from hubvram.architecture.layers import Architecture
from hubvram.memory.engines.transformers_code import knows, play
from hubvram.memory.forward.run import Sizes
from hubvram.memory.workload import Attention
from tests.samples import architecture_of

SMALL: dict[str, Any] = {
    "model_type": "moshi", "hidden_size": 64, "num_attention_heads": 4, "head_dim": 16, "num_hidden_layers": 2,
    "vocab_size": 100, "ffn_dim": 300, "sliding_window": 4, "num_codebooks": 8, "audio_vocab_size": 50,
}  # fmt: skip
RUN = Sizes(batch_size=3, tokens=7, element_bytes=2, attention=Attention.SDPA)


def small(**changes: Any) -> Architecture:
    return architecture_of({**SMALL, **changes})


def whole(**changes: Any) -> Architecture:
    return small(architectures=["MoshiForConditionalGeneration"], **changes)


def test_a_wide_mlp_beside_no_mask() -> None:
    # Ids; embeddings, the layer's input, the residual and normed; gate and up, act(gate) and the product. Positions.
    peak, _ = play(small(), RUN)
    assert (peak.phase, peak.total_bytes) == ("mlp", 3 * 7 * (8 + 2 * (4 * 64 + 600)) + 7 * 8)


def test_cos_and_sin_are_the_layers_own() -> None:
    # Embeddings, input and normed; Q of 4 heads of 32, and three more while it rotates. Positions, cos and sin.
    peak, _ = play(small(ffn_dim=16, head_dim=32, num_key_value_heads=2), RUN)
    assert (peak.phase, peak.total_bytes) == ("attention", 3 * 7 * (8 + 2 * (3 * 64 + 4 * 128)) + 7 * (8 + 2 * 32 * 2))


def test_a_whole_holds_codes_and_what_they_sum_up_to() -> None:
    assert knows(whole())
    peak, head = play(whole(), RUN, copies_logits=False)
    # Eight codes that are heard and eight that are said, and all of them joined; one more of the embeddings.
    codes = 2 * 2 * 8 * 8
    assert peak.total_bytes == 3 * 7 * (8 + codes + 2 * (5 * 64 + 600)) + 7 * 8
    # Beside both embeddings the hidden states, normed, and the logits of all tokens.
    assert head.total_bytes == 3 * 7 * (8 + codes + 2 * (3 * 64 + 100))
