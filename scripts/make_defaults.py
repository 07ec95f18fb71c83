"""Make hubvram/config/defaults.jsonl from the installed transformers (extra `hubvram[transformers]`).

    python -m scripts.make_defaults

One line for each model type that transformers knows: the defaults of its config class's own fields, the names
that it gives to common fields, and the type of each config inside it. A config class that has no model type of
its own (most vision towers) stands under `<outer type>.<field>`. Values that a class computes from others are
rules, not defaults: they live with the families.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any, Final

TABLE: Final = Path(__file__).parents[1] / "hubvram" / "config" / "defaults.jsonl"

# Fields that say nothing about a model's size: tokens, training, what generation does.
_IRRELEVANT: Final = ("token_id", "dropout", "pdrop", "initializer", "aux_loss", "summary_", "jitter", "_droprate")


def collect() -> dict[str, Any]:
    """The table, from the transformers that is installed."""
    from transformers import CONFIG_MAPPING

    table: dict[str, Any] = {}
    for model_type in CONFIG_MAPPING:
        _add(table, model_type, CONFIG_MAPPING[model_type])
    return table


def _add(table: dict[str, Any], name: str, config_class: Any) -> None:
    from transformers import CONFIG_MAPPING, AutoConfig

    inside: dict[str, Any] = {}
    table[name] = {
        "defaults": _defaults(config_class),
        "attribute_map": dict(config_class.attribute_map),
        "inside": inside,
    }
    for field, inner in (config_class.sub_configs or {}).items():
        model_type = getattr(inner, "model_type", "")
        if inner is AutoConfig:
            inside[field] = {"type": _usual_type(config_class, field), "fixed": False}
        elif model_type in CONFIG_MAPPING and CONFIG_MAPPING[model_type] is inner:
            inside[field] = {"type": model_type, "fixed": True}
        else:
            inside[field] = {"type": f"{name}.{field}", "fixed": True}
            _add(table, f"{name}.{field}", inner)


def _usual_type(config_class: Any, field: str) -> str | None:
    """The type that a config inside has when nothing is said; None where the class insists on being told."""
    try:
        inner = getattr(config_class(), field, None)
    except Exception:  # whatever a config class of somebody else's raises
        return None
    return getattr(inner, "model_type", None)


def _defaults(config_class: Any) -> dict[str, Any]:
    from transformers import PreTrainedConfig

    common = {field.name for field in dataclasses.fields(PreTrainedConfig)}
    below = config_class.__mro__[: config_class.__mro__.index(PreTrainedConfig)]
    said = {name for parent in below for name in vars(parent).get("__annotations__", {})}
    defaults = {}
    for field in dataclasses.fields(config_class):
        own = field.name in said or field.name not in common
        factory = field.default_factory
        value = field.default if factory is dataclasses.MISSING else factory()
        if own and is_plain(value) and not any(word in field.name for word in _IRRELEVANT):
            defaults[field.name] = value
    return defaults


def is_plain(value: Any) -> bool:
    """Whether a default is plain data: what JSON can hold, without nested configs."""
    if isinstance(value, list | tuple):
        return all(is_plain(item) for item in value)
    return value is None or isinstance(value, bool | int | float | str)


def lines() -> list[str]:
    """The file's lines: first the version of transformers, then one per model type."""
    import transformers

    rows = [("transformers", transformers.__version__), *sorted(collect().items())]
    return [f"{name}\t{json.dumps(entry, sort_keys=True, separators=(',', ':'))}" for name, entry in rows]


if __name__ == "__main__":
    TABLE.write_text("\n".join(lines()) + "\n", encoding="utf-8")
