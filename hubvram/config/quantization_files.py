"""Where settings of packed weights may stand."""

from __future__ import annotations

from typing import Final

SECTIONS: Final = ("quantization_config", "compression_config")
"""Of config.json; the second is what compressed-tensors wrote first."""
MLX_SECTION: Final = "quantization"
"""The same of MLX, whose files of late have it twice."""

HF_QUANT_CONFIG: Final = "hf_quant_config.json"
QUANTO_MAP: Final = "quanto_qmap.json"
SIDE_FILES: Final = (HF_QUANT_CONFIG, "quantize_config.json", "quant_config.json", QUANTO_MAP)
"""Of ModelOpt, of AutoGPTQ, of AutoAWQ, of quanto: where config.json has no section."""


def may_have_settings(config: bytes) -> bool:
    """Whether config.json may have a section, before it is parsed."""
    return any(f'"{key}"'.encode() in config for key in SECTIONS)
