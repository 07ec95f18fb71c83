"""What precisions make of weights, by hand for single matrices and whole models."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubvram.architecture.parts import Linear
from hubvram.dtypes import PRECISION_BITS
from hubvram.errors import UsageError
from hubvram.inspection import read_model
from hubvram.quantization.scheme import SCHEMES, QuantizationScheme, scheme_of
from tests.samples import architecture_of, corpus_source, fixture_architecture, needs_corpus, small_llama

SQUARE = Linear(name="q", out_features=4096, in_features=4096)


@pytest.mark.parametrize(
    ("precision", "weight_bytes"),
    [
        # One byte a weight, and 4,096 scales of 4 bytes.
        ("int8", 16_777_216 + 16_384),
        ("fp8", 16_777_216 + 16_384),
        # Half a byte a weight; 4,096 x 32 groups, each with a 2-byte scale and half a byte of zero.
        ("int4", 8_388_608 + 262_144 + 65_536),
        ("bf16", 33_554_432),
        ("fp16", 33_554_432),
        ("fp32", 67_108_864),
    ],
)
def test_a_matrix_of_4096(precision: str, weight_bytes: int) -> None:
    assert scheme_of(precision).linear_bytes(SQUARE) == weight_bytes


@pytest.mark.parametrize(
    ("out_features", "in_features", "weight_bytes"),
    [
        # 2 x 130 weights are 130 bytes; each row has a whole group and one of two inputs: 4 groups.
        (2, 130, 130 + 4 * 2 + 2),
        # 3 x 3 weights are 4.5 bytes, 5 with the last; 3 groups: 6 bytes of scales, 1.5 of zeros.
        (3, 3, 5 + 6 + 2),
        (1, 128, 64 + 2 + 1),
        (1, 129, 65 + 4 + 1),
        (1, 1, 1 + 2 + 1),
    ],
)
def test_int4_groups_that_do_not_divide(out_features: int, in_features: int, weight_bytes: int) -> None:
    assert scheme_of("int4").matrix_bytes(out_features, in_features) == weight_bytes


def test_int8_has_a_scale_for_each_output() -> None:
    assert scheme_of("int8").matrix_bytes(3, 1000) == 3000 + 12
    assert scheme_of("int8").matrix_bytes(1000, 3) == 3000 + 4000


def test_experts_are_packed_one_by_one() -> None:
    experts = Linear(name="up", out_features=3, in_features=3, count=8)
    assert scheme_of("int4").linear_bytes(experts) == 8 * 13


def test_a_small_model_by_hand() -> None:
    # Two layers: Q and O 64 x 64, K and V 32 x 64, gate and up 96 x 64 (one group a row), down 64 x 96.
    rows = 64 + 32 + 32 + 64 + 96 + 96 + 64
    packed = 12_288 + 18_432
    # What stays in 16 bit: embedding and head, 5 norms of 64.
    kept = 2 * (2 * 6400 + 5 * 64)
    architecture = small_llama()
    parameters = architecture.parameters
    assert scheme_of("int4").weight_bytes(architecture, parameters) == 2 * (packed // 2 + rows * 2 + rows // 2) + kept
    assert scheme_of("int8").weight_bytes(architecture, parameters) == 2 * (packed + rows * 4) + kept
    assert scheme_of("bf16").weight_bytes(architecture, parameters) == 2 * parameters
    assert scheme_of("fp32").weight_bytes(architecture, parameters) == 4 * parameters


def test_biases_and_routers_stay_in_sixteen_bit() -> None:
    plain, biased = small_llama(), small_llama(attention_bias=True, mlp_bias=True)
    scheme = scheme_of("int4")
    extra = biased.parameters - plain.parameters
    assert scheme.weight_bytes(biased, biased.parameters) == scheme.weight_bytes(plain, plain.parameters) + 2 * extra
    moe = architecture_of({"model_type": "mixtral", "hidden_size": 64, "num_attention_heads": 8, "vocab_size": 10})
    assert all(linear.name != "router" for _, linear in moe.counted_linears())


def test_what_is_beside_the_text_model_stays_in_sixteen_bit() -> None:
    architecture = small_llama()
    scheme = scheme_of("int4")
    tower = 1_000
    assert (
        scheme.weight_bytes(architecture, architecture.parameters + tower)
        == scheme.weight_bytes(architecture, architecture.parameters) + 2 * tower
    )


def test_llama_70b_in_int4() -> None:
    # All Linears of the layers, 68,451,041,280 weights, in groups of 128: 4.15625 bits a weight;
    # embedding, head and norms, 2,102,665,216 parameters, in 16 bit.
    architecture = fixture_architecture("meta-llama--Llama-3.1-70B")
    packed = 12_079_595_520 + 56_371_445_760
    expected = packed * 133 // 256 + 2 * (70_553_706_496 - packed)
    assert scheme_of("int4").weight_bytes(architecture, architecture.parameters) == expected


def test_int4_is_what_published_awq_repos_store() -> None:
    # hugging-quants/Meta-Llama-3.1-8B-Instruct-AWQ-INT4: 5,727,854,592 bytes of tensors in its headers
    # (qweight, qzeros and scales of the layers in groups of 128; embedding, head and norms in fp16).
    architecture = fixture_architecture("meta-llama--Llama-3.1-8B")
    assert scheme_of("int4").weight_bytes(architecture, architecture.parameters) == 5_727_854_592


@needs_corpus
@pytest.mark.parametrize(
    "repo",
    [
        "hugging-quants/Meta-Llama-3.1-8B-Instruct-AWQ-INT4",
        "Qwen/Qwen2.5-7B-Instruct-AWQ",
        "TheBloke/Llama-2-7B-Chat-AWQ",
    ],
)
def test_int4_is_what_the_headers_of_awq_repos_say(repo: str) -> None:
    model = read_model(corpus_source(repo))
    assert model.architecture is not None
    assert model.checkpoint is not None
    packed = scheme_of("int4").weight_bytes(model.architecture, model.reconciliation.total)
    assert packed == model.checkpoint.stored_bytes


@given(out_features=st.integers(1, 5000), in_features=st.integers(1, 5000))
def test_more_bits_never_take_less(out_features: int, in_features: int) -> None:
    int4, int8, bf16, fp32 = (
        scheme_of(precision).matrix_bytes(out_features, in_features) for precision in ("int4", "int8", "bf16", "fp32")
    )
    assert int4 <= int8
    assert bf16 < fp32
    # In a row of fewer than 4 weights, int8's scale of 4 bytes is more than it saves.
    assert (int8 <= bf16) == (in_features >= 4)


@given(out_features=st.integers(1, 5000), in_features=st.integers(1, 5000), precision=st.sampled_from(list(SCHEMES)))
def test_a_scheme_never_takes_less_than_its_nominal_bits(out_features: int, in_features: int, precision: str) -> None:
    nominal = -(-out_features * in_features * PRECISION_BITS[precision] // 8)
    assert scheme_of(precision).matrix_bytes(out_features, in_features) >= nominal


def test_every_precision_has_a_scheme() -> None:
    assert set(SCHEMES) == set(PRECISION_BITS)
    for precision, scheme in SCHEMES.items():
        assert scheme.weight_bits == PRECISION_BITS[precision]
        assert scheme.description
        assert scheme_of(precision.upper()) is scheme


@pytest.mark.parametrize("precision", ["int3", "", "stored", "q4_k_m", "int4-g128"])
def test_an_unknown_precision_names_the_known_ones(precision: str) -> None:
    with pytest.raises(UsageError) as caught:
        scheme_of(precision)
    assert repr(precision) in caught.value.problem
    assert caught.value.hint == "choose from fp32, fp16, bf16, fp8, int8, int4"


def test_a_group_as_large_as_a_row_is_a_channel() -> None:
    grouped = QuantizationScheme(name="g", weight_bits=8, scale_bits=32, group_size=500, description="")
    assert grouped.matrix_bytes(7, 500) == scheme_of("int8").matrix_bytes(7, 500)
