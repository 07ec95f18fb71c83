"""Starting is fast: nothing heavy on the way, and little more than typer itself."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

HEAVY = {"torch", "transformers", "numpy", "safetensors"}
NOT_FOR_HELP = {"huggingface_hub", "httpx2", "rich", "hubvram.inspection", "hubvram.memory", "hubvram.sources.hub"}

STUB = """
from typing import Annotated
import typer

def inspect(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A repo id.")],
{options}
) -> None:
    "What is inside a model."

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
app.command()(inspect)
app()
"""


def _modules(*arguments: str) -> set[str]:
    """What is imported when `hubvram ARGUMENTS...` has run."""
    code = (
        "import sys\n"
        "from hubvram.cli.app import main\n"
        "try:\n"
        f"    main({list(arguments)!r})\n"
        "except SystemExit: pass\n"
        "print('\\n'.join(sys.modules), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stderr.split())


def test_help_imports_nothing_that_it_does_not_print() -> None:
    assert not _modules("--help") & (HEAVY | NOT_FOR_HELP)


@pytest.mark.parametrize("output", ["--json", "--layers"])
def test_an_inspect_imports_nothing_heavy(output: str, fixtures: Path, tmp_path: Path) -> None:
    modules = _modules("mistralai/Mistral-7B-v0.1", "--dtype", "int4", output)
    assert "hubvram.inspection" in modules
    assert not modules & HEAVY


@pytest.mark.xdist_group("timing")
def test_help_takes_at_most_half_more_than_a_stub_with_as_many_options(tmp_path: Path) -> None:
    options = "\n".join(
        f'    option_{number}: Annotated[str | None, typer.Option(help="An option of the stub.")] = None,'
        for number in range(11)
    )
    stub = tmp_path / "stub.py"
    stub.write_text(STUB.format(options=options))
    ours = [sys.executable, "-c", "from hubvram.cli.app import main; main(['--help'])"]
    theirs = [sys.executable, str(stub), "--help"]
    pairs = [(_cpu_seconds(ours), _cpu_seconds(theirs)) for _ in range(7)]
    # The best of several: what the machine does besides only ever adds.
    ratio = min(own for own, _ in pairs) / min(other for _, other in pairs)
    assert ratio < 1.5, f"--help takes {ratio:.2f} times as long as the stub"


def _cpu_seconds(command: list[str]) -> float:
    import resource

    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    subprocess.run(command, capture_output=True, check=True)
    assert time.perf_counter() - started < 60
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
