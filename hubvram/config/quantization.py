"""What a repo says of its packed weights: in config.json, or in a file of the tool that packed them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from hubvram.config.document import ConfigDocument
from hubvram.config.quantization_fields import Fields
from hubvram.config.quantization_files import HF_QUANT_CONFIG, MLX_SECTION, QUANTO_MAP, SECTIONS
from hubvram.dtypes import TORCH_NAMES
from hubvram.errors import ConfigError

T = TypeVar("T")

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
    """One of those that engines know."""
    compute_dtype: str | None = None
    """What 4-bit matrices of bitsandbytes are computed in, whatever the rest of the model is; None for other tools."""
    misread: tuple[str, ...] = ()
    """Values that make no sense, with the names of their keys: they were left out."""

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
        data = document.section(MLX_SECTION) or {}
        inner = ConfigDocument(model_id=document.model_id, data=data, path=f"{document.path}{MLX_SECTION}.")
        return _settings(inner, "mlx")
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
        fields = Fields(document=document, misread=[])
        groups = _distinct(_groups_of_quanto(fields), document, "weights")
        return QuantizationSettings(method="quanto", file=file, groups=groups, misread=tuple(fields.misread))
    if file == HF_QUANT_CONFIG:
        section = document.section("quantization")
        if section is None:
            return None
        document = ConfigDocument(model_id=model_id, data=section, file=file, path="quantization.")
        return _settings(document, "modelopt")
    return _settings(document, "awq" if "w_bit" in data or "q_group_size" in data else "gptq")


def _settings(document: ConfigDocument, unnamed: str) -> QuantizationSettings:
    """`unnamed`: the method where `quant_method` is missing."""
    fields = Fields(document=document, misread=[])
    groups = list(_distinct(_own_groups(fields), document, "bits"))
    for key, inner in _NESTED.items():
        groups += _distinct(_nested_groups(fields, key, inner), document, key)
    return QuantizationSettings(
        method=fields.text("quant_method") or unnamed,
        file=document.file,
        format=fields.text("format", "checkpoint_format", "quant_algo"),
        groups=tuple(dict.fromkeys(groups)),
        kept_modules=tuple(dict.fromkeys(name for key in _KEPT for name in fields.strings(key))),
        kv_cache_dtype=_kv_cache_dtype(fields),
        compute_dtype=_compute_dtype(fields),
        misread=tuple(fields.misread),
    )


def _compute_dtype(fields: Fields) -> str | None:
    """fp32 where nothing is said (transformers, BitsAndBytesConfig.__init__)."""
    if fields.document.data.get("load_in_4bit") is not True:
        return None
    return TORCH_NAMES.get(fields.text("bnb_4bit_compute_dtype") or "float32")


_MOST_GROUPS: Final = 64
"""Different ones: no tool writes more than a few, and every packed tensor is held against all of them."""


def _distinct(groups: Iterable[Group], document: ConfigDocument, key: str) -> tuple[Group, ...]:
    found: dict[Group, None] = {}
    for group in groups:
        found[group] = None
        if len(found) > _MOST_GROUPS:
            raise document.error(key, f"more than {_MOST_GROUPS} different bits and sizes of groups")
    return tuple(found)


def _own_groups(fields: Fields) -> Iterator[Group]:
    """At the top, by a switch, or in the class of a configuration."""
    yield from _group(fields)
    for key, bits in _SWITCHES.items():
        if fields.flag(key):
            yield Group(bits=bits)
    yield from _of_torchao(fields.document)


def _nested_groups(fields: Fields, key: str, inner: str) -> Iterator[Group]:
    """For groups of modules, or for each of them."""
    section = fields.inside(key)
    for name in section.document.data:
        if section.document.is_a(dict, name) and name not in _OF_SCALES:
            each = section.inside(name)
            yield from _group(each.inside(inner) if inner in each.document.data else each)


_SWITCHES: Final = {"load_in_4bit": 4, "load_in_8bit": 8}
"""Of bitsandbytes, which writes the fields of both and switches one on."""
_NESTED: Final = {
    "config_groups": "weights",
    "quant_config": "weight_quant_params",
    "quantized_layers": "",
}
"""Objects of objects (compressed-tensors, HQQ, ModelOpt) -> where in each of those it is."""
_OF_SCALES: Final = ("scale_quant_params", "zero_quant_params")
_BITS: Final = ("bits", "w_bit", "nbits", "num_bits")
_GROUP_SIZES: Final = ("group_size", "q_group_size")


def _group(fields: Fields) -> Iterator[Group]:
    bits, group_size = fields.number(*_BITS), fields.integer(*_GROUP_SIZES)
    if bits is not None and not 0 < bits <= _MOST_BITS:
        fields.wrong(_named(fields, _BITS), "a number of bits that a weight may have is expected")
        bits = None
    if group_size is not None and group_size > _LARGEST_GROUP:
        fields.wrong(_named(fields, _GROUP_SIZES), "no matrix has as many inputs")
        group_size = None
    if bits is not None or group_size is not None:
        yield Group(bits=bits, group_size=group_size if group_size and group_size > 0 else None)


def _named(fields: Fields, keys: tuple[str, ...]) -> str:
    return next(key for key in keys if fields.document.data.get(key) is not None)


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


def _groups_of_quanto(fields: Fields) -> Iterator[Group]:
    """Module -> `{"weights": "qint4"}`."""
    for name in fields.document.data:
        digits = _DIGITS.search(fields.inside(name).text("weights") or "")
        if digits:
            yield Group(bits=int(digits[0]))


_CACHES: Final = {
    # AutoFP8 names how the scales are found, and its caches are always FP8.
    **dict.fromkeys(("static", "dynamic"), "fp8"),
    **{word: word for word in ("fp8", "fp8_e4m3", "fp8_e5m2", "int8", "int4", "fp4", "nvfp4", "mxfp4", "mxfp8")},
}
"""Words for the types of a KV cache -> those of engines. Others ("auto", "none") say nothing."""


def _kv_cache_dtype(fields: Fields) -> str | None:
    """`kv_cache_quant_algo` of ModelOpt; `kv_cache_scheme`, an object, or a word."""
    if fields.document.is_a(dict, "kv_cache_scheme"):
        scheme = fields.inside("kv_cache_scheme")
        bits = scheme.integer("num_bits")
        word = f"{'int' if scheme.text('type') == 'int' else 'fp'}{bits}" if bits in (4, 8) else None
    else:
        word = fields.text("kv_cache_quant_algo", "kv_cache_scheme")
    return _CACHES.get(word.lower()) if word is not None else None
