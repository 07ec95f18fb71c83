"""Projectors behind audio towers. Details from each model's `modeling_*.py` in transformers 5.23."""

from __future__ import annotations

from dataclasses import replace

from hubvram.architecture.families.fields import changed
from hubvram.architecture.families.projectors import Ends, norm, projector, qformer, two_linears
from hubvram.architecture.layers import Stack


def frames(ends: Ends, *, wider: int = 1, bias: bool = False) -> Stack:
    """An MLP `wider` than the text model, over as many frames as make intermediate_size (voxtral)."""
    out = ends.text_size
    return projector(ends, *two_linears(wider * out, ends.tower.size("intermediate_size"), out, bias=bias))


def phi4(ends: Ends, *, mlps: int = 1, rate: str | None = None) -> Stack:
    """An MLP, or one for what is only heard and one for what is seen too."""
    out, into = ends.text_size, ends.tower_size * (ends.tower.size(rate) if rate else 1)
    return projector(ends, *two_linears(out, into, out) * mlps)


def nemotron_sound(ends: Ends) -> Stack:
    """A norm and an MLP, whose shape the tower's config says."""
    inner, bias = ends.tower.size("projection_hidden_size"), ends.tower.flag("projection_bias")
    size = ends.tower_size
    return projector(ends, *norm(size, bias=False), *two_linears(inner, size, ends.text_size, bias=bias))


def granite_speech(ends: Ends) -> Stack:
    """A Q-Former over a window of frames, each of whose queries stands for `downsample_rate` of them."""
    rate, window = ends.whole.size("downsample_rate"), ends.whole.size("window_size")
    whole = changed(ends.whole, num_query_tokens=window // rate)
    return qformer(replace(ends, whole=whole), field="projector_config")


def moss(ends: Ends) -> Stack:
    """An MLP over `audio_merge_size` frames, and a norm."""
    out, into = ends.text_size, ends.tower_size * ends.whole.size("audio_merge_size")
    return projector(ends, *two_linears(out, into, out, bias=ends.whole.flag("projector_bias")), *norm(out))


def qwen3_asr(ends: Ends) -> Stack:
    """An MLP, whose width the tower's config says."""
    size = ends.tower_size
    return projector(ends, *two_linears(size, size, ends.tower.size("output_dim")))


def voxtral_realtime(ends: Ends) -> Stack:
    """An MLP over `downsample_factor` frames."""
    out, into = ends.text_size, ends.tower_size * ends.whole.size("downsample_factor")
    return projector(ends, *two_linears(out, into, out, bias=False))
