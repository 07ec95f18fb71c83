"""What a model class of an encoder puts on top, by the end of its name: a pooler, a head over words or labels.

Read from the classes in each model's `modeling_*.py` in transformers 5.23.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from hubvram.architecture.families import weights
from hubvram.architecture.families.decoder import Switch, switch
from hubvram.architecture.families.fields import labels_of
from hubvram.architecture.families.weights import norm
from hubvram.architecture.parts import Linear, Weight
from hubvram.checkpoint.components import NEXT_SENTENCE, POOLER, Component
from hubvram.config.document import ConfigDocument

LABELS: Final = "labels"
WORDS: Final = "vocab_size"

ReadHeadWeights = Callable[[ConfigDocument], tuple[Weight, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Top:
    """What one class has above the layers; by default nothing."""

    pooler: bool = False
    """Whether a matrix makes one vector of the first token's."""
    dense: bool = False
    """Whether a matrix stands before the head."""
    norm: bool = False
    """Whether a norm stands between that matrix and the head."""
    width: str | None = None
    """The config field with the width between the two, where that is not hidden_size."""
    rows: str | int | None = None
    """What the head makes: so many numbers, one for each word or each label; None without a head."""
    bias: Switch = True
    dense_bias: Switch = True
    norm_bias: Switch = True
    others: ReadHeadWeights | None = None
    """What else it has."""
    vectors: int = 1
    """How many vectors of hidden_size the head reads side by side."""
    dense_component: Component = Component.HEAD


Tops = Mapping[str, Top]
"""End of a class name -> what the class puts on top."""


def top_of(tops: Tops, architectures: tuple[str, ...]) -> Top:
    """By the longest ending that fits; the base model's where no class is named, or one that is not in the table."""
    name = architectures[0] if architectures else ""
    endings = sorted((ending for ending in tops if name.endswith(ending)), key=len)
    return tops[endings[-1] if endings else "Model"]


_OF_THE_WHOLE: Final = (
    *("ForSequenceClassification", "ForMultipleChoice", "ForNextSentencePrediction", "ForImageClassification"),
    "ForImageClassificationWithTeacher",
)


def reads_all(architectures: tuple[str, ...]) -> bool:
    """Whether the class's head says something of every token."""
    return not any(name.endswith(_OF_THE_WHOLE) for name in architectures[:1])


def read_top(config: ConfigDocument, top: Top, hidden_size: int) -> tuple[Linear | None, tuple[Weight, ...]]:
    """(the head, what stands around it)."""
    around: list[Weight] = []
    pooled = config.size_or_none("pooler_hidden_size") or hidden_size
    if top.pooler:
        around.append(linear(POOLER, pooled, pooled))
        hidden_size = pooled
    width = (config.size_or_none(top.width) if top.width else None) or hidden_size
    if top.dense:
        before = linear("dense", width, hidden_size, bias=switch(config, top.dense_bias))
        around.append(replace(before, component=top.dense_component))
        hidden_size = width
    if top.norm:
        around += norm("head norm", width, Component.HEAD, bias=switch(config, top.norm_bias))
    if top.others is not None:
        around += top.others(config)
    if top.rows is None:
        return None, tuple(around)
    rows = {LABELS: labels_of, WORDS: _words}[top.rows](config) if isinstance(top.rows, str) else top.rows
    head = Linear(name="head", out_features=rows, in_features=top.vectors * hidden_size, bias=switch(config, top.bias))
    return head, tuple(around)


def _words(config: ConfigDocument) -> int:
    return config.size("vocab_size")


def linear(name: str, rows: int, columns: int, *, bias: bool = True) -> Linear:
    """A matrix above the layers."""
    return weights.linear(name, rows, columns, bias=bias, component=Component.HEAD)


def two_sentences(config: ConfigDocument) -> tuple[Weight, ...]:
    """Whether one sentence follows another."""
    return (linear(NEXT_SENTENCE, 2, config.size("hidden_size")),)


def _questions(config: ConfigDocument) -> tuple[Weight, ...]:
    """The MLP in big_bird's head for questions."""
    hidden, inner = config.size("hidden_size"), config.size("intermediate_size")
    return (
        linear("up", inner, hidden),
        linear("down", hidden, inner),
        *norm("head norm", hidden, Component.HEAD),
    )


def _summary(config: ConfigDocument) -> tuple[Weight, ...]:
    """The matrix in electra's head for choices, which old configs can turn off."""
    hidden, used = config.size("hidden_size"), config.get(bool, "summary_use_proj")
    return () if used is False else (linear("summary", hidden, hidden),)


_WORDS: Final = Top(rows=WORDS, dense=True, norm=True)
_LABELS: Final = Top(rows=LABELS)
_POOLED: Final = Top(rows=LABELS, pooler=True)
_DENSE: Final = Top(rows=LABELS, dense=True)
_BASE: Final = Top(pooler=True)
_CHOICE: Final = Top(rows=1, pooler=True)

_ALL: Final[Tops] = {
    "Model": _BASE,
    "ForMaskedLM": _WORDS,
    "LMHeadModel": _WORDS,
    "ForCausalLM": _WORDS,
    "ForTokenClassification": _LABELS,
    "ForQuestionAnswering": _LABELS,
    "ForMultipleChoice": _CHOICE,
}


BERT: Final[Tops] = {
    **_ALL,
    "ForPreTraining": replace(_WORDS, pooler=True, others=two_sentences),
    "ForNextSentencePrediction": Top(pooler=True, others=two_sentences),
    "ForSequenceClassification": _POOLED,
}
ROC_BERT: Final[Tops] = {**BERT, "ForPreTraining": replace(_WORDS, pooler=True)}
ALBERT: Final[Tops] = {end: replace(top, width="embedding_size") for end, top in BERT.items()}
REMBERT: Final[Tops] = {end: replace(top, width="output_embedding_size") for end, top in BERT.items()}
ROBERTA: Final[Tops] = {**_ALL, "ForSequenceClassification": _DENSE}
BIG_BIRD: Final[Tops] = {
    **BERT,
    "ForMaskedLM": replace(_WORDS, pooler=True),
    "ForCausalLM": replace(_WORDS, pooler=True),
    "ForSequenceClassification": replace(_DENSE, pooler=True),
    "ForTokenClassification": _POOLED,
    "ForQuestionAnswering": replace(_LABELS, others=_questions),
}
_WITHOUT_POOLER: Final[Tops] = {**ROBERTA, "Model": Top(), "ForMultipleChoice": Top(rows=1)}
DISTILBERT: Final[Tops] = {
    **_WITHOUT_POOLER,
    "ForSequenceClassification": _DENSE,
    "ForMultipleChoice": Top(rows=1, dense=True),
}
_NARROW: Final = replace(_WORDS, width="embedding_size")
ROFORMER: Final[Tops] = {**_WITHOUT_POOLER, "ForMaskedLM": _NARROW, "ForCausalLM": _NARROW}
ELECTRA: Final[Tops] = {
    **ROFORMER,
    "ForPreTraining": Top(rows=1, dense=True),
    "ForMultipleChoice": Top(rows=1, others=_summary),
}
DEBERTA: Final[Tops] = {**ROFORMER, "ForSequenceClassification": _POOLED, "ForMultipleChoice": _CHOICE}
BERT_GENERATION: Final[Tops] = {"Model": Top(), "Decoder": Top(rows=WORDS)}
MODERNBERT: Final[Tops] = {
    "Model": Top(),
    **{
        end: Top(rows=rows, dense=True, norm=True, bias=bias, dense_bias="classifier_bias", norm_bias="norm_bias")
        for end, rows, bias in (
            ("ForMaskedLM", WORDS, "decoder_bias"),
            ("ForSequenceClassification", LABELS, True),
            ("ForTokenClassification", LABELS, True),
            ("ForQuestionAnswering", LABELS, True),
            ("ForMultipleChoice", 1, True),
        )
    },
}
GTE: Final[Tops] = {**BERT, "Model": Top()}
EUROBERT: Final[Tops] = {
    "Model": Top(),
    "ForMaskedLM": Top(rows=WORDS, bias="mlp_bias"),
    "ForSequenceClassification": _DENSE,
    "ForTokenClassification": _LABELS,
}
