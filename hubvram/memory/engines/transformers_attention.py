"""Which attention the classes of transformers 5.23 support: `_supports_sdpa` and `_supports_flash_attn`, modeling_*.py.

sdpa cannot cap scores and knows no sinks; biases of relative positions are masks to it, which flash attention has not.
Where a class says no to sdpa it takes eager attention by itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from hubvram.architecture.layers import Architecture
from hubvram.memory.workload import Attention

USUAL: Final = (Attention.SDPA, Attention.EAGER, Attention.FLASH)

_NO_FLASH: Final = """
    axk2 beit blip-2 data2vec-vision deepseek_v32 doge dots3_note_text glm_moe_dsa granite_speech granite_speech_plus
    inkling_text kosmos-2 kosmos_2_text_model llama4 llama4_text minimax_m3_vl minimax_m3_vl_text mllama
    mllama_text_model mt5 pix2struct seamless_m4t seamless_m4t_v2 siglip2 siglip2_text_model step3p5 step3p7 swin t5
    t5gemma2 udop umt5
"""
_NO_SDPA: Final = """
    flint gemma2 gpt_neo gpt_oss gptj granite_swa granitemoe_swa mimo_v2_flash pegasus_x t5gemma vaultgemma
"""
_EAGER: Final = """
    big_bird bigbird_pegasus bloom codegen cpmant deberta deberta-v2 deepseek_v4 donut-swin falcon_mamba fsmt git
    got_ocr2 gpt_neox_japanese hy_v4 inkling2 inkling2_text led longt5 mamba mamba2 megatron-bert mpnet mpt mvp nllb-moe
    openai-gpt pp_chart2table prophetnet reformer rembert roformer rwkv speech_to_text switch_transformers trocr wavlm
    xglm xlm xlnet xlstm
"""

SUPPORTED: Final[Mapping[str, tuple[Attention, ...]]] = {
    **dict.fromkeys(_NO_FLASH.split(), (Attention.SDPA, Attention.EAGER)),
    **dict.fromkeys(_NO_SDPA.split(), (Attention.EAGER, Attention.FLASH)),
    **dict.fromkeys(_EAGER.split(), (Attention.EAGER,)),
}
"""model_type -> the attention its class supports, the one it takes by itself first; USUAL where nothing stands here."""


def supported_by(architecture: Architecture) -> tuple[Attention, ...]:
    """What can be asked of a class; of one of any encoder and any decoder, what both support. A whole that refuses one
    may hold a text model that takes it by itself (got_ocr2)."""
    types = (*_types(architecture), architecture.class_type)
    return tuple(it for it in USUAL if all(it in SUPPORTED.get(name, USUAL) for name in types))


def taken_first(architecture: Architecture) -> Attention:
    """What runs where nothing is asked for."""
    return min((attention_of(name, USUAL[0]) for name in _types(architecture)), key=USUAL.index)


def attention_of(model_type: str, attention: Attention) -> Attention:
    """Of one side of such a class, which by itself takes another if it does not support that."""
    supported = SUPPORTED.get(model_type, USUAL)
    return attention if attention in supported else supported[0]


def _types(architecture: Architecture) -> tuple[str, ...]:
    encoder = architecture.encoder
    if architecture.decoder_type is None or encoder is None or encoder.model_type is None:
        return (architecture.model_type,)
    return encoder.model_type, architecture.decoder_type
