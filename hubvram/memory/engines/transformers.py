"""transformers: `model.generate()`, one forward over the whole prompt."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from hubvram.architecture.layers import Architecture
from hubvram.errors import UnsupportedOptionError
from hubvram.memory.cached import Cached
from hubvram.memory.engines import transformers_code
from hubvram.memory.engines.transformers_attention import supported_by, taken_first
from hubvram.memory.engines.transformers_buffers import buffers
from hubvram.memory.engines.transformers_caches import Kept, check_cache
from hubvram.memory.engines.transformers_fp32 import always_in_fp32, generates_in
from hubvram.memory.engines.transformers_positions import rows, shortages
from hubvram.memory.engines.transformers_spread import chosen
from hubvram.memory.estimate import Instant, MemoryComponent, MemoryEstimate
from hubvram.memory.forward.mlp import COPIED_EXPERTS
from hubvram.memory.forward.run import Sizes
from hubvram.memory.forward.tape import Held, Peak, Share
from hubvram.memory.kv_cache import knows_cache
from hubvram.memory.packed_matrices import Packing
from hubvram.memory.runtime import runtime_component
from hubvram.memory.workload import Attention, Logits, Workload

if TYPE_CHECKING:
    from hubvram.memory.forward.linears import LinearCode
    from hubvram.memory.loading import Loadable, Loading


class Transformers:
    """transformers 5.23, whose sources the programs were read from, on one GPU."""

    name: Final = "transformers"
    version: Final = "5.23"
    cache_source: Final = (
        "cache_utils.py of transformers 5.23; equal to what its cache objects hold after real forwards"
    )
    source: Final = (
        "what the classes of transformers 5.23 keep alive, as their sources say; checked against real forwards of "
        "small models, tensor by tensor"
    )

    def knows_cache(self, architecture: Architecture) -> bool:
        return knows_cache(architecture)

    def knows_activations(self, architecture: Architecture) -> bool:
        """Whether the programs were found to meet the peaks of this model type."""
        if architecture.encoder is None:
            return transformers_code.knows(architecture)
        from hubvram.memory.engines import transformers_sides  # for those who ask for one

        return transformers_sides.knows(architecture)

    def knows_beside(self, architecture: Architecture, workload: Workload, dtype: str) -> bool:
        if not self.generates(architecture):
            return True
        if workload.logits is Logits.LAST and not generates_in(architecture, dtype):
            return False
        if workload.cache != "static":
            return True
        from hubvram.memory.engines.transformers_static import is_measured  # for those who ask for one

        attention = self.resolve_attention(architecture, workload.attention)
        return is_measured(architecture, replace(workload, attention=attention))

    def taken(self, architecture: Architecture, workload: Workload) -> Workload:
        if self.generates(architecture):
            return workload
        tokens = workload.context_tokens if architecture.image is None else architecture.image.tokens
        return replace(workload, context_tokens=tokens, input_tokens=tokens)

    def generates(self, architecture: Architecture) -> bool:
        return not transformers_code.is_encoder(architecture)

    def resolve_attention(self, architecture: Architecture, requested: Attention) -> Attention:
        """The attention that runs. Raises UnsupportedOptionError for one that the model class refuses."""
        if requested is Attention.AUTO:
            return taken_first(architecture)
        supported = supported_by(architecture)
        if requested not in supported:
            raise UnsupportedOptionError(
                f"{architecture.class_type} does not run with {requested} attention in {self.name} {self.version}",
                f"--attention takes {', '.join(supported)} for it",
            )
        return requested

    def positions(self, architecture: Architecture) -> int | None:
        return rows(architecture.model_type, architecture) or None

    def check(self, architecture: Architecture, workload: Workload) -> None:
        """Positions from a table end where it does. Raises UnsupportedOptionError beyond, and for a kind of cache that
        the model is not run with."""
        self._check_sequences(architecture, workload)
        for short in shortages(architecture, workload):
            raise UnsupportedOptionError(
                f"{short.whose} has {short.positions}: {short.tokens:,} tokens cannot run", short.remedy
            )
        if self.knows_cache(architecture):
            check_cache(architecture, workload)

    def _check_sequences(self, architecture: Architecture, workload: Workload) -> None:
        """What is asked of them has to have a meaning, and to be known."""
        name, reads_text = architecture.model_type, architecture.image is None and architecture.waveform is None
        if workload.padded and architecture.encoder is not None:
            from hubvram.memory.engines import transformers_sides

            why = transformers_sides.why_unpadded(architecture)
            if why is not None:
                raise UnsupportedOptionError(f"{name} is not run with --padded: {why}", "leave out --padded")
        if workload.padded and not reads_text:
            raise UnsupportedOptionError(f"{name} reads no text that could be padded", "leave out --padded")
        if workload.logits is Logits.ALL and (architecture.encoder is not None or not self.generates(architecture)):
            raise UnsupportedOptionError(
                f"--logits is for models that are a decoder alone, which {name} is not", "leave out --logits"
            )

    def cached(
        self, architecture: Architecture, workload: Workload, *, element_bytes: int, cache_element_bytes: int
    ) -> Cached:
        kept = _kept(architecture, workload, element_bytes, cache_element_bytes)
        return max(kept.while_decoding(), key=lambda cached: cached.kv_cache_bytes)

    def linears(self, packing: Packing, dtype: str) -> LinearCode | None:
        if not packing.names:
            return None
        from hubvram.memory.engines import transformers_linears  # for packed ones

        return transformers_linears.code_of(packing, dtype)

    def unpacks_for_good(self, packing: Packing) -> bool:
        if not packing.names:
            return False
        from hubvram.memory.engines import transformers_linears

        return transformers_linears.unpacks(packing)

    def packing_notes(self, architecture: Architecture, packing: Packing, dtype: str) -> tuple[str, ...]:
        if not packing.names:
            return ()
        from hubvram.memory.engines import transformers_linears

        if transformers_linears.unpacks(packing):
            return (transformers_linears.unpacking_note(packing),)
        if not self.knows_activations(architecture):
            return ()
        if not self._plays_linears(architecture, dtype):
            return ("what transformers makes beside while it computes with packed weights is not counted",)
        return tuple(transformers_linears.notes_of(packing, dtype))

    def _plays_linears(self, architecture: Architecture, dtype: str) -> bool:
        if architecture.encoder is None:
            return transformers_code.plays_linears(architecture)
        from hubvram.memory.engines import transformers_sides

        return transformers_sides.plays_linears(architecture, dtype)

    def kept_in_fp32(self, architecture: Architecture, dtype: str) -> int:
        always = always_in_fp32(architecture)
        if dtype != "fp16":
            return always
        from hubvram.memory.engines import transformers_sides

        return always + transformers_sides.kept_in_fp32(architecture)

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
        """Prefill, its logits, the last decode step, its logits; of both sides, the encoder before all.

        Of an encoder alone, one forward over the whole sequence, and what its head says.
        """
        attention = self.resolve_attention(architecture, workload.attention)
        kept = _kept(architecture, workload, element_bytes, cache_element_bytes)
        if architecture.encoder is not None:
            from hubvram.memory.engines import transformers_sides

            resolved = replace(workload, attention=attention)
            return transformers_sides.instants(
                architecture, resolved, kept, element_bytes=element_bytes, in_fp16=in_fp16, linears=linears
            )
        if not self.generates(architecture):
            return _forward(architecture, workload, element_bytes, attention, in_fp16)
        prompt = Sizes(
            batch_size=workload.batch_size,
            tokens=workload.input_tokens,
            all_tokens=workload.context_tokens,
            by_generate=True,
            padded=workload.padded,
            element_bytes=element_bytes,
            attention=attention,
            in_fp16=in_fp16,
            linears=linears,
            cache_element_bytes=cache_element_bytes,
            room=workload.context_tokens if workload.cache == "static" else 0,
        )
        around = buffers(architecture, element_bytes)
        if workload.logits is Logits.ALL:
            prompt = replace(prompt, by_generate=False, all_logits=True)
            return _all_logits(architecture, prompt, kept.after_prefill(), around)
        behind = workload.context_tokens - 1
        step = replace(prompt, tokens=1, past_tokens=behind, decodes=True, prompt_tokens=workload.input_tokens)
        steps = (_decode(architecture, step, cached, around) for cached in kept.while_decoding())
        return (
            *_prefill(architecture, prompt, kept.after_prefill(), around),
            *max(steps, key=lambda moments: max(moment.total_bytes for moment in moments)),
        )

    def loadings(self, files: Loadable, estimates: Iterable[MemoryEstimate]) -> Iterator[Loading]:
        from hubvram.memory.engines import transformers_loading

        return transformers_loading.loadings_of(files, estimates)

    def runtime(self, *, workspace_bytes: int | None = None) -> MemoryComponent:
        return runtime_component(workspace_bytes=workspace_bytes)


TRANSFORMERS: Final = Transformers()


def _kept(architecture: Architecture, workload: Workload, element_bytes: int, cache_element_bytes: int) -> Kept:
    return Kept(
        architecture=architecture, workload=workload, held_bytes=cache_element_bytes, computed_bytes=element_bytes
    )


def _prefill(
    architecture: Architecture,
    prompt: Sizes,
    cached: Cached,
    around: tuple[Held, ...],
    *,
    copies_logits: bool = True,
) -> tuple[Instant, ...]:
    *before, head = transformers_code.play(architecture, _with(prompt, cached), copies_logits=copies_logits)
    spread = _spread(architecture, prompt, cached, before[0])
    given = f"{_tokens(prompt.tokens)} of input"
    if cached.excess_bytes:
        factors = (prompt.batch_size, cached.excess_bytes // prompt.batch_size)
        around = (*around, Held(what="cached beyond what decoding keeps", share=Share.SEQUENCE, factors=factors))
    where = f"over all {given}"
    return (
        *(
            _instant(
                name,
                cached,
                peak,
                f"{_where(peak, 'the last layer', _BEFORE_LAYERS)}, {where}{_without_kernels(peak)}",
                around,
                spread,
            )
            for name, peak in _named("prefill", before)
        ),
        _instant("prefill-logits", cached, head, f"at the logits after {given}", around),
    )


def _named(name: str, before: Sequence[Peak]) -> Iterator[tuple[str, Peak]]:
    """The moments before a head: the first by the name, others by what is done in them, too."""
    names = (name, *(f"{name}-{peak.phase.replace(' ', '-')}" for peak in before[1:]))
    return zip(names, before, strict=True)


def _all_logits(
    architecture: Architecture, sizes: Sizes, cached: Cached, around: tuple[Held, ...]
) -> tuple[Instant, ...]:
    """The forward of which `generate()` makes a prefill, alone: it fills a cache, too, unless it is told not to."""
    *forward, head = (
        replace(moment, name=moment.name.replace("prefill", "forward"))
        for moment in _prefill(architecture, sizes, cached, around, copies_logits=False)
    )
    return *forward, replace(head, explanation=f"at the logits of {_tokens(sizes.tokens)} of each sequence")


def _decode(architecture: Architecture, step: Sizes, cached: Cached, around: tuple[Held, ...]) -> tuple[Instant, ...]:
    *before, head = transformers_code.play(architecture, _with(step, cached))
    spread = _spread(architecture, step, cached, before[0])
    tokens = _tokens(step.past_tokens + 1)
    has_cache = cached.kv_cache_bytes or cached.state_bytes
    there = f"with {tokens} in the cache" if has_cache else f"over all {tokens}, for nothing is cached"
    phases = (f"in the {peak.phase} of a layer{_gathered(peak)}, {there}{_without_kernels(peak)}" for peak in before)
    return (
        *(
            _instant(name, cached, peak, f"while decoding, {phase}", around, spread)
            for (name, peak), phase in zip(_named("decode", before), phases, strict=True)
        ),
        _instant("decode-logits", cached, head, f"at the logits of a decoded token, {there}", around),
    )


def _with(sizes: Sizes, cached: Cached) -> Sizes:
    return replace(sizes, cached=cached) if cached.update_bytes else sizes


def _spread(architecture: Architecture, sizes: Sizes, cached: Cached, peak: Peak) -> int:
    """By how much less is alive at the peak if tokens choose all experts evenly, where it is their choice."""
    if not transformers_code.loops(architecture):
        return 0
    least, _ = transformers_code.play(architecture, replace(_with(sizes, cached), evenly=True))
    return max(0, peak.total_bytes - least.total_bytes)


def _instant(
    name: str, cached: Cached, peak: Peak, explanation: str, more: tuple[Held, ...], spread_bytes: int = 0
) -> Instant:
    return Instant(
        name=name,
        cached=cached,
        held=(*peak.held, *more),
        unpacking=(*peak.unpacking, *more) if peak.unpacking else (),
        explanation=explanation + chosen(spread_bytes),
        spread_bytes=spread_bytes,
    )


_KERNELS: Final[Mapping[str, str]] = {
    "state space": "the kernels of mamba-ssm, where installed",
    "linear attention": "the kernels of flash-linear-attention, where installed",
    "composed attention": "cuDNN's kernels, which come first on H100, H200 and B200",
}
"""Phase -> what takes its place: packages whose kernels transformers takes by itself, and requires none of
(integrations/hub_kernels.py, use_kernel_func_from_hub_with_fallback); kernels that torch 2.13 prefers on some GPUs
(ATen, sdp_utils.cpp, check_prefer_cudnn_attention)."""

_NOTHING: Final = Cached(kv_cache_bytes=0, state_bytes=0)


def _forward(
    architecture: Architecture, workload: Workload, element_bytes: int, attention: Attention, in_fp16: bool
) -> tuple[Instant, ...]:
    sequence = Sizes(
        batch_size=workload.batch_size,
        tokens=workload.context_tokens,
        padded=workload.padded,
        element_bytes=element_bytes,
        attention=attention,
        in_fp16=in_fp16,
    )
    *before, head = transformers_code.play(architecture, sequence)
    around = buffers(architecture, element_bytes)
    all_tokens = f"over all {_tokens(sequence.tokens)}"
    forward = tuple(
        _instant(name, _NOTHING, peak, f"{_where(peak, 'a layer', _AROUND_LAYERS)}, {all_tokens}", around)
        for name, peak in _named("forward", before)
    )
    if architecture.head is None and head.phase != "head":
        return forward
    return *forward, _instant("forward-logits", _NOTHING, head, f"at what the head says, {all_tokens}", around)


def _where(peak: Peak, layer: str, before: Mapping[str, str]) -> str:
    """In which part of a forward; `before` says what is done in phases that are in no layer."""
    around = before.get(peak.phase)
    return f"before the layers, where {around}" if around else f"in the {peak.phase} of {layer}"


_AROUND_LAYERS: Final[Mapping[str, str]] = {
    "embeddings": "tokens are embedded",
    "convolutions": "convolutions make frames of sound",
    "projection": "frames are projected to the layers' width",
    "positions": "a convolution makes positions of frames",
}
"""Phase of an encoder -> what is done in it, where that is not in its layers."""
_BEFORE_LAYERS: Final[Mapping[str, str]] = {"convolutions over sound": "convolutions embed all of the sound"}
"""The same of a decoder."""


def _without_kernels(peak: Peak) -> str:
    """What would run otherwise, where a scan or a composed attention is at the peak."""
    kernels = _KERNELS.get(peak.phase)
    return f", as torch alone computes it; {kernels}, take less" if kernels else ""


def _tokens(number: int) -> str:
    return f"{number:,} token{'s' * (number != 1)}"


def _gathered(peak: Peak) -> str:
    copies = any(held.what == COPIED_EXPERTS for held in peak.held)
    return ", which copies the chosen experts' weights for each token" if copies else ""
