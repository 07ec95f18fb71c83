"""Every causal-LM, seq2seq and image-text-to-text type of transformers: what reconciled once reconciles for ever.

Extra: runs where transformers and torch are installed, as a step of its own (.ci/run).
"""

from __future__ import annotations

import pytest

from hubvram.config.defaults import transformers_version
from tests.walk.build import MAPPINGS, model_types
from tests.walk.record import outcome_now, recorded

RECORDS = [(kind, model_type) for kind in MAPPINGS for model_type in recorded(kind)]


def needs_oracle() -> None:
    transformers = pytest.importorskip("transformers", reason="transformers, which is walked over, is not installed")
    pytest.importorskip("torch", reason="torch, which builds transformers' classes, is not installed")
    if transformers.__version__ != transformers_version():
        pytest.skip(f"the records were made with transformers {transformers_version()}")


@pytest.mark.parametrize("kind", MAPPINGS)
def test_no_type_is_left_out(kind: str) -> None:
    needs_oracle()
    assert set(recorded(kind)) == set(model_types(kind))


@pytest.mark.parametrize(("kind", "model_type"), RECORDS)
def test_the_outcome_is_the_recorded_one(kind: str, model_type: str) -> None:
    """Worse is a regression; better has to be recorded with `python -m tests.walk`."""
    needs_oracle()
    assert outcome_now(model_type, kind) == recorded(kind)[model_type]
