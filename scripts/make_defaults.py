"""Make hubvram/config/defaults.json from the installed transformers (extra `hubvram[transformers]`).

    python -m scripts.make_defaults

For each model type that hubvram has a family for: the defaults of its config class's own fields, and the
names it gives to common fields. Values that the class computes from others are rules, not defaults: they
live with the families.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any, Final

TABLE: Final = Path(__file__).parents[1] / "hubvram" / "config" / "defaults.json"

MODEL_TYPES: Final = (
    *("cohere", "gemma", "gemma2", "gemma3_text", "glm4_moe", "gpt2", "gpt_neox", "granite", "granitemoe", "llama"),
    *("mistral", "mixtral", "olmo2", "phi", "phi3", "phimoe", "qwen2", "qwen2_moe", "qwen3", "qwen3_moe"),
    *("stablelm", "starcoder2"),
)

# Fields that say nothing about a model's size: tokens, training, what generation does.
_IRRELEVANT: Final = ("token_id", "dropout", "pdrop", "initializer", "aux_loss", "summary_", "jitter")


def collect() -> dict[str, Any]:
    """The table, from the transformers that is installed."""
    import transformers
    from transformers import CONFIG_MAPPING

    return {
        "transformers": transformers.__version__,
        "model_types": {model_type: _describe(CONFIG_MAPPING[model_type]) for model_type in MODEL_TYPES},
    }


def _describe(config_class: Any) -> dict[str, Any]:
    inherited = {field.name for field in dataclasses.fields(config_class.__mro__[1])}
    defaults = {}
    for field in dataclasses.fields(config_class):
        own = field.name in config_class.__annotations__ or field.name not in inherited
        if own and _is_plain(field.default) and not any(word in field.name for word in _IRRELEVANT):
            defaults[field.name] = field.default
    return {"defaults": defaults, "attribute_map": dict(config_class.attribute_map)}


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, bool | int | float | str)


if __name__ == "__main__":
    TABLE.write_text(json.dumps(collect(), indent=1, sort_keys=True) + "\n", encoding="utf-8")
