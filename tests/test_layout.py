"""Names of source files and sizes of folders, compared with the tables in ``docs/architecture.md``."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from pathlib import Path

import pytest

import metseg

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "architecture.md").read_text("utf-8")
SOURCE = Path(metseg.__file__).parent
#: Source files, relative to the package; the packages' own files have no name.
FILES = sorted(path.relative_to(SOURCE) for path in SOURCE.rglob("*.py") if not path.name.startswith("__"))
#: Largest number of files in a folder that is not a table.
MANY = 20


def table(title: str) -> dict[str, str]:
    """Return the rows of the table below a heading: first column, without backticks, to the second."""
    section = PAGE.partition(f"### {title}\n")[2].partition("\n#")[0]
    rows = re.findall(r"^\| `([^|]+)` \| (.+?) \|.*$", section, re.MULTILINE)
    assert rows, title
    return dict(rows)


def by_layer() -> dict[str, Counter[str]]:
    """Return how often each file name occurs in each top-level folder; files beside these folders are one layer."""
    layers: dict[str, Counter[str]] = defaultdict(Counter)
    for path in FILES:
        layers[path.parts[0] if len(path.parts) > 1 else ""][path.stem] += 1
    return layers


@pytest.mark.parametrize("layer", sorted(by_layer()))
def test_no_two_files_of_one_name_in_one_layer(layer: str) -> None:
    assert [name for name, count in by_layer()[layer].items() if count > 1] == []


def test_names_in_several_layers_are_listed_with_their_files() -> None:
    files: dict[str, list[str]] = defaultdict(list)
    for path in FILES:
        files[path.stem].append(str(path))
    repeated = {name: sorted(paths) for name, paths in files.items() if len(paths) > 1}
    listed = {name: sorted(re.findall(r"`([^`]+)`", cell)) for name, cell in table("Names that repeat").items()}
    assert listed == repeated


def test_folders_with_many_files_are_listed() -> None:
    sizes = Counter(str(path.parent) for path in FILES)
    large = {folder for folder, count in sizes.items() if count > MANY}
    assert large == {folder.rstrip("/") for folder in table("Folders with more than 20 files")}


def test_modules_named_in_the_page_exist() -> None:
    """``folder/module.py``, relative to the package or to the checkout."""
    named = set(re.findall(r"`([\w./-]+\.(?:py|md|toml|json|sqlite))`", PAGE))
    named = {name for name in named if "/" in name and "<" not in name}
    assert len(named) > 50
    assert sorted(name for name in named if not (SOURCE / name).exists() and not (ROOT / name).exists()) == []
