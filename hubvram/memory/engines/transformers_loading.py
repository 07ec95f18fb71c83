"""How transformers 5.23 gets a model into GPU memory: `from_pretrained`, straight to the GPU or by way of the CPU.

Files are mapped, not read (safetensors' `safe_open`; torch.load with `mmap`). Each tensor goes on by itself, and what
has another type is turned to the model's by the CPU (`_materialize_copy` in core_model_loading.py; torch's Copy.cu does
so "to avoid allocating extra GPU memory"). What `caching_allocator_warmup` reserves first is as large as the
weights, and is given back before they come. `device_map="auto"` does the same for what fits into 90 % of the GPU's
free memory, and leaves the rest on the CPU (`get_balanced_memory` in integrations/accelerate.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields
from functools import cached_property, partial
from typing import Final

from hubvram.architecture.stored import SHARED_EMBEDDING, TIED_HEAD, Item, draft_prefixes
from hubvram.checkpoint.components import Component
from hubvram.checkpoint.fetched import Fetched
from hubvram.checkpoint.files import INDEX_FILE, SINGLE_FILE
from hubvram.checkpoint.tensors import Kind
from hubvram.dtypes import COMPUTE_BYTES, TORCH_NAMES
from hubvram.memory.engines.transformers_conversions import UNDESCRIBED, conversions_of
from hubvram.memory.engines.transformers_on_load import (
    LIE,
    ON_LOAD,
    UNPACKED,
    OnLoad,
    is_packed_expert,
    why_not_known,
)
from hubvram.memory.engines.transformers_steps import THREADS, Parameter, Reading, Turn, turns_of
from hubvram.memory.estimate import Basis, MemoryEstimate
from hubvram.memory.loading import (
    Figure,
    Loadable,
    Loading,
    Step,
    Way,
    kept_bytes,
    known,
    not_known,
    peak_one_by_one,
    peak_read_ahead,
)
from hubvram.memory.weights import STORED, sixteen_bit
from hubvram.units import size

DIRECT: Final = "direct"
THROUGH_CPU: Final = "through_cpu"


@dataclass(frozen=True, kw_only=True)
class Files(Loadable):
    """The same, with the order in which transformers reads it."""

    @cached_property
    def turns(self) -> list[Turn]:
        """All tensors, in the order in which the model's parameters are made of them."""
        architecture = self.reconciliation.architecture
        return turns_of(
            self.kinds,
            conversions_of(self.model_types),
            hidden_size=self.hidden_size,
            left_out=draft_prefixes(architecture) if architecture else (),
        )

    @property
    def hidden_size(self) -> int:
        architecture = self.reconciliation.architecture
        return architecture.hidden_size if architecture else 0

    @cached_property
    def has_conversions(self) -> bool:
        """Whether some parameters are made of other tensors; else the order decides nothing."""
        conversions = conversions_of(self.model_types)
        return any(each.may_apply(kind, self.hidden_size) for kind in self.kinds for each in conversions) and any(
            turn.conversion for turn in self.turns
        )

    @property
    def mapped_bytes(self) -> int:
        """Size of what is mapped."""
        return self.fetched.weight_bytes or sum(kind.stored_bytes for kind in self.kinds)

    @property
    def repeated(self) -> list[Item]:
        """What is read a second time under another name, and let go once both are found equal."""
        return [item for item in self.reconciliation.not_counted if item.what in (TIED_HEAD, SHARED_EMBEDDING)]


def loadings_of(files: Loadable, estimates: Iterable[MemoryEstimate]) -> Iterator[Loading]:
    """From the Hub to the GPU, for each estimate."""
    own = Files(**{field.name: getattr(files, field.name) for field in fields(Loadable)})
    for estimate in estimates:
        yield loading_of(own, estimate.precision, estimate.size_of("weights"), estimate.compute_dtype)


def loading_of(files: Files, precision: str, weight_bytes: int, compute_dtype: str | None) -> Loading:
    """What it takes to have weights of this size, at this precision, in GPU memory."""
    is_unpacked = files.method in UNPACKED and precision in COMPUTE_BYTES
    is_plain = files.method is None and (precision in COMPUTE_BYTES or precision in ON_LOAD)
    if precision != STORED and not is_plain and not is_unpacked:
        return _of_other_files(precision, weight_bytes)
    download, disk = _download(files.fetched)
    return Loading(download=download, disk=disk, ways=tuple(_ways(files, precision, weight_bytes, compute_dtype)))


def _ways(files: Files, precision: str, weight_bytes: int, compute_dtype: str | None) -> Iterator[Way]:
    call = _call(files, precision, DIRECT, compute_dtype)
    reason = _why_not_known(files, precision)
    if reason is not None:
        unknown = not_known(reason)
        yield Way(name=DIRECT, call=call, host=unknown, gpu_peak=unknown)
    elif precision in ON_LOAD:
        yield _quantized(files, precision, weight_bytes, compute_dtype, call)
    else:
        reading = _reading(files, None if precision == STORED else precision)
        # The order decides nothing where no parameter is made of others.
        parameters = reading.parameters(files.turns) if files.has_conversions or reading.pack else []
        yield _direct(files, reading, weight_bytes, parameters, call)
        if files.method is None:
            call = _call(files, precision, THROUGH_CPU, compute_dtype)
            yield _through_cpu(files, reading, weight_bytes, parameters, call)


_TORCH_DTYPES: Final = {name: dtype for dtype, name in TORCH_NAMES.items()}
_PLACES: Final = {DIRECT: ', device_map="cuda")', THROUGH_CPU: ').to("cuda")'}


def _call(files: Files, precision: str, way: str, compute_dtype: str | None) -> str:
    dtype = precision if precision in _TORCH_DTYPES else None
    if precision == STORED and files.declared_dtype not in (None, compute_dtype):
        dtype = compute_dtype
    settings = []
    if precision in ON_LOAD:
        settings.append(ON_LOAD[precision].settings.format(dtype=_TORCH_DTYPES[sixteen_bit(compute_dtype)]))
    if dtype is not None:
        settings.append(f'dtype="{_TORCH_DTYPES[dtype]}"')
    if files.method is not None and files.method in UNPACKED and precision != STORED:
        settings.append(UNPACKED[files.method].settings)
    return f"from_pretrained({', '.join(('...', *settings))}{_PLACES[way]}"


def _why_not_known(files: Files, precision: str) -> str | None:
    """Why nothing can be said of the peak; None where it can."""
    architecture = files.reconciliation.architecture
    if not files.fetched.is_found:
        return f"transformers looks for {SINGLE_FILE} or {INDEX_FILE}, and there is neither"
    if not UNDESCRIBED.isdisjoint(files.model_types):
        return "some of its tensors are so large that transformers joins them on the CPU: that is not described here"
    if files.method is not None and precision == STORED and (reason := why_not_known(files.method)):
        return reason
    if files.method is not None and any(map(is_packed_expert, files.kinds)):
        return f"transformers has no place for matrices of experts that {files.method} packed one by one"
    if files.checkpoint is None and (architecture is None or Component.EXPERTS in architecture.parameters_by_component):
        return "whether experts are joined while they are loaded is told by the headers, which were not read"
    if files.checkpoint is None and precision in ON_LOAD:
        return "which matrices are packed is told by the headers, which were not read"
    return None


def _reading(files: Files, dtype: str | None, on_load: OnLoad | None = None) -> Reading:
    pack: Callable[[Kind], Step | None] | None = None
    if on_load is not None:
        pack = partial(on_load.pack, lie=not LIE.isdisjoint(files.model_types))
    elif files.method is not None and files.method in UNPACKED and dtype is not None:
        pack = partial(UNPACKED[files.method].step, COMPUTE_BYTES[dtype])
    return Reading(dtype=dtype, pack=pack)


# --------------------------------------------------------------------------- fetched, and on disk


def _download(fetched: Fetched) -> tuple[Figure, Figure]:
    """(to download, on disk)."""
    if fetched.weight_bytes is None:
        reason = not_known("the listing does not say how large the files are")
        return reason, reason
    whole = fetched.weight_bytes + fetched.other_bytes
    note = f"{_number(fetched.weight_files)} of weights, {size(fetched.weight_bytes)}"
    if fetched.other_files:
        note += f", {fetched.other_files} of configuration and tokenizer, {size(fetched.other_bytes)}"
    if fetched.is_here:
        return known(0, Basis.READ, "a folder of this machine"), known(whole, Basis.READ, note)
    if fetched.are_pickled:
        note += "; a version in safetensors is then looked for, and fetched as well"
    return known(whole, Basis.READ, note), known(whole, Basis.READ, f"in the Hub cache, each file once: {note}")


def _number(files: int) -> str:
    return f"{files:,} file{'s' * (files != 1)}"


def _of_other_files(precision: str, weight_bytes: int) -> Loading:
    """Of files that this repo does not have."""
    fetched = known(weight_bytes, Basis.DERIVED, f"the weights of a file in {precision}, from another repo")
    unknown = not_known("it is loaded from files of another repo, by a tool that is not said")
    return Loading(download=fetched, disk=fetched, ways=(Way(name=DIRECT, call="", host=unknown, gpu_peak=unknown),))


# ------------------------------------------------------------------- as stored, or in another type


def _direct(files: Files, reading: Reading, weight_bytes: int, parameters: list[Parameter], call: str) -> Way:
    return Way(
        name=DIRECT,
        call=call,
        host=_host_of_direct(files, reading),
        gpu_peak=_gpu_of_direct(files, reading, weight_bytes, parameters),
    )


def _through_cpu(files: Files, reading: Reading, weight_bytes: int, parameters: list[Parameter], call: str) -> Way:
    return Way(
        name=THROUGH_CPU,
        call=call,
        host=_host_of_way_through(files, reading, weight_bytes, parameters),
        gpu_peak=known(weight_bytes, Basis.DERIVED, f"the weights, {size(weight_bytes)}, one after the other"),
    )


def _gpu_of_direct(files: Files, reading: Reading, weight_bytes: int, parameters: list[Parameter]) -> Figure:
    steps = [parameter.on_device() for parameter in parameters]
    wanted = sum(parameter.wanted_bytes for parameter in parameters)
    low, high = peak_one_by_one(steps) - wanted, peak_read_ahead(steps) - wanted
    notes = [f"the weights, {size(weight_bytes)}"]
    if high:
        notes.append(f"{size(high)} more while {_largest(parameters, steps)}, if all is read by then")
        notes.append(f"{size(low)} if no thread reads ahead")
    again, compared = _repeated(files, reading)
    if again:
        notes.append(f"{size(again)} stored again under another name, and {size(compared)} to compare them")
        low, high = max(low, compared) + again, max(high, compared) + again
    if files.fetched.are_pickled and (head := _tied_head_bytes(files, weight_bytes)):
        notes.append(f"{size(head)} if the tied head is in the file as well")
        high += head
    return known(weight_bytes + low, Basis.DERIVED, "; ".join(notes), high_bytes=weight_bytes + high)


def _repeated(files: Files, reading: Reading) -> tuple[int, int]:
    """(what is read under a second name, what it takes to compare it)."""
    if not files.repeated:
        return 0, 0
    again = sum(reading.bytes_of(item.parameters, item.stored_bytes) for item in files.repeated)
    # torch.equal: a boolean for each pair, and one for all of them (Equal.cpp).
    return again, max(item.parameters for item in files.repeated) + 1


def _largest(parameters: list[Parameter], steps: list[Step]) -> str:
    """What takes most beside what stays of it, as a clause."""
    number = max(range(len(steps)), key=lambda number: steps[number].working_bytes - steps[number].kept_bytes)
    largest, step = parameters[number], steps[number]
    if largest.packed is None:
        return f"{largest.first} and what belongs to it are made into {size(step.kept_bytes)}"
    return f"{largest.first}, {size(step.read_bytes)}, is made into {size(step.kept_bytes)}"


def _tied_head_bytes(files: Files, weight_bytes: int) -> int:
    """Pickles hold it under both names, as one tensor: on a GPU they are two."""
    architecture = files.reconciliation.architecture
    if architecture is None or not architecture.has_tied_head:
        return 0
    elements = architecture.vocab_size * (architecture.embedding_size or architecture.hidden_size)
    return weight_bytes * elements // files.reconciliation.loaded_parameters


def _host_of_direct(files: Files, reading: Reading) -> Figure:
    mapped = files.mapped_bytes
    cast = reading.largest_cast(files.kinds, THREADS)
    if not cast:
        note = f"tensors go to the GPU from the mapped files, {size(mapped)}, whose pages can be given back"
        return known(0, Basis.DERIVED, note, high_bytes=mapped)
    note = f"the largest tensor in {reading.dtype}, {size(cast[0])}, up to {THREADS} at once; the files, {size(mapped)}"
    return known(cast[0], Basis.DERIVED, note, high_bytes=sum(cast) + mapped)


def _host_of_way_through(files: Files, reading: Reading, weight_bytes: int, parameters: list[Parameter]) -> Figure:
    mapped = files.mapped_bytes
    steps = [parameter.in_host_memory() for parameter in parameters]
    if parameters:
        low, high = peak_one_by_one(steps), peak_read_ahead(steps)
    else:
        low = high = min(reading.cast_bytes(files.kinds), weight_bytes + _repeated(files, reading)[0])
    if not high:
        note = f"parameters are parts of the mapped files, {size(mapped)}, whose pages can be given back"
        return known(0, Basis.DERIVED, note, high_bytes=mapped)
    kept = kept_bytes(steps) if parameters else high
    note = f"parameters that are not as in the files, {size(kept)}; the mapped files, {size(mapped)}"
    if high > kept:
        note += f"; {size(high - kept)} more while several tensors become one"
    return known(low, Basis.DERIVED, note, high_bytes=high + mapped)


# -------------------------------------------------------------------------- packed while it is loaded


def _quantized(files: Files, precision: str, weight_bytes: int, compute_dtype: str | None, call: str) -> Way:
    """One tensor after the other: no thread reads ahead."""
    on_load = ON_LOAD[precision]
    reading = _reading(files, compute_dtype, on_load)
    parameters = reading.parameters(files.turns)
    steps = [parameter.on_device() for parameter in parameters]
    again, compared = _repeated(files, reading)
    over = max(compared, peak_one_by_one(steps) - kept_bytes(steps)) + again
    note = f"the weights, {size(weight_bytes)}"
    if parameters:
        note += f"; {size(over)} more while {_largest(parameters, steps)}, one tensor after the other"
    return Way(
        name=DIRECT,
        call=call,
        host=_host_of_quantized(files, reading, on_load, parameters),
        gpu_peak=known(weight_bytes + over, Basis.DERIVED, note),
    )


def _host_of_quantized(files: Files, reading: Reading, on_load: OnLoad, parameters: list[Parameter]) -> Figure:
    mapped = files.mapped_bytes
    largest = max((parameter.size_bytes for parameter in parameters if parameter.packed), default=0)
    copies = on_load.host_copies(reading.dtype)
    cast = reading.largest_cast(files.kinds, 1)
    held = max(largest * copies, *cast, 0)
    note = f"{size(held)} of one tensor, and the mapped files, {size(mapped)}, whose pages can be given back"
    return known(held, Basis.DERIVED, note, high_bytes=held + mapped)
