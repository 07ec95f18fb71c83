"""The report for people: 80 columns of plain text, the answer before the detail, no meaning in colour."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from typing import Final

from hubvram.architecture.reconcile import Status
from hubvram.hardware.fit import Fit
from hubvram.inspection import Inspection, Model
from hubvram.memory.engines import ENGINES
from hubvram.memory.estimate import Basis, MemoryEstimate
from hubvram.memory.weights import STORED
from hubvram.reports.dimensions import dimensions
from hubvram.reports.explanation import explanation
from hubvram.reports.packed import packed_line, stored_name
from hubvram.reports.table import REST, WIDTH, align
from hubvram.units import GIB, count, gib, size

_LONGEST_NAME: Final = 100
_LONGEST_LABEL: Final = 12  # of a row, so that sizes have room for two decimals

_STATUS: Final = {
    Status.RECONCILED: "reconciled: config.json and the file headers agree",
    Status.SHAPE_MATCHED: "shape-matched: config.json and the shapes of the tensors agree",
    Status.UNRECONCILED: "NOT reconciled: config.json and the file headers differ, see below",
    Status.QUANTIZED: "derived from config.json; the files hold them packed",
    Status.TOTALS_MATCHED: "matched: config.json and the Hub's totals agree",
    Status.DERIVED: "derived from config.json; no headers were read to compare with",
    Status.CONTRADICTED: "derived from config.json; the Hub's listing differs, see below",
    Status.UNKNOWN_ARCHITECTURE: "counted in the file headers",
    Status.NO_HEADERS: "by the Hub's own count",
}


def render(found: Inspection, *, every_layer: bool = False, explain: bool = False) -> str:
    """The whole report; `every_layer` lists the layers one by one, `explain` says how each figure comes about."""
    blocks = [
        _title(found.model),
        dimensions(found.model, every_layer=every_layer),
        _memory(found),
        _fits(found),
        explanation(found) if explain else [],
        _notes(found.notes),
    ]
    return "\n\n".join("\n".join(block) for block in blocks if block) + "\n"


# ------------------------------------------------------------------------------------- what it is


def _title(model: Model) -> list[str]:
    at = f"   {model.requested_revision or ''} @ {model.revision[:7]}" if model.revision else ""
    facts = [_short(model.model_type or "no model type")]
    stored = model.checkpoint or model.totals
    if stored is not None:
        files = len(stored.files)
        facts.append(f"{files} safetensors file{'s' if files != 1 else ''}")
    facts.append(_short(stored_name(model)))
    if model.listed_bytes is not None:
        facts.append(f"{size(model.listed_bytes)} {'to download' if model.requested_revision else 'on disk'}")
    compared = model.reconciliation
    return [
        f"{_short(model.model_id)}{at}",
        *_wrap(", ".join(facts), indent=0),
        *_wrap(f"{compared.total:,} parameters{_active(model)}, {_STATUS[compared.status]}", indent=0),
        *(_wrap(packed_line(model.quantization), indent=0) if model.quantization else ()),
    ]


def _short(text: str) -> str:
    """What an author named, on one line and of a length that leaves room for the rest."""
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST_NAME else text[: _LONGEST_NAME - 3] + "..."


def _active(model: Model) -> str:
    """Both counts that are published, where not all parameters are used by each token."""
    active, without = model.active_parameters, model.active_without_input_embedding
    if active >= model.reconciliation.total:
        return ""
    return f", {count(active)} active per token ({count(without)} without the input embedding)"


# ------------------------------------------------------------------------------------- its memory

_COLUMNS: Final = ("weights", "KV cache", "activations", "rest", "runtime", "total", "rule x1.2")


def _memory(found: Inspection) -> list[str]:
    return [*_wrap(_headline(found), indent=0), "", *_table(found), *_footnotes(found)]


def _table(found: Inspection) -> list[str]:
    """The rows, as precise and as loose as 80 columns allow."""
    marked = set(found.requested_precisions)
    lines: list[str] = []
    for decimals, gap in ((2, 2), (1, 2), (0, 2), (0, 1)):
        rows: list[tuple[str, ...]] = [("", *_COLUMNS)]
        for estimate in _shown(found):
            marker = "> " if estimate.precision in marked else "  "
            rows.append((marker + _label(found, estimate), *_cells(estimate, decimals)))
        rows += [("> " + precision, *("?" for _ in _COLUMNS)) for precision, _ in found.unknown]
        lines = align(rows, gap=gap)
        if max(map(len, lines)) <= WIDTH:
            break
    return lines


def _shown(found: Inspection) -> list[MemoryEstimate]:
    """The stored precision first, for comparison; a row that would only repeat it is left out."""
    stored = found.stored_estimate
    others = [estimate for estimate in found.estimates if estimate.precision != STORED]
    if not found.requested_precisions:
        others = [estimate for estimate in others if estimate.scheme != stored.scheme]
    return [stored, *others]


def _headline(found: Inspection) -> str:
    workload = found.workload
    if not any(estimate.kv_cache_dtype for estimate in _shown(found)):
        return "Memory in GiB; KV cache and activations are not known for this model"
    parts = [_what_runs(found)]
    if workload.input_tokens != workload.context_tokens:
        parts[0] += f" ({workload.input_tokens:,} of them input)"
    if workload.kv_cache_dtype:
        parts.append(f"KV cache {workload.kv_cache_dtype}")
    if workload.padded:
        parts.append("padded")
    if workload.logits == "all":
        parts.append("logits of all tokens")
    if workload.cache != "dynamic":
        parts.append(f"{workload.cache} cache")
    engine = ENGINES[workload.engine]
    parts.append(f"{engine.name} {engine.version}" + (f" with {found.attention}" if found.attention else ""))
    return "Memory in GiB for " + ", ".join(parts)


def _what_runs(found: Inspection) -> str:
    """`8,192 tokens x 1`, or `1 image of 224 x 224`."""
    architecture, workload = found.model.architecture, found.workload
    image = architecture.image if architecture else None
    if image is not None:
        images = f"{workload.batch_size:,} image{'s' * (workload.batch_size != 1)}"
        return f"{images} of {image.height:,} x {image.width:,}"
    beside = architecture.image_beside if architecture else None
    if beside is not None:
        tokens = f"{workload.context_tokens:,} token{'s' * (workload.context_tokens != 1)}"
        return f"{tokens} and an image of {beside.height:,} x {beside.width:,}, x {workload.batch_size:,}"
    return f"{workload.context_tokens:,} token{'s' * (workload.context_tokens != 1)} x {workload.batch_size:,}"


def _label(found: Inspection, estimate: MemoryEstimate) -> str:
    """A precision's name; what is stored in several types is named in the title, and so are long names."""
    if estimate.precision != STORED:
        return estimate.precision
    word = STORED if estimate.components[0].basis is Basis.READ else "config"  # where no header was read
    name = stored_name(found.model)
    label = f"{word} {name}"
    return word if "+" in name or len(label) > _LONGEST_LABEL else label


def _cells(estimate: MemoryEstimate, decimals: int) -> tuple[str, ...]:
    rest = sum(estimate.size_of(name) for name in REST)
    known_cache = estimate.kv_cache_dtype is not None
    known = estimate.is_complete
    rule = estimate.rule_of_thumb_bytes
    return (
        gib(estimate.size_of("weights"), decimals),
        gib(estimate.size_of("kv_cache") + estimate.size_of("state"), decimals) if known_cache else "?",
        gib(estimate.size_of("activations"), decimals) if known else "?",
        gib(rest, decimals) if known else "?",
        gib(estimate.size_of("runtime"), decimals),
        gib(estimate.total_bytes, decimals) + ("" if known else "+"),
        gib(rule, decimals) if rule is not None else "-",
    )


def _footnotes(found: Inspection) -> list[str]:
    deciding = _shown(found)[-1] if found.requested_precisions else found.stored_estimate
    peak = next((moment for moment in deciding.instants if moment.name == deciding.peak), None)
    shown = set(found.requested_precisions or ("int4",)) - {STORED}
    lines: list[str] = []
    for estimate in (estimate for estimate in found.estimates if estimate.precision in shown):
        lines += filter(None, (estimate.scheme_description, estimate.components[0].note))
    lines += [_methods(found), "rule x1.2 is what people usually calculate: parameters x bytes x 1.2"]
    state_bytes = deciding.size_of("state")
    if state_bytes:
        lines.append(f"of the KV cache, {gib(state_bytes)} are states, which do not grow with the context")
    if peak is not None:
        lines.append(f"the peak of {_label(found, deciding)} is {peak.explanation}")
        lines += _loading(found, deciding)
    return ["", *(line for text in dict.fromkeys(lines) for line in _wrap(text))]


def _methods(found: Inspection) -> str:
    """Which method each figure came from."""
    engine = ENGINES[found.workload.engine]
    parts = [f"weights as stored are {_METHODS[found.stored_estimate.components[0].basis]}"]
    if len(_shown(found)) > 1:
        parts.append("at other precisions derived")
    known = {component.name for estimate in _shown(found) for component in estimate.components}
    derived = [word for name, word in _DERIVED.items() if name in known]
    if derived:
        parts.append(f"{', '.join(derived)}: derived from config.json and the code of {engine.name} {engine.version}")
    runtime = next(c for c in found.stored_estimate.components if c.name == "runtime")
    spread = f"{gib(runtime.low_bytes)} to {gib(runtime.high_bytes)}"
    return "; ".join((*parts, f"runtime (CUDA context, workspaces): assumed, {spread}"))


_METHODS: Final = {Basis.READ: "read in the files", Basis.DERIVED: "derived", Basis.ASSUMED: "assumed"}
_DERIVED: Final = {"kv_cache": "KV cache", "activations": "activations and rest"}


def _loading(found: Inspection, estimate: MemoryEstimate) -> Iterator[str]:
    """Where a model needs more to get there than to run."""
    running_bytes = estimate.total_bytes - estimate.size_of("runtime")
    from hubvram.inspection.loading import loadings_of

    (loading,) = loadings_of(found.model, found.workload.engine, (estimate,))
    direct, *others = loading.ways
    if direct.gpu_peak.high_bytes is None or direct.gpu_peak.high_bytes <= running_bytes:
        return
    most = size(direct.gpu_peak.high_bytes)
    line = f'loading takes more than running, beside the runtime: up to {most} with device_map="cuda"'
    for way in others:
        if way.gpu_peak.high_bytes is not None and way.host.low_bytes is not None:
            line += f', {gib(way.gpu_peak.high_bytes)} with .to("cuda") and {gib(way.host.low_bytes)} of host memory'
    yield line


# -------------------------------------------------------------------------------------- what fits


def _fits(found: Inspection) -> list[str]:
    lines = []
    deciding = found.requested_precisions or (STORED, "int4")
    for estimate, fits in zip(found.estimates, found.fits, strict=True):
        if estimate.precision in deciding:
            lines += _verdicts(f"Fits ({_label(found, estimate)})", fits)
    return lines


_NAMED: Final = 3  # the smallest that fit; whoever reads on has a larger one


def _verdicts(title: str, fits: Sequence[Fit]) -> list[str]:
    """From the smallest on, in whatever order they were asked for; as they come where they are of one size."""
    fits = sorted(fits, key=lambda fit: round(fit.accelerator.usable_bytes / GIB))
    yes = [fit for fit in fits if fit.fits]
    no = [fit for fit in fits if fit.fits is False]
    unknown = [fit.accelerator.label for fit in fits if fit.fits is None]
    parts = []
    if yes:
        named = ", ".join(_room(fit, first=fit is yes[0]) for fit in yes[:_NAMED])
        parts.append(named + (" and larger" if len(yes) > _NAMED else ""))
    if unknown:
        parts.append(f"{unknown[0]}{' and larger' if len(unknown) > 1 else ''}: cannot say, what is known would fit")
    if no:
        smallest_short = f"{no[-1].accelerator.label} ({gib(-no[-1].headroom_bytes, 1)} GiB short)"
        parts.append(f"not {smallest_short}" if parts else f"no: {smallest_short}")
    lead = f"{title}  "
    return textwrap.wrap("; ".join(parts), WIDTH, initial_indent=lead, subsequent_indent=" " * len(lead))


def _room(fit: Fit, *, first: bool) -> str:
    """`L40S 48GB with 2.4 GiB to spare`; the ones after it only repeat the number."""
    room = gib(fit.headroom_bytes, 1)
    return f"{fit.accelerator.label} with {room} GiB to spare" if first else f"{fit.accelerator.label} {room}"


# ------------------------------------------------------------------------------------------ notes


def _notes(notes: Sequence[str]) -> list[str]:
    return [line for note in notes for line in _wrap(note, bullet="note: ")]


def _wrap(text: str, *, indent: int = 2, bullet: str = "") -> list[str]:
    start = " " * indent + bullet
    return textwrap.wrap(text, WIDTH, initial_indent=start, subsequent_indent=" " * len(start), break_on_hyphens=False)
