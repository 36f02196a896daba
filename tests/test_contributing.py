"""CONTRIBUTING.md names files, tables and groups that exist."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import pytest

from metseg.registry import Registry

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
PATHS = sorted({path for path in re.findall(r"`((?:src|docs|tests)/[^`]+)`", PAGE)})
ROWS = re.findall(r"^\|.*?`(metseg\.[\w.]+\.[A-Z]+)`(?: of `(\w+)`)? \| (?:`([\w.]+)`|none) \|$", PAGE, re.MULTILINE)
EXAMPLE = (ROOT / "tests" / "end_to_end" / "outside_package" / "pyproject.toml").read_text("utf-8")


@pytest.mark.parametrize("path", PATHS)
def test_files_and_folders_exist(path: str) -> None:
    known = path.partition("<")[0]
    assert (ROOT / known).exists()
    assert "<" not in path or list((ROOT / known).glob(f"*{Path(path).suffix}"))


def test_every_table_is_named() -> None:
    assert len(ROWS) == 9


@pytest.mark.parametrize(("table", "entry", "group"), ROWS)
def test_tables_hold_such_entries_and_have_such_a_group(table: str, entry: str, group: str) -> None:
    module, _, name = table.rpartition(".")
    found = getattr(import_module(module), name)
    assert isinstance(found, Registry) == bool(group)
    if group:
        assert found.group == group
        assert entry in {base.__name__ for one in found.values() for base in type(one).__mro__}


def test_the_example_is_the_package_that_is_installed_in_a_test() -> None:
    shown = [line.strip() for line in PAGE.splitlines() if re.match(r"    (\[project\.entry|\w+ = \"metseg_ex)", line)]
    assert len(shown) == 6
    assert all(line in EXAMPLE.splitlines() for line in shown)
