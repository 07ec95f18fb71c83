"""How a report says that what is alive is the tokens' choice."""

from __future__ import annotations

from hubvram.units import size


def chosen(spread_bytes: int) -> str:
    """Behind what is said of a moment; nothing where tokens choose nothing."""
    less = f"{size(spread_bytes)} less if they choose all of them evenly"
    return f", if all tokens choose the same experts; {less}" if spread_bytes else ""
