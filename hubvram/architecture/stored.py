"""What the files hold, told apart: parameters by component, and what is stored beside them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass, replace
from typing import Final

from hubvram.architecture.layers import Architecture
from hubvram.checkpoint.buffers import buffer_kind, is_kept
from hubvram.checkpoint.components import Component
from hubvram.checkpoint.packing import unpack
from hubvram.checkpoint.tensors import Kind


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
    is_packed: bool
    """Whether some of it is packed in a way that is not known, so that its elements say nothing."""

    @property
    def by_component(self) -> dict[Component, int]:
        return {component: sum(kind.parameters for kind in kinds) for component, kinds in self.groups.items()}


def tell_apart(kinds: Sequence[Kind], architecture: Architecture | None, *, method: str | None) -> Stored:
    """Sort a checkpoint's tensors. `method`: the quantization that config.json names, if any."""
    if architecture is not None:
        kinds = list(_with_drafts(kinds, architecture))
    parameters, not_counted = _split(kinds, architecture)
    unpacked = unpack(parameters, method)
    if architecture is not None and unpacked is not None:
        parameters = unpacked.parameters
        not_counted += _scales(unpacked.scales)
    has_experts = architecture is None or Component.EXPERTS in architecture.parameters_by_component
    groups: dict[Component, list[Kind]] = {}
    for kind in parameters:
        # What stands beside the experts of others stands alone, under the same name (granite-4.0-micro).
        alone = not has_experts and ".shared_mlp." in kind.name
        groups.setdefault(Component.MLP if alone else kind.component, []).append(kind)
    unused = tuple(_unused(parameters, architecture.unused)) if architecture else ()
    return Stored(groups=groups, unused=unused, not_counted=not_counted, is_packed=unpacked is None)


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


def _with_drafts(kinds: Iterable[Kind], architecture: Architecture) -> Iterator[Kind]:
    """Layers behind the last one are blocks for multi-token prediction (DeepSeek-V3, GLM-4.5)."""
    number = architecture.num_hidden_layers
    for kind in kinds:
        stack = next((stack for stack in _LAYERS_OF if kind.name.startswith(stack)), None)
        if stack is None:
            yield kind
            continue
        prefixes = tuple(f"{stack}{number + extra}." for extra in range(_MTP_BLOCKS))
        proper, drafts = kind.split(prefixes, at_the_end=False)
        if proper is not None:
            yield proper
        if drafts is not None:
            yield replace(drafts, component=Component.MTP)


_TIED_HEAD: Final = "tied head, stored again"
_HEAD_BIAS: Final = "bias of the head, stored again"
_SHARED_EMBEDDING: Final = "shared embedding, stored again"
_TOKEN_EMBEDDINGS: Final = ("shared.weight", "embed_tokens.weight", "word_embeddings.weight")
_RULES: Final = {
    _HEAD_BIAS: "decoder.bias is bias: one parameter under two names",
    _TIED_HEAD: "tie_word_embeddings: the head is the embedding, once",
    _SHARED_EMBEDDING: "encoder and decoder use one embedding",
}


def _split(kinds: Sequence[Kind], architecture: Architecture | None) -> tuple[list[Kind], tuple[Item, ...]]:
    """(parameters, what is stored beside them)."""
    names = {kind.name for kind in kinds}
    parameters: list[Kind] = []
    others: dict[str, list[Kind]] = {}
    has_embedding = False
    for kind in kinds:
        what = (
            buffer_kind(kind.name, len(kind.shape))
            or (_HEAD_BIAS if _is_bias_of_head_again(kind, names) else None)
            or _repeated(kind, architecture, has_embedding=has_embedding)
        )
        if what is None:
            parameters.append(kind)
            has_embedding |= kind.name.endswith(_TOKEN_EMBEDDINGS)
        else:
            others.setdefault(what, []).append(kind)
    return parameters, tuple(_beside(what, found) for what, found in others.items())


def _beside(what: str, kinds: Sequence[Kind]) -> Item:
    """Stored beside the parameters; buffers stay in memory where the model has them from the file alone."""
    if is_kept(what):
        return item_of(what, kinds, "a buffer: kept, but learned by no gradient")
    return item_of(what, kinds, _RULES.get(what, "a buffer that the model's code rebuilds"), is_loaded=False)


def _unused(kinds: Iterable[Kind], endings: tuple[str, ...]) -> Iterator[Kind]:
    for kind in kinds:
        _, found = kind.split(endings, at_the_end=True) if endings else (kind, None)
        if found is not None:
            yield found


def _repeated(kind: Kind, architecture: Architecture | None, *, has_embedding: bool) -> str | None:
    """What a tensor is that the architecture has already, under another name; else None."""
    if architecture is None:
        return None
    if kind.shape != (architecture.vocab_size, architecture.embedding_size or architecture.hidden_size):
        return None
    if architecture.has_tied_head and kind.component is Component.HEAD:
        return _TIED_HEAD
    if architecture.shares_embedding and has_embedding and kind.name.endswith(_TOKEN_EMBEDDINGS):
        return _SHARED_EMBEDDING
    return None


def _is_bias_of_head_again(kind: Kind, names: Set[str]) -> bool:
    """Heads over words keep their bias twice: as their own, and as their last matrix's (bert, roberta)."""
    own = kind.name.removesuffix("decoder.bias") + "bias"
    return own != kind.name and own in names and kind.component is Component.HEAD


def _scales(scales: Sequence[Kind]) -> tuple[Item, ...]:
    """Scales stay in memory as their weights do, or do not."""
    rule = "by quantization_config: they belong to the packed weights"
    drafts = [kind for kind in scales if kind.component is Component.MTP]
    proper = [kind for kind in scales if kind.component is not Component.MTP]
    found = ((proper, "scales", True), (drafts, f"scales of {MTP}", False))
    return tuple(item_of(what, kinds, rule, is_loaded=is_loaded) for kinds, what, is_loaded in found if kinds)
