"""How the classes of encoder-decoders compute: what differs between model types, in traits.

(transformers 5.23; each names the class or file that does it.)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto

from hubvram.architecture.attention import FullAttention
from hubvram.architecture.attention_in_blocks import BlockwiseAttention
from hubvram.architecture.layers import Stack
from hubvram.memory.forward.modeling_code import LAYER_NORM, ModelingCode
from hubvram.memory.forward.run import BOOL_BYTES, Run
from hubvram.memory.forward.sound import Sound
from hubvram.memory.forward.tape import Share, Tensor
from hubvram.memory.workload import Attention


def padding_mask(run: Run) -> Tensor | None:
    """Of an encoder's layers, or of a decoder's across, where some of the encoder's input is padding: truth values, or
    what is added where attention is eager; without rows for flash attention (create_bidirectional_mask)."""
    if not run.sizes.padded:
        return None
    rows = 1 if run.attention is Attention.FLASH else run.tokens
    source = run.sizes.source_tokens or run.tokens
    return run.tensor("mask of the padding", rows, source, element_bytes=None if run.is_eager else BOOL_BYTES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Positions:
    """What stays of positions beside the hidden states, and whose it is."""

    rows: Share | None = None
    """Of an embedding."""
    ids: Share | None = None
    padding: bool = False
    """Whether a mask of ones stays, in fp32, that a side makes where it is given none: of `generate()`, decoders."""
    rotary: bool = False
    """Whether they rotate, by cos and sin, so that nothing is added to the embeddings."""
    embeddings: bool = True
    """Whether the embeddings stay too; not where positions are added to them in place (modeling_fsmt.py)."""
    inside: bool = False
    """Whether they are added within the embeddings, whose sum is what stays (modeling_bert.py, BertEmbeddings)."""


class Relative(Enum):
    """Who makes a bias of relative positions."""

    NONE = auto()
    FIRST = auto()
    """The first layer, for all of its side (modeling_t5.py)."""
    EACH = auto()
    """Each layer, for itself (modeling_umt5.py)."""


class Attended(Enum):
    """What a layer keeps of each of its attentions until it is done."""

    NOTHING = auto()
    SUM = auto()
    """What it says, added to what it read, and normed (modeling_bert.py, BertLayer.forward: self_attention_output)."""
    SAID = auto()
    """What it says alone (modeling_gpt2.py, GPT2Block.forward: attn_output, cross_attn_output)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BothSides:
    """How the code of an encoder-decoder computes, where its parts do not tell."""

    code: ModelingCode = LAYER_NORM
    encoder: Positions = Positions()
    decoder: Positions = Positions()
    sound: Sound | None = None
    """What the encoder hears; None where it reads tokens."""
    orders_heads: bool = False
    """Whether Q, K and V are copied into the order of heads, and what heads say back again (modeling_whisper.py)."""
    keeps_probabilities: bool = True
    """Whether eager attention returns them, so that the layer keeps them; else they go as soon as they were used."""
    keeps_attended: Attended = Attended.NOTHING
    names_normed: bool = False
    """Whether what is normed has a name until attention's answer is added, or the MLP has made its own; and of
    attention to own tokens the probabilities, until those across are used (modeling_t5.py)."""
    keeps_layer_before: bool = False
    """Whether the loop over layers holds what the layer before returned: probabilities of both kinds (longt5)."""
    relative: Relative = Relative.NONE
    grows_table: bool = False
    """Whether a side that is given more tokens than its table of sinusoids knows makes a longer one
    (modeling_m2m_100.py, M2M100SinusoidalPositionalEmbedding.forward)."""
    spare_rows: int = 2
    """How many more than it needs that one has."""
    widens_in_fp16: bool = False
    """Whether the matrices that write an MLP's output stay fp32 where the rest is fp16: what they read is copied to
    fp32, and from the first of them on so are the hidden states (`_keep_in_fp32_modules = ["wo"]`, modeling_t5.py)."""
    masks_from: float = 1
    """From how many tokens on the decoder's eager attention has a mask; inf where it has none while it caches."""
    attends: Callable[[Run, BlockwiseAttention], Tensor | None] | None = None
    """How an encoder's attention over blocks is played; the probabilities if it keeps them."""
    padded: Callable[[Stack, int], int] | None = None
    """To how many tokens an encoder pads its input; what it says is a view of what it makes of all of them."""
    masks: Callable[[Run], Tensor | None] = padding_mask
    """What an encoder without blocks, and a decoder across, make of the mask that an encoder is given, and keep."""
    queries_last: bool = False
    """Whether Q is made when K and V are cached, not before (modeling_fsmt.py, Attention.forward)."""
    mix: Callable[[Run, FullAttention], Tensor | None] | None = None
    """How attention is played, where that is not as in bart: returns the probabilities, where there are any."""
    head_inside: bool = False
    """Whether the decoder makes the logits itself, beside all that its forward names (modeling_pix2struct.py)."""
    makes_bias: Callable[[Run], Tensor] | None = None
    """What makes a bias of positions for all layers, where that is not the first of these (modeling_udop.py)."""
    adds_logits_bias: bool = False
    """Whether a bias is added to the logits, which makes them a second time."""
