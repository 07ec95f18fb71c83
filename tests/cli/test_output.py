"""Where text goes, and what a terminal sees."""

from __future__ import annotations

import io
import sys

import pytest

from hubvram.cli import output


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_printable_shows_control_characters_and_keeps_lines() -> None:
    assert output.printable("a\x1b[31m\nb\x07\x9b é") == "a\\x1b[31m\nb\\x07\\x9b é"


def test_progress_is_silent_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with output.progress() as on_progress:
        assert on_progress is None
    assert capsys.readouterr().err == ""


def test_progress_waits_half_a_second_and_cleans_up(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = _Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    now = iter([0.0, 0.1, 0.6])
    monkeypatch.setattr(output.time, "monotonic", lambda: next(now))
    with output.progress() as on_progress:
        assert on_progress is not None
        on_progress(1, 30)
        assert terminal.getvalue() == ""
        on_progress(2, 30)
        assert terminal.getvalue() == "\rreading headers: 2 of 30 files"
    assert terminal.getvalue().endswith("\r\x1b[2K")


def test_the_report_is_the_same_on_a_terminal_without_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = _Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "dumb")
    output.write_report("title\n\n> int4  1.00\n  [not markup] \n")
    assert [line.rstrip() for line in terminal.getvalue().splitlines()] == [
        "title",
        "",
        "> int4  1.00",
        "  [not markup]",
    ]
