"""Models of several parts: a text model, a vision or audio tower, a projector between them.

The text model is read by the family of its own type; multimodal.py says where the towers' configs stand and how the
projector behind each is read. A tower of a type that nobody reads is left out: reconciliation then accounts for it
as stored.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum, auto
from functools import partial
from typing import Final

from hubvram.architecture.families import towers_any_size, towers_audio, towers_fixed
from hubvram.architecture.families.interface import Read
from hubvram.architecture.families.projectors import Ends, ReadProjector
from hubvram.architecture.families.towers import read_tower
from hubvram.architecture.layers import Architecture, Stack
from hubvram.config.document import ConfigDocument
from hubvram.config.reader import inner_config, text_of


class Tied(Enum):
    """Which `tie_word_embeddings` a model's class goes by."""

    OUTER = auto()
    """That of the whole config."""
    EITHER = auto()
    """The text model's too, where the whole says false."""
    INNER = auto()
    """The text model's alone, which has its head inside."""


ReadStacks = Callable[[ConfigDocument, ConfigDocument], tuple[Stack, ...]]
"""(the whole config, the text model's) -> stacks beside it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Composite:
    """What is beside the text model of one model type."""

    towers: tuple[tuple[str, ReadProjector | None], ...]
    """The config field of a tower, and how to read the projector behind it."""
    tied: Tied = Tied.OUTER
    has_head: bool = False
    """Whether there is a head whatever the class is called (InternVLChatModel)."""
    outer_head: bool = False
    """Whether the whole config says how large the head is."""
    optional: bool = False
    """Whether a tower is there only where the file has a config for it."""
    read_text: Read | None = None
    """How the text model is read, where it has no type of its own."""
    hears_along: str | None = None
    """The field that says how many positions its tower hears with each token of text, and keeps."""
    beside: ReadStacks | None = None
    """Further stacks: a projector without a tower before it."""


def read_composite(config: ConfigDocument, architectures: tuple[str, ...], composite: Composite) -> Architecture:
    """The text model's architecture, with the stacks beside it. Raises ConfigError."""
    text = text_of(config)
    read_text = composite.read_text or _family_of(text)
    architecture = read_text(text, () if composite.has_head else architectures)
    fields = (
        (field, read) for field, read in composite.towers if not composite.optional or config.section(field) is not None
    )
    stacks = [stack for field, read in fields for stack in _stacks(config, text, field, read)]
    if composite.hears_along is not None:
        heard = config.size(composite.hears_along)
        stacks = [replace(stack, cached_per_token=heard if stack.layers else 0) for stack in stacks]
    if composite.beside is not None:
        stacks += composite.beside(config, text)
    head, tied = architecture.head, _is_tied(config, architecture, composite)
    if composite.outer_head and head is not None and not tied:
        head = replace(head, out_features=config.size("vocab_size"), in_features=config.size("hidden_size"))
    return replace(
        architecture,
        head=head,
        tie_word_embeddings=tied,
        stacks=(*architecture.stacks, *stacks),
    )


def _family_of(text: ConfigDocument) -> Read:
    # The families of text models are in files beside this one, which their common table imports.
    from hubvram.architecture.families import FAMILIES

    read = FAMILIES.get(text.model_type or "")
    if read is None or (isinstance(read, partial) and read.func is read_composite):
        raise text.error("model_type", f"{text.model_type!r} is not one that hubvram understands yet")
    return read


_TOWERS: Final = {**towers_fixed.TOWERS, **towers_any_size.TOWERS, **towers_audio.TOWERS}


def _stacks(config: ConfigDocument, text: ConfigDocument, field: str, read: ReadProjector | None) -> tuple[Stack, ...]:
    document = inner_config(config, field)
    tower = read_tower(document, _TOWERS)
    if tower is None:
        return ()
    return (tower,) if read is None else (tower, read(Ends(whole=config, text=text, tower=document)))


def _is_tied(config: ConfigDocument, text: Architecture, composite: Composite) -> bool:
    """As the whole config says; where the file does not say it there, as the text model's does.

    transformers' default for the whole (true for several types) does not count: it ties no head that is in the files
    with values of its own, and those that came without a word on it have one.
    """
    outer = config.get(bool, "tie_word_embeddings") if "tie_word_embeddings" in config.data else None
    if outer is None or composite.tied is Tied.INNER or (composite.tied is Tied.EITHER and not outer):
        return text.tie_word_embeddings
    return outer
