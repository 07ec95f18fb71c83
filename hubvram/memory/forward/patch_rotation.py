"""Rotary positions of patches alone, played: learned tokens before them do not turn (modeling_dinov3_vit.py)."""

from __future__ import annotations

from hubvram.architecture.attention import BidirectionalAttention
from hubvram.architecture.layers import Architecture
from hubvram.architecture.parts import Tensor as Table
from hubvram.memory.forward.encoder_attention import say
from hubvram.memory.forward.encoder_code import EncoderCode, Held
from hubvram.memory.forward.run import FP32, Run
from hubvram.memory.forward.tape import Tensor


def patch_tables(run: Run, architecture: Architecture) -> tuple[Tensor, ...]:
    """Cos and sin of all dimensions; before, angles, and cos and sin of these, in fp32.

    (DINOv3ViTRopePositionEmbedding.forward. Left out is where patches have their centres: eight bytes for each, which
    stay from one forward to the next.)
    """
    patches, head_dim = _patches(run, architecture), _head_dim(architecture)
    angles = run.shared("angles, cos and sin of them", patches, 3 * head_dim, element_bytes=FP32)
    tables = run.shared("cos and sin", patches, 2 * head_dim)
    del angles
    return (tables,)


def attend_turned(
    run: Run, architecture: Architecture, mixer: BidirectionalAttention, code: EncoderCode, held: Held
) -> Tensor | None:
    """Q's patches turn, then K's; then each is joined to the tokens before it (apply_rotary_pos_emb)."""
    patches = _patches(run, architecture)
    query = run.features("Q", mixer.q_size)
    key = run.features("K", mixer.k_size)
    held.hold(code.qkv, run.features("V", mixer.v_size))
    turned = run.tensor("Q by cos, turned, and by sin", patches, 3 * mixer.q_size)
    del turned
    patches_of_query = run.tensor("Q's patches, turned", patches, mixer.q_size)
    turned = run.tensor("K by cos, turned, and by sin", patches, 3 * mixer.k_size)
    del turned
    patches_of_key = run.tensor("K's patches, turned", patches, mixer.k_size)
    held.hold(code.qkv, run.features("Q and K, turned", mixer.q_size + mixer.k_size))
    del query, key, patches_of_query, patches_of_key
    return say(run, mixer, code, held)


def _patches(run: Run, architecture: Architecture) -> int:
    """All tokens but the class's and the registers."""
    registers = (it for it in architecture.extras if isinstance(it, Table) and it.name == "registers")
    return run.tokens - 1 - sum(table.shape[0] for table in registers)


def _head_dim(architecture: Architecture) -> int:
    mixer = architecture.layers[0].mixer
    assert isinstance(mixer, BidirectionalAttention)
    return mixer.head_dim
