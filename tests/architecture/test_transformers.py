"""Every family against transformers' own classes: parameters, shapes, windows, rotary tables, saved files.

Extra: runs where transformers and torch are installed. The classes are built on the meta device, from small
configs that differ from the defaults in what each model type lets differ.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from hubvram.architecture.attention import FullAttention, SlidingAttention
from hubvram.architecture.families import FAMILIES
from hubvram.architecture.layers import Architecture
from hubvram.architecture.mlp import MoEMLP
from hubvram.architecture.reconcile import Status
from hubvram.inspection import read_model
from hubvram.memory.engines.transformers import TRANSFORMERS
from hubvram.memory.engines.transformers_attention import SUPPORTED, USUAL
from hubvram.memory.workload import Attention
from hubvram.sources.local import LocalSource
from tests.samples import architecture_of, attention_of

transformers: Any = pytest.importorskip(
    "transformers", reason="transformers, the oracle of the families, is not installed"
)
torch: Any = pytest.importorskip("torch", reason="torch, which builds transformers' classes, is not installed")

SMALL = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "vocab_size": 128,
}
SMALL_GPT2 = {"n_embd": 64, "n_layer": 3, "n_head": 4, "vocab_size": 128, "n_positions": 32}
SLIDING = ["sliding_attention", "full_attention", "full_attention", "sliding_attention"]

HEADS: tuple[Mapping[str, Any], ...] = (
    {"num_key_value_heads": 2},
    {"num_key_value_heads": 1, "head_dim": 32},
    {"num_key_value_heads": 4, "head_dim": 8, "tie_word_embeddings": True},
    {"num_key_value_heads": 2, "tie_word_embeddings": False, "num_hidden_layers": 1},
)
BIASED: tuple[Mapping[str, Any], ...] = ({"num_key_value_heads": 2, "attention_bias": True},)
WINDOWED: tuple[Mapping[str, Any], ...] = (
    {"num_key_value_heads": 2, "sliding_window": 8},
    {"num_key_value_heads": 2, "sliding_window": None},
)
SWITCHED: tuple[Mapping[str, Any], ...] = (
    {"num_key_value_heads": 2, "sliding_window": 8},
    {"num_key_value_heads": 2, "sliding_window": 8, "use_sliding_window": True},
    {"num_key_value_heads": 2, "sliding_window": 8, "use_sliding_window": True, "max_window_layers": 2},
    {"num_key_value_heads": 2, "sliding_window": None, "use_sliding_window": True, "max_window_layers": 0},
)
TYPED: tuple[Mapping[str, Any], ...] = ({"num_key_value_heads": 2, "sliding_window": 8, "layer_types": SLIDING},)
SHARED: Mapping[str, Any] = {"num_experts": 8, "moe_intermediate_size": 32, "shared_expert_intermediate_size": 48}
ROUTED: Mapping[str, Any] = {"n_routed_experts": 8, "moe_intermediate_size": 32, "num_experts_per_tok": 2}
EXPERTS: tuple[Mapping[str, Any], ...] = ({"num_experts_per_tok": 1, "num_key_value_heads": 2},)

VARIANTS: dict[str, tuple[Mapping[str, Any], ...]] = {
    "llama": (*HEADS, *BIASED, {"mlp_bias": True}, {"num_key_value_heads": None}),
    "mistral": (*HEADS, *WINDOWED, *TYPED),
    "mixtral": (
        *HEADS,
        *WINDOWED,
        *EXPERTS,
        {"num_key_value_heads": 2, "num_local_experts": 3, "num_experts_per_tok": 3},
    ),
    "qwen2": (*HEADS, *SWITCHED, {"use_sliding_window": True, **TYPED[0]}),
    "qwen3": (*HEADS, *SWITCHED, *BIASED, {"use_sliding_window": True, **TYPED[0]}),
    "qwen3_moe": (
        *({"num_experts": 8, "moe_intermediate_size": 32, **variant} for variant in (*HEADS, *SWITCHED, *BIASED)),
        {"num_experts": 8, "moe_intermediate_size": 32, "decoder_sparse_step": 2},
        {"num_experts": 8, "moe_intermediate_size": 32, "mlp_only_layers": [0, 3]},
        {"num_experts": 8, "moe_intermediate_size": 32, "decoder_sparse_step": 3, "mlp_only_layers": [1]},
        {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 48, "decoder_sparse_step": 9},
    ),
    "gemma": (*HEADS, *BIASED),
    "gemma2": (*HEADS, *BIASED, *TYPED, {"sliding_window": 8, "num_hidden_layers": 5}),
    "gemma3_text": (
        *HEADS,
        *BIASED,
        *TYPED,
        {"sliding_window": 8, "num_hidden_layers": 13},
        {"sliding_window": 8, "sliding_window_pattern": 3},
        {"sliding_window": 8, "use_bidirectional_attention": True},
        {"use_bidirectional_attention": True, **TYPED[0]},
    ),
    "phi3": (
        *HEADS[:1],
        {"num_key_value_heads": None, "sliding_window": 8},
        {"num_key_value_heads": 1, "head_dim": 32, "tie_word_embeddings": True},
        {"partial_rotary_factor": 0.5},
    ),
    "glm4_moe": (
        {**ROUTED, "num_key_value_heads": 2},
        {**ROUTED, "num_key_value_heads": 2, "use_qk_norm": True, "attention_bias": True},
        {**ROUTED, "num_key_value_heads": 4, "first_k_dense_replace": 3, "n_shared_experts": 2},
        {**ROUTED, "num_key_value_heads": 4, "head_dim": 32, "tie_word_embeddings": True},
    ),
    "granite": (*HEADS, *BIASED, {"mlp_bias": True}),
    "starcoder2": (*HEADS[:2], *WINDOWED, {"use_bias": False}, {"tie_word_embeddings": False}),
    "olmo2": (*HEADS[:1], *BIASED, {"num_key_value_heads": None, "tie_word_embeddings": True}),
    "cohere": (*HEADS[:1], *BIASED, {"use_qk_norm": True, "num_key_value_heads": 2}, {"tie_word_embeddings": False}),
    "phi": ({}, {"qk_layernorm": True}, {"num_key_value_heads": 2}, {"partial_rotary_factor": 0.25}),
    "stablelm": (
        {"num_key_value_heads": 4},
        {"num_key_value_heads": 2, "use_qkv_bias": True},
        {"num_key_value_heads": 2, "qk_layernorm": True},
        {"num_key_value_heads": 4, "use_parallel_residual": True},
    ),
    "granitemoe": ({"num_local_experts": 4}, {"num_key_value_heads": 2, "num_experts_per_tok": 1}, *BIASED),
    "phimoe": ({"num_key_value_heads": 2}, {"num_key_value_heads": 4, "lm_head_bias": True}, *BIASED, *WINDOWED),
    "qwen2_moe": (
        *({**SHARED, **variant} for variant in SWITCHED),
        {**SHARED, "num_key_value_heads": 4, "qkv_bias": False},
        {**SHARED, "num_key_value_heads": 4, "decoder_sparse_step": 2},
        {**SHARED, "num_key_value_heads": 4, "mlp_only_layers": [1]},
    ),
    "gpt2": (
        {},
        {"n_inner": 80},
        {"n_inner": None, "tie_word_embeddings": False},
        {"activation_function": "gelu"},
    ),
    "gpt_neox": (
        {},
        {"attention_bias": False},
        {"tie_word_embeddings": True},
        {"rotary_pct": 0.5},
        {"use_parallel_residual": False},
    ),
}

CASES = [(model_type, variant) for model_type, variants in VARIANTS.items() for variant in variants]
each_case = pytest.mark.parametrize(
    ("model_type", "variant"), CASES, ids=[f"{model_type}-{index}" for index, (model_type, _) in enumerate(CASES)]
)


def values_of(model_type: str, variant: Mapping[str, Any]) -> dict[str, Any]:
    # Token ids outside a small vocabulary are refused by some classes.
    tokens = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    return {"model_type": model_type, **(SMALL_GPT2 if model_type == "gpt2" else SMALL), **tokens, **variant}


def config_class_of(values: Mapping[str, Any]) -> Any:
    values = dict(values)
    return transformers.CONFIG_MAPPING[values.pop("model_type")](**values)


def model_on_meta(config: Any) -> Any:
    with torch.device("meta"):
        return transformers.AutoModelForCausalLM.from_config(config)


def unique_parameters(model: Any) -> int:
    """Parameters, and the routers' biases, which are learned and published but kept as buffers."""
    learned = (buffer.numel() for name, buffer in model.named_buffers() if name.endswith("e_score_correction_bias"))
    return int(sum(parameter.numel() for parameter in model.parameters()) + sum(learned))


def windows(architecture: Architecture) -> list[int | None]:
    return [
        layer.mixer.sliding_window if isinstance(layer.mixer, SlidingAttention) else None
        for layer in architecture.layers
    ]


def attention_shapes(model: Any) -> Iterator[tuple[int, int, int, int]]:
    """Per layer: rows of Q, K, V and O, as the modules have them."""
    for name, module in model.named_modules():
        if name.endswith(".self_attn") and hasattr(module, "q_proj"):
            output = module.dense if hasattr(module, "dense") else module.o_proj  # phi has a name of its own
            q, k, v = (getattr(module, f"{part}_proj").weight.shape[0] for part in "qkv")
            yield q, k, v, output.weight.shape[0]
        elif name.endswith(".self_attn"):  # phi3: one matrix, cut by heads
            key = module.num_key_value_heads * module.head_dim
            query = module.qkv_proj.weight.shape[0] - 2 * key
            yield query, key, key, module.o_proj.weight.shape[0]
        elif name.endswith(".attn"):  # gpt2: Conv1D holds its weight the other way round
            third = module.c_attn.weight.shape[1] // 3
            yield third, third, third, module.c_proj.weight.shape[1]
        elif name.endswith(".attention"):  # gpt_neox
            third = module.query_key_value.weight.shape[0] // 3
            yield third, third, third, module.dense.weight.shape[0]


@each_case
def test_parameters_are_those_of_the_class(model_type: str, variant: Mapping[str, Any]) -> None:
    values = values_of(model_type, variant)
    architecture = architecture_of(values)
    model = model_on_meta(config_class_of(values))
    assert architecture.parameters == unique_parameters(model)
    assert architecture.has_tied_head == model.config.tie_word_embeddings


@each_case
def test_attention_has_the_shapes_of_the_modules(model_type: str, variant: Mapping[str, Any]) -> None:
    values = values_of(model_type, variant)
    mixers = [attention_of(layer) for layer in architecture_of(values).layers]
    shapes = list(attention_shapes(model_on_meta(config_class_of(values))))
    assert [(mixer.q_size, mixer.k_size, mixer.v_size, mixer.o_size) for mixer in mixers] == shapes


@each_case
def test_windows_are_those_of_the_cache(model_type: str, variant: Mapping[str, Any]) -> None:
    from transformers.cache_utils import get_layer_types_and_kwargs

    values = values_of(model_type, variant)
    kinds, kwargs = get_layer_types_and_kwargs(config_class_of(values))
    assert set(kinds) <= {FullAttention.kind, SlidingAttention.kind}
    expected = [
        kw["sliding_window"] if kind == SlidingAttention.kind else None for kind, kw in zip(kinds, kwargs, strict=True)
    ]
    assert windows(architecture_of(values)) == expected


@each_case
def test_rotary_dimensions_are_those_of_the_class(model_type: str, variant: Mapping[str, Any]) -> None:
    values = values_of(model_type, variant)
    architecture = architecture_of(values)
    model = model_on_meta(config_class_of(values))
    tables = {
        name: buffer.numel()
        for name, buffer in model.named_buffers()
        if name.endswith("inv_freq") and "original" not in name
    }
    assert len(tables) == (architecture.rotary_tables if architecture.rotary_dim else 0)
    assert set(tables.values()) <= {architecture.rotary_dim // 2}


@each_case
def test_a_config_that_transformers_saved_reads_the_same(
    model_type: str, variant: Mapping[str, Any], tmp_path: Path
) -> None:
    values = values_of(model_type, variant)
    config_class_of(values).save_pretrained(tmp_path)
    saved = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    if saved.get("use_bidirectional_attention") and model_type == "gemma3_text":
        pytest.skip("transformers saves the halved window, and halves it again when it reads it")
    assert architecture_of(saved) == architecture_of(values)


@each_case
def test_saved_models_are_reconciled(model_type: str, variant: Mapping[str, Any], tmp_path: Path) -> None:
    values = values_of(model_type, variant)
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(config_class_of(values), dtype=torch.bfloat16)
    model.save_pretrained(tmp_path)
    read = read_model(LocalSource(tmp_path))
    assert read.reconciliation.status is Status.RECONCILED, read.reconciliation.differences
    assert read.reconciliation.total == unique_parameters(model)
    assert read.reconciliation.accounted == ()
    assert read.stored.compute_dtype == "bf16"
    biases = [buffer for name, buffer in model.named_buffers() if name.endswith("e_score_correction_bias")]
    assert read.stored.component.size_bytes == sum(
        tensor.numel() * tensor.element_size() for tensor in (*model.parameters(), *biases)
    )


@pytest.mark.parametrize("model_type", VARIANTS)
def test_default_configs_too(model_type: str) -> None:
    """The full size, from an empty config: hubvram's table against the class itself."""
    model = model_on_meta(transformers.CONFIG_MAPPING[model_type]())
    assert architecture_of({"model_type": model_type}).parameters == unique_parameters(model)


@pytest.mark.parametrize("model_type", ["mixtral", "qwen3_moe"])
def test_active_parameters_use_the_experts_chosen(model_type: str) -> None:
    config = transformers.CONFIG_MAPPING[model_type]()
    architecture = architecture_of({"model_type": model_type})
    for layer in architecture.layers:
        assert isinstance(layer.mlp, MoEMLP)
        assert (layer.mlp.num_experts, layer.mlp.num_experts_per_tok) == (
            config.num_local_experts,
            config.num_experts_per_tok,
        )


@pytest.mark.parametrize("model_type", VARIANTS)
def test_attention_support_is_that_of_the_class(model_type: str) -> None:
    """hubvram/memory/engines/transformers.py says which attention a class takes by itself."""
    model = model_on_meta(config_class_of(values_of(model_type, {})))
    architecture = architecture_of({"model_type": model_type})
    chosen = TRANSFORMERS.resolve_attention(architecture, Attention.AUTO)
    assert model._supports_sdpa == (chosen is Attention.SDPA)
    assert model.config._attn_implementation == chosen
    assert model._supports_flash_attn
    assert TRANSFORMERS.resolve_attention(architecture, Attention.FLASH) is Attention.FLASH


def class_flags(model_type: str) -> tuple[bool, bool] | None:
    """(_supports_sdpa, _supports_flash_attn) of the first of these classes that a type has."""
    from transformers.models.auto import modeling_auto

    for table in ("CAUSAL_LM_", "IMAGE_TEXT_TO_TEXT_", "SEQ_TO_SEQ_CAUSAL_LM_", "SPEECH_SEQ_2_SEQ_", ""):
        names = getattr(modeling_auto, f"MODEL{'_FOR_' * bool(table)}{table or '_'}MAPPING_NAMES").get(model_type)
        name = names if isinstance(names, str) or names is None else names[0]
        found = getattr(transformers, name, None) if name else None
        if found is not None:
            return found._supports_sdpa, found._supports_flash_attn
    return None


def test_attention_support_of_all_families() -> None:
    """hubvram/memory/engines/transformers_attention.py against the flags of the classes."""
    expected = {
        (True, True): USUAL,
        (True, False): (Attention.SDPA, Attention.EAGER),
        (False, True): (Attention.EAGER, Attention.FLASH),
        (False, False): (Attention.EAGER,),
    }
    flags = {model_type: class_flags(model_type) for model_type in FAMILIES}
    known = {model_type: found for model_type, found in flags.items() if found is not None}
    assert len(known) >= 300
    differing = {
        model_type: found for model_type, found in known.items() if SUPPORTED.get(model_type, USUAL) != expected[found]
    }
    assert differing == {}
    # Nothing stands in the table that is no family.
    assert SUPPORTED.keys() <= set(FAMILIES)


@pytest.mark.parametrize("model_type", VARIANTS)
def test_classifiers_are_counted(model_type: str) -> None:
    values = values_of(model_type, {"num_labels": 3, "num_key_value_heads": 4})
    config = config_class_of(values)
    if model_type in transformers.models.auto.modeling_auto.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES:
        with torch.device("meta"):
            model = transformers.AutoModelForSequenceClassification.from_config(config)
        name = type(model).__name__
        assert architecture_of(values | {"architectures": [name]}).parameters == unique_parameters(model)
    with torch.device("meta"):
        base = transformers.AutoModel.from_config(config)
    name = type(base).__name__
    assert architecture_of(values | {"architectures": [name]}).parameters == unique_parameters(base)
