"""voxtral_realtime: sound that is embedded before all, and what is kept of it, term by term by hand."""

from __future__ import annotations

from dataclasses import replace

from hubvram.architecture.layers import Architecture
from hubvram.memory.engines.transformers_code import play
from hubvram.memory.forward.tape import Share
from tests.memory.forward.test_programs import sizes, step
from tests.samples import architecture_of


def voxtral() -> Architecture:
    """Of 20 features for each of 4 positions of a token, of 2 frames of 10 each."""
    text = {
        "hidden_size": 32, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2,
        "num_key_value_heads": 1, "head_dim": 16, "vocab_size": 100, "sliding_window": None,
    }  # fmt: skip
    audio = {
        "hidden_size": 20, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "head_dim": 10,
        "num_mel_bins": 10, "sliding_window": 64,
    }  # fmt: skip
    return architecture_of({"model_type": "voxtral_realtime", "text_config": text, "audio_config": audio})


def test_all_sound_is_embedded_before_the_prompt() -> None:
    run = replace(sizes(10, 3), by_generate=True, all_tokens=1000)
    peak, _ = play(voxtral(), run)
    assert peak.phase == "convolutions over sound"
    # Frames, and what the first convolution made of them, activated; that once more, behind padding of one, and half
    # as many positions of the second. Less what one layer of text will keep of 10 tokens, and one of sound of 40
    # positions. Ids of the prompt twice, and its mask.
    made = 8000 * 10 + 8000 * 20 + 8001 * 20 + 4000 * 20
    assert peak.size_bytes(Share.SEQUENCE) == 3 * (2 * (made - 10 * 2 * 16 - 40 * 2 * 20) + 3 * 10 * 8)


def test_sound_is_kept_to_the_end() -> None:
    for run, tokens in (
        (replace(sizes(10, 3), by_generate=True, all_tokens=1000), 1000),
        (replace(step(1000, 3), by_generate=True, all_tokens=1000), 1000),
        (sizes(10, 3), 10),
    ):
        _, head = play(voxtral(), run)
        # Embedded, with frames where `generate()` embeds them; and what is heard for each token of this pass.
        of_token = 4 * (20 + (2 * 10 if run.by_generate else 0))
        kept = next(held for held in head.held if held.what == "sound, and what is heard")
        assert kept.size_bytes == 3 * 2 * (tokens * of_token + run.tokens * 32)
