"""The report for people: 80 columns of plain text, the answer before the detail, no meaning in colour."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final

from hubvram.architecture.layers import (
    Architecture,
    ChannelMixer,
    FullAttention,
    LayerGroup,
    MoEMLP,
    SlidingAttention,
)
from hubvram.architecture.reconcile import Reconciliation, Status
from hubvram.hardware.fit import Fit
from hubvram.inspection import Inspection, Model
from hubvram.memory.engines import transformers as engine
from hubvram.memory.estimate import MemoryEstimate
from hubvram.memory.weights import STORED
from hubvram.reports.table import align
from hubvram.units import count, gib, ranges, size

WIDTH: Final = 80
_LONGEST_NAME: Final = 100

_STATUS: Final = {
    Status.RECONCILED: "reconciled: config.json and the file headers agree",
    Status.UNRECONCILED: "NOT reconciled: config.json and the file headers differ, see below",
    Status.QUANTIZED: "derived from config.json; the files hold them packed",
    Status.DERIVED: "derived from config.json; there are no headers to compare with",
    Status.UNKNOWN_ARCHITECTURE: "counted in the file headers",
    Status.NO_HEADERS: "by the Hub's own count",
}


def render(found: Inspection, *, every_layer: bool = False) -> str:
    """The whole report; `every_layer` lists the layers one by one."""
    blocks = [
        _title(found.model),
        _dimensions(found.model, every_layer=every_layer),
        _memory(found),
        _fits(found),
        _notes(found.notes),
    ]
    return "\n\n".join("\n".join(block) for block in blocks if block) + "\n"


# ------------------------------------------------------------------------------------- what it is


def _title(model: Model) -> list[str]:
    at = f"   {model.requested_revision or ''} @ {model.revision[:7]}" if model.revision else ""
    facts = [_short(model.model_type or "no model type")]
    if model.checkpoint is not None:
        files = len(model.checkpoint.files)
        facts.append(f"{files} safetensors file{'s' if files != 1 else ''}")
    facts.append(_short(model.stored.scheme))
    if model.listed_bytes is not None:
        facts.append(f"{size(model.listed_bytes)} {'to download' if model.requested_revision else 'on disk'}")
    compared = model.reconciliation
    return [
        f"{_short(model.model_id)}{at}",
        *_wrap(", ".join(facts), indent=0),
        *_wrap(f"{compared.total:,} parameters{_active(model)}, {_STATUS[compared.status]}", indent=0),
    ]


def _short(text: str) -> str:
    """What an author named, on one line and of a length that leaves room for the rest."""
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST_NAME else text[: _LONGEST_NAME - 3] + "..."


def _active(model: Model) -> str:
    active = model.active_parameters
    return "" if active == model.reconciliation.total else f", {count(active)} active per token"


# --------------------------------------------------------------------------------- its dimensions


def _dimensions(model: Model, *, every_layer: bool) -> list[str]:
    architecture, compared = model.architecture, model.reconciliation
    if architecture is None:
        return _components(compared)
    rows = [*_embedding(architecture)]
    for group in _listed(architecture) if every_layer else architecture.groups():
        rows += _layer(group, total=architecture.num_hidden_layers)
    rows.append(("final norm", f"{architecture.hidden_size:,}", count(architecture.final_norm.parameters)))
    rows += _head(architecture)
    lines = []
    for label, text, parameters in rows:
        pieces = textwrap.wrap(text, WIDTH - 27) or [""]
        lines.append(f"  {label:<11} {pieces[0]:<{WIDTH - 27}} {parameters:>10}".rstrip())
        lines += [f"  {'':<11} {piece}" for piece in pieces[1:]]
    return lines


def _components(compared: Reconciliation) -> list[str]:
    """Without an architecture: what the tensors' names say."""
    rows = [
        (component.value, f"{number:,}", f"{number / compared.total:.1%}")
        for component, number in sorted(compared.by_component.items(), key=lambda item: -item[1])
    ]
    return ["  " + line for line in align(rows)] if rows else []


def _embedding(architecture: Architecture) -> Iterator[tuple[str, str, str]]:
    hidden = architecture.hidden_size
    yield "embedding", f"{architecture.vocab_size:,} x {hidden:,}", count(architecture.vocab_size * hidden)
    if architecture.learned_positions:
        positions = architecture.learned_positions
        yield "positions", f"{positions:,} x {hidden:,}", count(positions * hidden)


def _head(architecture: Architecture) -> Iterator[tuple[str, str, str]]:
    if architecture.has_tied_head:
        yield "head", "tied to the embedding", "0"
    elif architecture.head is not None:
        head = architecture.head
        yield "head", f"{head.out_features:,} x {head.in_features:,}", count(head.parameters)


def _listed(architecture: Architecture) -> list[LayerGroup]:
    return [LayerGroup(layer=layer, indices=((index, index),)) for index, layer in enumerate(architecture.layers)]


def _layer(group: LayerGroup, *, total: int) -> Iterator[tuple[str, str, str]]:
    layer = group.layer
    which = _indices(group)
    if group.count == total:
        which = ""
    label = f"{group.count} layers" if group.count > 1 else f"layer {group.indices[0][0]}"
    each = "each" if group.count > 1 else "in all"
    where = f", layers {which}" if which and group.count > 1 else ""
    yield label, f"{each}{where}", count(layer.parameters)
    yield "  attention", _attention(layer.mixer), count(layer.mixer.parameters)
    yield "", _heads(layer.mixer), ""
    yield from _mlp(layer.mlp)
    yield (
        "  norms",
        f"{layer.norms.count} x {layer.norms.hidden_size:,}{' with bias' if layer.norms.bias else ''}",
        count(layer.norms.parameters),
    )


def _indices(group: LayerGroup) -> str:
    """`0-4, 6-10`, or for a regular comb `0, 2, 4, ... 24`."""
    members = [index for first, last in group.indices for index in range(first, last + 1)]
    steps = {right - left for left, right in pairwise(members)}
    if len(members) > 4 and len(steps) == 1 and steps != {1}:
        return f"{members[0]}, {members[1]}, {members[2]} ... {members[-1]}"
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in ranges(members))


def _attention(mixer: FullAttention) -> str:
    bias = {
        (True, True): ", with biases",
        (True, False): ", Q K V with biases",
        (False, True): ", O with bias",
    }
    return f"Q {mixer.q_size:,}  K {mixer.k_size:,}  V {mixer.v_size:,}  O {mixer.o_size:,}" + bias.get(
        (mixer.qkv_bias, mixer.o_bias), ""
    )


def _heads(mixer: FullAttention) -> str:
    groups = mixer.num_key_value_heads
    heads = f"{mixer.num_attention_heads} heads, {groups} KV head{'s' * (groups != 1)} of {mixer.head_dim}"
    norms = ", Q and K normed" if mixer.qk_norm else ""
    window = f", window of {mixer.sliding_window:,} tokens" if isinstance(mixer, SlidingAttention) else ""
    return heads + norms + window


def _mlp(mlp: ChannelMixer) -> Iterator[tuple[str, str, str]]:
    if isinstance(mlp, MoEMLP):
        yield (
            "  experts",
            f"{mlp.num_experts} x gate, up, down {mlp.moe_intermediate_size:,}",
            count(mlp.expert_parameters),
        )
        shared = mlp.shared_expert_intermediate_size
        beside = f", beside a shared one of {shared:,}" if shared else ""
        yield "", f"{mlp.num_experts_per_tok} chosen per token{beside}", ""
        yield "  router", f"{mlp.num_experts:,} x {mlp.hidden_size:,}", count(mlp.router_parameters)
    else:
        names = "gate, up, down" if mlp.gated else "up, down"
        yield (
            "  mlp",
            f"{names} {mlp.intermediate_size:,}{', with biases' if mlp.bias else ''}",
            count(mlp.parameters),
        )


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
            rows.append((marker + _label(estimate), *_cells(estimate, decimals)))
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
    if found.attention is None:
        return "Memory in GiB; KV cache and activations are not known for this model"
    tokens = f"{workload.context_tokens:,} token{'s' * (workload.context_tokens != 1)}"
    parts = [f"{tokens} x {workload.batch_size:,}"]
    if workload.input_tokens != workload.context_tokens:
        parts[0] += f" ({workload.input_tokens:,} of them input)"
    if found.workload.kv_cache_dtype:
        parts.append(f"KV cache {found.workload.kv_cache_dtype}")
    parts.append(f"{engine.NAME} with {found.attention}")
    return "Memory in GiB for " + ", ".join(parts)


def _label(estimate: MemoryEstimate) -> str:
    """A precision's name; what is stored in several types is named in the title."""
    if estimate.precision != STORED:
        return estimate.precision
    return STORED if "+" in estimate.scheme else f"{STORED} {estimate.scheme}"


def _cells(estimate: MemoryEstimate, decimals: int) -> tuple[str, ...]:
    rest = estimate.size_of("buffers") + estimate.size_of("outputs")
    known_cache = estimate.kv_cache_dtype is not None
    known = estimate.is_complete
    rule = estimate.rule_of_thumb_bytes
    return (
        gib(estimate.size_of("weights"), decimals),
        gib(estimate.size_of("kv_cache"), decimals) if known_cache else "?",
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
    lines = [estimate.scheme_description for estimate in found.estimates if estimate.precision in shown]
    runtime = next(c for c in found.stored_estimate.components if c.name == "runtime")
    lines.append(
        f"runtime (CUDA context, workspaces) is assumed, {gib(runtime.low_bytes)} to {gib(runtime.high_bytes)}; "
        "rule x1.2 is what people usually calculate: parameters x bytes x 1.2"
    )
    if peak is not None:
        lines.append(f"the peak of {_label(deciding)} is {peak.explanation}")
    return ["", *(line for text in dict.fromkeys(lines) for line in _wrap(text))]


# -------------------------------------------------------------------------------------- what fits


def _fits(found: Inspection) -> list[str]:
    lines = []
    deciding = found.requested_precisions or (STORED, "int4")
    for estimate, fits in zip(found.estimates, found.fits, strict=True):
        if estimate.precision in deciding:
            lines += _verdicts(f"Fits ({_label(estimate)})", fits)
    return lines


_NAMED: Final = 3  # the smallest that fit; whoever reads on has a larger one


def _verdicts(title: str, fits: Sequence[Fit]) -> list[str]:
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
