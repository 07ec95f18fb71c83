"""A result, written out: for a terminal, for a script."""

from typing import Final

SCHEMA_VERSION: Final = 1
"""Of the JSON contract: fields may be added, none is renamed."""
