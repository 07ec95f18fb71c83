"""The README is true: its outputs are what the program prints, its lists are the program's tables.

`python -m tests.test_readme` writes them anew.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
from pathlib import Path

import pytest

from hubvram.architecture.families import FAMILIES
from hubvram.cli.app import COMMANDS, main
from hubvram.hardware.accelerators import ACCELERATORS
from hubvram.memory.engines.transformers_code import CODE, ELSEWHERE, WHOLES
from hubvram.memory.engines.transformers_encoders import ENCODERS
from hubvram.memory.engines.transformers_sides import SIDES, SIDES_ELSEWHERE
from hubvram.memory.engines.transformers_static import MEASURED as STATIC
from hubvram.units import count
from tests.caches.record import recorded as recorded_caches
from tests.generation import test_records as runs
from tests.peaks import test_records as peaks
from tests.samples import fixture_model
from tests.walk.build import MAPPINGS
from tests.walk.record import NOT_BUILT, recorded

README = Path(__file__).parents[1] / "README.md"
BLOCK = re.compile(
    r"<!-- (?:output: (?P<arguments>[^>,]+)(?:, lines (?P<first>\d+)-(?P<last>\d+))?|help) -->\n"
    r"```text\n(?P<text>.*?)```",
    re.DOTALL,
)


def _printed(arguments: list[str]) -> str:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
        main(arguments)
    return "\n".join(line.rstrip() for line in printed.getvalue().splitlines()) + "\n"


def _renewed(text: str) -> str:
    def block(match: re.Match[str]) -> str:
        arguments = (match["arguments"] or "--help").split()
        printed = _printed(arguments)
        if match["first"]:
            printed = "".join(printed.splitlines(keepends=True)[int(match["first"]) - 1 : int(match["last"])])
        return match[0].replace(f"```text\n{match['text']}```", f"```text\n{printed}```")

    text = BLOCK.sub(block, text)
    text = re.sub(r"\d+( model types <!-- families -->)", rf"{len(FAMILIES)}\g<1>", text)
    text = re.sub(r"(<!-- walk -->\n\|.*\n\|.*\n)(?:\|.*\n)*", lambda match: match[1] + _walk(), text)
    known = len({*CODE, *ELSEWHERE, *WHOLES, *ENCODERS, *SIDES, *SIDES_ELSEWHERE})
    text = re.sub(r"known for \d+ model types", f"known for {known} model types", text)
    bounds = (peaks.PREFILL, peaks.DECODE, max(runs.TOLERANCE.values()))
    for words, bound in zip(("in prefill", "in a decode step", "of whole runs"), bounds, strict=True):
        text = re.sub(rf"\S+ %( {words}\b)", rf"{100 * bound:g} %\g<1>", text)
    text = re.sub(r"static cache they are known for \d+", f"static cache they are known for {len(STATIC)}", text)
    text = re.sub(r"has \d+ real forwards", f"has {len(recorded_caches())} real forwards", text)
    gpus = ", ".join(accelerator.label for accelerator in ACCELERATORS.values())
    return re.sub(r"(GPUs: )[^\n]*?(<!-- gpus -->\.)", rf"\g<1>{gpus} \g<2>", text)


def _walk() -> str:
    """What the walk recorded, by kind of model."""
    rows = []
    for kind in MAPPINGS:
        outcomes = recorded(kind).values()
        built = sum(outcome.status != NOT_BUILT for outcome in outcomes)
        reconciled = sum(outcome.status == "reconciled" for outcome in outcomes)
        whole = sum(outcome.status == "reconciled" and outcome.scope == "all" for outcome in outcomes)
        rows.append(f"| {kind}: {len(outcomes)} | {built} | {reconciled} | {whole} |\n")
    return "".join(rows)


def test_active_parameters_are_the_models_own() -> None:
    rows = re.findall(r"^\| (\S+/\S+) \| (\S+ B) \| (\S+ B) \|", README.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(rows) == 4
    for repo, active, without in rows:
        model = fixture_model(repo.replace("/", "--"))
        assert (count(model.active_parameters), count(model.active_without_input_embedding)) == (active, without)


@pytest.fixture(autouse=True)
def _a_plain_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


def test_outputs_and_lists_are_the_programs_own() -> None:
    text = README.read_text(encoding="utf-8")
    assert len(BLOCK.findall(text)) == 5
    assert _renewed(text) == text


def test_the_python_example_prints_what_the_text_says(capsys: pytest.CaptureFixture[str]) -> None:
    text = README.read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    exec(compile(example, "README.md", "exec"), {})
    printed = capsys.readouterr().out.split()
    assert printed == re.findall(r"`(\w+)`", text.split(example)[1].split("|")[0])


def test_every_option_in_it_exists() -> None:
    text = README.read_text(encoding="utf-8")
    text = re.sub(r"```python.*?```|pip install[^\n]*|python -m[^`]*", "", text)
    commands = {name for name in COMMANDS if re.search(rf"hubvram {name}\b", text)}
    assert commands == set(COMMANDS) - {"inspect"}
    usage = "".join(_printed([name, "--help"]) for name in COMMANDS)
    options = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text))
    assert options <= {*re.findall(r"--[a-z][a-z-]+", usage), "--version"}


if __name__ == "__main__":
    from huggingface_hub import constants

    constants.ENDPOINT = "http://127.0.0.1:9"
    os.environ["COLUMNS"] = "80"
    README.write_text(_renewed(README.read_text(encoding="utf-8")), encoding="utf-8")
