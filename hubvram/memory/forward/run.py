"""One forward pass to be played: its sizes, and the tensors that nearly every class makes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from hubvram.architecture.layers import Layer
from hubvram.architecture.parts import Part
from hubvram.memory.cached import Cached
from hubvram.memory.forward.modeling_code import LLAMA, ModelingCode
from hubvram.memory.forward.tape import Share, Tape, Tensor
from hubvram.memory.kv_cache import added_bytes, prompt_bytes, token_bytes
from hubvram.memory.workload import Attention

if TYPE_CHECKING:
    from hubvram.memory.forward.linears import LinearCode

ID_BYTES: Final = 8
"""Of a token id or a position: int64."""
FP32: Final = 4
BOOL_BYTES: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """One pass over `tokens` of each of `batch_size` sequences, with `past_tokens` behind them in the cache.

    Symbols as in the literature: B batch_size, S tokens, K = past_tokens + S keys, h hidden_size, a heads x head_dim,
    e element_bytes.
    """

    batch_size: int
    tokens: int
    element_bytes: int
    attention: Attention
    past_tokens: int = 0
    decodes: bool = False
    """Whether it is a step of `generate()` behind the prompt."""
    prompt_tokens: int = 0
    """Of the prompt that such a step is behind."""
    all_tokens: int = 0
    """All that there will be in the end, where `generate()` calls."""
    cache_element_bytes: int | None = None
    """Of cached K and V, where these are not the model's own."""
    by_generate: bool = False
    """Whether `generate()` calls, which was given a mask, and counts positions by it; else a class is called alone."""
    all_logits: bool = False
    """Whether the logits of all tokens are made, by a forward alone, which is given a mask too."""
    padded: bool = False
    """Whether the shorter ones of the sequences are padded, to the left."""
    source_tokens: int = 0
    """Of an encoder's input, where the model has one."""
    room: int = 0
    """For how many tokens a static cache is made; 0 where a cache grows."""
    cached: Cached | None = None
    """What a packed cache adds; None where K and V are cached as they are."""
    in_fp16: bool = False
    """Whether it computes in fp16, for which some classes keep some of their weights in fp32."""
    linears: LinearCode | None = None
    """How linears are computed whose weights are packed; None where none are."""
    evenly: bool = False
    """Whether tokens choose all experts alike, where it matters (looped_experts.py); else all choose the same ones."""


class Run:
    """A pass that is being played: its sizes, how the class computes, and the tensors that nearly every class makes."""

    def __init__(
        self, sizes: Sizes, code: ModelingCode = LLAMA, *, rotary_dim: int = 0, max_positions: int | None = None
    ) -> None:
        self.tape = Tape()
        self.sizes = sizes
        self.code = code
        self.rotary_dim = rotary_dim
        """How many dimensions of a head rotate."""
        self.max_positions = max_positions or 0
        """Rows of a table of positions."""
        self.batch_size, self.tokens, self.past_tokens = sizes.batch_size, sizes.tokens, sizes.past_tokens
        self.element_bytes, self.attention = sizes.element_bytes, sizes.attention
        self.cache_element_bytes = sizes.cache_element_bytes or sizes.element_bytes
        self.decodes = sizes.decodes
        self.linears = sizes.linears

    def over(self, **sizes: Any) -> Run:
        """The same pass, on the same tape, where some of its sizes are others."""
        other = Run(
            replace(self.sizes, **sizes), self.code, rotary_dim=self.rotary_dim, max_positions=self.max_positions
        )
        other.tape = self.tape
        return other

    @property
    def keys(self) -> int:
        return self.past_tokens + self.tokens

    @property
    def is_alone(self) -> bool:
        """Whether there is one sequence: its heads are read where they are, where those of several are copied into
        one order for a product (ATen, matmul: operands are expanded, and reshaped to three dimensions)."""
        return self.batch_size == 1

    @property
    def is_eager(self) -> bool:
        return self.attention is Attention.EAGER

    def phase(self, name: str) -> None:
        """What follows belongs to this phase of the pass."""
        self.tape.phase = name

    def tensor(self, what: str, *sizes: int, element_bytes: int | None = None) -> Tensor:
        """(B, *sizes)"""
        return self.tape.new(what, Share.SEQUENCE, self.batch_size, *sizes, element_bytes or self.element_bytes)

    def features(self, what: str, width: int, *, element_bytes: int | None = None) -> Tensor:
        """(B, S, width)"""
        return self.tensor(what, self.tokens, width, element_bytes=element_bytes)

    def in_fp32(self, what: str, *sizes: int) -> Tensor | None:
        """(B, *sizes) turned to fp32: nothing new where it is so already."""
        return None if self.element_bytes == FP32 else self.tensor(what, *sizes, element_bytes=FP32)

    def packing(self, what: str, size_bytes: int) -> Tensor | None:
        """What a packed cache makes of all sequences; nothing where it is none."""
        return self.tape.new(what, Share.SEQUENCE, size_bytes) if size_bytes > 0 else None

    def shared(self, what: str, *sizes: int, element_bytes: int | None = None) -> Tensor:
        """One for all sequences, of these sizes."""
        return self.tape.new(what, Share.ALL, *sizes, element_bytes or self.element_bytes)

    def mask(self, what: str, *sizes: int) -> Tensor:
        """A truth value for each: of each sequence where some are padded, else one for all."""
        make = self.tensor if self.sizes.padded else self.shared
        return make(what, *sizes, element_bytes=1)

    def along(self, what: str, *widths: int, rows: int | None = None, element_bytes: int | None = None) -> Tensor:
        """(S or rows, *widths) that positions decide: each sequence's own where those are given, else one for all."""
        make = self.tensor if self.code.rotary_per_sequence or self._position_rows else self.shared
        return make(what, self.tokens if rows is None else rows, *widths, element_bytes=element_bytes)

    @property
    def _position_rows(self) -> int:
        """Of the position ids that it is given."""
        if not self.sizes.by_generate:
            return 0
        return self.code.whole.position_rows if self.code.whole else 1

    @property
    def shares_positions(self) -> bool:
        """Whether all sequences have the same ones, and what is made of these."""
        return not self._position_rows

    def position_ids(self) -> Tensor:
        """Those that `generate()` counts, for all tokens of each sequence, and while decoding those of the prompt once
        more, which an outer frame keeps; else those of this pass, once."""
        if self._position_rows:
            kept = self.keys + (self.sizes.prompt_tokens if self.decodes else 0)
            return self.tensor("position ids", self._position_rows, kept, element_bytes=ID_BYTES)
        return self.shared("position ids", self.tokens, element_bytes=ID_BYTES)

    def token_ids(self) -> Tensor:
        """What a class is given; of `generate()` its caller's, with their mask, and its own, a copy or longer."""
        if self.sizes.by_generate:
            drops = bool(self.code.whole and self.code.whole.drops_positions)
            # A mask that hides something grows with the ids; one of ones is dropped.
            longer = 1 + drops + (self.sizes.padded and self.decodes)
            prompt = self.sizes.prompt_tokens if self.decodes else self.tokens
            given = 2 * prompt + longer * self.keys
            return self.tensor("token ids, mask, and ids of all tokens", given, element_bytes=ID_BYTES)
        if self.sizes.all_logits:
            return self.tensor("token ids, and mask", 2 * self.keys, element_bytes=ID_BYTES)
        return self.tensor("token ids", self.keys, element_bytes=ID_BYTES)

    def input_ids(self, tokens: int) -> Tensor:
        """What an encoder reads, as long as its caller has it; of `generate()`, with its mask."""
        if self.sizes.by_generate:
            return self.tensor("token ids of the input, and mask", 2 * tokens, element_bytes=ID_BYTES)
        return self.tensor("token ids of the input", tokens, element_bytes=ID_BYTES)

    def logits_before(self, width: int) -> Tensor | None:
        """`generate()` has the last token's until it has the next one's (generation/utils.py, _sample)."""
        if not (self.decodes and self.sizes.by_generate):
            return None
        return self.output("fp32 logits of the token before", width, element_bytes=FP32)

    def unpacked(self, what: str, *sizes: int) -> Tensor:
        """Of a packed matrix, for as long as a linear runs; the last size is that of an element in bytes."""
        return self.tape.new(what, Share.UNPACKED, *sizes)

    def linear(
        self,
        in_features: int,
        out_features: int,
        *,
        tokens: int | None = None,
        beside: int = 0,
        is_cached: bool = False,
    ) -> None:
        """What a linear makes within itself, if its weights are packed, while `beside` features of each token wait
        that nothing else names; what comes out of it is the caller's to make, afterwards."""
        tokens = self.tokens if tokens is None else tokens
        if self.linears is not None:
            from hubvram.memory.forward.linears import play_linear  # for packed ones

            play_linear(self, in_features, out_features, tokens=tokens, beside=beside, is_cached=is_cached)

    def output(self, what: str, *sizes: int, element_bytes: int | None = None) -> Tensor:
        """(B, *sizes), for the caller of the forward."""
        return self.tape.new(what, Share.OUTPUT, self.batch_size, *sizes, element_bytes or self.element_bytes)

    def whole_holds(self) -> Tensor | None:
        """What the class around a text model holds of each token."""
        held_bytes = self.code.whole.token_bytes if self.code.whole else 0
        return self.features("where no image is", held_bytes, element_bytes=1) if held_bytes else None

    def whole_keeps(self, prompt_tokens: int, width: int) -> Tensor | None:
        """What `generate()` of the class around a text model holds of the prompt: its embeddings, and where images are
        among them, one truth value for each."""
        if self.code.whole is None or not self.code.whole.embeds_prompt:
            return None
        return self.tensor("embeddings of the prompt", prompt_tokens, width * self.element_bytes + 1, element_bytes=1)

    def not_yet_cached(self, parts: Iterable[Part | None]) -> Tensor | None:
        """Less than nothing: what layers that are still to run will put into their caches, which count whole."""
        found = (part for part in parts if part is not None)
        if self.sizes.room:
            from hubvram.memory.forward.static_cache import room_bytes  # for those who ask for one

            added = room_bytes(self, found)
        else:
            added = added_bytes(found, self.cache_element_bytes, tokens=self.tokens, past_tokens=self.past_tokens)
        return self.less("K and V, which are not cached yet", added)

    def across_not_yet_cached(self, parts: Iterable[Part]) -> Tensor | None:
        """Less than nothing: K and V of what the encoder says, which the decoder's first step makes."""
        of_token = 0 if self.decodes else sum(token_bytes(part, self.cache_element_bytes) for part in parts)
        return self.less("K and V across, which are not cached yet", self.sizes.source_tokens * of_token)

    def prompt_not_yet_cached(self, layers: Iterable[Layer]) -> Tensor | None:
        """Less than nothing: what layers that are still to run will keep of the prompt, states with it."""
        kept = sum(
            prompt_bytes(
                layer,
                tokens=self.tokens,
                element_bytes=self.cache_element_bytes,
                computed_bytes=self.element_bytes,
            )
            for layer in layers
        )
        return self.less("what later layers will cache", kept)

    def less(self, what: str, size_bytes: int) -> Tensor | None:
        """Less than nothing, of each sequence: what is counted whole with the cache, and is not there yet."""
        return self.tensor(f"less {what}", -size_bytes, element_bytes=1) if size_bytes else None

    def norm(self, width: int, what: str = "normed") -> Tensor:
        """(B, S, width) from as many. An RMSNorm makes an fp32 copy first, and the normed; in fp32 the normed, and its
        product with the scale. (modeling_llama.py, LlamaRMSNorm.forward: 4 bytes each; a LayerNorm is one kernel.)
        """
        code = self.code
        if code.norm_bytes:
            self.norm_copies(width)
            return self.features(what, width)
        rows = self.features("the norm's rows", 1, element_bytes=code.norm_row_bytes) if code.norm_row_bytes else None
        normed = self.features(what, width)
        del rows
        return normed

    @property
    def norm_copy_bytes(self) -> int:
        """For each feature that is normed, beside what is read."""
        return self.code.norm_bytes if self.element_bytes < FP32 else self.code.norm_fp32_bytes

    @property
    def norm_row_bytes(self) -> int:
        """And for each row."""
        return self.code.norm_row_bytes if self.element_bytes < FP32 else self.code.norm_fp32_row_bytes

    def norm_copies(self, width: int, *, rows: int = 1) -> None:
        """Beside what a norm of `rows` rows reads, each of `width // rows`."""
        copies = None
        if self.norm_copy_bytes:
            copies = self.features("the norm's fp32 copies", width, element_bytes=self.norm_copy_bytes)
        if self.norm_row_bytes:
            of_rows = self.features("the norm's rows", rows, element_bytes=self.norm_row_bytes)
            del of_rows
        del copies
