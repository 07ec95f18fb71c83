"""transformers: `model.generate()` with its default DynamicCache, one forward over the whole prompt."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from hubvram.architecture.layers import Architecture
from hubvram.errors import UnsupportedOptionError
from hubvram.memory import activations
from hubvram.memory.estimate import Instant
from hubvram.memory.kv_cache import held_tokens, kv_cache_bytes, prefill_excess_bytes
from hubvram.memory.workload import Attention, Workload

NAME: Final = "transformers"
VERSION: Final = "5.23"
"""The release whose sources the formulas were read from."""

_USUAL: Final = (Attention.SDPA, Attention.EAGER, Attention.FLASH)
_SUPPORTED: Final[Mapping[str, tuple[Attention, ...]]] = {
    # `_supports_sdpa = False`: sdpa cannot cap scores.
    "gemma2": (Attention.EAGER, Attention.FLASH),
}
"""model_type -> the attention its class supports, the one it takes by itself first (modeling_*.py)."""

_SOFTMAX_IN_MODEL_DTYPE: Final = frozenset({"gpt2"})
"""Model types whose eager softmax is not computed in fp32 (modeling_*.py, eager_attention_forward)."""


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


def instants(
    architecture: Architecture, workload: Workload, *, element_bytes: int, cache_element_bytes: int
) -> tuple[Instant, ...]:
    """The moments of a generation that can be its peak: prefill, its logits, the last decode step, its logits."""
    softmax_in_fp32 = architecture.model_type not in _SOFTMAX_IN_MODEL_DTYPE
    prompt = activations.Shape(
        batch_size=workload.batch_size,
        tokens=workload.input_tokens,
        element_bytes=element_bytes,
        attention=resolve_attention(architecture, workload.attention),
    )
    whole = activations.Shape(
        batch_size=prompt.batch_size,
        tokens=workload.context_tokens,
        element_bytes=element_bytes,
        attention=prompt.attention,
    )
    cached = {
        shape.tokens: kv_cache_bytes(
            architecture, tokens=shape.tokens, batch_size=shape.batch_size, element_bytes=cache_element_bytes
        )
        for shape in (prompt, whole)
    }
    excess = prefill_excess_bytes(
        architecture, tokens=prompt.tokens, batch_size=prompt.batch_size, element_bytes=cache_element_bytes
    )
    outputs = 0 if architecture.head is None else activations.logits_bytes(architecture.head.out_features, prompt)
    prefill = activations.prefill_phases(architecture, prompt, softmax_in_fp32=softmax_in_fp32)
    decode = activations.decode_phases(
        architecture,
        whole,
        lambda mixer: held_tokens(mixer, whole.tokens),
        softmax_in_fp32=softmax_in_fp32,
    )
    prefill_phase, decode_phase = max(prefill, key=prefill.__getitem__), max(decode, key=decode.__getitem__)
    one_token = activations.Shape(
        batch_size=whole.batch_size, tokens=1, element_bytes=element_bytes, attention=prompt.attention
    )
    return (
        Instant(
            name="prefill",
            kv_cache_bytes=cached[prompt.tokens],
            activations_bytes=prefill[prefill_phase] + excess,
            outputs_bytes=0,
            explanation=f"the {prefill_phase} of the last layer, over all {prompt.tokens:,} input tokens",
        ),
        Instant(
            name="prefill-logits",
            kv_cache_bytes=cached[prompt.tokens],
            activations_bytes=activations.after_layers_bytes(architecture, prompt) + excess,
            outputs_bytes=outputs,
            explanation="the first token's logits and their 32-bit copy",
        ),
        Instant(
            name="decode",
            kv_cache_bytes=cached[whole.tokens],
            activations_bytes=decode[decode_phase],
            outputs_bytes=0,
            explanation=f"the {decode_phase} of a layer, with {whole.tokens:,} tokens in the cache",
        ),
        Instant(
            name="decode-logits",
            kv_cache_bytes=cached[whole.tokens],
            activations_bytes=activations.after_layers_bytes(architecture, one_token),
            outputs_bytes=outputs,
            explanation="the last token's logits and their 32-bit copy",
        ),
    )


def peak_of(moments: tuple[Instant, ...]) -> Instant:
    """The moment at which sequences hold most. All of it is linear in the batch, so the batch does not move it."""
    return max(moments, key=lambda instant: instant.total_bytes)


def buffers_bytes(architecture: Architecture, workload: Workload, *, element_bytes: int) -> int:
    """What all sequences share during prefill: position ids, rotary tables, a window's boolean mask."""
    shape = activations.Shape(
        batch_size=workload.batch_size,
        tokens=workload.input_tokens,
        element_bytes=element_bytes,
        attention=resolve_attention(architecture, workload.attention),
    )
    return activations.buffer_bytes(architecture, shape)
