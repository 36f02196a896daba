"""The viewer in a real browser, Debian's Chromium: keys, clicks, sequences, 3D; slices and windows need no page."""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

if TYPE_CHECKING:
    from playwright.sync_api import FrameLocator, Locator, Page

ROOT = Path(__file__).parents[2]
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
#: No sandbox, which root may not have; WebGL by the processor where there is no graphics card.
ARGUMENTS = ["--no-sandbox", "--disable-dev-shm-usage", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
PATIENCE_MS = 120_000.0
#: Colour of lesions of a model with one class, and of the selected one.
ORANGE, WHITE = (230, 159, 0), (255, 255, 255)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is absent (on Debian: apt install chromium)"),
]


@dataclass
class Viewer:
    """The viewer on the page of a finished study.

    Args:
        page: of the browser.
        frame: of the viewer.
        sent: messages that the browser sent to the page's server so far.
        errors: exceptions in scripts, and what the browser refused to load.
    """

    page: Page
    sent: list[object] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    @property
    def frame(self) -> FrameLocator:
        return self.page.frame_locator("iframe[title*=volumes]")

    @property
    def root(self) -> Locator:
        return self.frame.locator("#viewer")

    def open(self, url: str) -> None:
        self.page.goto(url)
        self.picture("Axial 7 of 16, T1 with contrast").wait_for()
        self.button("2 FLAIR").wait_for()  # the other sequence has come
        self.settle()

    def settle(self) -> None:
        """Wait until the page draws no more."""
        self.page.locator("[data-testid=stApp][data-test-script-state=notRunning]").wait_for()
        self.page.wait_for_timeout(1000)

    def picture(self, name: str) -> Locator:
        return self.frame.get_by_role("img", name=name, exact=True)

    def button(self, name: str) -> Locator:
        return self.frame.get_by_role("button", name=name, exact=True)

    def press(self, *keys: str) -> None:
        for key in keys:
            self.root.press(key)

    def wait_until(self, condition: Callable[[], object], what: str) -> None:
        """Wait until something is drawn; a busy machine takes long."""
        deadline = time.monotonic() + PATIENCE_MS / 1000
        while not condition():
            assert time.monotonic() < deadline, what
            self.page.wait_for_timeout(100)

    def fill_lesions(self, picture: Locator) -> None:
        """Draw lesions filled, in their full colour."""
        self.frame.locator("#overlay").select_option("filled")
        self.frame.locator("#opacity").fill("1")
        self.wait_until(lambda: ORANGE in self.colours(picture), "lesions are filled")

    def colours(self, picture: Locator) -> set[tuple[int, ...]]:
        """Return the colours of a drawn picture."""
        found: list[int] = picture.evaluate(
            """canvas => {
              const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
              return [...new Set(new Uint32Array(pixels.buffer))];
            }"""
        )
        return {(word & 255, word >> 8 & 255, word >> 16 & 255) for word in found}

    def middle_of(self, picture: Locator, colour: tuple[int, ...]) -> tuple[float, float]:
        """Return where the pixels of a colour are; as `middle_where`."""
        parts = zip(("red", "green", "blue"), colour, strict=True)
        return self.middle_where(picture, " && ".join(f"Math.abs({part} - {value}) < 12" for part, value in parts))

    def middle_where(self, picture: Locator, condition: str) -> tuple[float, float]:
        """Return where pixels that meet a condition are: shares of the width from the left, of the height from the top.

        Args:
            condition: in JavaScript, of `red`, `green` and `blue`.
        """
        x, y = picture.evaluate(
            """(canvas, condition) => {
              const { width, height } = canvas;
              const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
              const meets = new Function("red", "green", "blue", `return ${condition}`);
              let count = 0, x = 0, y = 0;
              for (let place = 0; place < width * height; place++) {
                if (!meets(...data.subarray(4 * place, 4 * place + 3))) continue;
                count += 1, x += place % width, y += Math.floor(place / width);
              }
              return [x / count / width, y / count / height];
            }""",
            condition,
        )
        return float(x), float(y)


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Serve the page in a process of its own, and return the address of the study."""
    for name in ("playwright", "streamlit"):
        pytest.importorskip(name, reason=f"{name} is absent")
    command = [sys.executable, "-m", "tests.ui.fake_page"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.terminate()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    pytest.importorskip("playwright", reason="playwright is absent")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield chromium
        chromium.close()


@pytest.fixture
def viewer(browser: Any, address: str) -> Iterator[Viewer]:
    context = browser.new_context(viewport={"width": 1280, "height": 1100})
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    shown = Viewer(page)
    page.on("pageerror", lambda error: shown.errors.append(str(error)))
    page.on("console", lambda said: shown.errors.append(said.text) if "Content Security" in said.text else None)
    page.on(
        "request",
        lambda asked: None if re.match(r"(http|ws)://127|(data|blob):", asked.url) else shown.errors.append(asked.url),
    )
    page.on("websocket", lambda socket: socket.on("framesent", lambda message: shown.sent.append(message)))
    shown.open(address)
    yield shown
    context.close()
    assert shown.errors == []


def test_slices_windows_and_sequences_change_without_the_page(viewer: Viewer) -> None:
    before = len(viewer.sent)
    viewer.press("ArrowUp")
    viewer.picture("Axial 8 of 16, T1 with contrast").wait_for()
    viewer.press("ArrowDown", "ArrowDown", "PageUp", "PageUp")
    viewer.picture("Axial 16 of 16, T1 with contrast").wait_for()  # and no further
    width = viewer.frame.locator("#width-value")
    wide = float(width.inner_text())
    viewer.press("s")
    viewer.wait_until(lambda: float(width.inner_text()) < wide, "the window is narrower")
    assert viewer.frame.locator("#preset").input_value() == ""  # an own window
    viewer.frame.locator("#preset").select_option("Full range")
    viewer.press("2")
    viewer.picture("Axial 16 of 16, FLAIR").wait_for()
    viewer.button("Side by side").click()
    viewer.picture("Axial 16 of 16, T1 with contrast").wait_for()
    viewer.picture("Axial 16 of 16, FLAIR").wait_for()
    viewer.picture("Axial 16 of 16, FLAIR").hover()
    viewer.page.mouse.wheel(0, 100)
    viewer.picture("Axial 15 of 16, T1 with contrast").wait_for()  # linked
    assert len(viewer.sent) == before


def test_the_patients_right_is_on_the_left_and_the_front_above(viewer: Viewer) -> None:
    """Lesion 1 has its middle at x 14 of 20 to the right, y 6 of 24 from behind, z 6.5 of 16 from below."""
    viewer.fill_lesions(viewer.picture("Axial 7 of 16, T1 with contrast"))
    for name, down in (("Axial 7 of 16", "below"), ("Coronal 7 of 24", "middle"), ("Sagittal 15 of 20", "middle")):
        across, top = viewer.middle_of(viewer.picture(f"{name}, T1 with contrast"), ORANGE)
        assert (across < 0.5) == (not name.startswith("Sagittal")), name  # right, or behind, with the nose on the left
        assert top > 0.55 if down == "below" else 0.45 < top < 0.65, name


def test_a_click_selects_the_lesion_in_the_table(viewer: Viewer) -> None:
    picture = viewer.picture("Axial 7 of 16, T1 with contrast")
    viewer.fill_lesions(picture)
    across, top = viewer.middle_of(picture, ORANGE)
    box = picture.bounding_box()
    assert box is not None
    picture.click(position={"x": across * box["width"], "y": top * box["height"]})
    viewer.page.locator("strong").filter(has_text="Lesion 1: 1.2 mL").wait_for()
    assert "lesion 1, selected" in viewer.frame.locator("#legend").inner_text()
    viewer.wait_until(lambda: WHITE in viewer.colours(picture), "the selected lesion has a white line")


def test_the_next_lesion_keeps_the_table_in_step_and_the_table_the_viewer(viewer: Viewer) -> None:
    viewer.press("p")
    viewer.picture("Axial 3 of 16, T1 with contrast").wait_for()  # lesion 2, the last one
    viewer.page.locator("strong").filter(has_text="Lesion 2: 0.096 mL").wait_for()
    viewer.settle()
    viewer.press("ArrowUp")
    viewer.picture("Axial 4 of 16, T1 with contrast").wait_for()
    table = viewer.page.get_by_test_id("stDataFrame").first.bounding_box()
    assert table is not None
    viewer.page.mouse.click(table["x"] + 16, table["y"] + 35 + 17)
    viewer.picture("Axial 7 of 16, T1 with contrast").wait_for()
    viewer.page.locator("strong").filter(has_text="Lesion 1: 1.2 mL").wait_for()


def test_one_click_on_a_row_is_enough_while_the_viewer_reports_its_place(viewer: Viewer) -> None:
    """The click moves the focus, so the viewer reports the slices passed through in the same moment."""
    table = viewer.page.get_by_test_id("stDataFrame").first.bounding_box()
    assert table is not None
    for number, slices in ((2, "Axial 3 of 16"), (1, "Axial 7 of 16"), (2, "Axial 3 of 16"), (1, "Axial 7 of 16")):
        viewer.press("ArrowUp", "ArrowUp")
        viewer.page.mouse.click(table["x"] + 16, table["y"] + 35 * number + 17)
        viewer.page.locator("strong").filter(has_text=f"Lesion {number}:").wait_for(timeout=20_000)
        viewer.picture(f"{slices}, T1 with contrast").wait_for(timeout=20_000)
        viewer.settle()
        # Neither the report of the place nor its answer takes the selection back.
        assert viewer.page.locator("strong").filter(has_text=f"Lesion {number}:").count() == 1


def test_lesions_and_brain_are_hidden_by_keys(viewer: Viewer) -> None:
    picture = viewer.picture("Axial 7 of 16, T1 with contrast")
    viewer.fill_lesions(picture)
    assert "brain outline" in viewer.frame.locator("#legend").inner_text()
    viewer.press("o", "b")
    viewer.wait_until(lambda: ORANGE not in viewer.colours(picture), "lesions are hidden")
    assert "brain outline" not in viewer.frame.locator("#legend").inner_text()
    viewer.press("o")
    viewer.wait_until(lambda: ORANGE in viewer.colours(picture), "lesions are shown as before")


def test_a_sequence_on_another_grid_lies_where_it_should(viewer: Viewer) -> None:
    """In the FLAIR image, lesions are white: they must lie inside their own outlines."""
    viewer.press("2")
    viewer.frame.locator("#preset").select_option("Full range")
    picture = viewer.picture("Axial 7 of 16, FLAIR")
    viewer.fill_lesions(picture)
    drawn = viewer.middle_of(picture, ORANGE)
    viewer.press("o")
    viewer.wait_until(lambda: ORANGE not in viewer.colours(picture), "lesions are hidden")
    assert viewer.middle_of(picture, WHITE) == pytest.approx(drawn, abs=0.03)


def test_a_map_is_drawn_over_the_image(viewer: Viewer) -> None:
    picture = viewer.picture("Axial 7 of 16, T1 with contrast")
    viewer.fill_lesions(picture)
    lesions = viewer.middle_of(picture, ORANGE)
    viewer.press("o")
    viewer.wait_until(lambda: ORANGE not in viewer.colours(picture), "lesions are hidden")
    assert not list(filter(is_yellow, viewer.colours(picture)))
    viewer.frame.locator("#map").select_option("uncertainty")
    viewer.wait_until(lambda: list(filter(is_yellow, viewer.colours(picture))), "the map is drawn")
    assert viewer.middle_where(picture, "red > blue + 100") == pytest.approx(lesions, abs=0.03)
    assert "Uncertainty, 0 to 0.5" in viewer.frame.locator("#legend").inner_text()
    viewer.frame.locator("#map").select_option("")
    viewer.wait_until(lambda: not list(filter(is_yellow, viewer.colours(picture))), "the map is hidden")


def is_yellow(colour: tuple[int, ...]) -> bool:
    """Return whether a colour is that of the highest value of a map, over grey."""
    red, _, blue = colour
    return red > blue + 100


def test_the_3d_rendering_is_drawn(viewer: Viewer) -> None:
    viewer.button("3D").click()
    canvas = viewer.frame.locator("#cells canvas")
    canvas.wait_for()
    viewer.frame.get_by_text("Research use only").wait_for()
    viewer.wait_until(lambda: shades(canvas.screenshot(timeout=PATIENCE_MS)) > 20, "the 3D rendering is drawn")
    assert viewer.frame.locator(".message").count() == 0


def shades(screenshot: bytes) -> int:
    return len(np.unique(np.asarray(Image.open(io.BytesIO(screenshot)).convert("L"))))
