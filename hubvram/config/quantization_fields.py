"""Settings of packed weights, read mildly: the tensors decide, so that a wrong value is left out and named."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from hubvram.config.document import ConfigDocument
from hubvram.errors import ConfigError

_LONGEST: Final = 60
_LONGEST_NOTE: Final = 160
_NAMED: Final = 8
"""As many wrong values are kept: nobody reads more."""


def shortened(text: str, longest: int = _LONGEST) -> str:
    """What is printed of it: no name of a method or a format is longer."""
    return text if len(text) <= longest else text[: longest - 3] + "..."


@dataclass(frozen=True, slots=True, kw_only=True)
class Fields:
    """One level of the settings."""

    document: ConfigDocument
    misread: list[str]
    """What makes no sense, by the name of its key; one list for all levels."""

    def text(self, *keys: str) -> str | None:
        """The first that is there."""
        for key in self._present(*keys):
            try:
                value = self.document.get(str, key)
            except ConfigError as error:
                self._note(error)
            else:
                return shortened(value) if value is not None else None
        return None

    def number(self, *keys: str) -> float | None:
        """The first that is there; some tools write "4" or 4.0."""
        for key in self._present(*keys):
            value = self.document.data[key]
            if isinstance(value, str):
                with suppress(ValueError):
                    value = float(value)
            if isinstance(value, int | float) and not isinstance(value, bool):
                return int(value) if isinstance(value, float) and value.is_integer() else value
            self.wrong(key, "a number is expected")
        return None

    def integer(self, *keys: str) -> int | None:
        """As `number`."""
        value = self.number(*keys)
        if value is None or isinstance(value, int):
            return value
        self.wrong(next(self._present(*keys)), "an integer is expected")
        return None

    def flag(self, key: str) -> bool:
        """A switch; absent means off."""
        try:
            return self.document.flag(key)
        except ConfigError as error:
            self._note(error)
            return False

    def strings(self, key: str) -> tuple[str, ...]:
        """A list of them, or the only one."""
        if self.document.is_a(str, key):
            return (self.document.data[key],)
        try:
            return self.document.strings(key)
        except ConfigError as error:
            self._note(error)
            return ()

    def inside(self, key: str) -> Fields:
        """The object under a key, an empty one where there is none."""
        try:
            data: Mapping[str, Any] = self.document.section(key) or {}
        except ConfigError as error:
            self._note(error)
            data = {}
        outer = self.document
        inner = ConfigDocument(model_id=outer.model_id, data=data, file=outer.file, path=f"{outer.path}{key}.")
        return Fields(document=inner, misread=self.misread)

    def wrong(self, key: str, reason: str) -> None:
        """Name a value that makes no sense."""
        shown = shortened(repr(self.document.data.get(key)))
        self._note(self.document.error(shortened(key), f"{reason}, found {shown}"))

    def _present(self, *keys: str) -> Iterator[str]:
        return (key for key in keys if self.document.data.get(key) is not None)

    def _note(self, error: ConfigError) -> None:
        if len(self.misread) < _NAMED:
            self.misread.append(shortened(error.reason, _LONGEST_NOTE))
