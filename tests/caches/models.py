"""Which model types run, and with what changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final


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
    audioflamingo3 glmasr granite_speech granite_speech_plus musicflamingo qwen2_5_omni_thinker qwen3_asr
    qwen3_omni_moe_thinker shieldgemma2 step3p7 video_llava vipllava
""")
ENCODERS: Final = words("""
    albert bert camembert deberta deberta-v2 distilbert electra esm eurobert modernbert mpnet nomic_bert roberta
    xlm-roberta
""")
WITH_STATES: Final = words("""
    bailing_hybrid bamba cpmant deepseek_v4 dots3_note_text falcon_h1 falcon_mamba granite_docling granitemoehybrid
    inkling2 inkling2_text inkling_text jamba jetmoe
    kimi_linear lfm2_moe lfm3 lfm3_vl mamba mamba2 minicpm_ocr minicpmv4_6 minicpmv4_7 minimax mllama nemotron_h
    nemotron_h_omni olmo_hybrid openai-gpt qwen3_5 qwen3_5_moe qwen3_5_moe_text qwen3_5_text qwen3_next recurrent_gemma
    reformer rwkv voxtral_realtime xlm xlnet xlstm zamba zamba2 zaya
""")
"""And whatever else is no plain decoder, or has no cache at all."""
HALVES: Final = words("""
    bart bigbird_pegasus blenderbot blenderbot-small marian mbart mvp pegasus plbart prophetnet trocr
""")
"""Decoders that have an encoder elsewhere."""
BOTH_SIDES: Final = words("""
    bart bigbird_pegasus blenderbot blenderbot-small fsmt led longt5 m2m_100 marian mbart moonshine mt5
    mvp nllb-moe pegasus pegasus_x pix2struct plbart prophetnet seamless_m4t seamless_m4t_v2 speech_to_text
    switch_transformers t5 t5gemma t5gemma2 udop umt5 whisper
""")
_IMAGE: Final = {"num_channels": 3, "image_size": 28, "patch_size": 7, "hidden_size": 64, "num_attention_heads": 4}
_TEXT: Final = {
    **{"model_type": "gpt2", "n_embd": 64, "n_layer": 2, "n_head": 4, "vocab_size": 128, "n_positions": 64},
    **{"bos_token_id": 1, "eos_token_id": 2, "add_cross_attention": True, "is_decoder": True},
}
_SWIN: Final = {"embed_dim": 16, "depths": [1, 1, 1], "num_heads": [1, 2, 4], "window_size": 2, "patch_size": 4}
_OF_PATCHES: Final = ("beit", "data2vec-vision", "dinov2", "dinov2_with_registers", "dinov3_vit", "ijepa", "vit_msn")
_SEES: Final[tuple[Mapping[str, Any], ...]] = (
    {"model_type": "vit", "num_hidden_layers": 2, "intermediate_size": 96, **_IMAGE},
    {"model_type": "deit", "num_hidden_layers": 2, "intermediate_size": 96, **_IMAGE},
    # 36 of 4 are 9 patches, which make 5 and 3; 20 are 5, 3 and 2.
    {"model_type": "donut-swin", "image_size": [36, 20], **_SWIN},
    {"model_type": "swin", "image_size": 30, **_SWIN},
    *({"model_type": name, "num_hidden_layers": 2, **_IMAGE} for name in _OF_PATCHES),
)
_BERT: Final = {
    **{"model_type": "bert", "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "vocab_size": 128},
    **{"num_attention_heads": 4, "max_position_embeddings": 64},
}
_HEARS: Final = {
    **{"model_type": "wav2vec2", "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2},
    **{"num_attention_heads": 4, "conv_dim": [16, 16], "conv_kernel": [10, 3], "conv_stride": [5, 2]},
    **{"num_feat_extract_layers": 2, "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 4},
}
PAIRS: Final[tuple[tuple[str, Mapping[str, Any]], ...]] = (
    *(("vision-encoder-decoder", {"encoder": encoder, "decoder": _TEXT}) for encoder in _SEES),
    ("encoder-decoder", {"encoder": _BERT, "decoder": {**_BERT, "is_decoder": True, "add_cross_attention": True}}),
    ("encoder-decoder", {"encoder": {**_BERT, "hidden_size": 32}, "decoder": _TEXT}),
    ("speech-encoder-decoder", {"encoder": _HEARS, "decoder": _TEXT}),
)
"""Encoders and decoders of types of their own."""

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
    # A prompt of more than a chunk; of one; of less, but a token.
    ("reformer", {"local_attn_chunk_length": 4, "lsh_attn_chunk_length": 8, "num_buckets": [4, 8]}),
    ("reformer", {"local_attn_chunk_length": 11, "lsh_attn_chunk_length": 11, "num_buckets": 8, "num_hashes": 2}),
    ("reformer", {"local_attn_chunk_length": 12, "lsh_attn_chunk_length": 12, "num_buckets": 8}),
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
