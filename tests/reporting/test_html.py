"""A page is one file: every text escaped, every picture inside, nothing fetched from anywhere."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from metseg.disclaimer import NOTICE
from metseg.errors import UsageError
from metseg.reporting.blocks import Bullets, Facts, Figure, Gallery, Page, Paragraph, Section, Table
from metseg.reporting.html import data_uri, page_html, write_page

NASTY = "<b>bold</b> & \"quoted\" 'single' <script>alert(1)</script>"


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "p.png"
    Image.new("L", (3, 2), 128).save(path)
    return path


@pytest.fixture
def page(picture: Path) -> Page:
    figure = Figure(picture, NASTY, alt=NASTY)
    blocks = (
        Paragraph(NASTY, label=NASTY),
        Bullets((NASTY,), tone="warning"),
        Facts(((NASTY, NASTY),)),
        Table((NASTY, "n"), ((NASTY, "1"), ("b", "2")), caption=NASTY, sortable=True),
        figure,
        Gallery((figure, figure)),
    )
    return Page(NASTY, NOTICE, summary=(Paragraph("first"),), sections=(Section("all", NASTY, blocks),))


def test_every_text_is_shown_as_it_is_written(page: Page, outline: Callable[[str], Any]) -> None:
    html = page_html(page)
    read = outline(html)
    assert read.tags.count("script") == 1, "that of the page itself"
    assert "b" not in read.tags
    # title, h1, link, h2, two of the paragraph, bullet, term, text, caption, cell and title of the table, 3 captions
    assert read.text.count(NASTY) == 15
    assert read.alts == [NASTY] * 3


def test_nothing_is_fetched(page: Page, outline: Callable[[str], Any]) -> None:
    html = page_html(page)
    read = outline(html)
    assert "://" not in html
    assert "@import" not in html
    assert len(read.sources) == 3
    assert all(source.startswith("data:image/png;base64,") for source in read.sources)
    assert all(link.startswith("#") and link[1:] in read.ids for link in read.links)
    assert len(read.ids) == len(set(read.ids))
    assert "default-src 'none'" in html, "and the browser is told so"


def test_the_notice_stands_first_and_last(page: Page, outline: Callable[[str], Any]) -> None:
    text = outline(page_html(page)).text
    assert text.count(NOTICE) == 2
    assert text.rstrip().endswith(NOTICE)


def test_a_table_keeps_its_cells_in_order(page: Page, outline: Callable[[str], Any]) -> None:
    assert outline(page_html(page)).cells == [[NASTY, "n"], [NASTY, "1"], ["b", "2"]]


def test_a_page_without_anything_is_a_page(outline: Callable[[str], Any]) -> None:
    read = outline(page_html(Page("t", NOTICE, summary=(), sections=())))
    assert read.ids == []


def test_a_picture_is_taken_in_byte_by_byte(picture: Path) -> None:
    media, _, data = data_uri(picture).partition(";base64,")
    assert media == "data:image/png"
    assert base64.b64decode(data) == picture.read_bytes()
    with pytest.raises(UsageError, match="unsupported picture format"):
        data_uri(picture.with_suffix(".bmp"))


def test_the_file_holds_the_page_and_no_path(page: Page, tmp_path: Path) -> None:
    write_page(page, tmp_path / "deep" / "r.html")
    written = (tmp_path / "deep" / "r.html").read_text("utf-8")
    assert written == page_html(page)
    assert str(tmp_path) not in written
