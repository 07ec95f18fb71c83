"""What the files hold, told apart: parameters by component, and what is stored beside them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from hubvram.architecture.layers import Architecture
from hubvram.architecture.padding import without_padding
from hubvram.checkpoint.buffers import buffer_kind, is_kept
from hubvram.checkpoint.components import Component
from hubvram.checkpoint.packed.unpack import Unpacked, unpack
from hubvram.checkpoint.tensors import Kind

if TYPE_CHECKING:
    from hubvram.checkpoint.packed.layout import Declared


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """A group of tensors that needs a word: what it is, how much, by which rule."""

    what: str
    parameters: int
    tensors: int
    stored_bytes: int
    rule: str
    is_loaded: bool = True
    """Whether transformers keeps it in memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """The parameters of the files, and what is no parameter."""

    groups: dict[Component, list[Kind]]
    unused: tuple[Kind, ...]
    """Those of the parameters that the model's code takes from elsewhere, or leaves out."""
    not_counted: tuple[Item, ...]
    unpacked: Unpacked

    @property
    def by_component(self) -> dict[Component, int]:
        return {component: sum(kind.parameters for kind in kinds) for component, kinds in self.groups.items()}

    @property
    def packed_by_component(self) -> dict[Component, int]:
        """Those of the parameters that are packed."""
        found: dict[Component, int] = {}
        for component, kinds in self.groups.items():
            for kind in kinds:
                if kind.layout is not None:
                    found[component] = found.get(component, 0) + kind.parameters
        return found


def tell_apart(kinds: Sequence[Kind], architecture: Architecture | None, *, declared: Declared | None) -> Stored:
    """Sort a checkpoint's tensors. `declared`: what the configuration says of packed weights, if anything."""
    kinds, buffers = _split(kinds, lambda kind: buffer_kind(kind.name, len(kind.shape)))
    unpacked = unpack(kinds, declared)
    parameters, scales = unpacked.parameters, unpacked.scales
    padding: dict[Component, int] = {}
    if architecture is not None:
        parameters = list(_with_drafts(parameters, architecture))
        scales = list(_with_drafts(scales, architecture))
        parameters, padding = without_padding(parameters, architecture)
    parameters, others = _split(parameters, _Repetitions(parameters, architecture, unpacked).what)
    has_experts = architecture is None or Component.EXPERTS in architecture.parameters_by_component
    groups: dict[Component, list[Kind]] = {}
    for kind in parameters:
        # What stands beside the experts of others stands alone, under the same name (granite-4.0-micro).
        alone = not has_experts and ".shared_mlp." in kind.name
        groups.setdefault(Component.MLP if alone else kind.component, []).append(kind)
    unused = tuple(_unused(parameters, architecture.unused)) if architecture else ()
    not_counted = (*buffers, *others, *_scales(scales), *_cache_scales(unpacked.cache_scales), *_left_off(padding))
    return Stored(groups=groups, unused=unused, not_counted=not_counted, unpacked=unpacked)


def item_of(what: str, kinds: Sequence[Kind], rule: str, *, is_loaded: bool = True) -> Item:
    """An Item about these tensors."""
    return Item(
        what=what,
        parameters=sum(kind.parameters for kind in kinds),
        tensors=sum(len(kind.members) for kind in kinds),
        stored_bytes=sum(kind.stored_bytes for kind in kinds),
        rule=rule,
        is_loaded=is_loaded,
    )


MTP: Final = "blocks for multi-token prediction"
_LAYERS_OF: Final = ("model.layers.", "model.language_model.layers.", "language_model.model.layers.")
_MTP_BLOCKS: Final = 4  # one in every published model so far


def draft_prefixes(architecture: Architecture) -> tuple[str, ...]:
    """Layers behind the last one are blocks for multi-token prediction (DeepSeek-V3, GLM-4.5)."""
    number = architecture.num_hidden_layers
    return tuple(f"{stack}{number + extra}." for stack in _LAYERS_OF for extra in range(_MTP_BLOCKS))


def _with_drafts(kinds: Iterable[Kind], architecture: Architecture) -> Iterator[Kind]:
    prefixes = draft_prefixes(architecture)
    for kind in kinds:
        stack = next((stack for stack in _LAYERS_OF if kind.name.startswith(stack)), None)
        if stack is None:
            yield kind
            continue
        own = tuple(prefix for prefix in prefixes if prefix.startswith(stack))
        proper, drafts = kind.split(own, at_the_end=False)
        if proper is not None:
            yield proper
        if drafts is not None:
            yield replace(drafts, component=Component.MTP)


TIED_HEAD: Final = "tied head, stored again"
_HEAD_BIAS: Final = "bias of the head, stored again"
SHARED_EMBEDDING: Final = "shared embedding, stored again"
_ZERO_BIASES: Final = "biases of packed weights"
_TOKEN_EMBEDDINGS: Final = ("shared.weight", "embed_tokens.weight", "word_embeddings.weight")
_RULES: Final = {
    _HEAD_BIAS: "decoder.bias is bias: one parameter under two names",
    TIED_HEAD: "tie_word_embeddings: the head is the embedding, once",
    SHARED_EMBEDDING: "encoder and decoder use one embedding",
    _ZERO_BIASES: "the architecture has none there: zeros that the tool which packed the weights wrote",
}


def _split(kinds: Iterable[Kind], what_it_is: Callable[[Kind], str | None]) -> tuple[list[Kind], tuple[Item, ...]]:
    """(parameters, what is stored beside them, by the word for it)."""
    parameters: list[Kind] = []
    others: dict[str, list[Kind]] = {}
    for kind in kinds:
        what = what_it_is(kind)
        if what is None:
            parameters.append(kind)
        else:
            others.setdefault(what, []).append(kind)
    return parameters, tuple(_beside(what, found) for what, found in others.items())


def _beside(what: str, kinds: Sequence[Kind]) -> Item:
    """Stored beside the parameters; buffers stay in memory where the model has them from the file alone."""
    if what == _ZERO_BIASES:
        return item_of(what, kinds, _RULES[what])
    if is_kept(what):
        return item_of(what, kinds, "a buffer: kept, but learned by no gradient")
    return item_of(what, kinds, _RULES.get(what, "a buffer that the model's code rebuilds"), is_loaded=False)


def _unused(kinds: Iterable[Kind], endings: tuple[str, ...]) -> Iterator[Kind]:
    for kind in kinds:
        _, found = kind.split(_as_stored(endings, kind), at_the_end=True) if endings else (kind, None)
        if found is not None:
            yield found


def _as_stored(endings: tuple[str, ...], kind: Kind) -> tuple[str, ...]:
    """Endings of names, as the tensors of a kind have them: packed ones have another word for `weight`."""
    stem = kind.name.removesuffix("weight")
    word = kind.members[0].name[len(stem) :]
    if kind.layout is None or stem == kind.name:
        return endings
    return tuple(ending.removesuffix("weight") + word for ending in endings if ending.endswith("weight"))


class _Repetitions:
    """What the architecture has already under another name, or does not have at all."""

    def __init__(self, kinds: Sequence[Kind], architecture: Architecture | None, unpacked: Unpacked) -> None:
        self._names = {kind.name for kind in kinds}
        self._architecture = architecture
        self._packed = {it.weights.name for it in unpacked.packed}
        self._has_embedding = False

    def what(self, kind: Kind) -> str | None:
        """The word for it; None for a parameter."""
        if self._is_bias_of_head_again(kind):
            return _HEAD_BIAS
        if self._architecture is None:
            return None
        found = self._of_embedding(kind, self._architecture)
        if found is None and self._packed and kind.name.endswith(".bias"):
            from hubvram.architecture.biases import has_bias

            beside_packed = f"{kind.name.removesuffix('.bias')}.weight" in self._packed
            found = _ZERO_BIASES if beside_packed and not has_bias(self._architecture, kind) else None
        self._has_embedding |= found is None and kind.name.endswith(_TOKEN_EMBEDDINGS)
        return found

    def _of_embedding(self, kind: Kind, architecture: Architecture) -> str | None:
        if kind.shape != (architecture.vocab_size, architecture.embedding_size or architecture.hidden_size):
            return None
        if architecture.has_tied_head and kind.component is Component.HEAD:
            return TIED_HEAD
        if architecture.shares_embedding and self._has_embedding and kind.name.endswith(_TOKEN_EMBEDDINGS):
            return SHARED_EMBEDDING
        return None

    def _is_bias_of_head_again(self, kind: Kind) -> bool:
        """Heads over words keep their bias twice: as their own, and as their last matrix's (bert, roberta)."""
        own = kind.name.removesuffix("decoder.bias") + "bias"
        return own != kind.name and own in self._names and kind.component is Component.HEAD


def _scales(scales: Sequence[Kind]) -> tuple[Item, ...]:
    """Scales stay in memory as their weights do, or do not."""
    rule = "scales, zeros and indices: they belong to the packed weights"
    drafts = [kind for kind in scales if kind.component is Component.MTP]
    proper = [kind for kind in scales if kind.component is not Component.MTP]
    found = ((proper, "scales", True), (drafts, f"scales of {MTP}", False))
    return tuple(item_of(what, kinds, rule, is_loaded=is_loaded) for kinds, what, is_loaded in found if kinds)


def _left_off(padding: Mapping[Component, int]) -> Iterator[Item]:
    rule = "packed weights are rounded up to whole bytes or words: by the architecture these are none"
    for component, number in padding.items():
        yield Item(what=f"padding of {component}", parameters=number, tensors=0, stored_bytes=0, rule=rule)


def _cache_scales(scales: Sequence[Kind]) -> tuple[Item, ...]:
    return (item_of("scales of the KV cache", scales, "for keys and values in 8 bit"),) if scales else ()
