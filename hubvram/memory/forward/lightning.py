"""Lightning attention, played: block by block of the prompt, or one token into the state.

(modeling_minimax.py, MiniMaxLightningAttention.forward, which no kernels replace; all in the model's own type)
"""

from __future__ import annotations

from hubvram.architecture.recurrent import LightningAttention
from hubvram.memory.forward.run import Run


def play_lightning_attention(run: Run, mixer: LightningAttention) -> None:
    """Q, K and V, which stay; what blocks say; the norm of that."""
    run.phase("lightning attention")
    size = mixer.size
    projected = run.features("Q, K and V", 3 * size)
    if run.decodes:
        state = mixer.num_attention_heads, mixer.head_dim, mixer.head_dim
        states = run.tensor("the state decayed, what is put in, and both", 3, *state)
        del projected, states
        return
    _play_blocks(run, mixer)
    del projected


def _play_blocks(run: Run, mixer: LightningAttention) -> None:
    """The scores of a block's tokens and each other, decayed, and V in order of heads for what they say. What the
    last block left outlives the loop, and stands beside the norm."""
    heads, size, block = mixer.num_attention_heads, mixer.size, min(mixer.block_size, run.tokens)
    blocks_before = run.tokens // block - 1
    # What they said; and of the last of them what it and the state did, apart.
    before = run.tensor("what blocks before say", block * (blocks_before + 2 * min(blocks_before, 1)), size)
    scores = run.tensor("scores of a block, and decayed", 2, heads, block, block)
    values = run.tensor("V of a block, and what it says", block, 2 * size)
    del before, scores, values
    last = run.tokens % block or block
    scores = run.tensor("scores of the last block", heads, last, last)
    apart = run.tensor("what it and the state say, and both", last, 3 * size)
    put_in = run.tensor("what it puts into the state", heads, mixer.head_dim, mixer.head_dim)
    said = run.features("what blocks say", size)
    normed = run.norm(size)
    del scores, apart, put_in, said, normed
