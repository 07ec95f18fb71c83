"""What the config derives against what the files hold, and what there is to say about it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from hubvram.architecture.attention import SlidingAttention
from hubvram.architecture.families import architecture_of, described
from hubvram.architecture.layers import Architecture
from hubvram.architecture.reconcile import Reconciliation, Status, reconcile
from hubvram.architecture.roles import NotUnderstoodError
from hubvram.checkpoint.tensors import Checkpoint, TensorInfo
from hubvram.config.completed import can_complete, completed
from hubvram.config.defaults import is_known
from hubvram.config.reader import ModelConfig
from hubvram.dtypes import COMPUTE_DTYPES
from hubvram.sources.interface import CONFIG_FILE

_DIMENSIONS: Final = (
    *("hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads"),
    *("intermediate_size", "vocab_size"),
)


def understand(config: ModelConfig | None, checkpoint: Checkpoint) -> tuple[Reconciliation, tuple[str, ...]]:
    """What the config derives against what the files hold, and what there is to say about it. Raises ConfigError."""
    if config is None:
        note = f"there is no {CONFIG_FILE}: weights are exact, dimensions and caches unknown"
        return reconcile(checkpoint, None), (note,)
    architecture = architecture_of(config)
    if architecture is None:
        return _by_shapes(config, checkpoint)
    compared = reconcile(checkpoint, architecture, declared=config.quantization)
    return compared, family_notes(config, architecture)


_COMPLETE: Final = (
    "transformers knows this type: with `pip install 'hubvram[transformers]'` its config class fills in what "
    "config.json leaves out, which may be enough"
)
_BY_SHAPES: Final = (
    "model type {!r} has no family here: its layers were read from the usual fields of config.json and the names and "
    "shapes of the tensors, which agree; the KV cache assumes that {} keeps K and V of {}"
)


def _by_shapes(config: ModelConfig, checkpoint: Checkpoint) -> tuple[Reconciliation, tuple[str, ...]]:
    """For a type without a family: what the usual fields and the tensors make, if that meets every tensor."""
    from hubvram.architecture.generic import derive  # for types without a family

    try:
        tensors = _logical(config, checkpoint)
        architecture = derive(completed(config.text), tensors, config.architectures)
        compared = reconcile(checkpoint, architecture, declared=config.quantization, by_shapes=True)
        if compared.status is not Status.SHAPE_MATCHED:
            wrong = ", ".join(compared.differences or compared.strangers[:1]) or "packed tensors"
            raise NotUnderstoodError(f"{wrong} do not add up")
    except NotUnderstoodError as error:
        unknown = reconcile(checkpoint, None, declared=config.quantization)
        return unknown, _unknown(config, str(error))
    return compared, _by_shapes_notes(config, architecture)


def _logical(config: ModelConfig, checkpoint: Checkpoint) -> Sequence[TensorInfo]:
    """The tensors as a model that is not quantized has them. Raises NotUnderstoodError."""
    if config.quantization is None and all(kind.dtype in COMPUTE_DTYPES for kind in checkpoint.kinds):
        return checkpoint.tensors
    from hubvram.checkpoint.logical import logical_tensors

    found = []
    for name, shape in logical_tensors(checkpoint, config.quantization):
        if shape is None:
            method = config.quantization_method or "packed tensors"
            raise NotUnderstoodError(f"packed by {method!r}, its shapes show no dimensions")
        found.append(TensorInfo(name=name, dtype="", shape=shape, stored_bytes=0, file=""))
    return found


def _by_shapes_notes(config: ModelConfig, architecture: Architecture) -> tuple[str, ...]:
    """What such figures assume."""
    text = config.text
    whose = "its class" if is_known(text.model_type or "") else "the repo's own code"
    windows = any(isinstance(layer.mixer, SlidingAttention) for layer in architecture.layers)
    kept = "every layer, in sliding ones those of the window only" if windows else "all tokens in every layer"
    note = _BY_SHAPES.format(text.model_type, whose, kept)
    silent = [key for key in _DIMENSIONS if text.defaulted((key,)) or not (text.is_a(int, key) or text.is_a(list, key))]
    if not silent:
        return (note,)
    return note, f"config.json leaves out {', '.join(silent)}: the shapes of the tensors decide"


def family_notes(config: ModelConfig, architecture: Architecture) -> tuple[str, ...]:
    """What must be known of an architecture that a family derived."""
    notes = []
    if config.whole is not config.text and described(config) is config.text:
        name = f"model type {config.model_type!r}" if config.model_type else "the whole"
        notes.append(f"{name} is not one that hubvram understands yet: this is the {architecture.model_type} inside it")
    left_out = config.text.defaulted(_DIMENSIONS)
    if left_out:
        notes.append(f"config.json leaves out {', '.join(left_out)}: taken from transformers' defaults")
    return tuple(notes)


def _unknown(config: ModelConfig, reason: str) -> tuple[str, ...]:
    """What there is to say about a type that nothing is derived for."""
    model_type = config.text_model_type
    name = f"model type {model_type!r} is" if model_type else "the config names no model type; it is"
    note = f"{name} not one that hubvram understands yet ({reason}): weights are exact, "
    note += "KV cache and activations unknown"
    return (note, _COMPLETE) if is_known(model_type or "") and not can_complete(config.text) else (note,)
