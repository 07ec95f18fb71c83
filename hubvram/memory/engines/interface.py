"""What an engine has to say. One file per engine; how each keeps caches and what is alive at its peak is its own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Protocol

from hubvram.architecture.layers import Architecture
from hubvram.memory.cached import Cached
from hubvram.memory.estimate import Instant, MemoryComponent, MemoryEstimate
from hubvram.memory.packed_matrices import Packing
from hubvram.memory.workload import Attention, Workload

if TYPE_CHECKING:
    from hubvram.memory.forward.linears import LinearCode
    from hubvram.memory.loading import Loadable, Loading


class Engine(Protocol):
    """Who runs the model, in the version that its figures describe."""

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> str: ...

    @property
    def source(self) -> str:
        """What its figures stand on, in a line."""

    @property
    def cache_source(self) -> str:
        """The same of caches."""

    def knows_cache(self, architecture: Architecture) -> bool:
        """Whether it is known what each layer keeps."""

    def knows_activations(self, architecture: Architecture) -> bool:
        """Whether it is known what is alive at the peaks."""

    def knows_beside(self, architecture: Architecture, workload: Workload, dtype: str) -> bool:
        """Whether that holds beside such a cache as is asked for, and where it computes in `dtype`, too."""

    def taken(self, architecture: Architecture, workload: Workload) -> Workload:
        """What of a workload runs: encoders read all of the context at once; images have tokens of their own."""

    def generates(self, architecture: Architecture) -> bool:
        """Whether it makes token after token, with a cache; else one forward over all of them is the whole of it."""

    def resolve_attention(self, architecture: Architecture, requested: Attention) -> Attention:
        """The attention that runs. Raises UnsupportedOptionError for one that the model cannot have."""

    def positions(self, architecture: Architecture) -> int | None:
        """How many tokens its decoder has rows of a table for; None where there is no end."""

    def check(self, architecture: Architecture, workload: Workload) -> None:
        """Raises UnsupportedOptionError for a workload that cannot run."""

    def cached(
        self, architecture: Architecture, workload: Workload, *, element_bytes: int, cache_element_bytes: int
    ) -> Cached:
        """What all sequences' caches hold at the end, where `knows_cache`.

        `element_bytes` are those that the model computes in, `cache_element_bytes` those of the cache of tokens.
        """

    def linears(self, packing: Packing, dtype: str) -> LinearCode | None:
        """How packed linears are computed in `dtype`, where anything is packed and that is known."""

    def unpacks_for_good(self, packing: Packing) -> bool:
        """Whether packed weights are in 16 bit before it computes with them."""

    def packing_notes(self, architecture: Architecture, packing: Packing, dtype: str) -> tuple[str, ...]:
        """What there is to say of computing with packed weights that is not in the figures."""

    def kept_in_fp32(self, architecture: Architecture, dtype: str) -> int:
        """Parameters that are fp32 where all of the model is asked for in this 16-bit type."""

    def instants(
        self,
        architecture: Architecture,
        workload: Workload,
        *,
        element_bytes: int,
        cache_element_bytes: int,
        in_fp16: bool = False,
        linears: LinearCode | None = None,
    ) -> tuple[Instant, ...]:
        """The moments of a generation that can be its peak, where `knows_activations`."""

    def loadings(self, files: Loadable, estimates: Iterable[MemoryEstimate]) -> Iterator[Loading]:
        """What it takes to get each of the estimates' weights from the Hub to the GPU."""

    def runtime(self, *, workspace_bytes: int | None = None) -> MemoryComponent:
        """What the process takes before the model has a byte; the workspace of the GPU in mind, if one is."""
