"""Packed linears in a whole answer: by hand, and what is said where their code is not known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from hubvram.architecture.attention import FullAttention, LatentAttention
from hubvram.architecture.mlp import DenseMLP, MoEMLP
from hubvram.architecture.reconcile import Status
from hubvram.inspection import weights_of
from hubvram.inspection.config_only import derived
from hubvram.inspection.inspector import inspect_model
from hubvram.memory.engines import transformers_code
from hubvram.memory.engines.transformers import TRANSFORMERS
from hubvram.memory.engines.transformers_linears import code_of
from hubvram.memory.estimate import MemoryEstimate
from hubvram.memory.estimator import estimate_memory
from hubvram.memory.forward.attention import play_attention
from hubvram.memory.forward.latent import play_latent_attention
from hubvram.memory.forward.mlp import play_mlp
from hubvram.memory.forward.run import Run, Sizes
from hubvram.memory.forward.tape import Share
from hubvram.memory.packed_matrices import Packing
from hubvram.memory.weights import STORED, Weights, deployed_weights
from hubvram.memory.workload import Attention
from tests.quantized import sample_model
from tests.samples import fixture_model, small_llama, workload_of

LLAMA = "meta-llama--Llama-3.1-8B"
H, N = 4096, 14_336
"""Its hidden size and that of its MLP."""
TOKEN = 3 * 8 + 8 + 2 * 2 * 128
"""Of each: its id twice, its place in the mask, its position; cos and sin."""
BEFORE = 4 * 128_256 + 8
"""While decoding: fp32 logits of the token before, and the position of the prompt's one token."""


def estimate(name: str, precision: str, tokens: int, batch_size: int = 1) -> MemoryEstimate:
    model = fixture_model(name)
    weights = weights_of(model, precision)
    assert isinstance(weights, Weights)
    return estimate_memory(weights, model.architecture, workload_of(tokens, batch_size=batch_size))


def test_an_unpacked_matrix_counts_where_it_exceeds_the_peak() -> None:
    # The peak of a prompt is act(gate), up and their product, 6 N a token; when up runs, its matrix of 2 H N bytes is
    # unpacked beside act(gate) and what it makes, 4 N a token: more, as long as there are fewer than H tokens.
    plain, packed = (estimate(LLAMA, precision, 1000) for precision in ("bf16", "nf4"))
    assert packed.size_of("activations") == plain.size_of("activations") == 1000 * (8 * H + 6 * N + TOKEN)
    assert packed.size_of("unpacked") == 2 * N * (H - 1000)
    assert estimate(LLAMA, "nf4", H).size_of("unpacked") == estimate(LLAMA, "nf4", 8192).size_of("unpacked") == 0
    # Twice the sequences are as twice the tokens.
    assert estimate(LLAMA, "nf4", 1000, 2).size_of("unpacked") == 2 * N * (H - 2000)


def test_nested_scales_are_unpacked_twice_in_fp32() -> None:
    # 8 bytes more for each 64 weights.
    assert estimate(LLAMA, "nf4-dq", 1000).size_of("unpacked") == 2 * N * (H - 1000) + H * N // 8


def test_a_type_of_its_own_casts_what_a_matrix_reads_and_what_comes_out() -> None:
    # 16 bit around fp32: 8 tokens of 300 features and the 100 that come out, at 4 bytes each, beside the matrix at 4;
    # then, without the matrix, the 100 at 2 bytes more. Up to 7 tokens nothing is unpacked.
    linears = code_of(Packing(linears=("nf4",), method="bitsandbytes", compute_dtype="fp32"), "bf16")
    for tokens, unpacked in ((8, 4 * 300 * 100), (7, 0)):
        run = Run(Sizes(batch_size=1, tokens=tokens, element_bytes=2, attention=Attention.SDPA, linears=linears))
        run.linear(300, 100)
        peak = run.tape.take()
        assert peak.size_bytes(Share.SEQUENCE) == tokens * (4 * 300 + 6 * 100)
        assert sum(held.size_bytes for held in peak.unpacking) == (tokens * 4 * 400 + unpacked if unpacked else 0)


@pytest.mark.parametrize(
    ("sample", "dtype", "computed"),
    [("bnb-nf4", "bf16", "fp32"), ("bnb-nf4-dq-tied", "bf16", "bf16"), ("bnb-int8", "fp16", None)],
)
def test_the_type_that_a_config_names_is_that_of_its_matrices(sample: str, dtype: str, computed: str | None) -> None:
    stored = sample_model(sample).stored
    assert (stored.compute_dtype, stored.packing.compute_dtype) == (dtype, computed)


def beside_weights(found: MemoryEstimate) -> int:
    return found.total_bytes - found.size_of("weights") - found.size_of("runtime")


def test_four_tokens_are_computed_without_unpacking() -> None:
    assert not estimate(LLAMA, "nf4", 4).size_of("unpacked")
    assert not estimate(LLAMA, "nf4", 1, 4).size_of("unpacked")
    # Five: the matrix beside what waits, act(gate) and what it makes; then sequences hold less than at their logits.
    found = estimate(LLAMA, "nf4", 1, 5)
    cache = 2 * 32 * 1024 * 2
    assert beside_weights(found) == 2 * H * N + 5 * (cache + 4 * 2 * H + 4 * N + TOKEN + BEFORE)


def test_the_terms_of_what_is_unpacked_add_up() -> None:
    (unpacked,) = (each for each in estimate(LLAMA, "nf4", 1000).components if each.name == "unpacked")
    largest = 1000 * (8 * H + 6 * N + TOKEN + 2 * 32 * 1024 * 2)  # with the cache
    formula = f"{largest - 2 * N * 1000:,} - {largest:,} bytes"
    assert [(term.what, term.formula, term.size_bytes) for term in unpacked.terms] == [
        ("a matrix, unpacked", "14,336 x 4,096 x 2 bytes", 2 * H * N),
        ("all else that is alive then, less than at the largest moment", formula, -2 * N * 1000),
    ]
    assert "bitsandbytes 0.50" in unpacked.source


def test_hqq_unpacks_in_three_steps() -> None:
    # Even for one token: 6 bytes a weight, beside embeddings, input, residual, normed, act(gate) and the token's id.
    found = estimate(LLAMA, "hqq4", 1)
    cache = 2 * 32 * 1024 * 2
    assert beside_weights(found) == cache + 6 * H * N + 4 * 2 * H + 2 * N + TOKEN + BEFORE


def test_int8_holds_sums_of_32_bit() -> None:
    # When up runs: what waits, 8 H and act(gate), 2 N; the token in int8, H and a scale; sums, fp16 and bf16, 8 N.
    found = estimate(LLAMA, "int8-bnb", 8192)
    assert found.size_of("activations") == 8192 * (8 * H + 2 * N + H + 4 + 8 * N + TOKEN)
    assert not found.size_of("unpacked")


@pytest.mark.parametrize("precision", ["awq", "gptq", "int4", "fp8-block"])
def test_kernels_that_read_packed_weights_make_nothing_beside(precision: str) -> None:
    plain, packed = (estimate(LLAMA, each, 100) for each in ("bf16", precision))
    assert packed.instants == plain.instants
    assert not packed.notes


def test_with_one_scale_for_a_matrix_inputs_are_quantized_to_fp8_first() -> None:
    # A byte for each feature, and a scale for each token, beside the 16 bit that come out.
    linears = code_of(Packing(linears=("fp8",), method="fp8"), "bf16")
    run = Run(Sizes(batch_size=2, tokens=7, element_bytes=2, attention=Attention.SDPA, linears=linears))
    run.linear(300, 100)
    assert run.tape.take().size_bytes(Share.SEQUENCE) == 2 * 7 * (300 + 4 + 2 * 100)


def test_what_is_made_for_the_cache_is_not_counted_twice() -> None:
    run = Run(
        Sizes(
            batch_size=1,
            tokens=9,
            element_bytes=2,
            attention=Attention.SDPA,
            linears=code_of(Packing(linears=("int8-bnb",)), "bf16"),
        )
    )
    # In int8 with a scale, and sums and outputs in 4 + 2 bytes, of which the 2 in bf16 are the cache's.
    run.linear(100, 200, is_cached=True)
    assert run.tape.take().size_bytes(Share.SEQUENCE) == 9 * (100 + 4 + 6 * 200)


def test_fp8_experts_are_not_copied_for_a_token() -> None:
    # Qwen3-30B-A3B, one token: 8 experts of 3 x 768 x 2,048 in bf16 are 72 MiB; in FP8 they are read where they are.
    copied, read = (estimate("Qwen--Qwen3-30B-A3B", precision, 1) for precision in ("bf16", "fp8-block"))
    assert copied.size_of("activations") > 72 * 2**20 > 50 * read.size_of("activations")


@pytest.mark.parametrize(
    ("precision", "said"),
    [
        ("int8", "weights packed as int8-channel is not known"),
        ("nvfp4", "weights packed as nvfp4 is not known"),
        # 12 bits more for each of 6.98 billion weights in the layers; 8 bits more.
        ("w4a16", "9.75 GiB of the rest"),
        ("fp8-channel", "6.50 GiB of the rest"),
    ],
)
def test_what_is_not_in_the_figures_is_said(precision: str, said: str) -> None:
    plain, packed = (estimate(LLAMA, each, 100) for each in ("bf16", precision))
    assert packed.instants == plain.instants
    assert said in " ".join(packed.notes)


def test_packed_experts_are_counted_as_those_of_16_bit() -> None:
    found = estimate("mistralai--Mixtral-8x7B-v0.1", "awq", 100)
    assert found.notes == (
        "how transformers computes with packed experts is not known: activations are those of 16-bit experts",
    )
    # On load they stay as they are.
    assert not estimate("mistralai--Mixtral-8x7B-v0.1", "nf4-onload", 100).notes


@pytest.mark.parametrize(
    ("sample", "linears", "experts"),
    [
        ("bnb-nf4", ("nf4",), ()),
        ("bnb-nf4-dq-tied", ("nf4-dq",), ()),
        ("bnb-int8", ("int8-bnb",), ()),
        ("awq-gemm", ("awq",), ()),
        ("gptq-4b-g128", ("gptq",), ()),
        # The experts of this small one have a scale each.
        ("fp8-block-mixtral", ("fp8-block",), ("fp8",)),
        ("hqq-old-4b-g64", ("hqq",), ()),
    ],
)
def test_what_is_stored_tells_its_packing(sample: str, linears: tuple[str, ...], experts: tuple[str, ...]) -> None:
    packing = sample_model(sample).stored.packing
    assert (packing.linears, packing.experts) == (linears, experts)


def test_what_is_stored_by_compressed_tensors_is_unpacked() -> None:
    model = sample_model("ct-w4a16-g128")
    assert model.stored.packing.method == "compressed-tensors"
    found = inspect_model(model, workload_of(16))
    (note,) = (note for note in found.notes if note.startswith(f"{STORED}: "))
    assert "unpacks what compressed-tensors packed before the first forward" in note
    assert found.estimates[0].size_of("unpacked") == model.stored.packing.unpacking_bytes > 0


def test_what_transformers_unpacks_is_what_it_then_takes() -> None:
    """A small llama in W4A16, by llm-compressor 0.14 and compressed-tensors 0.20: its parameters and buffers were
    713,696 bytes before transformers 5.23 ran its first forward, and 2,483,168 after it."""
    architecture = small_llama(
        hidden_size=256, intermediate_size=512, num_attention_heads=4, num_key_value_heads=2, vocab_size=100
    )
    weights = deployed_weights("w4a16", derived(Status.DERIVED, architecture), None, "bf16")
    assert isinstance(weights, Weights)
    found = estimate_memory(weights, architecture, workload_of(1))
    assert found.size_of("unpacked") == 2_483_168 - 713_696


def test_a_program_that_does_not_play_linears_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transformers_code, "plays_linears", lambda architecture: False)
    assert estimate(LLAMA, "nf4", 8).notes == (
        "what transformers makes beside while it computes with packed weights is not counted",
    )
    assert not estimate(LLAMA, "bf16", 8).notes


def test_both_sides_say_when_each_matrix_is_unpacked() -> None:
    # t5-small, 8 tokens: when the MLP's last matrix of 2,048 x 512 is unpacked, there are of each token embeddings, the
    # layer's input, the residual, what is normed and what comes out, the inner width, its id and its mask; and the
    # encoder's bias for 8 heads.
    found = estimate("google-t5--t5-small", "nf4", 8)
    (encode,) = (instant for instant in found.instants if instant.name == "encode")
    assert not found.notes
    alive = sum(held.size_bytes for held in encode.unpacking)
    assert alive == 2 * 2048 * 512 + 8 * (2 * (5 * 512 + 2048) + 2 * 8) + 2 * 8 * 8 * 8


def test_matrices_that_stay_fp32_are_not_unpacked() -> None:
    t5 = fixture_model("google-t5--t5-small").architecture
    assert t5 is not None
    assert TRANSFORMERS.packing_notes(t5, Packing(linears=("nf4",)), "fp16")
    assert not TRANSFORMERS.packing_notes(t5, Packing(linears=("nf4",)), "bf16")


# ------------------------------------------------------------------------- each linear at its moment

HQQ = code_of(Packing(linears=("hqq",)), "bf16")
"""Unpacks in 6 bytes a weight, whatever the number of tokens."""


def unpacking_bytes(program: Callable[[Run], object], *, tokens: int = 7, past_tokens: int = 0) -> int:
    """What is alive at the moment when unpacked matrices are alive with most."""
    sizes = Sizes(
        batch_size=1,
        tokens=tokens,
        past_tokens=past_tokens,
        decodes=past_tokens > 0,
        element_bytes=2,
        attention=Attention.SDPA,
        linears=HQQ,
    )
    run = Run(sizes)
    result = program(run)
    del result
    return sum(held.size_bytes for held in run.tape.take().unpacking)


def test_q_and_what_heads_say_wait_for_the_linears_of_attention() -> None:
    mixer = FullAttention(hidden_size=40, num_attention_heads=4, num_key_value_heads=2, head_dim=8)
    # Q, and what heads say, wait while O's matrix of 40 x 32 is unpacked.
    assert unpacking_bytes(lambda run: play_attention(run, mixer)) == 6 * 40 * 32 + 7 * 2 * (32 + 32)
    # One matrix for all three is the widest, and nothing waits; 32 + 16 + 16 rows.
    fused = replace(mixer, fused_qkv=True)
    assert unpacking_bytes(lambda run: play_attention(run, fused)) == 6 * 64 * 40


def test_k_and_v_are_made_of_all_that_a_latent_cached() -> None:
    mixer = LatentAttention(
        hidden_size=8, num_attention_heads=4, q_lora_rank=None, kv_lora_rank=50, qk_nope_head_dim=16,
        qk_rope_head_dim=8, v_head_dim=16,
    )  # fmt: skip
    # kv_b, of 50 x 4 (16 + 16), is the widest; Q as made and rotated, 2 x 96 + 32, and the latent, 58, wait.
    waiting = 2 * (2 * 96 + 32 + 58)
    assert unpacking_bytes(lambda run: play_latent_attention(run, mixer)) == 6 * 50 * 128 + 7 * waiting
    # While decoding, of one token and 9 that are cached, its output for all 10 is more than its unpacking.
    few = code_of(Packing(linears=("int8-bnb",)), "bf16")
    run = Run(
        Sizes(
            batch_size=1,
            tokens=1,
            past_tokens=9,
            decodes=True,
            element_bytes=2,
            attention=Attention.SDPA,
            linears=few,
        )
    )
    play_latent_attention(run, mixer)
    # In int8: 50 + 4 and 8 x 128 for each of the 10.
    assert run.tape.take().size_bytes(Share.SEQUENCE) == waiting + 10 * (50 + 4 + 8 * 128)


@pytest.mark.parametrize(
    ("mlp", "waiting"),
    [
        # act(gate) waits for up; the product for down, as wide.
        (DenseMLP(hidden_size=10, intermediate_size=30, hidden_act="silu"), 30),
        # gate and up as one matrix, both of which wait for down beside the product.
        (DenseMLP(hidden_size=10, intermediate_size=30, hidden_act="silu", fused=True), 0),
        (DenseMLP(hidden_size=10, intermediate_size=30, hidden_act="gelu", gated=False), 30),
    ],
)
def test_what_waits_for_the_linears_of_an_mlp(mlp: DenseMLP, waiting: int) -> None:
    widest = 6 * 10 * 30 * (2 if mlp.fused else 1)
    assert unpacking_bytes(lambda run: play_mlp(run, mlp)) == widest + 7 * 2 * waiting


def test_a_shared_expert_is_an_mlp_like_any_other() -> None:
    mlp = MoEMLP(
        hidden_size=10, num_experts=8, num_experts_per_tok=2, moe_intermediate_size=100, hidden_act="silu",
        shared_expert_intermediate_size=30,
    )  # fmt: skip
    # What the experts say waits, and act(gate).
    assert unpacking_bytes(lambda run: play_mlp(run, mlp)) == 6 * 10 * 30 + 7 * 2 * (10 + 30)
