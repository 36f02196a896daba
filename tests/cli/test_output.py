"""Tables for terminals: no line is wider than the terminal, and no cell is broken where that can be avoided."""

from __future__ import annotations

import re
import sys

import pytest

from metseg.cli import models
from metseg.cli.output import print_transposed

TITLES = ("model", "Dice", "Minutes")
ROWS = [(f"network-{number}", f"0.{number}00 [0.{number}00, 0.{number}50]", str(number)) for number in range(1, 8)]


@pytest.mark.parametrize("width", [60, 80, 100])
def test_rows_become_columns_and_the_table_is_divided(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    print_transposed(TITLES, ROWS)
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= width
    parts = [line for line in lines if "Minutes" in line]
    assert len(parts) > 1
    text = "\n".join(lines)
    assert all(row[0] in text and row[1] in text for row in ROWS)


def test_architectures_fit_a_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from metseg.model import MODELS

    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    models.architectures()
    lines = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out).splitlines()
    assert max(map(len, lines)) <= 100
    assert {line.split()[0] for line in lines if not line.startswith(" ")} == {"architecture", *MODELS}
