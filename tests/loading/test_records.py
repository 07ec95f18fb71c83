"""What is said of loading equals what was alive while transformers loaded small models: to the byte.

The record is committed (`python -m tests.loading --run` makes it), so that neither torch nor transformers is needed.
"""

from __future__ import annotations

import pytest

from hubvram.memory.engines.transformers_loading import DIRECT, THROUGH_CPU
from hubvram.memory.loading import Figure
from tests.loading.cases import CASES
from tests.loading.record import Record, Said, compressed, recorded, said
from tests.quantized import expanded

RECORDS = recorded()
PADDED_BIAS = {"bert": 256}
"""The bias of the head, 128 values of 16 bit, which tying it copies (`_adjust_bias`)."""

TURNED_LATER = {"switch_transformers": 3 * 4 * 64 * 2}
"""What is said with the weights, though loading is over by then: its first forward turns routers to fp32, 2 bytes more
of each number. Here they are of 3 layers, 4 experts and 64 features."""


def ends(figure: Figure) -> tuple[int, int]:
    assert figure.low_bytes is not None and figure.high_bytes is not None
    return figure.low_bytes, figure.high_bytes


def turned_to_fp32(name: str, record: Record, found: Said) -> int:
    """By how much small tensors grow that the classes want in fp32 and these files hold in bf16: routers' biases,
    parameters of state spaces. What is said counts them as they are stored."""
    if is_bnb(name) or name in ("step3p7", "kimi_k25"):
        return 40 if name == "kimi_k25" else 0
    return record.measured.kept_bytes - found.weight_bytes + TURNED_LATER.get(name, 0)


def is_bnb(name: str) -> bool:
    """Whether bitsandbytes packs it: files say more of a matrix than stays of it, 74 bytes and more of JSON each."""
    return bool(CASES[name].packed) or CASES[name].precision.endswith("-onload")


def test_all_cases_are_there() -> None:
    assert list(RECORDS) == list(CASES)


@pytest.mark.parametrize("name", RECORDS)
def test_weights_are_what_is_kept(name: str) -> None:
    record = RECORDS[name]
    found = said(name, record)
    grown = turned_to_fp32(name, record, found)
    assert 0 <= grown <= 48
    if is_bnb(name):
        # A file also has the state of its quantization as text, which is not in memory; of gpt2's matrices, which lie
        # the other way, less is kept than is said.
        more = found.weight_bytes - record.measured.kept_bytes
        assert 0 <= more < 0.1 * found.weight_bytes
        assert (more == 0) == (not CASES[name].packed and not name.startswith("gpt2"))
        return
    kept_by_views = 99_840 if name in ("step3p7", "kimi_k25") else 0  # of rotated Q, K and V, in a tower
    later = TURNED_LATER.get(name, 0)
    assert record.measured.kept_bytes == found.weight_bytes - later + grown + kept_by_views


@pytest.mark.parametrize("name", RECORDS)
def test_the_peak_on_the_gpu(name: str) -> None:
    record = RECORDS[name]
    found, measured = said(name, record), record.measured
    low, high = ends(found.way(DIRECT).gpu_peak)
    base = found.weight_bytes if CASES[name].precision.endswith("-onload") else measured.kept_bytes
    grown, padded = turned_to_fp32(name, record, found), PADDED_BIAS.get(name, 0) - TURNED_LATER.get(name, 0)
    if CASES[name].packed:
        assert measured.gpu_read_ahead_bytes is not None
        assert measured.kept_bytes <= base + measured.gpu_one_by_one_bytes <= low
        assert base + measured.gpu_read_ahead_bytes == pytest.approx(high, abs=4)  # which a mean of scales takes
        return
    assert base + measured.gpu_one_by_one_bytes - padded == pytest.approx(low, abs=grown)
    if measured.gpu_read_ahead_bytes is None or measured.gpu_by_threads_bytes is None:
        assert low == high  # no thread reads ahead
        return
    assert base + measured.gpu_read_ahead_bytes - padded == pytest.approx(high, abs=grown)
    assert measured.gpu_one_by_one_bytes <= measured.gpu_by_threads_bytes <= measured.gpu_read_ahead_bytes


@pytest.mark.parametrize("name", [name for name in RECORDS if RECORDS[name].measured.host_one_by_one_bytes is not None])
def test_host_memory_by_way_of_the_cpu(name: str) -> None:
    record = RECORDS[name]
    found, measured = said(name, record), record.measured
    low, high = ends(found.way(THROUGH_CPU).host)
    grown, padded = 2 * turned_to_fp32(name, record, found), PADDED_BIAS.get(name, 0)
    assert measured.host_one_by_one_bytes is not None and measured.host_read_ahead_bytes is not None
    assert measured.host_one_by_one_bytes - padded == pytest.approx(low, abs=grown)
    assert measured.host_read_ahead_bytes - padded == pytest.approx(high - found.file_bytes, abs=grown)


def test_most_are_equal_to_the_byte() -> None:
    grown = {name for name, record in RECORDS.items() if turned_to_fp32(name, record, said(name, record))}
    assert len(grown) < len(RECORDS) / 5
    made_anew = [record for record in RECORDS.values() if record.measured.gpu_read_ahead_bytes]
    assert len(made_anew) > 50


def test_tensors_are_written_and_read_back() -> None:
    tensors = {
        "embed": ("BF16", (3, 2)),
        **{f"layers.{layer}.experts.{expert}.w1": ("BF16", (2, 2)) for layer in (1, 2) for expert in range(4)},
        **{f"layers.{layer}.norm": ("F32", (2,)) for layer in range(3)},
    }
    lines = list(compressed(tensors))
    assert len(lines) == 4  # layers 1 and 2 apart: there is no layer 0 of the same
    assert dict(expanded(lines)) == tensors


@pytest.mark.parametrize("name", ["qwen3_moe, fp32 to bf16", "llama, tied head stored again"])
def test_the_record_is_what_is_measured_now(name: str) -> None:
    pytest.importorskip("transformers")
    from tests.loading.runs import run_now

    now, then = run_now(name), RECORDS[name]
    assert (now.tensors, now.config["model_type"]) == (then.tensors, then.config["model_type"])
    for field in ("kept_bytes", "gpu_one_by_one_bytes", "gpu_read_ahead_bytes", "host_one_by_one_bytes"):
        assert getattr(now.measured, field) == getattr(then.measured, field), field
