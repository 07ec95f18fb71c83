"""What each figure is made of: terms whose formulas, worked out, are their bytes, and which add up to the whole."""

from __future__ import annotations

import re
from math import prod

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubvram.architecture.layers import Architecture
from hubvram.errors import UnsupportedOptionError
from hubvram.inspection import inspect_model
from hubvram.memory.engines import ENGINES
from hubvram.memory.estimate import MemoryComponent
from hubvram.memory.terms import Term
from hubvram.memory.workload import Attention
from hubvram.quantization.schemes import SCHEMES
from tests.samples import NAMES, fixture_model, workload_of

_PRODUCT = re.compile(r"([\d,]+(?: x [\d,]+)*) (bytes|bits)")


def worked_out(term: Term) -> int | None:
    """The product that the formula writes down; None where it is words."""
    found = _PRODUCT.fullmatch(term.formula)
    if found is None:
        return None
    product = prod(int(factor.replace(",", "")) for factor in found[1].split(" x "))
    return product if found[2] == "bytes" else -(-product // 8)


def assert_explained(component: MemoryComponent) -> None:
    assert sum(term.size_bytes for term in component.terms) == component.size_bytes, component.name
    assert component.source
    for term in component.terms:
        assert worked_out(term) in (None, term.size_bytes), term


@pytest.mark.parametrize("name", NAMES)
def test_every_figure_of_every_bundled_model(name: str) -> None:
    model = fixture_model(name)
    found = inspect_model(model, workload_of(400, batch_size=3, input_tokens=300), tuple(SCHEMES))
    for estimate in (found.stored_estimate, *found.estimates):
        for component in estimate.components:
            assert_explained(component)


def knows_all_kinds(architecture: Architecture) -> bool:
    """Whether its class can be asked for any attention: some have one alone, or none."""
    try:
        for attention in (Attention.EAGER, Attention.FLASH):
            ENGINES["transformers"].resolve_attention(architecture, attention)
    except UnsupportedOptionError:
        return False
    return True


@given(
    name=st.sampled_from(NAMES),
    tokens=st.integers(1, 9000),
    batch_size=st.integers(1, 9),
    attention=st.sampled_from([Attention.AUTO, Attention.EAGER, Attention.FLASH]),
)
def test_whatever_the_workload(name: str, tokens: int, batch_size: int, attention: Attention) -> None:
    model = fixture_model(name)
    assert model.architecture is not None
    tokens = min(tokens, model.architecture.learned_positions or tokens)
    if not knows_all_kinds(model.architecture):
        attention = Attention.AUTO
    workload = workload_of(tokens, batch_size=batch_size, attention=attention)
    (estimate,) = inspect_model(model, workload, ("bf16",)).estimates
    for component in estimate.components:
        assert_explained(component)


def test_llama_8b_by_hand() -> None:
    found = inspect_model(fixture_model("meta-llama--Llama-3.1-8B"), workload_of(8192), ("int4",))
    (estimate,) = found.estimates
    terms = {term.what: term for component in estimate.components for term in component.terms}
    # 4-bit weights, a 16-bit scale and a 4-bit zero for each group of 128: 4 + 16/128 + 4/128 bits.
    down = terms["down, 4,096 x 14,336 at 4.156 bits"]
    assert down.formula == f"32 x {4096 * 14_336 * 133 // 256:,} bytes"
    assert terms["their product"].formula == "1 x 8,192 x 14,336 x 2 bytes"
