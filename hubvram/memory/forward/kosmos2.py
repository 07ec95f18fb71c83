"""kosmos-2's text model, played: a decoder that makes its masks itself, for each sequence, and holds no embeddings.

(modeling_kosmos2.py, Kosmos2TextTransformer)
"""

from __future__ import annotations

from hubvram.architecture.layers import Architecture
from hubvram.memory.forward.decoder import play_decoder
from hubvram.memory.forward.run import Run
from hubvram.memory.forward.tape import Peak, Tensor


def play_kosmos2(run: Run, architecture: Architecture, copies_logits: bool) -> tuple[Peak, Peak]:
    """A decoder whose loop over layers holds their input alone: at first embeddings, scaled, with their positions
    (forward_embedding)."""
    return play_decoder(run, architecture, copies_logits, embed=_grown)


def _grown(run: Run, architecture: Architecture) -> tuple[Tensor, ...]:
    """More tokens than the table of sinusoids knows make a longer one, which stays: of two rows before the first
    position and two that nobody needs (Kosmos2TextSinusoidalPositionalEmbedding.forward)."""
    known = architecture.max_position_embeddings or 0
    more = run.keys + 4 - (known + 2) if run.keys > known else 0
    return (run.shared("table of positions, as far as it grew", more, architecture.hidden_size),) if more else ()


def masks(run: Run, architecture: Architecture) -> tuple[Tensor, ...]:
    """Whatever the attention; one for all where `generate()` has found no padding and says nothing of it
    (_prepare_decoder_attention_mask)."""
    make = run.shared if run.sizes.by_generate and not run.sizes.padded else run.tensor
    return (make("additive mask", run.tokens, run.keys),)
