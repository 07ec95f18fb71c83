"""Several residual streams, entries of many tokens, blocks of them that are chosen, and gates, term by term by hand."""

from __future__ import annotations

from dataclasses import replace

from hubvram.architecture.attention import FullAttention, LatentAttention
from hubvram.architecture.attention_in_blocks import BlockSparseAttention
from hubvram.architecture.parts import Linear, Pool
from hubvram.checkpoint.components import Component
from hubvram.memory.forward.block_sparse import play_block_sparse_attention
from hubvram.memory.forward.compressed import play_pool
from hubvram.memory.forward.dots3 import play_gates
from hubvram.memory.forward.hyper_streams import play_reading, play_writing
from tests.memory.forward.test_programs import peak_of, sizes, step


def test_streams_are_read_in_fp32() -> None:
    # 4 streams of 10 in fp32, twice, and a root of each token.
    assert peak_of(lambda run: play_reading(run, 4, 10), sizes(7)) == 7 * (4 * 80 + 4)
    # A single one of 1: normed, its root, and 3 weights as made, all in fp32.
    assert peak_of(lambda run: play_reading(run, 1, 1), sizes(7)) == 7 * 4 * (1 + 1 + 3)


def test_streams_are_written_to() -> None:
    # What was said for each of 4 streams of 10, the streams mixed, and the sum.
    assert peak_of(lambda run: play_writing(run, 4, 10), sizes(7)) == 2 * 7 * 3 * 40


def test_entries_of_a_prompt() -> None:
    # Of 10 tokens 8 make 2 entries of 6: weights and their softmax in fp32, and once more; less the entries.
    pool = Pool(tokens_per_entry=4, entry_size=6, overlap=1)
    assert peak_of(lambda run: play_pool(run, pool), sizes(10)) == 8 * 6 * (4 + 4 + 2) - 2 * 6 * 2
    # Over two entries: 12 features of each token; values and weights laid out beside them.
    both = Pool(tokens_per_entry=4, entry_size=6, overlap=2)
    assert peak_of(lambda run: play_pool(run, both), sizes(10)) == 8 * 12 * (4 + 2 + 4 + 4 + 2) - 2 * 6 * 2


def test_tokens_wait_for_an_entry() -> None:
    # The tenth token is the second behind two entries: values and weights of both.
    pool = Pool(tokens_per_entry=4, entry_size=6, overlap=1)
    assert peak_of(lambda run: play_pool(run, pool), step(10)) == 2 * 2 * 2 * 6
    # The thirteenth is the first behind three: those of the third are held until it is there.
    assert peak_of(lambda run: play_pool(run, pool), step(13)) == 4 * 2 * 2 * 6


def test_a_step_that_makes_an_entry() -> None:
    # The twelfth token is the fourth behind two entries: 4 tokens of 6 features, as of a prompt; less the entry; and
    # what was made of this token alone.
    pool = Pool(tokens_per_entry=4, entry_size=6, overlap=1)
    expected = 4 * 6 * (4 + 4 + 2) - 6 * 2 + 2 * 2 * 6
    assert peak_of(lambda run: play_pool(run, pool), step(12)) == expected
    # Of all steps of `generate()` it is the one that takes most.
    for tokens in (12, 13, 14, 15):
        assert peak_of(lambda run: play_pool(run, pool), replace(step(tokens), by_generate=True)) == expected
    # Over two entries: 12 features of each; laid out; and half of those of the 4 tokens before, with fp32 weights.
    both = Pool(tokens_per_entry=4, entry_size=6, overlap=2)
    laid_out = 4 * 12 * (4 + 2 + 4 + 4 + 2) + 4 * 6 * (2 + 4)
    assert peak_of(lambda run: play_pool(run, both), step(12)) == laid_out - 6 * 2 + 2 * 2 * 12


def test_chosen_blocks_have_a_mask_for_each_head() -> None:
    # 40 tokens in 5 blocks of 8; 2 heads of an indexer choose 3 of them for each of Q's 40 tokens, in 64 bits, twice;
    # a mask of the blocks and of none; which tokens are later. Of 8 heads what is chosen, what is both, what is not, a
    # byte each, and two additive masks. Q of 8 x 4.
    mixer = FullAttention(hidden_size=16, num_attention_heads=8, num_key_value_heads=2, head_dim=4)
    block = BlockSparseAttention(
        kind="block_sparse_attention",
        component=Component.ATTENTION,
        weights=(
            Linear(name="index q", out_features=8, in_features=16),
            Linear(name="index k", out_features=4, in_features=16),
        ),
        keeps=(mixer,),
        index_block_size=8,
        index_topk_blocks=3,
    )
    of_token = 2 * 32 + 2 * 2 * 3 * 8 + 2 * 2 * 6 + 40 + 8 * 40 * (3 + 2 * 2)
    assert peak_of(lambda run: play_block_sparse_attention(run, block), sizes(40)) == 40 * of_token


def test_gates_behind_a_latent() -> None:
    # 4 heads of V of 12: what they say, a gate for each as made and in (0, 1), and what they leave.
    mixer = LatentAttention(
        hidden_size=16,
        num_attention_heads=4,
        q_lora_rank=24,
        kv_lora_rank=16,
        qk_nope_head_dim=8,
        qk_rope_head_dim=4,
        v_head_dim=12,
        gates=(Linear(name="g", out_features=4, in_features=16),),
    )
    assert peak_of(lambda run: play_gates(run, mixer), sizes(7)) == 2 * 7 * (48 + 4 + 4 + 48)
