"""An encoder of patches, and what is alive beside t5's decoder over it, term by term by hand."""

from __future__ import annotations

from hubvram.architecture.layers import Architecture
from hubvram.memory.engines.transformers_sides import encode, knows, step
from hubvram.memory.forward.run import Sizes
from hubvram.memory.workload import Attention
from tests.samples import architecture_of


def small(d_ff: int) -> Architecture:
    vision = {"hidden_size": 64, "d_kv": 32, "num_attention_heads": 4, "d_ff": d_ff, "patch_embed_hidden_size": 10}
    text = {"hidden_size": 64, "d_kv": 16, "num_heads": 4, "d_ff": 300, "num_layers": 2, "vocab_size": 100}
    return architecture_of({"model_type": "pix2struct", "vision_config": vision, "text_config": text})


def over(patches: int, attention: Attention = Attention.SDPA) -> Sizes:
    return Sizes(batch_size=3, tokens=patches, element_bytes=2, attention=attention)


def test_a_wide_mlp() -> None:
    # The patch, its row and column; the embeddings, the layer's input, what attention says, its sum with that, normed;
    # and gate, with three copies that its activation makes of it.
    (peak,) = encode(small(300), over(7))
    assert (peak.phase, peak.total_bytes) == ("mlp", 3 * 7 * 2 * (12 + 5 * 64 + 4 * 300))


def test_attention_beside_a_narrow_one() -> None:
    # Embeddings, input and normed; Q, K, V and what 4 heads of 32 say; O.
    (peak,) = encode(small(16), over(7))
    assert (peak.phase, peak.total_bytes) == ("attention", 3 * 7 * 2 * (12 + 3 * 64 + 4 * 128 + 64))


def test_a_layer_runs_beside_the_probabilities_of_the_one_before() -> None:
    # Scores, and the same scaled, which become probabilities as large.
    (peak,) = encode(small(16), over(700, Attention.EAGER))
    assert peak.total_bytes == 3 * 700 * 2 * (12 + 3 * 64 + 3 * 128 + 4 * 700 * 3)


def test_the_decoder_starts_beside_k_and_v_of_all_patches() -> None:
    assert knows(small(16))
    run = Sizes(batch_size=3, tokens=1, element_bytes=2, attention=Attention.SDPA, source_tokens=70)
    peak, *_ = step(small(16), run)
    # What the encoder says, and K and V of it as made; the patches; embeddings, input, what it is with attention,
    # normed, Q; a token's id, and its mask in fp32. Once for all: the bias of a pair, and zeros across, for 4 heads.
    each = 70 * 2 * (12 + 3 * 64) + 5 * 2 * 64 + 8 + 4
    assert peak.total_bytes == 3 * each + 2 * 4 * (1 + 70)


def test_the_decoder_makes_the_logits_beside_all_that_it_names() -> None:
    run = Sizes(batch_size=3, tokens=1, element_bytes=2, attention=Attention.EAGER, source_tokens=70)
    _, peak = step(small(16), run, copies_logits=False)
    # Patches, and what the encoder says; a token's id, and its masks; its embedding, what it is before the last norm
    # and behind it, the probabilities of the last layer, and 100 logits. Once for all: the bias, and zeros across.
    each = 70 * 2 * (12 + 64) + 8 + 4 + 2 + 2 * (3 * 64 + 4 * (1 + 70) + 100)
    assert peak.total_bytes == 3 * each + 2 * 4 * (1 + 70)
