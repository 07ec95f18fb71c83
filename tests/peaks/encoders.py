"""Run the class of an encoder, small, and measure one forward over all tokens: needs torch and transformers.

A class is given what its tokenizer gives: ids, a mask of ones, and types of tokens where the tokenizer makes them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import torch
import transformers
from transformers.models.auto import modeling_auto
from transformers.models.auto.tokenization_auto import TOKENIZER_MAPPING_NAMES

from tests.peaks.live import Live
from tests.peaks.on_a_gpu import as_on_a_gpu
from tests.peaks.record import ENCODER_VARIANTS, IMAGE_VARIANTS, Row, shapes_in, variants_in, varied

_TABLES: Final = {
    "Model": "MODEL_MAPPING_NAMES",
    "ForMaskedLM": "MODEL_FOR_MASKED_LM_MAPPING_NAMES",
    "ForSequenceClassification": "MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES",
    "ForImageClassification": "MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES",
}
"""End of a class name -> the table of classes."""
TORCH_TYPES: Final = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}


def encoder_with(model_type: str, config: Mapping[str, Any], attention: str, dtype: str = "bf16") -> Any:
    """The class in a type. Raises ValueError for an attention that it does not have."""
    torch.manual_seed(0)
    (ending,) = config["architectures"]
    found = getattr(modeling_auto, _TABLES[ending])[model_type]
    name = found if isinstance(found, str) else found[0]
    made = transformers.CONFIG_MAPPING[model_type](**config)
    loaded = TORCH_TYPES[dtype]
    model = getattr(transformers, name)._from_config(made, dtype=loaded, attn_implementation=attention)
    return model.to(loaded).eval()  # parameters that are made in fp32 too (deberta), as when they are loaded


def sees(model_type: str) -> bool:
    """Whether it reads images."""
    return model_type in modeling_auto.MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES


def _given(config: Any, batch_size: int, tokens: int) -> dict[str, Any]:
    """What a tokenizer makes of sequences of one length, or an image processor of images."""
    model_type = config.model_type
    if sees(model_type):
        return {"pixel_values": torch.rand(batch_size, config.num_channels, config.image_size, config.image_size)}
    ids = torch.arange(batch_size * tokens).reshape(batch_size, tokens) % 100 + 3
    made = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "token_type_ids": torch.zeros_like(ids)}
    # Published ones name the class of their own, which gives no types.
    name = "DistilBertTokenizer" if model_type == "distilbert" else TOKENIZER_MAPPING_NAMES.get(model_type)
    names = getattr(transformers, name).model_input_names if name else ("input_ids", "attention_mask")
    return {key: value for key, value in made.items() if key in names}


def measured_encoder(model: Any, batch_size: int, tokens: int, *, explain: bool = False) -> Live:
    """One forward, with what it is given."""
    given = _given(model.config, batch_size, tokens)
    live = Live([*model.parameters(), *model.buffers()], explain=explain)
    live.start_with(given.values())
    with torch.no_grad(), as_on_a_gpu(), live:
        model(**given)
    return live


def _allocator_peak(model: Any, batch_size: int, tokens: int) -> int:
    """By torch's profiler, which sees each allocation of the CPU's allocator; without oneDNN, whose matrix products
    take scratch of their own."""
    given = _given(model.config, batch_size, tokens)
    with (
        torch.no_grad(),
        torch.backends.mkldnn.flags(enabled=False),
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
    with torch.no_grad():
        tokens = model.base_model(**_given(model.config, 1, 0)).last_hidden_state.shape[1]
    return tuple((batch_size, tokens) for batch_size, _ in shapes_in(dtype))


def encoder_rows(model_type: str, config: Mapping[str, Any], dtype: str) -> Iterator[Row]:
    for variant in variants_in(dtype, IMAGE_VARIANTS if sees(model_type) else ENCODER_VARIANTS):
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
