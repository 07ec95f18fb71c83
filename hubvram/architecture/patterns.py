"""Which layers look at a window only: the rules by which model types turn a few fields into one kind per layer.

Each rule follows the `__post_init__` of the config class in transformers 5.23, or, where that sets no
`layer_types`, what `cache_utils.get_layer_types_and_kwargs` infers. An explicit `layer_types` always wins.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from hubvram.config.document import ConfigDocument


@dataclass(frozen=True, slots=True)
class Chunk:
    """Attention within chunks of so many tokens, where a plain number is a sliding window."""

    tokens: int


@dataclass(frozen=True, slots=True)
class Kept:
    """Full attention, of which transformers' cache keeps so many tokens only."""

    tokens: int


Window = int | Chunk | Kept | None
"""A layer's sliding window in tokens, its chunk, or what is kept; None for full attention."""

Windows = Sequence[Window]
"""The windows of all layers."""

WindowRule = Callable[[ConfigDocument, int], Windows]
"""(config, number of layers) -> windows."""

_FULL: Final = "full_attention"
_SLIDING: Final = "sliding_attention"
_CHUNKED: Final = "chunked_attention"


def never(config: ConfigDocument, layers: int) -> Windows:
    """Full attention everywhere, whatever else the config says: its class fills `layer_types` (minimax_m3)."""
    return [None] * layers


def unasked(config: ConfigDocument, layers: int) -> Windows:
    """Full attention everywhere (llama, gemma). The cache has the window that the config may name all the same."""
    named = (_positive(config, key) for key in ("sliding_window", "attention_chunk_size"))
    kept = next((tokens for tokens in named if tokens), None)
    return [None if kept is None else Kept(kept)] * layers


def _positive(config: ConfigDocument, key: str) -> int | None:
    """A field that the class does not know, so that nothing has checked what it holds."""
    value = config.get(int, key) if config.is_a(int, key) and not config.is_a(bool, key) else None
    return value if value is not None and value > 0 else None


def tokens_kept(window: Window) -> int | None:
    """How many tokens the cache of a layer with this window keeps; None for all."""
    return window.tokens if isinstance(window, Chunk | Kept) else window


def wherever_set(config: ConfigDocument, layers: int) -> Windows:
    """A `sliding_window` that is not null holds for every layer (mistral, mixtral, phi3)."""
    return [config.size_or_none("sliding_window")] * layers


def if_used(config: ConfigDocument, layers: int) -> Windows:
    """As above, but only with `use_sliding_window` (qwen3_moe)."""
    return wherever_set(config, layers) if config.flag("use_sliding_window") else never(config, layers)


def from_max_window_layers(config: ConfigDocument, layers: int) -> Windows:
    """With `use_sliding_window`, the layers from `max_window_layers` on (qwen2, qwen3)."""
    first = config.require(int, "max_window_layers")
    windows = if_used(config, layers)
    return [window if index >= first else None for index, window in enumerate(windows)]


def every_other_before_max_window_layers(config: ConfigDocument, layers: int) -> Windows:
    """With `use_sliding_window`, every other layer of those before `max_window_layers` (qwen2_moe)."""
    first_full = config.require(int, "max_window_layers")
    windows = if_used(config, layers)
    return [window if (index + 1) % 2 and index < first_full else None for index, window in enumerate(windows)]


def by_no_rope(config: ConfigDocument, layers: int) -> Windows:
    """With `use_sliding_window`, the layers without rotary positions: by `no_rope_layers`, or an interval (smollm3)."""
    window = config.size_or_none("sliding_window") if config.flag("use_sliding_window") else None
    if window is None:
        return never(config, layers)
    rotates = config.integers("no_rope_layers")
    if not rotates:
        interval = config.size("no_rope_layer_interval")
        rotates = tuple((index + 1) % interval for index in range(layers))
    if len(rotates) < layers:
        raise config.error("no_rope_layers", f"it names {len(rotates)} layers, num_hidden_layers is {layers}")
    return [None if rotate else window for rotate in rotates[:layers]]


def every_other(config: ConfigDocument, layers: int) -> Windows:
    """Sliding, full, sliding, full... (gemma2)."""
    return _every_nth_is_full(config, layers, 2)


def all_but_every_fourth(config: ConfigDocument, layers: int) -> Windows:
    """Three with a window, then one without (olmo3)."""
    return _every_nth_is_full(config, layers, 4)


def all_but_every_fifth(config: ConfigDocument, layers: int) -> Windows:
    """Four with a window, then one without (gemma3n_text)."""
    return _every_nth_is_full(config, layers, 5)


def all_but_every_fourth_from_first(config: ConfigDocument, layers: int) -> Windows:
    """One without a window, then three with (cwm)."""
    window = config.size_or_none("sliding_window")
    return [window if index % 4 else None for index in range(layers)]


def all_but_every_sixth(config: ConfigDocument, layers: int) -> Windows:
    """Each `sliding_window_pattern`-th layer is full, by default each sixth (gemma3_text)."""
    return _by_pattern(config, layers, usual=6)


def all_but_every_sixth_always(config: ConfigDocument, layers: int) -> Windows:
    """The same, whatever `sliding_window_pattern` says (gemma4)."""
    return _every_nth_is_full(config, layers, 6)


def by_pattern_of_four(config: ConfigDocument, layers: int) -> Windows:
    """The same, by default each fourth (cohere2, exaone4)."""
    return _by_pattern(config, layers, usual=4)


def _by_pattern(config: ConfigDocument, layers: int, *, usual: int) -> Windows:
    if config.size_or_none("sliding_window") is None:
        return never(config, layers)
    return _every_nth_is_full(config, layers, config.size_or_none("sliding_window_pattern") or usual)


def halved(windows: Windows) -> Windows:
    """Windows that reach both ways, as transformers cuts them (gemma3_text with `use_bidirectional_attention`)."""
    return [window // 2 + 1 if isinstance(window, int) else window for window in windows]


def _every_nth_is_full(config: ConfigDocument, layers: int, pattern: int) -> Windows:
    window = config.size_or_none("sliding_window")
    return [window if (index + 1) % pattern else None for index in range(layers)]


def full_where(is_full: Callable[[int, int], bool]) -> WindowRule:
    """A window in all layers but some; (index, number of layers) -> whether a layer has none."""

    def rule(config: ConfigDocument, layers: int) -> Windows:
        window = config.size_or_none("sliding_window")
        return [None if is_full(index, layers) else window for index in range(layers)]

    return rule


def windows_of(config: ConfigDocument, layers: int, rule: WindowRule, other_kinds: Sequence[str] = ()) -> Windows:
    """The windows of all layers, by `layer_types` where the config has it, else by the model type's rule.

    Kinds of layers that are no attention (`other_kinds`) have no window: what they are, their family reads.
    """
    kinds = config.strings("layer_types")
    if not kinds:
        return rule(config, layers)
    if len(kinds) != layers:
        raise config.error("layer_types", f"it names {len(kinds)} layers, num_hidden_layers is {layers}")
    unknown = sorted(set(kinds) - {_FULL, _SLIDING, _CHUNKED} - set(other_kinds))
    if unknown:
        raise config.error("layer_types", f"{unknown[0]!r} is no kind of layer that this model type has")
    windows: dict[str, Window] = {}
    if _SLIDING in kinds:
        windows[_SLIDING] = config.size("sliding_window")
    if _CHUNKED in kinds:
        windows[_CHUNKED] = Chunk(config.size("attention_chunk_size"))
    return [windows.get(kind) for kind in kinds]
