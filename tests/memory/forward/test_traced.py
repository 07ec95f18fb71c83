"""The programs against runs of transformers' own full-size classes on fake tensors.

fixtures/measurements/transformers-5.23-fake-cuda.json holds figures of such runs. They are equal to the byte, with the
exceptions that are written down here; the same test over a much larger collection is extra.
"""

from __future__ import annotations

import json
import lzma
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest

from hubvram.architecture import families
from hubvram.architecture.attention import ChunkedAttention, FullAttention, LatentAttention, SlidingAttention
from hubvram.architecture.layers import Architecture
from hubvram.architecture.mlp import MoEMLP
from hubvram.architecture.recurrent import GatedDeltaNet
from hubvram.memory.engines.transformers import TRANSFORMERS as engine
from hubvram.memory.engines.transformers_code import code_of, play
from hubvram.memory.forward.attention import has_window_mask
from hubvram.memory.forward.run import ID_BYTES, Sizes
from hubvram.memory.forward.tape import Peak
from hubvram.memory.kv_cache import kv_cache_bytes, prefill_excess_bytes
from hubvram.memory.workload import Attention
from tests.samples import CORPUS, FIXTURES, corpus_config, fixture_architecture, needs_corpus, workload_of

Row = Mapping[str, Any]
"""One run, with the names of the measurements file."""


def measured() -> list[Row]:
    path = FIXTURES / "measurements" / "transformers-5.23-fake-cuda.json"
    rows: list[Row] = json.loads(path.read_text(encoding="utf-8"))["rows"]
    return rows


def run_of(row: Row) -> Sizes:
    return Sizes(
        tokens=row["tokens"],
        batch_size=row["batch_size"],
        element_bytes=2,
        attention=Attention(row["attention"]),
    )


def sliding_layers(architecture: Architecture) -> int:
    return sum(isinstance(layer.mixer, SlidingAttention | ChunkedAttention) for layer in architecture.layers)


def reach(mixer: SlidingAttention | ChunkedAttention) -> int:
    return mixer.sliding_window if isinstance(mixer, SlidingAttention) else mixer.attention_chunk_size


def prefill_peak(architecture: Architecture, run: Sizes) -> Peak:
    """Of one forward, which makes no 32-bit copy of the logits."""
    return max(play(architecture, run, copies_logits=False), key=lambda peak: peak.total_bytes)


def decode_peak_bytes(architecture: Architecture, run: Sizes) -> int:
    """Of the first token behind the prompt."""
    step = replace(run, tokens=1, past_tokens=run.tokens, decodes=True, prompt_tokens=run.tokens)
    peaks = play(architecture, step, copies_logits=False)
    return max(peak.total_bytes for peak in peaks)


def not_modelled(architecture: Architecture, run: Sizes, phase: str) -> int:
    """What a run holds at its peak and the programs leave out: all of it is written here, to the byte."""
    mlp = architecture.layers[-1].mlp
    if phase == "mlp" and isinstance(mlp, MoEMLP) and code_of(architecture).experts is None:
        return 8 * mlp.num_experts  # two 32-bit counts per expert, which do not grow with the batch
    if phase == "attention" and run.attention is Attention.SDPA:
        # Beside the additive mask of a window.
        mixers = [layer.mixer for layer in architecture.layers if isinstance(layer.mixer, FullAttention)]
        return 16 if any(has_window_mask(mixer, run.tokens) for mixer in mixers) else 0
    return 0


def assert_prefill_equals(architecture: Architecture, row: Row, *, more_bytes: int = 0) -> None:
    run = run_of(row)
    peak = prefill_peak(architecture, run)
    left_out = not_modelled(architecture, run, peak.phase) + more_bytes
    assert peak.total_bytes + left_out == row["prefill_peak_bytes"], (label(row), peak.phase)
    assert left_out <= 4096


def assert_cache_equals(architecture: Architecture, row: Row) -> None:
    sizes = {"batch_size": row["batch_size"], "element_bytes": 2}
    tokens, sliding = row["tokens"], sliding_layers(architecture)
    # What the cache shows: a sliding layer keeps one token less than its window, to make room for the next.
    held = kv_cache_bytes(architecture, tokens=tokens, **sizes)
    one_token = sum(
        row["batch_size"] * (mixer.k_size + mixer.v_size) * 2
        for mixer in (layer.mixer for layer in architecture.layers)
        if isinstance(mixer, SlidingAttention | ChunkedAttention) and tokens >= reach(mixer)
    )
    assert held - one_token == row["kv_cache_bytes"]
    # What it keeps alive, to the byte, with a counter of 8 bytes in each sliding layer.
    after_prefill = held + prefill_excess_bytes(architecture, tokens=tokens, **sizes)
    assert after_prefill + 8 * sliding == row["held_after_prefill_bytes"]
    assert kv_cache_bytes(architecture, tokens=tokens + 1, **sizes) + 8 * sliding == row["held_after_decode_bytes"]


GARBAGE = {("meta-llama/Llama-3.2-11B-Vision-Instruct", 1, 32768)}
"""A run whose decode step was traced while a layer's K and V of the prompt were not yet collected: no other run of this
class has them beside the cache, neither this one on meta tensors."""


def assert_decode_equals(architecture: Architecture, row: Row, *, more_bytes: int = 0) -> None:
    """Left out are MoE, whose runs were made without `generate()`, and the first step after a prompt longer than a
    window, in which the caches shrink: a prefill's peak is above it."""
    if (row["repo"], row["batch_size"], row["tokens"]) in GARBAGE:
        return
    windows = [layer.mixer.sliding_window for layer in architecture.layers if isinstance(layer.mixer, SlidingAttention)]
    if any(isinstance(layer.mlp, MoEMLP) for layer in architecture.layers) or any(
        row["tokens"] >= window for window in windows
    ):
        return
    played = decode_peak_bytes(architecture, run_of(row)) + more_bytes
    over = played - row["decode_peak_bytes"]
    # One row too many is played of a delta net's step: what it says takes the place of what it read.
    spare = row["batch_size"] * architecture.hidden_size * 2
    has_delta_net = any(isinstance(layer.mixer, GatedDeltaNet) for layer in architecture.layers)
    assert over in ({0, spare} if has_delta_net else {0}), label(row)


def label(row: Row) -> str:
    return f"{row['repo']}-{row['batch_size']}x{row['tokens']}-{row['attention']}"


each_row = pytest.mark.parametrize("row", measured(), ids=label)


def architecture_in(row: Row) -> Architecture:
    return fixture_architecture(row["repo"].replace("/", "--"))


def routers_biases(architecture: Architecture) -> int:
    """Learned and published, but buffers to the classes that count their own parameters."""
    mlps = [layer.mlp for layer in architecture.layers if isinstance(layer.mlp, MoEMLP)]
    return sum(mlp.num_experts for mlp in mlps if mlp.correction_bias)


@each_row
def test_parameters_of_the_class(row: Row) -> None:
    architecture = architecture_in(row)
    assert architecture.parameters - routers_biases(architecture) == row["parameters"]


@each_row
def test_cache_of_a_run(row: Row) -> None:
    assert_cache_equals(architecture_in(row), row)


@each_row
def test_prefill_peak_of_a_run(row: Row) -> None:
    assert_prefill_equals(architecture_in(row), row)


@each_row
def test_decode_peak_of_a_run(row: Row) -> None:
    assert_decode_equals(architecture_in(row), row)


def of_positions(architecture: Architecture, run: Sizes) -> int:
    """What a class makes once of positions that it counts itself."""
    whats = ("position ids", "cos and sin", "embedded positions")
    return sum(held.size_bytes for held in prefill_peak(architecture, run).held if held.what in whats)


@each_row
def test_the_engine_puts_the_same_figures_together(row: Row) -> None:
    architecture = architecture_in(row)
    assert engine.knows_activations(architecture)
    run = run_of(row)
    workload = workload_of(row["tokens"], batch_size=row["batch_size"], attention=run.attention)
    prefill = engine.instants(architecture, workload, element_bytes=2, cache_element_bytes=2)[0]
    phase = prefill_peak(architecture, run).phase
    assert phase != "logits"
    # The counters of sliding layers, 8 bytes each, and what the programs leave out.
    left_out = 8 * sliding_layers(architecture) + not_modelled(architecture, run, phase)
    total = row["held_after_prefill_bytes"] + row["prefill_peak_bytes"]
    # `generate()` has ids twice, a mask, and positions of each sequence, and what is made of them.
    given = 2 * ID_BYTES * run.batch_size * run.tokens + (run.batch_size - 1) * of_positions(architecture, run)
    assert prefill.total_bytes + prefill.buffers_bytes + left_out == total + given


# ----------------------------------------------------------------- extra: the large collection


def collected() -> Iterator[tuple[Architecture, Row, int]]:
    """(architecture, run, what the class counts as its parameters) of all models with a family."""
    for model in json.loads(lzma.decompress((CORPUS / "traced.json.xz").read_bytes())):
        config = corpus_config(model["repo"])
        architecture = families.architecture_of(config)
        if architecture is None:
            continue
        for trace in model["traces"]:
            row = {
                "repo": model["repo"],
                "batch_size": trace["batch"],
                "tokens": trace["tokens"],
                "attention": trace["attention"],
                "kv_cache_bytes": trace["kv_bytes"],
                "held_after_prefill_bytes": trace["cache_held_after_prefill_bytes"],
                "held_after_decode_bytes": trace["cache_held_after_one_decode_bytes"],
                "prefill_peak_bytes": trace["prefill_peak_beyond_weights_and_cache_bytes"],
                "decode_peak_bytes": trace["decode_peak_beyond_weights_and_cache_bytes"],
            }
            yield architecture, row, model["parameters"]


def first_frequencies(architecture: Architecture, row: Row) -> int:
    """A longrope model sets its fp32 frequencies, one for two rotated dimensions, once more in the first run of each
    kind of attention."""
    scaling = corpus_config(row["repo"]).text.data.get("rope_scaling") or {}
    is_first = (row["batch_size"], row["tokens"]) in ((1, 512), (1, 2048))
    if not is_first or scaling.get("type") != "longrope":
        return 0
    mixer = architecture.layers[0].mixer
    rotary_dim = mixer.qk_rope_head_dim if isinstance(mixer, LatentAttention) else architecture.rotary_dim
    return 4 * rotary_dim // 2


@needs_corpus
def test_peaks_of_the_large_collection() -> None:
    rows = 0
    for architecture, row, parameters in collected():
        if not engine.knows_activations(architecture) or architecture.encoder or not engine.generates(architecture):
            continue  # Encoders, alone or beside a decoder, have tests of their own.
        # Of some towers not all is read.
        if architecture.whole_type is None:
            assert architecture.parameters - routers_biases(architecture) == parameters, label(row)
        more_bytes = first_frequencies(architecture, row)
        assert_prefill_equals(architecture, row, more_bytes=more_bytes)
        assert_decode_equals(architecture, row, more_bytes=more_bytes)
        rows += 1
    assert rows >= 700
