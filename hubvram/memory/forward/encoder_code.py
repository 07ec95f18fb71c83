"""How an encoder's class computes, and how long its variables keep what a layer makes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, IntEnum, auto
from typing import TYPE_CHECKING

from hubvram.memory.forward.modeling_code import Around
from hubvram.memory.forward.tape import Peak, Tensor

if TYPE_CHECKING:
    from hubvram.architecture.attention import BidirectionalAttention
    from hubvram.architecture.layers import Architecture, Layer
    from hubvram.memory.forward.run import Run


class Until(IntEnum):
    """When the last variable that names a tensor goes: once the next one named here was made."""

    READ = 0
    """What the first matrices make of it."""
    SAID = 1
    """What the heads say; in an MLP, its inner width, activated."""
    PROJECTED = 2
    """What O, or the MLP's last matrix, makes of that."""
    ADDED = 3
    """Its sum with the residual."""
    NORMED = 4
    """That sum, normed: where norms stand behind."""
    LAYER = 5
    """All that the layer makes."""
    NEXT_LAYER = 6
    """All that the next layer makes: where the loop over layers keeps a tuple."""


class Types(Enum):
    """Who makes the numbers that say of which type a token is."""

    TOKENIZER = auto()
    MODEL = auto()
    """The model's forward, which holds them."""
    NOBODY = auto()
    """They are a view of a buffer."""
    EMBEDDING = auto()
    """The embedding: for each sequence where it makes positions for each, else once."""


class Pixels(Enum):
    """Who turns pixels of fp32 into the model's own type."""

    EMBEDDING = auto()
    MODEL = auto()
    """The model's forward, which holds both."""
    CALLER = auto()
    """Nobody in the class: it is given what it computes in."""


class Held:
    """Tensors of a layer, each with the moment until which a variable names it."""

    def __init__(self) -> None:
        self._tensors: list[tuple[Until, Tensor]] = []
        self.has_bias = False
        """Whether scores get a bias that was made before."""

    def hold(self, until: Until, tensor: Tensor) -> None:
        self._tensors.append((until, tensor))

    def let_go(self, moment: Until) -> None:
        """All that nothing names any more."""
        self._tensors = [(until, tensor) for until, tensor in self._tensors if until > moment]


Attend = Callable[["Run", "Architecture", "BidirectionalAttention", "EncoderCode", Held], Tensor | None]
"""Leaves what the heads say in what is held; returns the probabilities of eager attention."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderCode:
    """One model type's. The defaults are bert's (modeling_bert.py, BertLayer)."""

    play: Callable[[Run, Architecture, bool], tuple[Peak, Peak]] | None = None
    """Its program, where that is not the one for all encoders (encoder.py)."""

    # --- how long what a layer makes has a name
    normed: Until = Until.ADDED
    """What a norm before attention made."""
    mlp_normed: Until = Until.ADDED
    """And one before the MLP."""
    qkv: Until = Until.SAID
    scores: Until | None = None
    """The scores, where they have a name of their own beside the probabilities."""
    probabilities: Until = Until.LAYER
    said: Until = Until.NORMED
    projected: Until = Until.NORMED
    inner: Until = Until.NORMED
    """The inner width of the MLP, activated."""

    # --- the layers
    begins: Callable[[Run, Architecture, Layer], object] | None = None
    """What a layer makes first, and keeps until it is done: tensors, or None."""
    attend: Attend | None = None
    """Its attention, where that is not the usual one (encoder_attention.py)."""
    bias: Callable[[Run, BidirectionalAttention], Tensor | None] | None = None
    """Made while Q, K and V wait: a bias of the scores."""
    mlp_said: Until = Until.NORMED
    """What the MLP says."""
    adapt: Callable[[Run, Layer], None] | None = None
    """What runs behind the sum of that with the residual, and makes it anew (adapters.py)."""
    keeps_unscaled: bool = False
    """Whether what O made stays beside the same, scaled, where a vector scales it (modeling_data2vec_vision.py)."""
    keeps_all_layers: bool = False
    """Whether what every layer said is kept, asked for or not (modeling_deberta_v2.py)."""

    # --- around them
    tower: Callable[[Run, Architecture, EncoderCode], object] | None = None
    """What runs first, over an image for each sequence, and what it leaves: tensors."""
    around: Around | None = None
    """What is made once for all layers, beside what others make too."""
    pixels: Pixels = Pixels.EMBEDDING
    embed: Callable[[Run, Architecture, EncoderCode], None] | None = None
    """How tokens are embedded, where that takes more than a sum."""
    inputs: int = 2
    """Numbers of each token that a tokenizer makes beside types: ids and a mask."""
    types: Types = Types.EMBEDDING
    keeps_narrow_embedding: bool = False
    """Whether the model's forward holds the embedding in its own width, not the layers' (albert)."""
    adds_in_place: bool = False
    """Whether positions are added to the embedding in place."""
    masks_scores: bool = False
    """Whether a mask of 64-bit numbers is made for all pairs of tokens, though nothing is masked."""
    keeps_positions: bool = True
    """Whether the ids of positions that cos and sin were made from stay."""
    is_playable: Callable[[Architecture], bool] | None = None
    """Whether its program plays all that an architecture has; None: always."""
    logit_copies: int = 1
    """Copies of the logits: two where their bias is added apart."""
