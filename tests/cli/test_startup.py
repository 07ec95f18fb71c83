"""Starting is fast: nothing heavy on the way, and little more than typer itself."""

from __future__ import annotations

import subprocess
import sys

import pytest

from benchmarks.startup import help_ratio, offline_ratio

HEAVY = {"torch", "transformers", "numpy", "safetensors", "jsonschema"}
NETWORK = {"httpx2", "asyncio", "ssl", "h2", "hubvram.sources.http", "hubvram.sources.loop", "hubvram.sources.hub"}
NOT_FOR_HELP = {"huggingface_hub", "httpx2", "rich", "hubvram.inspection", "hubvram.memory", "hubvram.sources.hub"}


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


@pytest.mark.parametrize("argument", ["--help", "schema"])
def test_what_is_printed_as_it_is_imports_nothing_else(argument: str) -> None:
    assert not _modules(argument) & (HEAVY | NOT_FOR_HELP)


@pytest.mark.parametrize("output", ["--json", "--layers"])
def test_an_inspect_imports_nothing_heavy(output: str) -> None:
    modules = _modules("mistralai/Mistral-7B-v0.1", "--dtype", "int4", output)
    assert "hubvram.inspection" in modules
    assert not modules & HEAVY


def test_an_answer_without_requests_imports_no_network() -> None:
    modules = _modules("mistralai/Mistral-7B-v0.1", "--offline", "--json")
    assert "hubvram.inspection" in modules
    # Only their light parts: addresses and places, and what the command line is made of.
    assert not modules & (HEAVY | NETWORK | {"huggingface_hub.utils", "huggingface_hub.errors", "pydantic", "rich"})


@pytest.mark.xdist_group("timing")
def test_help_takes_at_most_half_more_than_a_stub_with_as_many_options() -> None:
    # What else the machine does can only add to a ratio of best times: one quiet moment in three will do.
    assert any(help_ratio() < 1.5 for _ in range(3))


@pytest.mark.xdist_group("timing")
def test_a_kept_answer_takes_at_most_three_times_the_import_of_what_it_depends_on() -> None:
    assert any(offline_ratio() < 3.0 for _ in range(9))
