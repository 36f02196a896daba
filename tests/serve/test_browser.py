"""The page in a real browser, Debian's Chromium: upload, wait, go through the slices, find a lesion, take the report.

Screenshots of each step lie in pytest's temporary folder, or where ``METSEG_TEST_SCREENSHOTS`` says.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import httpx
import numpy as np
import pytest
from PIL import Image

from . import running

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

ROOT = Path(__file__).parents[2]
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
#: Names of packages without which there is no page, or nobody to look at it.
NEEDED = ("playwright", "streamlit")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is absent (on Debian: apt install chromium)"),
]

#: No sandbox, which root may not have; WebGL by the processor where there is no graphics card.
ARGUMENTS = ["--no-sandbox", "--disable-dev-shm-usage", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
LAPTOP, TABLET = {"width": 1280, "height": 800}, {"width": 820, "height": 1180}
#: How long one step may take; a study has `running.PATIENCE_S`.
PATIENCE_MS = 60_000.0
STUDY_MS = 1000 * running.PATIENCE_S


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    for name in NEEDED:
        pytest.importorskip(name, reason=f"{name} is absent")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def screenshots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    chosen = os.environ.get("METSEG_TEST_SCREENSHOTS")
    folder = Path(chosen) if chosen else tmp_path_factory.mktemp("screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, bundle_store: Path) -> Iterator[running.Running]:
    """Start the service with its page and models that find what is bright."""
    home = tmp_path_factory.mktemp("service") / "home"
    shutil.copytree(bundle_store, home / "bundles")
    models = {"METSEG_PICTURE_MODEL": "bright-pictures", "METSEG_VOLUME_MODEL": "bright-t1c"}
    with running.metseg_up(home, page=True, **models) as started:
        yield started


@dataclass
class Visit:
    """Somebody in front of the page.

    Args:
        page: of the browser.
        service: behind it.
        screenshots: folder for what they saw.
        name: of this visit; begins the names of its screenshots.
        errors: that the browser reports: exceptions in scripts, and answers of the page that failed.
    """

    page: Page
    service: running.Running
    screenshots: Path
    name: str
    errors: list[str]

    def see(self, what: str) -> bytes:
        """Take a screenshot once the page has come to rest."""
        self.settle()
        count = len(list(self.screenshots.glob(f"{self.name}-*.png"))) + 1
        return self.page.screenshot(path=self.screenshots / f"{self.name}-{count}-{what}.png")

    def settle(self) -> None:
        """Wait until Streamlit says that it draws no more."""
        self.page.locator("[data-testid=stApp][data-test-script-state=notRunning]").wait_for(timeout=PATIENCE_MS)

    def open(self) -> None:
        self.page.goto(self.service.page_url)
        self.page.get_by_role("heading", name="New study").wait_for(timeout=PATIENCE_MS)
        self.settle()

    def upload(self, files: list[Any]) -> None:
        """Choose files, send them, and see the study opened."""
        self.send(files)
        self.page.wait_for_url(re.compile("study=[0-9a-f]{32}"), timeout=PATIENCE_MS)

    def send(self, files: list[Any]) -> None:
        """Choose files and send them."""
        self.choose(files)
        self.settle()
        self.page.get_by_text(re.compile(r"^\d+ files?, ")).first.wait_for()  # the page knows what was chosen
        grey = self.page.get_by_test_id("stSelectbox").filter(has_text="Sequence of the grey pictures")
        if grey.count():  # a question without an answer that is chosen already
            grey.locator("input").click()
            self.page.get_by_role("option", name="FLAIR").click()
            self.settle()
        self.see("chosen")
        self.page.get_by_role("button", name="Analyse").click()

    def choose(self, files: list[Any]) -> None:
        """Choose files; where the page shows none of them, open it again and choose once more, as anybody would.

        Seen once, on a machine that did much else. The likely cause: Streamlit asks its server for an address for each
        file, and waits for ever where the connection drops just then.
        """
        from playwright.sync_api import TimeoutError as TookTooLong

        given, chosen = self.page.locator("input[type=file]").first, self.page.get_by_test_id("stFileChip").first
        given.set_input_files(files)
        try:
            chosen.wait_for(timeout=PATIENCE_MS)
        except TookTooLong:
            warnings.warn("the page showed no chosen file, and was opened again", stacklevel=2)
            self.see("lost")
            self.open()
            given.set_input_files(files)
            chosen.wait_for(timeout=PATIENCE_MS)

    def wait_for_result(self) -> dict[str, Any]:
        """Wait until the page shows what came of the study, and return what the API says of it."""
        self.page.get_by_role("heading", name=re.compile("found")).wait_for(timeout=STUDY_MS)
        self.settle()
        (study_id,) = re.findall("study=([0-9a-f]{32})", self.page.url)
        found: dict[str, Any] = httpx.get(f"{self.service.url}/studies/{study_id}").json()
        assert found["state"] == "done"
        return found

    def picture(self, alt: str) -> Locator:
        """Return a picture that can be clicked, by what it is said to show; it is drawn before it is returned."""
        found = self.page.get_by_alt_text(re.compile(alt)).first
        found.wait_for(timeout=PATIENCE_MS)
        return found

    @property
    def viewer(self) -> Locator:
        """Return the viewer of volumes, which takes keys."""
        return self.page.frame_locator("iframe").locator("#viewer")

    def plane(self, name: str) -> None:
        """Wait until the viewer of volumes shows a plane, by the beginning of its name."""
        self.page.frame_locator("iframe").get_by_role("img", name=re.compile(name)).wait_for(timeout=PATIENCE_MS)

    def click_in(self, picture: Locator, across: float, down: float) -> None:
        """Click at a place in a picture that is fitted, in its own proportions, into the middle of its box."""
        box = picture.bounding_box()
        assert box is not None
        width, height = picture.evaluate("image => [image.naturalWidth, image.naturalHeight]")
        scale = min(box["width"] / width, box["height"] / height)
        left, top = (box["width"] - width * scale) / 2, (box["height"] - height * scale) / 2
        picture.click(position={"x": left + across * width * scale, "y": top + down * height * scale})

    def click_row(self, number: int) -> None:
        """Click at the box before a row of the lesion table, which is drawn on a canvas."""
        table = self.page.get_by_test_id("stDataFrame").first
        table.scroll_into_view_if_needed()
        box = table.bounding_box()
        assert box is not None
        # By the mouse: what scrolls lies over the canvas, and Playwright would wait for it to go away.
        self.page.mouse.click(box["x"] + 16, box["y"] + 35 * number + 17)

    def download_report(self) -> bytes:
        with self.page.expect_download(timeout=PATIENCE_MS) as coming:
            self.page.get_by_role("button", name="Report (PDF)").first.click()
        name = coming.value.suggested_filename
        assert re.fullmatch(r"metseg-[0-9a-f]{8}-report\.pdf", name)
        return Path(coming.value.path()).read_bytes()


@pytest.fixture
def visit(
    browser: Browser, service: running.Running, screenshots: Path, request: pytest.FixtureRequest
) -> Iterator[Visit]:
    yield from visiting(browser, service, screenshots, request.node.name.removeprefix("test_"), LAPTOP)


def visiting(
    browser: Browser, service: running.Running, screenshots: Path, name: str, size: dict[str, int]
) -> Iterator[Visit]:
    """Give a visit of its own, and see at its end that nothing went wrong which nobody looked at."""
    context = browser.new_context(viewport=size, accept_downloads=True)  # type: ignore[arg-type]
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda said: errors.append(said.text) if "Content Security Policy" in said.text else None)
    page.on("requestfailed", lambda asked: errors.append(asked.url) if is_elsewhere(asked.url) else None)
    page.on("request", lambda asked: errors.append(asked.url) if is_elsewhere(asked.url) else None)
    yield Visit(page, service, screenshots, name, errors)
    page.screenshot(path=screenshots / f"{name}-end.png")
    context.close()
    assert errors == []


def is_elsewhere(url: str) -> bool:
    """Return whether something is fetched from outside this machine: the page must not."""
    return not re.match(r"(https?|wss?)://127\.0\.0\.1[:/]|(data|blob|about):", url)


def payload(name: str, content: bytes) -> dict[str, Any]:
    return {"name": name, "mimeType": "application/octet-stream", "buffer": content}


def test_a_slice(visit: Visit, make: SimpleNamespace) -> None:
    visit.open()
    apart = (make.square(side=3), make.square(side=4)[::-1, ::-1])  # at one place they would be one lesion
    visit.upload([payload(f"scan_{number}.png", make.png(picture)) for number, picture in enumerate(apart)])
    study = visit.wait_for_result()
    visit.see("result")
    assert [lesion["voxels"] for lesion in study["lesions"]] == [16, 9]

    visit.picture("Slice 2, with lesions").press("ArrowDown")
    first = visit.picture("Slice 1, with lesions")
    visit.settle()
    assert visit.page.locator("strong").filter(has_text="Lesion 2:").count() == 0
    visit.click_in(first, 11.5 / 40, 5.5 / 32)  # the middle of rows 4 to 6, columns 10 to 12
    visit.page.locator("strong").filter(has_text="Lesion 2:").wait_for()
    visit.see("lesion")

    visit.click_row(1)
    visit.picture("Slice 2, with lesions")
    visit.page.locator("strong").filter(has_text="Lesion 1:").wait_for()
    visit.see("other-lesion")
    assert visit.download_report().startswith(b"%PDF-")


def test_a_volume(visit: Visit, make: SimpleNamespace) -> None:
    visit.open()
    visit.upload([payload("patient_t1c.nii.gz", make.nifti())])
    study = visit.wait_for_result()
    assert study["facts"]["model"] == "bright-t1c"
    assert study["inputs"][0]["sequence"] == "t1c"  # guessed from the name
    (lesion,) = study["lesions"]
    assert lesion["centre_voxel"] == [5.0, 6.0, 4.0]
    require_something_drawn(visit)
    for plane in ("Axial 5 of 10", "Coronal 7 of 24", "Sagittal 15 of 20"):
        visit.plane(plane)  # where the lesion is, counted from 1: nobody has looked elsewhere yet
    visit.see("planes")
    visit.viewer.press("ArrowUp")
    visit.viewer.press("ArrowUp")
    visit.plane("Axial 7 of 10")
    visit.see("other-slice")
    visit.click_row(1)
    visit.plane("Axial 5 of 10")
    visit.page.locator("strong").filter(has_text="Lesion 1:").wait_for()
    visit.see("lesion")
    assert visit.download_report().startswith(b"%PDF-")


def require_something_drawn(visit: Visit) -> None:
    """See that the viewer shows an image, and neither nothing nor an error: its canvas has many shades."""
    canvas = visit.page.frame_locator("iframe").locator("canvas").first
    canvas.wait_for(timeout=PATIENCE_MS)
    visit.service.wait_for(lambda: shades(canvas.screenshot()) > 20, "the viewer has drawn the image")


def shades(screenshot: bytes) -> int:
    return len(np.unique(np.asarray(Image.open(io.BytesIO(screenshot)).convert("L"))))


def test_what_cannot_be_read_is_said_in_words(visit: Visit) -> None:
    visit.open()
    visit.send([payload("letter_of_Erika.png", b"\x89PNG\r\n\x1a\nthis is no picture")])
    told = visit.page.get_by_test_id("stAlert").first
    told.wait_for()
    visit.see("refused")
    assert "Traceback" not in told.inner_text()
    assert "Erika" not in told.inner_text()
    assert visit.page.get_by_role("heading", name="New study").is_visible()


def test_on_a_tablet(browser: Browser, service: running.Running, screenshots: Path, make: SimpleNamespace) -> None:
    """Nothing is wider than the screen."""
    for visit in visiting(browser, service, screenshots, "tablet", TABLET):
        visit.open()
        visit.upload([payload("scan.png", make.png(make.square()))])
        visit.wait_for_result()
        visit.see("result")
        wider = visit.page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")
        assert wider is False
        # The notice lies over the sidebar too, which on a small screen lies over everything else.
        below = "document.elementFromPoint(20, window.innerHeight - 8).className"
        assert visit.page.evaluate(below) == "metseg-notice"


@pytest.fixture(scope="module")
def service_of_the_checkout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[running.Running]:
    """Start the service as ``make serve`` does: with the models that lie in the checkout."""
    if not any((ROOT / "bundles").glob("*/recipe.toml")):
        pytest.skip("no model lies in bundles/")
    home = tmp_path_factory.mktemp("checkout") / "home"
    home.mkdir()
    with running.metseg_up(home, page=True, METSEG_ACCEPTED_MODELS="lgg-flair") as started:
        yield started


@pytest.mark.real
def test_real_images(
    browser: Browser, service_of_the_checkout: running.Running, screenshots: Path, real_data: Path
) -> None:
    """A slice with a glioma, and a study with metastases, as somebody would look at them who tries this."""
    slices = sorted(path for path in (real_data / "lgg_flair_slices").glob("*/*") if "_mask" not in path.name)
    with_tumour = next(path for path in slices if shows_tumour(path))
    volumes = sorted((real_data / "met_volume_no_truth").rglob("*.nii.gz"))
    for visit in visiting(browser, service_of_the_checkout, screenshots, "real", LAPTOP):
        visit.open()
        visit.see("new")
        visit.upload([str(with_tumour)])
        study = visit.wait_for_result()
        visit.see("slice")
        if study["lesions"]:
            visit.click_row(1)
            visit.page.locator("strong").filter(has_text="Lesion 1:").wait_for()
            visit.see("slice-lesion")
        assert visit.download_report().startswith(b"%PDF-")

        visit.open()
        visit.upload([str(path) for path in volumes])
        visit.see("working")
        study = visit.wait_for_result()
        require_something_drawn(visit)
        visit.see("volume")
        visit.plane(f"Axial .* of {study['facts']['shape'][2]}")
        visit.viewer.press("ArrowUp")
        visit.see("volume-planes")
        if study["lesions"]:
            visit.click_row(1)
            visit.page.locator("strong").filter(has_text="Lesion 1:").wait_for()
            visit.see("volume-lesion")
        assert visit.download_report().startswith(b"%PDF-")


def shows_tumour(path: Path) -> bool:
    """Return whether the mask beside a slice shows a large tumour."""
    mask = path.with_name(f"{path.stem}_mask.png")
    return mask.is_file() and int(np.count_nonzero(np.asarray(Image.open(mask)))) > 2000
