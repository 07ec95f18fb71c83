"""Running the command in this process, as a shell would see it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest

from hubvram.cli.app import main
from tests.contract import conforms


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """What a call printed and how it ended."""

    exit_code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        """What was printed, which the published schema must describe."""
        answer = json.loads(self.stdout)
        conforms(answer)
        return answer


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> Ran:
    """`hubvram ARGUMENTS...`"""
    exit_code = 0
    try:
        main(arguments)
    except SystemExit as stop:
        exit_code = stop.code if isinstance(stop.code, int) else 0 if stop.code is None else 1
    printed = capsys.readouterr()
    return Ran(exit_code=exit_code, stdout=printed.out, stderr=printed.err)
