"""Every model type for which a cache is shown: a tiny model runs in bf16, and the tensors in its cache are counted.

Extra: needs torch and transformers. Models are the default config of their class with small numbers in it, as its
`save_pretrained` writes it and as a file might say it that names only what is not a default.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from hubvram.architecture.families import FAMILIES
from hubvram.architecture.layers import Architecture
from hubvram.errors import ConfigError
from hubvram.memory.kv_cache import knows_cache
from tests.caches.models import ENCODERS
from tests.caches.record import RUNS, recorded, said
from tests.caches.test_records import expected
from tests.samples import architecture_of

torch: Any = pytest.importorskip("torch", reason="torch, which runs the models, is not installed")
transformers: Any = pytest.importorskip("transformers", reason="transformers, whose models are run, is not installed")

from tests.caches.build import config_of, model_of, values_of, written  # noqa: E402
from tests.caches.runs import IDS, run_now  # noqa: E402

RECORDS = recorded()


@pytest.fixture(autouse=True, scope="module")
def _on_one_core() -> Iterator[None]:
    """So little work is not worth a second one."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("name", RECORDS)
def test_the_cache_is_the_recorded_one(name: str) -> None:
    run = RUNS[name]
    record = run_now(run)
    assert record == RECORDS[name]
    made = values_of(run.model_type, run.changes)
    short = architecture_of({"model_type": run.model_type, "architectures": record.config["architectures"], **made})
    assert list(said(short, both_sides=run.both_sides)) == expected(name, record)


@pytest.mark.parametrize("model_type", ENCODERS)
def test_encoders_have_none(model_type: str) -> None:
    made = values_of(model_type, {})
    with torch.no_grad():
        output = model_of(model_type, made).float()(input_ids=IDS)
    assert getattr(output, "past_key_values", None) is None
    assert said(architecture_of(written(model_type, made))) == (0,) * 4


def test_every_type_whose_cache_is_shown_is_run() -> None:
    """A new family whose parts all have a known cache is not believed before it was run."""
    auto = transformers.models.auto.modeling_auto
    tables = ("CAUSAL_LM", "IMAGE_TEXT_TO_TEXT", "SEQ_TO_SEQ_CAUSAL_LM", "SPEECH_SEQ_2_SEQ")
    shown = set()
    for model_type in {name for table in tables for name in getattr(auto, f"MODEL_FOR_{table}_MAPPING_NAMES")}:
        # One size for all is not enough to make every config; those that it makes not are left to the walk's.
        for both_sides in (False, True):
            architecture = _derived(model_type, both_sides=both_sides) if model_type in FAMILIES else None
            if architecture is not None and knows_cache(architecture) and any(said(architecture)):
                shown.add(model_type)
    assert shown <= {run.model_type for run in RUNS.values()}


def _derived(model_type: str, *, both_sides: bool) -> Architecture | None:
    try:
        made = values_of(model_type, {})
        config_of(model_type, made, both_sides=both_sides)
    except Exception:  # whatever a config class of somebody else's raises
        return None
    try:
        return architecture_of(written(model_type, made, both_sides=both_sides))
    except ConfigError:
        return None
