"""Text of others, made safe to show: nothing from a repo reaches a terminal raw."""

from __future__ import annotations


def printable(text: str) -> str:
    """Control characters made visible, lines kept: a file or tensor may be named anything."""
    if text.replace("\n", "").isprintable():
        return text
    return "".join(
        character if character.isprintable() or character == "\n" else f"\\x{ord(character):02x}" for character in text
    )


def one_line(text: str) -> str:
    """The same on one line: a cell of a row."""
    return printable(" ".join(text.split()))


def shortened(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 3] + "..."
