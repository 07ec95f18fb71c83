"""Programs of few model types, whose modules are imported by those who play them."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any


def later(module: str, name: str) -> Callable[..., Any]:
    """A function of a module in this package, by its name."""

    def program(*arguments: Any, **options: Any) -> Any:
        return getattr(import_module(f"hubvram.memory.forward.{module}"), name)(*arguments, **options)

    program.__qualname__ = f"{module}.{name}"
    return program
