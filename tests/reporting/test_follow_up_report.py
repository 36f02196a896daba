"""The report of a follow-up: doubts first, changes in order, both examinations on one plane, HTML and PDF alike."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pypdfium2
import pytest
from PIL import Image

from metseg.errors import UsageError
from metseg.longitudinal.follow_up import FollowUp, follow_timepoints
from metseg.longitudinal.timepoint import Timepoint
from metseg.reporting.follow_up.follow_up_files import write_follow_up
from metseg.reporting.follow_up.follow_up_page import follow_up_page
from metseg.reporting.follow_up.side_by_side import side_by_side
from metseg.reporting.study.html_writer import page_html
from metseg.volume import Volume

MADE = date(2024, 6, 1)
GROWN, GONE = (20, 24, 12), (40, 24, 12)


def examination(name: str, grown: float, gone: float, *, shift: int = 0) -> Timepoint:
    """Return a head with two lesions, moved along x by whole voxels of 2 mm."""
    places = np.indices((64, 56, 24)) - np.array([shift, 0, 0])[:, None, None, None]
    x, y, z = places
    head = ((x - 30) / 24) ** 2 + ((y - 26) / 22) ** 2 + ((z - 12) / 14) ** 2 <= 1
    texture = 60 + 20 * np.sin(x / 3) * np.cos(y / 4) + 15 * np.sin(z / 2 + y / 5)
    image = np.where(head, texture, 0).astype(np.float32)
    labels = np.zeros(head.shape, np.uint8)
    for centre, radius in ((GROWN, grown), (GONE, gone)):
        lesion = sum((axis - at) ** 2 for axis, at in zip(places, centre, strict=True)) <= radius**2
        labels[lesion & (radius > 0)] = 1
        image[lesion & (radius > 0)] = 160
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    return Timepoint(name, Volume(labels, affine), "binary", Volume(image, affine), "t1c")


@pytest.fixture(scope="module")
def followed() -> FollowUp:
    return follow_timepoints([examination("2024-01-01", 3, 3), examination("2024-05-01", 5, 0, shift=4)], "P1")


def test_the_page_says_first_what_changed(followed: FollowUp) -> None:
    page = follow_up_page(followed, MADE)
    first = page.sections[0]
    assert first.title == "What changed"
    assert first.lead[0] == "From 2024-01-01 to 2024-05-01: 1 lesion larger, 1 lesion no longer seen."
    assert [row[1] for row in first.tables[0].rows] == ["larger", "no longer seen"]
    assert page.sections[1].key_images[0].title.startswith("Lesion 1 is larger")
    assert page.sections[1].key_images[1].title.startswith("Lesion 2 is no longer seen")
    assert page.banner.startswith("Research use only")


def test_doubts_stand_before_the_numbers(followed: FollowUp) -> None:
    doubtful = followed.document.model_copy(update={"doubts": ("The registration is doubtful.",)})
    text = page_html(follow_up_page(replace(followed, document=doubtful), MADE))
    assert text.index("The registration is doubtful.") < text.index("1 lesion larger")


def test_both_examinations_show_the_same_tissue(followed: FollowUp) -> None:
    """The later head lies 8 mm elsewhere; on one plane, the magnified panels show the lesion at the same point."""
    image = side_by_side(followed, 1, 0, 1, title="Lesion 1")
    pixels = np.asarray(Image.open(io.BytesIO(image.png)).convert("L"), dtype=float)
    width = pixels.shape[1] // 4
    panels = [pixels[30 : width - 60, place * width + 20 : (place + 1) * width - 20] for place in (2, 3)]
    centres = [np.argwhere(panel > 0.9 * panel.max()).mean(axis=0) for panel in panels]
    assert np.linalg.norm(centres[0] - centres[1]) < 0.05 * width


def test_a_lesion_that_is_gone_is_shown_on_its_own_plane(followed: FollowUp) -> None:
    image = side_by_side(followed, 2, 0, 1, title="Lesion 2")
    assert "The same axial plane of 2024-01-01" in image.caption
    assert image.size[0] > 3 * image.size[1]


def test_files_hold_the_same_facts_and_bytes(followed: FollowUp, tmp_path: Path) -> None:
    files = write_follow_up(followed, tmp_path, ["pdf", "html"], made_on=MADE)
    assert [file.name for file in files] == [f"P1-follow-up.{ending}" for ending in ("json", "csv", "pdf", "html")]
    again = write_follow_up(followed, tmp_path / "again", ["pdf", "html"], made_on=MADE)
    assert [file.read_bytes() for file in files] == [file.read_bytes() for file in again]
    document = json.loads(files[0].read_text("utf-8"))
    assert document["notice"]
    pdf = pypdfium2.PdfDocument(files[2].read_bytes())
    text = " ".join(pdf[page].get_textpage().get_text_range() for page in range(len(pdf)))
    html = files[3].read_text("utf-8")
    for fact in ("1 lesion larger, 1 lesion no longer seen", "RANO-BM", "Sum of diameters", "Mutual"):
        assert fact in " ".join(text.split())
        assert fact in html


def test_names_of_patients_are_escaped_in_html_and_file_names(followed: FollowUp, tmp_path: Path) -> None:
    odd = replace(followed, document=followed.document.model_copy(update={"patient": "../<b>x</b>"}))
    files = write_follow_up(odd, tmp_path, ["html"], made_on=MADE)
    assert {file.parent for file in files} == {tmp_path}
    assert "<b>x</b>" not in files[-1].read_text("utf-8")


def test_an_unknown_format_is_refused(followed: FollowUp, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="report format"):
        write_follow_up(followed, tmp_path, ["docx"])
