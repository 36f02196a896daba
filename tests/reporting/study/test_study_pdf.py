"""The PDF, read back by another program: every section, every page, fonts, papers, dates, and no obeyed markup."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from typing import Any

import pypdfium2
import pytest

from metseg.inference.input_fit import ON_A_VOLUME
from metseg.reporting.study.document_reader import parse_document
from metseg.reporting.study.key_images import VolumePixels
from metseg.reporting.study.page_parts import Section
from metseg.reporting.study.pdf_style import printable, shortened
from metseg.reporting.study.pdf_writer import PAPERS, study_pdf
from metseg.reporting.study.report_builder import Options, Pixels, make_report
from metseg.reporting.study.study_report import RESEARCH_USE, Model, Performance, StudyReport

Make = Callable[..., dict[str, Any]]

DAY = date(2026, 11, 20)
MODEL = Model(
    "known", "9f2ab0c4d1e87753", True, "Finds boxes.", "unet, 3D", "63 patients", (Performance("test", "ET", 21, 0.81),)
)


def report_of(
    document: dict[str, Any], pixels: Pixels | None = None, model: Model = MODEL, **options: Any
) -> StudyReport:
    chosen = Options(made_on=DAY, **{"key_images": 0, **options})
    return make_report(parse_document(document, where="test"), model, pixels=pixels or Pixels(), options=chosen)


def texts_of(pdf: bytes) -> list[str]:
    """Return the text of each page, its lines joined."""
    document = pypdfium2.PdfDocument(pdf)
    return [" ".join(page.get_textpage().get_text_bounded().split()) for page in document]


@pytest.fixture
def report(volume_document: Make, study: Any) -> StudyReport:
    pixels = Pixels(volume=VolumePixels(study.labels, study.affine, study.image, "t1c"))
    return report_of(volume_document(), pixels, key_images=2)


def test_every_section_is_there_and_every_page_says_what_it_is(report: StudyReport) -> None:
    pdf = study_pdf(report)
    pages = texts_of(pdf)
    for number, text in enumerate(pages, start=1):
        assert RESEARCH_USE in text
        assert f"Page {number} of {len(pages)}" in text
        assert "Study 4f1c9a7be0d35528 | model 9f2ab0c4d1e87753 | report " + report.digest in text
    whole = " ".join(pages)
    for words in (
        "1 lesion found, and 1 speck below 0.1 mL.",
        "Study and technique",
        "T1 with contrast (t1c): 40 × 48 × 36 voxels",
        "1 2.88 25.0 20.0 right R 42, P 16, S 26 0.87",
        "Key images",
        "Lesion 2",
        "Model and its known performance",
        "Enhancing 21 0.81",
        "Warnings",
        "t1c: a voxel was not finite",
        "Limits",
        "Review",
        "Signature",
    ):
        assert words in whole, words
    titles = [entry.get_title() for entry in pypdfium2.PdfDocument(pdf).get_toc()]
    assert titles[:4] == ["Result", "Study and technique", "Lesions", "Key images"]
    assert titles[-2:] == ["Limits", "Review"]


def test_the_same_report_gives_the_same_bytes(report: StudyReport) -> None:
    assert study_pdf(report) == study_pdf(report)
    assert study_pdf(replace(report, pseudonym="other")) != study_pdf(report)


def test_what_catalogues_read(report: StudyReport) -> None:
    facts = pypdfium2.PdfDocument(study_pdf(report)).get_metadata_dict()
    assert "4f1c9a7be0d35528" in facts["Title"]
    assert "analysed with known; report of 2026-11-20" in facts["Subject"]
    assert RESEARCH_USE in facts["Keywords"]
    assert facts["CreationDate"].startswith("D:20261120")
    assert b"/Lang" in study_pdf(report)


@pytest.mark.parametrize("paper", PAPERS)
def test_papers(report: StudyReport, paper: Any) -> None:
    document = pypdfium2.PdfDocument(study_pdf(report, paper=paper))
    assert {tuple(round(side) for side in page.get_size()) for page in document} == {
        {"A4": (595, 842), "Letter": (612, 792)}[paper]
    }


def test_every_font_is_embedded(report: StudyReport) -> None:
    pdf = study_pdf(report)
    names = set(re.findall(rb"/BaseFont\s*/(\S+)", pdf))
    assert names
    assert all(re.fullmatch(rb"[A-Z]{6}\+DejaVuSans(-Bold)?", name) for name in names), names
    assert pdf.count(b"/FontFile2") >= 2


def test_forty_lesions_fill_the_table_and_not_the_pages(volume_document: Make) -> None:
    first = volume_document()["lesions"][0]
    lesions = [{**first, "id": number, "volume_ml": 50.0 - number} for number in range(1, 41)]
    pages = texts_of(study_pdf(report_of(volume_document(lesions=lesions))))
    whole = " ".join(pages)
    for number in range(1, 41):
        assert f" {number} {50 - number}.00 25.0 20.0 R 42, P 16, S 26 0.87" in whole
    assert 3 <= len(pages) <= 5
    heads = sum("Longest diameter (mm)" in text for text in pages)
    assert heads >= 2  # repeated where the table goes on
    assert "40 lesions found." in whole
    assert "1180.00 mL" in whole


@pytest.mark.parametrize("count", range(4, 40, 3))
def test_the_signature_is_never_alone_on_a_page(volume_document: Make, count: int) -> None:
    """The section before it is on the same page, from its first line on, wherever the pages break."""
    first = volume_document()["lesions"][0]
    lesions = [{**first, "id": number} for number in range(1, count + 1)]
    last = texts_of(study_pdf(report_of(volume_document(lesions=lesions))))[-1]
    assert " Limits " in last
    assert " Review " in last
    assert " Signature " in last


def test_no_lesion(volume_document: Make, study: Any) -> None:
    pixels = Pixels(volume=VolumePixels(study.labels * 0, study.affine, study.image, "t1c"))
    whole = " ".join(texts_of(study_pdf(report_of(volume_document(lesions=[]), pixels, key_images=6))))
    assert "No lesion found." in whole
    assert "does not exclude a lesion" in whole
    assert "Middle of the head" in whole
    assert "Signature" in whole


def test_pictures(picture_document: Make) -> None:
    whole = " ".join(texts_of(study_pdf(report_of(picture_document(), model=Model("known")))))
    assert "1 lesion found in 1 of 2 pictures." in whole
    assert " mm" not in whole
    assert " mL" not in whole
    assert "so its scores are not known here" in whole


def test_long_names_are_broken_and_shortened_and_never_run_out_of_the_page(picture_document: Make) -> None:
    long = "x" * 300
    names = ["P" * 200, "Q" * 200]
    pdf = study_pdf(report_of(picture_document(case=long, slices=names, model="m" * 200), model=Model("m" * 200)))
    document = pypdfium2.PdfDocument(pdf)
    for page in document:
        width, _ = page.get_size()
        textpage = page.get_textpage()
        right = max(textpage.get_charbox(index)[2] for index in range(textpage.count_chars()))
        assert right <= width - 40
    whole = " ".join(texts_of(pdf))
    assert "…" in whole
    assert "".join(whole.split()).count("Q" * 200) == 1


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", "<b>bold</b> & <i>", "</para>", "&lt;", "a<br/>b"])
def test_markup_is_printed_and_not_obeyed(volume_document: Make, name: str) -> None:
    whole = " ".join(texts_of(study_pdf(report_of(volume_document(case=name, warnings=[name])))))
    assert f"Study {name}" in whole
    assert whole.count(name) >= 3


def test_signs_of_other_scripts_are_shown_or_spelt_out(volume_document: Make) -> None:
    whole = " ".join(texts_of(study_pdf(report_of(volume_document(case="Łódź Ωμ≥½ Жук 中")))))
    assert "Łódź Ωμ≥½ Жук [U+4E2D]" in whole


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("a\u0000b", "a[U+0000]b"),
        ("a\nb\tc", "a b c"),
        ("e\u0301", "é"),
        ("\U0001f9e0", "[U+1F9E0]"),
    ],
)
def test_printable(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_a_shortened_text_keeps_its_ends_and_fits() -> None:
    from reportlab.pdfbase.pdfmetrics import stringWidth

    from metseg.reporting.study.pdf_style import fonts

    regular, _ = fonts()
    text = "begin" + "x" * 500 + "end"
    short = shortened(text, regular, 7, 120)
    assert short.startswith("begin")
    assert short.endswith("end")
    assert "…" in short
    assert stringWidth(short, regular, 7) <= 120
    assert shortened("short", regular, 7, 120) == "short"


def test_a_section_may_be_empty() -> None:
    from metseg.reporting.study.pdf_parts import section_parts

    assert section_parts(Section("Empty"), 400)


def test_what_puts_the_result_in_doubt_stands_before_it_on_the_first_page(volume_document: Make) -> None:
    first, *_ = texts_of(study_pdf(report_of(volume_document(warnings=["t1c: noise", ON_A_VOLUME]))))
    doubt = first.index("The model was trained on pictures, not on volumes")
    assert doubt < first.index("1 lesion found, and 1 speck below 0.1 mL.")
