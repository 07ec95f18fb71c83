"""Reading a config: what several families need beyond what a document does itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from hubvram.config.document import ConfigDocument

LAYERS_LIMIT: Final = 2_048
"""Twice as many as the deepest that was published has (DeepNet, 2203.00555): as many unlike layers take a second."""


def number_of_layers(config: ConfigDocument) -> int:
    """`num_hidden_layers`."""
    return config.size("num_hidden_layers", largest=LAYERS_LIMIT)


def head_dim_of(config: ConfigDocument) -> int:
    """The width of a head."""
    return config.size_or_none("head_dim") or config.size("hidden_size") // config.size("num_attention_heads")


def count_of(config: ConfigDocument, key: str | None) -> int:
    """A number of things that may be 0 or null."""
    if key is None:
        return 0
    value = config.get(int, key)
    return config.size(key) if value else 0


def first_size(config: ConfigDocument, *keys: str) -> int:
    """A dimension under the first of these keys that is not null."""
    return next((size for key in keys[:-1] if (size := config.size_or_none(key))), None) or config.size(keys[-1])


_LARGEST_RATIO: Final = 2**20


def ratio(config: ConfigDocument, key: str) -> float:
    """How many times wider something is, where the field says that."""
    value = config.require(float, key)
    if not 0 < value <= _LARGEST_RATIO:
        raise config.error(key, f"{value} is not between 0 and {_LARGEST_RATIO:,}")
    return value


def check_length(config: ConfigDocument, key: str, values: Sequence[object], layers: int) -> None:
    """Raises ConfigError for a list that does not have a value for each layer."""
    if len(values) != layers:
        raise config.error(key, f"it has {len(values)} values, num_hidden_layers is {layers}")


def labels_of(config: ConfigDocument) -> int:
    """How many labels a classifier has; two, as in transformers, where nothing is said."""
    return len(config.section("id2label") or {}) or config.size_or_none("num_labels") or 2


def changed(config: ConfigDocument, **values: Any) -> ConfigDocument:
    """The config with other values for a few fields, under the names that its model type has for them."""
    own = {config.attribute_map.get(key, key): value for key, value in values.items()}
    return replace(config, data={**config.data, **own})


def section_of(config: ConfigDocument, key: str) -> ConfigDocument:
    """A nested object, empty where absent."""
    return ConfigDocument(model_id=config.model_id, data=config.section(key) or {}, path=f"{config.path}{key}.")


def layer_config(config: ConfigDocument, index: int) -> ConfigDocument:
    """The config as `per_layer_config` changes it for one layer (keys are zero-padded, values are fields)."""
    layers = section_of(config, "per_layer_config")
    key = next((key for digits in range(1, 6) if (key := str(index).zfill(digits)) in layers.data), None)
    return config if key is None else changed(config, **(layers.section(key) or {}))


def sparse_blocks(config: ConfigDocument) -> dict[str, Any]:
    """Of attention where each block sees a few others, some of them random (big_bird)."""
    return {"block_size": config.size("block_size"), "random_blocks": config.size("num_random_blocks")}


def check_chosen(config: ConfigDocument, key: str, chosen: int, number: int) -> None:
    """Raises ConfigError where a token would take more experts than there are."""
    if chosen > number:
        raise config.error(key, f"{chosen} of {number} experts cannot be chosen")
