"""The HTML file as a browser lays it out: rows stay rows, and a narrow screen scrolls the table and not the page."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from metseg.reporting.study.document_reader import parse_document
from metseg.reporting.study.html_writer import write_study_html
from metseg.reporting.study.key_images import VolumePixels
from metseg.reporting.study.report_builder import Options, Pixels, make_report
from metseg.reporting.study.study_report import Model

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is absent (on Debian: apt install chromium)"),
]

#: For each row of the lesion table: top of each cell's text, and its lines.
_ROWS = """
() => [...document.querySelector('.table tbody').rows].map(row => [...row.cells].map(cell => {
  const range = document.createRange(); range.selectNodeContents(cell);
  const rects = [...range.getClientRects()];
  return [rects[0].top, new Set(rects.map(rect => rect.top)).size];
}))
"""


@pytest.mark.parametrize("width", [1100, 500])
def test_the_lesion_table(
    volume_document: Callable[..., dict[str, Any]], study: Any, tmp_path: Path, width: int
) -> None:
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is absent")
    pixels = Pixels(volume=VolumePixels(study.labels, study.affine, study.image, "t1c"))
    document = parse_document(volume_document(), where="test")
    options = Options(made_on=date(2026, 11, 20), key_images=0)
    write_study_html(make_report(document, Model("known"), pixels=pixels, options=options), tmp_path / "report.html")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"])
        page = browser.new_page(viewport={"width": width, "height": 900})
        page.goto(f"file://{tmp_path / 'report.html'}")
        rows = page.evaluate(_ROWS)
        sizes = page.eval_on_selector(".table", "box => [box.clientWidth, box.scrollWidth]")
        page_width = page.evaluate("document.documentElement.scrollWidth")
        browser.close()
    assert len(rows) == 2
    for row in rows:
        assert len(row) == 7
        assert all(lines == 1 for _, lines in row)
        assert max(top for top, _ in row) - min(top for top, _ in row) < 1.5
    assert page_width == width
    assert (sizes[1] > sizes[0]) == (width == 500)
