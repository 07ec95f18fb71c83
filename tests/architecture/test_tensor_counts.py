"""How long the headers of an architecture's files may be, against headers that were published."""

from __future__ import annotations

import json

import pytest

from hubvram.architecture.tensor_counts import plausible_header_bytes
from tests.samples import FIXTURES, NAMES, fixture_model, small_llama

PUBLISHED = {
    name: size
    for name in NAMES
    if (size := json.loads((FIXTURES / "models" / name / "expected.json").read_text("utf-8"))["published_file_bytes"])
}
"""Sizes of all weight files, as the Hub lists them."""


def test_a_small_llama_by_hand() -> None:
    # embedding, head, final norm; in each of 2 layers Q, K, V, O, gate, up, down and 2 norms: 3 + 2 x 9 = 21 tensors.
    # From 8 bytes and 64 for each second tensor, to 8 + 1,024 bytes and 192 for each.
    assert plausible_header_bytes(small_llama(), 1) == range(8 + 10 * 64, 1032 + 21 * 192 + 1)
    assert plausible_header_bytes(small_llama(), 3) == range(24 + 10 * 64, 3096 + 21 * 192 + 1)


def test_a_tied_head_has_no_tensor_and_a_bias_has_one() -> None:
    tied, plain = (small_llama(tie_word_embeddings=tied) for tied in (True, False))
    biased = small_llama(attention_bias=True)
    longest = plausible_header_bytes(plain, 1).stop
    assert plausible_header_bytes(tied, 1).stop == longest - 192
    assert plausible_header_bytes(biased, 1).stop == longest + 192 * 2 * 4  # Q, K, V and O of 2 layers


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_headers_are_plausible(name: str) -> None:
    model = fixture_model(name)
    assert model.architecture is not None and model.checkpoint is not None
    # What is in the files beside the data of their tensors: 8 bytes for each file, and the headers.
    header_bytes = PUBLISHED[name] - model.checkpoint.stored_bytes
    assert header_bytes in plausible_header_bytes(model.architecture, len(model.checkpoint.files))


@pytest.mark.parametrize("name", ["Qwen--Qwen3-30B-A3B", "ibm-granite--granite-3.1-1b-a400m-instruct"])
def test_experts_may_stand_apart_or_in_one_tensor(name: str) -> None:
    """18,867 tensors and 218, for as many weights by name."""
    model = fixture_model(name)
    assert model.architecture is not None and model.checkpoint is not None and model.checkpoint.file_bytes is not None
    header_bytes = model.checkpoint.file_bytes - model.checkpoint.stored_bytes
    assert header_bytes in plausible_header_bytes(model.architecture, len(model.checkpoint.files))
