"""The programs meet the peaks of real classes: each type in a wide, a narrow and a wide-headed variant, in bf16.

In fp32, and in fp16 where a class computes otherwise in it, fewer runs of each type.

The record is committed (`python -m tests.peaks --run` makes it), so that neither torch nor transformers is needed.
"""

from __future__ import annotations

from functools import lru_cache

import pytest

from hubvram.memory.engines.transformers_code import CODE, ELSEWHERE, WHOLES, knows
from hubvram.memory.engines.transformers_encoders import ENCODERS
from tests.peaks.record import FOLDERS, Row, Said, compared, recorded, type_of, varied
from tests.samples import architecture_of

RECORDS = recorded()
IN = {dtype: recorded(dtype) for dtype in FOLDERS}
each_record = pytest.mark.parametrize(
    ("dtype", "name"), [(dtype, name) for dtype, records in IN.items() for name in sorted(records)]
)


@lru_cache
def runs_of(dtype: str, name: str) -> tuple[tuple[str, Row, Said], ...]:
    return tuple(compared({name: IN[dtype][name]}))


PREFILL, DECODE = 0.005, 0.01
"""How far off they may be: half a percent of a prefill; 1 % of a decode step, small in models of 64 features."""

MOMENTS_TIE, TIED = ("gemma4_text+inputs-wide-sdpa-2x40",), 0.03
"""A norm has fp32 roots of its rows, and then its scale in fp32. The moment is said at which sequences hold more, which
is the first; of two rows the scale, which all share, is more."""


def label(run: tuple[str, Row, Said]) -> str:
    model_type, row, _ = run
    return f"{model_type}-{row.variant}-{row.attention}-{row.batch_size}x{row.tokens}"


ARCHITECTURES = {
    name: architecture_of({**record.config, "model_type": type_of(name)}) for name, record in RECORDS.items()
}


@pytest.mark.parametrize("model_type", sorted((*CODE, *ELSEWHERE, *ENCODERS, *WHOLES)))
def test_every_type_that_is_shown_was_run(model_type: str) -> None:
    """By itself; or, where it has no class of its own, as the text model of a whole."""
    named = {name for name in RECORDS if type_of(name) == model_type}
    inside = {name for name, architecture in ARCHITECTURES.items() if architecture.model_type == model_type}
    rows = [row for name in named or inside for row in RECORDS[name].rows]
    assert {row.batch_size for row in rows} == {1, 2, 3}
    assert len({row.variant for row in rows}) >= 2
    # Those whose class has no sdpa are run in eager attention only.
    assert "eager" in {row.attention for row in rows}


@pytest.mark.parametrize("name", sorted(RECORDS))
def test_nothing_else_is_recorded(name: str) -> None:
    assert knows(ARCHITECTURES[name])


@pytest.mark.parametrize("model_type", sorted(RECORDS))
def test_images_have_the_tokens_that_classes_make_of_them(model_type: str) -> None:
    record = RECORDS[model_type]
    for row in record.rows:
        image = architecture_of({**varied(record.config, row.variant), "model_type": type_of(model_type)}).image
        assert image is None or image.tokens == row.tokens, row


@pytest.mark.parametrize("dtype", [dtype for dtype in FOLDERS if dtype != "bf16"])
def test_the_same_models_were_run_in_other_types(dtype: str) -> None:
    for name, record in IN[dtype].items():
        assert record.config == RECORDS[name].config
        assert {row.batch_size for row in record.rows} == {1, 2}
        assert len({row.variant for row in record.rows}) >= 2


@each_record
def test_prefill_peaks(dtype: str, name: str) -> None:
    for run in runs_of(dtype, name):
        _, row, said = run
        assert said.prefill_peak_bytes == pytest.approx(row.prefill_peak_bytes, rel=PREFILL), label(run)


@each_record
def test_decode_peaks(dtype: str, name: str) -> None:
    for run in runs_of(dtype, name):
        _, row, said = run
        tolerance = TIED if label(run) in MOMENTS_TIE else DECODE
        assert said.decode_peak_bytes == pytest.approx(row.decode_peak_bytes, rel=tolerance), label(run)


def test_the_allocator_saw_what_was_counted() -> None:
    """torch's profiler sees kernels' own scratch too: never less than what is counted, and mostly the same."""
    rows = [(name, row) for records in IN.values() for name, record in records.items() for row in record.rows]
    for name, row in rows:
        assert row.allocator_prefill_bytes >= 0.999 * row.prefill_peak_bytes, name
    same = sum(row.allocator_prefill_bytes <= 1.001 * row.prefill_peak_bytes for _, row in rows)
    assert same >= 0.6 * len(rows)


def test_variants_change_only_what_a_type_has() -> None:
    assert varied({"intermediate_size": 96, "hidden_size": 64}, "wide") == {"intermediate_size": 256, "hidden_size": 64}
