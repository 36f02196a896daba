"""Pages of help can be read on narrow and wide terminals: whole names, wide descriptions, no cut sentences."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from typer.main import get_command

from metseg.cli import app

Run = Callable[..., tuple[int, str, str]]

#: Characters that the description of an option has at least on a terminal of 80.
DESCRIPTION_WIDTH = 48


def commands(group: Any = None, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield the words of each command and group, and the command."""
    group = group or get_command(app)
    yield path, group
    for name, command in getattr(group, "commands", {}).items():
        yield from commands(command, (*path, name))


@pytest.mark.parametrize("width", [80, 100])
@pytest.mark.parametrize("words", [words for words, _ in commands()], ids=lambda words: " ".join(words) or "metseg")
def test_help_fits_the_terminal_and_names_every_option_in_full(
    run_metseg: Run, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], width: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    status, out, _ = run_metseg(*words, "--help")
    assert status == 0
    assert max(map(len, out.splitlines())) <= width
    options = {name for one in dict(commands())[words].params for name in (*one.opts, *one.secondary_opts)}
    assert {name for name in options if name.startswith("--") and name not in out} == set()


@pytest.mark.parametrize("command", ["predict", "train", "evaluate"])
def test_descriptions_of_options_are_wide(run_metseg: Run, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    _, out, _ = run_metseg(command, "--help")
    table = out.partition("Options:")[2]
    (column,) = {len(spaces) for spaces in re.findall(r"^( {20,})\S", table, re.MULTILINE)}
    assert 80 - column >= DESCRIPTION_WIDTH


def test_a_list_of_commands_cuts_no_summary_off(run_metseg: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    for words in ((), ("models",), ("serve", "keys")):
        _, out, _ = run_metseg(*words, "--help")
        assert "..." not in out.partition("Commands:")[2]
        assert "**" not in out  # marks of Markdown would be shown as they are
