"""Run the class of an encoder, small, and measure one forward over all tokens: needs torch and transformers.

A class is given what its tokenizer gives: ids, a mask of ones, and types of tokens where the tokenizer makes them.
"""

from __future__ import annotations

import gc
import math
from collections.abc import Iterator, Mapping
from typing import Any, Final

import torch
import transformers
from transformers.models.auto import modeling_auto
from transformers.models.auto.tokenization_auto import TOKENIZER_MAPPING_NAMES

from hubvram.memory.engines.transformers_speech import KNOWN as SPEECH
from tests.peaks.live import Live
from tests.peaks.on_a_gpu import as_on_a_gpu
from tests.peaks.record import (
    ENCODER_VARIANTS,
    IMAGE_VARIANTS,
    PAIR_VARIANTS,
    SOUND_VARIANTS,
    Row,
    shapes_in,
    variants_in,
    varied,
)

_TABLES: Final = {
    "Model": "MODEL_MAPPING_NAMES",
    "ForMaskedLM": "MODEL_FOR_MASKED_LM_MAPPING_NAMES",
    "ForSequenceClassification": "MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES",
    "ForImageClassification": "MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES",
}
"""End of a class name -> the table of classes."""
TORCH_TYPES: Final = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}

_NAMES: Final = {
    ("siglip_text_model", "Model"): "SiglipTextModel",
    ("siglip2_text_model", "Model"): "Siglip2TextModel",
    ("clip_text_model", "WithProjection"): "CLIPTextModelWithProjection",
}
"""Classes that are in none of these tables."""
_CONVERT_NOTHING: Final = ("beit", "swin", "donut-swin")
"""Types whose classes take pixels as they are, and cannot compute with those of another type."""


def encoder_with(model_type: str, config: Mapping[str, Any], attention: str, dtype: str = "bf16") -> Any:
    """The class in a type. Raises ValueError for a class that there is not, and for an attention that it has not."""
    torch.manual_seed(0)
    (ending,) = config["architectures"]
    name = _of_sound(model_type, ending) if hears(model_type) else _named(model_type, ending)
    made = transformers.CONFIG_MAPPING[model_type](**config)
    loaded = TORCH_TYPES[dtype]
    model = getattr(transformers, name)._from_config(made, dtype=loaded, attn_implementation=attention)
    return model.to(loaded).eval()  # parameters that are made in fp32 too (deberta), as when they are loaded


def _named(model_type: str, ending: str) -> str:
    """In the tables. Raises ValueError for a class that there is not."""
    found: Any = getattr(modeling_auto, _TABLES[ending]).get(model_type) or _NAMES.get((model_type, ending))
    if found is None:
        raise ValueError(f"{model_type} has no class that ends in {ending}")
    return str(found if isinstance(found, str) else found[0])


def _of_sound(model_type: str, ending: str) -> str:
    """Its classes are all named alike."""
    return _named(model_type, "Model").removesuffix("Model") + ending


def sees(model_type: str) -> bool:
    """Whether it reads images."""
    config_class = transformers.CONFIG_MAPPING[model_type]
    return "image_size" in config_class().to_dict()


def hears(model_type: str) -> bool:
    """Whether it reads sound."""
    return model_type in SPEECH


def _sound(config: Any, batch_size: int, tokens: int, dtype: Any) -> dict[str, Any]:
    """The fewest samples that make so many frames; a mask where each convolution has a norm
    (feature_extraction_wav2vec2.py, Wav2Vec2FeatureExtractor: return_attention_mask)."""
    samples = tokens
    for kernel, step in zip(reversed(config.conv_kernel), reversed(config.conv_stride), strict=True):
        samples = (samples - 1) * step + kernel
    given = {"input_values": torch.rand(batch_size, samples, dtype=dtype)}
    if getattr(config, "feat_extract_norm", "layer") == "layer":
        given["attention_mask"] = torch.ones(batch_size, samples, dtype=torch.int32)
    return given


def _given(model: Any, batch_size: int, tokens: int) -> dict[str, Any]:
    """What a tokenizer makes of sequences of one length, or an image processor of images; or both."""
    config, model_type = model.config, model.config.model_type
    if hears(model_type):
        return _sound(config, batch_size, tokens, model.dtype)
    if sees(model_type):
        return _seen(config, batch_size, model.dtype)
    tower = getattr(config, "vision_config", None)
    return {**_read(model_type, batch_size, tokens), **(_seen(tower, batch_size, model.dtype) if tower else {})}


def _seen(config: Any, batch_size: int, dtype: Any) -> dict[str, Any]:
    if config.model_type == "siglip2_vision_model":
        count, side = config.num_patches, math.isqrt(config.num_patches)
        return {
            "pixel_values": torch.rand(batch_size, count, config.num_channels * config.patch_size**2),
            "pixel_attention_mask": torch.ones(batch_size, count, dtype=torch.int32),
            "spatial_shapes": torch.full((batch_size, 2), side),
        }
    pixels = torch.rand(batch_size, config.num_channels, config.image_size, config.image_size)
    return {"pixel_values": pixels.to(dtype) if config.model_type in _CONVERT_NOTHING else pixels}


def _read(model_type: str, batch_size: int, tokens: int) -> dict[str, Any]:
    ids = torch.arange(batch_size * tokens).reshape(batch_size, tokens) % 100 + 3
    made = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "token_type_ids": torch.zeros_like(ids)}
    if model_type == "roc_bert":  # whose tokenizer makes these beside those that it names
        return {
            key: ids.clone() for key in ("input_ids", "attention_mask", "input_shape_ids", "input_pronunciation_ids")
        }
    # Published ones name the class of their own, which gives no types.
    name = "DistilBertTokenizer" if model_type == "distilbert" else TOKENIZER_MAPPING_NAMES.get(model_type)
    names = getattr(transformers, name).model_input_names if name else ("input_ids", "attention_mask")
    return {key: value for key, value in made.items() if key in names}


def measured_encoder(model: Any, batch_size: int, tokens: int, *, padded: bool = False, explain: bool = False) -> Live:
    """One forward, with what it is given; what earlier ones left is not counted (dinov3_vit, beit)."""
    left = [found for found in gc.get_objects() if issubclass(type(found), torch.Tensor)]
    given = _given(model, batch_size, tokens)
    if padded:
        given["attention_mask"][0, tokens // 4 :] = 0
    hearing = hears(model.config.model_type)
    live = Live([*model.parameters(), *model.buffers(), *left], explain=explain, sees_copies=hearing)
    del left
    live.start_with(given.values())
    with torch.no_grad(), as_on_a_gpu(), live:
        model(**given)
    return live


def _allocator_peak(model: Any, batch_size: int, tokens: int) -> int:
    """By torch's profiler, which sees each allocation of the CPU's allocator; without oneDNN, whose matrix products
    take scratch of their own, but for convolutions over sound, which take minutes without it."""
    given = _given(model, batch_size, tokens)
    with (
        torch.no_grad(),
        torch.backends.mkldnn.flags(enabled=hears(model.config.model_type)),
        torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile,
    ):
        model(**given)
    total = peak = 0
    for event in profile.profiler.kineto_results.events():
        if event.name() == "[memory]":
            total += event.nbytes()
            peak = max(peak, total)
    return peak + int(sum(tensor.nbytes for tensor in given.values()))


def _shapes(model: Any, dtype: str) -> tuple[tuple[int, int], ...]:
    """Batch and tokens; of images, those that the model makes of one."""
    if not sees(model.config.model_type):
        return shapes_in(dtype)
    given = _given(model, 1, 0)
    with torch.no_grad():
        found = model(**given)
        found = found if "last_hidden_state" in found else model.base_model(**given)
    tokens = found.last_hidden_state.shape[1]
    return tuple((batch_size, tokens) for batch_size, _ in shapes_in(dtype))


def variants_of(model_type: str, config: Mapping[str, Any], dtype: str) -> Iterator[str]:
    """Those of its kind; of sound, those whose classes there are, and whose fields its config has."""
    if not hears(model_type):
        alone = IMAGE_VARIANTS if sees(model_type) else ENCODER_VARIANTS
        yield from variants_in(dtype, PAIR_VARIANTS if "vision_config" in config else alone)
        return
    fields = transformers.CONFIG_MAPPING[model_type]()
    for name in variants_in(dtype, SOUND_VARIANTS):
        values = SOUND_VARIANTS[name]
        has_class = hasattr(transformers, _of_sound(model_type, *values["architectures"]))
        if has_class and all(hasattr(fields, key) for key in values):
            yield name


def encoder_rows(model_type: str, config: Mapping[str, Any], dtype: str) -> Iterator[Row]:
    for variant in variants_of(model_type, config, dtype):
        for attention in ("sdpa", "eager"):
            try:
                model = encoder_with(model_type, varied(config, variant), attention, dtype)
            except ValueError:
                continue
            for batch_size, tokens in _shapes(model, dtype):
                yield Row(
                    variant=variant,
                    attention=attention,
                    batch_size=batch_size,
                    tokens=tokens,
                    prefill_peak_bytes=measured_encoder(model, batch_size, tokens).peak.total_bytes,
                    decode_peak_bytes=0,
                    allocator_prefill_bytes=_allocator_peak(model, batch_size, tokens),
                )
