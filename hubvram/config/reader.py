"""config.json -> what it says about the whole repo, and the document of its text model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from hubvram.config.defaults import attribute_map_of, defaults_of
from hubvram.config.document import ConfigDocument
from hubvram.dtypes import TORCH_NAMES
from hubvram.errors import ConfigError
from hubvram.sources.interface import CONFIG_FILE

_TEXT_SECTION: Final = "text_config"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig:
    """A repo's config: `text` is the document that describes the language model, nested or not."""

    model_type: str | None
    architectures: tuple[str, ...]
    dtype: str | None
    quantization_method: str | None
    text: ConfigDocument
    text_model_type: str | None

    @property
    def is_nested(self) -> bool:
        """Whether the text model is a part of a larger one (vision, audio)."""
        return bool(self.text.path)


def parse_config(content: bytes, model_id: str) -> ModelConfig:
    """Read config.json. Raises ConfigError, naming the key."""
    try:
        data = json.loads(content.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise ConfigError(model_id, CONFIG_FILE, f"it is not UTF-8 (byte {error.start:,})") from None
    except RecursionError:
        raise ConfigError(model_id, CONFIG_FILE, "it is nested too deeply") from None
    except json.JSONDecodeError as error:
        raise ConfigError(model_id, CONFIG_FILE, f"it is not JSON: {error}") from None
    except ValueError:  # Python's own limit on the digits of an integer
        raise ConfigError(model_id, CONFIG_FILE, "it holds a number of thousands of digits") from None
    if not isinstance(data, dict):
        raise ConfigError(model_id, CONFIG_FILE, "it is not a JSON object")
    whole = ConfigDocument(model_id=model_id, data=data)
    text = whole.section(_TEXT_SECTION)
    nested = text is not None and "hidden_size" not in data
    document = _document(model_id, text or {}, f"{_TEXT_SECTION}.") if nested else _document(model_id, data, "")
    return ModelConfig(
        model_type=whole.get(str, "model_type"),
        architectures=whole.strings("architectures"),
        dtype=_dtype(whole) or _dtype(document),
        quantization_method=_quantization_method(whole) or _quantization_method(document),
        text=document,
        text_model_type=document.get(str, "model_type"),
    )


def _document(model_id: str, data: Mapping[str, Any], path: str) -> ConfigDocument:
    model_type = data.get("model_type")
    known = model_type if isinstance(model_type, str) else ""
    return ConfigDocument(
        model_id=model_id,
        data=data,
        path=path,
        defaults=defaults_of(known),
        attribute_map=attribute_map_of(known),
    )


def _dtype(document: ConfigDocument) -> str | None:
    # transformers 5 writes `dtype`, everything older `torch_dtype`.
    name = document.get(str, "dtype") or document.get(str, "torch_dtype")
    return TORCH_NAMES.get(name.removeprefix("torch.")) if name else None


def _quantization_method(document: ConfigDocument) -> str | None:
    section = document.section("quantization_config")
    if section is None:
        return None
    method = section.get("quant_method")
    return method if isinstance(method, str) else "a method that quantization_config does not name"
