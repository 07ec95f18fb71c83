"""Short forms for the weights that families list by the dozen."""

from __future__ import annotations

from hubvram.architecture.parts import Linear, Tensor
from hubvram.checkpoint.components import Component


def linear(
    name: str,
    out_features: int,
    in_features: int,
    *,
    bias: bool = True,
    count: int = 1,
    component: Component | None = None,
) -> Linear:
    """A matrix, by default with a bias."""
    return Linear(
        name=name, out_features=out_features, in_features=in_features, bias=bias, count=count, component=component
    )


def norm(
    name: str, size: int, component: Component | None = Component.NORM, *, bias: bool = True, count: int = 1
) -> tuple[Tensor, ...]:
    """A norm's weight, and its bias."""
    kinds = (name, f"{name} bias") if bias else (name,)
    return tuple(Tensor(name=kind, shape=(size,), count=count, component=component) for kind in kinds)
