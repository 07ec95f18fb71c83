"""Masks and tables that classes of transformers 5.23 register as buffers which no file holds.

They are on the GPU as the weights are, from the start to the end. Left out is what is smaller than a row of a weight:
the frequencies of rotary positions, which every class has.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from hubvram.architecture.layers import Architecture
from hubvram.memory.forward.run import FP32, ID_BYTES
from hubvram.memory.forward.tape import Held, Share

_Sizes = Callable[[Architecture, int], tuple[int, ...]]
"""(architecture, bytes of an element) -> sizes of all of them, the last of which is that of an element."""


def _positions(architecture: Architecture) -> int:
    return architecture.max_position_embeddings or 0


def _sines(architecture: Architecture, element_bytes: int) -> tuple[int, ...]:
    """In each layer (GPTJAttention, CodeGenAttention)."""
    return len(architecture.layers), _positions(architecture), architecture.rotary_dim, FP32


def _masks(architecture: Architecture, element_bytes: int) -> tuple[int, ...]:
    """Of what each token sees, in each layer (GPTNeoSelfAttention)."""
    return len(architecture.layers), _positions(architecture), _positions(architecture), 1


def _masks_of_factors(architecture: Architecture, element_bytes: int) -> tuple[int, ...]:
    """The same in the model's type (modeling_openai.py, Attention)."""
    return *_masks(architecture, element_bytes)[:-1], element_bytes


def _mask(architecture: Architecture, element_bytes: int) -> tuple[int, ...]:
    """One for all layers, which nothing reads (GPTBigCodeModel)."""
    return _masks(architecture, element_bytes)[1:]


def _table(offset: int) -> _Sizes:
    """Sines of positions, and of as many more that stand before them (XGLMSinusoidalPositionalEmbedding and the like,
    CTRLModel)."""

    def sizes(architecture: Architecture, element_bytes: int) -> tuple[int, ...]:
        return _positions(architecture) + offset, architecture.hidden_size, element_bytes

    return sizes


def _places(architecture: Architecture, element_bytes: int) -> tuple[int, ...]:
    """Of the patches of a window in the table of offsets, for each pair, in each layer (SwinRelativePositionBias)."""
    from hubvram.memory.forward.windows import window_side  # for those who ask for it

    return len(architecture.layers), window_side(architecture.layers[0]) ** 4, ID_BYTES


def _tables_of_sides(architecture: Architecture, element_bytes: int) -> tuple[int, ...]:
    """The same of an encoder and its decoder (M2M100SinusoidalPositionalEmbedding and the like)."""
    encoder = architecture.encoder
    source = encoder.max_position_embeddings or 0 if encoder is not None else 0
    return _positions(architecture) + source + 2 * 2, architecture.hidden_size, element_bytes


_BUFFERS: Final[Mapping[str, _Sizes]] = {
    "gptj": _sines,
    "codegen": _sines,
    "gpt_neo": _masks,
    "openai-gpt": _masks_of_factors,
    "gpt_bigcode": _mask,
    **dict.fromkeys(("xglm", "kosmos_2_text_model"), _table(2)),
    "ctrl": _table(0),
    **dict.fromkeys(("m2m_100", "seamless_m4t", "seamless_m4t_v2", "speech_to_text"), _tables_of_sides),
    "swin": _places,
    "donut-swin": _places,
}
"""Model type -> its buffers."""


def buffers(architecture: Architecture, element_bytes: int) -> tuple[Held, ...]:
    """What the class of this model type keeps beside its weights."""
    sizes = _BUFFERS.get(architecture.model_type)
    if sizes is None:
        return ()
    factors = sizes(architecture, element_bytes)
    return (Held(what="masks and tables that the class keeps", share=Share.ALL, factors=factors),)
