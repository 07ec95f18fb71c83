"""Several residual streams, played: read as one before attention and MLP, written to and mixed behind them.

(modeling_deepseek_v4.py, DeepseekV4HyperConnection.forward, DeepseekV4DecoderLayer.forward, DeepseekV4HyperHead)
"""

from __future__ import annotations

from hubvram.memory.forward.run import FP32, Run
from hubvram.memory.forward.tape import Tensor


def play_reading(run: Run, streams: int, hidden_size: int) -> tuple[Tensor, ...]:
    """What is said by all streams of a token decides how they are mixed, and read as one: by weights in fp32."""
    run.phase("streams")
    _play_norm(run, streams, hidden_size)
    weights = run.features("weights to write with, and to mix with", streams + streams**2, element_bytes=FP32)
    _play_sum(run, streams, hidden_size)
    return weights, run.features("streams, read as one", hidden_size)


def play_end(run: Run, streams: int, hidden_size: int) -> None:
    """One stream of all, at the end."""
    run.phase("streams")
    _play_norm(run, streams, hidden_size)
    _play_sum(run, streams, hidden_size)


def play_writing(run: Run, streams: int, hidden_size: int) -> Tensor:
    """What was said, for each stream, beside the streams mixed; the sum of both is returned."""
    run.phase("streams")
    both = run.features("what was said, weighed for each stream; streams, mixed", 2 * streams * hidden_size)
    written = run.features("streams, written to", streams * hidden_size)
    del both
    return written


def _play_norm(run: Run, streams: int, hidden_size: int) -> None:
    """All streams in fp32 (those that are so already are not copied), and their squares, or the same normed."""
    width = streams * hidden_size
    in_fp32 = run.in_fp32("streams in fp32", run.tokens, width)
    normed = run.features("their squares, or normed", width, element_bytes=FP32)
    rows = run.features("their roots", 1, element_bytes=FP32)
    del in_fp32
    made = run.features("weights as made", streams * (2 + streams), element_bytes=FP32)
    del normed, rows, made


def _play_sum(run: Run, streams: int, hidden_size: int) -> None:
    products = run.features("streams, weighed", streams * hidden_size, element_bytes=FP32)
    summed = run.features("their sum", hidden_size, element_bytes=FP32)
    del products, summed
