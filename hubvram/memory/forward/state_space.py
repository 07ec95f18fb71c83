"""State spaces, played: over a prompt, in chunks (mamba2) or token by token (mamba), or one token into the state.

This is transformers' own torch code (modeling_mamba2.py, mamba2_chunk_scan and mamba2_selective_state_update, of which
six model types have a copy; modeling_mamba.py, mamba_selective_scan and mamba_selective_state_update), which runs
where mamba-ssm is not installed and no kernels of the Hub were asked for. Those kernels keep no pairs of tokens and no
states of each token, and need far less. All of a scan is in fp32. The state that it leaves is counted with the cache.

Not counted: `generate()` hands mamba and falcon_mamba a padding mask of ones, by which their mixers copy the hidden
states once more: half a percent of a scan. All others drop such a mask (masking_utils.py,
create_recurrent_attention_mask).
"""

from __future__ import annotations

from hubvram.architecture.recurrent import Mamba, Mamba2
from hubvram.memory.forward.convolution import play_convolution
from hubvram.memory.forward.run import FP32, Run
from hubvram.memory.forward.tape import Tensor

# --------------------------------------------------------------------------- with heads (mamba2)


def play_mamba2(run: Run, mixer: Mamba2) -> None:
    """One projection for the gate, x, B, C and the time step, which all stay; the convolution; the scan."""
    run.phase("state space")
    heads = mixer.num_heads
    projected = run.features("gate, x, B, C and time step", mixer.intermediate_size + mixer.conv_dim + heads)
    decays = run.shared("A", heads, element_bytes=FP32)
    convolved = play_convolution(run, mixer.conv_dim, mixer.conv_kernel)
    _step_of_heads(run, mixer) if run.decodes else _chunks(run, mixer)
    del projected, decays, convolved


def _chunks(run: Run, mixer: Mamba2) -> None:
    """Every pair of tokens of a chunk has a decay, a score and their product, for each head. Then what chunks say
    alone, the state behind each chunk, and what these say. An einsum puts its operands in order by copies."""
    heads, inner = mixer.num_heads, mixer.intermediate_size
    keys = heads * mixer.state_size
    chunks = -(-run.tokens // mixer.chunk_size)
    tokens = chunks * mixer.chunk_size

    def padded(what: str, width: int) -> Tensor:
        return run.tensor(what, tokens, width, element_bytes=FP32)

    steps = run.features("time steps", heads)
    made = padded("x and A, B and C for all heads, what D lets pass", 2 * inner + heads + 2 * keys)
    sums = padded("sums of A, and their decays to the end and from the start", 3 * heads)
    pairs = padded("pairs of a chunk: decays, scores, products", 3 * heads * mixer.chunk_size)
    alone = padded("what chunks say alone", inner)
    decayed = padded("B, decayed", keys)
    states = _states_of_chunks(run, mixer, chunks)
    ordered = padded("C in order of heads", keys)
    before = run.tensor("states in order of heads", chunks, inner * mixer.state_size, element_bytes=FP32)
    said = padded("what states say", inner)
    del ordered, before
    summed = padded("the same decayed, added, and put in order", 3 * inner)
    del steps, made, sums, pairs, alone, decayed, states, said, summed


def _states_of_chunks(run: Run, mixer: Mamba2, chunks: int) -> tuple[Tensor, ...]:
    """The state behind each chunk, from what each chunk puts in and how much is left of it at the end of the others."""
    one = mixer.intermediate_size * mixer.state_size
    made = run.tensor("what chunks put in, twice", 2 * chunks + 1, one, element_bytes=FP32)
    between = run.tensor("decays between chunks", chunks + 1, chunks + 1, mixer.num_heads, element_bytes=FP32)
    del made
    put_in = run.tensor("what chunks put in, and in order of heads", 2 * (chunks + 1), one, element_bytes=FP32)
    states = run.tensor("states behind chunks", chunks + 1, one, element_bytes=FP32)
    del put_in
    return states, between


def _step_of_heads(run: Run, mixer: Mamba2) -> None:
    """One token: how much of the state stays, what is put in (twice in the model's type), and the new state. B of one
    sequence alone is read where it is, if each head has its own."""
    inner, size = mixer.intermediate_size, mixer.state_size
    copied = 0 if run.is_alone and mixer.n_groups == mixer.num_heads else mixer.num_heads * size
    steps = run.tensor("time step for all channels, and B for all heads", inner + copied)
    put_in = run.tensor("what is put in, before and after x", 2, inner, size)
    states = run.tensor("what stays, how much of it, and the new state", 3, inner, size, element_bytes=FP32)
    del steps, put_in, states


# ----------------------------------------------------------------------------- of channels (mamba)


def play_mamba(run: Run, mixer: Mamba) -> None:
    """x and the gate, which stay; the convolution; time step, B and C from that; the scan, head by head if there are
    several (modeling_zamba.py, ZambaMambaMixer.forward)."""
    run.phase("state space")
    inner, size, heads = mixer.intermediate_size, mixer.state_size, mixer.num_heads
    head = inner // heads
    projected = run.features("x and gate", 2 * inner)
    decays = run.shared("A", inner, size, element_bytes=FP32)
    convolved = play_convolution(run, inner, mixer.conv_kernel)
    # Where these are normed (falcon_mamba, jamba), what is left are B and C.
    rank = 0 if run.code.norms_time_step else mixer.time_step_rank
    selected = run.features("time step, B and C", heads * (2 * size + rank))
    vectors = None
    if run.element_bytes < FP32:
        of_d = 0 if run.decodes else head
        vectors = run.shared("bias of time steps, and D, in fp32", inner + of_d, element_bytes=FP32)
    steps = run.features("time steps of channels, before and after the softplus", inner + head)
    said_bytes = run.element_bytes if run.decodes else FP32
    before = run.features("what heads before say", inner - head, element_bytes=said_bytes) if heads > 1 else None
    _step_of_channels(run, head, size) if run.decodes else _tokens(run, head, size)
    del projected, decays, convolved, selected, vectors, steps, before


def _tokens(run: Run, inner: int, size: int) -> None:
    """How much of the state stays and what is put in, before and after x, for each token, channel and state; what
    each token says is kept apart, then put together, gated, and added to what D lets pass.

    The state before a token, which the cache counts, stays until the next one is there.
    """
    each = run.features("what stays and what is put in, of each token", 3 * inner * size, element_bytes=FP32)
    before = run.tensor("what tokens before the last one say", run.tokens - 1, inner)
    states = run.tensor("what stays of the state, and the new one", 2, inner, size, element_bytes=FP32)
    del before, states
    said = run.features("what tokens say, apart and together", 2 * inner)
    added = run.features("what D lets pass, and the sum", 2 * inner, element_bytes=FP32)
    del each, said, added


def _step_of_channels(run: Run, inner: int, size: int) -> None:
    states = run.tensor("what stays, what is put in, the new state", 5, inner, size, element_bytes=FP32)
    del states
