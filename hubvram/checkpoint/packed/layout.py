"""What a way of packing looks like in the files: a line of the tables beside this file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final, Protocol

from hubvram.checkpoint.names import without_numbers
from hubvram.checkpoint.tensors import Kind

Shape = tuple[int, ...]

FLOATS: Final = ("F32", "F16", "BF16")
FP8: Final = ("F8_E4M3", "F8_E5M2")
EXPONENTS: Final = ("F8_E8M0", "U8")
"""Scales that are powers of two: safetensors' own name for them, and what older writers make of them."""


class Group(Protocol):
    """What a configuration says of some modules."""

    @property
    def bits(self) -> float | None:
        """Of a weight."""

    @property
    def group_size(self) -> int | None:
        """Inputs that share a scale."""


class Declared(Protocol):
    """What a configuration says of all of them."""

    @property
    def groups(self) -> Sequence[Group]:
        """What holds for some modules each; the shapes say for which."""


class Checked(StrEnum):
    """Against what a layout was checked."""

    WRITER = "writer"
    """Files that the tool itself wrote."""
    SOURCE = "source"
    """The code of the tool that writes or loads it, read."""
    UNCHECKED = "unchecked"


@dataclass(frozen=True, slots=True, kw_only=True)
class Module:
    """A packed tensor, and what stands beside it."""

    weight: Kind
    beside: Mapping[str, Kind]
    """Ending -> tensor, for those that the layout needs."""
    declared: Sequence[Group]
    """What the configuration says, for the few layouts whose shapes leave something open."""

    @property
    def shape(self) -> Shape:
        return self.weight.shape

    def shape_of(self, ending: str) -> Shape:
        return self.beside[ending].shape

    def dtype_of(self, ending: str) -> str:
        return self.beside[ending].dtype


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """The weights in a packed tensor."""

    shape: Shape
    """(out, in) or with experts before them, as the model that was not quantized has it; (count,) where the shapes do
    not tell more than that."""
    padding: int = 0
    """As many of them at most are none: the packing rounds up, and the shapes do not show where it starts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """One way of packing, told by names, dtypes and shapes together: dtypes alone say nothing.

    Endings are parts of a tensor's name, from the dot on. A tensor is packed so where it has one of the dtypes, all of
    `needs` stand beside it, and `held` finds that the shapes belong together.
    """

    name: str
    methods: tuple[str, ...]
    """`quant_method`s of configurations that mean it; the first is the usual one."""
    ending: str
    dtypes: tuple[str, ...]
    needs: tuple[str, ...] = ()
    extras: tuple[str, ...] = ()
    """What may stand beside it as well: scales, zeros, indices; no parameters."""
    always: tuple[str, ...] = ()
    """Those of `extras` that the tool never leaves out."""
    held: Callable[[Module], Held | None]
    """None where the shapes contradict each other. A shape of another rank than expected may raise ValueError."""
    checked: Checked
    is_dense: bool = True
    """Whether every weight takes as many bits."""
    scales: str | None = None
    """That of `needs` of which each row has one for each group of inputs, which configurations name the size of."""
    plain_ending: str = ".weight"
    """What stands in the place of `ending` in a model that is not quantized."""

    def in_names_of_kinds(self) -> Layout:
        """With its endings as kinds have them: every digit is 0."""
        return replace(
            self,
            ending=without_numbers(self.ending),
            needs=tuple(map(without_numbers, self.needs)),
            extras=tuple(map(without_numbers, self.extras)),
            always=tuple(map(without_numbers, self.always)),
        )


def as_stored(module: Module) -> Held:
    """An element for each weight."""
    return Held(shape=module.shape)


def ceil_div(number: int, divisor: int) -> int:
    return -(-number // divisor)


def groups_fit(groups: int, inputs: int) -> bool:
    """Whether so many groups of inputs can be: at most one each."""
    return 0 < groups <= inputs or groups == inputs == 0
