"""Layouts of which there is no sample, by the shapes that sources or published files give; and what is refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import pytest

from hubvram.checkpoint.packed.table import LAYOUTS
from hubvram.checkpoint.packed.unpack import Packed, Unpacked, unpack
from hubvram.config.quantization import Group
from tests.samples import checkpoint_of, declared

M: Final = "model.layers.3.self_attn.q_proj"
Tensors = Mapping[str, tuple[str, tuple[int, ...]]]


def unpacked(tensors: Tensors, *groups: Group, module: str = M) -> Unpacked:
    """Of tensors whose names start with that of the module."""
    named = {f"{module}{ending}": tensor for ending, tensor in tensors.items()}
    checkpoint = checkpoint_of({n: s for n, (_, s) in named.items()}, {n: d for n, (d, _) in named.items()})
    return unpack(checkpoint.kinds, declared("any", *groups))


def the_only(tensors: Tensors, *groups: Group, module: str = M) -> Packed:
    found = unpacked(tensors, *groups, module=module)
    assert not found.unknown and len(found.parameters) == 1
    assert len(found.scales) == len(tensors) - 1
    (packed,) = found.packed
    return packed


CASES: Final[Mapping[str, tuple[tuple[int, ...], dict[str, Any]]]] = {
    # quantization_config.json of UnstableLlama/Qwen3.6-35B-A3B-DFlash-exl3-3.50bpw: a q_proj of 2048 -> 4096.
    "exl3": (
        (4096, 2048),
        {".trellis": ("I16", (128, 256, 64)), ".suh": ("F16", (2048,)), ".svh": ("F16", (4096,)), ".mcg": ("I32", ())},
    ),
    # auto_gptq 0.7.1 qlinear_marlin.py: B of [n / 16, m x 16 x 4 / 32], s of [n / group, m].
    "gptq-marlin": (
        (512, 256),
        {".B": ("I32", (16, 1024)), ".s": ("F16", (2, 512)), ".workspace": ("I32", (64,))},
    ),
    # Written by compressed-tensors 0.11.0's Marlin24Compressor for 4 bit, groups of 128.
    "marlin-24": (
        (256, 512),
        {".weight_packed": ("I32", (16, 512)), ".scale_packed": ("F16", (4, 256)), ".meta": ("I16", (16, 512))},
    ),
    # aqlm 1.1.7's QuantizedLinear(512, 256): in groups of 8, a codebook of 2^16.
    "aqlm": (
        (256, 512),
        {
            ".codes": ("I16", (256, 64, 1)),
            ".codebooks": ("F16", (1, 65536, 1, 8)),
            ".scales": ("F16", (256, 1, 1, 1)),
        },
    ),
    # transformers 5.23.0 integrations/higgs.py, HiggsLinear(512, 256) of 4 bit, groups of 256.
    "higgs": (
        (256, 512),
        {
            ".weight": ("I16", (64, 512)),
            ".scales": ("F16", (256, 2)),
            ".tables": ("F16", (16,)),
            ".tables2": ("F16", (16, 16, 2)),
        },
    ),
    # integrations/bitnet.py, BitLinear(512, 256).
    "bitnet": ((256, 512), {".weight": ("U8", (64, 512)), ".weight_scale": ("BF16", (1,))}),
    # integrations/eetq.py, EetqLinear(512, 256).
    "eetq": ((256, 512), {".weight": ("I8", (512, 256)), ".weight_scales": ("F16", (256,))}),
    # integrations/fbgemm_fp8.py, FbgemmFp8Linear(512, 256).
    "fp8-channel": ((256, 512), {".weight": ("F8_E4M3", (256, 512)), ".weight_scale": ("F32", (256, 1))}),
    # DeepSeek-V4 names its scales so; 7168 x 1536 in blocks of 128.
    "fp8-block": ((7168, 1536), {".weight": ("F8_E4M3", (7168, 1536)), ".scale": ("F8_E8M0", (56, 12))}),
    # integrations/finegrained_fp8.py 745-770: its experts, with an exponent for each 32 inputs.
    "fp4": ((2048, 4096), {".weight": ("I8", (2048, 2048)), ".scale": ("F8_E8M0", (2048, 128))}),
    # AutoFP8 (vllm), scales of the whole matrix.
    "fp8": (
        (256, 512),
        {".weight": ("F8_E4M3", (256, 512)), ".weight_scale": ("F32", ()), ".input_scale": ("F32", ())},
    ),
    # fp_quant 0.3.2 module/linear.py.
    "mxfp4": (
        (256, 512),
        {
            ".qweight": ("U8", (256, 256)),
            ".scales": ("U8", (256, 16)),
            ".weight_global_scale": ("F32", (1,)),
            ".forward_hadamard_matrix": ("BF16", (32, 32)),
        },
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_shapes_from_sources(name: str) -> None:
    shape, tensors = CASES[name]
    packed = the_only(tensors)
    assert (packed.layout.name, packed.shape) == (name, shape)
    assert packed.weights.name == f"{M}.weight".replace("3", "0")


def test_exl2_pads_its_outputs() -> None:
    # exllamav2 adaptivegptq.py pack(): 250 outputs are stored as 256.
    packed = the_only(
        {
            ".q_weight": ("I32", (64, 256)),
            ".q_scale": ("I32", (4, 32)),
            ".q_scale_max": ("F16", (4,)),
            ".q_groups": ("I16", (8,)),
            ".q_invperm": ("I32", (512,)),
        }
    )
    assert (packed.weights.shape, packed.weights.padding, packed.shape) == ((256, 512), 31 * 512, None)


def test_gptq_without_an_index() -> None:
    # 3 bit, groups of 128: 512 x 3 / 32 words along the inputs, 256 x 3 / 32 along the outputs.
    packed = the_only({".qweight": ("I32", (48, 256)), ".qzeros": ("I32", (4, 24)), ".scales": ("F16", (4, 256))})
    assert (packed.layout.name, packed.shape) == ("gptq", (256, 512))


@pytest.mark.parametrize(("bits", "words"), [(2, 6), (3, 10), (4, 12), (5, 16), (6, 20), (8, 24)])
def test_words_of_older_compressed_tensors(bits: int, words: int) -> None:
    # Version 0.11.0 packed 96 weights of so many bits into so many words: none over the end of one.
    packed = the_only(
        {".weight_packed": ("I32", (8, words)), ".weight_scale": ("BF16", (8, 3)), ".weight_shape": ("I64", (2,))},
        Group(bits=bits, group_size=32),
    )
    assert packed.shape == (8, 96)


def test_groups_are_told_by_their_shapes() -> None:
    both = (Group(bits=4, group_size=128), Group(bits=8, group_size=128), Group(bits=8))
    four = {".weight_packed": ("I32", (8, 64)), ".weight_scale": ("BF16", (8, 4))}
    eight = {".weight_packed": ("I32", (8, 128)), ".weight_scale": ("BF16", (8, 4))}
    row = {".weight_packed": ("I32", (8, 128)), ".weight_scale": ("BF16", (8, 1))}
    assert the_only(four, *both).shape == the_only(eight, *both).shape == (8, 512)
    assert the_only(row, *both).weights.shape == (8, 512)
    # 8 groups of 128 with 4 bit, or of 64 with 8: nobody can tell.
    either = {".weight_packed": ("I32", (8, 128)), ".weight_scale": ("BF16", (8, 8))}
    assert unpacked(either, Group(bits=4, group_size=128), Group(bits=8, group_size=64)).unknown


def test_rows_with_one_scale_may_be_padded() -> None:
    tensors = {".weight_packed": ("I32", (8, 43)), ".weight_scale": ("BF16", (8, 1))}
    packed = the_only(tensors, Group(bits=4))
    assert (packed.weights.shape, packed.weights.padding, packed.shape) == ((8, 344), 8 * 7, None)
    # With two widths declared, the shapes do not tell which of them it is.
    assert unpacked(tensors, Group(bits=4), Group(bits=8)).unknown
    assert unpacked(tensors).unknown


def test_mlx() -> None:
    tensors = {".weight": ("U32", (256, 64)), ".scales": ("BF16", (256, 8)), ".biases": ("BF16", (256, 8))}
    assert the_only(tensors, Group(bits=4, group_size=64)).shape == (256, 512)
    assert unpacked(tensors, Group(bits=8, group_size=64)).unknown
    assert unpacked(tensors).unknown


EXPERTS: Final = "model.layers.0.mlp.experts"


def test_mxfp4_holds_two_weights_in_a_byte() -> None:
    # gpt-oss-20b: 32 experts, 2880 inputs in 90 groups of 32.
    found = unpacked(
        {
            ".down_proj_blocks": ("U8", (32, 2880, 90, 16)),
            ".down_proj_scales": ("U8", (32, 2880, 90)),
            ".down_proj_bias": ("BF16", (32, 2880)),
        },
        module=EXPERTS,
    )
    assert {kind.name: kind.shape for kind in found.parameters} == {
        f"{EXPERTS}.down_proj_bias": (32, 2880),
        f"{EXPERTS}.down_proj": (32, 2880, 2880),
    }
    assert [kind.name for kind in found.scales] == [f"{EXPERTS}.down_proj_scales"]


def test_experts_in_one_tensor() -> None:
    # FbgemmFp8Llama4TextExperts: [experts, hidden, 2 x inner], a scale for each column.
    fp8 = {".gate_up_proj": ("F8_E4M3", (16, 64, 96)), ".gate_up_proj_scale": ("F32", (16, 1, 96))}
    assert the_only(fp8, module=EXPERTS).shape == (16, 64, 96)
    fp4 = {
        ".gate_up_proj": ("U8", (16, 96, 32)),
        ".gate_up_proj_weight_scale": ("F8_E4M3", (16, 96, 4)),
        ".gate_up_proj_weight_scale_2": ("F32", ()),
    }
    packed = the_only(fp4, module=EXPERTS)
    assert (packed.weights.parameters, packed.shape) == (16 * 96 * 64, None)


NOT_PACKED: Final[Mapping[str, tuple[str, tuple[int, ...]]]] = {
    # MiniMax-M2.5 has routers in F32, DeepSeek-V3 corrections of them, gpt-oss sinks.
    "model.layers.0.block_sparse_moe.gate.weight": ("F32", (256, 64)),
    "model.layers.0.mlp.gate.e_score_correction_bias": ("F32", (256,)),
    "model.layers.0.self_attn.sinks": ("BF16", (64,)),
    "model.layers.0.self_attn.slopes.scale": ("F32", (64,)),
    "model.norm.weight": ("F32", (64,)),
}


def test_what_has_no_packed_tensor_beside_it_is_a_parameter() -> None:
    fp8 = {f"{M}.weight": ("F8_E4M3", (64, 64)), f"{M}.weight_scale_inv": ("F32", (1, 1))}
    found = unpacked({**NOT_PACKED, **fp8}, module="")
    assert {kind.name for kind in found.parameters if kind.layout is None} == set(NOT_PACKED)


REFUSED: Final[Mapping[str, Tensors]] = {
    "no scales": {".qweight": ("I32", (64, 256))},
    "scales of another width": {
        ".qweight": ("I32", (64, 256)), ".scales": ("F16", (4, 255)), ".g_idx": ("I32", (512,)),
    },
    "more groups than inputs": {
        ".qweight": ("I32", (64, 256)), ".scales": ("F16", (513, 256)), ".g_idx": ("I32", (512,)),
    },
    "rows of no bits": {
        ".qweight": ("I32", (0, 256)), ".scales": ("F16", (4, 256)), ".g_idx": ("I32", (512,)),
    },
    "rows of 7 bits": {
        ".qweight": ("I32", (112, 256)), ".scales": ("F16", (4, 256)), ".g_idx": ("I32", (512,)),
    },
    "columns of 16 bits": {
        ".qweight": ("I32", (512, 128)), ".scales": ("F16", (4, 256)), ".qzeros": ("I32", (4, 128)),
    },
    "no columns": {
        ".qweight": ("I32", (512, 0)), ".scales": ("F16", (4, 256)), ".qzeros": ("I32", (4, 0)),
    },
    "HQQ without rows": {".W_q": ("U8", (0, 64)), ".scale": ("F16", (2048, 1))},
    "HQQ of three bits in bytes": {".W_q": ("U8", (768, 64)), ".scale": ("F16", (2048, 1))},
    "HQQ of words that are too many": {".W_q": ("I32", (206, 64)), ".scale": ("F16", (2048, 1))},
    "exl2 of 16 bits": {
        ".q_weight": ("I32", (256, 256)), ".q_scale": ("I32", (4, 32)), ".q_invperm": ("I32", (512,)),
    },
    "exl3 without bits": {".trellis": ("I16", (8, 8, 0)), ".suh": ("F16", (128,)), ".svh": ("F16", (128,))},
    "HIGGS of one bit": {
        ".weight": ("I16", (16, 512)), ".scales": ("F16", (256, 2)),
        ".tables": ("F16", (16,)), ".tables2": ("F16", (16, 16, 2)),
    },
    "half of marlin-24's words": {
        ".weight_packed": ("I32", (16, 256)), ".scale_packed": ("F16", (4, 256)), ".meta": ("I16", (16, 512)),
    },
    "a scalar": {".weight": ("U8", ()), ".weight_scale": ("U8", ())},
    "bytes without a scale": {".weight": ("U8", (64, 256))},
    "integers without a scale": {".weight": ("I8", (64, 256))},
    "another rank": {".trellis": ("I16", (8, 8)), ".suh": ("F16", (128,)), ".svh": ("F16", (128,))},
    "blocks without groups": {"_blocks": ("U8", (4,)), "_scales": ("U8", (4,))},
}  # fmt: skip


@pytest.mark.parametrize("why", REFUSED)
def test_what_does_not_match_is_packed_in_a_way_that_is_not_known(why: str) -> None:
    found = unpacked(REFUSED[why], Group(bits=4, group_size=128))
    assert found.unknown and not found.packed


def test_layers_may_differ() -> None:
    """In shapes under one name (w1 and w3, w2), in groups, in what is packed at all."""
    shapes: dict[str, tuple[int, ...]] = {}
    dtypes: dict[str, str] = {}

    def add(module: str, out: int, into: int, group: int) -> None:
        for ending, dtype, shape in (
            (".qweight", "I32", (into // 8, out)),
            (".scales", "F16", (into // group, out)),
            (".g_idx", "I32", (into,)),
        ):
            shapes[module + ending], dtypes[module + ending] = shape, dtype

    for expert in range(3):
        add(f"model.layers.1.experts.{expert}.w1", 512, 256, 128)
        add(f"model.layers.1.experts.{expert}.w2", 256, 512, 64 if expert == 2 else 128)
    shapes["model.layers.2.experts.0.w1.weight"] = (512, 256)
    found = unpack(checkpoint_of(shapes, dtypes).kinds, None)
    assert not found.unknown
    assert sorted((it.weights.shape, len(it.weights.members)) for it in found.packed) == [
        ((256, 512), 1), ((256, 512), 2), ((512, 256), 3),
    ]  # fmt: skip
    assert [kind.name for kind in found.parameters if kind.layout is None] == ["model.layers.0.experts.0.w0.weight"]


def test_a_layer_without_its_scales_is_not_known() -> None:
    shapes: dict[str, tuple[int, ...]] = {}
    for layer in range(3):
        shapes[f"model.layers.{layer}.up.weight"] = (64, 32)
        shapes[f"model.layers.{layer}.up.weight_scale"] = (64, 4)
    del shapes["model.layers.1.up.weight_scale"]
    found = unpack(checkpoint_of(shapes, {n: "F8_E4M3" if "scale" in n else "U8" for n in shapes}).kinds, None)
    assert [len(it.weights.members) for it in found.packed] == []
    # Two-byte groups of 16 need a second scale (ModelOpt), or one for 32 that is an exponent.
    dtypes = dict.fromkeys(shapes, "U8")
    shapes = {n: (64, 2) if "scale" in n else shape for n, shape in shapes.items()}
    found = unpack(checkpoint_of(shapes, dtypes).kinds, None)
    assert [len(it.weights.members) for it in found.packed] == [2]
    assert [tensor.name for kind in found.unknown for tensor in kind.members] == ["model.layers.1.up.weight"]


def test_nothing_packed_is_left_as_it_is() -> None:
    kinds = checkpoint_of({"a.weight_scale": (3,), "b.weight": (3, 3)}).kinds
    assert unpack(kinds, None).parameters is kinds


def test_every_layout_has_a_method_and_endings_of_its_own() -> None:
    for layout in LAYOUTS:
        assert layout.methods and layout.dtypes and layout.ending not in layout.needs
        assert len({*layout.needs, *layout.extras}) == len((*layout.needs, *layout.extras)), layout.name
