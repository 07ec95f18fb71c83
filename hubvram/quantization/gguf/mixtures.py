"""What llama-quantize calls a file's type: a base type, and other types for some tensors.

From llama_tensor_get_type_impl of src/llama-quant.cpp, as it was at `LLAMA_CPP`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from hubvram.quantization.gguf import conditions as when
from hubvram.quantization.gguf.conditions import Rules, everywhere
from hubvram.quantization.gguf.types import bits_per_weight

LLAMA_CPP: Final = "llama.cpp 0c1e57098 (October 2026)"
"""The version that everything here describes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mixture:
    """A base type, and the rules of the tensors that may get another."""

    base: str
    but: str = ""
    """In words, what is not of the base type."""
    attn_v: Rules = ()
    attn_k: Rules = ()
    attn_q: Rules = ()
    attn_output: Rules = ()
    ffn_down: Rules = ()
    ffn_gate_up: Rules = ()
    fused_before_2026: Rules = ()
    """attn_qkv, when llama.cpp did not yet count it as attn_v."""
    token_embd: str | None = None
    head: str = "q6_k"
    """Of the output matrix; of the embedding where that is both."""
    eight_experts_output: str | None = None
    """attn_output in a model of exactly 8 experts."""
    falcon: Mapping[str, Rules] = field(default_factory=dict)
    """Role -> rules that falcon has instead."""
    tiny: bool = False
    """Whether it is of the IQ1 and IQ2 family, which llama.cpp treats apart."""
    usual_imatrix: bool = False
    """Whether files of it are usually made with an importance matrix."""
    needs_imatrix: bool = False
    """Whether llama-quantize refuses to make it without one."""
    plain: bool = False
    """Whether nothing is quantized."""

    @property
    def bits(self) -> int:
        """Of a weight, as the base type's name has them."""
        return int("".join(filter(str.isdigit, self.base.partition("_")[0])))

    @property
    def description(self) -> str:
        """One line for a list of names."""
        bits = f"{bits_per_weight(self.base):g} bits: {self.base.upper()}"
        needs = "needs an importance matrix" if self.needs_imatrix else ""
        return "; ".join(filter(None, (bits, self.but, needs)))


_HEAD: Final = "head Q6_K"
_TERNARY: Final = f"for weights of -1, 0 and 1; embedding Q4_K, {_HEAD}"
_TINY_V: Final[Rules] = (("q4_k", when.few_kv_heads_or_experts), ("q2_k", when.always))
_SMALL_V: Final[Rules] = (("q4_k", when.few_kv_heads_or_experts), ("iq3_s", when.always))
_SHARED_V: Final[Rules] = (("q4_k", when.few_kv_heads),)
_HALF_Q6: Final[Rules] = (("q6_k", when.more_bits),)


def _plain(name: str) -> Mixture:
    return Mixture(base=name, but="" if name == "f32" else "norms and routers F32", plain=True)


def _tiny(base: str, output: Rules = ()) -> Mixture:
    return Mixture(
        base=base,
        but="attn_v, first ffn_down and embedding Q2_K, head Q5_K",
        attn_v=_TINY_V,
        attn_output=output,
        ffn_down=(("q2_k", when.first_eighth),),
        token_embd="q2_k",
        head="q5_k",
        eight_experts_output="q5_k",
        tiny=True,
        usual_imatrix=True,
        needs_imatrix=True,
    )


def _small(base: str) -> Mixture:
    return Mixture(
        base=base,
        but="attn_v, attn_output, first ffn_down and embedding IQ3_S, head Q5_K",
        attn_v=_SMALL_V,
        attn_output=everywhere("iq3_s"),
        ffn_down=(("iq3_s", when.first_eighth),),
        token_embd="iq3_s",
        head="q5_k",
        eight_experts_output="q5_k",
        tiny=True,
        usual_imatrix=True,
        needs_imatrix=True,
    )


def _four(base: str) -> Mixture:
    return Mixture(
        base=base,
        but=f"attn_v Q5_K where KV heads are few, {_HEAD}",
        attn_v=(("q5_k", when.few_kv_heads),),
        ffn_down=(("q5_k", when.both(when.first_eighth, when.without_imatrix)),),
        eight_experts_output="q5_k",
        usual_imatrix=True,
    )


def _of_32(base: str, finer: str | None = None) -> Mixture:
    """The types of the beginning, in blocks of 32; with an importance matrix, `finer` for the first ffn_down."""
    down: Rules = ((finer, when.both(when.first_eighth, when.with_imatrix)),) if finer else ()
    return Mixture(base=base, but=_HEAD, ffn_down=down)


MIXTURES: Final[Mapping[str, Mixture]] = {
    "f32": _plain("f32"),
    "f16": _plain("f16"),
    "bf16": _plain("bf16"),
    "q8_0": Mixture(base="q8_0", but="the head too", head="q8_0"),
    "q6_k": Mixture(base="q6_k", but="the head too"),
    "q5_k_m": Mixture(
        base="q5_k",
        but=f"Q6_K for half of attn_v and ffn_down, {_HEAD}",
        attn_v=_HALF_Q6,
        ffn_down=_HALF_Q6,
        fused_before_2026=everywhere("q6_k"),
    ),
    "q5_k_s": Mixture(base="q5_k", but=_HEAD),
    "q5_1": _of_32("q5_1"),
    "q5_0": _of_32("q5_0", "q5_1"),
    "q4_k_m": Mixture(
        base="q4_k",
        but=f"Q6_K for half of attn_v and ffn_down, {_HEAD}",
        attn_v=_HALF_Q6,
        ffn_down=_HALF_Q6,
        fused_before_2026=everywhere("q5_k"),
        eight_experts_output="q5_k",
        falcon={"ffn_down": (("q6_k", when.first_sixteenth), ("q5_k", when.more_bits))},
    ),
    "q4_k_s": Mixture(
        base="q4_k",
        but=f"Q5_K for the first attn_v and ffn_down, {_HEAD}",
        attn_v=(("q5_k", when.first(4)),),
        ffn_down=(("q5_k", when.first_eighth),),
        eight_experts_output="q5_k",
        falcon={"ffn_down": ()},
    ),
    "q4_1": _of_32("q4_1"),
    "q4_0": _of_32("q4_0", "q4_1"),
    "iq4_nl": _four("iq4_nl"),
    "iq4_xs": _four("iq4_xs"),
    "q3_k_l": Mixture(
        base="q3_k",
        but=f"attn_v, attn_output and ffn_down Q5_K, {_HEAD}",
        attn_v=everywhere("q5_k"),
        attn_output=everywhere("q5_k"),
        ffn_down=everywhere("q5_k"),
        fused_before_2026=everywhere("q4_k"),
        falcon={"ffn_down": everywhere("q4_k"), "attn_output": everywhere("q4_k")},
    ),
    "q3_k_m": Mixture(
        base="q3_k",
        but=f"attn_v, attn_output and ffn_down Q4_K, the first of them Q5_K, {_HEAD}",
        attn_v=(("q5_k", when.first(2)), ("q4_k", when.always)),
        attn_output=everywhere("q4_k"),
        ffn_down=(("q5_k", when.first_sixteenth), ("q4_k", when.always)),
        fused_before_2026=everywhere("q4_k"),
        eight_experts_output="q5_k",
        falcon={"ffn_down": (("q5_k", when.first_sixteenth), ("q4_k", when.more_bits))},
    ),
    "q3_k_s": Mixture(base="q3_k", but=_HEAD, eight_experts_output="q5_k"),
    "iq3_m": Mixture(
        base="iq3_s",
        but=f"attn_v, attn_output and first ffn_down Q4_K, {_HEAD}",
        attn_v=everywhere("q4_k"),
        attn_output=everywhere("q4_k"),
        ffn_down=(("q4_k", when.first_eighth_or_more_of_eight_experts),),
        fused_before_2026=everywhere("q4_k"),
        eight_experts_output="q5_k",
        usual_imatrix=True,
    ),
    "iq3_s": Mixture(
        base="iq3_s",
        but=f"attn_v Q4_K where KV heads are few, {_HEAD}",
        attn_v=_SHARED_V,
        eight_experts_output="q5_k",
        usual_imatrix=True,
    ),
    "iq3_xs": Mixture(
        base="iq3_s",
        but=f"IQ3_XXS for attn_q, attn_k and most of ffn_gate and ffn_up, {_HEAD}",
        attn_v=_SHARED_V,
        attn_k=everywhere("iq3_xxs"),
        attn_q=everywhere("iq3_xxs"),
        ffn_gate_up=(("iq3_xxs", when.between),),
        eight_experts_output="q5_k",
        usual_imatrix=True,
        needs_imatrix=True,
    ),
    "iq3_xxs": Mixture(
        base="iq3_xxs",
        but="attn_q and attn_k IQ2_S, attn_output and embedding IQ3_S, head Q5_K",
        attn_v=(("q4_k", when.few_kv_heads), ("iq3_s", when.without_imatrix)),
        attn_k=everywhere("iq2_s"),
        attn_q=everywhere("iq2_s"),
        attn_output=everywhere("iq3_s"),
        ffn_down=(
            ("q4_k", when.both(when.first_eighth, when.without_imatrix)),
            ("q3_k", when.without_imatrix),
        ),
        token_embd="iq3_s",
        head="q5_k",
        eight_experts_output="q5_k",
        usual_imatrix=True,
        needs_imatrix=True,
    ),
    "q2_k": Mixture(
        base="q2_k",
        but=f"attn_v, attn_output and ffn_down Q3_K, {_HEAD}",
        attn_v=(("q4_k", when.few_kv_heads), ("q3_k", when.always)),
        attn_output=everywhere("q3_k"),
        ffn_down=everywhere("q3_k"),
        eight_experts_output="q5_k",
    ),
    "q2_k_s": Mixture(
        base="q2_k",
        but=f"first ffn_down Q4_K, {_HEAD}",
        attn_v=_SHARED_V,
        ffn_down=(("q4_k", when.first_eighth),),
        usual_imatrix=True,
        needs_imatrix=True,
    ),
    "iq2_m": _small("iq2_s"),
    "iq2_s": _small("iq2_xs"),
    "iq2_xs": _tiny("iq2_xs"),
    "iq2_xxs": _tiny("iq2_xxs"),
    "iq1_m": _tiny("iq1_m", everywhere("iq2_xxs")),
    "iq1_s": _tiny("iq1_s", everywhere("iq2_xxs")),
    "tq2_0": Mixture(base="tq2_0", but=_TERNARY, token_embd="q4_k"),
    "tq1_0": Mixture(base="tq1_0", but=_TERNARY, token_embd="q4_k"),
    "q2_0": Mixture(base="q2_0", but=f"embedding Q4_K, {_HEAD}", token_embd="q4_k"),
    "q1_0": Mixture(base="q1_0", but=_HEAD),
    "mxfp4_moe": Mixture(base="mxfp4", but="for the experts, everything else Q8_0", head="q8_0"),
}
"""Name -> what it is, from large to small; the last is for models with experts."""
