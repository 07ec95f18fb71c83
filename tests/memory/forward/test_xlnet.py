"""xlnet by hand: one forward in bf16, `generate()` in fp32."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hubvram.inspection.notes import workload_notes
from hubvram.memory.engines.transformers import TRANSFORMERS
from hubvram.memory.engines.transformers_code import knows, play
from hubvram.memory.estimate import MemoryEstimate
from hubvram.memory.estimator import estimate_memory
from hubvram.memory.forward.run import Sizes
from hubvram.memory.workload import Attention, Logits
from tests.memory.forward.test_programs import held
from tests.samples import architecture_of, no_weights, workload_of

HIDDEN, HEADS, LAYERS = 768, 12, 12
BASE = {"model_type": "xlnet", "d_model": HIDDEN, "n_head": HEADS, "n_layer": LAYERS, "d_inner": 3072, "mem_len": None}
XLNET = architecture_of(BASE)


def test_a_forward_alone_in_bf16() -> None:
    tokens = 1000
    workload = replace(workload_of(tokens), logits=Logits.ALL)
    forward = TRANSFORMERS.instants(XLNET, workload, element_bytes=2, cache_element_bytes=2)[0]
    # Ids, mask, and the mask turned around in fp32; Q, K, V, and K of twice as many distances.
    of_token = 2 * 8 + 4 + 5 * 2 * HIDDEN
    # Masks of keys and of pairs; scores by content and by distance, their sum as it is and masked, and what the mask
    # takes from it, which of more than 768 tokens is more than what heads say.
    of_pairs = 2 * (tokens + tokens**2) + (4 * HEADS + 1) * 2 * tokens**2
    kept = LAYERS * HIDDEN * 2
    assert forward.activations_bytes == tokens * of_token + of_pairs - kept
    assert forward.kv_cache_bytes - kept == tokens * LAYERS * HIDDEN * 2
    assert forward.buffers_bytes == 2 * tokens * HIDDEN * 4


def test_generating_has_a_second_stream() -> None:
    tokens = 99
    prefill = TRANSFORMERS.instants(XLNET, workload_of(tokens, batch_size=2), element_bytes=4, cache_element_bytes=4)[0]
    given = tokens + 1
    # Ids and mask; ids with the next token, as given and by tokens.
    ids = 8 * (2 * tokens + 2 * given)
    # Who sees the next token, and where it is, twice; masks of both streams, and their scores as above, of the second.
    pairs = 4 * (2 * given * (given + 1) + 2 * given**2 + 4 * HEADS * given**2)
    # Q, K, V, K of distances, what heads say, normed; in the second stream its input, Q, and what heads say.
    features = 4 * HIDDEN * (given * (3 + 2 + 1 + 1) + 1 + 2 * given)
    assert prefill.activations_bytes == 2 * (ids + pairs + features)
    assert prefill.kv_cache_bytes == 2 * given * LAYERS * HIDDEN * 4


def step(keys: int, prompt_tokens: int) -> Sizes:
    return Sizes(
        batch_size=1,
        tokens=1,
        past_tokens=keys - 1,
        prompt_tokens=prompt_tokens,
        decodes=True,
        by_generate=True,
        element_bytes=4,
        attention=Attention.EAGER,
    )


@pytest.mark.parametrize(
    ("keys", "mem_len", "rows"),
    [
        (51, None, 51),  # The first step reads what the prompt left.
        (100, None, 51 + 100),
        (100, 20, 51 + 21),
        (50, None, 0),  # No token is made behind the prompt.
    ],
)
def test_what_was_kept_before_stays_with_the_prompts(keys: int, mem_len: int | None, rows: int) -> None:
    peak = play(architecture_of({**BASE, "mem_len": mem_len}), step(keys, prompt_tokens=50))[0]
    assert held(peak, "kept by all layers before, and of the prompt") == rows * LAYERS * HIDDEN * 4


def test_a_copy_of_weights_is_a_moment_of_its_own() -> None:
    """All sequences share it, so that it is more than scores only beside few of them."""
    one, many = (
        TRANSFORMERS.instants(XLNET, workload_of(40, batch_size=batch), element_bytes=4, cache_element_bytes=4)
        for batch in (1, 64)
    )
    assert "prefill-output-of-attention" in {instant.name for instant in one}
    assert "prefill-output-of-attention" not in {instant.name for instant in many}
    # The tables of distances, and the weights.
    assert one[1].buffers_bytes == one[0].buffers_bytes + 4 * HIDDEN**2


def estimate_in(dtype: str, logits: Logits = Logits.LAST) -> MemoryEstimate:
    return estimate_memory(no_weights(dtype), XLNET, replace(workload_of(100), logits=logits))


def test_it_generates_in_fp32_only() -> None:
    assert estimate_in("fp32").is_complete and not estimate_in("bf16").is_complete
    assert estimate_in("bf16").size_of("kv_cache") == 101 * LAYERS * HIDDEN * 2
    assert all(estimate_in(dtype, Logits.ALL).is_complete for dtype in ("fp32", "bf16", "fp16"))
    (note,) = workload_notes(XLNET, workload_of(100))
    assert "runs in fp32 only" in note and "--logits all" in note
    assert not list(workload_notes(XLNET, replace(workload_of(100), logits=Logits.ALL)))


@pytest.mark.parametrize("other", [{"attn_type": "uni"}, {"bi_data": True}, {"use_mems_eval": False}, {"reuse_len": 8}])
def test_other_settings_are_not_known(other: dict[str, object]) -> None:
    unusual = architecture_of({**BASE, **other})
    assert not knows(unusual) and not TRANSFORMERS.knows_cache(unusual)
    assert unusual.parameters == XLNET.parameters
