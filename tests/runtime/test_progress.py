"""Progress on a terminal and in a pipe: rate and time left, every item handed on, stdout untouched."""

from __future__ import annotations

import io
import re
import sys
from types import SimpleNamespace

import pytest

from metseg.runtime import progress
from metseg.runtime.progress import progress_line, share_bar, track


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def on_terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Put a terminal in place of stderr; in the test itself, for pytest puts its own there before each phase."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    drawn = Terminal()
    monkeypatch.setattr(sys, "stderr", drawn)
    return drawn


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return a clock that the test sets."""
    now = [0.0]
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: now[0]))
    return now


@pytest.mark.parametrize("known", [True, False])
def test_a_terminal_shows_the_rate_whether_the_count_is_known_or_not(
    monkeypatch: pytest.MonkeyPatch, known: bool
) -> None:
    terminal = on_terminal(monkeypatch)
    items = list(range(50))
    assert list(track(items if known else iter(items), "Reading")) == items
    last = [line for line in terminal.getvalue().splitlines() if "Reading" in line][-1]
    assert ("50/50" if known else "50/?") in last
    assert re.search(r"\d+\.\d/s", last)
    assert ("left" in last) == known


def test_a_total_stands_in_for_a_length(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = on_terminal(monkeypatch)
    assert list(track(iter("abc"), "Scoring", total=3)) == ["a", "b", "c"]
    assert "3/3" in terminal.getvalue()


@pytest.mark.parametrize("known", [True, False])
def test_an_error_passes_and_leaves_the_terminal_in_order(monkeypatch: pytest.MonkeyPatch, known: bool) -> None:
    terminal = on_terminal(monkeypatch)
    tracked = track([1, 0] if known else iter([1, 0]), "Dividing")
    with pytest.raises(ZeroDivisionError):
        sum(1 // item for item in tracked)
    tracked.close()
    assert terminal.getvalue().endswith("\n\x1b[?25h")  # on a line of its own, the cursor is shown again


def test_a_pipe_gets_a_line_now_and_then(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    for _ in track(range(4), "Reading"):
        clock[0] += 6.0
    # After 6, 12, 18 and 24 s; at least 10 s lie between two lines.
    assert capsys.readouterr().err.splitlines() == [
        "Reading: 2/4, 6.0 s each, 12 s left",
        "Reading: 4/4, 6.0 s each, 0 s left",
    ]


def test_a_pipe_without_a_count_has_no_time_left(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    for _ in track(iter(range(2)), "Reading"):
        clock[0] += 10.0
    assert capsys.readouterr().err.splitlines() == ["Reading: 1, 10.0 s each", "Reading: 2, 10.0 s each"]


def test_quiet_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = on_terminal(monkeypatch)
    assert list(track(range(3), "Reading", quiet=True)) == [0, 1, 2]
    assert terminal.getvalue() == ""


def test_nothing_done_in_no_time() -> None:
    assert progress_line("Reading", 0, 5, 0.0) == "Reading: 0, 0.0/s"


def test_a_share_is_shown_below_the_items_and_disappears(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = on_terminal(monkeypatch)
    for _ in track(range(1), "Predicting"):
        with share_bar("Windows") as on_share:
            on_share(0.25)
            progress._on_display[-1].refresh()
            shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.getvalue())
            assert re.search(r"Windows .* 25% .* left ", shown), shown
            assert "0/1" in shown
            terminal.truncate(0)
        progress._on_display[-1].refresh()
    last = terminal.getvalue()
    assert "1/1" in last
    assert "Windows" not in last.split("1/1")[-1]
    assert progress._on_display == []


def test_a_share_has_the_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    new = progress._new_display
    terminal = on_terminal(monkeypatch)

    def with_clock() -> object:
        display = new()
        display.get_time = lambda: now[0]
        return display

    monkeypatch.setattr(progress, "_new_display", with_clock)
    with share_bar("Windows") as on_share:
        for window in range(1, 4):
            now[0] += 30.0
            on_share(window / 10)
        progress._on_display[-1].refresh()
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.getvalue())
    assert "30% " in shown
    assert "left 0:03:30" in shown


def test_a_share_that_never_begins_shows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = on_terminal(monkeypatch)
    with share_bar("Brain extraction"):
        progress._on_display[-1].refresh()
    assert "Brain" not in terminal.getvalue()


def test_a_pipe_gets_no_line_for_a_share(capsys: pytest.CaptureFixture[str]) -> None:
    with share_bar("Windows") as on_share:
        on_share(0.5)
    assert capsys.readouterr().err == ""
