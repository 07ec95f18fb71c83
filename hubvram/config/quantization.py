"""What a repo says of its packed weights: in config.json, or in a file of the tool that packed them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

from hubvram.config.document import ConfigDocument
from hubvram.config.quantization_files import HF_QUANT_CONFIG, MLX_SECTION, QUANTO_MAP, SECTIONS
from hubvram.errors import ConfigError

T = TypeVar("T")
K = TypeVar("K", int, str, float)

UNNAMED: Final = "a method that quantization_config does not name"

_KEPT: Final = (
    *("modules_to_not_convert", "ignore", "exclude_modules", "llm_int8_skip_modules", "skip_modules"),
    *("ignored_layers", "linear_weights_not_to_quantize"),
)
"""What tools call the list of modules that they leave alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """What holds for some of the modules; the shapes of tensors say for which."""

    bits: float | None = None
    """Of a weight; exl2 and exl3 state a mean."""
    group_size: int | None = None
    """Inputs that share a scale; None for whole rows or tensors, or where the format fixes it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantizationSettings:
    """What is declared. What is stored decides, where that is something else."""

    method: str
    file: str
    """That says so."""
    format: str | None = None
    groups: tuple[Group, ...] = ()
    """Without repetitions; empty where the settings name neither bits nor groups."""
    kept_modules: tuple[str, ...] = ()
    """What the tool was told to leave alone, in its own words: parts of names, patterns, wildcards."""
    kv_cache_dtype: str | None = None

    @property
    def bits(self) -> float | None:
        """The bits of a weight, where they are the same everywhere."""
        return _the_only(group.bits for group in self.groups)

    @property
    def group_size(self) -> int | None:
        return _the_only(group.group_size for group in self.groups)


def _the_only(values: Iterable[T]) -> T | None:
    found = set(values)
    return found.pop() if len(found) == 1 else None


def settings_in(document: ConfigDocument) -> QuantizationSettings | None:
    """What one level of config.json says; None where it says nothing. Raises ConfigError."""
    for key in SECTIONS:
        section = document.section(key)
        if section is not None:
            inner = ConfigDocument(model_id=document.model_id, data=section, path=f"{document.path}{key}.")
            return _settings(inner, UNNAMED)
    if document.is_a(dict, MLX_SECTION):
        return _settings(_inside(document, MLX_SECTION), "mlx")
    return None


def settings_of_file(content: bytes, model_id: str, file: str) -> QuantizationSettings | None:
    """What one of `SIDE_FILES` says. Raises ConfigError."""
    try:
        data = json.loads(content)
    except (ValueError, RecursionError):
        raise ConfigError(model_id, file, "it is not JSON") from None
    if not isinstance(data, dict):
        raise ConfigError(model_id, file, "it is not a JSON object")
    document = ConfigDocument(model_id=model_id, data=data, file=file)
    if file == QUANTO_MAP:
        return QuantizationSettings(method="quanto", file=file, groups=_groups_of_quanto(document))
    if file == HF_QUANT_CONFIG:
        section = document.section("quantization")
        if section is None:
            return None
        document = ConfigDocument(model_id=model_id, data=section, file=file, path="quantization.")
        return _settings(document, "modelopt")
    return _settings(document, "awq" if "w_bit" in data or "q_group_size" in data else "gptq")


def _settings(document: ConfigDocument, unnamed: str) -> QuantizationSettings:
    """`unnamed`: the method where `quant_method` is missing."""
    return QuantizationSettings(
        method=document.get(str, "quant_method") or unnamed,
        file=document.file,
        format=_first(document, str, "format", "checkpoint_format", "quant_algo"),
        groups=tuple(dict.fromkeys(_groups(document))),
        kept_modules=tuple(dict.fromkeys(name for key in _KEPT for name in document.strings(key))),
        kv_cache_dtype=_kv_cache_dtype(document),
    )


def _inside(document: ConfigDocument, key: str) -> ConfigDocument:
    """The object under a key, an empty one where there is none."""
    data = document.section(key) or {}
    return replace(document, data=data, path=f"{document.path}{key}.")


def _first(document: ConfigDocument, kind: type[K], *keys: str) -> K | None:
    return next((value for key in keys if (value := document.get(kind, key)) is not None), None)


def _groups(document: ConfigDocument) -> Iterator[Group]:
    """Where tools state bits and groups: at the top, by a switch, for groups of modules or for each of them."""
    yield from _group(document)
    for key, bits in _SWITCHES.items():
        if document.flag(key):
            yield Group(bits=bits)
    for key, inner in _NESTED.items():
        section = _inside(document, key)
        for name in section.data:
            if section.is_a(dict, name) and name not in _OF_SCALES:
                each = _inside(section, name)
                yield from _group(_inside(each, inner) if inner in each.data else each)
    yield from _of_torchao(document)


_SWITCHES: Final = {"load_in_4bit": 4, "load_in_8bit": 8}
"""Of bitsandbytes, which writes the fields of both and switches one on."""
_NESTED: Final = {
    "config_groups": "weights",
    "quant_config": "weight_quant_params",
    "quantized_layers": "",
}
"""Objects of objects (compressed-tensors, HQQ, ModelOpt) -> where in each of those it is."""
_OF_SCALES: Final = ("scale_quant_params", "zero_quant_params")


def _group(document: ConfigDocument) -> Iterator[Group]:
    bits = _first(document, float, "bits", "w_bit", "nbits", "num_bits")
    group_size = _first(document, int, "group_size", "q_group_size")
    if bits is not None and not 0 < bits <= _MOST_BITS:
        raise document.error("bits", f"{bits} is no number of bits that a weight may have")
    if group_size is not None and group_size > _LARGEST_GROUP:
        raise document.error("group_size", f"{group_size:,} is more than any matrix has inputs")
    if bits is not None or group_size is not None:
        yield Group(bits=bits, group_size=group_size if group_size and group_size > 0 else None)


_MOST_BITS: Final = 64
_LARGEST_GROUP: Final = 2**48


def _of_torchao(document: ConfigDocument) -> Iterator[Group]:
    """The class of a configuration, as torchao writes it: its fields under `_data`, those of fields likewise."""
    settings: Any = document.data.get("quant_type")
    for key in ("default", "_data", "weight_dtype", "_data"):
        settings = settings.get(key) if isinstance(settings, dict) else None
    if isinstance(settings, str) and (found := _DIGITS.search(settings)):
        yield Group(bits=int(found[0]))


_DIGITS: Final = re.compile("[1-9][0-9]?")


def _groups_of_quanto(document: ConfigDocument) -> tuple[Group, ...]:
    """Module -> `{"weights": "qint4"}`."""
    found: dict[Group, None] = {}
    for name in document.data:
        digits = _DIGITS.search(_inside(document, name).get(str, "weights") or "")
        if digits:
            found[Group(bits=int(digits[0]))] = None
    return tuple(found)


def _kv_cache_dtype(document: ConfigDocument) -> str | None:
    """`kv_cache_quant_algo` of ModelOpt; `kv_cache_scheme`, an object, or a word."""
    if document.is_a(dict, "kv_cache_scheme"):
        scheme = _inside(document, "kv_cache_scheme")
        bits = scheme.get(int, "num_bits")
        return None if bits is None else f"{'int' if scheme.get(str, 'type') == 'int' else 'fp'}{bits}"
    word = _first(document, str, "kv_cache_quant_algo", "kv_cache_scheme")
    # AutoFP8 names how the scales are found, and its caches are always FP8.
    return None if word is None else {"static": "fp8", "dynamic": "fp8"}.get(word.lower(), word.lower())
