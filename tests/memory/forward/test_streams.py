"""Several residual streams, and entries of many tokens, term by term by hand."""

from __future__ import annotations

from hubvram.architecture.parts import Pool
from hubvram.memory.forward.compressed import play_pool
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
