"""Words beside the figures: what the reader of a result must know to believe the right amount of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from math import prod
from typing import Final

from hubvram.architecture.layers import DEPTH_DECODER, Architecture, Waveform
from hubvram.architecture.reconcile import Reconciliation, Status
from hubvram.checkpoint.tensors import Checkpoint
from hubvram.checkpoint.totals import Totals
from hubvram.config.reader import ModelConfig
from hubvram.dtypes import COMPUTE_BYTES, COMPUTE_DTYPES, nominal_weight_bytes
from hubvram.errors import UnsupportedOptionError
from hubvram.memory.engines import ENGINES
from hubvram.memory.kv_cache import kept_parts, lengths, token_bytes
from hubvram.memory.weights import stored_compute_dtype
from hubvram.memory.workload import Logits, Workload
from hubvram.quantization.precisions import nominal_bits
from hubvram.units import size


def reconciliation_notes(config: ModelConfig | None, compared: Reconciliation) -> tuple[str, ...]:
    """What was not counted, accounted for, left open."""
    notes = [
        f"stored, but not counted: {item.what}, {item.parameters:,} elements in {item.tensors} tensor"
        f"{'s' if item.tensors != 1 else ''} ({item.rule})"
        for item in compared.not_counted
    ]
    notes += [f"accounted for: {item.what}, {item.parameters:+,} ({item.rule})" for item in compared.accounted]
    if compared.scope == "text":
        notes.append("dimensions, KV cache and activations are the text model's; images and sound would add to them")
    if compared.status is Status.UNRECONCILED:
        notes.append(f"NOT reconciled: {_disagreement(compared)}; dimensions may be wrong")
    if compared.status is Status.QUANTIZED:
        method = (config.quantization_method if config else None) or "packed tensors"
        notes.append(
            f"quantized ({method}): stored bytes are exact; the parameter count is derived from config.json, "
            "not compared with the packed tensors"
        )
    return tuple(notes)


def _disagreement(compared: Reconciliation) -> str:
    parts = ", ".join(f"{component} {number:+,}" for component, number in compared.differences.items())
    if parts:
        return f"the files hold {parts} compared with config.json"
    more = f" and {len(compared.strangers) - 1} more kinds" if len(compared.strangers) > 1 else ""
    return f"the counts agree, but by config.json no matrix has the shape of {compared.strangers[0]}{more}"


def dtype_notes(
    config: ModelConfig | None, checkpoint: Checkpoint | Totals, compared: Reconciliation
) -> tuple[str, ...]:
    """Types that change what a count or a load means."""
    packed = list(_packed_dtypes(checkpoint, compared))
    if packed and compared.status is Status.UNKNOWN_ARCHITECTURE:
        return (
            f"tensors of type {', '.join(packed)} are counted as stored: where they are packed weights, scales or "
            "masks, the number of parameters is another",
        )
    stored = stored_compute_dtype(checkpoint)
    if config is None or config.dtype in (None, stored) or stored is None or compared.status is Status.QUANTIZED:
        return ()
    if compared.unpacked is not None and compared.unpacked.packed:  # the row of that dtype is the unpacked model
        return (f"what is not packed is {stored} in the files, config.json asks for {config.dtype}",)
    return (
        f"the files hold {stored}, config.json asks for {config.dtype}: transformers would load it so, "
        f"which is the row of --dtype {config.dtype}",
    )


def _packed_dtypes(checkpoint: Checkpoint | Totals, compared: Reconciliation) -> Iterable[str]:
    """Types of what may be packed, as far as it was not found out how."""
    if compared.unpacked is not None:
        return dict.fromkeys(kind.dtype for kind in compared.unpacked.unknown)
    return (dtype for dtype in checkpoint.by_dtype() if dtype not in COMPUTE_DTYPES)


def workload_notes(architecture: Architecture | None, workload: Workload) -> Iterator[str]:
    """Where the workload asks for more than the model was made for, or than is known."""
    if architecture is not None:
        yield from _beyond(architecture, workload)
    engine = ENGINES[workload.engine]
    if architecture is not None and not engine.knows_activations(architecture):
        what = "activations" if engine.knows_cache(architecture) else "its cache or state and for activations"
        yield f"what this class of {architecture.class_type} needs for {what} is not known yet, and not in the totals"
    if architecture is not None and engine.knows_cache(architecture):
        yield from _source_notes(architecture, workload)
        yield from _cache_notes(architecture, workload)
    if architecture is not None:
        yield from _type_notes(architecture, workload)
        yield from _encoder_notes(architecture, workload)
        yield from _codec_notes(architecture, workload)
    if workload.padded and workload.batch_size == 1:
        yield "one sequence, padded: as where its length is rounded up, since it has no longer ones beside it"


def _beyond(architecture: Architecture, workload: Workload) -> Iterator[str]:
    """Of the decoder, and of an encoder that reads tokens."""
    decoded, source = lengths(architecture, workload.context_tokens, workload.input_tokens)
    largest, encoder = architecture.longest, architecture.encoder
    if largest is not None and decoded > largest:
        yield f"{decoded:,} tokens are more than the {largest:,} that the model was made for"
    if encoder is not None and encoder.source_tokens is None and source > (encoder.longest or source):
        yield f"{source:,} tokens are more than the {encoder.longest:,} that its encoder was made for"


def _type_notes(architecture: Architecture, workload: Workload) -> Iterator[str]:
    """Where a model generates in some types only."""
    engine = ENGINES[workload.engine]
    if not engine.knows_activations(architecture):
        return
    known = [dtype for dtype in COMPUTE_BYTES if engine.knows_beside(architecture, workload, dtype)]
    if known and len(known) < len(COMPUTE_BYTES):
        only = known[0]
        yield (
            f"generate() of {architecture.model_type} runs in {only} only: activations in other types are not known, "
            f"and not in the totals; --dtype {only} has them, and --logits all those of one forward"
        )


def _encoder_notes(architecture: Architecture, workload: Workload) -> Iterator[str]:
    """What is run, where nothing is generated."""
    image, engine = architecture.image, ENGINES[workload.engine]
    if image is not None:
        yield (
            f"an encoder of images: {image.tokens:,} tokens for each of {image.height:,} x {image.width:,} pixels, the "
            "size in config.json, whatever the context asked for; --batch is how many at once"
        )
    elif engine.knows_activations(architecture) and not engine.generates(architecture):
        tokens = f"{workload.context_tokens:,} token{'s' * (workload.context_tokens != 1)}"
        beside = architecture.image_beside
        if beside is not None:
            yield (
                f"a pair of encoders: --batch is as many texts, of {tokens} each, unpadded, and as many images of "
                f"{beside.height:,} x {beside.width:,} pixels, {beside.tokens:,} tokens each; the images run first"
            )
            return
        padded = "padded" if workload.padded else "unpadded"
        yield f"an encoder: one forward over all {tokens} of each sequence, {padded}; it keeps no cache"
    if architecture.waveform is not None:
        yield _heard(architecture.waveform, workload.context_tokens)


def _codec_notes(architecture: Architecture, workload: Workload) -> Iterator[str]:
    """What runs beside a decoder of sound."""
    speaks = any(stack.name == DEPTH_DECODER for stack in architecture.stacks)
    if speaks and ENGINES[workload.engine].knows_activations(architecture):
        yield (
            "it speaks: what its depth decoder takes, whose steps transformers compiles, and what its codec takes, "
            "which makes the sound of all frames at the end, is not in the totals"
        )


_SAMPLES_PER_SECOND: Final = 16_000
"""transformers' default (feature_extraction_wav2vec2.py); preprocessor_config.json says it, which is not read."""


def _heard(waveform: Waveform, tokens: int) -> str:
    """What a context is of sound."""
    samples = waveform.frames(tokens)[0]
    step = prod(convolution.step for convolution in waveform.convolutions)
    return (
        f"it hears: a token is a frame of {step:,} samples, so that {tokens:,} of them take {samples:,} samples, "
        f"{samples / _SAMPLES_PER_SECOND:,.1f} s at 16 kHz; the workspace of convolutions is not in the totals"
    )


def _source_notes(architecture: Architecture, workload: Workload) -> Iterator[str]:
    """What the tokens asked for are, where there is an encoder too."""
    encoder = architecture.encoder
    if encoder is None:
        return
    if encoder.source_tokens is None:
        rest = workload.context_tokens - workload.input_tokens
        given = workload.input_tokens
        tokens = f"{given:,} token{'s' * (given != 1)}"
        image = encoder.image
        seen = f" and the {image.tokens:,} patches of an image" if image is not None else ""
        yield f"the encoder reads the {tokens} of input{seen}, the decoder makes the {rest:,} behind"
        if encoder.waveform is not None:
            yield _heard(encoder.waveform, workload.input_tokens)
    else:
        yield (
            f"the cache holds {encoder.source_tokens:,} positions of the encoder, whatever its input; "
            f"all {workload.context_tokens:,} tokens are the decoder's"
        )


def _kept_as(architecture: Architecture, workload: Workload) -> str:
    if not any(token_bytes(part, 1) for _, part in kept_parts(architecture)):
        return "it keeps no K and V of tokens: --kv-dtype changes nothing"
    has_fp8 = workload.kv_cache_dtype == "fp8" and _takes_fp8(architecture, workload)
    return (
        f"transformers keeps K and V as the model computes; where that is not {workload.kv_cache_dtype}, another "
        "engine would keep them so" + (" (--cache fp8 is what transformers has)" if has_fp8 else "")
    )


def _takes_fp8(architecture: Architecture, workload: Workload) -> bool:
    try:
        ENGINES[workload.engine].check(architecture, replace(workload, cache="fp8", kv_cache_dtype=None))
    except UnsupportedOptionError:
        return False
    return True


def _cache_notes(architecture: Architecture, workload: Workload) -> Iterator[str]:
    """What is not as in every generation, where the cache is not."""
    engine = ENGINES[workload.engine]
    if workload.cache == "static" and engine.knows_activations(architecture) and engine.generates(architecture):
        if engine.knows_beside(architecture, workload, "fp32"):
            yield (
                "decoding is counted as it runs without torch.compile (disable_compile=True); with a static cache, "
                "generate() on a GPU compiles it"
            )
        else:
            beside = " with --logits all" if workload.logits is Logits.ALL else ""
            yield f"activations beside a static cache are not known for this model{beside}, and not in the totals"
    if workload.kv_cache_dtype is not None:
        yield _kept_as(architecture, workload)
    if workload.cache in ("dynamic", "static"):
        return
    from hubvram.memory.quantized_cache import packs_whole_groups  # for those who ask for one

    if not packs_whole_groups(
        architecture, workload.cache, tokens=workload.input_tokens, batch_size=workload.batch_size
    ):
        yield f"{workload.cache} packs groups of 64 elements, and refuses an input of {workload.input_tokens:,} tokens"


def unknown_precision_note(parameters: int, precision: str, reason: str) -> str:
    """What is known of a precision that there is no figure for."""
    nominal = nominal_weight_bytes(parameters, nominal_bits(precision))
    return f"{precision}: {size(nominal)} nominal; {reason}"
