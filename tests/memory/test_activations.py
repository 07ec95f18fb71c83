"""The closed forms: term by term by hand, and against runs of transformers' own classes.

fixtures/measurements/transformers-5.23-fake-cuda.json holds figures of such runs. Dense models equal them to the
byte, with the exceptions that `not_modelled` writes down; the same test over a much larger collection is extra.
"""

from __future__ import annotations

import json
import lzma
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubvram.architecture import families
from hubvram.architecture.attention import ChunkedAttention, FullAttention, LatentAttention, SlidingAttention
from hubvram.architecture.layers import Architecture
from hubvram.architecture.mlp import DenseMLP, MoEMLP
from hubvram.memory import activations
from hubvram.memory.activations import Shape
from hubvram.memory.engines import transformers as engine
from hubvram.memory.engines.transformers_code import CODE
from hubvram.memory.kv_cache import kv_cache_bytes, prefill_excess_bytes
from hubvram.memory.modeling_code import LLAMA, ModelingCode
from hubvram.memory.workload import Attention
from tests.samples import (
    CORPUS,
    FIXTURES,
    MEASURED,
    architecture_of,
    corpus_config,
    fixture_architecture,
    needs_corpus,
    small_llama,
    workload_of,
)


def shape(tokens: int, batch_size: int = 1, attention: Attention = Attention.SDPA, element_bytes: int = 2) -> Shape:
    return Shape(batch_size=batch_size, tokens=tokens, element_bytes=element_bytes, attention=attention)


# -------------------------------------------------------------------------------- term by term


def test_gated_mlp() -> None:
    # e T (4 h + 3 i): four of the hidden width; act(gate), up and their product.
    mlp = DenseMLP(hidden_size=10, intermediate_size=100, hidden_act="silu")
    assert activations.dense_mlp_bytes(mlp, shape(7, 3)) == 2 * 21 * (40 + 300)
    assert activations.dense_mlp_bytes(replace(mlp, fused=True), shape(7, 3)) == 2 * 21 * (40 + 400)


def test_plain_mlp() -> None:
    mlp = DenseMLP(hidden_size=10, intermediate_size=100, hidden_act="gelu", gated=False)
    assert activations.dense_mlp_bytes(mlp, shape(7)) == 2 * 7 * (40 + 200)
    # gelu_new is written in Python, and its intermediates are tensors; relu2 squares what relu made.
    assert activations.dense_mlp_bytes(replace(mlp, hidden_act="gelu_new"), shape(7)) == 2 * 7 * (40 + 400)
    assert activations.dense_mlp_bytes(replace(mlp, hidden_act="relu2"), shape(7)) == 2 * 7 * (40 + 300)
    # stablelm keeps what attention said, and what it read.
    stablelm = replace(shape(7), code=CODE["stablelm"])
    assert activations.dense_mlp_bytes(mlp, stablelm) == 2 * 7 * (60 + 200)


def test_grouped_experts() -> None:
    # Up, k (h + 4 i), and down, 4 k h; the routing of 8 experts: 16 bytes of logits and 2 x 32 of choices, 2 x 8 more
    # in the down phase.
    mlp = MoEMLP(hidden_size=10, num_experts=8, num_experts_per_tok=2, moe_intermediate_size=100, hidden_act="silu")
    assert activations.moe_mlp_bytes(mlp, shape(7)) == 2 * 7 * (40 + 2 * (10 + 400)) + 7 * (16 + 64)
    narrow = replace(mlp, moe_intermediate_size=5)
    assert activations.moe_mlp_bytes(narrow, shape(7)) == 2 * 7 * (40 + 2 * 40) + 7 * (16 + 64 + 16)
    # Routing weights in fp32: 4 bytes more for each choice, and a wider down phase, 2 k h (2 + 4).
    in_fp32 = replace(shape(7), code=ModelingCode(routing_in_fp32=True))
    assert activations.moe_mlp_bytes(narrow, in_fp32) == 7 * (80 + 2 * 10 * 12) + 7 * (16 + 72 + 16)


def test_experts_gathered_for_one_token() -> None:
    # Mixtral, one sequence: 2 experts x 3 x 14,336 x 4,096 x 2 bytes are 672 MiB.
    mlp = fixture_architecture("mistralai--Mixtral-8x7B-v0.1").layers[0].mlp
    assert isinstance(mlp, MoEMLP)
    # The token, read by both, and their inner width; and four of the hidden width.
    beside = 2 * (2 * (4096 + 14_336) + 4 * 4096)
    assert activations.moe_decode_bytes(mlp, shape(1)) == 672 * 2**20 + beside


def test_shared_experts() -> None:
    # 8 experts, of which 2: 2 x (10 + 4 x 100) elements and 80 bytes of routing; the shared one 3 x 300 elements.
    mlp = MoEMLP(
        hidden_size=10, num_experts=8, num_experts_per_tok=2, moe_intermediate_size=100, hidden_act="silu",
        shared_expert_intermediate_size=300,
    )  # fmt: skip
    routed = 2 * 2 * (10 + 400) + 80
    # Behind the others, whose sum waits for it; or first, and waits itself.
    assert activations.moe_mlp_bytes(mlp, shape(7)) == 7 * (2 * 4 * 10 + max(routed, 2 * (10 + 900)))
    first = replace(shape(7), code=ModelingCode(shared_expert_first=True))
    assert activations.moe_mlp_bytes(mlp, first) == 7 * (2 * 4 * 10 + max(routed + 2 * 10, 2 * 900))


def test_experts_of_gpt_oss() -> None:
    # Biases are gathered for each token, as wide as gate and up; the gate has five copies of the inner width.
    mlp = MoEMLP(
        hidden_size=10, num_experts=8, num_experts_per_tok=2, moe_intermediate_size=100, hidden_act="silu",
        expert_bias=True,
    )  # fmt: skip
    run = replace(shape(7), code=CODE["gpt_oss"])
    assert activations.moe_mlp_bytes(mlp, run) == 7 * (2 * (4 * 10 + 2 * (10 + 9 * 100)) + 80)


@pytest.mark.parametrize(
    ("element_bytes", "softmax_in_fp32", "per_score"),
    [(2, True, 10), (2, False, 4), (4, True, 8), (4, False, 8)],
)
def test_eager_scores(element_bytes: int, softmax_in_fp32: bool, per_score: int) -> None:
    """Scores, their 32-bit copy and its softmax in bf16; two copies where the softmax needs no other type."""
    eager = replace(shape(7, 3, Attention.EAGER, element_bytes), code=ModelingCode(softmax_in_fp32=softmax_in_fp32))
    found = activations.eager_score_bytes(4, eager)
    assert found == per_score * 3 * 4 * 7 * 7
    one_row = activations.eager_score_bytes(4, eager, queries=1)
    assert one_row == per_score * 3 * 4 * 7


MIXER = FullAttention(hidden_size=64, num_attention_heads=4, num_key_value_heads=2, head_dim=32)  # Q 128, K 64
SLIDING = SlidingAttention(hidden_size=64, num_attention_heads=4, num_key_value_heads=2, head_dim=32, sliding_window=10)


def attention(mixer: FullAttention, run: Shape, *, rotary: bool = True) -> int:
    return activations.attention_bytes(mixer, run, rotary_dim=32 if rotary else 0)


def test_attention_before_the_cache() -> None:
    # e T (3 h + Q + 3 Q): the rotation of Q; K and V, as made, are counted with the cache that they go to.
    expected = 2 * 21 * (3 * 64 + 4 * 128)
    assert attention(MIXER, shape(7, 3)) == expected
    assert attention(MIXER, shape(7, 3, Attention.FLASH)) == expected
    assert attention(SLIDING, shape(7, 3)) == expected, "the window does not cut into 7 tokens"
    # With as many heads of K: Q is rotated, and three more of K.
    assert attention(replace(MIXER, num_key_value_heads=4), shape(7, 3)) == 2 * 21 * (3 * 64 + 5 * 128)
    # Unrotated: Q, what the kernel says, what O makes of it.
    assert attention(MIXER, shape(7, 3), rotary=False) == 2 * 21 * (3 * 64 + 2 * 128 + 64)


@pytest.mark.parametrize(
    ("model_type", "beside"),
    [
        ("llama", 2 * 3 * 128),
        # cos and sin in fp32, and so what they make.
        ("olmo2", 4 * 3 * 128),
        # Q and K in fp32 first.
        ("cohere", 4 * (128 + 64) + 4 * 3 * 128),
    ],
)
def test_rotations(model_type: str, beside: int) -> None:
    run = replace(shape(7), code=CODE[model_type])
    assert attention(MIXER, run) == 7 * (2 * (3 * 64 + 128) + beside)


def test_norms_of_q_and_k_are_in_fp32() -> None:
    # 8 bytes a feature of Q and 8 a head, before K and V are made, which the cache counts: -2 x (64 + 64).
    normed = replace(MIXER, qk_norm=True)
    norms = 8 * 128 + 8 * 4
    assert attention(normed, shape(7)) == 7 * (2 * (3 * 64 + 128) + norms - 256)
    gemma = replace(shape(7), code=CODE["gemma3_text"])
    assert attention(normed, gemma) == 7 * (2 * (3 * 64 + 128) + norms - 4 * 4)


def test_a_window_that_cuts_in_needs_a_mask() -> None:
    # K and V repeated for all heads, and e B S S of additive mask. From as many tokens as the window on.
    assert attention(SLIDING, shape(10, 3)) == 2 * 30 * (3 * 64 + 2 * 128 + 2 * 128) + 2 * 3 * 100
    assert attention(SLIDING, shape(9, 3)) == 2 * 27 * (3 * 64 + 4 * 128)
    # Flash attention takes the window as a number.
    assert attention(SLIDING, shape(10, 3, Attention.FLASH)) == 2 * 30 * (3 * 64 + 4 * 128)


@pytest.mark.parametrize(("key_value_heads", "repeated"), [(2, 2 * 128), (1, 0), (4, 0)])
def test_eager_attention_repeats_grouped_heads(key_value_heads: int, repeated: int) -> None:
    mixer = replace(MIXER, num_key_value_heads=key_value_heads)
    scores = 10 * 3 * 4 * 70 * 70
    assert attention(mixer, shape(70, 3, Attention.EAGER)) == scores + 2 * 210 * (3 * 64 + 128 + repeated)


def test_few_scores_are_less_than_what_heads_say() -> None:
    # 2 bytes a score are left, and there are two layouts of Q's width.
    mixer = replace(MIXER, num_key_value_heads=1)
    left = 2 * 3 * 4 * 49 + 2 * 21 * 2 * 128
    assert attention(mixer, shape(7, 3, Attention.EAGER), rotary=False) == left + 2 * 21 * (3 * 64 + 128)


def test_one_matrix_for_q_k_and_v_stays_whole() -> None:
    mixer = replace(MIXER, num_key_value_heads=4, fused_qkv=True)
    scores = 10 * 70 * 70 * 4
    # Q, K and V; and, where they rotate, Q once more.
    assert attention(mixer, shape(70, 1, Attention.EAGER)) == scores + 2 * 70 * (3 * 64 + 3 * 128 + 128)
    assert attention(mixer, shape(70, 1, Attention.EAGER), rotary=False) == scores + 2 * 70 * (3 * 64 + 3 * 128)


def test_one_decode_step_copies_a_layer_of_k() -> None:
    held = shape(100, 3)
    token = 2 * 3 * (3 * 64 + 128 + 2 * 64)
    assert decode(MIXER, held) == 2 * 297 * 64 + token
    # A sliding layer makes K and V before it drops the old ones.
    assert decode(SLIDING, held) == 2 * 297 * 128 + token
    eager = shape(100, 3, Attention.EAGER)
    repeated_and_scores = 2 * 300 * 256 + 10 * 3 * 4 * 100
    assert decode(MIXER, eager) == repeated_and_scores + 2 * 3 * (3 * 64 + 128)


def decode(mixer: FullAttention, held: Shape) -> int:
    return activations.attention_decode_bytes(mixer, held, rotary_dim=32)


LATENT = LatentAttention(
    hidden_size=64, num_attention_heads=4, q_lora_rank=24, kv_lora_rank=16, qk_nope_head_dim=8, qk_rope_head_dim=4,
    v_head_dim=12,
)  # fmt: skip


def test_attention_through_a_latent() -> None:
    # Three of the hidden width; Q twice (4 x 12), the part that rotates (4 x 4), the latent (16 + 4); what kv_b makes
    # (4 x (8 + 12)) and K (4 x 12).
    width = 3 * 64 + 2 * 48 + 16 + 20 + 80 + 48
    # And what heads say, 4 x 12, and O.
    assert activations.latent_attention_bytes(LATENT, shape(7, 3)) == 2 * 21 * (width + 48 + 64)
    eager = activations.latent_attention_bytes(LATENT, shape(7, 3, Attention.EAGER))
    assert eager == 2 * 21 * width + 10 * 3 * 4 * 49
    # K and V of all that is held, for one token.
    token = 3 * 64 + 2 * 48 + 16 + 20
    assert activations.latent_decode_bytes(LATENT, shape(100, 3)) == 2 * 3 * (token + 48 + 64) + 2 * 300 * 128


def test_masks_of_eager_attention() -> None:
    gemma = architecture_of({"model_type": "gemma3_text", "num_hidden_layers": 6, "vocab_size": 10})
    # One for full, one for sliding layers: 2 x e B S S.
    assert activations.mask_bytes(gemma, shape(7, 3, Attention.EAGER)) == 2 * 2 * 3 * 49
    assert activations.mask_bytes(small_llama(), shape(7, 3, Attention.EAGER)) == 2 * 3 * 49
    assert activations.mask_bytes(gemma, shape(7, 3)) == 0


def test_logits_and_their_copy() -> None:
    assert activations.logits_bytes(small_llama(), shape(7, 3)) == 3 * 100 * (2 + 4)
    assert activations.logits_bytes(small_llama(), shape(7, 3, element_bytes=4)) == 3 * 100 * (4 + 4)
    assert activations.logits_bytes(small_llama(architectures=["LlamaModel"]), shape(7, 3)) == 0


def test_buffers_are_shared_by_all_sequences() -> None:
    # Position ids, cos and sin of head_dim 16.
    assert activations.buffer_bytes(small_llama(), shape(7, 3)) == 7 * (8 + 2 * 2 * 16)
    gpt2 = architecture_of({"model_type": "gpt2"})
    assert activations.buffer_bytes(gpt2, shape(7, 3)) == 7 * (8 + 2 * 768)
    mistral = architecture_of({"model_type": "mistral", "sliding_window": 10})
    # sdpa's boolean mask, (S, S), where the window cuts in.
    rows = 8 + 2 * 2 * 128
    assert activations.buffer_bytes(mistral, shape(9)) == 9 * rows
    assert activations.buffer_bytes(mistral, shape(10)) == 10 * rows + 100
    assert activations.buffer_bytes(mistral, shape(10, 1, Attention.EAGER)) == 10 * rows


def test_llama_8b_by_hand() -> None:
    # e T (4 h + 3 i) and 8 bytes a token id, at 512 tokens: 2 x 512 x (4 x 4,096 + 3 x 14,336) + 8 x 512.
    phases = activations.prefill_phases(fixture_architecture("meta-llama--Llama-3.1-8B"), shape(512))
    assert phases["mlp"] == 60_821_504
    # e T (3 h + 4 a): 2 x 512 x (12,288 + 16,384) + 8 x 512.
    assert phases["attention"] == 29_364_224
    # e T 3 h, and 8 bytes a feature and 8 a token: 512 x (6 x 4,096 + 8 x 4,096 + 8) + 8 x 512.
    assert phases["norms"] == 29_368_320


# ------------------------------------------------------------------------------------------ laws

each_fixture = st.sampled_from(MEASURED)
tokens_ = st.integers(1, 50_000)


@given(heads=st.integers(1, 128), tokens=tokens_, batch_size=st.integers(1, 64), in_fp32=st.booleans())
def test_doubling_the_input_quadruples_eager_scores(heads: int, tokens: int, batch_size: int, in_fp32: bool) -> None:
    once, twice = (
        activations.eager_score_bytes(
            heads, replace(shape(length, batch_size, Attention.EAGER), code=ModelingCode(softmax_in_fp32=in_fp32))
        )
        for length in (tokens, 2 * tokens)
    )
    assert twice == 4 * once


@given(name=each_fixture, tokens=tokens_, batch_size=st.integers(1, 64))
def test_without_windows_and_scores_all_is_linear_in_the_input(name: str, tokens: int, batch_size: int) -> None:
    """By flash attention, which sees windows as numbers; by sdpa where no window cuts in."""
    architecture = fixture_architecture(name)
    sliding = any(isinstance(layer.mixer, SlidingAttention) for layer in architecture.layers)
    for kind in (Attention.FLASH,) if sliding else (Attention.FLASH, Attention.SDPA):
        once, twice = shape(tokens, batch_size, kind), shape(2 * tokens, batch_size, kind)
        before = activations.prefill_phases(architecture, once)
        after = activations.prefill_phases(architecture, twice)
        assert after == {phase: 2 * number for phase, number in before.items()}
        for measure in (activations.buffer_bytes, activations.after_layers_bytes):
            assert measure(architecture, twice) == 2 * measure(architecture, once)
        assert activations.logits_bytes(architecture, twice) == activations.logits_bytes(architecture, once)


@given(
    name=each_fixture,
    tokens=tokens_,
    batch_size=st.integers(1, 64),
    kind=st.sampled_from([Attention.EAGER, Attention.SDPA, Attention.FLASH]),
)
def test_every_phase_is_exactly_linear_in_the_batch(name: str, tokens: int, batch_size: int, kind: Attention) -> None:
    architecture = fixture_architecture(name)
    one, many = shape(tokens, 1, kind), shape(tokens, batch_size, kind)
    for phases in (activations.prefill_phases, activations.decode_phases):
        single = phases(architecture, one)
        assert phases(architecture, many) == {phase: batch_size * number for phase, number in single.items()}
    assert activations.logits_bytes(architecture, many) == batch_size * activations.logits_bytes(architecture, one)
    assert activations.buffer_bytes(architecture, many) == activations.buffer_bytes(architecture, one)


# ------------------------------------------------------------------------- against real classes

Row = Mapping[str, Any]
"""One run, with the names of the measurements file."""


def measured() -> list[Row]:
    path = FIXTURES / "measurements" / "transformers-5.23-fake-cuda.json"
    rows: list[Row] = json.loads(path.read_text(encoding="utf-8"))["rows"]
    return rows


def run_of(architecture: Architecture, row: Row) -> Shape:
    return replace(
        shape(row["tokens"], row["batch_size"], Attention(row["attention"])),
        code=CODE.get(architecture.model_type, LLAMA),
    )


def sliding_layers(architecture: Architecture) -> int:
    return sum(isinstance(layer.mixer, SlidingAttention | ChunkedAttention) for layer in architecture.layers)


def reach(mixer: SlidingAttention | ChunkedAttention) -> int:
    return mixer.sliding_window if isinstance(mixer, SlidingAttention) else mixer.attention_chunk_size


def prefill_peak(architecture: Architecture, run: Shape) -> tuple[str, int]:
    """(phase, bytes beyond weights and cache) of one forward, which makes no 32-bit copy of the logits."""
    phases = activations.prefill_phases(architecture, run)
    phases["logits"] = activations.after_layers_bytes(architecture, run) + one_logits_bytes(architecture, run)
    phase = max(phases, key=phases.__getitem__)
    return phase, phases[phase] + activations.buffer_bytes(architecture, run)


def decode_peak(architecture: Architecture, run: Shape) -> int:
    phases = activations.decode_phases(architecture, run)
    last = replace(run, tokens=1)
    logits = activations.after_layers_bytes(architecture, last) + one_logits_bytes(architecture, run)
    return max(*phases.values(), logits)


def one_logits_bytes(architecture: Architecture, run: Shape) -> int:
    return run.batch_size * architecture.vocab_size * run.element_bytes


def not_modelled(architecture: Architecture, run: Shape, phase: str) -> int:
    """What a run holds at its peak and the closed forms leave out: all of it is written here, to the byte."""
    mlp = architecture.layers[-1].mlp
    if phase == "mlp" and isinstance(mlp, MoEMLP):
        return 8 * mlp.num_experts  # two 32-bit counts per expert, which do not grow with the batch
    if phase == "attention" and run.attention is Attention.SDPA:
        # Beside the additive mask of a window.
        mixers = [layer.mixer for layer in architecture.layers if isinstance(layer.mixer, FullAttention)]
        return 16 if any(activations.has_window_mask(mixer, run) for mixer in mixers) else 0
    return 0


def assert_prefill_equals(architecture: Architecture, row: Row, *, more_bytes: int = 0) -> None:
    if not engine.knows_activations(architecture):
        return
    run = run_of(architecture, row)
    phase, peak = prefill_peak(architecture, run)
    left_out = not_modelled(architecture, run, phase) + more_bytes
    assert peak + left_out == row["prefill_peak_bytes"], phase
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


def assert_decode_close(architecture: Architecture, row: Row) -> None:
    """From 0.402 % below to 1.313 % above: what a single token needs beside the cache is not modelled in full.

    Left out are MoE, whose runs were made without `generate()`, and the first step after a prompt longer than a
    window, in which the caches shrink: a prefill's peak is above it; and eager attention through a latent, where one
    sequence alone has no copy of V.
    """
    if not engine.knows_activations(architecture):
        return
    if row["attention"] == "eager" and any(isinstance(layer.mixer, LatentAttention) for layer in architecture.layers):
        return
    windows = [layer.mixer.sliding_window for layer in architecture.layers if isinstance(layer.mixer, SlidingAttention)]
    if any(isinstance(layer.mlp, MoEMLP) for layer in architecture.layers) or any(
        row["tokens"] >= window for window in windows
    ):
        return
    difference = decode_peak(architecture, run_of(architecture, row)) / row["decode_peak_bytes"] - 1
    assert -0.00402 <= difference <= 0.01313


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
    assert_decode_close(architecture_in(row), row)


@each_row
def test_the_engine_puts_the_same_figures_together(row: Row) -> None:
    architecture = architecture_in(row)
    if not engine.knows_activations(architecture):
        pytest.skip(f"{architecture.model_type}: the closed forms do not claim to meet its peaks")
    run = run_of(architecture, row)
    workload = workload_of(row["tokens"], batch_size=row["batch_size"], attention=run.attention)
    prefill = engine.instants(architecture, workload, element_bytes=2, cache_element_bytes=2)[0]
    buffers = engine.buffers_bytes(architecture, workload, element_bytes=2)
    phase, _ = prefill_peak(architecture, run)
    assert phase != "logits"
    # The counters of sliding layers, 8 bytes each, and what the closed forms leave out.
    left_out = 8 * sliding_layers(architecture) + not_modelled(architecture, run, phase)
    total = row["held_after_prefill_bytes"] + row["prefill_peak_bytes"]
    assert prefill.total_bytes + buffers + left_out == total


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


@needs_corpus
def test_peaks_of_the_large_collection() -> None:
    rows = exact = 0
    for architecture, row, parameters in collected():
        if not engine.knows_activations(architecture) or corpus_config(row["repo"]).is_nested or architecture.stacks:
            continue  # Models with a tower run more than their text.
        # A longrope model sets its fp32 frequencies, one for two rotated dimensions, once more in the first run of
        # each kind.
        first = (row["batch_size"], row["tokens"]) in ((1, 512), (1, 2048))
        longrope = row["repo"] in ("microsoft/Phi-3-mini-128k-instruct", "microsoft/Phi-3.5-MoE-instruct")
        more_bytes = 4 * architecture.rotary_dim // 2 if longrope and first else 0
        assert architecture.parameters - routers_biases(architecture) == parameters, label(row)
        run = run_of(architecture, row)
        phase, peak = prefill_peak(architecture, run)
        peak += not_modelled(architecture, run, phase) + more_bytes
        assert peak == pytest.approx(row["prefill_peak_bytes"], rel=0.01), label(row)
        assert_decode_close(architecture, row)
        rows, exact = rows + 1, exact + (peak == row["prefill_peak_bytes"])
    assert exact >= 460
    assert rows - exact <= 20
