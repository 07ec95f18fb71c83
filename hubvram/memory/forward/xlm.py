"""xlm, played: no K and V outlive a forward, but those of all layers live until its end.

(modeling_xlm.py, XLMModel.forward, MultiHeadAttention.forward)
"""

from __future__ import annotations

from hubvram.architecture.attention import FullAttention
from hubvram.architecture.layers import Architecture
from hubvram.memory.forward.attention import play_scores
from hubvram.memory.forward.classic import other_tokens, with_all_tokens
from hubvram.memory.forward.decoder import play_decoder
from hubvram.memory.forward.mlp import play_mlp
from hubvram.memory.forward.run import ID_BYTES, Run
from hubvram.memory.forward.tape import Peak, Tensor


def play_xlm(run: Run, architecture: Architecture, copies_logits: bool) -> tuple[Peak, Peak]:
    """A step of `generate()` is a forward over all tokens."""
    return play_decoder(run, architecture, copies_logits, play_model=_play_model)


def _play_model(run: Run, architecture: Architecture) -> Tensor | None:
    """`generate()` puts a mask token behind the others, in a copy of the ids, and says the language of each; positions
    that it counts are dropped (XLMWithLMHeadModel.prepare_inputs_for_generation)."""
    positions = run.position_ids() if run.sizes.by_generate else None
    whole = with_all_tokens(run, more=run.sizes.by_generate)
    given = whole.features("ids with a mask token, and languages", 2, element_bytes=ID_BYTES) if positions else None
    _play_last_layer(whole, architecture)
    del positions, given
    return other_tokens(run, whole, architecture.hidden_size)


def _play_last_layer(run: Run, architecture: Architecture) -> None:
    """Beside K and V of all others."""
    hidden_size, layer = architecture.hidden_size, architecture.layers[-1]
    if not isinstance(layer.mixer, FullAttention):
        raise TypeError(f"no program for {layer.mixer!r}")
    embedded = run.features("embeddings", hidden_size)
    mask = run.features("which are no padding", 1, element_bytes=1)
    seen = (
        run.tensor("which a token sees", run.tokens, run.tokens, element_bytes=1) if layer.mixer.masks_later else None
    )
    before = run.features("K and V of layers before", 2 * hidden_size * (len(architecture.layers) - 1))
    hidden = run.features("hidden states", hidden_size)
    said = run.features("what attention said in the layer before", hidden_size)
    run.phase("attention")
    play_xlm_attention(run, layer.mixer)
    del said
    kept = run.features("K, V, and what attention says", 3 * hidden_size)
    run.phase("norms")
    summed = run.features("sum of both", hidden_size)
    normed = run.norm(hidden_size)
    del hidden, summed
    run.phase("mlp")
    play_mlp(run, layer.mlp)
    added = run.features("what the MLP says, and the sum", 2 * hidden_size)
    del normed, added
    del embedded, mask, seen, before, kept


def play_xlm_attention(run: Run, mixer: FullAttention) -> None:
    """K and V are copied into the cache; scores stay beside their softmax."""
    query = run.features("Q", mixer.q_size)
    copied = run.features("K and V as made, and copied", 4 * mixer.k_size)
    del copied
    both = run.features("K and V", 2 * mixer.k_size)
    scaled = run.features("Q, scaled", mixer.q_size)
    del query
    heads = mixer.num_attention_heads
    width = run.tokens if mixer.masks_later else 1
    hidden = run.features("which a token does not see, or which are padding", width, element_bytes=1)
    play_scores(run, heads, run.tokens)
    scores = run.tensor("scores, and their softmax", 2, heads, run.tokens, run.tokens)
    said = run.features("what heads say, by heads and by tokens", 2 * mixer.q_size)
    del both, scaled, hidden, scores, said
