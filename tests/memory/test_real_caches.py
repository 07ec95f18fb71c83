"""Every model type for which a KV cache is shown: a tiny model runs, and the tensors in its cache are counted.

Extra: needs torch and transformers. Models are the default config of their class with small numbers in it, as its
`save_pretrained` writes it and as a file might say it that names only what is not a default.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

import pytest

from hubvram.architecture.families import FAMILIES
from hubvram.architecture.layers import Architecture
from hubvram.errors import ConfigError
from hubvram.memory.kv_cache import knows_cache, kv_cache_bytes, prefill_excess_bytes
from tests.samples import architecture_of

torch: Any = pytest.importorskip("torch", reason="torch, which runs the models, is not installed")
transformers: Any = pytest.importorskip("transformers", reason="transformers, whose models are run, is not installed")


def words(text: str) -> list[str]:
    return text.split()


DECODERS: Final = words("""
    afmoe apertus arcee aria_text axk1 axk2 beam biogpt bitnet bloom codegen cohere cohere2 cohere2_moe ctrl cwm dbrx
    deepseek_v2 deepseek_v3 deepseek_v32 diffllama doge dots1 ernie4_5 ernie4_5_moe exaone4 exaone_moe falcon flex_olmo
    flint gemma gemma2 gemma3_text gemma3n_text gemma4_text gemma4_unified_text git glm glm4 glm4_moe glm4_moe_lite
    glm_moe_dsa gpt2 gpt_bigcode gpt_neo gpt_neox gpt_neox_japanese gpt_oss gptj granite granite_swa granitemoe
    granitemoe_swa granitemoeshared helium hrm_text hunyuan_v1_dense hunyuan_v1_moe hy_v3 hy_v4 hyperclovax internlm3
    iquestcoder jais2 kolibri1 laguna llama llama4_text longcat_flash mellum mimo_v2_flash minicpm3 minimax_m2
    minimax_m3_vl_text ministral ministral3 mistral mixtral modernbert-decoder moshi mpt nanochat nemotron olmo olmo2
    olmo3 olmoe opt persimmon phi phi3 phi4_multimodal phimoe qwen2 qwen2_moe qwen3 qwen3_moe seed_oss smollm3
    solar_open stablelm starcoder2 vaultgemma xglm youtu
""")
WITH_TOWERS: Final = words("""
    aria aya_vision blip-2 cohere2_vision deepseek_vl exaone4_5 fuyu gemma3 gemma4 glm4v glm4v_moe glm_ocr got_ocr2
    idefics2 idefics3 internvl kimi_k25 kosmos-2 llava llava_next llava_onevision minimax_m3_vl mistral3 mistral4 molmo2
    ovis2 paddleocr_vl paligemma qwen2_5_vl qwen2_audio qwen2_vl qwen3_vl qwen3_vl_moe smolvlm video_llama_3 voxtral
    deepseek_vl_hybrid ernie4_5_vl_moe gemma4_unified glm46v glmga hyperclovax_vision_v2 instructblip instructblipvideo
    janus lfm2 lfm2_vl lighton_ocr llama4 llava_next_video moss_transcribe_diarize pp_chart2table qianfan_ocr
    qwen2_5_omni_thinker qwen3_omni_moe_thinker shieldgemma2 step3p7 video_llava vipllava
""")
ENCODERS: Final = words("""
    albert bert camembert deberta deberta-v2 distilbert electra esm eurobert modernbert mpnet nomic_bert roberta
    xlm-roberta
""")

# ------------------------------------------------------------------------------------- tiny models

_SIZES: Final = {
    64: "hidden_size d_model n_embd dim embed_dim word_embed_proj_dim max_position_embeddings n_positions",
    96: "intermediate_size ffn_dim d_ff n_inner d_inner",
    6: "num_hidden_layers n_layer n_layers num_layers",
    4: """
        num_attention_heads n_head n_heads num_heads num_experts num_local_experts n_routed_experts moe_num_experts
        encoder_attention_heads qk_rope_head_dim index_topk
    """,
    2: """
        num_key_value_heads num_kv_heads num_experts_per_tok num_experts_per_token moe_topk moe_top_k top_k_experts
        moe_k index_n_heads n_group depth eos_token_id
    """,
    128: "vocab_size vocab_size_per_layer_input",
    16: "head_dim kv_lora_rank",
    32: "moe_intermediate_size global_head_dim",
    8: """
        sliding_window attention_chunk_size qk_nope_head_dim index_head_dim rotary_dim hidden_size_per_layer_input
        swa_head_dim
    """,
    24: "q_lora_rank",
    12: "v_head_dim",
    48: "shared_expert_intermediate_size",
    28: "image_size",
    14: "patch_size",
    1: "first_k_dense_replace num_global_key_value_heads topk_group bos_token_id",
    0: "pad_token_id",
}
SMALL: Final = {field: size for size, fields in _SIZES.items() for field in words(fields)}

_ROPE: Final = {"rope_type": "default", "rope_theta": 10_000.0}
_IN_THREE: Final = {"rope_parameters": {**_ROPE, "mrope_section": [2, 3, 3], "partial_rotary_factor": 1.0}}
OWN: Final[Mapping[str, Mapping[str, Any]]] = {
    "dbrx": {
        "attn_config": {"kv_n_heads": 2, "rope_theta": 10_000.0, "clip_qkv": 8},
        "ffn_config": {"hidden_size": 64, "ffn_hidden_size": 48, "moe_num_experts": 4, "moe_top_k": 2},
    },
    "deepseek_v2": {"num_experts_per_tok": 2},
    "dots1": {"n_routed_experts": 4, "n_shared_experts": 2, "num_experts_per_tok": 2},
    "esm": {"vocab_size": 128, "pad_token_id": 0, "mask_token_id": 3},
    "gemma3n_text": {"num_hidden_layers": 15, "num_kv_shared_layers": 5, "layer_types": None},
    "gpt_bigcode": {"num_key_value_heads": 1},
    "gpt_neo": {"num_layers": 6, "attention_types": [[["global", "local"], 3]]},
    "hunyuan_v1_dense": {"head_dim": 16},
    "hunyuan_v1_moe": {"head_dim": 16, "num_experts": 4, "moe_topk": 2},
    "longcat_flash": {"head_dim": 4, "ffn_hidden_size": 96, "expert_ffn_hidden_size": 32},
    "ministral": {"head_dim": 16},
    "molmo2": {
        "adapter_config": {
            "vision_feature_layer": [2, 1], "hidden_size": 64, "text_hidden_size": 64, "num_attention_heads": 4,
            "num_key_value_heads": 4, "head_dim": 16, "intermediate_size": 96,
        },
    },
    "nemotron": {"num_key_value_heads": 2},
    **dict.fromkeys(("glm4v_text", "glm4v_moe_text", "glm_ocr_text"), _IN_THREE),
    **dict.fromkeys(("qwen2_vl_text", "qwen2_5_vl_text", "paddleocr_vl_text", "qwen2_5_omni_text"), _IN_THREE),
    "ernie4_5_vl_moe_text": {
        "rope_parameters": {**_ROPE, "mrope_section": [3, 3, 2]}, "moe_num_experts": 4, "moe_k": 2,
        "moe_intermediate_size": [32, 32],
    },
    "deepseek_vl_hybrid": {"high_res_vision_config": {"model_type": "sam_vision_model", "mlp_dim": 96}},
    "step3p5": {"sliding_window": 8, "layer_types": ["full_attention", "sliding_attention"] * 3},
}  # fmt: skip
"""What single classes need beyond small numbers."""

LANGUAGE_MODEL: Final = {
    **dict.fromkeys(("blip-2", "instructblip", "instructblipvideo"), "language_model"),
    "kosmos-2": "text_model",
}
"""Where the text model is inside those that insist on an image."""

BORROWED: Final = ("glmga", "pp_chart2table", "shieldgemma2")
"""Types that run with the class of another one."""


def small(values: Mapping[str, Any]) -> dict[str, Any]:
    """A default config with small numbers, without all that a class computes."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict) and "model_type" in value:
            name = value["model_type"]
            found[key] = {**small(value), **OWN.get(name, {}), **({"model_type": name} if name else {})}
        elif key in SMALL and isinstance(value, int):
            found[key] = SMALL[key]
    if "qk_rope_head_dim" in values:  # what rotates is a head of its own
        found.pop("head_dim", None)
        found["num_key_value_heads"] = 4
    return found


def values_of(model_type: str, changes: Mapping[str, Any]) -> dict[str, Any]:
    """What the config is made from; `changes` are those of the text model."""
    own = OWN.get(model_type, {})
    made = {**small(transformers.CONFIG_MAPPING[model_type](**own).to_dict()), **own}
    made.get("text_config", made).update(changes)
    copied: dict[str, Any] = json.loads(json.dumps(made))
    return copied


def class_of(model_type: str) -> Any:
    """What has a language-model head, else none."""
    from transformers.models.auto import modeling_auto

    for table in ("CAUSAL_LM", "IMAGE_TEXT_TO_TEXT", ""):
        names = getattr(modeling_auto, f"MODEL_FOR_{table}_MAPPING_NAMES" if table else "MODEL_MAPPING_NAMES")
        if model_type in names:
            name = names[model_type]
            return getattr(transformers, name if isinstance(name, str) else name[0])
    raise KeyError(model_type)


def config_of(model_type: str, made: Mapping[str, Any]) -> Any:
    """The config of the class that runs: of the text part where the class is one for text."""
    config = transformers.CONFIG_MAPPING[model_type](**json.loads(json.dumps(made)))
    fits = model_type in BORROWED or isinstance(config, class_of(model_type).config_class)
    return config if fits else config.get_text_config()


def model_of(model_type: str, made: Mapping[str, Any]) -> Any:
    torch.manual_seed(0)
    model = class_of(model_type)._from_config(config_of(model_type, made), dtype=torch.float32).eval()
    name = LANGUAGE_MODEL.get(model_type)
    return getattr(model, name) if name else model


def written(model_type: str, made: Mapping[str, Any]) -> Architecture:
    """By the config.json that transformers writes."""
    config = config_of(model_type, made)
    config.architectures = [class_of(model_type).__name__]
    return architecture_of(json.loads(config.to_json_string(use_diff=True)))


# ------------------------------------------------------------------------------------------- runs

BATCH: Final = 2
TOKENS: Final = 11
IDS: Final = torch.arange(3, 3 + BATCH * TOKENS).reshape(BATCH, TOKENS)


@pytest.fixture(autouse=True, scope="module")
def _on_one_core() -> Iterator[None]:
    """So little work is not worth a second one."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def tensors_in(value: Any) -> Iterator[Any]:
    """K, V, an indexer's keys, states: whatever a layer holds, without its counters."""
    if isinstance(value, torch.Tensor):
        yield from [value] if value.dim() > 1 else []
    elif isinstance(value, dict | list | tuple):
        for item in value.values() if isinstance(value, dict) else value:
            yield from tensors_in(item)


def held_bytes(cache: Any) -> int:
    """Storages are counted, so that a view counts as what it keeps alive."""
    tensors = [tensor for layer in cache.layers for tensor in tensors_in(vars(layer))]
    storages = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in tensors}
    return sum(storages.values())


def runs(model: Any) -> list[int]:
    """Bytes in the default cache after a prompt, and after each of three more tokens."""
    with torch.no_grad():
        cache = model(input_ids=IDS, use_cache=True).past_key_values
        found = [held_bytes(cache)]
        for _ in range(3):
            cache = model(input_ids=IDS[:, :1], past_key_values=cache, use_cache=True).past_key_values
            found.append(held_bytes(cache))
    return found


def said(architecture: Architecture) -> list[int]:
    assert knows_cache(architecture)
    sizes = {"batch_size": BATCH, "element_bytes": 4}
    before = kv_cache_bytes(architecture, tokens=TOKENS, **sizes)
    before += prefill_excess_bytes(architecture, tokens=TOKENS, **sizes)
    return [before, *(kv_cache_bytes(architecture, tokens=TOKENS + more, **sizes) for more in (1, 2, 3))]


@pytest.mark.parametrize("model_type", [*DECODERS, *WITH_TOWERS])
def test_the_cache_of_a_type(model_type: str) -> None:
    made = values_of(model_type, {})
    found = runs(model_of(model_type, made))
    assert found[-1] > 0
    assert said(written(model_type, made)) == found
    assert said(architecture_of({"model_type": model_type, **made})) == found


SLIDES, FULL = "sliding_attention", "full_attention"
WINDOW: Final = {"sliding_window": 8}
VARIANTS: Final[tuple[tuple[str, Mapping[str, Any]], ...]] = (
    # A cache has the window that the config names, whatever the class makes of it.
    ("llama", WINDOW),
    ("llama", {"attention_chunk_size": 8}),
    ("gpt2", WINDOW),
    ("deepseek_v3", WINDOW),
    ("deepseek_v3", {**WINDOW, "layer_types": [SLIDES, FULL] * 3}),
    ("longcat_flash", WINDOW),
    ("llava", WINDOW),
    # But not where the class has its own idea of layers.
    ("laguna", WINDOW),
    ("minimax_m3_vl_text", WINDOW),
    ("qwen2", {**WINDOW, "use_sliding_window": False}),
    ("qwen2", {**WINDOW, "use_sliding_window": True, "max_window_layers": 2}),
    ("qwen2_moe", {**WINDOW, "use_sliding_window": True, "max_window_layers": 3}),
    ("qwen3_moe", {**WINDOW, "use_sliding_window": True}),
    ("qwen3_moe", {**WINDOW, "use_sliding_window": False}),
    ("mistral", {"sliding_window": None}),
    ("mistral", {"sliding_window": 1}),
    ("mixtral", WINDOW),
    ("laguna", {**WINDOW, "layer_types": [SLIDES, FULL] * 3}),
    ("gemma3_text", {"sliding_window_pattern": 3}),
    ("gemma4_text", {"sliding_window_pattern": 3}),
    ("gemma4_text", {"num_kv_shared_layers": 2, "layer_types": [SLIDES, FULL] * 3}),
    ("gemma4_text", {"attention_k_eq_v": True}),
    ("modernbert-decoder", {"local_attention": 16}),
    ("modernbert-decoder", {"num_key_value_heads": 1}),
    ("smollm3", {**WINDOW, "use_sliding_window": True, "no_rope_layer_interval": 2}),
    ("llama4_text", {"no_rope_layers": [1, 0] * 3}),
    # What is cached is not always what the matrices make.
    ("falcon", {"new_decoder_architecture": True, "num_kv_heads": 2}),
    ("falcon", {"multi_query": False, "num_kv_heads": 4}),
    ("falcon", {"multi_query": True, "num_kv_heads": 4}),
    ("gpt_bigcode", {"multi_query": False, "num_key_value_heads": 1}),
    ("gpt_bigcode", {"multi_query": True, "num_key_value_heads": 4}),
    ("hrm_text", {"H_cycles": 3, "L_cycles": 2}),
    ("glm_moe_dsa", {"indexer_types": ["full", "shared"] * 3}),
    ("hy_v4", {"indexer_types": ["full", "shared"] * 3}),
    ("doge", {"is_moe": True, "num_experts": 16}),
    # Classes without grouped heads.
    ("gpt2", {"num_key_value_heads": 1, "head_dim": 32}),
    ("opt", {"num_key_value_heads": 1, "head_dim": 32}),
    ("dbrx", {"num_key_value_heads": 1}),
    ("persimmon", {"num_key_value_heads": 1}),
    # Encoders turned into decoders.
    ("bert", {"is_decoder": True}),
    ("roberta", {"is_decoder": True, **WINDOW}),
    ("xmod", {"is_decoder": True, "languages": ["en_XX"], "default_language": "en_XX"}),
)


@pytest.mark.parametrize(("model_type", "changes"), VARIANTS, ids=[f"{it[0]}-{i}" for i, it in enumerate(VARIANTS)])
def test_the_cache_of_a_variant(model_type: str, changes: Mapping[str, Any]) -> None:
    made = values_of(model_type, changes)
    found = runs(model_of(model_type, made))
    assert said(written(model_type, made)) == found
    assert said(architecture_of({"model_type": model_type, **made})) == found


@pytest.mark.parametrize("model_type", ENCODERS)
def test_encoders_have_none(model_type: str) -> None:
    made = values_of(model_type, {})
    with torch.no_grad():
        output = model_of(model_type, made)(input_ids=IDS)
    assert getattr(output, "past_key_values", None) is None
    assert said(written(model_type, made)) == [0] * 4


def test_every_decoder_whose_cache_is_shown_is_run() -> None:
    """A new family whose parts all have a known cache is not believed before it was run."""
    auto = transformers.models.auto.modeling_auto
    decoders = {*auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES, *auto.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES}
    shown = set()
    for model_type in decoders & FAMILIES.keys():
        # One size for all is not enough to make every config; those that it makes not are left to the walk's.
        architecture = _derived(model_type)
        if architecture is not None and knows_cache(architecture) and said(architecture)[-1]:
            shown.add(model_type)
    assert shown <= {*DECODERS, *WITH_TOWERS}


def _derived(model_type: str) -> Architecture | None:
    try:
        made = values_of(model_type, {})
        config_of(model_type, made)
    except Exception:  # whatever a config class of somebody else's raises
        return None
    try:
        return written(model_type, made)
    except ConfigError:
        return None
