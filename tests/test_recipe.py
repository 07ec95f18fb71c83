"""README.md says how a model type is added: the line it shows is added here, and a saved model of it is inspected."""

from __future__ import annotations

import contextlib
import json
import re
from functools import partial
from pathlib import Path

import pytest

from hubvram.architecture import families
from hubvram.architecture.families import dense
from hubvram.architecture.families.decoder import read_decoder
from hubvram.cli.app import main
from tests.hub.checkpoints import safetensors_file
from tests.samples import SMALL_LLAMA, llama_tensors, small_llama

README = Path(__file__).parents[1] / "README.md"


def recipe() -> str:
    """The section, up to the next one."""
    (section,) = re.findall(
        r"^### A new model type\n(.*?)^#", README.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )
    assert isinstance(section, str)
    return section


def test_it_has_ten_lines_at_most() -> None:
    assert 3 <= len([line for line in recipe().splitlines() if line.strip()]) <= 10


def test_the_line_makes_a_family(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (line,) = re.findall(r"^    (\"\w+\": Traits\(.*\),)$", recipe(), re.MULTILINE)
    assert "hubvram/architecture/families/dense.py" in recipe()
    # 1. The line joins the table.
    (added,) = eval("{" + line + "}", dict(vars(dense))).items()
    read = partial(read_decoder, traits=added[1])
    monkeypatch.setattr(families, "FAMILIES", {**families.FAMILIES, added[0]: read})
    # 2. A model of this type: a llama with biases on Q, K and V, and norms on each head of Q and K.
    (tmp_path / "config.json").write_text(
        json.dumps({**SMALL_LLAMA, "hidden_act": "silu", "model_type": added[0]}), encoding="utf-8"
    )
    shapes = llama_tensors(small_llama())
    for layer in range(2):
        attention = f"model.layers.{layer}.self_attn"
        shapes |= {f"{attention}.{name}_norm.weight": (16,) for name in "qk"}
        shapes |= {f"{attention}.{name}_proj.bias": (64 if name == "q" else 32,) for name in "qkv"}
    file = safetensors_file({name: ("BF16", shape) for name, shape in shapes.items()})
    (tmp_path / "model.safetensors").write_bytes(file.data.ljust(file.size, b"\0"))
    # 3. It reconciles.
    with contextlib.suppress(SystemExit):
        main([str(tmp_path)])
    printed = capsys.readouterr().out
    assert "reconciled: config.json and the file headers agree" in printed
    assert "NOT reconciled" not in printed
