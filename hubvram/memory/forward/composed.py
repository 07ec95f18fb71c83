"""sdpa where no kernel takes what is asked of it, played: torch composes it of products and a softmax, in fp32.

(ATen, attention.cpp: _scaled_dot_product_attention_math, _safe_softmax.)
"""

from __future__ import annotations

from hubvram.architecture.attention import FullAttention
from hubvram.memory.forward.run import FP32, Run


def play_composed(run: Run, mixer: FullAttention, keys: int, *, repeats: bool = False) -> None:
    """Q, K and V, Q scaled; then K scaled, and copied for all heads; scores, their softmax, and which of them show
    nothing; then the softmax in the model's type too, V for all heads, and what they say, which is turned back. Of one
    sequence alone nothing is copied for a product.

    `repeats`: K and V are copied for all heads before (`enable_gqa`), and Q into the order of heads for its product.
    """
    heads = mixer.num_attention_heads
    read = run.in_fp32("Q in fp32", run.tokens, mixer.q_size)
    query = run.features("Q scaled", mixer.q_size, element_bytes=FP32)
    cached = run.in_fp32("K and V in fp32", keys, mixer.k_size + mixer.v_size)
    repeated = run.tensor("K and V of all heads", keys, 2 * mixer.q_size, element_bytes=FP32) if repeats else None
    copied_size = 0 if run.is_alone or repeats else mixer.q_size
    scaled_size = mixer.q_size if repeats else mixer.k_size
    scaled = run.tensor("K scaled, and copied for all heads", keys, scaled_size + copied_size, element_bytes=FP32)
    ordered = None
    if repeats and run.tokens > 1 and not run.is_alone:
        ordered = run.features("Q in the order of heads", mixer.q_size, element_bytes=FP32)
    scores = run.tensor("scores", heads, run.tokens, keys, element_bytes=FP32)
    del scaled, ordered
    softmax = run.tensor("softmax, and which scores show nothing", heads, run.tokens, keys, element_bytes=FP32 + 1)
    rows = run.tensor("which rows show nothing", heads, run.tokens, element_bytes=1)
    del scores, softmax, rows
    softmax = run.tensor("softmax", heads, run.tokens, keys, element_bytes=FP32)
    turned = run.tensor("softmax in the model's type", heads, run.tokens, keys) if read else None
    copied = run.tensor("V, copied for all heads", keys, copied_size, element_bytes=FP32)
    said = run.features("what heads say", mixer.q_size, element_bytes=FP32)
    del copied
    said_turned = run.features("the same in the model's type", mixer.q_size) if read else None
    del read, query, cached, repeated, softmax, turned, said, said_turned
