"""What `save_pretrained` would write for a model type: config.json, and the names and shapes of the tensors.

Nothing is allocated: the model is built on the meta device from its default config. A few types cannot be built
from their defaults alone; OVERRIDES holds the least that makes them.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

MAPPINGS: Final[Mapping[str, str]] = {
    "causal-lm": "MODEL_FOR_CAUSAL_LM_MAPPING_NAMES",
    "seq2seq": "MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES",
    "image-text": "MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES",
}
"""Kind of model -> the table in transformers' modeling_auto.py that lists its types."""

OVERRIDES: Final[Mapping[str, Mapping[str, Any]]] = {
    # Their classes take no null, which is their default.
    "hunyuan_v1_dense": {"head_dim": 128},
    "ministral": {"head_dim": 128},
    "nemotron": {"num_key_value_heads": 8},
    "dbrx": {"attn_config": {"rope_theta": 10_000.0}},
    "deepseek_v2": {"num_experts_per_tok": 6},
    "dots1": {"n_routed_experts": 128, "n_shared_experts": 2, "num_experts_per_tok": 6},
    # 14 heads do not divide its 1152 features.
    "aya_vision": {"vision_config": {"model_type": "siglip_vision_model"}},
    # Its rule for layers is to be told.
    "lfm2_moe": {
        "num_hidden_layers": 24,
        "layer_types": ["full_attention" if index in (2, 6, 10, 14, 18, 21) else "conv" for index in range(24)],
    },
    # The class with a head insists.
    "reformer": {"is_decoder": True},
    "hunyuan_v1_moe": {"head_dim": 128, "num_experts": 64, "moe_topk": 8},
}

Saved = tuple[dict[str, Any], list[tuple[str, str, tuple[int, ...]]]]
"""(config.json, [(tensor name, safetensors dtype, shape)])"""


def model_types(kind: str) -> dict[str, str]:
    """Model type -> name of its class."""
    from transformers.models.auto import modeling_auto

    return dict(getattr(modeling_auto, MAPPINGS[kind]))


def saved(model_type: str, kind: str) -> Saved:
    """Build one model on the meta device and list what its `save_pretrained` writes."""
    import torch
    import transformers
    from transformers import CONFIG_MAPPING
    from transformers.core_model_loading import revert_weight_conversion
    from transformers.modeling_utils import remove_tied_weights_from_state_dict

    transformers.logging.set_verbosity_error()
    class_names = model_types(kind)[model_type]
    class_name = class_names if isinstance(class_names, str) else class_names[0]
    with warnings.catch_warnings(), _on_meta():
        warnings.simplefilter("ignore")
        config = CONFIG_MAPPING[model_type](**OVERRIDES.get(model_type, {}))
        model_class = getattr(transformers, class_name)
        if kind == "causal-lm" and not isinstance(config, model_class.config_class):
            config = config.get_text_config()  # as AutoModelForCausalLM does for the text part of a larger model
        with torch.device("meta"):
            model = model_class(config)
        model.tie_weights()  # which building without initial values leaves out
        state = model.state_dict()
        for name in model._keys_to_ignore_on_save or ():
            state.pop(name, None)
        state = revert_weight_conversion(model, remove_tied_weights_from_state_dict(state, model))
    model.config.architectures = [class_name]
    written = json.loads(model.config.to_json_string(use_diff=True))
    return written, [(name, _DTYPES[str(tensor.dtype)], tuple(tensor.shape)) for name, tensor in state.items()]


_DTYPES: Final = {
    "torch.float32": "F32",
    "torch.float16": "F16",
    "torch.bfloat16": "BF16",
    "torch.int64": "I64",
    "torch.int32": "I32",
    "torch.uint8": "U8",
    "torch.bool": "BOOL",
    "torch.complex64": "C64",
}


@contextmanager
def _on_meta() -> Iterator[None]:
    """Without initial values: some `_init_weights` read numbers, which the meta device has not."""
    from transformers.initialization import no_init_weights

    with no_init_weights():
        yield
