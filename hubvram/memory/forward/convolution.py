"""The causal convolution over the last few tokens that stands before scans, played.

transformers' own torch code (modeling_lfm2.py, causal_conv1d_fn and causal_conv1d_update, and its copies), which runs
where causal-conv1d is not installed and no kernels of the Hub were asked for.
"""

from __future__ import annotations

from hubvram.architecture.recurrent import ShortConv
from hubvram.memory.forward.run import Run
from hubvram.memory.forward.tape import Tensor


def play_convolution(run: Run, channels: int, kernel: int) -> Tensor:
    """What goes in; what comes out, longer by the padding on the left; the activation of it, which is returned."""
    source = run.features("what is convolved", channels)
    window = run.tensor("the last inputs, with this one", kernel + 1, channels) if run.decodes else None
    out = run.tensor("convolved", 2 if run.decodes else run.tokens + kernel - 1, channels)
    activated = run.features("convolved, activated", channels)
    del source, window, out
    return activated


def play_short_conv(run: Run, mixer: ShortConv) -> None:
    """Three projections in one; two of them multiplied and convolved; the third times that, in two layouts."""
    run.phase("convolution")
    hidden, kernel = mixer.hidden_size, mixer.conv_L_cache
    projected = run.features("three projections", 3 * hidden)
    source = run.features("what is convolved", hidden)
    window = run.tensor("the last inputs, with this one", kernel + 1, hidden) if run.decodes else None
    out = run.tensor("convolved", 2 if run.decodes else run.tokens + kernel - 1, hidden)
    del source, window
    said = run.features("gated, in two layouts", 2 * hidden)
    del projected, out, said
