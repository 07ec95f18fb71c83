"""What of a model decides how it becomes a GGUF file, beside the names and shapes of its tensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hubvram.architecture.attention import FullAttention, LatentAttention
from hubvram.architecture.layers import Architecture
from hubvram.architecture.mlp import MoEMLP
from hubvram.config.reader import ModelConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class GgufFacts:
    """Hyperparameters, named as config.json does where it has them."""

    model_type: str
    """Of the text model."""
    whole_model_type: str
    """Of what it stands in, itself where that is all."""
    num_hidden_layers: int
    num_attention_heads: int = 0
    """Of the first layer, like the next; 0 where it has no attention."""
    num_key_value_heads: int = 0
    head_dim: int = 0
    hidden_size: int = 0
    num_experts: int = 0
    tie_word_embeddings: bool = False
    qk_nope_head_dim: int = 0
    v_head_dim: int = 0
    rope_type: str = ""
    rope_factors: int = 0
    """Long ones of longrope."""
    mxfp4_experts: bool = False
    """Whether the experts are published in MXFP4, which the file keeps."""


def facts_of(architecture: Architecture, config: ModelConfig) -> GgufFacts:
    """The facts of a model that a family derived. Raises ConfigError."""
    first = architecture.layers[0].mixer if architecture.layers else None
    rope = config.text.section("rope_scaling") or config.text.section("rope_parameters") or {}
    rope_type = rope.get("rope_type") or rope.get("type")
    factors = rope.get("long_factor")
    return GgufFacts(
        model_type=architecture.model_type,
        whole_model_type=config.model_type or architecture.model_type,
        num_hidden_layers=architecture.num_hidden_layers,
        hidden_size=architecture.hidden_size,
        num_experts=max((part.num_experts for part in _parts(architecture) if isinstance(part, MoEMLP)), default=0),
        tie_word_embeddings=architecture.has_tied_head,
        rope_type=rope_type if isinstance(rope_type, str) else "",
        rope_factors=len(factors) if isinstance(factors, list) else 0,
        mxfp4_experts=config.quantization_method == "mxfp4",
        **_attention(first),
    )


def _parts(architecture: Architecture) -> list[object]:
    return [part for group in architecture.groups() for part in group.layer.parts]


def _attention(mixer: object) -> Mapping[str, int]:
    if isinstance(mixer, LatentAttention):
        return {
            "num_attention_heads": mixer.num_attention_heads,
            "num_key_value_heads": mixer.num_attention_heads,
            "head_dim": mixer.qk_head_dim,
            "qk_nope_head_dim": mixer.qk_nope_head_dim,
            "v_head_dim": mixer.v_head_dim,
        }
    if isinstance(mixer, FullAttention):
        return {
            "num_attention_heads": mixer.num_attention_heads,
            "num_key_value_heads": mixer.num_key_value_heads,
            "head_dim": mixer.head_dim,
        }
    return {}
