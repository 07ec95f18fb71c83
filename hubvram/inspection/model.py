"""What a model is, read from a source: config, headers and their comparison."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from hubvram.architecture.attention import SlidingAttention
from hubvram.architecture.families import architecture_of, described
from hubvram.architecture.generic import derive
from hubvram.architecture.layers import Architecture
from hubvram.architecture.reconcile import Reconciliation, Status, reconcile
from hubvram.architecture.roles import NotUnderstoodError
from hubvram.checkpoint.components import Component
from hubvram.checkpoint.files import weight_files
from hubvram.checkpoint.reader import read_checkpoint
from hubvram.checkpoint.tensors import Checkpoint
from hubvram.config.completed import can_complete, completed
from hubvram.config.defaults import is_known
from hubvram.config.reader import ModelConfig, parse_config
from hubvram.dtypes import COMPUTE_BYTES, COMPUTE_DTYPES, SAFETENSORS_BITS
from hubvram.errors import (
    CheckpointError,
    ConfigError,
    FileMissingError,
    GatedRepoError,
    ModelUnreadableError,
    NoCheckpointError,
)
from hubvram.inspection.notes import dtype_notes, reconciliation_notes
from hubvram.memory.estimate import Basis, exact
from hubvram.memory.weights import STORED, Weights, scheme_name, stored_weights
from hubvram.sources.interface import CONFIG_FILE, CONFIG_LIMIT_BYTES, ModelSource, OnProgress, PublicSummary
from hubvram.units import size

_DIMENSIONS: Final = (
    *("hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads"),
    *("intermediate_size", "vocab_size"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """What a model is: everything that does not depend on how it is run."""

    model_id: str
    revision: str | None
    requested_revision: str | None
    model_type: str | None
    architectures: tuple[str, ...]
    library: str | None
    quantization_method: str | None
    checkpoint: Checkpoint | None
    """None where there are no headers, or none that we may read (a gated repo)."""
    listed_bytes: int | None
    """Size of the weight files, as the source lists them."""
    reconciliation: Reconciliation
    stored: Weights
    notes: tuple[str, ...]

    @property
    def architecture(self) -> Architecture | None:
        return self.reconciliation.architecture

    @property
    def active_parameters(self) -> int:
        """Parameters that one token uses: the input embedding included, blocks for multi-token prediction not."""
        inactive = self.architecture.inactive_parameters if self.architecture else 0
        if self.reconciliation.status is Status.UNRECONCILED and self.architecture is not None:
            return self.architecture.parameters - inactive  # of the model that config.json describes
        return self.reconciliation.total - inactive - self.reconciliation.by_component.get(Component.MTP, 0)

    @property
    def active_without_input_embedding(self) -> int:
        """The same without the embedding: what model cards call non-embedding parameters, tied head or not."""
        return self.active_parameters - self.reconciliation.by_component.get(Component.EMBEDDING, 0)


def read_model(source: ModelSource, on_progress: OnProgress | None = None) -> Model:
    """Config, headers and their comparison. Raises ModelUnreadableError."""
    try:
        config, checkpoint = _read_both(source, on_progress)
    except GatedRepoError:
        if source.summary is None or not source.summary.elements_by_dtype:
            raise
        return _from_summary(source, source.summary)
    if isinstance(checkpoint, NoCheckpointError):
        if config is None or not (checkpoint.holds_model and _describes_a_model(config)):
            raise checkpoint
        return _from_config(source, config, checkpoint)
    if not checkpoint.tensors:
        raise CheckpointError(source.model_id, checkpoint.files[0], "it holds no tensors")
    compared, notes = understand(config, checkpoint)
    return Model(
        model_id=source.model_id,
        revision=source.revision,
        requested_revision=source.requested_revision,
        model_type=config.model_type if config else None,
        architectures=config.architectures if config else (),
        library=_library(source, config),
        quantization_method=config.quantization_method if config else None,
        checkpoint=checkpoint,
        listed_bytes=checkpoint.file_bytes,
        reconciliation=compared,
        stored=stored_weights(checkpoint, compared, config.dtype if config else None),
        notes=(
            *source.notes,
            *checkpoint.notes,
            *notes,
            *reconciliation_notes(config, compared),
            *dtype_notes(config, checkpoint, compared),
        ),
    )


def _read_both(
    source: ModelSource, on_progress: OnProgress | None
) -> tuple[ModelConfig | None, Checkpoint | NoCheckpointError]:
    """Config and headers, at the same time: each waits for the network. What is wrong with the config is said first."""
    with ThreadPoolExecutor(max_workers=1) as executor:
        reading = executor.submit(_read_config, source)
        found: Checkpoint | NoCheckpointError
        try:
            found = read_checkpoint(source, on_progress)
        except NoCheckpointError as error:
            found = error
        except ModelUnreadableError:
            reading.result()
            raise
        return reading.result(), found


def understand(config: ModelConfig | None, checkpoint: Checkpoint) -> tuple[Reconciliation, tuple[str, ...]]:
    """What the config derives against what the files hold, and what there is to say about it. Raises ConfigError."""
    if config is None:
        note = f"there is no {CONFIG_FILE}: weights are exact, dimensions and caches unknown"
        return reconcile(checkpoint, None), (note,)
    architecture = architecture_of(config)
    if architecture is None:
        return _by_shapes(config, checkpoint)
    compared = reconcile(checkpoint, architecture, quantization_method=config.quantization_method)
    return compared, _family_notes(config, architecture)


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
    method = config.quantization_method
    try:
        if method is not None:
            raise NotUnderstoodError(f"packed by {method!r}, its shapes show no dimensions")
        architecture = derive(completed(config.text), checkpoint.tensors, config.architectures)
        compared = reconcile(checkpoint, architecture, by_shapes=True)
        if compared.status is not Status.SHAPE_MATCHED:
            wrong = ", ".join(compared.differences or compared.strangers[:1]) or "packed tensors"
            raise NotUnderstoodError(f"{wrong} do not add up")
    except NotUnderstoodError as error:
        unknown = reconcile(checkpoint, None, quantization_method=method)
        return unknown, _unknown(config, str(error))
    return compared, _by_shapes_notes(config, architecture)


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


def _library(source: ModelSource, config: ModelConfig | None) -> str | None:
    """By the Hub; elsewhere, a config.json with a model type is how transformers saves a model."""
    if source.summary is not None and source.summary.library:
        return source.summary.library
    return "transformers" if config is not None and config.model_type else None


def _read_config(source: ModelSource) -> ModelConfig | None:
    try:
        return parse_config(source.read(CONFIG_FILE, CONFIG_LIMIT_BYTES), source.model_id)
    except FileMissingError:
        return None


def _family_notes(config: ModelConfig, architecture: Architecture) -> tuple[str, ...]:
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


def _describes_a_model(config: ModelConfig) -> bool:
    """Whether a config says enough by itself: a type with a family, its dimensions written out, nothing packed."""
    return (
        described(config) is not None
        and not config.quantization_method
        and not config.text.defaulted(("hidden_size", "num_hidden_layers", "num_attention_heads", "vocab_size"))
    )


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


_SIZE_TOLERANCE: Final = 0.05  # a pickle adds a little, and masks; the next type is half or twice as large


def _from_config(source: ModelSource, config: ModelConfig, error: NoCheckpointError) -> Model:
    """What config.json alone says, where there are weights but no headers to read (.bin, GGUF)."""
    architecture = architecture_of(config)
    if architecture is None:
        raise error
    total = architecture.parameters
    dtype, how = _named_or_measured(source, config, error.found, total)
    if not dtype:
        reason = "torch_dtype: it is missing, and the size of the files does not tell the type of the weights"
        raise ConfigError(source.model_id, CONFIG_FILE, reason)
    stored_bytes = total * COMPUTE_BYTES[dtype]
    return Model(
        model_id=source.model_id,
        revision=source.revision,
        requested_revision=source.requested_revision,
        model_type=config.model_type,
        architectures=config.architectures,
        library=_library(source, config),
        quantization_method=None,
        checkpoint=None,
        listed_bytes=None,
        reconciliation=Reconciliation(
            status=Status.DERIVED,
            total=total,
            by_component=architecture.parameters_by_component,
            architecture=architecture,
            derived=total,
        ),
        stored=Weights(
            precision=STORED,
            scheme=dtype,
            description="in the type that the files are taken to have",
            compute_dtype=dtype,
            nominal_bytes=stored_bytes,
            component=exact("weights", stored_bytes, Basis.DERIVED, "no headers were read"),
        ),
        notes=(
            *source.notes,
            f"no safetensors in it, but {error.kind} ({error.found[0]}): "
            f"all figures are derived from config.json, {how}",
            *_family_notes(config, architecture),
        ),
    )


def _from_summary(source: ModelSource, summary: PublicSummary) -> Model:
    """What is public about a gated repo: sizes of its files, and the Hub's own totals."""
    elements = summary.elements_by_dtype
    known = {dtype: number for dtype, number in elements.items() if dtype in SAFETENSORS_BITS}
    stored_bytes = sum(number * SAFETENSORS_BITS[dtype] // 8 for dtype, number in known.items())
    largest = max(known, key=lambda dtype: known[dtype] * SAFETENSORS_BITS[dtype], default="")
    sizes = [source.files[path].size_bytes for path in weight_files(source)]
    total = sum(elements.values())
    return Model(
        model_id=source.model_id,
        revision=source.revision,
        requested_revision=source.requested_revision,
        model_type=summary.model_type,
        architectures=summary.architectures,
        library=summary.library,
        quantization_method=None,
        checkpoint=None,
        listed_bytes=sum(size for size in sizes if size is not None),
        reconciliation=Reconciliation(status=Status.NO_HEADERS, total=total, by_component={}),
        stored=Weights(
            precision=STORED,
            scheme=scheme_name(elements),
            description="by the totals that the Hub publishes",
            compute_dtype=COMPUTE_DTYPES.get(largest),
            nominal_bytes=stored_bytes,
            component=exact("weights", stored_bytes, Basis.READ, "the Hub's totals for its main branch"),
        ),
        notes=(
            *source.notes,
            "the repo is gated: this is what is public; layers, KV cache and activations need access to its files "
            f"(ask for it at https://huggingface.co/{source.model_id}, then `hf auth login`)",
        ),
    )
