"""The HTML file, parsed: complete, accessible, self-contained and harmless."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from datetime import date
from html.parser import HTMLParser
from typing import Any

import pytest

from metseg.reporting.study.document_reader import parse_document
from metseg.reporting.study.html_writer import study_html
from metseg.reporting.study.key_images import VolumePixels
from metseg.reporting.study.report_builder import Options, Pixels, make_report
from metseg.reporting.study.study_report import RESEARCH_USE, Model, Performance, StudyReport

Make = Callable[..., dict[str, Any]]

VOID = {"meta", "img", "br", "link", "hr"}


class Reader(HTMLParser):
    """Keeps every element with its attributes and text, and complains about what is not closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if data.strip() and self.open[-1] != "style":
            self.texts.append(" ".join(data.split()))

    def attributes(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def report_of(document: dict[str, Any], pixels: Pixels | None = None, *, most: int = 0) -> StudyReport:
    model = Model("known", "9f2a", True, "Finds boxes.", "unet", "63", (Performance("test", "ET", 21, 0.81, 0.7, 0.9),))
    options = Options(made_on=date(2026, 11, 20), key_images=most)
    return make_report(parse_document(document, where="test"), model, pixels=pixels or Pixels(), options=options)


@pytest.fixture
def report(volume_document: Make, study: Any) -> StudyReport:
    pixels = Pixels(volume=VolumePixels(study.labels, study.affine, study.image, "t1c"))
    return report_of(volume_document(), pixels, most=2)


def test_every_section_is_there(report: StudyReport) -> None:
    page = Reader(study_html(report))
    for text in (
        "Result",
        "Study and technique",
        "Lesions",
        "Key images",
        "Model and its known performance",
        "Warnings",
        "Limits",
        "Review",
        "Signature",
        "R 42, P 16, S 26",
        "0.81 (0.70 to 0.90)",
        "t1c: a voxel was not finite",
        "2.96 mL",
    ):
        assert text in page.texts, text
    assert page.texts.count(RESEARCH_USE) == 2
    assert any(report.digest in text for text in page.texts)


def test_it_can_be_read_without_seeing_it(report: StudyReport) -> None:
    page = Reader(study_html(report))
    assert page.attributes("html") == [{"lang": "en-GB"}]
    assert all(image["alt"] for image in page.attributes("img"))
    assert {heading.get("scope") for heading in page.attributes("th")} == {"col", "row"}
    assert len(page.attributes("caption")) == len(page.attributes("table")) == 2
    labelled = [section["aria-labelledby"] for section in page.attributes("section")]
    assert labelled == [heading["id"] for heading in page.attributes("h2")]
    assert len(page.attributes("h1")) == len(page.attributes("main")) == 1


def test_nothing_is_fetched_and_nothing_runs(report: StudyReport) -> None:
    text = study_html(report)
    page = Reader(text)
    assert not page.attributes("script")
    assert not page.attributes("link")
    assert not page.attributes("iframe")
    assert "http://" not in text
    assert "https://" not in text
    assert "url(" not in text
    assert "default-src 'none'" in str(page.attributes("meta"))
    images = page.attributes("img")
    assert len(images) == 2
    for image, shown in zip(report.key_images, images, strict=True):
        source = str(shown["src"])
        assert source.startswith("data:image/png;base64,")
        assert base64.b64decode(source.partition(",")[2]) == image.png


NASTY = [
    "<script>alert(1)</script>",
    '" onmouseover="alert(1)',
    "'><img src=x onerror=alert(1)>",
    "{{ 7 * 7 }}",
    "</style>",
]


@pytest.mark.parametrize("nasty", NASTY)
def test_whatever_a_name_says_is_text(volume_document: Make, nasty: str) -> None:
    lesion = {**volume_document()["lesions"][0], "label": nasty, "voxels_by_label": {nasty: 30, "other": 6}}
    technique = {"labels": None, "reference": nasty, "images": {nasty: {"shape": [1, 1, 1]}}}
    text = study_html(
        report_of(volume_document(case=nasty, model=nasty, warnings=[nasty], lesions=[lesion], technique=technique))
    )
    page = Reader(text)
    assert not page.attributes("script")
    assert not page.attributes("img")
    assert not any(name.startswith("on") for _, attributes in page.elements for name in attributes)
    assert nasty in " ".join(page.texts)
    assert len(page.attributes("style")) == 1
    assert not re.search(r"\b49\b", " ".join(page.texts))


def test_no_lesion(volume_document: Make) -> None:
    page = Reader(study_html(report_of(volume_document(lesions=[]))))
    assert "No lesion found." in page.texts
    assert len(page.attributes("table")) == 1  # that of the model's scores


def test_pictures(picture_document: Make) -> None:
    words = " ".join(Reader(study_html(report_of(picture_document()))).texts)
    assert "1 lesion found in 1 of 2 pictures." in words
    assert " mm" not in words


def test_the_same_report_gives_the_same_text(report: StudyReport) -> None:
    assert study_html(report) == study_html(report)
