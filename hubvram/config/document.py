"""config.json with typed reads: after this edge nobody guesses at untyped JSON, and every error names its key."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, TypeVar

from hubvram.errors import ConfigError

T = TypeVar("T", int, str, float, bool, list[Any])

_NAMES: Final[Mapping[type, str]] = {
    int: "an integer",
    str: "a string",
    float: "a number",
    bool: "true or false",
    list: "a list",
    dict: "an object",
}
_LARGEST: Final = 2**48
"""No dimension of a model comes near; products of a few of them stay small enough to print."""
_LONGEST: Final = 10_000
"""As many entries as a model may have layers: no list that describes one is longer."""
_LONGEST_WORDS: Final = 4_096
"""Patterns of layers are the longest texts that are read, a letter for each layer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigDocument:
    """One level of a config: its own values, then the defaults of its model type.

    `attribute_map` maps the usual name of a field to the name this model type gives it (hidden_size -> n_embd).
    An explicit null is an answer, not a gap: it does not fall through to the default.
    """

    model_id: str
    data: Mapping[str, Any]
    file: str = "config.json"
    path: str = ""
    model_type: str | None = None
    """The type whose defaults stand behind `data`: what it names itself, or what its place in a larger config says."""
    defaults: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    attribute_map: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    _checked: dict[tuple[str, type], tuple[Any, ...]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )
    """Lists whose items were looked at: families ask for some of them once for each layer."""

    def get(self, kind: type[T], key: str) -> T | None:
        """The value of `key`, None where neither the file nor the defaults have one. Raises ConfigError."""
        value = self._raw(key)
        if value is None:
            return None
        accepted = (int, float) if kind is float else (kind,)
        if not isinstance(value, accepted) or (isinstance(value, bool) and kind is not bool):
            raise self._error(key, f"expected {_NAMES[kind]}, found {_shown(value)}")
        if isinstance(value, list) and len(value) > _LONGEST:
            raise self._error(key, f"a list of {len(value):,}, longer than any that describes a model")
        if isinstance(value, str) and len(value) > _LONGEST_WORDS:
            raise self._error(key, f"a text of {len(value):,} characters, longer than any name")
        return value  # type: ignore[return-value]  # an int is a number too

    def require(self, kind: type[T], key: str) -> T:
        """As `get`, but an absent value is a ConfigError."""
        value = self.get(kind, key)
        if value is None:
            raise self._error(key, "it is missing, and its model type has no default for it")
        return value

    def size(self, key: str, *, largest: int = _LARGEST) -> int:
        """A dimension: a positive integer of a credible size."""
        value = self.require(int, key)
        if not 0 < value <= largest:
            raise self._error(key, f"{value} is not between 1 and {largest:,}")
        return value

    def size_or_none(self, key: str) -> int | None:
        """As `size`, for a dimension that may be left out."""
        return None if self._raw(key) is None else self.size(key)

    def flag(self, key: str) -> bool:
        """A switch; absent means off."""
        return bool(self.get(bool, key))

    def is_a(self, kind: type, key: str) -> bool:
        """Whether a value is of this kind, for the few fields that take several (a number, or one for each layer)."""
        return isinstance(self._raw(key), kind)

    def strings(self, key: str) -> tuple[str, ...]:
        """A list of strings, empty where absent."""
        return self._items(key, str)

    def integers(self, key: str) -> tuple[int, ...]:
        """A list of integers, empty where absent."""
        return self._items(key, int)

    def one_or_more(self, key: str) -> tuple[int, ...]:
        """An integer, or a list of them (the sides of a patch); empty where absent."""
        value = self._raw(key)
        if value is None:
            return ()
        return self.integers(key) if isinstance(value, list) else (self.require(int, key),)

    def section(self, key: str) -> Mapping[str, Any] | None:
        """A nested object, as it stands in the file."""
        value = self._raw(key)
        if value is None:
            return None
        if not isinstance(value, dict):
            raise self._error(key, f"expected an object, found {_shown(value)}")
        return value

    def defaulted(self, keys: Iterable[str]) -> tuple[str, ...]:
        """Those of `keys` that the file leaves out and the defaults know."""
        return tuple(
            key
            for key in keys
            if not {key, self.attribute_map.get(key, key)} & self.data.keys() and self._raw(key) is not None
        )

    def error(self, key: str, reason: str) -> ConfigError:
        """A ConfigError about one of this document's keys, for rules that span several of them."""
        return self._error(key, reason)

    def _items(self, key: str, kind: type) -> tuple[Any, ...]:
        if (key, kind) not in self._checked:
            values: list[Any] = self.get(list, key) or []
            for position, value in enumerate(values):
                if not isinstance(value, kind) or isinstance(value, bool):
                    raise self._error(f"{key}[{position}]", f"expected {_NAMES[kind]}, found {_shown(value)}")
            self._checked[key, kind] = tuple(values)
        return self._checked[key, kind]

    def _raw(self, key: str) -> Any:
        own = self.attribute_map.get(key, key)
        for values in (self.data, self.defaults):
            for name in (own, key):
                if name in values:
                    return values[name]
        return None

    def _error(self, key: str, reason: str) -> ConfigError:
        return ConfigError(self.model_id, self.file, f"{self.path}{self._spelling(key)}: {reason}")

    def _spelling(self, key: str) -> str:
        own = self.attribute_map.get(key, key)
        return own if own in self.data or key not in self.data else key


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."
