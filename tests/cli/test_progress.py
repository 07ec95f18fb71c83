"""How far an audit is: a bar on a terminal, a word elsewhere."""

from __future__ import annotations

import io
import sys

import pytest

from hubvram.cli.progress import Progress
from hubvram.cli.tally import Outcome, Tally


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def _terminal(monkeypatch: pytest.MonkeyPatch, columns: int) -> _Terminal:
    terminal = _Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("COLUMNS", str(columns))
    return terminal


def test_a_bar_is_wiped_while_something_else_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = _terminal(monkeypatch, columns=200)
    progress = Progress()
    progress.total = 4
    with progress:
        progress.count(Outcome.FAILED)
        progress.wait(55)
        with progress.aside():
            terminal.write("row\n")
    before, _, after = terminal.getvalue().partition("row\n")
    assert before.endswith("\r\x1b[2K")
    assert after.startswith("[######..................] 1 of 4  ")
    assert "  1 failed" in after and "waiting 55 s for the Hub's quota" in after
    assert after.endswith("\r\x1b[2K")


def test_a_bar_fits_its_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = _terminal(monkeypatch, columns=20)
    progress = Progress()
    progress.total = 1
    with progress, progress.aside():
        pass
    assert max(len(line) for line in terminal.getvalue().replace("\r\x1b[2K", "\n").split("\n")) == 19


def test_without_a_terminal_there_is_one_word_for_each_wait(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress()
    with progress:
        for _ in range(3):  # three requests that wait for the same window
            progress.wait(55)
        with progress.aside():
            pass
    assert capsys.readouterr().err == "hubvram: waiting 55 s for the Hub's quota\n"


@pytest.mark.parametrize(
    ("outcomes", "sentence", "exit_code"),
    [
        ([], "0 models: 0 fine", 0),
        ([Outcome.FINE], "1 model: 1 fine", 0),
        ([Outcome.EXCEEDS], "1 model: 0 fine, 1 does not fit", 1),
        ([Outcome.EXCEEDS, Outcome.IN_DOUBT], "2 models: 0 fine, 1 does not fit, 1 in doubt", 3),
        ([Outcome.FINE] * 950 + [Outcome.FAILED] * 50, "1,000 models: 950 fine, 50 could not be read", 3),
    ],
)
def test_the_tally(outcomes: list[Outcome], sentence: str, exit_code: int) -> None:
    tally = Tally(outcomes)
    assert (tally.sentence(), tally.exit_code) == (sentence, exit_code)


def test_a_terminal_that_is_gone_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = _terminal(monkeypatch, columns=40)

    def gone(_: str) -> int:
        raise OSError(5, "Input/output error")

    progress = Progress()
    with progress:
        monkeypatch.setattr(terminal, "write", gone)
        with progress.aside():
            pass
        progress.count(Outcome.FINE)
