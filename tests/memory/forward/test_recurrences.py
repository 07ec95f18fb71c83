"""Recurrences of single model types by hand."""

from __future__ import annotations

from hubvram.architecture.parts import Block
from hubvram.architecture.recurrent import Mamba
from hubvram.memory.engines.transformers_code import play
from hubvram.memory.forward.griffin import play_rg_lru
from hubvram.memory.forward.run import Sizes
from hubvram.memory.forward.state_space import play_mamba
from tests.memory.forward.test_programs import peak_of, sizes, step
from tests.samples import architecture_of


def test_griffin() -> None:
    block = architecture_of({"model_type": "recurrent_gemma", "lru_width": 64}).layers[0].mixer
    assert isinstance(block, Block)
    # Twelve of each token, what was convolved with 3 tokens more; three of one token, in fp32.
    expected = 2 * 64 * (12 * 50 + 53) + 4 * 3 * 64
    assert peak_of(lambda run: play_rg_lru(run, block), sizes(50, 3)) == 3 * expected
    # Of one sequence alone what was convolved is in order.
    assert peak_of(lambda run: play_rg_lru(run, block), sizes(50)) == expected - 2 * 64 * 50
    # One token: eleven, of which none is put in another order; the new state, and what is put in.
    assert peak_of(lambda run: play_rg_lru(run, block), step(1000)) == 2 * 64 * 11 + 4 * 2 * 64


def test_scans_of_heads_one_by_one() -> None:
    mixer = Mamba(hidden_size=32, intermediate_size=64, state_size=16, conv_kernel=4, time_step_rank=2, num_heads=2)
    # As one head of 32 channels, beside the projections (x, gate, convolved, time step) of all 64, and what time step,
    # B and C of both heads are made from. What the head before said is in fp32.
    per_token = 4 * (3 * 32 * 16 + 2 * 32 + 32) + 2 * (4 * 64 + 3 * 32 + 2 * 34)
    assert peak_of(lambda run: play_mamba(run, mixer), sizes(50, 3)) == 150 * per_token


def test_xlstm() -> None:
    fields = {"hidden_size": 64, "num_heads": 2, "num_hidden_layers": 2, "vocab_size": 1000}
    xlstm = architecture_of({"model_type": "xlstm", **fields})
    before, logits = play(xlstm, sizes(50, 3), copies_logits=False)
    # Of all tokens three times 1000 logits in fp32, beside hidden states and ids.
    assert logits.total_bytes == 150 * (3 * 4 * 1000 + 2 * 64 + 8)
    # Less than a chunk. Embeddings, the layer's input, normed, Q and K (32 each), V, the gate of the output, two gates
    # for each head, what is said and that normed in bf16; three of what is said in fp32.
    per_token = 2 * (3 * 64 + 2 * 32 + 2 * 64 + 2 * 2 + 2 * 64) + 3 * 4 * 64
    # The state of this layer and of that before: two heads of 16 x 32, 16 and 1, in fp32.
    assert before.total_bytes == 150 * (per_token + 8) + 3 * 2 * 4 * 2 * (16 * 32 + 16 + 1)


def test_rwkv() -> None:
    rwkv = architecture_of(
        {"model_type": "rwkv", "hidden_size": 64, "intermediate_size": 256, "num_hidden_layers": 2, "vocab_size": 9}
    )

    def peak(run: Sizes) -> int:
        return play(rwkv, run, copies_logits=False)[0].total_bytes

    # Embeddings, the layer's input, what time mixing says, the sum, the same normed, the tokens before, what is mixed
    # for K and the gate; the inner width before and behind its activation, or once with what it says and two gates.
    prompt = 2 * 50 * 64 * (8 + 2 * 4)
    assert peak(sizes(50)) == prompt + 8 * 50
    # One token in fp32: ten of each feature; in bf16 embeddings, input, normed, K, V, gate, what is said; and decays.
    assert peak(step(100)) == 64 * (4 * 10 + 2 * 7) + 2 * 64 + 8 * 100
    # Three sequences are nine pairs of a token and one before, but three embeddings.
    pairs = 2 * 64 * (3 + 9 * (7 + 2 * 4))
    assert peak(step(100, 3)) == pairs + 3 * 8 * 100
