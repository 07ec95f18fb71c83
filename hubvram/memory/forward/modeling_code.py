"""How a model type's code computes, where its parts do not tell: which copies it makes, and in which type.

Lines of transformers 5.23 are named by file and function. Widths are features of one token.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from hubvram.architecture.attention import FullAttention
from hubvram.architecture.layers import Architecture
from hubvram.memory.forward.rotation import Rotation, halves

if TYPE_CHECKING:
    from hubvram.memory.forward.run import Run
    from hubvram.memory.forward.tape import Tensor

Around = Callable[["Run", Architecture], "tuple[Tensor, ...]"]
"""What a pass makes once for all layers."""
Attend = Callable[["Run", FullAttention], "Tensor | None"]
"""One layer's attention: it returns the probabilities, where they are kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelingCode:
    """One model type's. The defaults are llama's."""

    softmax_in_fp32: bool = True
    """Whether eager attention turns its scores to fp32 for the softmax."""
    score_copies: int = 2
    """How many copies of the scores are alive where the softmax is in the model's own type."""
    positions_per_sequence: bool = False
    """Whether positions are counted and embedded for each sequence, by a padding mask (modeling_opt.py)."""
    sink_columns: int = 0
    """Columns that are put beside the scores: a learned one for attending to nothing."""
    routing_in_fp32: bool = False
    """Whether the weights of chosen experts stay fp32."""
    router_logits_in_fp32: bool = False
    gate_copies: int = 2
    """Copies of an expert's inner width beside gate and up: activated, and the product (integrations/moe.py)."""
    shared_expert_first: bool = False
    """Whether what the shared expert says waits for the others; else it is made behind them."""
    hidden_beside_mlp: int = 0
    """Copies of the hidden states beside an MLP that llama's layer has not: what attention said (stablelm)."""
    rotary_in_fp32: bool = False
    """Whether cos and sin are kept in fp32."""
    halves_of_tables: bool = False
    """Whether cos and sin are kept for one half of what rotates, not for both (modeling_gpt_oss.py)."""
    makes_window_mask: bool = False
    """Whether a mask for sliding layers is made even where no layer slides (modeling_qwen2_moe.py)."""
    norm_bytes: int = 8
    """Beside what a norm reads, per feature: an RMSNorm's fp32 copy and the product with its scale."""
    norm_row_bytes: int = 8
    """And per row: the fp32 mean of squares and its root."""
    norms_projections: bool = False
    """Whether Q, K and V are all made before Q and K are normed (gemma3); else each is normed as it is made."""
    rotation: Rotation = halves
    attention: Attend | None = None
    """Attention that is written in a way of its own, where it is not that of attention.py."""
    positions: Around | None = None
    """Positions, and biases by distance, where they are not those of decoder.py."""
    masks: Around | None = None
    """The same of masks."""
    keeps_probabilities: bool = False
    """Whether the loop over layers holds what the layer before returned: its probabilities too (GPTJModel.forward)."""
    keeps_normed: bool = False
    """Whether what the MLP reads lives on beside what it says, until the layer's end (gpt2)."""
    hidden_beside_attention: int = 0
    """Copies of the hidden states beside attention that llama's layer has not: what the MLP will read (falcon)."""
    activated_copies: int | None = None
    """Copies of a plain MLP's inner width beside what it reads, where the class writes its activation out itself."""
    keeps_unrotated: bool = False
    """Whether views of Q and K as projected live on beside those rotated (stablelm's query_pass)."""
    joins_rotated: bool = False
    """Whether what rotates is always joined to a rest, be it empty (phi3)."""

    def query_width(self, mixer: FullAttention, rotary_dim: int) -> int:
        """What is alive of Q (and, where one matrix makes all three, of K and V) beside the cache at the softmax."""
        if self.keeps_unrotated and rotary_dim:
            rotated = rotary_dim * (mixer.num_attention_heads + mixer.num_key_value_heads)
            return 2 * mixer.q_size + mixer.k_size + rotated
        if not mixer.fused_qkv:
            return mixer.q_size
        fused = mixer.q_size + mixer.k_size + mixer.v_size
        return fused + (mixer.q_size if rotary_dim else 0)  # Rotated queries are a tensor of their own.

    def copies_output(self, mixer: FullAttention, rotary_dim: int) -> bool:
        """Whether what the fused kernel says is in the order of heads, so that it is copied into that of tokens.

        The kernel's output has the layout of Q, and joining two parts of Q's heads orders it by heads
        (sdpa_attention.py, sdpa_attention_forward: transpose(1, 2).contiguous()).
        """
        return self.joins_rotated or 0 < rotary_dim < mixer.head_dim


LLAMA: Final = ModelingCode()
LAYER_NORM: Final = ModelingCode(norm_bytes=0, norm_row_bytes=8)
