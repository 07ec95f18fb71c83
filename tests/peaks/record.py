"""The committed record, fixtures/measurements/transformers-5.23-small-models/MODEL_TYPE.json, and what is said of it.

Each model type is its default config with small numbers, in VARIANTS that make one phase or another the widest. Fewer
runs in fp32, and in fp16 of those types that compute otherwise in it, are in folders of their own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from hubvram.architecture.layers import Architecture
from hubvram.dtypes import COMPUTE_BYTES
from hubvram.memory.engines.transformers_code import code_of, play
from hubvram.memory.engines.transformers_encoders import ENCODERS
from hubvram.memory.engines.transformers_speech import KNOWN as SPEECH
from hubvram.memory.forward.modeling_code import ModelingCode
from hubvram.memory.forward.run import Sizes
from hubvram.memory.forward.tape import Peak
from hubvram.memory.workload import Attention
from tests.peaks.files import read_all, write_one
from tests.samples import architecture_of

_FOLDER: Final = Path(__file__).parents[2] / "fixtures" / "measurements" / "transformers-5.23-small-models"
FOLDERS: Final[Mapping[str, Path]] = {
    "bf16": _FOLDER,
    **{dtype: _FOLDER.with_name(f"{_FOLDER.name}-{dtype}") for dtype in ("fp16", "fp32")},
}
"""The type that is computed in -> where its runs are."""

_INNER: Final = (
    "intermediate_size",
    "ffn_dim",
    "d_ff",
    "n_inner",
    "d_inner",
    "ffn_hidden_size",
    "dff",
    "hidden_dim",
    "feed_forward_size",
)


def _variant(inner: int, of_expert: int, window: int, head: int) -> dict[str, int]:
    found = dict.fromkeys(_INNER, inner)
    return {**found, "moe_intermediate_size": of_expert, "sliding_window": window, "head_dim": head}


VARIANTS: Final[Mapping[str, Mapping[str, int]]] = {
    "wide": _variant(256, 128, 8, 16),
    "narrow": _variant(16, 8, 4096, 16),
    "heads": _variant(16, 8, 4096, 64),
}
"""A wide MLP, and windows that cut in; a narrow one; a narrow one beside wide heads. Only fields that a type has."""


def _encoder(ending: str, inner: int, window: int, words: int = 128) -> dict[str, Any]:
    return {
        **dict.fromkeys(_INNER, inner),
        "local_attention": window,
        "vocab_size": words,
        "architectures": [ending],
    }


def _image(ending: str, inner: int, side: int) -> dict[str, Any]:
    ratio = max(inner // 64, 1)
    own = {"mlp_ratio": ratio, "image_size": side, "patch_size": 8, "architectures": [ending]}
    return {**dict.fromkeys(_INNER, inner), **own}


ENCODER_VARIANTS: Final[Mapping[str, Mapping[str, Any]]] = {
    "masked-wide": _encoder("ForMaskedLM", 256, 8),
    "masked-narrow": _encoder("ForMaskedLM", 16, 4096),
    "masked-words": _encoder("ForMaskedLM", 16, 4096, 1024),
    "base-wide": _encoder("Model", 96, 8),
    "base-narrow": _encoder("Model", 16, 4096),
    "labels": _encoder("ForSequenceClassification", 16, 8),
}
"""Of an encoder: a wide MLP, a narrow one, more words than all else; and below other tops, of which only the end of
the class's name is written down."""
IMAGE_VARIANTS: Final[Mapping[str, Mapping[str, Any]]] = {
    "image-wide": _image("Model", 256, 96),
    "image-narrow": _image("Model", 16, 64),
    "image-labels": _image("ForImageClassification", 16, 64),
}


def _pair(of_text: int, of_image: int, side: int) -> dict[str, Any]:
    vision = {"intermediate_size": of_image, "image_size": side, "patch_size": 8}
    return {"text_config": {"intermediate_size": of_text}, "vision_config": vision, "architectures": ["Model"]}


PAIR_VARIANTS: Final[Mapping[str, Mapping[str, Any]]] = {
    "pair-wide": _pair(256, 256, 96),
    "pair-narrow": _pair(16, 16, 32),
    "pair-texts": _pair(512, 16, 32),
}
"""Of a text and an image encoder side by side."""


def _sound(ending: str, inner: int, **others: Any) -> dict[str, Any]:
    own = {"conv_dim": [8, 16], "conv_kernel": [4, 3], "conv_stride": [2, 2], "num_feat_extract_layers": 2}
    positions = {"num_conv_pos_embeddings": 4, "num_conv_pos_embedding_groups": 4}
    return {"intermediate_size": inner, **own, **positions, **others, "architectures": [ending]}


_PUBLISHED: Final = {
    "conv_dim": [16] * 7, "conv_kernel": [10, 3, 3, 3, 3, 2, 2], "conv_stride": [5, 2, 2, 2, 2, 2, 2],
    "num_feat_extract_layers": 7,
}  # fmt: skip
_LARGE: Final = {"feat_extract_norm": "layer", "do_stable_layer_norm": True, "conv_bias": True}
SOUND_VARIANTS: Final[Mapping[str, Mapping[str, Any]]] = {
    "sound-frames": _sound("ForCTC", 96, **_PUBLISHED),
    "sound-wide": _sound("Model", 256),
    "sound-narrow": _sound("ForCTC", 16),
    "sound-positions": _sound("Model", 16, num_conv_pos_embeddings=65),
    "sound-labels": _sound("ForSequenceClassification", 16),
    "sound-weighed": _sound("ForSequenceClassification", 16, use_weighted_layer_sum=True),
    "sound-codes": _sound(
        "ForPreTraining", 16, num_codevectors_per_group=60, codevector_dim=24, proj_codevector_dim=40
    ),
    "large-frames": _sound("ForCTC", 96, **_PUBLISHED, **_LARGE),
    "large-wide": _sound("Model", 256, **_LARGE),
    "large-labels": _sound("ForSequenceClassification", 16, **_LARGE),
    "large-narrow": _sound("ForCTC", 16, **_LARGE),
    "large-language": _sound("ForCTC", 16, **_LARGE, adapter_attn_dim=16),
}
"""Convolutions as in published models, or few; a wide MLP, a narrow one, many positions; and all that with a norm for
each convolution, and norms before each layer's parts, as large ones have them."""
SHAPES: Final = ((2, 40), (1, 67), (3, 160))
"""Batch and prompt; positions suffice for the longest and the tokens decoded."""
_FEW: Final = frozenset(
    {"wide", "narrow", "masked-wide", "masked-words", "base-narrow", "image-wide", "image-narrow"}
    | {"pair-wide", "pair-narrow", "sound-wide", "sound-narrow", "large-narrow"}
)
POSITIONS: Final = 256

_SWIN: Final = {"embed_dim": 32, "image_size": 96, "patch_size": 8}
"""Patches for a window at the least, in each stage."""
_CHUNKS: Final = {"lsh_attn_chunk_length": 16, "local_attn_chunk_length": 16}
CHANGES: Final[Mapping[str, Mapping[str, Any]]] = {
    "gemma3n": {
        "intermediate_size": 96, "hidden_size_per_layer_input": 16, "laurel_rank": 8, "num_hidden_layers": 15,
        "num_kv_shared_layers": 5, "layer_types": None,
    },
    "gemma3n_text": {"intermediate_size": 96, "hidden_size_per_layer_input": 16},
    "gemma4+plain": {"global_head_dim": 16, "hidden_size_per_layer_input": 0},
    "gemma4_text+inputs": {"global_head_dim": 16, "hidden_size_per_layer_input": 64},
    "gemma4_text+shared": {
        "global_head_dim": 16, "num_kv_shared_layers": 2, "use_double_wide_mlp": True,
        "layer_types": ["sliding_attention", "full_attention"] * 3,
    },
    "gemma4_text+experts": {
        "global_head_dim": 32, "hidden_size_per_layer_input": 0, "attention_k_eq_v": True, "enable_moe_block": True,
        "num_experts": 4, "top_k_experts": 2, "moe_intermediate_size": 32, "num_global_key_value_heads": 1,
    },
    "kosmos-2": {"layers": 6, "attention_heads": 4},
    "instructblip+llama": {"model_type": "llama", "intermediate_size": 96, "num_key_value_heads": 4},
    # As it was released: windows first; but few tokens to an entry.
    "deepseek_v4": {
        "head_dim": 16, "o_groups": 2, "o_lora_rank": 24, "compress_ratios": [0, 0, 4, 128, 4, 128, 4, 0],
        "compress_rates": {"compressed_sparse_attention": 4, "heavily_compressed_attention": 16}, "num_hash_layers": 1,
    },
    "deepseek_v4+heads": {
        "compress_ratios": [4, 128, 128, 128, 0, 0], "o_lora_rank": 16, "index_topk": 2048, "index_head_dim": 32,
        "index_n_heads": 8,
    },
    "deepseek_v4+index": {
        "head_dim": 16, "o_groups": 2, "o_lora_rank": 24, "compress_ratios": [0, 4, 128, 4, 0, 4],
        "compress_rates": {"compressed_sparse_attention": 4, "heavily_compressed_attention": 16},
        "index_head_dim": 64, "index_n_heads": 32,
    },
    "minimax_m3_vl_text": {"dense_intermediate_size": 96, "shared_intermediate_size": 48},
    "minimax_m3_vl": {"dense_intermediate_size": 96, "shared_intermediate_size": 48},
    # As it was released: dense MLPs and full attention first. Of its blocks, some are not full.
    "minimax_m3_vl_text+sparse": {
        "dense_intermediate_size": 96, "shared_intermediate_size": 48, "index_block_size": 16, "index_topk_blocks": 2,
        "layer_types": ["full_attention"] * 2 + ["minimax_m3_sparse"] * 4,
        "mlp_layer_types": ["dense"] * 2 + ["sparse"] * 4,
    },
    # No layer without a window, which has a mask all the same.
    "qwen2+windows": {"use_sliding_window": True, "sliding_window": 8, "max_window_layers": 0},
    "zaya+windows": {
        "layer_types": ["hybrid_sliding", "hybrid"] * 3, "sliding_window": 8, "router_hidden_size": 16,
    },
    # Windows, and distances that have biases, shorter than prompts; many blocks; wide K and V.
    "inkling2_text+windows": {
        "swa_num_attention_heads": 4, "swa_num_key_value_heads": 2, "swa_head_dim": 16, "sliding_window_size": 8,
        "rel_extent": 16,
    },
    "inkling2_text+blocks": {
        "swa_num_attention_heads": 2, "swa_num_key_value_heads": 2, "sliding_window_size": 8, "rel_extent": 8,
        "n_layers_per_attn_res_block": 1, "num_attention_heads": 2,
    },
    "inkling2_text+convolutions": {
        "swa_num_attention_heads": 4, "swa_num_key_value_heads": 4, "swa_head_dim": 16, "sliding_window_size": 8,
        "rel_extent": 8, "num_key_value_heads": 4, "head_dim": 64,
    },
    # Windows as above; as released, dense MLPs first, and biases that grow with positions. No groups. One head of K.
    "inkling_text+windows": {
        "swa_num_attention_heads": 4, "swa_num_key_value_heads": 2, "swa_head_dim": 16, "sliding_window_size": 8,
        "rel_extent": 16, "log_scaling_n_floor": 32, "mlp_layer_types": ["dense"] * 2 + ["sparse"] * 4,
    },
    "inkling_text+experts": {
        "swa_num_attention_heads": 4, "swa_num_key_value_heads": 4, "sliding_window_size": 8, "rel_extent": 8,
        "num_attention_heads": 4, "n_shared_experts": 3,
    },
    "inkling_text+convolutions": {
        "swa_num_attention_heads": 4, "swa_num_key_value_heads": 1, "swa_head_dim": 64, "sliding_window_size": 8,
        "rel_extent": 8, "num_attention_heads": 8, "num_key_value_heads": 1, "conv_kernel_size": 3, "d_rel": 4,
        "mlp_layer_types": ["sparse"] * 3 + ["dense"] * 3,
    },
    # Names of its own; as released, more than a few heads.
    "cpmant": {"dim_head": 8, "num_attention_heads": 8, "dim_ff": 96},
    "cpmant+wide": {"dim_head": 8, "num_attention_heads": 8, "dim_ff": 512},
    "cpmant+heads": {"dim_head": 4, "num_attention_heads": 16, "dim_ff": 16, "num_hidden_layers": 2},
    "big_bird+sparse": {"block_size": 3, "num_random_blocks": 2},
    # As released, a wide MLP and many words, of which it makes the logits of all tokens.
    "trocr+wide": {"decoder_ffn_dim": 512, "decoder_attention_heads": 2, "scale_embedding": True},
    "trocr+words": {"vocab_size": 2048, "decoder_attention_heads": 1, "layernorm_embedding": False},
    # As released: one hash, or several; factors of buckets; an axis that is longer than prompts.
    "reformer": {"num_buckets": [4, 8], **_CHUNKS},
    "reformer+hashes": {
        "num_buckets": 32, "num_hashes": 4, "attn_layers": ["local", "lsh", "local"], "num_hidden_layers": 3, **_CHUNKS,
    },
    "reformer+unset": {
        "attn_layers": ["lsh"] * 2, "num_hidden_layers": 2, "num_attention_heads": 2, "axial_pos_embds": False,
    },
    "reformer+lengths": {
        "num_buckets": 256, "num_attention_heads": 1, "attention_head_size": 64, "lsh_attn_chunk_length": 8,
        "local_attn_chunk_length": 32, "local_num_chunks_before": 0, "lsh_num_chunks_before": 2,
        "axial_pos_shape": [2, 128],
    },
    "xlm": {"emb_dim": 64},
    "xlm+causal": {"emb_dim": 64, "causal": True, "n_heads": 1},
    # As released, it keeps all tokens; and a head so wide that its MLP is wider.
    "xlnet+all": {"mem_len": None, "n_head": 1, "d_head": 64},
    "xlnet+few": {"mem_len": 30},
    "moshi+whole": {"architectures": ["MoshiForConditionalGeneration"]},
    "doge+window": {"keep_window_size": 30},
    "doge+experts": {"is_moe": True, "num_experts": 64, "num_experts_per_tok": 4},
    "longcat_flash": {"zero_expert_num": 2},
    "longcat_flash+experts": {"zero_expert_num": 20, "expert_ffn_hidden_size": 192},
    "step3p7": {"share_expert_dim": 48},
    "step3p7+released": {
        "share_expert_dim": 48, "num_sliding_attention_heads": 6, "moe_layers_enum": "1,2,3,4,5",
        "swiglu_limits": [7.0] * 6, "swiglu_limits_shared": [16.0] * 6, "rope_theta": [5e6, 1e4] * 3,
        "partial_rotary_factors": [0.5, 1.0] * 3,
    },
    "dots3_note_text": {
        "shared_experts_intermediate_size": 48, "swa_num_attention_heads": 2, "swa_num_key_value_heads": 2,
        "swa_q_lora_rank": 24, "swa_kv_lora_rank": 32, "swa_head_dim": 16, "swa_qk_nope_head_dim": 8,
        "swa_v_head_dim": 16,
    },
    # Their widths are not in default configs.
    "gptj": {"n_inner": 96},
    "codegen": {"n_inner": 96},
    "gpt_bigcode": {"n_inner": 96},
    "gpt_neo": {"intermediate_size": 96},
    "falcon": {"ffn_hidden_size": 96},
    "falcon+new": {"ffn_hidden_size": 96, "new_decoder_architecture": True, "num_kv_heads": 2},
    "falcon+new-1-norm": {
        "ffn_hidden_size": 96, "new_decoder_architecture": True, "num_kv_heads": 2, "num_ln_in_parallel_attn": 1,
    },
    "falcon+alibi": {
        "ffn_hidden_size": 96, "alibi": True, "multi_query": False, "num_kv_heads": 4, "parallel_attn": False,
        "bias": True,
    },
    "gpt_bigcode+heads": {"n_inner": 96, "multi_query": False, "num_key_value_heads": 4},
    "ctrl": {"dff": 96},
    "xlstm+words": {"vocab_size": 2048},
    "zamba": {"num_key_value_heads": 4},
    # As released: one head of K and V. Windows that cut in, and none.
    "recurrent_gemma": {"num_key_value_heads": 1, "attention_window_size": 2048},
    "recurrent_gemma+window": {"num_key_value_heads": 1, "attention_window_size": 8},
    "codegen+heads": {"n_inner": 96, "n_head": 8, "rotary_dim": 4},
    **{
        f"{name}+{which}": {"use_relative_position_bias": own, "use_shared_relative_position_bias": shared}
        for name in ("beit", "data2vec-vision")
        for which, own, shared in (("each", True, False), ("shared", False, True), ("both", True, True))
    },
    "swin": {**_SWIN, "depths": [2, 2], "num_heads": [2, 4], "window_size": 3},
    "swin+windows": {**_SWIN, "depths": [2, 2], "num_heads": [8, 16], "window_size": 4},
    "swin+deep": {**_SWIN, "depths": [1, 2, 3], "num_heads": [1, 2, 4], "window_size": 2},
    "donut-swin": {**_SWIN, "depths": [2, 2], "num_heads": [2, 4], "window_size": 3},
    "donut-swin+windows": {**_SWIN, "depths": [2, 2], "num_heads": [8, 16], "window_size": 4},
    "donut-swin+deep": {**_SWIN, "depths": [1, 3, 2], "num_heads": [1, 2, 4], "window_size": 2},
    "xmod": {"languages": ["de_DE", "en_XX", "fr_XX"], "default_language": "en_XX"},
    "xmod+pre-norm": {
        "languages": ["de_DE", "en_XX"], "default_language": "en_XX", "pre_norm": True, "ln_before_adapter": False,
    },
    "xmod+norm": {"default_language": "en_XX", "adapter_layer_norm": True, "adapter_reduction_factor": 4},
    "xmod+no-norm": {"default_language": "en_XX", "adapter_reuse_layer_norm": False},
    # As wide beside the hidden size as in what is released.
    "roc_bert": {"pronunciation_embed_dim": 64, "shape_embed_dim": 44},
    "dinov3_vit+gated": {"use_gated_mlp": True, "hidden_act": "silu", "num_register_tokens": 4},
}  # fmt: skip
"""Record -> what is not as its type's defaults are, in the config of its text model. TYPE+NAME is a second one."""
PLACES: Final[Mapping[str, Mapping[str, Any]]] = {
    name: {"image_token_id": 127} for name in ("gemma3", "shieldgemma2", "paligemma")
}
"""The token where an image stands, within the vocabulary as in all released models: beyond it, ids are copied."""
ROUTERS: Final[Mapping[str, str]] = {
    "dbrx": "ffn.router.layer.weight",
    "longcat_flash": "mlp.router.classifier.weight",
    "step3p7": "mlp.gate.weight",
    "switch_transformers": "router.classifier.weight",
}
"""Types that run experts in a loop of their own, where most is alive if all tokens choose the same ones: the weight
that is set to zero for this, which makes all experts equal."""
DECODED: Final = 2
"""Tokens behind the prompt when the decode step is measured that was: the first one drops what windows left over."""


ENCODER_CODE: Final = {name: code for name, (code, _) in (*ENCODERS.items(), *SPEECH.items())}
"""Model type of an encoder -> how it computes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One run, without padding, logits of the last token. Peaks are bytes beside weights and cache.

    Of an encoder, one forward over all tokens is its prefill, and its decode is 0.
    """

    variant: str
    attention: str
    batch_size: int
    tokens: int
    prefill_peak_bytes: int
    decode_peak_bytes: int
    allocator_prefill_bytes: int
    """The prefill's by torch's profiler: with what kernels of the CPU allocate and free within themselves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A config with small numbers, and its runs."""

    config: Mapping[str, Any]
    rows: tuple[Row, ...]
    dtype: str = "bf16"


def shapes_in(dtype: str) -> tuple[tuple[int, int], ...]:
    """All of them in bf16; else the first few."""
    return SHAPES if dtype == "bf16" else SHAPES[:2]


def variants_in(dtype: str, variants: Mapping[str, Any]) -> tuple[str, ...]:
    """Likewise."""
    return tuple(name for name in variants if dtype == "bf16" or name in _FEW)


def varied(config: Mapping[str, Any], variant: str) -> dict[str, Any]:
    """The config with the numbers of a variant in place of its own."""
    if variant not in VARIANTS:
        if variant in SOUND_VARIANTS:
            return {**config, **SOUND_VARIANTS[variant]}
        return _with({**ENCODER_VARIANTS, **IMAGE_VARIANTS, **PAIR_VARIANTS}[variant], config)
    return with_text_fields(config, VARIANTS[variant])


def _with(own: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    """The config with those of a variant's own values whose fields it has."""
    found = {key: own[key] for key in own if key in config or key == "architectures"}
    return {
        **config,
        **{key: _with(value, config[key]) if isinstance(value, Mapping) else value for key, value in found.items()},
    }


def with_text_fields(config: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """The config with those of the values whose fields it has: in its text model's own, where that is apart."""
    if "text_config" in config:
        return {**config, "text_config": with_text_fields(config["text_config"], values)}
    if "ffn_config" in config:  # dbrx
        return {**config, "ffn_config": with_text_fields(config["ffn_config"], values)}
    rotates_apart = "qk_rope_head_dim" in config  # whose size such a `head_dim` is (longcat_flash)
    fields = (key for key in values if key in config and not (rotates_apart and key == "head_dim"))
    own = {key: values[key] for key in fields}
    many = {key: [value] * len(config[key]) for key, value in own.items() if isinstance(config[key], list)}
    return {**config, **own, **many}


def type_of(name: str) -> str:
    """The model type of a record."""
    return name.partition("+")[0]


def recorded(dtype: str = "bf16") -> dict[str, Record]:
    """Model type, or TYPE+NAME -> its record in a type."""
    return {
        model_type: Record(config=config, rows=tuple(Row(**row) for row in rows), dtype=dtype)
        for model_type, config, rows in read_all(FOLDERS[dtype])
    }


def write(model_type: str, record: Record, versions: Mapping[str, str]) -> None:
    """One line for each run."""
    about = {
        **versions,
        "measured": "storages alive at the peak of one forward of the class on the CPU (tests/peaks), "
        "beside weights and cache",
        "dtype": record.dtype,
    }
    write_one(FOLDERS[record.dtype] / f"{model_type}.json", about, record.config, [asdict(row) for row in record.rows])


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What the programs say of one run."""

    phase: str
    prefill_peak_bytes: int
    decode_phase: str
    decode_peak_bytes: int


def said(model_type: str, config: Mapping[str, Any], row: Row, dtype: str = "bf16") -> Said:
    """The peak of prefill, with the buffers that all sequences share; and that of a decode step."""
    architecture = architecture_of({**varied(config, row.variant), "model_type": model_type})
    run = Sizes(
        batch_size=row.batch_size,
        tokens=row.tokens,
        element_bytes=COMPUTE_BYTES[dtype],
        attention=Attention(row.attention),
        in_fp16=dtype == "fp16",
    )
    code = on_the_cpu(code_of(architecture), run.element_bytes)
    if model_type in ENCODER_CODE:
        forward = _largest(architecture, run, code)
        return Said(
            phase=forward.phase,
            prefill_peak_bytes=forward.total_bytes,
            decode_phase="",
            decode_peak_bytes=0,
        )
    step = replace(run, tokens=1, past_tokens=row.tokens + DECODED - 1, decodes=True, prompt_tokens=row.tokens)
    prefill, decode = _largest(architecture, run, code), _largest(architecture, step, code)
    return Said(
        phase=prefill.phase,
        prefill_peak_bytes=prefill.total_bytes,
        decode_phase=decode.phase,
        decode_peak_bytes=decode.total_bytes,
    )


def on_the_cpu(code: ModelingCode, element_bytes: int) -> ModelingCode:
    """There a LayerNorm keeps mean and root of a row in the model's own type, on a GPU in fp32."""
    return code if code.norm_bytes else code._replace(norm_row_bytes=2 * element_bytes)


def _largest(architecture: Architecture, sizes: Sizes, code: ModelingCode) -> Peak:
    """A forward makes no 32-bit copy of the logits, as `generate()` does."""
    peaks = play(architecture, sizes, copies_logits=False, code=code)
    return max(peaks, key=lambda peak: peak.total_bytes)


def compared(records: Mapping[str, Record]) -> Iterator[tuple[str, Row, Said]]:
    """Each run beside what is said of it."""
    for name, record in records.items():
        for row in record.rows:
            yield name, row, said(type_of(name), record.config, row, record.dtype)
