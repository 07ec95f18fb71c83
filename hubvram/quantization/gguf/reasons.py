"""Why there is no figure: said in one sentence, never guessed around."""

from __future__ import annotations

from dataclasses import dataclass

from hubvram.errors import HubvramError


@dataclass(frozen=True, slots=True, kw_only=True)
class NotPossible:
    """No GGUF file, or none that is known; `reason` is a clause without a full stop."""

    reason: str


class NotPossibleError(HubvramError):
    """The same on its way out of the functions that find it; `weights.py` turns it into a value."""
