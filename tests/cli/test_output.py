"""Where text goes, and what a terminal sees."""

from __future__ import annotations

import io
import sys
import time

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
    monkeypatch.setattr(output, "_QUIET_SECONDS", 0.05)
    with output.progress() as on_progress:
        assert on_progress is not None
        on_progress(1, 30)
        assert terminal.getvalue() == ""
        deadline = time.monotonic() + 10
        while not terminal.getvalue() and time.monotonic() < deadline:
            time.sleep(0.01)
        on_progress(2, 30)
    shown = terminal.getvalue().split("\r")
    assert shown[1:] == ["reading headers: 1 of 30 files", "reading headers: 2 of 30 files", "\x1b[2K"]


def test_a_quick_answer_shows_no_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = _Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with output.progress() as on_progress:
        assert on_progress is not None
        on_progress(1, 1)
    assert terminal.getvalue() == ""


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
