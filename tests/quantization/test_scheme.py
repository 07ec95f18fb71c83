"""What precisions make of weights, by hand for single matrices and whole models."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubvram.architecture.layers import Architecture
from hubvram.dtypes import PRECISION_BITS
from hubvram.inspection import read_model
from hubvram.quantization.scheme import has_fused_experts
from hubvram.quantization.schemes import SCHEMES
from tests.samples import architecture_of, corpus_source, fixture_architecture, needs_corpus, small_llama


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
    assert SCHEMES[precision].matrix(4096, 4096) == weight_bytes


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
    assert SCHEMES["int4"].matrix(out_features, in_features) == weight_bytes


def test_int8_has_a_scale_for_each_output() -> None:
    assert SCHEMES["int8"].matrix(3, 1000) == 3000 + 12
    assert SCHEMES["int8"].matrix(1000, 3) == 3000 + 4000


def taken(precision: str, architecture: Architecture) -> int:
    """Bytes of a whole model."""
    return SCHEMES[precision].weigh(architecture, architecture.parameters).size_bytes


def test_a_small_model_by_hand() -> None:
    # Two layers: Q and O 64 x 64, K and V 32 x 64, gate and up 96 x 64 (one group a row), down 64 x 96.
    rows = 64 + 32 + 32 + 64 + 96 + 96 + 64
    packed = 12_288 + 18_432
    # What stays in 16 bit: embedding and head, 5 norms of 64.
    kept = 2 * (2 * 6400 + 5 * 64)
    architecture = small_llama()
    parameters = architecture.parameters
    assert taken("int4", architecture) == 2 * (packed // 2 + rows * 2 + rows // 2) + kept
    assert taken("int8", architecture) == 2 * (packed + rows * 4) + kept
    assert taken("bf16", architecture) == 2 * parameters
    assert taken("fp32", architecture) == 4 * parameters


def test_biases_and_routers_stay_in_sixteen_bit() -> None:
    plain, biased = small_llama(), small_llama(attention_bias=True, mlp_bias=True)
    extra = biased.parameters - plain.parameters
    assert taken("int4", biased) == taken("int4", plain) + 2 * extra
    moe = architecture_of({"model_type": "mixtral", "hidden_size": 64, "num_attention_heads": 8, "vocab_size": 10})
    assert all(linear.name != "router" for _, linear in moe.counted_linears())


def test_what_is_beside_the_text_model_stays_in_sixteen_bit() -> None:
    architecture = small_llama()
    scheme = SCHEMES["int4"]
    tower = 1_000
    assert (
        scheme.weigh(architecture, architecture.parameters + tower).size_bytes
        == scheme.weigh(architecture, architecture.parameters).size_bytes + 2 * tower
    )


def test_llama_70b_in_int4() -> None:
    # All Linears of the layers, 68,451,041,280 weights, in groups of 128: 4.15625 bits a weight;
    # embedding, head and norms, 2,102,665,216 parameters, in 16 bit.
    architecture = fixture_architecture("meta-llama--Llama-3.1-70B")
    packed = 12_079_595_520 + 56_371_445_760
    expected = packed * 133 // 256 + 2 * (70_553_706_496 - packed)
    assert taken("int4", architecture) == expected


def test_int4_is_what_published_awq_repos_store() -> None:
    # hugging-quants/Meta-Llama-3.1-8B-Instruct-AWQ-INT4: 5,727,854,592 bytes of tensors in its headers
    # (qweight, qzeros and scales of the layers in groups of 128; embedding, head and norms in fp16).
    architecture = fixture_architecture("meta-llama--Llama-3.1-8B")
    assert taken("int4", architecture) == 5_727_854_592


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
    packed = SCHEMES["int4"].weigh(model.architecture, model.reconciliation.total).size_bytes
    assert packed == model.checkpoint.stored_bytes


def _experts() -> Architecture:
    return architecture_of(
        {
            "model_type": "mixtral",
            **{"hidden_size": 64, "num_attention_heads": 8, "num_key_value_heads": 8, "intermediate_size": 128},
            **{"num_hidden_layers": 1, "vocab_size": 10, "num_local_experts": 4},
        }
    )


def test_experts_are_packed_one_by_one() -> None:
    # Four matrices of 64 x 64, and four experts of three of 64 x 128 each; embedding, head, norms and the router of
    # 4 x 64 stay 16 bit.
    attention, expert = 4 * 64 * 64, 3 * 64 * 128
    rest = 2 * 10 * 64 + 3 * 64 + 4 * 64
    scales = 4 * (4 * 64) + 4 * (4 * (128 + 128 + 64))
    architecture = _experts()
    assert architecture.parameters == attention + 4 * expert + rest
    weighed = SCHEMES["int8"].weigh(architecture, architecture.parameters)
    assert weighed.size_bytes == attention + 4 * expert + scales + 2 * rest


def test_on_load_transformers_leaves_experts_alone() -> None:
    architecture = _experts()
    assert has_fused_experts(architecture) and not has_fused_experts(small_llama())
    # LLM.int8: a byte a weight, a 32-bit scale a row: attention alone.
    packed = 4 * (64 * 64 + 4 * 64)
    kept = 2 * (architecture.parameters - 4 * 64 * 64)
    assert taken("int8-bnb-onload", architecture) == packed + kept
    # In files of transformers 4 experts are packed, and so is the router; each matrix has a byte more.
    experts = 4 * (3 * 64 * 128 + 4 * (128 + 128 + 64) + 3)
    router = 4 * 64 + 4 * 4 + 1
    rest = 2 * (2 * 10 * 64 + 3 * 64)
    assert taken("int8-bnb", architecture) == packed + 4 + experts + router + rest


def test_what_a_tool_cannot_pack_stays_in_sixteen_bit() -> None:
    # Down is 64 x 96: no whole groups of 128, and neither is any other matrix of 64 inputs.
    architecture = small_llama()
    weighed = SCHEMES["awq"].weigh(architecture, architecture.parameters)
    assert (weighed.size_bytes, weighed.refused) == (2 * architecture.parameters, 2 * 7)


@pytest.mark.parametrize("name", list(SCHEMES))
def test_more_bits_never_take_less(name: str) -> None:
    llama = fixture_architecture("meta-llama--Llama-3.1-8B")
    scheme = SCHEMES[name]
    weighed = scheme.weigh(llama, llama.parameters)
    assert weighed.refused == 0
    assert llama.parameters * scheme.bits / 8 <= weighed.size_bytes
    if scheme.bits < 16:
        assert weighed.size_bytes < taken("bf16", llama)


@given(out_features=st.integers(1, 5000), in_features=st.integers(1, 5000), precision=st.sampled_from(list(SCHEMES)))
def test_a_matrix_never_takes_less_than_its_nominal_bits(out_features: int, in_features: int, precision: str) -> None:
    scheme = SCHEMES[precision]
    matrix_bytes = scheme.matrix(out_features, in_features)
    assert matrix_bytes is None or matrix_bytes >= -(-out_features * in_features * scheme.bits // 8)


def test_every_precision_has_a_scheme() -> None:
    assert set(PRECISION_BITS) <= set(SCHEMES)
    for precision, scheme in SCHEMES.items():
        assert scheme.bits == PRECISION_BITS.get(precision, scheme.bits)
        assert scheme.description
