"""Any encoder and any decoder as one: which are run, and what the encoder reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

OF_TWO: Final = frozenset({"encoder-decoder", "speech-encoder-decoder", "vision-encoder-decoder"})

_WRITES: Final = {"is_decoder": True, "add_cross_attention": True}
_ATTENDS: Final = {**_WRITES, "vocab_size": 128, "max_position_embeddings": 256}
_TROCR: Final = {
    **{"model_type": "trocr", "d_model": 64, "decoder_layers": 2, "decoder_attention_heads": 4, "decoder_ffn_dim": 96},
    **_ATTENDS,
}
_VIT: Final = {
    **{"model_type": "vit", "num_hidden_layers": 2, "hidden_size": 96, "num_attention_heads": 6, "image_size": 96},
    **{"intermediate_size": 96, "patch_size": 8, "qkv_bias": False},
}
_MBART: Final = {
    **{"model_type": "mbart", "d_model": 64, "decoder_layers": 2, "decoder_attention_heads": 4, "decoder_ffn_dim": 96},
    **{"scale_embedding": True, "add_final_layer_norm": True},
    **_ATTENDS,
}
_DONUT: Final = {
    **{"model_type": "donut-swin", "image_size": [96, 64], "patch_size": 4, "embed_dim": 32},
    **{"depths": [2, 2], "num_heads": [2, 4], "window_size": 5, "hidden_size": 64},
}
_BERT: Final = {
    **{"model_type": "bert", "vocab_size": 128, "max_position_embeddings": 256, "num_hidden_layers": 2},
    **{"hidden_size": 64, "num_attention_heads": 4, "intermediate_size": 96},
}
_ROBERTA: Final = {**_BERT, "model_type": "roberta", "pad_token_id": 1, "type_vocab_size": 1}
_GPT2: Final = {"model_type": "gpt2", "n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": 256}


def _same(side: Mapping[str, Any], model_type: str) -> dict[str, Any]:
    return _text({**side, "model_type": model_type}, {**side, "model_type": model_type})


def _text(encoder: Mapping[str, Any], decoder: Mapping[str, Any]) -> dict[str, Any]:
    return {"encoder": encoder, "decoder": {**decoder, "vocab_size": 128, **_WRITES}}


_WAV2VEC2: Final = {
    **{"model_type": "wav2vec2", "num_hidden_layers": 2, "hidden_size": 64, "num_attention_heads": 4},
    **{"intermediate_size": 96, "conv_dim": [8, 16], "conv_kernel": [4, 3], "conv_stride": [2, 2]},
    **{"num_feat_extract_layers": 2, "num_conv_pos_embeddings": 4, "num_conv_pos_embedding_groups": 4},
}
_LARGE: Final = {"feat_extract_norm": "layer", "do_stable_layer_norm": True, "conv_bias": True}
_BART: Final = {**_MBART, "model_type": "bart", "add_final_layer_norm": False}
_WIDE: Final = {"hidden_size": 96, "num_attention_heads": 6}
PAIRS: Final[Mapping[str, Mapping[str, Any]]] = {
    "encoder-decoder": _text(_BERT, _BERT),
    "encoder-decoder+roberta": _text(_ROBERTA, _ROBERTA),
    "encoder-decoder+xlm-roberta": _same(_ROBERTA, "xlm-roberta"),
    "encoder-decoder+camembert": _same(_ROBERTA, "camembert"),
    "encoder-decoder+bert-generation": _same(_BERT, "bert-generation"),
    "encoder-decoder+gpt2": _text(_BERT, _GPT2),
    "encoder-decoder+roberta_gpt2": _text({**_ROBERTA, **_WIDE}, _GPT2),
    "speech-encoder-decoder": _text({**_WAV2VEC2, **_LARGE, "add_adapter": True}, _MBART),
    "speech-encoder-decoder+narrower": _text(
        {**_WAV2VEC2, **_LARGE, "add_adapter": True, "hidden_size": 96, "output_hidden_size": 64}, _MBART
    ),
    "speech-encoder-decoder+bart": _text({**_WAV2VEC2, "add_adapter": True, "num_adapter_layers": 2}, _BART),
    "speech-encoder-decoder+bert": _text({**_WAV2VEC2, **_WIDE}, _BERT),
    "vision-encoder-decoder": {"encoder": _VIT, "decoder": {**_TROCR, "cross_attention_hidden_size": 96}},
    "vision-encoder-decoder+deit": {
        "encoder": {**_VIT, "model_type": "deit", "hidden_size": 64, "num_attention_heads": 4, "qkv_bias": True},
        "decoder": {**_TROCR, "activation_function": "relu", "scale_embedding": True},
    },
    "vision-encoder-decoder+gpt2": _text(_VIT, _GPT2),
    "vision-encoder-decoder+bert": _text({**_VIT, "qkv_bias": True}, _BERT),
    "vision-encoder-decoder+roberta": _text({**_VIT, "hidden_size": 64, "num_attention_heads": 4}, _ROBERTA),
    "vision-encoder-decoder+swin": _text({**_DONUT, "model_type": "swin", "image_size": 64}, _GPT2),
    "vision-encoder-decoder+donut": {"encoder": _DONUT, "decoder": _MBART},
    "vision-encoder-decoder+projected": {"encoder": _VIT, "decoder": {**_TROCR, "layernorm_embedding": False}},
}
"""Name of a record -> its config."""
_TAKE_PIXELS_AS_THEY_ARE: Final = ("donut-swin", "swin")
"""Types whose classes cannot compute with pixels of another type."""


def _sound(config: Any, batch_size: int, positions: int, dtype: Any) -> dict[str, Any]:
    """The fewest samples that the encoder says something for so many positions of; and a mask of them where every
    convolution has a norm."""
    import torch

    samples = positions
    for _ in range(config.num_adapter_layers if config.add_adapter else 0):
        samples = max((samples - 1) * config.adapter_stride + config.adapter_kernel_size - 2, 1)
    for kernel, stride in zip(reversed(config.conv_kernel), reversed(config.conv_stride), strict=True):
        samples = (samples - 1) * stride + kernel
    given = {"input_values": torch.rand(batch_size, samples).to(dtype)}
    if config.feat_extract_norm == "layer":
        given["attention_mask"] = torch.ones(batch_size, samples, dtype=torch.int32)
    return given


_TYPE_TOKENS: Final = ("bert",)
"""Types whose tokenizers say of which type each token is."""


def read_by(model: Any, batch_size: int, tokens: int) -> dict[str, Any]:
    """What a tokenizer makes; sound; or an image for each sequence, as the encoder's config has it."""
    import torch

    config = model.config.encoder
    if model.config.model_type == "encoder-decoder":
        ids = torch.arange(batch_size * tokens).reshape(batch_size, tokens) % 100 + 3
        types = {"token_type_ids": torch.zeros_like(ids)} if config.model_type in _TYPE_TOKENS else {}
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids), **types}
    if model.config.model_type == "speech-encoder-decoder":
        return _sound(config, batch_size, tokens, model.dtype)
    size = config.image_size
    sides = (size, size) if isinstance(size, int) else size
    dtype = model.dtype if config.model_type in _TAKE_PIXELS_AS_THEY_ARE else torch.float32
    return {"pixel_values": torch.rand(batch_size, config.num_channels, *sides).to(dtype)}
