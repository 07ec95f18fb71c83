"""Save a small model, load it, and watch: needs torch and transformers, for some cases bitsandbytes and accelerate."""

from __future__ import annotations

import gc
import json
import os
import struct
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final
from unittest.mock import patch

import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import core_model_loading, modeling_utils
from transformers.quantizers import quantizer_finegrained_fp8

from tests.caches.build import model_of, values_of
from tests.loading.cases import CASES, EXPERTS_PACKED, EXPERTS_TURNED, HEAD_REPEATED, IN_FP8, Case
from tests.loading.record import Measured, Record, Tensors
from tests.loading.watch import Watch

ONE_BY_ONE: Final = "one by one"
READ_AHEAD: Final = "read ahead"
THREADS: Final = "threads"

_DTYPES: Final = {"bf16": torch.bfloat16, "fp32": torch.float32}
_BNB: Final[Mapping[str, Mapping[str, Any]]] = {
    "nf4-onload": {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4"},
    "nf4-dq-onload": {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": True},
    "int8-bnb-onload": {"load_in_8bit": True},
}


class _ReadAhead:
    """A pool whose threads are always done."""

    def __init__(self, max_workers: int) -> None:
        pass

    def submit(self, job: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(job())
        return future

    def shutdown(self, **_: Any) -> None:
        pass


def _equal_as_on_a_gpu(source: Any, target: Any) -> bool:
    """`torch.equal` of CUDA tensors (Equal.cpp); on a CPU it needs nothing."""
    return source.shape == target.shape and bool(torch.eq(source, target).all().item())


def _nothing(*_: Any, **__: Any) -> None:
    """In the place of a check for a GPU that computes in FP8; without one, weights would be unpacked."""


@contextmanager
def _watched(watch: Watch, order: str) -> Iterator[dict[str, int]]:
    """While from_pretrained runs; says what was alive when all parameters were made, and how much at most."""
    seen: dict[str, int] = {}
    finish = modeling_utils.PreTrainedModel._finalize_model_loading
    tie = modeling_utils.PreTrainedModel.tie_weights

    def finishing(model: Any, *args: Any) -> Any:
        seen["made"], seen["peak"] = watch.total_bytes, watch.forget_peak()
        return finish(model, *args)

    def tying(model: Any, *args: Any, **options: Any) -> Any:
        watch.forget_peak()
        before = watch.total_bytes
        result = tie(model, *args, **options)
        if "made" in seen:
            seen["kept"] = seen["made"] - (before - watch.total_bytes)
            seen["peak"] = max(seen["peak"], seen["made"] + watch.forget_peak() - before)
        return result

    deactivated = {"HF_DEACTIVATE_ASYNC_LOAD": "1" if order == ONE_BY_ONE else "0"}
    pool = _ReadAhead if order == READ_AHEAD else core_model_loading.ThreadPoolExecutor
    with (
        patch.object(core_model_loading, "_materialize_copy", watch.read),
        patch.object(core_model_loading, "ThreadPoolExecutor", pool),
        patch.object(modeling_utils, "_tied_params_are_equal", _equal_as_on_a_gpu if watch.on_device else torch.equal),
        patch.object(modeling_utils.PreTrainedModel, "_finalize_model_loading", staticmethod(finishing)),
        patch.object(modeling_utils.PreTrainedModel, "tie_weights", tying),
        patch.object(quantizer_finegrained_fp8.FineGrainedFP8HfQuantizer, "validate_environment", _nothing),
        patch.dict(os.environ, deactivated),
        watch,
    ):
        yield seen


def _packing(precision: str) -> dict[str, Any]:
    return {
        "quantization_config": transformers.BitsAndBytesConfig(**_BNB[precision]),
        "device_map": {"": "cpu"},
    }


def _loaded(model_class: Any, folder: Path, case: Case, order: str, *, on_device: bool) -> tuple[int, int]:
    """(kept, most alive at once) of a load."""
    options: dict[str, Any] = {}
    if case.precision in _BNB:
        options = _packing(case.precision)
    elif case.packed:
        options["device_map"] = {"": "cpu"}
    elif case.precision != "stored":
        options["dtype"] = _DTYPES[case.precision]
    if case.rewritten == EXPERTS_PACKED:
        options["quantization_config"] = transformers.Mxfp4Config(dequantize=True)
    gc.collect()
    watch = Watch(on_device=on_device)
    with _watched(watch, order) as seen:
        model = model_class.from_pretrained(folder, **options)
    del model
    gc.collect()
    return seen["kept"], seen["peak"]


def _measured(model_class: Any, folder: Path, case: Case) -> Measured:
    kept, peak = _loaded(model_class, folder, case, ONE_BY_ONE, on_device=True)
    one_by_one = Measured(
        kept_bytes=kept,
        gpu_one_by_one_bytes=peak - kept,
        gpu_read_ahead_bytes=None,
        gpu_by_threads_bytes=None,
        host_one_by_one_bytes=None,
        host_read_ahead_bytes=None,
    )
    if case.precision in _BNB:  # no thread reads ahead
        return one_by_one
    ahead, threads = (
        _loaded(model_class, folder, case, order, on_device=True)[1] - kept for order in (READ_AHEAD, THREADS)
    )
    if case.packed or case.rewritten in (EXPERTS_PACKED, IN_FP8):  # and not by way of the CPU
        return replace(one_by_one, gpu_read_ahead_bytes=ahead, gpu_by_threads_bytes=threads)
    host = [_loaded(model_class, folder, case, order, on_device=False)[1] for order in (ONE_BY_ONE, READ_AHEAD)]
    return replace(
        one_by_one,
        gpu_read_ahead_bytes=ahead,
        gpu_by_threads_bytes=threads,
        host_one_by_one_bytes=host[0],
        host_read_ahead_bytes=host[1],
    )


def _saved(case: Case, folder: Path) -> Any:
    """The class of what was written."""
    model = model_of(case.model_type, values_of(case.model_type, case.changes), both_sides=case.model_type in _BOTH)
    if case.saved != "bf16":
        model = model.to(_DTYPES[case.saved])
        model.config.dtype = _DTYPES[case.saved]
    model.save_pretrained(folder, max_shard_size=case.shard_bytes or "1GB")
    if case.packed:
        with TemporaryDirectory() as path:
            model.save_pretrained(path)
            type(model).from_pretrained(path, **_packing(case.packed)).save_pretrained(folder)
    if case.rewritten:
        (file,) = folder.glob("*.safetensors")
        tensors = load_file(file)
        _REWRITE[case.rewritten](tensors, folder)
        save_file(tensors, file, {"format": "pt"})
    return type(model)


def _repeat_head(tensors: dict[str, Any], _: Path) -> None:
    tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"].clone()


def _turn_experts(tensors: dict[str, Any], _: Path) -> None:
    for name in [name for name in tensors if name.endswith(("experts.gate_up_proj", "experts.down_proj"))]:
        tensors[name] = tensors[name].transpose(1, 2).contiguous()


def _pack_experts(tensors: dict[str, Any], folder: Path) -> None:
    """For each output, rows of 16 bytes with an exponent, 32 inputs each."""
    for name in [name for name in tensors if name.endswith(("experts.gate_up_proj", "experts.down_proj"))]:
        experts, inputs, outputs = tensors.pop(name).shape
        tensors[f"{name}_blocks"] = torch.randint(0, 256, (experts, outputs, inputs // 32, 16), dtype=torch.uint8)
        tensors[f"{name}_scales"] = torch.full((experts, outputs, inputs // 32), 127, dtype=torch.uint8)
    _declare(folder, {"quant_method": "mxfp4"})


def _turn_to_fp8(tensors: dict[str, Any], folder: Path) -> None:
    for name in [name for name in tensors if ".layers." in name and "_proj" in name and name.endswith(".weight")]:
        rows, columns = tensors[name].shape
        tensors[name] = tensors[name].to(torch.float8_e4m3fn)
        tensors[f"{name}_scale_inv"] = torch.ones(-(-rows // 128), -(-columns // 128))
    _declare(folder, {"quant_method": "fp8", "weight_block_size": [128, 128]})


def _declare(folder: Path, settings: Mapping[str, Any]) -> None:
    path = folder / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**config, "quantization_config": settings}), encoding="utf-8")


_REWRITE: Final = {
    HEAD_REPEATED: _repeat_head,
    EXPERTS_PACKED: _pack_experts,
    EXPERTS_TURNED: _turn_experts,
    IN_FP8: _turn_to_fp8,
}
_BOTH: Final = ("t5", "bart", "whisper", "switch_transformers")


def _tensors(folder: Path) -> Tensors:
    found: dict[str, tuple[str, tuple[int, ...]]] = {}
    for file in sorted(folder.glob("*.safetensors")):
        with file.open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            header: Mapping[str, Any] = json.loads(stream.read(length))
        for name, entry in header.items():
            if name != "__metadata__":
                found[name] = entry["dtype"], tuple(entry["shape"])
    return found


def run_now(name: str) -> Record:
    """One case."""
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    case = CASES[name]
    with TemporaryDirectory() as path:
        folder = Path(path)
        model_class = _saved(case, folder)
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        return Record(config=config, tensors=_tensors(folder), measured=_measured(model_class, folder, case))
