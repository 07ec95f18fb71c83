"""What the classes of transformers 5.23 do in their own way, model type by model type: those whose peaks are known.

A type stands here once the peaks of its class were measured and met (fixtures/measurements, tests/peaks).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from importlib import import_module
from typing import Final, NamedTuple

from hubvram.architecture.attention import BidirectionalAttention, LatentAttention
from hubvram.architecture.layers import Architecture, Layer
from hubvram.architecture.mlp import DenseMLP
from hubvram.memory.forward.decoder import is_playable, play_decoder
from hubvram.memory.forward.later import later
from hubvram.memory.forward.modeling_code import FP32_ROUTER, LAYER_NORM, LLAMA, ModelingCode, Whole, with_traits
from hubvram.memory.forward.rotation import (
    all_in_fp32,
    halves_in_fp32,
    halves_repeated,
    halves_then_rest,
    halves_through_fp32,
    pairs_in_fp32,
    repeated_in_fp32,
)
from hubvram.memory.forward.run import FP32, Run, Sizes
from hubvram.memory.forward.tape import Peak

_classic, _gemma4, _indexed = (partial(later, module) for module in ("classic", "gemma4", "indexed"))

_GEMMA: Final = with_traits(LLAMA, norm_row_bytes=4, norm_fp32_row_bytes=0)
"""Its norm keeps no root apart, and all of it in a function of its own (modeling_gemma.py, GemmaRMSNorm)."""
_OLMO: Final = ModelingCode(rotary_in_fp32=True, rotation=halves_in_fp32)
_COHERE: Final = with_traits(LLAMA, norm_bytes=12, norm_fp32_row_bytes=8, rotation=all_in_fp32, logit_copies=2)
"""Its norm takes the mean off in fp32 (modeling_cohere.py, CohereLayerNorm)."""

_GRANITE: Final = with_traits(LLAMA, scales_embeddings=True, logit_copies=2)
_ERNIE: Final = ModelingCode(rotary_in_fp32=True, rotation=repeated_in_fp32)

_GEMMA4: Final = with_traits(
    FP32_ROUTER,
    norm_fp32_row_bytes=0,
    attention=_gemma4("play_gemma4_attention"),
    rotary_by_heads=True,
)
_MAMBA: Final = with_traits(
    LLAMA, residual_in_fp32=True, hidden_beside_head=1, logits_in_fp32=True, counts_positions=False
)

_LIKE_LLAMA: Final = (
    *("llama", "mistral", "exaone4", "seed_oss", "ministral3", "internlm3"),
    *("cwm", "arcee", "qwen3_moe", "phimoe", "olmoe", "mellum"),
)

_LIKE_QWEN2_VL: Final = (
    *("qwen2_vl_text", "qwen2_5_vl_text", "qwen3_vl_text", "qwen3_vl_moe_text", "qwen2_5_omni_text"),
    *("glm4v_text", "glm_ocr_text", "paddleocr_vl_text", "qwen3_omni_moe_text"),
)

_HOLD_NOTHING: Final = (
    *("llava", "llava_next", "llava_next_video", "llava_onevision", "video_llava", "vipllava", "janus"),
    *("mistral3", "internvl", "idefics2", "idefics3", "smolvlm", "aya_vision", "cohere2_vision"),
    *("voxtral", "llama4", "aria", "audioflamingo3"),
    *("deepseek_vl", "glmasr", "got_ocr2", "lighton_ocr"),
    *("musicflamingo", "ovis2", "pp_chart2table", "qianfan_ocr", "qwen3_asr"),
    *("molmo2", "emu3", "gemma3", "shieldgemma2", "paligemma"),
    *("minicpmv4_6", "minicpmv4_7", "minicpm_ocr", "mllama", "deepseek_vl_hybrid", "fuyu", "kosmos-2"),
    *("lfm2_vl", "lfm3_vl", "nemotron_h_omni", "minimax_m3_vl"),
    *("step3p7", "inkling2", "inkling_mm_model", "voxtral_realtime", "fast_vlm", "perception_lm"),
)

CODE: Final[Mapping[str, ModelingCode]] = {
    **dict.fromkeys(_LIKE_LLAMA, LLAMA),
    **dict.fromkeys(("gemma", "gemma2", "vaultgemma"), _GEMMA),
    **dict.fromkeys(("glm", "glm4"), with_traits(LLAMA, rotation=halves_then_rest)),
    **dict.fromkeys(("cohere", "cohere2"), _COHERE),
    **dict.fromkeys(("olmo2", "olmo3", "flex_olmo"), _OLMO),
    **dict.fromkeys(("starcoder2", "gpt_neox", "nemotron", "jais2"), LAYER_NORM),
    **dict.fromkeys(("granitemoe", "granitemoeshared"), with_traits(_GRANITE, router_logits_in_fp32=True)),
    **dict.fromkeys(("mixtral", "minimax_m2"), with_traits(LLAMA, routing_in_fp32=True)),
    **dict.fromkeys(("dots1", "solar_open", "exaone_moe"), FP32_ROUTER),
    "gemma3_text": with_traits(_GEMMA, norms_projections=True),
    "olmo": with_traits(_OLMO, norm_row_bytes=0, norm_fp32_bytes=4, norm_fp32_row_bytes=0),
    **dict.fromkeys(("phi3", "phi4_multimodal"), with_traits(LLAMA, joins_rotated=True)),
    "gpt2": with_traits(LAYER_NORM, softmax_in_fp32=False, hidden_beside_mlp=1, keeps_normed=True),
    "helium": with_traits(LLAMA, norm_bytes=10, norm_row_bytes=4, rotation=halves_repeated),
    "hunyuan_v1_dense": with_traits(LLAMA, norms_projections=True),
    "hunyuan_v1_moe": with_traits(LLAMA, norms_projections=True, shared_expert_first=True, routing_in_fp32=True),
    "iquestcoder": LLAMA,
    "hyperclovax": _GRANITE,
    "youtu": LLAMA,
    "minicpm3": with_traits(LLAMA, hidden_beside_head=1),
    "opt": with_traits(LAYER_NORM, positions_per_sequence=True, hidden_beside_mlp=-1),
    "stablelm": with_traits(LAYER_NORM, keeps_unrotated=True, hidden_beside_mlp=2),
    "phi": with_traits(LAYER_NORM, keeps_unrotated=True),
    **dict.fromkeys(("deepseek_v3", "glm4_moe_lite"), FP32_ROUTER),
    "deepseek_v2": with_traits(FP32_ROUTER, rotary_in_fp32=True, halves_of_tables=True),
    "qwen2_moe": with_traits(LLAMA, shared_expert_first=True, makes_window_mask=True),
    "hy_v3": with_traits(FP32_ROUTER, norms_projections=True),
    "glm4_moe": with_traits(FP32_ROUTER, rotation=halves_then_rest),
    "gpt_oss": with_traits(
        LLAMA, softmax_in_fp32=False, score_copies=3, sink_columns=1, gate_copies=5, halves_of_tables=True
    ),
    # Decoders from before llama.
    "falcon": LAYER_NORM,
    "gptj": with_traits(
        LAYER_NORM,
        positions=_classic("position_ids"),
        attention=_classic("play_gptj"),
        keeps_probabilities=True,
    ),
    "codegen": with_traits(
        LAYER_NORM,
        positions=_classic("position_ids"),
        attention=_classic("play_codegen"),
        keeps_probabilities=True,
    ),
    "gpt_neo": with_traits(
        LAYER_NORM,
        attention=_classic("play_gpt_neo"),
        keeps_probabilities=True,
        keeps_normed=True,
        hidden_beside_mlp=1,
    ),
    "bloom": with_traits(
        LAYER_NORM,
        positions=_classic("bloom_biases"),
        attention=_classic("play_bloom"),
        keeps_probabilities=True,
        activated_copies=4,
    ),
    "mpt": with_traits(
        LAYER_NORM,
        positions=_classic("mpt_biases"),
        masks=_classic("mpt_masks"),
        attention=_classic("play_mpt"),
        keeps_probabilities=True,
        hidden_beside_mlp=1,
    ),
    "xglm": with_traits(LAYER_NORM, positions=_classic("position_ids"), attention=_classic("play_xglm")),
    "gpt_bigcode": with_traits(LAYER_NORM, hidden_beside_mlp=1, keeps_normed=True),
    "biogpt": with_traits(LAYER_NORM, softmax_in_fp32=False, hidden_beside_mlp=-1, padding_mask_bytes=FP32),
    "ctrl": with_traits(
        LAYER_NORM,
        positions=_classic("ctrl_positions"),
        softmax_in_fp32=False,
        hidden_beside_mlp=2,
        keeps_normed=True,
    ),
    "openai-gpt": with_traits(
        LAYER_NORM,
        positions=_classic("embedded_positions"),
        masks=_classic("no_masks"),
        attention=_classic("play_openai_gpt"),
        hidden_beside_mlp=1,
        activated_copies=3,
    ),
    "gpt_neox_japanese": with_traits(
        LAYER_NORM, attention=_classic("play_gpt_neox_japanese"), keeps_probabilities=True, hidden_beside_mlp=1
    ),
    "modernbert-decoder": with_traits(
        LAYER_NORM,
        rotation=halves_through_fp32,
        rotary_per_sequence=True,
        hidden_beside_mlp=1,
        keeps_normed=True,
        hidden_beside_head=1,
    ),
    "persimmon": with_traits(LAYER_NORM, keeps_unrotated=True),
    "bitnet": with_traits(LLAMA, norms_inside=True),
    # Decoders since llama.
    **dict.fromkeys(("qwen2", "qwen3", "smollm3"), with_traits(LLAMA, full_mask_first=True)),
    "ministral": with_traits(LLAMA, makes_full_mask=True),
    "ernie4_5": _ERNIE,
    "ernie4_5_moe": with_traits(_ERNIE, shared_expert_first=True, router_logits_in_fp32=True),
    "nanochat": with_traits(
        LLAMA, norm_row_bytes=4, norm_fp32_bytes=4, norms_projections=True, norms_without_weight=True
    ),
    "apertus": with_traits(LLAMA, norms_projections=True),
    "afmoe": with_traits(
        FP32_ROUTER, shared_expert_first=True, norm_bytes=10, norm_row_bytes=4, norms_projections=True
    ),
    **dict.fromkeys(("mistral4", "emu3_text_model"), LLAMA),
    "axk1": FP32_ROUTER,
    "gemma3n_text": with_traits(LLAMA, norm_fp32_row_bytes=0),
    "mimo_v2_flash": with_traits(
        FP32_ROUTER, subtracts_largest=True, softmax_in_fp32=False, sink_columns=1, joins_rotated=True
    ),
    "deepseek_v32": with_traits(FP32_ROUTER, latent_attention=_indexed("play_indexed_attention"), always_masks=True),
    "glm_moe_dsa": with_traits(FP32_ROUTER, latent_attention=_indexed("play_handed_on_attention"), always_masks=True),
    **dict.fromkeys(_LIKE_QWEN2_VL, with_traits(LLAMA, rotary_per_sequence=True, full_mask_first=True)),
    "gemma4_text": _GEMMA4,
    "gemma4_unified_text": _GEMMA4,
    "llama4_text": with_traits(
        LLAMA,
        softmax_in_fp32=False,
        norm_row_bytes=4,
        norm_fp32_row_bytes=0,
        hidden_beside_mlp=1,
        rotary_in_fp32=True,
        halves_of_tables=True,
        rotation=pairs_in_fp32,
        experts=later("all_experts", "play_all_experts"),
    ),
    **dict.fromkeys(("granite", "granite_docling_text"), _GRANITE),
    "glm4v_moe_text": with_traits(FP32_ROUTER, rotary_per_sequence=True),
    "molmo2_text": with_traits(LLAMA, norms_projections=True),
    "granite_swa": with_traits(_GRANITE, weighs_by_sinks=True),
    "granitemoe_swa": with_traits(_GRANITE, weighs_by_sinks=True, router_logits_in_fp32=True),
    "kolibri1": with_traits(FP32_ROUTER, norms_projections=True),
    "laguna": with_traits(
        LLAMA,
        shared_expert_first=True,
        router_logits_in_fp32=True,
        norms_projections=True,
        joins_rotated=True,
        gates_behind=True,
    ),
    "aria_text": LLAMA,
    "cohere2_moe": _COHERE,
    # Delta nets between attention whose output is gated.
    "qwen3_next": with_traits(_GEMMA, joins_gate_to_qkv=True, shared_expert_first=True),
    "qwen3_5_text": with_traits(_GEMMA, rotary_per_sequence=True),
    "qwen3_5_moe_text": with_traits(_GEMMA, rotary_per_sequence=True, shared_expert_first=True),
    "olmo_hybrid": with_traits(_OLMO, gates_behind_scan=True),
    "kimi_linear": with_traits(FP32_ROUTER, rotates=False),
    "minimax": with_traits(LLAMA, routing_in_fp32=True, hidden_beside_mlp=-1),
    # Short convolutions.
    "lfm2": LLAMA,
    "lfm2_moe": LLAMA,
    "lfm3": with_traits(_OLMO, gates_behind=True),
    # State spaces, alone and between attention.
    **dict.fromkeys(("mamba", "mamba2"), _MAMBA),
    "falcon_mamba": with_traits(_MAMBA, norms_time_step=True),
    "bamba": with_traits(LLAMA, keeps_probabilities=True),
    "granitemoehybrid": with_traits(LLAMA, router_logits_in_fp32=True),
    "jamba": with_traits(LLAMA, norms_time_step=True),
    "nemotron_h": FP32_ROUTER,
    "falcon_h1": LLAMA,
    "zamba2": with_traits(LLAMA, copies_embeddings=True),
}

_ID: Final = 8
_PLACE: Final = 1
"""Whether an image stands there."""

_AXES: Final = 4
"""Positions of a token: in the text, and in time, height and width of what is seen."""
_PLACE_BY_AXES: Final = (
    *("qwen2_vl", "qwen2_5_vl", "qwen3_vl", "qwen3_vl_moe", "paddleocr_vl"),
    *("glm4v", "glm46v", "glm4v_moe", "glm_ocr", "glmga", "qwen3_5", "qwen3_5_moe", "ernie4_5_vl_moe"),
    "cosmos3_omni",
)

WHOLES: Final[Mapping[str, Whole]] = {
    **dict.fromkeys(_HOLD_NOTHING, Whole()),
    **dict.fromkeys(_PLACE_BY_AXES, Whole(position_rows=_AXES)),
    "exaone4_5": Whole(position_rows=0, drops_positions=True),
    "hyperclovax_vision_v2": Whole(position_rows=0, drops_positions=True, scales_logits=True),
    "granite_docling": Whole(scales_logits=True),
    "moss_transcribe_diarize": Whole(position_rows=0),
    **dict.fromkeys(
        ("kimi_k25", "granite_speech", "granite_speech_plus"),
        Whole(token_bytes=_ID + _PLACE),
    ),
    **dict.fromkeys(("qwen2_audio", "video_llama_3"), Whole(all_logits=True)),
    **dict.fromkeys(("qwen2_5_omni_thinker", "qwen3_omni_moe_thinker"), Whole(all_logits=True, position_rows=_AXES)),
    **dict.fromkeys(("blip-2", "instructblip", "instructblipvideo"), Whole(embeds_prompt=True)),
    "moshi": Whole(position_rows=0, all_logits=True),
    "gemma4": Whole(token_bytes=_ID + 4 * _PLACE, keeps_layer_inputs=True),
    "gemma4_unified": Whole(token_bytes=2 * _ID + 4 * _PLACE, masks_sequences=True),
    "gemma3n": Whole(token_bytes=2 * (_ID + _PLACE), embeddings=1, keeps_layer_inputs=True),
}
"""Model type of a whole -> what its class holds beside its text model, where that runs on text alone: those whose peaks
were measured and met."""


class Program(NamedTuple):
    """How the classes of some model types are played."""

    play: Callable[[Run, Architecture, bool], tuple[Peak, ...]]
    """(run, architecture, whether logits are copied to fp32) -> the peak before the head, and that at it; of an
    encoder, between the two also moments before the head at which all sequences share more (Tape.take_larger)."""
    is_playable: Callable[[Architecture], bool]
    """Whether all parts of an architecture are of kinds that it plays."""
    plays_linears: bool = False
    """Whether it says when each linear runs, for those whose weights are packed."""


_DECODER: Final = Program(play=play_decoder, is_playable=is_playable, plays_linears=True)
_PROGRAMS: Final[Mapping[str, Program]] = {
    "falcon": Program(play=later("falcon", "play_falcon"), is_playable=is_playable),
    "gemma3n_text": Program(play=later("gemma3n", "play_gemma3n"), is_playable=_gemma4("is_gemma4_playable")),
    "glm_moe_dsa": Program(play=_indexed("play_handing_on"), is_playable=is_playable),
    **dict.fromkeys(
        ("gemma4_text", "gemma4_unified_text"),
        Program(play=_gemma4("play_gemma4"), is_playable=_gemma4("is_gemma4_playable")),
    ),
    "openai-gpt": Program(play=_classic("play_without_cache"), is_playable=is_playable),
}
"""Model type -> its program, where that is not a decoder's."""

_BY_FILE: Final = {
    "transformers_large": "deepseek_v4 dots3_note_text minimax_m3_vl_text",
    "transformers_multimodal": "mllama_text_model kosmos_2_text_model git moshi voxtral_realtime_text",
    "transformers_own_attention": "cpmant diffllama flint hrm_text reformer trocr xlm xlnet",
    "transformers_own_experts": (
        "axk2 bailing_hybrid beam dbrx doge ernie4_5_vl_moe_text hy_v4 inkling2_text jetmoe longcat_flash step3p5 zaya "
        "inkling_text"
    ),
    "transformers_recurrences": "recurrent_gemma rwkv xlstm zamba",
    "transformers_speech": "wav2vec2 hubert wavlm unispeech unispeech-sat data2vec-audio",
}
ELSEWHERE: Final[Mapping[str, str]] = {
    model_type: file for file, model_types in _BY_FILE.items() for model_type in model_types.split()
}
"""Model type -> the file in this folder whose `KNOWN` has its code and its program: types that few ask for."""


def is_encoder(architecture: Architecture) -> bool:
    """Whether it hears, and that is all it reads; or every layer is attention both ways, then one MLP, and no more but
    adapters."""
    layers = [group.layer for group in architecture.groups()]
    return architecture.waveform is not None or (bool(layers) and all(_looks_both_ways(layer) for layer in layers))


def _looks_both_ways(layer: Layer) -> bool:
    is_plain = isinstance(layer.mixer, BidirectionalAttention) and type(layer.mlp) is DenseMLP
    return is_plain and all(other.kind == "language_adapters" for other in layer.others)


_TAKEN_FOR: Final[Mapping[tuple[str | None, str], str]] = {("kimi_k25", "kimi_k2"): "deepseek_v3"}
"""(whole, what its text model calls itself) -> the type whose class runs it (Kimi_K25Config.__post_init__): released
files name the code that their repos bring along."""


def _known(architecture: Architecture) -> tuple[ModelingCode, Program] | None:
    """How a type that is known computes, and its program."""
    name = _TAKEN_FOR.get((architecture.whole_type, architecture.model_type), architecture.model_type)
    if name in CODE:
        return CODE[name], _PROGRAMS.get(name, _DECODER)
    if name in ELSEWHERE:
        known: tuple[ModelingCode, Program] = import_module(f"{__package__}.{ELSEWHERE[name]}").KNOWN[name]
        return known
    if not is_encoder(architecture):
        return None
    from hubvram.memory.engines import transformers_encoders as encoders  # for those who ask for one

    if name not in encoders.ENCODERS:
        return None
    code, own = encoders.ENCODERS[name]
    play = own.play or partial(later("encoder", "play_encoder"), code=own)
    return code, Program(play=play, is_playable=partial(encoders.is_known_encoder, code=own))


def code_of(architecture: Architecture) -> ModelingCode:
    """How the type computes."""
    return (_known(architecture) or (LLAMA, _DECODER))[0]


def knows(architecture: Architecture) -> bool:
    """Whether a program was found to meet the peaks of this model type."""
    is_part = architecture.whole_type is not None and architecture.whole_type not in WHOLES
    known = _known(architecture)
    return known is not None and not is_part and known[1].is_playable(architecture)


def loops(architecture: Architecture) -> bool:
    """Whether what is alive depends on how tokens choose experts."""
    known = _known(architecture)
    return known is not None and known[0].loops


def plays_linears(architecture: Architecture) -> bool:
    """Whether it is known when each linear runs: where attention and experts are not of a class's own making."""
    code, program = _known(architecture) or (LLAMA, _DECODER)
    has_own = code.attention or code.latent_attention or code.experts
    return program.plays_linears and not has_own


def play(
    architecture: Architecture, sizes: Sizes, *, copies_logits: bool = True, code: ModelingCode | None = None
) -> tuple[Peak, ...]:
    """A forward pass: its peak before the head, and last that at it (Program.play); by another `code` than the type's
    own, if one is given.

    `generate()` copies logits to fp32, a forward alone does not.
    """
    return _played(_Same(architecture), sizes, copies_logits, code)


class _Same:
    """An architecture as a key: itself, not its equals, which would take long to compare."""

    __slots__ = ("architecture",)

    def __init__(self, architecture: Architecture) -> None:
        self.architecture = architecture

    def __hash__(self) -> int:
        return id(self.architecture)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.architecture is self.architecture


@lru_cache(maxsize=16)
def _played(same: _Same, sizes: Sizes, copies_logits: bool, own: ModelingCode | None) -> tuple[Peak, ...]:
    """Once for all precisions that are computed in the same type."""
    architecture = same.architecture
    code, program = _known(architecture) or (LLAMA, _DECODER)
    code = own or code
    if architecture.whole_type is not None:
        code = with_traits(code, whole=WHOLES.get(architecture.whole_type, Whole()))
    run = Run(
        sizes,
        code,
        rotary_dim=_rotary_dim(architecture) if code.rotates else 0,
        max_positions=architecture.max_position_embeddings,
    )
    prompt_tokens = sizes.prompt_tokens if sizes.decodes else sizes.tokens
    kept = run.whole_keeps(prompt_tokens, architecture.embedding_size or architecture.hidden_size)
    peaks = program.play(run, architecture, copies_logits)
    del kept
    return peaks


def _rotary_dim(architecture: Architecture) -> int:
    """How many dimensions of a head rotate; through a latent, those that are kept apart for it."""
    mixers = (group.layer.mixer for group in architecture.groups())
    latent = max((mixer.qk_rope_head_dim for mixer in mixers if isinstance(mixer, LatentAttention)), default=0)
    return architecture.rotary_dim or latent
