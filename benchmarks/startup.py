"""How long `hubvram --help` takes beside a stub typer program with as many options: CPU time of whole processes.

python -m benchmarks.startup
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

ROUNDS: Final = 7

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
    """CPU seconds of `hubvram --help` over those of the stub; the best of several rounds of each, in turn."""
    with tempfile.TemporaryDirectory() as folder:
        stub = Path(folder) / "stub.py"
        stub.write_text(_STUB.format(options=_options()), encoding="utf-8")
        ours = [sys.executable, "-m", "hubvram", "--help"]
        theirs = [sys.executable, str(stub), "--help"]
        pairs = [(_cpu_seconds(ours), _cpu_seconds(theirs)) for _ in range(ROUNDS)]
    # The best: whatever else the machine does only ever adds.
    return min(own for own, _ in pairs) / min(other for _, other in pairs)


def _options() -> str:
    from hubvram.cli.inspect import inspect

    number = len(inspect.__annotations__) - 2  # without MODEL and the return type
    return "\n".join(
        f'    option_{index}: Annotated[str | None, typer.Option(help="An option of the stub.")] = None,'
        for index in range(number)
    )


def _cpu_seconds(command: list[str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, capture_output=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    print(f"hubvram --help / stub --help = {help_ratio():.2f}")
