"""Model types without a family: what their tensors and the usual fields show, and when that is not enough."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import pytest

from hubvram.architecture.attention import SlidingAttention
from hubvram.architecture.mlp import DenseMLP, MoEMLP
from hubvram.architecture.reconcile import Reconciliation, Status
from hubvram.checkpoint.tensors import Checkpoint
from hubvram.inspection.understanding import understand
from tests.samples import SMALL_LLAMA, attention_of, checkpoint_of, config_of, llama_tensors, small_llama

Shapes = dict[str, tuple[int, ...]]

CONFIG: Final = {**SMALL_LLAMA, "model_type": "never_heard_of", "architectures": ["NeverHeardOfForCausalLM"]}
LLAMA: Final[Mapping[str, tuple[int, ...]]] = llama_tensors(small_llama())
"""hidden 64, 4 heads of 16, 2 KV heads, an MLP of 96, 2 layers, 100 tokens."""


def matched(shapes: Mapping[str, tuple[int, ...]], config: Mapping[str, Any] = CONFIG) -> Reconciliation:
    found, notes = understand(config_of(config), checkpoint_of(shapes))
    assert found.status is Status.SHAPE_MATCHED, notes
    assert found.difference == 0
    assert "the KV cache assumes" in notes[0]
    return found


def refused(shapes: Mapping[str, tuple[int, ...]], config: Mapping[str, Any] = CONFIG) -> str:
    """The note that says why."""
    found, notes = understand(config_of(config), checkpoint_of(shapes))
    assert found.status is Status.UNKNOWN_ARCHITECTURE
    assert found.architecture is None
    assert notes[0].endswith("): weights are exact, KV cache and activations unknown")
    return notes[0]


def in_layers(**shapes: tuple[int, ...]) -> Shapes:
    """Tensors that each of the two layers has; `__` stands for a dot."""
    return {
        f"model.layers.{index}.{name.replace('__', '.')}": shape for index in range(2) for name, shape in shapes.items()
    }


def without(config: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value for key, value in config.items() if key not in keys}


Q: Final = (64, 64)
KV: Final = (32, 64)
BARE: Final = {name: shape for name, shape in LLAMA.items() if "self_attn" not in name}
"""Without any attention."""
NO_MLP: Final = {name: shape for name, shape in LLAMA.items() if ".mlp." not in name}


# ---------------------------------------------------------------------------------- attention


def test_a_llama_of_another_name() -> None:
    found = matched(LLAMA)
    assert found.architecture is not None
    # The same as the family makes, of which `LLAMA` was made.
    assert found.total == small_llama().parameters
    assert attention_of(found.architecture.layers[1]).k_size == 32
    assert not found.architecture.tie_word_embeddings


@pytest.mark.parametrize(
    ("added", "expected"),
    [
        (in_layers(self_attn__q_proj__bias=(64,), self_attn__k_proj__bias=(32,), self_attn__v_proj__bias=(32,)), "qkv"),
        (in_layers(self_attn__q_proj__bias=(64,), self_attn__v_proj__bias=(32,)), "qv"),
        (in_layers(self_attn__o_proj__bias=(64,)), "o"),
    ],
)
def test_biases_of_attention(added: Shapes, expected: str) -> None:
    found = matched({**LLAMA, **added})
    assert found.architecture is not None
    linears = attention_of(found.architecture.layers[0]).linears
    assert "".join(linear.name for linear in linears if linear.bias) == expected


@pytest.mark.parametrize(
    ("q_norm", "k_norm", "all_heads"), [((16,), (16,), False), ((64,), (32,), True), ((4, 16), (2, 16), True)]
)
def test_norms_of_q_and_k(q_norm: tuple[int, ...], k_norm: tuple[int, ...], all_heads: bool) -> None:
    norms = in_layers(self_attn__q_norm__weight=q_norm, self_attn__k_norm__weight=k_norm)
    found = matched({**LLAMA, **norms})
    assert found.architecture is not None
    attention = attention_of(found.architecture.layers[0])
    assert (attention.qk_norm, attention.qk_norm_all_heads) == (True, all_heads)


@pytest.mark.parametrize("transposed", [False, True])
def test_fused_q_k_and_v_either_way_round(transposed: bool) -> None:
    # Q of 64, K and V of 32 each
    fused = in_layers(self_attn__qkv_proj__weight=(64, 128) if transposed else (128, 64), self_attn__o_proj__weight=Q)
    found = matched({**BARE, **fused}, without(CONFIG, "num_key_value_heads"))
    assert found.architecture is not None
    attention = attention_of(found.architecture.layers[0])
    assert (attention.fused_qkv, attention.num_key_value_heads, attention.k_size) == (True, 2, 32)


@pytest.mark.parametrize("given", [{}, {"num_key_value_heads": None}])
def test_kv_heads_that_the_config_lacks_are_those_of_the_shapes(given: dict[str, Any]) -> None:
    found = matched(LLAMA, without(CONFIG, "num_key_value_heads") | given)
    assert found.architecture is not None
    assert attention_of(found.architecture.layers[0]).num_key_value_heads == 2


def test_heads_of_another_size_than_hidden_size_suggests() -> None:
    wide = in_layers(
        self_attn__q_proj__weight=(128, 64),
        self_attn__k_proj__weight=(64, 64),
        self_attn__v_proj__weight=(64, 64),
        self_attn__o_proj__weight=(64, 128),
    )
    found = matched({**LLAMA, **wide})
    assert found.architecture is not None
    assert attention_of(found.architecture.layers[0]).head_dim == 32
    assert "num_attention_heads" in refused({**LLAMA, **wide}, {**CONFIG, "head_dim": 16})


def test_heads_by_their_norm_where_the_config_is_silent() -> None:
    norms = in_layers(self_attn__q_norm__weight=(16,), self_attn__k_norm__weight=(16,))
    found = matched({**LLAMA, **norms}, without(CONFIG, "num_attention_heads", "num_key_value_heads"))
    assert found.architecture is not None
    assert attention_of(found.architecture.layers[0]).num_attention_heads == 4


def test_windows_by_layer_types_alone() -> None:
    kinds = ["sliding_attention", "full_attention"]
    found = matched(LLAMA, {**CONFIG, "sliding_window": 8, "layer_types": kinds})
    assert found.architecture is not None
    assert [isinstance(layer.mixer, SlidingAttention) for layer in found.architecture.layers] == [True, False]
    # Without them it may be all layers (mistral) or every other (gemma2).
    assert "sliding_window" in refused(LLAMA, {**CONFIG, "sliding_window": 8})
    matched(LLAMA, {**CONFIG, "sliding_window": 8, "use_sliding_window": False, "max_window_layers": 1})


# ------------------------------------------------------------------------- MLP, experts, layers


def test_layers_that_differ() -> None:
    wider = {
        "model.layers.1.mlp.gate_proj.weight": (80, 64),
        "model.layers.1.mlp.up_proj.weight": (80, 64),
        "model.layers.1.mlp.down_proj.weight": (64, 80),
    }
    for sizes in ({}, {"intermediate_size": [96, 80]}):
        found = matched({**LLAMA, **wider}, without(CONFIG, "intermediate_size") | sizes)
        assert found.architecture is not None
        mlps = [layer.mlp for layer in found.architecture.layers]
        assert [mlp.intermediate_size for mlp in mlps if isinstance(mlp, DenseMLP)] == [96, 80]
    assert "config.json says 96, the shapes of the tensors say 80" in refused({**LLAMA, **wider})
    assert "values for 3 layers" in refused({**LLAMA, **wider}, {**CONFIG, "intermediate_size": [96, 80, 80]})


def test_a_parallel_block_with_one_norm_and_a_plain_mlp_with_biases() -> None:
    shapes = {name: shape for name, shape in NO_MLP.items() if "post_attention" not in name}
    shapes |= in_layers(
        mlp__fc1__weight=(96, 64), mlp__fc1__bias=(96,), mlp__fc2__weight=(64, 96), mlp__fc2__bias=(64,)
    )
    shapes |= in_layers(input_layernorm__bias=(64,))
    found = matched(shapes)
    assert found.architecture is not None
    layer = found.architecture.layers[0]
    assert isinstance(layer.mlp, DenseMLP)
    assert (layer.norms.count, layer.norms.bias, layer.mlp.gated, layer.mlp.bias) == (1, True, False, True)


def test_gate_and_up_in_one() -> None:
    fused = in_layers(mlp__gate_up_proj__weight=(192, 64), mlp__down_proj__weight=(64, 96))
    found = matched({**NO_MLP, **fused})
    assert found.architecture is not None
    assert isinstance(found.architecture.layers[0].mlp, DenseMLP)
    assert found.architecture.layers[0].mlp.fused


def gpt2_like() -> Shapes:
    shapes: Shapes = {"transformer.wte.weight": (100, 64), "transformer.wpe.weight": (50, 64)}
    for index in range(2):
        block = f"transformer.h.{index}."
        shapes |= {f"{block}attn.bias": (1, 1, 50, 50)}  # its mask, which is no parameter
        # Lying the other way round, as transformers' Conv1D does.
        shapes |= {f"{block}attn.c_attn.weight": (64, 192), f"{block}attn.c_attn.bias": (192,)}
        shapes |= {f"{block}attn.c_proj.weight": (64, 64), f"{block}attn.c_proj.bias": (64,)}
        shapes |= {f"{block}mlp.c_fc.weight": (64, 256), f"{block}mlp.c_fc.bias": (256,)}
        shapes |= {f"{block}mlp.c_proj.weight": (256, 64), f"{block}mlp.c_proj.bias": (64,)}
        for norm in ("ln_1", "ln_2"):
            shapes |= {f"{block}{norm}.weight": (64,), f"{block}{norm}.bias": (64,)}
    return shapes | {"transformer.ln_f.weight": (64,), "transformer.ln_f.bias": (64,)}


@pytest.mark.parametrize("width", ["n_embd", "d_model", "dim"])
def test_names_and_fields_as_gpt2_has_them(width: str) -> None:
    config = {"model_type": "gpt_unheard_of", "n_layer": 2, "n_head": 4, "vocab_size": 100, "n_ctx": 50, width: 64}
    found = matched(gpt2_like(), config)
    assert found.architecture is not None
    assert found.architecture.tie_word_embeddings
    assert (found.architecture.learned_positions, found.architecture.hidden_size) == (50, 64)
    # (100 + 50) x 64, 2 x (4 x 64^2 + 4 x 64 + 8 x 64^2 + 5 x 64 + 4 x 64), 2 x 64
    assert found.architecture.parameters == 9600 + 2 * 49_984 + 128
    assert "learned positions" in refused(gpt2_like(), {**config, "n_ctx": 51})


MOE: Final = without(CONFIG, "intermediate_size") | {"num_experts": 4, "num_experts_per_tok": 2}
ROUTER: Final = in_layers(mlp__gate__weight=(4, 64))


def _each() -> Shapes:
    names = {"gate": (24, 64), "up": (24, 64), "down": (64, 24)}
    return in_layers(**{f"mlp__experts__{e}__{name}_proj__weight": names[name] for e in range(4) for name in names})


FUSED: Final = in_layers(mlp__experts__gate_up_proj=(4, 48, 64), mlp__experts__down_proj=(4, 64, 24))


@pytest.mark.parametrize("experts", [_each(), FUSED], ids=["each", "fused"])
@pytest.mark.parametrize("name", ["num_experts", "num_local_experts", "n_routed_experts"])
def test_experts(experts: Shapes, name: str) -> None:
    found = matched({**NO_MLP, **ROUTER, **experts}, without(MOE, "num_experts") | {name: 4})
    assert found.architecture is not None
    mlp = found.architecture.layers[0].mlp
    assert isinstance(mlp, MoEMLP)
    assert (mlp.num_experts, mlp.moe_intermediate_size, mlp.gated) == (4, 24, True)
    assert mlp.inactive_parameters == 2 * 3 * 64 * 24  # two of four


def test_a_shared_expert_a_gate_for_it_and_a_correction() -> None:
    beside = in_layers(
        mlp__shared_expert__gate_proj__weight=(40, 64),
        mlp__shared_expert__up_proj__weight=(40, 64),
        mlp__shared_expert__down_proj__weight=(64, 40),
        mlp__shared_expert_gate__weight=(1, 64),
        mlp__gate__e_score_correction_bias=(4,),
    )
    found = matched({**NO_MLP, **ROUTER, **_each(), **beside}, MOE)
    assert found.architecture is not None
    mlp = found.architecture.layers[0].mlp
    assert isinstance(mlp, MoEMLP)
    assert (mlp.shared_expert_intermediate_size, mlp.shared_expert_gate, mlp.correction_bias) == (40, True, True)


def test_a_dense_layer_before_experts() -> None:
    shapes = {name: shape for name, shape in {**NO_MLP, **ROUTER, **FUSED}.items() if "layers.0.mlp" not in name}
    shapes |= {name: shape for name, shape in LLAMA.items() if "layers.0.mlp" in name}
    found = matched(shapes, {**MOE, "intermediate_size": 96, "moe_intermediate_size": 24})
    assert found.architecture is not None
    assert [type(layer.mlp) for layer in found.architecture.layers] == [DenseMLP, MoEMLP]


@pytest.mark.parametrize(
    ("changes", "shapes", "what"),
    [
        ({"num_experts": 5}, {}, "num_experts: config.json says 5, the shapes of the tensors say 4"),
        ({"moe_intermediate_size": 25}, {}, "moe_intermediate_size: config.json says 25"),
        ({"num_experts_per_tok": None}, {}, "num_experts_per_tok"),
        ({"num_experts_per_tok": 9}, {}, "experts"),
        ({}, {"model.layers.1.mlp.experts.2.up_proj.weight": (23, 64)}, "experts up"),
        ({}, {"model.layers.1.mlp.experts.4.up_proj.weight": (24, 64)}, "experts up"),
        ({}, {"model.layers.1.mlp.up_proj.weight": (24, 64)}, "experts are not of the usual making"),
    ],
)
def test_experts_that_do_not_fit(changes: dict[str, Any], shapes: Shapes, what: str) -> None:
    assert what in refused({**NO_MLP, **ROUTER, **_each(), **shapes}, MOE | changes)


# ------------------------------------------------------------------------------- head and tower


def test_a_head_that_is_tied_and_stored_or_not() -> None:
    tied = matched({**LLAMA}, {**CONFIG, "tie_word_embeddings": True})
    bare = matched(llama_tensors(small_llama(), head=False))
    assert tied.total == bare.total == small_llama().parameters - 6400
    assert "tie_word_embeddings" in refused(
        llama_tensors(small_llama(), head=False), {**CONFIG, "tie_word_embeddings": False}
    )


def test_the_text_model_beside_a_tower() -> None:
    text = without(CONFIG, "architectures")
    config = {"model_type": "larger", "architectures": ["LargerForConditionalGeneration"], "text_config": text}
    tower = {"vision_tower.blocks.0.attn.qkv.weight": (96, 32), "multi_modal_projector.linear.weight": (64, 32)}
    found = matched({**LLAMA, **tower}, config)
    assert found.scope == "text"


# ------------------------------------------------------------------------ config against shapes


@pytest.mark.parametrize(
    ("key", "value", "named"),
    [
        ("hidden_size", 65, "hidden_size: config.json says 65, the shapes of the tensors say 64"),
        ("vocab_size", 101, "vocab_size: config.json says 101"),
        ("num_hidden_layers", 3, "num_hidden_layers: config.json says 3"),
        ("num_attention_heads", 3, "num_attention_heads"),
        ("num_attention_heads", 8, "num_key_value_heads: config.json says 2, the shapes of the tensors say 4"),
        ("num_key_value_heads", 4, "num_key_value_heads: config.json says 4"),
        ("intermediate_size", 97, "intermediate_size: config.json says 97"),
        ("head_dim", 8, "num_attention_heads: config.json says 4, the shapes of the tensors say 8"),
    ],
)
def test_a_dimension_that_the_config_states_otherwise_is_named(key: str, value: int, named: str) -> None:
    assert named in refused(LLAMA, {**CONFIG, key: value})


def test_shapes_win_over_what_is_a_default_or_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = ("hidden_size", "vocab_size", "num_hidden_layers", "intermediate_size", "num_key_value_heads")
    found = matched(LLAMA, without(CONFIG, *sizes))
    assert found.architecture is not None
    assert (found.architecture.hidden_size, found.architecture.vocab_size) == (64, 100)
    # llama without its family: the table's own sizes are those of another llama.
    monkeypatch.setattr("hubvram.inspection.understanding.architecture_of", lambda config: None)
    known = {**without(CONFIG, *sizes), "model_type": "llama"}
    found = matched(LLAMA, known)
    assert found.architecture is not None
    assert attention_of(found.architecture.layers[0]).num_key_value_heads == 2
    _, notes = understand(config_of(known), checkpoint_of(LLAMA))
    assert "its class keeps K and V" in notes[0]
    assert notes[1].startswith("config.json leaves out hidden_size, num_hidden_layers, num_key_value_heads")


def test_without_heads_nothing_is_derived() -> None:
    assert "num_attention_heads" in refused(LLAMA, without(CONFIG, "num_attention_heads"))


# --------------------------------------------------------------------------------- another cache


@pytest.mark.parametrize(
    "changes",
    [
        {"kv_lora_rank": 16},
        {"num_kv_shared_layers": 1},
        {"new_decoder_architecture": True},
        {"mamba_d_state": 4},
        {"conv_L_cache": 3},
        {"attention_types": [[["local"], 2]]},
        {"attention_chunk_size": 8},
        {"linear_num_key_heads": 2},
        {"window_size": 8},
        {"is_encoder_decoder": True},
        {"cla_share_factor": 2},
        {"layer_types": ["full_attention"]},
        {"layer_types": ["full_attention", "linear_attention"]},
        {"layer_types": ["full_attention", "chunked_attention"], "attention_chunk_size": 8},
    ],
)
def test_fields_that_speak_of_another_cache(changes: dict[str, Any]) -> None:
    assert next(iter(changes)) in refused(LLAMA, CONFIG | changes) or "layer_types" in changes


@pytest.mark.parametrize(
    "name", ["NeverHeardOfModel", "NeverHeardOfForMaskedLM", "NeverHeardOfForConditionalGeneration"]
)
def test_classes_that_may_keep_no_cache(name: str) -> None:
    assert name in refused(LLAMA, {**CONFIG, "architectures": [name]})


def test_a_type_of_transformers_whose_class_keeps_no_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hubvram.inspection.understanding.architecture_of", lambda config: None)
    config = {"model_type": "openai-gpt", "n_layer": 2, "n_head": 4, "vocab_size": 100, "n_positions": 50, "n_embd": 64}
    assert "keeps no KV cache" in refused(gpt2_like(), config)


# -------------------------------------------------------------------------- what is not understood


@pytest.mark.parametrize(
    ("shapes", "what"),
    [
        (in_layers(adapter__weight=(8, 8)), "'model.layers.*.adapter.weight' are for"),
        ({"model.memory": (8, 8)}, "'model.memory'"),
        (in_layers(a=(1,), b=(1,), c=(1,), d=(1,), e=(1,)), "'model.layers.*.c' and 2 more"),
        ({"model.layers.1.self_attn.kv_a_proj_with_mqa.weight": (8, 64)}, "kv_a_proj_with_mqa"),
        ({"x" * 9_999: (1,)}, "xxx..."),
        ({"model.layers.2.self_attn.q_proj.weight": Q}, "num_hidden_layers"),
        ({"model.layers.4.self_attn.q_proj.weight": Q}, "not numbered"),
        ({"decoder.layers.0.self_attn.q_proj.weight": Q}, "'model.layers', 'decoder.layers'"),
        ({"model.layers.1.cross_attn.q_proj.weight": Q}, "attention q"),
        ({"model.layers.1.self_attn.q_proj.bias": (64,)}, "biases"),
        ({"model.layers.1.self_attn.q_proj.bias": (63,)}, "attention q"),
        ({"model.layers.1.self_attn.q_norm.weight": (16,)}, "norms of Q and K"),
        ({"model.layers.1.self_attn.v_proj.weight": (16, 64)}, "Q, K, V and O"),
        ({"model.layers.1.self_attn.k_proj.weight": (64,)}, "attention k"),
        ({"model.layers.1.self_attn.k_proj.weight": ()}, "attention k"),
        ({"model.layers.1.mlp.down_proj.weight": (0, 64)}, "mlp down"),
        ({"model.layers.1.mlp.down_proj.weight": (64, 95)}, "mlp"),
        ({"model.layers.1.mlp.up_proj.bias": (96,)}, "mlp"),
        ({"model.layers.1.input_layernorm.weight": (63,)}, "norms"),
        ({"model.layers.1.input_layernorm.bias": (64,)}, "norms"),
        ({"model.norm.weight": (63,)}, "norms"),
        ({"lm_head.weight": (99, 64)}, "head"),
        ({"lm_head.bias": (99,)}, "head"),
        ({"model.embed_tokens.weight": (100,)}, "embedding"),
        ({"model.other_embed.weight": (100, 64)}, "embedding tokens"),
    ],
)  # fmt: skip
def test_a_tensor_that_does_not_fit(shapes: Shapes, what: str) -> None:
    assert what in refused({**LLAMA, **shapes})


def test_layers_without_all_of_attention() -> None:
    for missing in ("q_proj", "k_proj", "o_proj", "down_proj", "embed_tokens", "layers"):
        refused({name: shape for name, shape in LLAMA.items() if missing not in name})


def packed(**endings: tuple[str, tuple[int, ...]]) -> Checkpoint:
    """With other tensors in the place of one matrix."""
    module = "model.layers.0.mlp.down_proj"
    shapes = {name: shape for name, shape in LLAMA.items() if name != f"{module}.weight"}
    beside = {f"{module}.{ending.replace('__', '.')}": tensor for ending, tensor in endings.items()}
    shapes |= {name: shape for name, (_, shape) in beside.items()}
    return checkpoint_of(shapes, {name: dtype for name, (dtype, _) in beside.items()})


def test_packed_tensors_show_what_they_hold() -> None:
    words = packed(qweight=("I32", (12, 64)), qzeros=("I32", (1, 8)), scales=("F16", (1, 64)), g_idx=("I32", (96,)))
    found, notes = understand(config_of({**CONFIG, "quantization_config": {"quant_method": "gptq"}}), words)
    assert found.status is Status.SHAPE_MATCHED, notes
    assert found.total == small_llama().parameters


def test_packed_tensors_that_show_no_shape() -> None:
    tensors = packed(weight=("U8", (64 * 96 // 2, 1)), weight__absmax=("F32", (96,)), weight__quant_map=("F32", (16,)))
    found, notes = understand(config_of(CONFIG), tensors)
    assert found.status is Status.UNKNOWN_ARCHITECTURE
    assert "packed by 'packed tensors', its shapes show no dimensions" in notes[0]
    assert found.total == small_llama().parameters


HOSTILE: Final[tuple[Any, ...]] = (True, -1, 0, 2**62, 10**30, 1.5, "x", [], [1], ["x"], [2**62, 0], {}, {"a": 1})
READ: Final = (
    *("hidden_size", "vocab_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "head_dim"),
    *("intermediate_size", "max_position_embeddings", "layer_types", "sliding_window", "use_sliding_window"),
    *("max_window_layers", "hidden_act", "tie_word_embeddings", "num_experts", "num_experts_per_tok"),
    *("moe_intermediate_size", "kv_lora_rank", "auto_map"),
)


@pytest.mark.parametrize("key", READ)
def test_hostile_values_are_never_a_crash(key: str) -> None:
    for value in HOSTILE:
        for config, shapes in ((CONFIG, LLAMA), (MOE, {**NO_MLP, **ROUTER, **FUSED})):
            found, notes = understand(config_of({**config, key: value}), checkpoint_of(shapes))
            assert found.status in (Status.SHAPE_MATCHED, Status.UNKNOWN_ARCHITECTURE)
            assert all(len(note) < 1000 for note in notes)
