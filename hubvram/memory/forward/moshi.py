"""moshi's main decoder, played, alone and with codes of sound: its layers make their own cos and sin, and see the whole
of a prompt.

What is cached is a window of tokens; no mask hides what is outside of it while a prompt is read (modeling_moshi.py,
MoshiModel.forward: `create_causal_mask`).
"""

from __future__ import annotations

from dataclasses import replace

from hubvram.architecture.attention import FullAttention, SlidingAttention
from hubvram.architecture.layers import Architecture, Layer
from hubvram.memory.forward.attention import play_attention
from hubvram.memory.forward.decoder import play_decoder
from hubvram.memory.forward.run import ID_BYTES, Run
from hubvram.memory.forward.tape import Peak, Tensor


def play_moshi(run: Run, architecture: Architecture, copies_logits: bool) -> tuple[Peak, Peak]:
    """A decoder whose windows cut in once it decodes; as a whole, beside what it is given."""
    seen = architecture if run.decodes else _seeing_all(run, architecture)
    if run.code.whole is None:
        return play_decoder(run, seen, copies_logits)
    given = _given_codes(run, architecture), _embedded(run, architecture.hidden_size)
    peaks = play_decoder(run, seen, copies_logits, embed=lambda run, architecture: ())
    del given
    return peaks


def _given_codes(run: Run, architecture: Architecture) -> Tensor:
    """Those of sound that is heard and of sound that is said; and both joined (MoshiForConditionalGeneration.forward).

    `generate()` keeps the caller's, what it may put in the place of each to the end, and those that were said.
    """
    both = sum(table.count for table in architecture.extras)
    prompt = run.sizes.prompt_tokens if run.decodes else run.tokens
    kept = both * (prompt + run.keys) + both // 2 * run.keys if run.sizes.by_generate else 2 * both * run.tokens
    return run.tensor("codes of sound", kept, element_bytes=ID_BYTES)


def _embedded(run: Run, hidden_size: int) -> Tensor:
    """What codes sum up to, and that with the text's embeddings, which the decoder reads.

    `generate()` keeps the prompt's to the end, and hands the class a copy; each further token's are the sum alone.
    """
    prompt = run.sizes.prompt_tokens if run.decodes else run.tokens
    kept = prompt if run.sizes.by_generate else run.tokens
    return run.tensor("embeddings, and those that are kept", kept + run.tokens, hidden_size)


def _seeing_all(run: Run, architecture: Architecture) -> Architecture:
    """With windows that are longer than the prompt."""
    return replace(architecture, layers=tuple([_widened(layer, run.tokens + 1) for layer in architecture.layers]))


def _widened(layer: Layer, window: int) -> Layer:
    mixer = layer.mixer
    if not isinstance(mixer, SlidingAttention) or mixer.sliding_window >= window:
        return layer
    return replace(layer, mixer=replace(mixer, sliding_window=window))


def play_moshi_attention(run: Run, mixer: FullAttention) -> Tensor | None:
    """Beside cos and sin of its own (MoshiAttention.forward)."""
    tables = run.along("cos and sin", 2 * run.rotary_dim)
    probabilities = play_attention(run, mixer)
    del tables
    return probabilities
