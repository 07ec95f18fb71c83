"""Run the class of a model type, small, and measure: needs torch and transformers."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from fnmatch import fnmatch
from inspect import signature
from typing import Any, Final
from unittest.mock import patch

import torch
import transformers
from huggingface_hub.errors import StrictDataclassError

from tests.caches.build import LANGUAGE_MODEL, LEFT_IN_FP32, class_of, config_of, values_of
from tests.caches.runs import tensors_in
from tests.peaks.encoders import TORCH_TYPES, encoder_rows
from tests.peaks.live import Live, held_by
from tests.peaks.on_a_gpu import as_on_a_gpu, composed_as_on_a_gpu
from tests.peaks.own_passes import OWN_PASSES, forget_states
from tests.peaks.prompted import PROMPTED, Prompted
from tests.peaks.record import (
    CHANGES,
    DECODED,
    ENCODER_CODE,
    PLACES,
    POSITIONS,
    ROUTERS,
    VARIANTS,
    Record,
    Row,
    shapes_in,
    type_of,
    variants_in,
    varied,
    with_text_fields,
)


def _cache_name(model: Any) -> str:
    """What the class calls its cache."""
    return "cache_params" if "cache_params" in signature(model.forward).parameters else "past_key_values"


def _passed(model: Any, ids: Any, cache: Any = None, mask: Any = None) -> Any:
    """The cache behind one forward."""
    own = OWN_PASSES.get(model.config.model_type)
    if own is not None:
        return own(model, ids, cache)
    name = _cache_name(model)
    given = {"input_ids": ids, "use_cache": True, "logits_to_keep": 1, name: cache}
    return getattr(model(**given, **_masked(ids, cache, mask)), name, None)


def _masked(ids: Any, cache: Any, mask: Any) -> dict[str, Any]:
    """What `generate()` says of padding: all tokens are there."""
    if mask is None:
        return {}
    return {"attention_mask": mask[:, : ids.shape[1] + (cache.get_seq_length() if cache else 0)]}


_TAKE_MASKS: Final = ("kosmos_2_text_model",)
"""Types that make a mask of what they are told of padding even where there is none."""


def _mask_of(model: Any, batch_size: int, tokens: int) -> Any:
    """Of all tokens that a measurement has; None where the class does without."""
    is_taken = model.config.model_type in _TAKE_MASKS
    return torch.ones(batch_size, tokens + DECODED, dtype=torch.long) if is_taken else None


def _tensors(cache: Any) -> list[Any]:
    return list(tensors_in(cache))


@contextmanager
def gathered_experts(model: Any) -> Iterator[None]:
    """As `generate()` decodes on a GPU (generation/utils.py, _optimize_model_for_decode)."""
    before = model.get_experts_implementation()
    switched = {key: "batched_mm" if value == "grouped_mm" else value for key, value in before.items()}
    if switched == before:
        yield
        return
    model.set_experts_implementation(switched)
    yield
    model.set_experts_implementation(before)


def _allocator_peak(model: Any, ids: Any) -> int:
    """By torch's profiler, which sees each allocation of the CPU's allocator."""
    mask = _mask_of(model, *ids.shape)
    if isinstance(model, Prompted):
        model.kept = ()
    forget_states(model)  # What a profiler saw being made, the next one sees go.
    gc.collect()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        cache = _passed(model, ids, mask=mask)
    held = held_by(_tensors(cache)) if cache is not None else 0
    total = peak = 0
    for event in profile.profiler.kineto_results.events():
        if event.name() == "[memory]":
            total += event.nbytes()
            peak = max(peak, total)
    return peak - held


def measured(model: Any, batch_size: int, tokens: int, *, explain: bool = False) -> tuple[Live, Live, int, int]:
    """(prefill, decode, bytes of the cache behind each) of one run."""
    ids = torch.arange(batch_size * tokens).reshape(batch_size, tokens) % 100 + 3
    one, mask = ids[:, :1].clone(), _mask_of(model, batch_size, tokens)
    known = [*model.parameters(), *model.buffers(), ids, one, *([] if mask is None else [mask])]
    prefill, decode = Live(known, explain=explain), Live(known, explain=explain)
    with torch.no_grad(), as_on_a_gpu():
        with prefill:
            cache = _passed(model, ids, None, mask)
        if cache is None:
            longer = torch.cat([ids, *[one] * DECODED], dim=1)
            with Live([*known, longer], explain=explain) as decode:
                model(input_ids=longer, logits_to_keep=1)
            return prefill, decode, 0, 0
        after_prefill = held_by(_tensors(cache))
        cache = _passed(model, one, cache, mask)
        gc.collect()
        decode.start_with([*_tensors(cache), *getattr(model, "kept", ())])
        with decode, gathered_experts(model):
            cache = _passed(model, one, cache, mask)
        return prefill, decode, after_prefill, held_by(_tensors(cache))


_WHOLES: Final = {"mllama": transformers.MllamaForConditionalGeneration}
"""Classes of wholes for whose type transformers also has one for text alone."""


_MADE_IN_FP32: Final = ("xlnet",)
"""Types with weights that are made in fp32 whatever is asked for (torch.FloatTensor): `from_pretrained` turns them."""


def model_with(model_type: str, config: Mapping[str, Any], attention: str, dtype: str = "bf16") -> Any:
    """The class in a type, but for what it keeps in fp32. Raises ValueError for an attention that it does not have."""
    torch.manual_seed(0)
    with _without_timm():
        if model_type in _WHOLES or "architectures" in config:
            found = transformers.CONFIG_MAPPING[model_type](**config)
            model_class = _WHOLES.get(model_type) or getattr(transformers, config["architectures"][0])
        else:
            found, model_class = config_of(model_type, config), class_of(model_type)
        model = model_class._from_config(found, dtype=TORCH_TYPES[dtype], attn_implementation=attention).eval()
    if model_type in (*LEFT_IN_FP32, *_MADE_IN_FP32):
        model.to(TORCH_TYPES[dtype])
    in_fp16 = model._keep_in_fp32_modules or () if dtype == "fp16" else ()
    kept = {*(model._keep_in_fp32_modules_strict or ()), *in_fp16}
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        if any(part in name for part in kept):  # as `from_pretrained` loads it (core_model_loading.py, dtype_plan)
            tensor.data = tensor.data.float()
    if model_type in ROUTERS:
        send_all_to_the_first_experts(model, ROUTERS[model_type])
    if model_type in PROMPTED:
        return Prompted(model)
    inner = LANGUAGE_MODEL.get(model_type)
    return model.get_submodule(inner) if inner else model


def send_all_to_the_first_experts(model: Any, router: str) -> None:
    """Whatever a token is; where there is a bias for each expert, to those that come first in it."""
    for name, weight in model.named_parameters():
        if name.endswith(router):
            weight.data.zero_()
    for name, bias in model.named_buffers():
        if name.endswith("e_score_correction_bias"):
            bias.copy_(-torch.arange(len(bias)))


_TIMM: Final = ("gemma3n_vision", "timm_wrapper")


@contextmanager
def _without_timm() -> Iterator[None]:
    """A tower that is timm's does not run here, and need not be there."""
    own = transformers.AutoModel.from_config

    def from_config(config: Any, **options: Any) -> Any:
        return torch.nn.Module() if config.model_type in _TIMM else own(config, **options)

    with patch.object(transformers.AutoModel, "from_config", from_config):
        yield


def _has_free_heads(model_type: str, config: Mapping[str, Any]) -> bool:
    """Whether heads need not divide the hidden size: some classes have the field, and no use for it."""
    if "head_dim" not in config:
        return False
    try:
        model = model_with(model_type, varied(config, "heads"), "eager")
    except StrictDataclassError:
        return False
    shapes = {tuple(weight.shape) for name, weight in model.named_parameters() if fnmatch(name, "*.o_proj.*weight")}
    return shapes == {(64, 256)}


def _rows(model_type: str, config: Mapping[str, Any], dtype: str) -> Iterator[Row]:
    for variant in variants_in(dtype, VARIANTS):
        if variant == "heads" and not _has_free_heads(model_type, config):
            continue
        for attention in ("sdpa", "eager"):
            try:
                model = model_with(model_type, varied(config, variant), attention, dtype)
            except ValueError:
                continue
            _passed(model, torch.full((1, 2), 5))  # What the first forward makes, a model may keep (ctrl's table).
            for batch_size, tokens in shapes_in(dtype):
                ids_bytes = 8 * batch_size * tokens
                prefill, decode, after_prefill, after_decode = measured(model, batch_size, tokens)
                ids = torch.full((batch_size, tokens), 5)
                with torch.no_grad(), composed_as_on_a_gpu():
                    allocator = _allocator_peak(model, ids)
                yield Row(
                    variant=variant,
                    attention=attention,
                    batch_size=batch_size,
                    tokens=tokens,
                    prefill_peak_bytes=prefill.peak.total_bytes - after_prefill + ids_bytes,
                    decode_peak_bytes=decode.peak.total_bytes - after_decode + ids_bytes + 16 * batch_size,
                    allocator_prefill_bytes=allocator + ids_bytes,
                )


def config_values(name: str) -> dict[str, Any]:
    """The config of one type, or of TYPE+NAME, without what variants change."""
    positions = dict.fromkeys(("max_position_embeddings", "n_positions"), POSITIONS)
    config = with_text_fields(values_of(type_of(name), CHANGES.get(name, {})), positions)
    return {**config, **PLACES.get(name, {})}


def run_now(name: str, dtype: str = "bf16") -> Record:
    """All variants of one type, or of TYPE+NAME, in bf16; a few in another."""
    model_type, config = type_of(name), config_values(name)
    transformers.logging.set_verbosity_error()
    rows = encoder_rows if model_type in ENCODER_CODE else _rows
    return Record(config=config, rows=tuple(rows(model_type, config, dtype)), dtype=dtype)
