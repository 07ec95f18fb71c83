"""The type of every tensor is the one that llama.cpp's quantizer gives it (fixtures/gguf/README.md)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from hashlib import sha256
from itertools import groupby
from typing import Any

import pytest

from benchmarks.gguf import layout_of_repo
from hubvram.quantization.gguf.facts import GgufFacts
from hubvram.quantization.gguf.layout import OUTSIDE, GgufLayout, GgufTensor
from hubvram.quantization.gguf.mixtures import MIXTURES
from hubvram.quantization.gguf.names import NORM
from hubvram.quantization.gguf.reasons import NotPossibleError
from hubvram.quantization.gguf.rules import fitting, types_of
from hubvram.quantization.gguf.types import tensor_bytes
from tests.samples import CORPUS, FIXTURES

_WITH_IMATRIX = "+imatrix"
_HASH = 12


def recorded(file: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (FIXTURES / "gguf" / file).read_text(encoding="utf-8").splitlines()]


TYPES = {line["repo"]: line["mixtures"] for line in recorded("types.jsonl")}
RANDOM = recorded("random.jsonl")


def kinds(layout: GgufLayout, row: str) -> list[str]:
    """The types of a row's mixture, in the layout's order."""
    mixture = MIXTURES[row.removesuffix(_WITH_IMATRIX)]
    wanted = types_of(layout, mixture, imatrix=row.endswith(_WITH_IMATRIX))
    return [fitting(kind, tensor) for kind, tensor in zip(wanted, layout.tensors, strict=True)]


def full_name(tensor: GgufTensor) -> str:
    if tensor.role == NORM:
        return NORM
    return tensor.name if tensor.block == OUTSIDE else f"blk.{tensor.block}.{tensor.name}"


def digest(lines: list[str], separator: str = "\n") -> str:
    return sha256(separator.join(lines).encode()).hexdigest()[:_HASH]


@pytest.mark.parametrize("repo", TYPES)
def test_types_of_real_models(repo: str) -> None:
    untied = repo in ("Qwen/Qwen3-0.6B", "tiiuae/falcon-180B-chat")  # the files store the head, the converter keeps it
    layout = layout_of_repo(repo, CORPUS if CORPUS.is_dir() else None, untied=untied)
    if layout is None:
        pytest.skip("the headers of this model are in the corpus, which is not here")
    shapes = [f"{full_name(tensor)} {'x'.join(map(str, tensor.shape))}" for tensor in layout.tensors]
    for row, expected in TYPES[repo].items():
        if expected is None:
            with pytest.raises(NotPossibleError):
                kinds(layout, row)
            continue
        found = kinds(layout, row)
        by_type: dict[str, list[int]] = {}
        for tensor, kind in zip(layout.tensors, found, strict=True):
            total = by_type.setdefault(kind, [0, 0])
            total[0] += 1
            total[1] += tensor_bytes(kind, tensor.shape)
        assert by_type == expected[1], row
        lines = sorted(f"{shape} {kind}" for shape, kind in zip(shapes, found, strict=True))
        assert digest(lines) == expected[0], row


def random_tensors(text: str) -> Iterator[GgufTensor]:
    for item in text.split():
        name, _, sizes = item.partition(":")
        block, own = OUTSIDE, name
        if name.startswith("blk."):
            _, number, own = name.split(".", 2)
            block = int(number)
        role = own.rpartition(".")[0]
        shape = tuple(map(int, sizes.split("x")))
        yield GgufTensor(block, own, NORM if role.endswith("_norm") else role, shape)


@pytest.mark.parametrize("model", RANDOM, ids=lambda model: f"{model['architecture']}-{model['num_hidden_layers']}")
def test_types_of_random_models(model: dict[str, Any]) -> None:
    tensors = list(random_tensors(model["tensors"]))
    facts = GgufFacts(
        model_type=model["architecture"],
        whole_model_type=model["architecture"],
        **{name: model[name] for name in model if name.startswith("num_")},
    )
    layout = GgufLayout(
        architecture=model["architecture"], facts=facts, tensors=tuple(sorted(tensors)), mtp_blocks=0, left_out=()
    )
    for row, expected in model["types"].items():
        if expected is None:
            with pytest.raises(NotPossibleError):
                kinds(layout, row)
            continue
        found = dict(zip(layout.tensors, kinds(layout, row), strict=True))
        runs = [(kind, len(list(run))) for kind, run in groupby(found[tensor] for tensor in tensors)]
        written = " ".join(kind if count == 1 else f"{kind}*{count}" for kind, count in runs)
        assert expected in (written, digest([written])), row


def test_every_mixture_was_recorded() -> None:
    for mixtures in TYPES.values():
        assert {row.removesuffix(_WITH_IMATRIX) for row in mixtures} == MIXTURES.keys()


def test_an_importance_matrix_matters_where_it_was_seen_to() -> None:
    rows = {row for mixtures in TYPES.values() for row in mixtures if row.endswith(_WITH_IMATRIX)}
    assert rows == {f"{name}{_WITH_IMATRIX}" for name in ("q4_0", "q5_0", "iq3_xxs", "iq4_nl", "iq4_xs")}
