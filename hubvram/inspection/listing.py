"""What can be said of a model without its headers: by config.json, the listing, and the Hub's own totals."""

from __future__ import annotations

from typing import Final

from hubvram.architecture.families import architecture_of
from hubvram.architecture.layers import Architecture
from hubvram.architecture.reconcile import Reconciliation, Status
from hubvram.architecture.tensor_counts import plausible_header_bytes
from hubvram.checkpoint.files import file_bytes, weight_files
from hubvram.checkpoint.totals import Totals, totals_of
from hubvram.config.reader import ModelConfig
from hubvram.dtypes import COMPUTE_BYTES, COMPUTE_DTYPES
from hubvram.errors import HeadersNeededError, ModelUnreadableError
from hubvram.inspection.config_only import derived, derived_weights, self_described, unknown_dtype
from hubvram.inspection.model import Model, model_of
from hubvram.inspection.notes import dtype_notes
from hubvram.inspection.understanding import family_notes
from hubvram.memory.estimate import Basis, exact
from hubvram.memory.weights import STORED, Weights, scheme_name, stored_weights
from hubvram.sources.interface import ModelSource

_MAIN: Final = "main"
"""The branch that the Hub's totals are of."""

_MATCHED: Final = "headers were not read: the Hub's totals and file sizes equal what config.json derives"
_DERIVED: Final = "headers were not read: all figures are derived from config.json, {}"
_CONTRADICTED: Final = "headers were not read, and {}; --headers always tells why"
_WRONG_SIZE: Final = "the {:,} bytes of the files are not what config.json derives"
_PACKED: Final = (
    "headers were not read: the files are quantized ({}); their size is exact, parameters are derived from config.json"
)
_TOTALS_ALONE: Final = "headers were not read, and {}: these are the Hub's totals; --headers always tells more"
_GATED: Final = (
    "the repo is gated: this is what is public; layers, KV cache and activations need access to its files "
    "(ask for it at https://huggingface.co/{}, then `hf auth login`)"
)


def comparable_totals(source: ModelSource) -> Totals | None:
    """The Hub's totals, where they are of the revision asked for and there is a model that they can be of."""
    if source.requested_revision != _MAIN:
        return None
    try:
        return totals_of(source, weight_files(source))
    except ModelUnreadableError:
        return None  # Whoever reads the headers is told what is wrong.


def from_totals(source: ModelSource, config: ModelConfig | None, totals: Totals) -> Model | None:
    """What config.json derives, where the totals and the files hold exactly that; None elsewhere.

    Raises ConfigError.
    """
    if config is None or config.quantization_method is not None or not totals.is_plain:
        return None
    architecture = architecture_of(config)
    if architecture is None or totals.elements != architecture.parameters or not _has_room(architecture, totals):
        return None
    return _by_totals(source, config, architecture, totals, Status.TOTALS_MATCHED, _MATCHED)


def from_summary(source: ModelSource) -> Model | None:
    """What is public about a gated repo; None where that is nothing."""
    totals = totals_of(source, weight_files(source))
    return None if totals is None else _totals_alone(source, None, totals, _GATED.format(source.model_id))


def from_listing(
    source: ModelSource, config: ModelConfig | None, files: tuple[str, ...], totals: Totals | None
) -> Model:
    """The most that can be said. Raises HeadersNeededError where that is nothing, ConfigError."""
    if totals is not None and (matched := from_totals(source, config, totals)) is not None:
        return matched
    architecture = self_described(config) if config is not None else None
    if config is None or architecture is None:
        if totals is None:
            raise HeadersNeededError(source.model_id)
        reason = "config.json does not say enough by itself" if config is not None else "there is no config.json"
        return _totals_alone(source, config, totals, _TOTALS_ALONE.format(reason))
    if config.quantization_method is not None or (totals is not None and _is_packed(architecture, totals)):
        return _packed(source, config, architecture, totals, files)
    if totals is None:
        return _by_size(source, config, architecture, files)
    against = _against(architecture, totals)
    if against:
        note = _CONTRADICTED.format(against)
        return _by_totals(source, config, architecture, totals, Status.CONTRADICTED, note)
    note = _DERIVED.format("and equal the Hub's totals; the listing has no sizes")
    return _by_totals(source, config, architecture, totals, Status.DERIVED, note)


def _has_room(architecture: Architecture, totals: Totals) -> bool | None:
    """Whether the files are as large as their tensors and headers; None where the listing has no sizes."""
    if totals.header_bytes is None:
        return None
    return totals.header_bytes in plausible_header_bytes(architecture, len(totals.files))


def _against(architecture: Architecture, totals: Totals) -> str:
    """What the totals and the files have that the architecture has not; "" where that is nothing."""
    beyond = totals.elements - architecture.parameters
    if beyond:
        how_many = f"{abs(beyond):,} {'more' if beyond > 0 else 'fewer'}"
        return f"the Hub counts {how_many} elements than config.json derives"
    if _has_room(architecture, totals) is False:
        return _WRONG_SIZE.format(totals.file_bytes)
    return ""


def _is_packed(architecture: Architecture, totals: Totals) -> bool:
    """Whether weights are in types that nothing computes in; masks of such types stand beside all of the weights."""
    plain = sum(number for dtype, number in totals.elements_by_dtype.items() if dtype in COMPUTE_DTYPES)
    return not totals.is_plain and plain < architecture.parameters


def _by_totals(
    source: ModelSource, config: ModelConfig, architecture: Architecture, totals: Totals, status: Status, note: str
) -> Model:
    """Dimensions by config.json, stored bytes by the Hub's totals."""
    compared = derived(status, architecture, totals.elements)
    return model_of(
        source,
        config,
        compared,
        stored_weights(totals, compared, config.dtype),
        note,
        *family_notes(config, architecture),
        *dtype_notes(config, totals, compared),
        totals=totals,
        listed_bytes=totals.file_bytes,
    )


def _totals_alone(source: ModelSource, config: ModelConfig | None, totals: Totals, note: str) -> Model:
    elements = totals.elements
    compared = Reconciliation(status=Status.NO_HEADERS, total=elements, by_component={}, hub_total=elements)
    stored = stored_weights(totals, compared, config.dtype if config else None)
    return model_of(source, config, compared, stored, note, totals=totals, listed_bytes=totals.file_bytes)


def _packed(
    source: ModelSource,
    config: ModelConfig,
    architecture: Architecture,
    totals: Totals | None,
    files: tuple[str, ...],
) -> Model:
    """Stored bytes by the listing: what the Hub counts in packed files is not always what they store."""
    listed_bytes = file_bytes(source, files)
    if listed_bytes is None:
        raise HeadersNeededError(source.model_id)
    method = config.quantization_method or "packed tensors"
    return model_of(
        source,
        config,
        derived(Status.QUANTIZED, architecture, totals.elements if totals else None),
        _listed_weights(scheme_name(totals.by_dtype()) if totals else "packed", config.dtype, listed_bytes),
        _PACKED.format(method),
        *family_notes(config, architecture),
        totals=totals,
        listed_bytes=listed_bytes,
        files=files,
    )


def _by_size(source: ModelSource, config: ModelConfig, architecture: Architecture, files: tuple[str, ...]) -> Model:
    """Without totals: the sizes of the files say in which type they hold what config.json derives, if they do."""
    total, listed_bytes = architecture.parameters, file_bytes(source, files)
    dtype, status = config.dtype, Status.DERIVED
    note = _DERIVED.format("and the listing has no sizes to compare them with")
    if listed_bytes is not None:
        room = plausible_header_bytes(architecture, len(files))
        named = tuple(dict.fromkeys(name for name in (config.dtype, "fp32", "fp16") if name))
        dtype = next((name for name in named if listed_bytes - total * COMPUTE_BYTES[name] in room), None)
        note = _DERIVED.format(f"and in {dtype} they make files of the sizes listed")
    elif dtype is None:
        raise unknown_dtype(source, config)
    if dtype is not None:
        stored = derived_weights(total, dtype)
    else:
        status, note = Status.CONTRADICTED, _CONTRADICTED.format(_WRONG_SIZE.format(listed_bytes or 0))
        stored = _listed_weights(config.dtype or "unknown", config.dtype, listed_bytes or 0)
    return model_of(
        source,
        config,
        derived(status, architecture),
        stored,
        note,
        *family_notes(config, architecture),
        listed_bytes=listed_bytes,
        files=files,
    )


def _listed_weights(scheme: str, compute_dtype: str | None, listed_bytes: int) -> Weights:
    return Weights(
        precision=STORED,
        scheme=scheme,
        description="the files as they are",
        compute_dtype=compute_dtype,
        nominal_bytes=None,
        component=exact("weights", listed_bytes, Basis.READ, "the size of the files, their headers included"),
    )
