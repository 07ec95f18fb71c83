"""How a model type's code computes, where its parts do not tell: which copies it makes, and in which type.

Lines of transformers 5.23 are named by file and function. Widths are features of one token.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from hubvram.architecture.attention import FullAttention
from hubvram.architecture.layers import Architecture
from hubvram.memory.forward.rotation import Rotation, halves

if TYPE_CHECKING:
    from hubvram.architecture.attention import LatentAttention
    from hubvram.architecture.mlp import MoEMLP
    from hubvram.memory.forward.run import Run
    from hubvram.memory.forward.tape import Tensor

Around = Callable[["Run", Architecture], "tuple[Tensor, ...]"]
"""What a pass makes once for all layers."""
Kept = object
"""What a layer keeps of its attention until it is done: tensors, such as the probabilities, or None."""


class Whole(NamedTuple):
    """What the class around a text model holds beside it while that runs on text alone.

    Mostly nothing: it makes the embeddings, which the text model holds too.
    """

    token_bytes: int = 0
    """Of each token: where images would stand, and its id, or another one there."""
    all_logits: bool = False
    """Whether it makes the logits of all tokens, though `generate()` needs the last one's: it cannot be asked for less
    (no `logits_to_keep`; modeling_qwen2_audio.py)."""
    embeddings: int = 0
    """Copies of the embeddings that stay: those of images and sounds, where none are (gemma3n)."""
    position_rows: int = 1
    """Of the position ids that it takes from `generate()`: a text's, time, height and width in models that place images
    so (modeling_qwen2_vl.py, _prepare_position_ids_for_generation); 0 where it counts them itself."""
    drops_positions: bool = False
    """Whether `generate()` counts them nonetheless (modeling_exaone4_5.py, prepare_inputs_for_generation)."""
    embeds_prompt: bool = False
    """Whether its own `generate()` embeds the prompt, gives a copy to that of the text model, and holds it to the end
    (modeling_blip_2.py; of an image it would hold more)."""
    scales_logits: bool = False
    """Whether it scales the logits, as its text model's own class does."""
    keeps_layer_inputs: bool = False
    """Whether what tokens are for each layer, and embeddings without images', stay as they were (gemma4)."""
    masks_sequences: bool = False
    """Whether it makes a mask of each sequence and kind of layers even for text alone, by blocks that images would be
    (gemma4_unified, whose `use_bidirectional_attention` is "vision" where nothing else is said)."""


class ModelingCode(NamedTuple):
    """One model type's. The defaults are llama's."""

    softmax_in_fp32: bool = True
    """Whether eager attention turns its scores to fp32 for the softmax."""
    score_copies: int = 2
    """How many copies of the scores are alive where the softmax is in the model's own type."""
    padding_mask_bytes: int = 0
    """Of each token in a mask of ones that a model makes for each sequence where it gets none (modeling_biogpt.py)."""
    positions_per_sequence: bool = False
    """Whether positions are counted and embedded for each sequence, by a padding mask (modeling_opt.py)."""
    sink_columns: int = 0
    """Columns that are put beside the scores: a learned one for attending to nothing."""
    subtracts_largest: bool = False
    """Whether the largest of each row of scores is a tensor beside them, sinks or none (modeling_mimo_v2_flash.py)."""
    weighs_by_sinks: bool = False
    """Whether each head's sink weighs what it says instead, by the sum of its scores (modeling_granite_swa.py)."""
    routing_in_fp32: bool = False
    """Whether the weights of chosen experts stay fp32."""
    router_logits_in_fp32: bool = False
    gate_copies: int = 2
    """Copies of an expert's inner width beside gate and up: activated, and the product (integrations/moe.py)."""
    gating_in_fp32: tuple[int, int] | None = None
    """Where act(gate) by up is made in fp32: how many fp32 tensors of the inner width that takes beside gate and up,
    and how many of these are copies of the two, which are not made of what is fp32 (modeling_beam.py, BeamExperts)."""
    gated_copies: int | None = None
    """Copies of the inner width of gated MLPs that are no routed experts, where they are not usual: 4 where gate and up
    are clamped (deepseek_v4)."""
    shared_expert_first: bool = False
    """Whether what the shared expert says waits for the others; else it is made behind them."""
    experts: Callable[[Run, MoEMLP], None] | None = None
    """How experts are played, where not by transformers' shared code for them (integrations/moe.py)."""
    loops: bool = False
    """Whether experts run in a loop of the class's own, so that what is alive depends on how tokens choose."""
    hidden_beside_mlp: int = 0
    """Copies of the hidden states beside an MLP that llama's layer has not: what attention said (stablelm)."""
    rotates: bool = True
    """Whether positions are turned into Q and K where their sizes allow for it (kimi_linear has none)."""
    rotary_in_fp32: bool = False
    """Whether cos and sin are kept in fp32."""
    rotary_per_sequence: bool = False
    """Whether each sequence has its own cos and sin, as it has its own positions (modeling_modernbert_decoder.py)."""
    halves_of_tables: bool = False
    """Whether cos and sin are kept for one half of what rotates, not for both (modeling_gpt_oss.py)."""
    rotary_by_heads: bool = False
    """Whether cos and sin of each kind of layers are as wide as its heads, whatever rotates of these (gemma4)."""
    makes_window_mask: bool = False
    """Whether a mask for sliding layers is made even where no layer slides (modeling_qwen2_moe.py)."""
    always_masks: bool = False
    """Whether a mask is made even where sdpa needs none: others are joined to it (modeling_deepseek_v32.py)."""
    makes_full_mask: bool = False
    """Whether masks for full layers and for sliding ones are made whatever there is (modeling_ministral.py)."""
    full_mask_first: bool = False
    """Whether a mask for full layers is made even where all layers slide (modeling_qwen2.py)."""
    norm_bytes: int = 8
    """Beside what a norm reads, per feature: an RMSNorm's fp32 copy and the product with its scale."""
    norm_fp32_bytes: int = 8
    """The same where the model itself is fp32, and nothing is copied: what is made before and behind the scale."""
    norm_row_bytes: int = 8
    """And per row: the fp32 mean of squares and its root."""
    norm_fp32_row_bytes: int = 4
    """The mean alone, which has a name until the norm is done."""
    norms_inside: bool = False
    """Whether what heads say is normed before O, and the MLP's inner width before down (bitnet)."""
    norms_projections: bool = False
    """Whether Q, K and V are all made before Q and K are normed (gemma3); else each is normed as it is made."""
    norms_without_weight: bool = False
    """Whether Q and K are normed by a norm that learns nothing, which no config names (nanochat, llama4)."""
    gates_behind: bool = False
    """Whether gates for what heads say are made behind the attention, by an fp32 softplus (modeling_laguna.py)."""
    attention: Callable[[Run, FullAttention], Kept] | None = None
    """How attention is played, where that is not as in llama."""
    latent_attention: Callable[[Run, LatentAttention], Kept] | None = None
    """The same of attention through a latent."""
    rotation: Rotation = halves
    positions: Around | None = None
    """Positions, and biases by distance, where they are not those of decoder.py."""
    masks: Around | None = None
    """The same of masks."""
    keeps_probabilities: bool = False
    """Whether the loop over layers holds what the layer before returned: its probabilities too (GPTJModel.forward)."""
    keeps_normed: bool = False
    """Whether what the MLP reads lives on beside what it says, until the layer's end (gpt2)."""
    keeps_gated: bool = False
    """Whether act(gate) and up have names until the MLP's last matrix is done (T5DenseGatedActDense.forward)."""
    drops_normed: bool = False
    """Whether what the MLP reads is gone before its last matrix runs: one variable names both (MBartEncoderLayer)."""
    hidden_beside_attention: int = 0
    """Copies of the hidden states beside attention that llama's layer has not: what the MLP will read (falcon)."""
    activated_copies: int | None = None
    """Copies of a plain MLP's inner width beside what it reads, where the class writes its activation out itself."""
    keeps_unrotated: bool = False
    """Whether views of Q and K as projected live on beside those rotated (stablelm's query_pass)."""
    scales_embeddings: bool = False
    """Whether embeddings are scaled by the model that takes them: a whole around it holds them as they were, too."""
    whole: Whole | None = None
    """Where it is the text model of a whole."""
    joins_rotated: bool = False
    """Whether what rotates is always joined to a rest, be it empty (phi3)."""

    joins_gate_to_qkv: bool = False
    """Whether a delta net's Q, K, V and gate are made by one matrix, all of which stays (qwen3_next)."""
    gates_behind_scan: bool = False
    """Whether its gate is made only when the scan is done (olmo_hybrid)."""
    decays_in_fp32: bool = True
    """Whether decays of channels reach the scan in fp32 (kimi_linear; not so in bailing_hybrid)."""
    copies_embeddings: bool = False
    """Whether the model keeps a copy of the embeddings beside them (zamba2)."""
    norms_time_step: bool = False
    """Whether a state space's time step, B and C are normed apart (falcon_mamba, jamba)."""
    counts_positions: bool = True
    """Whether position ids are made, be they used or not."""
    residual_in_fp32: bool = False
    """Whether hidden states are fp32 between layers: mamba's `residual_in_fp32`, which is its default."""
    hidden_beside_head: int = 0
    """Copies of the hidden states that the head reads, scaled or turned to its type (modeling_minicpm3.py)."""
    logit_copies: int = 1
    """How many copies of the logits are alive at once, where the class scales them; in the model's type."""
    logits_in_fp32: bool = False
    """Whether the class itself turns logits to fp32 (modeling_mamba.py, MambaForCausalLM.forward)."""
    capped_logit_bytes: int = 0
    """Of each logit while the class caps them in fp32 (modeling_beam.py, BeamForCausalLM.forward)."""

    def gating_bytes(self, element_bytes: int) -> int:
        """Of what an expert makes beside gate and up, for each feature of its inner width."""
        if self.gating_in_fp32 is None:
            return self.gate_copies * element_bytes
        made, copied = self.gating_in_fp32
        return 4 * (made - copied * (element_bytes == 4))

    def logit_bytes(self, element_bytes: int) -> int:
        """Of what a router says of one expert."""
        return 4 if self.router_logits_in_fp32 else element_bytes

    def choice_bytes(self, element_bytes: int) -> int:
        """Of the weight of a chosen expert."""
        return 4 if self.routing_in_fp32 else element_bytes

    def query_width(self, mixer: FullAttention, rotary_dim: int) -> int:
        """What is alive of Q (and, where one matrix makes all three, of K and V) beside the cache at the softmax."""
        fused = mixer.q_size + mixer.k_size + mixer.v_size if mixer.fused_qkv else 0
        if self.keeps_unrotated and rotary_dim:
            rotated = rotary_dim * (mixer.num_attention_heads + mixer.num_key_value_heads)
            made = 0 if fused and not mixer.qk_norm else mixer.q_size + mixer.k_size
            return fused + made + rotated + mixer.q_size
        if not fused:
            return mixer.q_size
        return fused + (mixer.q_size if rotary_dim else 0)  # Rotated queries are a tensor of their own.

    def copies_output(self, mixer: FullAttention, rotary_dim: int) -> bool:
        """Whether what the fused kernel says is in the order of heads, so that it is copied into that of tokens.

        The kernel's output has the layout of Q, and joining two parts of Q's heads orders it by heads
        (sdpa_attention.py, sdpa_attention_forward: transpose(1, 2).contiguous()).
        """
        return self.joins_rotated or (not self.rotary_by_heads and 0 < rotary_dim < mixer.head_dim)


def with_traits(code: ModelingCode, **traits: Any) -> ModelingCode:
    """The same code with other traits."""
    return code._replace(**traits)


LLAMA: Final = ModelingCode()
FP32_ROUTER: Final = with_traits(LLAMA, routing_in_fp32=True, router_logits_in_fp32=True)
"""Its router says logits and weights of chosen experts in fp32 (modeling_deepseek_v3.py, DeepseekV3TopkRouter)."""
LAYER_NORM: Final = ModelingCode(norm_bytes=0, norm_row_bytes=8)
