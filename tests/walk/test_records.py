"""The committed records, without transformers: what its classes counted is what the table of defaults derives."""

from __future__ import annotations

import pytest

from tests.walk.build import MAPPINGS
from tests.walk.compare import parameters_by_default
from tests.walk.record import NOT_BUILT, recorded

BY_DEFAULT = {
    model_type: outcome.parameters
    for kind in MAPPINGS
    for model_type, outcome in recorded(kind).items()
    if outcome.by_default
}


@pytest.mark.parametrize("model_type", BY_DEFAULT)
def test_an_empty_config_gives_the_model_of_the_defaults(model_type: str) -> None:
    assert parameters_by_default(model_type) == BY_DEFAULT[model_type]


def test_nine_tenths_of_the_causal_models_reconcile() -> None:
    outcomes = recorded("causal-lm")
    assert sum(outcome.status == "reconciled" for outcome in outcomes.values()) >= 0.9 * len(outcomes)


@pytest.mark.parametrize("kind", MAPPINGS)
def test_what_does_not_reconcile_says_so(kind: str) -> None:
    for outcome in recorded(kind).values():
        assert outcome.status in ("reconciled", "unreconciled", "shape-matched", "unknown-architecture", NOT_BUILT)
        assert bool(outcome.why) == (outcome.status in ("unreconciled", NOT_BUILT))
