"""Scans and convolutions by hand: state spaces, delta nets, short convolutions, and layers between attention."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from hubvram.architecture.recurrent import GatedDeltaNet, LightningAttention, Mamba, Mamba2, ShortConv
from hubvram.memory.engines.transformers import TRANSFORMERS
from hubvram.memory.engines.transformers_code import CODE, play
from hubvram.memory.forward.attention import play_attention
from hubvram.memory.forward.convolution import play_short_conv
from hubvram.memory.forward.delta_net import play_delta_net, play_kimi_delta_attention
from hubvram.memory.forward.lightning import play_lightning_attention
from hubvram.memory.forward.modeling_code import LLAMA, ModelingCode
from hubvram.memory.forward.run import Run, Sizes
from hubvram.memory.forward.state_space import play_mamba, play_mamba2
from hubvram.memory.forward.tape import Share
from hubvram.memory.workload import Attention
from tests.memory.forward.test_programs import MIXER, held, peak_of, sizes, step
from tests.samples import architecture_of, fixture_architecture, workload_of


def with_buffers(program: Callable[[Run], object], run: Sizes, code: ModelingCode = LLAMA) -> int:
    """Bytes of all sequences' tensors and of those that they share, at the peak of the first."""
    played = Run(run, code)
    program(played)
    return played.tape.take().total_bytes


MAMBA2 = Mamba2(
    hidden_size=32, num_heads=4, head_dim=16, state_size=8, n_groups=1, conv_kernel=4, chunk_size=64
)  # x 64, x with B and C 80, B for all heads 32  # fmt: skip


def test_state_space_with_heads_over_a_prompt() -> None:
    # 70 tokens are 2 chunks of 64. In bf16 the projection (64 + 80 + 4), what is convolved (80), time steps (4).
    beside = 2 * 70 * (148 + 80 + 4)
    # In fp32, for each padded token: x, and D's share of it, A, B and C; 3 of A's sums; 3 x 4 x 64 pairs; what chunks
    # say alone; B decayed; what states say, decayed, added, in order.
    per_token = 2 * 64 + 4 + 2 * 32 + 3 * 4 + 768 + 64 + 32 + 4 * 64
    # The states (4 x 16 x 8) behind 2 chunks and before the first; 3 x 3 decays between these for each head.
    states = 3 * 512 + 9 * 4
    expected = beside + 4 * (128 * per_token + states)
    assert peak_of(lambda run: play_mamba2(run, MAMBA2), sizes(70)) == expected
    assert peak_of(lambda run: play_mamba2(run, MAMBA2), sizes(70, 3)) == 3 * expected
    # A, in fp32 for each head, is everybody's.
    assert with_buffers(lambda run: play_mamba2(run, MAMBA2), sizes(70)) == expected + 4 * 4


def test_wide_states_are_more_than_what_they_say() -> None:
    # With 64 states for each channel C in order of heads (256) and the states of the chunk in order (64 x 64 / 64
    # tokens) outweigh the three copies of what states say.
    wide = replace(MAMBA2, state_size=64)
    conv = 64 + 2 * 64
    beside = 2 * 64 * (64 + conv + 4 + conv + 4)
    per_token = 2 * 64 + 4 + 2 * 256 + 3 * 4 + 768 + 64 + 256 + 64
    states = 2 * 4096 + 4 * 4
    in_order = 64 * 256 + 4096
    expected = beside + 4 * (64 * per_token + states + in_order)
    assert peak_of(lambda run: play_mamba2(run, wide), sizes(64)) == expected


def test_state_space_with_heads_one_token() -> None:
    # Three states in fp32 and two in bf16; the projection, the convolution, time step and B.
    expected = 4 * 3 * 512 + 2 * 2 * 512 + 2 * (148 + 80 + 64 + 32)
    assert peak_of(lambda run: play_mamba2(run, MAMBA2), step(1000)) == expected


MAMBA = Mamba(hidden_size=32, intermediate_size=64, state_size=16, conv_kernel=4, time_step_rank=2)


def test_state_space_of_channels() -> None:
    # Of each token, channel and state 3 x 4 bytes; in fp32 the sum and a part of it; in bf16 x and gate, convolved,
    # the time step twice, what tokens say twice; time step, B and C (2 + 2 x 16).
    per_token = 4 * (3 * 1024 + 2 * 64) + 2 * (7 * 64 + 34)
    assert peak_of(lambda run: play_mamba(run, MAMBA), sizes(50, 3)) == 150 * per_token
    # Once normed, what the time step is made from is gone.
    assert peak_of(lambda run: play_mamba(run, MAMBA), sizes(50), CODE["jamba"]) == 50 * (per_token - 2 * 2)
    # A (64 x 16), the time steps' bias and D in fp32 are everybody's.
    assert with_buffers(lambda run: play_mamba(run, MAMBA), sizes(50)) == 50 * per_token + 4 * (1024 + 2 * 64)
    # One token: five states; x and gate, convolved, time step twice.
    assert peak_of(lambda run: play_mamba(run, MAMBA), step(9)) == 4 * 5 * 1024 + 2 * (5 * 64 + 34)


DELTA = GatedDeltaNet(
    hidden_size=32, linear_num_key_heads=2, linear_num_value_heads=4, linear_key_head_dim=16, linear_value_head_dim=16,
    linear_conv_kernel_dim=4,
)  # K 32 and V 64; for all heads of V, K is 64 too  # fmt: skip


@pytest.mark.parametrize(
    ("model_type", "projected"),
    [
        ("qwen3_5_text", 64 + 8),
        # All that one matrix made, and the gate, decays and rates in order.
        ("qwen3_next", 128 + 64 + 8 + 64 + 8),
        ("olmo_hybrid", 0),
    ],
)
def test_delta_net_over_a_prompt(model_type: str, projected: int) -> None:
    # 100 tokens are 2 chunks of 64. In bf16 what is projected and convolved (128), rates (4); decays in fp32.
    beside = 100 * (2 * (projected + 128 + 4) + 4 * 4)
    # In fp32, of each padded token: 4 of V, 5 of K's width, 3 x 4 decays and rates, 3 x 4 x 64 pairs; what chunks say
    # once more; of the chunk V and what it says.
    per_token = 4 * 64 + 5 * 64 + 12 + 768 + 64
    expected = beside + 4 * (128 * per_token + 2 * 4 + 64 * 2 * 64)
    code = CODE[model_type]
    assert peak_of(lambda run: play_delta_net(run, DELTA), sizes(100), code) == expected
    assert with_buffers(lambda run: play_delta_net(run, DELTA), sizes(100), code) == expected + 64 * 64


def test_delta_net_one_token() -> None:
    # Three states of 4 x 16 x 16 in fp32, six vectors of 64, and rates.
    vectors = 4 * (6 * 64 + 8) + 2 * (64 + 8 + 128 + 4) + 4 * 4
    found = peak_of(lambda run: play_delta_net(run, DELTA), step(1000), CODE["qwen3_5_text"])
    assert found == 4 * 3 * 1024 + vectors


def test_decays_of_channels_for_each_pair_of_tokens() -> None:
    # 3 heads of 16: for each padded token three times 64 x 48 in fp32, beside six vectors and a rate.
    kimi = architecture_of(
        {"model_type": "kimi_linear", "linear_num_heads": 3, "linear_head_dim": 16, "hidden_size": 64}
    )
    mixer = kimi.layers[0].mixer
    beside = 130 * (2 * (144 + 3) + 4 * 48)
    per_token = 3 * 64 * 48 + 6 * 48 + 3
    # The state, 3 x 16 x 16, is not there yet.
    expected = beside + 4 * (192 * per_token - 768)
    assert peak_of(lambda run: play_kimi_delta_attention(run, mixer), sizes(130)) == expected  # type: ignore[arg-type]


def test_short_convolution() -> None:
    # Three projections and what is made of two of them; 2 more tokens come out than go in; gated, in two layouts.
    conv = ShortConv(hidden_size=32, conv_L_cache=3)
    assert peak_of(lambda run: play_short_conv(run, conv), sizes(10, 3)) == 2 * 3 * 32 * (10 * (3 + 2) + 12)
    # One token: the three inputs before it too.
    assert peak_of(lambda run: play_short_conv(run, conv), step(10)) == 2 * 32 * (3 + 1 + 4 + 2)


def test_lightning_attention() -> None:
    # 4 heads of 8. Over 40 tokens in blocks of 16, of which the last has 8: Q, K and V (3 x 32), and what blocks say;
    # of the last block scores (4 x 8 x 8), what it says by itself, by the state, and both, and what it puts into the
    # state (4 x 8 x 8); beside these the norm's copies in fp32, of features and of rows.
    mixer = LightningAttention(hidden_size=32, num_attention_heads=4, head_dim=8, block_size=16)
    expected = 2 * (40 * 4 * 32 + 256 + 8 * 3 * 32 + 256) + 40 * 8 * (32 + 1)
    assert peak_of(lambda run: play_lightning_attention(run, mixer), sizes(40)) == expected
    # A block that takes all: its scores twice, V in order of heads and what it says.
    whole = replace(mixer, block_size=64)
    assert peak_of(lambda run: play_lightning_attention(run, whole), sizes(64, 3)) == 2 * 3 * (
        64 * 3 * 32 + 2 * 4 * 64 * 64 + 64 * 2 * 32
    )
    # One token: Q, K and V, and three states.
    assert peak_of(lambda run: play_lightning_attention(run, mixer), step(40)) == 2 * (3 * 32 + 3 * 256)


def test_a_gate_on_what_heads_say() -> None:
    # The gate is kept beside Q; at the end what heads say, the gate activated, and both.
    gated = replace(MIXER, output_gate=True)
    found = peak_of(lambda run: play_attention(run, gated), sizes(7), rotary_dim=0)
    assert found == 2 * 7 * (2 * 128 + 3 * 128)


# ------------------------------------------------------------------------------------ whole passes


def test_later_layers_have_no_cache_yet() -> None:
    # Three layers with a state, then attention, whose K and V (2 x 2 x 16 in bf16) come after the scans.
    small = architecture_of(
        {
            "model_type": "qwen3_next", "num_hidden_layers": 4, "hidden_size": 64, "num_attention_heads": 4,
            "num_key_value_heads": 2, "head_dim": 16, "linear_num_value_heads": 4, "linear_num_key_heads": 2,
            "linear_key_head_dim": 16, "linear_value_head_dim": 16, "num_experts": 4, "num_experts_per_tok": 2,
            "moe_intermediate_size": 8, "shared_expert_intermediate_size": 8,
        }
    )  # fmt: skip
    peak, _ = play(small, sizes(100, 3))
    assert peak.phase == "linear attention"
    assert held(peak, "less what later layers will cache") == -3 * 100 * 2 * 2 * 32
    # By fp8 it is half of that.
    peak, _ = play(small, replace(sizes(100, 3), cache_element_bytes=1))
    assert held(peak, "less what later layers will cache") == -3 * 100 * 2 * 32


def test_a_block_that_layers_share() -> None:
    # zamba2: its MLP's gate and up have an adapter's beside them, and their sum.
    zamba = architecture_of(
        {
            "model_type": "zamba2", "num_hidden_layers": 3, "hidden_size": 64, "num_attention_heads": 4,
            "num_key_value_heads": 4, "mamba_ngroups": 1, "n_mamba_heads": 8, "mamba_headdim": 16, "mamba_d_state": 16,
            "layer_types": ["linear_attention", "hybrid", "linear_attention"], "intermediate_size": 20_000,
        }
    )  # fmt: skip
    peak, _ = play(zamba, sizes(64))
    assert peak.phase == "mlp"
    assert held(peak, "gate and up, the adapter's, and their sum") == 2 * 64 * 6 * 20_000
    # The state of the layer's own state space (8 x 16 x 16 in fp32, 4 x 160 in bf16) comes behind; so does the next's.
    one = 4 * 2048 + 2 * 4 * (128 + 2 * 16)
    assert held(peak, "less the state, which comes later") == -one
    assert held(peak, "less what later layers will cache") == -one
    assert held(peak, "embeddings") == 2 * 2 * 64 * 64


def test_mamba_keeps_hidden_states_in_fp32() -> None:
    mamba = fixture_architecture("state-spaces--mamba-130m-hf")
    peak, head = play(mamba, sizes(512))
    assert held(peak, "input of the layer") == 4 * 512 * 768
    # The class makes fp32 logits of its own, which `generate()` copies.
    assert head.size_bytes(Share.OUTPUT) == 50_280 * (4 + 4)


def test_it_says_that_kernels_take_less() -> None:
    mamba = fixture_architecture("state-spaces--mamba-130m-hf")
    prefill, _, decode, _ = TRANSFORMERS.instants(mamba, workload_of(1000), element_bytes=2, cache_element_bytes=2)
    assert prefill.explanation == (
        "in the state space of the last layer, over all 1,000 tokens of input, as torch alone computes it; "
        "the kernels of mamba-ssm, where installed, take less"
    )
    assert decode.explanation.endswith("the kernels of mamba-ssm, where installed, take less")
    llama = fixture_architecture("meta-llama--Llama-3.1-8B")
    prefill, *_ = TRANSFORMERS.instants(llama, workload_of(1000), element_bytes=2, cache_element_bytes=2)
    assert "kernels" not in prefill.explanation


def test_without_attention_there_is_no_mask() -> None:
    mamba = fixture_architecture("state-spaces--mamba-130m-hf")
    peak, _ = play(mamba, sizes(100, attention=Attention.EAGER))
    assert held(peak, "additive mask") == 0
    assert TRANSFORMERS.resolve_attention(mamba, Attention.AUTO) is Attention.EAGER
