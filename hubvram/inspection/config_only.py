"""What config.json alone says, where there are weights but no headers to read (.bin, GGUF)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from hubvram.architecture.families import architecture_of, described
from hubvram.architecture.layers import Architecture
from hubvram.architecture.reconcile import Reconciliation, Status
from hubvram.config.reader import ModelConfig
from hubvram.dtypes import COMPUTE_BYTES
from hubvram.errors import ConfigError, NoCheckpointError
from hubvram.inspection.model import Model, model_of
from hubvram.inspection.understanding import family_notes
from hubvram.memory.estimate import Basis, exact
from hubvram.memory.weights import STORED, Weights
from hubvram.sources.interface import CONFIG_FILE, ModelSource
from hubvram.units import size

_WRITTEN_OUT: Final = ("hidden_size", "num_hidden_layers", "num_attention_heads", "vocab_size")


def without_safetensors(source: ModelSource, config: ModelConfig | None, error: NoCheckpointError) -> Model:
    """A model in files of another format, if its config says enough by itself; else raises `error`, or ConfigError."""
    if config is None or not error.holds_model or config.quantization_method:
        raise error
    architecture = self_described(config)
    if architecture is None:
        raise _left_out(config, error)
    total = architecture.parameters
    dtype, how = _named_or_measured(source, config, error.found, total)
    if not dtype:
        raise unknown_dtype(source, config)
    return model_of(
        source,
        config,
        derived(Status.DERIVED, architecture),
        derived_weights(total, dtype),
        f"no safetensors in it, but {error.kind} ({error.found[0]}): all figures are derived from config.json, {how}",
        *family_notes(config, architecture),
    )


def self_described(config: ModelConfig) -> Architecture | None:
    """The architecture of a config that says enough by itself: a type with a family, its dimensions written out."""
    return None if described(config) is None or config.text.defaulted(_WRITTEN_OUT) else architecture_of(config)


def derived(status: Status, architecture: Architecture, hub_total: int | None = None) -> Reconciliation:
    """All that config.json says, as the answer."""
    return Reconciliation(
        status=status,
        total=architecture.parameters,
        by_component=architecture.parameters_by_component,
        architecture=architecture,
        derived=architecture.parameters,
        hub_total=hub_total,
    )


def derived_weights(total: int, dtype: str) -> Weights:
    """All parameters in one type."""
    stored_bytes = total * COMPUTE_BYTES[dtype]
    return Weights(
        precision=STORED,
        scheme=dtype,
        description="in the type that the files are taken to have",
        compute_dtype=dtype,
        nominal_bytes=stored_bytes,
        component=exact("weights", stored_bytes, Basis.DERIVED, "no headers were read"),
    )


def unknown_dtype(source: ModelSource, config: ModelConfig) -> ConfigError:
    """For a config that names no type, or none that is known, where the files do not tell it either."""
    named = config.named_dtype
    what = "it is missing" if named is None else f"{named!r} is no type that hubvram computes in"
    reason = f"torch_dtype: {what}, and the size of the files does not tell the type of the weights"
    return ConfigError(source.model_id, CONFIG_FILE, reason)


def _left_out(config: ModelConfig, error: NoCheckpointError) -> NoCheckpointError:
    """With the fields that are not in it, where its type has a family."""
    missing = config.text.defaulted(_WRITTEN_OUT) if described(config) is not None else ()
    return NoCheckpointError(
        error.model_id,
        kind=error.kind,
        found=error.found,
        holds_model=True,
        left_out=tuple(f"{config.text.path}{key}" for key in missing),
    )


_SIZE_TOLERANCE: Final = 0.05  # a pickle adds a little, and masks; the next type is half or twice as large


def _named_or_measured(source: ModelSource, config: ModelConfig, files: Sequence[str], total: int) -> tuple[str, str]:
    """(the stored type, how it is known): config.json's, else by the size of the files; "" where neither says it."""
    listed_bytes = sum(source.files[file].size_bytes or 0 for file in files)
    if config.dtype is not None:
        how = "the stored type is the one that it names"
        agrees = abs(listed_bytes / (total * COMPUTE_BYTES[config.dtype]) - 1) < _SIZE_TOLERANCE
        return config.dtype, how if agrees or not listed_bytes else f"{how}, though the files take {size(listed_bytes)}"
    for dtype in ("fp32", "fp16"):
        if abs(listed_bytes / (total * COMPUTE_BYTES[dtype]) - 1) < _SIZE_TOLERANCE:
            bits = 8 * COMPUTE_BYTES[dtype]
            return dtype, f"it names no type: by the size of the files {bits} bits a parameter, taken as {dtype}"
    return "", ""
