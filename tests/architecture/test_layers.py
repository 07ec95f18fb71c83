"""The parts of a model: every count by hand."""

from __future__ import annotations

from hubvram.architecture.attention import FullAttention, SlidingAttention
from hubvram.architecture.mlp import DenseMLP, MoEMLP
from hubvram.architecture.parts import Linear, Norms
from hubvram.checkpoint.components import Component
from tests.samples import architecture_of, attention_of, small_llama

GROUPED = FullAttention(hidden_size=64, num_attention_heads=4, num_key_value_heads=2, head_dim=32)


def test_a_linear_counts_its_weights_and_biases() -> None:
    assert Linear(name="q", out_features=3, in_features=5).parameters == 15
    assert Linear(name="q", out_features=3, in_features=5, bias=True).parameters == 15 + 3
    experts = Linear(name="up", out_features=3, in_features=5, bias=True, count=4)
    assert (experts.weight_parameters, experts.bias_parameters) == (60, 12)


def test_attention_sizes_follow_heads_and_head_dim() -> None:
    # Four heads of 32 are wider than the hidden size: head_dim is a dimension of its own.
    assert (GROUPED.q_size, GROUPED.k_size, GROUPED.v_size, GROUPED.o_size) == (128, 64, 64, 64)
    # Q 128 x 64, K and V 64 x 64 each, O 64 x 128.
    assert GROUPED.parameters == 8192 + 2 * 4096 + 8192


def test_attention_biases_and_norms() -> None:
    mixer = FullAttention(
        hidden_size=64,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=32,
        qkv_bias=True,
        o_bias=True,
        qk_norm=True,
    )
    # Biases as long as the outputs (128 + 64 + 64 + 64), and one norm of head_dim for Q, one for K.
    assert mixer.parameters - GROUPED.parameters == 320 + 64


def test_a_window_changes_the_kind_and_no_parameter() -> None:
    sliding = SlidingAttention(
        hidden_size=64, num_attention_heads=4, num_key_value_heads=2, head_dim=32, sliding_window=16
    )
    assert sliding.parameters == GROUPED.parameters
    assert (GROUPED.kind, sliding.kind) == ("full_attention", "sliding_attention")


def test_gated_and_plain_mlp() -> None:
    gated = DenseMLP(hidden_size=64, intermediate_size=100, hidden_act="silu")
    plain = DenseMLP(hidden_size=64, intermediate_size=100, hidden_act="gelu", gated=False, bias=True)
    assert gated.parameters == 3 * 6400
    assert [linear.name for linear in gated.linears] == ["gate", "up", "down"]
    assert plain.parameters == 2 * 6400 + 100 + 64
    assert [linear.name for linear in plain.linears] == ["up", "down"]
    assert gated.inactive_parameters == 0


def test_a_fused_matrix_has_the_parameters_of_its_parts() -> None:
    fused = DenseMLP(hidden_size=64, intermediate_size=100, hidden_act="silu", fused=True)
    assert fused.parameters == 3 * 6400


def test_experts_and_their_router() -> None:
    mlp = MoEMLP(hidden_size=64, num_experts=8, num_experts_per_tok=2, moe_intermediate_size=100, hidden_act="silu")
    assert mlp.parameters_by_component == {Component.EXPERTS: 8 * 3 * 6400, Component.ROUTER: 8 * 64}
    assert mlp.parameters == 153_600 + 512
    # Six of eight experts rest.
    assert mlp.inactive_parameters == 6 * 3 * 6400


def test_norms() -> None:
    assert Norms(count=2, hidden_size=64).parameters == 128
    assert Norms(count=2, hidden_size=64, bias=True).parameters == 256


def test_a_whole_small_llama() -> None:
    architecture = small_llama()
    # Attention 64 x (64 + 32 + 32 + 64), MLP 3 x 64 x 96, norms 2 x 64; heads of 64 / 4 = 16.
    layer = 12_288 + 18_432 + 128
    assert [layer_.parameters for layer_ in architecture.layers] == [layer, layer]
    assert architecture.parameters == 2 * layer + 2 * 100 * 64 + 64
    assert architecture.parameters_by_component == {
        Component.EMBEDDING: 6400,
        Component.ATTENTION: 24_576,
        Component.MLP: 36_864,
        Component.NORM: 320,
        Component.HEAD: 6400,
    }
    assert architecture.inactive_parameters == 0


def test_a_tied_head_is_there_and_has_no_parameters() -> None:
    tied = small_llama(tie_word_embeddings=True)
    assert tied.head is not None
    assert tied.has_tied_head
    assert tied.head_parameters == 0
    assert Component.HEAD not in tied.parameters_by_component
    assert small_llama().parameters - tied.parameters == 6400


def test_a_classifier_is_no_tied_head() -> None:
    # LlamaForSequenceClassification puts a (labels, hidden) matrix without bias on top, tied to nothing.
    for labels in ({"num_labels": 3}, {"id2label": {"0": "a", "1": "b", "2": "c"}}):
        classifier = small_llama(architectures=["LlamaForSequenceClassification"], tie_word_embeddings=True, **labels)
        assert not classifier.has_tied_head
        assert classifier.head_parameters == 3 * 64
    assert small_llama(architectures=["LlamaForSequenceClassification"]).head_parameters == 2 * 64


def test_a_base_model_has_no_head() -> None:
    base = small_llama(architectures=["LlamaModel"])
    assert base.head is None
    assert (base.head_parameters, base.has_tied_head) == (0, False)
    assert base.parameters == small_llama().parameters - 6400


def test_a_class_named_lm_head_model_has_a_head() -> None:
    architecture = architecture_of({"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"]})
    assert architecture.has_tied_head


def test_equal_layers_are_one_group() -> None:
    (group,) = small_llama(num_hidden_layers=7).groups()
    assert (group.count, group.indices) == (7, ((0, 6),))


def test_groups_stand_in_the_order_of_their_first_layer() -> None:
    architecture = architecture_of({"model_type": "gemma3_text", "num_hidden_layers": 8, "vocab_size": 100})
    sliding, full = architecture.groups()
    assert (attention_of(sliding.layer).kind, sliding.indices, sliding.count) == (
        "sliding_attention",
        ((0, 4), (6, 7)),
        7,
    )
    assert (attention_of(full.layer).kind, full.indices, full.count) == ("full_attention", ((5, 5),), 1)


def test_packed_weights_are_counted_once_per_layer() -> None:
    packed = sum(count * linear.weight_parameters for count, linear in small_llama().counted_linears())
    assert packed == 24_576 + 36_864
