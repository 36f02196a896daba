"""Series are listed with number, description and reason, for users who correct a wrong guess."""

from __future__ import annotations

import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest

from metseg.cli.ui import series_in
from metseg.io.dicom.series_listing import ListedSeries, list_series

scanner = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("scanner.py"))))


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    objects = [
        item
        for number, description in ((3, "AX T1 MPRAGE +C"), (4, "AX T1 +C Mustermann"), (7, "something"))
        for item in scanner.slices(
            scanner.pixels(4 + number),
            SeriesNumber=number,
            SeriesDescription=description,
            SeriesInstanceUID=scanner.uid("series", number),
        )
    ]
    return list(scanner.write(tmp_path, objects))


def test_series_are_listed_in_order_with_reasons(files: list[Path]) -> None:
    first, second, third = list_series(files)
    assert (first.label, first.description, first.images) == ("3", "AX T1 MPRAGE +C", 7)
    assert {first.sequence, second.sequence} == {"t1c", None}  # one of the two is taken, and why is said
    left = first if first.sequence is None else second
    assert left.reason.startswith("t1c too, but series")
    assert second.description == "AX T1 +C …"
    assert third.sequence is None
    assert third.reason
    assert all(not item.reason.startswith(("is ", "left aside")) for item in (first, second, third))


def test_the_page_gets_the_series_of_what_was_uploaded(files: list[Path]) -> None:
    contents = [path.read_bytes() for path in files]
    assert series_in(contents) == list_series(files)
    assert isinstance(series_in(contents)[0], ListedSeries)
    assert series_in([b"not DICOM"]) == []
