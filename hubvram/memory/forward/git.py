"""git, played: a decoder of BERT's layers, which are normed behind attention and MLP (modeling_git.py)."""

from __future__ import annotations

from typing import Final

from hubvram.architecture.attention import FullAttention
from hubvram.architecture.layers import Architecture, Layer
from hubvram.architecture.mlp import DenseMLP
from hubvram.memory.forward.attention import cache, keys_of
from hubvram.memory.forward.decoder import play_decoder
from hubvram.memory.forward.run import ID_BYTES, Run
from hubvram.memory.forward.tape import Peak, Tensor

_INT: Final = 4


def play_git(run: Run, architecture: Architecture, copies_logits: bool) -> tuple[Peak, Peak]:
    """A decoder of such layers."""
    return play_decoder(run, architecture, copies_logits, embed=_embed, play_layer=_play_layer)


def _embed(run: Run, architecture: Architecture) -> tuple[Tensor, ...]:
    """Rows of positions are added in place. Types of tokens are a view of zeros, one for each feature, which stay; and
    which image each token belongs to, which is none (GitEmbeddings.forward, GitModel.forward)."""
    hidden_size = architecture.hidden_size
    return (
        run.features("embeddings", hidden_size),
        run.features("types of tokens, for each feature", hidden_size, element_bytes=_INT),
        run.features("images that tokens belong to", 1, element_bytes=ID_BYTES),
    )


def _play_layer(run: Run, layer: Layer, hidden_size: int) -> None:
    """What was projected is beside its sum with what was read, and that normed; what is projected is held by the
    callers, as the probabilities are (GitLayer, GitAttention, GitSelfOutput, GitOutput)."""
    assert isinstance(layer.mixer, FullAttention) and isinstance(layer.mlp, DenseMLP)
    run.phase("attention")
    probabilities = _attend(run, layer.mixer)
    said = run.features("what heads say", layer.mixer.q_size)
    run.phase("norms")
    attended = _projected(run, hidden_size)
    del said, probabilities
    run.phase("mlp")
    inner = layer.mlp.intermediate_size
    both = run.features("up of the MLP, and act(up)", 2 * inner)
    del both
    activated = run.features("act(up)", inner)
    written = _projected(run, hidden_size)
    del attended, activated, written


def _projected(run: Run, hidden_size: int) -> Tensor:
    summed = run.features("what is projected, and the sum", 2 * hidden_size)
    normed = run.norm(hidden_size)
    del summed
    return normed


def _attend(run: Run, mixer: FullAttention) -> Tensor:
    """Scores before and behind each step, the last of which stay beside the probabilities; what heads say, in the
    order of heads and in that of tokens (GitSelfAttention.forward)."""
    query = run.features("Q", mixer.q_size)
    cache(run, mixer.k_size + mixer.v_size, mixer.k_size, keys_of(run, mixer))
    sizes = (mixer.num_attention_heads, run.tokens, keys_of(run, mixer))
    scores = run.tensor("scores, masked", *sizes)
    probabilities = run.tensor("probabilities", *sizes)
    # Of one token both orders are the same.
    said = run.features("what heads say, by heads and by tokens", (2 if run.tokens > 1 else 1) * mixer.q_size)
    del query, scores, said
    return probabilities
