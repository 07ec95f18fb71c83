"""A static cache in a forward pass, by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hubvram.architecture.attention import FullAttention, SlidingAttention
from hubvram.memory.engines.transformers import TRANSFORMERS
from hubvram.memory.forward.run import Run, Sizes
from hubvram.memory.forward.static_cache import masks_room, no_room_yet, play_update, room_bytes, seen_tokens
from hubvram.memory.forward.tape import Share
from hubvram.memory.workload import Attention
from tests.samples import fixture_architecture, workload_of

FULL = FullAttention(hidden_size=40, num_attention_heads=4, num_key_value_heads=2, head_dim=8)
SLIDES = SlidingAttention(hidden_size=40, num_attention_heads=4, num_key_value_heads=2, head_dim=8, sliding_window=8)
KV = 2 * 2 * 8
"""Features of K and V that a token has."""


def run_of(tokens: int, *, past_tokens: int = 0, room: int = 100) -> Run:
    return Run(
        Sizes(
            batch_size=3,
            tokens=tokens,
            past_tokens=past_tokens,
            decodes=past_tokens > 0,
            room=room,
            element_bytes=2,
            attention=Attention.SDPA,
        )
    )


@pytest.mark.parametrize(
    ("tokens", "past_tokens", "full", "slides"),
    [
        (7, 0, 100, 8),
        (20, 0, 100, 20),  # A prompt that is longer than the window is seen as it was made.
        (1, 20, 100, 8),
    ],
)
def test_attention_sees_all_of_the_room(tokens: int, past_tokens: int, full: int, slides: int) -> None:
    run = run_of(tokens, past_tokens=past_tokens)
    assert (seen_tokens(run, FULL), seen_tokens(run, SLIDES)) == (full, slides)


def test_a_prompt_has_masks_only_where_a_window_is_as_short_as_the_room() -> None:
    assert not masks_room(run_of(7), FULL)
    assert masks_room(run_of(7), SLIDES)
    assert not masks_room(run_of(3, room=5), SLIDES)
    assert masks_room(run_of(1, past_tokens=7), FULL)


def test_room_is_made_with_a_layers_first_k_and_v() -> None:
    run = run_of(7)
    assert room_bytes(run, (FULL, SLIDES)) == (100 + 8) * KV * 2
    assert room_bytes(run_of(1, past_tokens=7), (FULL, SLIDES)) == 0
    # Before, there is what was made of 7 tokens, and not the room for 100.
    less = no_room_yet(run, FULL)
    assert run.tape.take().size_bytes(Share.SEQUENCE) == 3 * (7 - 100) * KV * 2
    del less


def alive_behind(run: Run, mixer: FullAttention) -> tuple[int, int]:
    """(at most, and still) while K and V as made are put in their places."""
    kept = play_update(run, mixer, KV)
    peak = run.tape.take().size_bytes(Share.SEQUENCE)
    probe = run.features("probe", 0)
    still = run.tape.take().size_bytes(Share.SEQUENCE)
    del kept, probe
    return peak, still


def test_a_long_prompt_stays_as_it_was_made_and_a_full_window_moves_on() -> None:
    assert alive_behind(run_of(7), FULL) == (3 * 7 * KV * 2, 0)
    assert alive_behind(run_of(20), SLIDES) == (3 * 20 * KV * 2, 3 * 20 * KV * 2)
    # One token, and K and V of all 8 in tensors of their own; not before there are 8.
    assert alive_behind(run_of(1, past_tokens=8), SLIDES) == (3 * (1 + 8) * KV * 2, 0)
    assert alive_behind(run_of(1, past_tokens=7), SLIDES) == (3 * KV * 2, 0)


def test_a_llama_with_room_for_more_than_its_prompt() -> None:
    llama = fixture_architecture("meta-llama--Llama-3.1-8B")
    hidden, inner, tokens, room = 4096, 14_336, 1000, 8192
    # Ids thrice with the mask, positions; cos and sin.
    given = 3 * 8 + 8 + 2 * 2 * 128
    found = {}
    for padded in (False, True):
        workload = workload_of(room, input_tokens=tokens, cache="static", attention=Attention.SDPA)
        workload = replace(workload, padded=padded)
        assert TRANSFORMERS.knows_beside(llama, workload, "bf16")
        found[padded] = TRANSFORMERS.instants(llama, workload, element_bytes=2, cache_element_bytes=2)[0]
    # All tokens are there: no mask, and the peak is in the MLP as with any cache.
    assert found[False].activations_bytes == tokens * (8 * hidden + 6 * inner + given)
    # Some are hidden: a mask of all the room, an additive one made of it, and K and V repeated for 32 heads of 128;
    # beside embeddings, the layer's input, what is normed, Q and what heads say.
    masks, repeated = tokens * room * (1 + 2), room * 2 * hidden * 2
    assert found[True].activations_bytes == masks + repeated + tokens * (5 * 2 * hidden + given)


def test_what_was_not_measured_is_not_known() -> None:
    for name in ("deepseek-ai--DeepSeek-V3", "google-t5--t5-small"):
        assert not TRANSFORMERS.knows_beside(fixture_architecture(name), workload_of(8, cache="static"), "bf16")
    llama = fixture_architecture("meta-llama--Llama-3.1-8B")
    flash = workload_of(8, cache="static", attention=Attention.FLASH)
    assert not TRANSFORMERS.knows_beside(llama, flash, "bf16")
    assert TRANSFORMERS.knows_beside(llama, workload_of(8, cache="dynamic", attention=Attention.FLASH), "bf16")
