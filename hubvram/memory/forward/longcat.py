"""longcat_flash, played: each layer is two of the usual ones, and experts whose answer waits for the end of the second.

(modeling_longcat_flash.py, LongcatFlashDecoderLayer.forward)
"""

from __future__ import annotations

from hubvram.architecture.attention import LatentAttention
from hubvram.architecture.layers import Architecture, Layer
from hubvram.architecture.mlp import DenseMLP, MoEMLP
from hubvram.memory.forward.decoder import play_decoder
from hubvram.memory.forward.latent import play_latent_attention
from hubvram.memory.forward.mlp import play_mlp
from hubvram.memory.forward.modeling_code import Kept
from hubvram.memory.forward.run import Run
from hubvram.memory.forward.tape import Peak, Tensor


def is_longcat_playable(architecture: Architecture) -> bool:
    """Whether every layer is attention and experts, and the same attention again between two MLPs."""
    return all(
        isinstance(group.layer.mixer, LatentAttention)
        and isinstance(group.layer.mlp, MoEMLP)
        and tuple(map(type, group.layer.others)) == (LatentAttention, DenseMLP, DenseMLP)
        for group in architecture.groups()
    )


def play_longcat(run: Run, architecture: Architecture, copies_logits: bool) -> tuple[Peak, Peak]:
    """A decoder of such layers."""
    return play_decoder(run, architecture, copies_logits, play_layer=_play_layer)


def _play_layer(run: Run, layer: Layer, hidden_size: int) -> None:
    """The first attention's probabilities have a name until the second one's are there."""
    attention, first, second = layer.others
    later = run.not_yet_cached((attention,))
    kept = _play_attention(run, layer.mixer, hidden_size)
    residual = run.features("residual", hidden_size)
    normed = _norm(run, hidden_size)
    run.phase("mlp")
    play_mlp(run, layer.mlp)
    shortcut = run.features("what the experts say", hidden_size)
    play_mlp(run, first)
    del residual, normed, later
    residual = run.features("residual", hidden_size)
    kept = _play_attention(run, attention, hidden_size)
    del residual
    residual = run.features("residual", hidden_size)
    normed = _norm(run, hidden_size)
    run.phase("mlp")
    play_mlp(run, second)
    del residual, normed, shortcut, kept


def _play_attention(run: Run, mixer: object, hidden_size: int) -> Kept:
    if not isinstance(mixer, LatentAttention):
        raise TypeError(f"no program for {mixer!r}")
    normed = _norm(run, hidden_size)
    run.phase("attention")
    kept = play_scaled_latent_attention(run, mixer)
    del normed
    return kept


def _norm(run: Run, hidden_size: int) -> Tensor:
    run.phase("norms")
    return run.norm(hidden_size)


def play_scaled_latent_attention(run: Run, mixer: LatentAttention) -> Kept:
    """Both parts of Q are scaled, and so are tensors of their own beside Q as made (LongcatFlashMLA.forward)."""
    scaled = run.features("Q without rotation, scaled", mixer.num_attention_heads * mixer.qk_nope_head_dim)
    kept = play_latent_attention(run, mixer)
    del scaled
    return kept
