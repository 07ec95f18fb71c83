"""A checkpoint's tensors -> those of the GGUF file: what is merged, split, added and left out on the way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Final, NamedTuple

from hubvram.checkpoint.buffers import buffer_kind
from hubvram.checkpoint.components import POOLER, Component, beside_head, component_of
from hubvram.quantization.gguf import names
from hubvram.quantization.gguf.facts import GgufFacts
from hubvram.quantization.gguf.names import Kind, Known
from hubvram.quantization.gguf.reasons import NotPossibleError
from hubvram.quantization.gguf.types import Shape

OUTSIDE: Final = -1
"""The block of what stands in none."""
TIED_HEAD: Final = "tied head, stored again"
TOWERS: Final = "towers and projectors, which are a file of their own"
_MTP: Final = "blocks for multi-token prediction"
_ROWS: Final = "rows of the embedding that no token has"

_MOST_DIMENSIONS: Final = 4
_TOWER_COMPONENTS: Final = (Component.VISION, Component.AUDIO, Component.PROJECTOR)
_LATENT: Final = "deepseek2"
_KEEPS_MTP: Final = "glm4moe"
_ROPE_FREQUENCIES: Final = frozenset(("llama", "llama4", "exaone", "deci"))
_ROPE_FACTORS: Final = frozenset(("phi3", "phimoe", "minicpm3"))
_TRANSPOSED: Final = ("attn_qkv", "attn_output", "ffn_up", "ffn_down")
"""What gpt2 keeps as (in, out)."""
_GEMMA3_ROWS: Final = (262_208, 262_144)
"""(stored, of tokens), in all of gemma3 but the smallest."""


class GgufTensor(NamedTuple):
    """One tensor of the file, its shape as torch writes it: rows last."""

    block: int
    name: str
    """`role`.weight or .bias: llama.cpp's own, but that norms keep Hugging Face's."""
    role: str
    shape: Shape


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """What the file does not have."""

    what: str
    tensors: int
    parameters: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GgufLayout:
    """A GGUF file before quantization."""

    architecture: str
    """llama.cpp's name."""
    facts: GgufFacts
    tensors: tuple[GgufTensor, ...]
    """In llama.cpp's order, which decides what is first: by block, then by name."""
    mtp_blocks: int
    """How many of the last blocks draft further tokens."""
    left_out: tuple[LeftOut, ...]

    @property
    def blocks(self) -> int:
        return self.facts.num_hidden_layers + self.mtp_blocks

    @property
    def parameters(self) -> int:
        return sum(prod(tensor.shape) for tensor in self.tensors)

    @property
    def grouping(self) -> int:
        """Query heads for each head of K and V; the converter writes one head where they come from a latent."""
        kv_heads = 1 if self.architecture == _LATENT else self.facts.num_key_value_heads
        return self.facts.num_attention_heads // kv_heads if kv_heads else 0


def layout_of(tensors: Iterable[tuple[str, Shape | None]], facts: GgufFacts) -> GgufLayout:
    """The file that llama.cpp's converter makes of these (name, logical shape); a shape is None where the files do not
    show it. Raises NotPossibleError."""
    architecture = names.ARCHITECTURES.get(facts.model_type)
    if architecture is None:
        raise NotPossibleError(f"how llama.cpp writes model type {facts.model_type!r} is not known here")
    if facts.whole_model_type != facts.model_type and facts.whole_model_type not in names.AROUND:
        raise NotPossibleError(f"whether llama.cpp takes model type {facts.whole_model_type!r} is not known here")
    making = _Making(architecture, facts)
    making.read(tensors)
    making.leave_out_tied_head()
    read = sum(prod(tensor.shape) for tensor in making.made)
    missing = making.parameters - read - sum(item.parameters for item in making.left_out.values())
    if missing or len({(tensor.block, tensor.name) for tensor in making.made}) != len(making.made):
        raise NotPossibleError("two of its tensors become the same one of the file")
    return GgufLayout(
        architecture=architecture,
        facts=facts,
        tensors=tuple(sorted((*making.made, *_added(architecture, facts)))),
        mtp_blocks=max(0, 1 + max((it.block for it in making.made), default=0) - facts.num_hidden_layers),
        left_out=tuple(making.left_out.values()),
    )


class _Making:
    """What was made of the tensors so far, and what was not."""

    def __init__(self, architecture: str, facts: GgufFacts) -> None:
        self.architecture = architecture
        self.facts = facts
        self.made: list[GgufTensor] = []
        self.left_out: dict[str, LeftOut] = {}
        self.parameters = 0
        """Of all that was read."""

    def read(self, tensors: Iterable[tuple[str, Shape | None]]) -> None:
        members: dict[Kind, list[tuple[tuple[int, ...], Shape]]] = {}
        named: dict[Kind, str] = {}
        for name, shape in tensors:
            if shape is None:
                raise NotPossibleError(f"the files do not show the shape of {name}")
            kind, numbers = names.parted(name)
            try:
                members[kind].append((numbers, shape))
            except KeyError:
                members[kind] = [(numbers, shape)]
                named[kind] = name
        for kind, found in members.items():
            self._read(kind, named[kind], found)

    def leave_out_tied_head(self) -> None:
        """The converter writes what the files hold; most published files have no such copy."""
        if not self.facts.tie_word_embeddings:
            return
        for tensor in [tensor for tensor in self.made if tensor.name == "output.weight"]:
            self.made.remove(tensor)
            self._leave_out(TIED_HEAD, 1, prod(tensor.shape))

    def _read(self, kind: Kind, name: str, members: Sequence[tuple[tuple[int, ...], Shape]]) -> None:
        """All tensors of one name."""
        shapes = Counter(shape for _, shape in members)
        self.parameters += sum(count * prod(shape) for shape, count in shapes.items())
        known = names.known(kind, self.facts.model_type)
        if known is None:
            what = _not_in_the_file(name, max(map(len, shapes)))
            if what is None:
                raise NotPossibleError(f"what llama.cpp makes of {name} is not known here")
            for shape, count in shapes.items():
                self._leave_out(what, count, count * prod(shape))
            return
        if any(min(shape, default=1) < 1 or len(shape) > _MOST_DIMENSIONS for shape in shapes):
            raise NotPossibleError(f"{name} has a shape that ggml does not know")
        if len(kind) == 3:
            self._make_experts(known, name, members)
        else:
            for numbers, shape in members:
                self._make(known, name, numbers[0] if numbers else OUTSIDE, shape)

    def _make_experts(self, known: Known, name: str, members: Sequence[tuple[tuple[int, ...], Shape]]) -> None:
        """The experts of a block become one tensor."""
        experts: dict[int, list[int]] = {}
        for (block, expert), _ in members:
            experts.setdefault(block, []).append(expert)
        shape = members[0][1]
        if len({shape for _, shape in members}) > 1 or any(
            sorted(found) != list(range(len(found))) for found in experts.values()
        ):
            raise NotPossibleError(f"the experts of {name} are not alike or not complete")
        for block, found in experts.items():
            self._make(known, name, block, (len(found), *shape))

    def _make(self, known: Known, name: str, block: int, shape: Shape) -> None:
        """One tensor, or what it is split into."""
        if block >= self.facts.num_hidden_layers and self.architecture != _KEEPS_MTP:
            if self.architecture != _LATENT:
                raise NotPossibleError(f"{name} stands behind the {self.facts.num_hidden_layers} layers")
            self._leave_out(_MTP, 1 if known.role not in _EXPERTS else shape[0], prod(shape))
            return
        split = _SPLITS.get(known.role)
        parts = split(known, name, shape, self.facts) if split else ((known.role, shape),)
        for role, part in parts:
            if self.facts.model_type == "gpt2" and role in _TRANSPOSED:
                part = part[::-1]
            elif self.architecture == "gemma3" and role == "token_embd" and part[0] == _GEMMA3_ROWS[0]:
                part = (_GEMMA3_ROWS[1], *part[1:])
                self._leave_out(_ROWS, 0, prod(shape) - prod(part))
            own = known.stem if role == names.NORM else role
            suffix = "bias" if role == "exp_probs_b" else known.suffix
            self.made.append(GgufTensor(block, f"{own}.{suffix}", role, part))

    def _leave_out(self, what: str, tensors: int, parameters: int) -> None:
        before = self.left_out.get(what, LeftOut(what=what, tensors=0, parameters=0))
        self.left_out[what] = LeftOut(
            what=what, tensors=before.tensors + tensors, parameters=before.parameters + parameters
        )


def _not_in_the_file(name: str, dimensions: int) -> str | None:
    """What a tensor is that the converter leaves out, None for those that it is not known to leave out."""
    if component_of(name) in _TOWER_COMPONENTS:
        return TOWERS
    return buffer_kind(name, dimensions) or (POOLER if beside_head(name) == POOLER else None)


def _added(architecture: str, facts: GgufFacts) -> Iterator[GgufTensor]:
    """Tables that the converter computes from the config."""
    if facts.rope_type == "llama3" and architecture in _ROPE_FREQUENCIES:
        yield GgufTensor(OUTSIDE, "rope_freqs.weight", "rope_freqs", (facts.head_dim // 2,))
    if facts.rope_factors and architecture in _ROPE_FACTORS:
        for length in ("long", "short"):
            yield GgufTensor(OUTSIDE, f"rope_factors_{length}.weight", "rope_factors", (facts.rope_factors,))


Parts = tuple[tuple[str, Shape], ...]
_EXPERTS: Final = frozenset(("ffn_gate_exps", "ffn_up_exps", "ffn_down_exps"))


def _gate_up(known: Known, name: str, shape: Shape, facts: GgufFacts) -> Parts:
    experts, rows, columns = _experts(known, name, shape, facts)
    if rows % 2:
        raise _unfit(name, shape)
    half = (experts, rows // 2, *columns)
    return ("ffn_gate_exps", half), ("ffn_up_exps", half)


def _down(known: Known, name: str, shape: Shape, facts: GgufFacts) -> Parts:
    experts, inner, columns = _experts(known, name, shape, facts)
    return (("ffn_down_exps", (experts, *columns, inner)),)


def _experts(known: Known, name: str, shape: Shape, facts: GgufFacts) -> tuple[int, int, Shape]:
    """(experts, features inside, hidden_size): whichever way round, and a bias without the last."""
    if known.suffix == "bias" and len(shape) == 2:
        return shape[0], shape[1], ()
    if len(shape) != 3 or facts.hidden_size not in shape[1:]:
        raise _unfit(name, shape)
    inner = shape[2] if shape[1] == facts.hidden_size else shape[1]
    return shape[0], inner, (facts.hidden_size,)


def _latent(known: Known, name: str, shape: Shape, facts: GgufFacts) -> Parts:
    heads, nope, v = facts.num_attention_heads, facts.qk_nope_head_dim, facts.v_head_dim
    if len(shape) != 2 or shape[0] != heads * (nope + v):
        raise _unfit(name, shape)
    return ("attn_k_b", (heads, shape[1], nope)), ("attn_v_b", (heads, v, shape[1]))


def _q_k_v(known: Known, name: str, shape: Shape, facts: GgufFacts) -> Parts:
    q, kv = facts.num_attention_heads * facts.head_dim, facts.num_key_value_heads * facts.head_dim
    if not shape or shape[0] != q + 2 * kv:
        raise _unfit(name, shape)
    return tuple((role, (rows, *shape[1:])) for role, rows in (("attn_q", q), ("attn_k", kv), ("attn_v", kv)))


def _unfit(name: str, shape: Shape) -> NotPossibleError:
    return NotPossibleError(f"{name} of shape {shape} is not what its config says")


_SPLITS: Final[Mapping[str, Callable[[Known, str, Shape, GgufFacts], Parts]]] = {
    names.GATE_UP: _gate_up,
    names.DOWN: _down,
    names.KV_B: _latent,
    names.QKV: _q_k_v,
}
