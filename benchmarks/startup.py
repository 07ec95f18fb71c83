"""How long starting takes, as CPU time of whole processes: `hubvram --help` beside a stub typer program with as many
options, and an answer from the cache beside the import of the libraries that it stands on.

python -m benchmarks.startup
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from benchmarks.hub_of_snapshots import add_snapshots
from tests.hub.process import hub_process

ROUNDS: Final = 7
MODEL: Final = "meta-llama/Llama-3.1-8B"

_STUB: Final = """
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


def help_ratio() -> float:
    """CPU seconds of `hubvram --help` over those of the stub."""
    with tempfile.TemporaryDirectory() as folder:
        stub = Path(folder) / "stub.py"
        stub.write_text(_STUB.format(options=_options()), encoding="utf-8")
        return _ratio(["-m", "hubvram", "--help"], [str(stub), "--help"], folder, {})


def offline_ratio() -> float:
    """CPU seconds of a warm `hubvram MODEL --offline --json` over those of importing what it depends on."""
    with tempfile.TemporaryDirectory() as folder:
        with hub_process(partial(add_snapshots, repos=(MODEL,))) as hub:
            environment = {"HF_ENDPOINT": hub.endpoint, "HF_HOME": folder, "HF_HUB_DISABLE_TELEMETRY": "1"}
            _cpu_seconds(["-m", "hubvram", MODEL, "--json"], folder, environment)
        # The Hub is gone: what follows can only come from the cache.
        ours = ["-m", "hubvram", MODEL, "--offline", "--json"]
        return _ratio(ours, ["-c", "import typer, rich, huggingface_hub"], folder, environment)


def _ratio(ours: Sequence[str], theirs: Sequence[str], folder: str, environment: Mapping[str, str]) -> float:
    """The best of several rounds of each, in turn: whatever else the machine does only ever adds."""
    for command in (ours, theirs):  # compiles what was not
        _cpu_seconds(command, folder, environment)
    pairs = [
        (_cpu_seconds(ours, folder, environment), _cpu_seconds(theirs, folder, environment)) for _ in range(ROUNDS)
    ]
    return min(own for own, _ in pairs) / min(other for _, other in pairs)


def _options() -> str:
    from hubvram.cli.inspect import inspect

    number = len(inspect.__annotations__) - 2  # without MODEL and the return type
    return "\n".join(
        f'    option_{index}: Annotated[str | None, typer.Option(help="An option of the stub.")] = None,'
        for index in range(number)
    )


def _cpu_seconds(arguments: Sequence[str], folder: str, environment: Mapping[str, str]) -> float:
    # Modules are compiled once, as where they are installed, whatever this machine's settings.
    compiled = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": f"{folder}/compiled"}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, *arguments], env={**os.environ, **compiled, **environment}, capture_output=True, check=True
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    print(f"hubvram --help / stub --help = {help_ratio():.2f}")
    print(f"warm hubvram {MODEL} --offline --json / import typer, rich, huggingface_hub = {offline_ratio():.2f}")
