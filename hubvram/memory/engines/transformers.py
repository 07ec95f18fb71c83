"""transformers: `model.generate()` with its default DynamicCache, one forward over the whole prompt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from hubvram.architecture.layers import Architecture
from hubvram.architecture.mlp import MoEMLP
from hubvram.errors import UnsupportedOptionError
from hubvram.memory.engines import transformers_code
from hubvram.memory.estimate import Instant, MemoryComponent
from hubvram.memory.forward.run import Sizes
from hubvram.memory.forward.tape import Held, Peak, Share
from hubvram.memory.kv_cache import knows_cache, kv_cache_bytes, prefill_excess_bytes
from hubvram.memory.runtime import runtime_component
from hubvram.memory.workload import Attention, Workload

_USUAL: Final = (Attention.SDPA, Attention.EAGER, Attention.FLASH)
_SUPPORTED: Final[Mapping[str, tuple[Attention, ...]]] = {
    # `_supports_sdpa = False`: sdpa cannot cap scores, and knows no sinks.
    **dict.fromkeys(("gemma2", "vaultgemma", "gpt_oss"), (Attention.EAGER, Attention.FLASH)),
}
"""model_type -> the attention its class supports, the one it takes by itself first (modeling_*.py)."""


class Transformers:
    """transformers 5.23, whose sources the programs were read from, on one GPU."""

    name: Final = "transformers"
    version: Final = "5.23"
    source: Final = (
        "what the classes of transformers 5.23 keep alive, as their sources say; checked against real forwards of "
        "small models, tensor by tensor"
    )

    def knows_cache(self, architecture: Architecture) -> bool:
        return knows_cache(architecture)

    def knows_activations(self, architecture: Architecture) -> bool:
        """Whether the programs were found to meet the peaks of this model type."""
        return transformers_code.knows(architecture)

    def resolve_attention(self, architecture: Architecture, requested: Attention) -> Attention:
        """The attention that runs. Raises UnsupportedOptionError for one that the model class refuses."""
        supported = _SUPPORTED.get(architecture.model_type, _USUAL)
        if requested is Attention.AUTO:
            return supported[0]
        if requested not in supported:
            raise UnsupportedOptionError(
                f"{architecture.model_type} does not run with {requested} attention in {self.name} {self.version}",
                f"--attention takes {', '.join(supported)} for it",
            )
        return requested

    def check(self, architecture: Architecture, workload: Workload) -> None:
        """Learned positions end where their table does. Raises UnsupportedOptionError beyond."""
        rows = architecture.learned_positions
        if rows and workload.context_tokens > rows:
            raise UnsupportedOptionError(
                f"{architecture.model_type} has {rows:,} learned positions: "
                f"{workload.context_tokens:,} tokens cannot run",
                f"--context takes at most {rows} for it",
            )

    def cache_bytes(
        self, architecture: Architecture, workload: Workload, *, element_bytes: int, cache_element_bytes: int
    ) -> int:
        return kv_cache_bytes(
            architecture,
            tokens=workload.context_tokens,
            batch_size=workload.batch_size,
            element_bytes=cache_element_bytes,
            input_tokens=workload.input_tokens,
            computed_bytes=element_bytes,
        )

    def instants(
        self, architecture: Architecture, workload: Workload, *, element_bytes: int, cache_element_bytes: int
    ) -> tuple[Instant, ...]:
        """Prefill, its logits, the last decode step, its logits."""
        attention = self.resolve_attention(architecture, workload.attention)
        prompt = Sizes(
            batch_size=workload.batch_size,
            tokens=workload.input_tokens,
            element_bytes=element_bytes,
            attention=attention,
        )
        step = replace(prompt, tokens=1, past_tokens=workload.context_tokens - 1, decodes=True)
        sizes = {"batch_size": workload.batch_size, "element_bytes": cache_element_bytes}
        filled = kv_cache_bytes(architecture, tokens=prompt.tokens, computed_bytes=element_bytes, **sizes)
        beyond = _beyond_windows(workload.batch_size, prefill_excess_bytes(architecture, tokens=prompt.tokens, **sizes))
        held = self.cache_bytes(
            architecture, workload, element_bytes=element_bytes, cache_element_bytes=cache_element_bytes
        )
        prefill, prefill_head = transformers_code.play(architecture, prompt)
        decode, decode_head = transformers_code.play(architecture, step)
        given, cached = f"{_tokens(prompt.tokens)} of input", f"with {_tokens(workload.context_tokens)} in the cache"
        phase = f"in the {prefill.phase} of the last layer, over all {given}"
        step_phase = f"while decoding, in the {decode.phase} of a layer{_gathered(architecture, decode)}, {cached}"
        return (
            _instant("prefill", filled, prefill, phase, beyond),
            _instant("prefill-logits", filled, prefill_head, f"at the logits after {given}", beyond),
            _instant("decode", held, decode, step_phase),
            _instant("decode-logits", held, decode_head, f"at the logits of a decoded token, {cached}"),
        )

    def runtime(self, *, workspace_bytes: int | None = None) -> MemoryComponent:
        return runtime_component(workspace_bytes=workspace_bytes)


TRANSFORMERS: Final = Transformers()


def _beyond_windows(batch_size: int, excess_bytes: int) -> tuple[Held, ...]:
    if not excess_bytes:
        return ()
    factors = (batch_size, excess_bytes // batch_size)
    return (Held(what="cached beyond what decoding keeps", share=Share.SEQUENCE, factors=factors),)


def _instant(name: str, cached_bytes: int, peak: Peak, explanation: str, more: tuple[Held, ...] = ()) -> Instant:
    return Instant(name=name, kv_cache_bytes=cached_bytes, held=(*peak.held, *more), explanation=explanation)


def _tokens(number: int) -> str:
    return f"{number:,} token{'s' * (number != 1)}"


def _gathered(architecture: Architecture, peak: Peak) -> str:
    has_experts = any(isinstance(layer.mlp, MoEMLP) for layer in architecture.layers)
    return ", which copies the chosen experts' weights for each token" if peak.phase == "mlp" and has_experts else ""
