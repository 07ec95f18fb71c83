"""config.json -> what it says about the whole repo, and the document of its text model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from hubvram.config.aliases import aliases_in
from hubvram.config.defaults import attribute_map_of, defaults_of, is_known, type_inside
from hubvram.config.document import ConfigDocument
from hubvram.config.quantization_files import MLX_SECTION, SECTIONS
from hubvram.dtypes import TORCH_NAMES
from hubvram.errors import ConfigError
from hubvram.sources.interface import CONFIG_FILE

if TYPE_CHECKING:
    from hubvram.config.quantization import QuantizationSettings

_TEXT_SECTIONS: Final = ("text_config", "llm_config", "language_config")
"""Where composite models keep the config of their language model; the first is transformers' own name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig:
    """A repo's config: `whole` is all of it, `text` the document that describes the language model, nested or not."""

    model_type: str | None
    architectures: tuple[str, ...]
    dtype: str | None
    quantization: QuantizationSettings | None
    whole: ConfigDocument
    text: ConfigDocument
    text_model_type: str | None
    notes: tuple[str, ...] = ()
    """What is wrong with a file beside it that no figure needs."""

    @property
    def quantization_method(self) -> str | None:
        """How the weights are packed, by what is declared."""
        return self.quantization.method if self.quantization else None

    @property
    def named_dtype(self) -> str | None:
        """What it calls the type of the weights, known or not."""
        return _named_dtype(self.whole) or _named_dtype(self.text)

    @property
    def attn_implementation(self) -> str | None:
        """Which attention it asks for, in transformers' words; None where it leaves that to the class."""
        return next((name for document in (self.whole, self.text) if (name := _attn_implementation(document))), None)

    @property
    def is_nested(self) -> bool:
        """Whether the text model is a part of a larger one (vision, audio)."""
        return bool(self.text.path)


def parse_config(
    content: bytes, model_id: str, quantization: QuantizationSettings | None = None, *notes: str
) -> ModelConfig:
    """Read config.json. `quantization`: what another file says of it, where config.json says nothing; `notes`: what
    is wrong with that file.

    Raises ConfigError, naming the key.
    """
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
    model_type = data.get("model_type")
    whole = _document(model_id, data, "", model_type if isinstance(model_type, str) else "")
    document = text_of(whole)
    return ModelConfig(
        model_type=whole.get(str, "model_type"),
        architectures=whole.strings("architectures"),
        dtype=_dtype(whole) or _dtype(document),
        quantization=_quantization(whole) or _quantization(document) or quantization,
        whole=whole,
        text=document,
        text_model_type=document.model_type,
        notes=notes,
    )


def inner_config(outer: ConfigDocument, field: str) -> ConfigDocument:
    """The config inside `field`, with the defaults of its own type; empty but for those where it is left out."""
    data = outer.section(field) or {}
    named = data.get("model_type")
    model_type = type_inside(outer.model_type or "", field, named if isinstance(named, str) else None)
    return _document(outer.model_id, data, f"{outer.path}{field}.", model_type or "")


def text_of(whole: ConfigDocument) -> ConfigDocument:
    """The part of a config that describes the text model, all of it where there is no such part."""
    inner = type_inside(whole.model_type or "", _TEXT_SECTIONS[0], None)
    section = next((name for name in _TEXT_SECTIONS if whole.section(name) is not None), None)
    # A class that knows no such section leaves it alone; paligemma has a width of its own beside it.
    if section is not None and (inner is not None or "hidden_size" not in whole.data):
        return inner_config(whole, section)
    # qwen2_vl and others of its time keep the text model's fields beside `vision_config`.
    return whole if inner is None else _document(whole.model_id, whole.data, "", inner)


def _document(model_id: str, data: Mapping[str, Any], path: str, model_type: str) -> ConfigDocument:
    return ConfigDocument(
        model_id=model_id,
        data=data,
        path=path,
        model_type=model_type or None,
        defaults=defaults_of(model_type),
        attribute_map=attribute_map_of(model_type) if is_known(model_type) else aliases_in(data),
    )


def _named_dtype(document: ConfigDocument) -> str | None:
    # transformers 5 writes `dtype`, everything older `torch_dtype`.
    return document.get(str, "dtype") or document.get(str, "torch_dtype")


def _attn_implementation(document: ConfigDocument) -> str | None:
    # Classes write neither; who edits a config may write either (configuration_utils.py, PreTrainedConfig.__init__).
    named = (document.data.get(key) for key in ("attn_implementation", "_attn_implementation"))
    return next((name for name in named if isinstance(name, str)), None)


def _dtype(document: ConfigDocument) -> str | None:
    name = _named_dtype(document)
    return TORCH_NAMES.get(name.removeprefix("torch.")) if name else None


def _quantization(document: ConfigDocument) -> QuantizationSettings | None:
    if document.data.keys().isdisjoint((*SECTIONS, MLX_SECTION)):
        return None
    from hubvram.config.quantization import settings_in  # by need: most models have none

    return settings_in(document)
