"""Adapters: small MLPs behind the usual one."""

from __future__ import annotations

from dataclasses import dataclass

from hubvram.architecture.parts import Block


@dataclass(frozen=True, slots=True, kw_only=True)
class LanguageAdapters(Block):
    """A small MLP behind the usual one for each language (2205.06266)."""

    reuses_norm: bool
    """Whether what they read is normed by the norm of the usual MLP, where they have none of their own."""
    knows_language: bool
    """Whether sequences have a language where nothing else is said: the class does not run without."""
