"""transformers: `model.generate()` with its default DynamicCache, one forward over the whole prompt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from hubvram.architecture.layers import Architecture
from hubvram.architecture.mlp import MoEMLP
from hubvram.errors import UnsupportedOptionError
from hubvram.memory import activations
from hubvram.memory.engines.transformers_code import CODE
from hubvram.memory.estimate import Instant
from hubvram.memory.kv_cache import kv_cache_bytes, prefill_excess_bytes
from hubvram.memory.modeling_code import LLAMA
from hubvram.memory.workload import Attention, Workload

NAME: Final = "transformers"
VERSION: Final = "5.23"
"""The release whose sources the formulas were read from."""

_USUAL: Final = (Attention.SDPA, Attention.EAGER, Attention.FLASH)
_SUPPORTED: Final[Mapping[str, tuple[Attention, ...]]] = {
    # `_supports_sdpa = False`: sdpa cannot cap scores, and knows no sinks.
    **dict.fromkeys(("gemma2", "vaultgemma", "gpt_oss"), (Attention.EAGER, Attention.FLASH)),
}
"""model_type -> the attention its class supports, the one it takes by itself first (modeling_*.py)."""

VERIFIED: Final = frozenset(CODE)
"""Model types whose measured peaks the closed forms meet (fixtures/measurements). All others: not known."""


def knows_activations(architecture: Architecture) -> bool:
    """Whether the closed forms were found to meet the peaks of this model type."""
    return architecture.model_type in VERIFIED and activations.has_closed_forms(architecture)


def resolve_attention(architecture: Architecture, requested: Attention) -> Attention:
    """The attention that runs. Raises UnsupportedOptionError for one that the model class refuses."""
    supported = _SUPPORTED.get(architecture.model_type, _USUAL)
    if requested is Attention.AUTO:
        return supported[0]
    if requested not in supported:
        raise UnsupportedOptionError(
            f"{architecture.model_type} does not run with {requested} attention in {NAME} {VERSION}",
            f"--attention takes {', '.join(supported)} for it",
        )
    return requested


def check_length(architecture: Architecture, workload: Workload) -> None:
    """Learned positions end where their table does. Raises UnsupportedOptionError beyond."""
    rows = architecture.learned_positions
    if rows and workload.context_tokens > rows:
        raise UnsupportedOptionError(
            f"{architecture.model_type} has {rows:,} learned positions: {workload.context_tokens:,} tokens cannot run",
            f"--context takes at most {rows} for it",
        )


def instants(
    architecture: Architecture, workload: Workload, *, element_bytes: int, cache_element_bytes: int
) -> tuple[Instant, ...]:
    """The moments of a generation that can be its peak: prefill, its logits, the last decode step, its logits."""
    prompt = _prompt(architecture, workload, element_bytes)
    whole = replace(prompt, tokens=workload.context_tokens)
    return (
        *_prefill(architecture, prompt, cache_element_bytes),
        *_decode(architecture, whole, cache_element_bytes),
    )


def _prompt(architecture: Architecture, workload: Workload, element_bytes: int) -> activations.Shape:
    return activations.Shape(
        batch_size=workload.batch_size,
        tokens=workload.input_tokens,
        element_bytes=element_bytes,
        attention=resolve_attention(architecture, workload.attention),
        code=CODE.get(architecture.model_type, LLAMA),
    )


def _prefill(
    architecture: Architecture, prompt: activations.Shape, cache_element_bytes: int
) -> tuple[Instant, Instant]:
    sizes = {"tokens": prompt.tokens, "batch_size": prompt.batch_size, "element_bytes": cache_element_bytes}
    cached, excess = kv_cache_bytes(architecture, **sizes), prefill_excess_bytes(architecture, **sizes)
    phases = activations.prefill_phases(architecture, prompt)
    phase = max(phases, key=phases.__getitem__)
    return (
        Instant(
            name="prefill",
            kv_cache_bytes=cached,
            activations_bytes=phases[phase] + excess,
            outputs_bytes=0,
            explanation=f"in the {phase} of the last layer, over all {_tokens(prompt.tokens)} of input",
        ),
        Instant(
            name="prefill-logits",
            kv_cache_bytes=cached,
            activations_bytes=activations.after_layers_bytes(architecture, prompt) + excess,
            outputs_bytes=activations.logits_bytes(architecture, prompt),
            explanation=f"at the logits after {_tokens(prompt.tokens)} of input",
        ),
    )


def _decode(architecture: Architecture, whole: activations.Shape, cache_element_bytes: int) -> tuple[Instant, Instant]:
    cached = kv_cache_bytes(
        architecture, tokens=whole.tokens, batch_size=whole.batch_size, element_bytes=cache_element_bytes
    )
    phases = activations.decode_phases(architecture, whole)
    phase = max(phases, key=phases.__getitem__)
    return (
        Instant(
            name="decode",
            kv_cache_bytes=cached,
            activations_bytes=phases[phase],
            outputs_bytes=0,
            explanation=f"while decoding, in the {phase} of a layer{_gathered(architecture, phase)}, "
            f"with {_tokens(whole.tokens)} in the cache",
        ),
        Instant(
            name="decode-logits",
            kv_cache_bytes=cached,
            activations_bytes=activations.after_layers_bytes(architecture, replace(whole, tokens=1)),
            outputs_bytes=activations.logits_bytes(architecture, whole),
            explanation=f"at the logits of a decoded token, with {_tokens(whole.tokens)} in the cache",
        ),
    )


def _tokens(number: int) -> str:
    return f"{number:,} token{'s' * (number != 1)}"


def _gathered(architecture: Architecture, phase: str) -> str:
    has_experts = any(isinstance(layer.mlp, MoEMLP) for layer in architecture.layers)
    return ", which copies the chosen experts' weights for each token" if phase == "mlp" and has_experts else ""


def peak_of(moments: tuple[Instant, ...]) -> Instant:
    """The moment at which sequences hold most. All of it is linear in the batch, so the batch does not move it."""
    return max(moments, key=lambda instant: instant.total_bytes)


def buffers_bytes(architecture: Architecture, workload: Workload, *, element_bytes: int) -> int:
    """What all sequences share during prefill: position ids, rotary tables, a window's boolean mask."""
    return activations.buffer_bytes(architecture, _prompt(architecture, workload, element_bytes))
