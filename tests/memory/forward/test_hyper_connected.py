"""Several residual streams, term by term by hand."""

from __future__ import annotations

from hubvram.memory.engines.transformers_code import knows, play
from hubvram.memory.forward.tape import Share
from hubvram.memory.workload import Attention
from tests.memory.forward.test_programs import held, sizes
from tests.samples import architecture_of


def test_streams_are_added_to_in_fp32() -> None:
    found = architecture_of(
        {
            "model_type": "hy_v4",
            "num_hidden_layers": 2,
            "hidden_size": 1000,
            "num_attention_heads": 1,
            "intermediate_size": 1,
            "moe_intermediate_size": 1,
            "n_routed_experts": 2,
            "num_experts_per_tok": 1,
            "q_lora_rank": 1,
            "kv_lora_rank": 1,
            "qk_nope_head_dim": 1,
            "qk_rope_head_dim": 2,
            "v_head_dim": 1,
            "index_n_heads": 1,
            "index_head_dim": 2,
            "index_topk": 5,
        }
    )
    assert knows(found)
    peak, _ = play(found, sizes(7, 3, Attention.EAGER))
    # Embeddings; 4 streams that the second layer reads, those behind attention, 2 x 4; what the MLP says. In fp32 what
    # streams get, these and both, 3 x 4; what each gets; a mask, scores with a sink, and 5 choices before and behind.
    wide = 21 * 1000 * (2 * (1 + 4 + 4 + 1) + 4 * 3 * 4)
    small = 21 * (4 * 4 + 2 * 7 + 2 * 8 + 4 * 5 + 4 * 5)
    assert peak.size_bytes(Share.SEQUENCE) == wide + small + held(peak, "token ids")
