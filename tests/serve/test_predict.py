"""``POST /predict/``: one picture in, the segmentation out at once, in every form and for every error."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from metseg.inference import model_choice
from metseg.schemas import PROBLEM_MEDIA_TYPE, Answer
from metseg.serve.service_context import Service
from metseg.serve.storage.study_service import busy

pytestmark = pytest.mark.usefixtures("bright")

MakeClient = Callable[..., TestClient]


def picture(response_content: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(response_content)))


def test_json_has_rows_from_the_top(client: TestClient, make: SimpleNamespace) -> None:
    response = client.post("/predict/", files={"file": ("a.png", make.png(make.square()))})
    assert response.status_code == 200
    answer = Answer.model_validate(response.json())
    expected = np.zeros((32, 40), dtype=int)
    expected[4:7, 10:13] = 1
    assert answer.segmentation == expected.tolist()
    assert (answer.rows, answer.columns) == (32, 40)
    assert answer.classes == {"lesion": 1}
    assert [lesion.voxels for lesion in answer.lesions] == [9]
    assert answer.lesions[0].centre_voxel == (11.0, 5.0, 0.0)
    assert answer.lesions[0].volume_ml is None
    assert answer.model == "bright-pictures"


def test_accept_asks_for_the_mask_or_the_overlay(client: TestClient, make: SimpleNamespace) -> None:
    files = {"file": ("a.png", make.png(make.square()))}
    mask = client.post("/predict/", files=files, headers={"Accept": "image/png"})
    assert mask.headers["content-type"] == "image/png"
    expected = np.zeros((32, 40), dtype=np.uint8)
    expected[4:7, 10:13] = 255
    np.testing.assert_array_equal(picture(mask.content), expected)
    overlay = client.post("/predict/", files=files, headers={"Accept": "image/png; view=overlay"})
    drawn = picture(overlay.content)
    assert drawn.shape == (32, 40, 3)
    coloured = drawn.max(axis=2) != drawn.min(axis=2)
    np.testing.assert_array_equal(coloured, expected > 0)


def test_probabilities_as_a_picture(client: TestClient, make: SimpleNamespace) -> None:
    files = {"file": ("a.png", make.png(make.square()))}
    response = client.post("/predict/", files=files, headers={"Accept": "image/png; view=probability"})
    assert response.headers["content-type"] == "image/png"
    shown = picture(response.content)
    assert (shown.shape, shown.dtype) == ((32, 40), np.uint16)
    mask = picture(client.post("/predict/", files=files, headers={"Accept": "image/png"}).content)
    np.testing.assert_array_equal(shown > 65535 / 2, mask > 0)


@pytest.mark.parametrize("way", ["form", "query"])
def test_probabilities_in_the_json_on_request(client: TestClient, make: SimpleNamespace, way: str) -> None:
    files = {"file": ("a.png", make.png(make.square()))}
    assert client.post("/predict/", files=files).json()["probabilities"] is None
    place = {"data": {"probabilities": "true"}} if way == "form" else {"params": {"probabilities": "true"}}
    response = client.post("/predict/", files=files, **place)
    answer = Answer.model_validate(response.json())
    assert answer.probabilities is not None
    chances = np.array(answer.probabilities)
    assert (chances.min() >= 0, chances.max() <= 1) == (True, True)
    np.testing.assert_array_equal(chances > 0.5, np.array(answer.segmentation) > 0)


def test_probabilities_are_not_dropped_silently(client: TestClient, make: SimpleNamespace) -> None:
    """A PNG of the mask has no place for them, and a value that is neither true nor false is no wish."""
    files = {"file": ("a.png", make.png(make.square()))}
    for data, accept in (({"probabilities": "true"}, "image/png"), ({"probabilities": "maybe"}, "*/*")):
        response = client.post("/predict/", files=files, data=data, headers={"Accept": accept})
        assert (response.status_code, response.json()["code"]) == (422, "request.invalid")
        assert response.json()["where"] == "field probabilities"


def test_the_body_may_be_the_picture_itself(client: TestClient, make: SimpleNamespace) -> None:
    content = make.png(make.square())
    response = client.post("/predict/?model=bright-pictures", content=content, headers={"Content-Type": "image/png"})
    assert response.status_code == 200
    assert np.sum(response.json()["segmentation"]) == 9


def test_the_model_may_be_named_in_the_form(client: TestClient, make: SimpleNamespace) -> None:
    files = {"file": ("a.png", make.png(make.square()))}
    response = client.post("/predict/", files=files, data={"model": "bright-pictures"})
    assert response.json()["model"] == "bright-pictures"
    other = client.post("/predict/", files=files, data={"model": "nothing"})
    assert (other.status_code, other.json()["code"]) == (422, "request.invalid")
    volumes = client.post("/predict/", files=files, data={"model": "bright-t1c"})
    assert (volumes.status_code, volumes.json()["code"]) == (422, "input.dimensions")


def test_no_lesion_is_an_answer(client: TestClient, make: SimpleNamespace) -> None:
    response = client.post("/predict/", files={"file": ("a.png", make.png(make.square(side=0)))})
    assert response.status_code == 200
    assert response.json()["lesions"] == []
    assert np.sum(response.json()["segmentation"]) == 0


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("*/*", "application/json"),
        ("image/*", "image/png"),
        ("application/json;q=0.5, image/png", "image/png"),
        ("", "application/json"),
    ],
)
def test_the_form_is_the_one_liked_best(client: TestClient, make: SimpleNamespace, accept: str, kind: str) -> None:
    files = {"file": ("a.png", make.png(make.square()))}
    assert client.post("/predict/", files=files, headers={"Accept": accept}).headers["content-type"] == kind


def test_a_form_that_there_is_not(client: TestClient, make: SimpleNamespace, home: Path) -> None:
    files = {"file": ("a.png", make.png(make.square()))}
    for accept in ("text/html", "image/png; view=relief", "application/json;q=0"):
        response = client.post("/predict/", files=files, headers={"Accept": accept})
        assert (response.status_code, response.json()["code"]) == (406, "request.not_acceptable")
        assert response.headers["content-type"] == PROBLEM_MEDIA_TYPE
    assert list((home / "incoming").iterdir()) == []


def test_what_is_no_single_picture(client: TestClient, make: SimpleNamespace) -> None:
    one = ("file", ("a.png", make.png(make.square())))
    assert client.post("/predict/", files=[one, one]).json()["code"] == "request.too_large"
    assert client.post("/predict/", files={"model": (None, "bright-pictures")}).json()["code"] == "request.invalid"
    volume = client.post("/predict/", files={"file": ("a.nii.gz", make.nifti())})
    assert (volume.status_code, volume.json()["code"]) == (415, "input.format")
    text = client.post("/predict/", content=b"x", headers={"Content-Type": "text/plain"})
    assert (text.status_code, text.json()["code"]) == (415, "request.media_type")
    form = client.post("/predict/", files=[one], data={"stack": "true"})
    assert (form.status_code, form.json()["code"]) == (422, "request.invalid")


def test_the_picture_is_not_kept(client: TestClient, make: SimpleNamespace, home: Path) -> None:
    client.post("/predict/", files={"file": ("a.png", make.png(make.square()))})
    client.post("/predict/", files={"file": ("a.png", b"\x89PNG\r\n\x1a\n damaged")})
    assert list((home / "incoming").iterdir()) == []
    assert list((home / "studies").iterdir()) == []


def test_too_many_waiting(client: TestClient, service: Service, make: SimpleNamespace) -> None:
    async def full(_ask: object) -> None:
        raise busy(service.settings, "too many pictures are waiting")

    service.instant.ask = full  # type: ignore[method-assign, assignment]
    response = client.post("/predict/", files={"file": ("a.png", make.png(make.square()))})
    assert (response.status_code, response.json()["code"]) == (503, "service.busy")
    assert response.headers["retry-after"] == str(service.settings.retry_after_s)


def test_no_model_is_installed(make_client: MakeClient, make: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_choice, "list_bundles", dict)
    client = make_client(picture_model=None)
    response = client.post("/predict/", files={"file": ("a.png", make.png(make.square()))})
    assert (response.status_code, response.json()["code"]) == (503, "service.no_model")
    assert client.get("/models").json() == {"models": [], "may_accept": True}


def test_a_damaged_model_is_no_fault_of_the_client(client: TestClient, make: SimpleNamespace, home: Path) -> None:
    weights = home / "bundles" / "bright-pictures" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-10])
    response = client.post("/predict/", files={"file": ("a.png", make.png(make.square()))})
    assert response.status_code == 503
    assert response.json()["code"].startswith("model.")
    assert str(home) not in response.text


def test_the_address_needs_no_slash_at_its_end(client: TestClient, make: SimpleNamespace) -> None:
    files = {"file": ("a.png", make.png(make.square()))}
    with_slash, without = (client.post(path, files=files) for path in ("/predict/", "/predict"))
    assert without.status_code == with_slash.status_code == 200
    assert without.json()["segmentation"] == with_slash.json()["segmentation"]
    assert "/predict" not in client.get("/openapi.json").json()["paths"]


def test_a_bmp_is_answered(client: TestClient, make: SimpleNamespace) -> None:
    encoded = io.BytesIO()
    Image.fromarray(make.square()).save(encoded, "BMP")
    response = client.post("/predict/", files={"file": ("a.bmp", encoded.getvalue())})
    assert response.status_code == 200
    assert np.sum(response.json()["segmentation"]) == 9


def encoded(pixels: np.ndarray, ending: str, **options: object) -> tuple[str, bytes]:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format={".jpg": "JPEG", ".gif": "GIF"}.get(ending, ending[1:]), **options)
    return f"a{ending}", buffer.getvalue()


def turned() -> Image.Exif:
    """Return EXIF that says: turn by 90 degrees clockwise to show (orientation 6)."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


@pytest.mark.parametrize("path", ["/predict", "/predict/"])
@pytest.mark.parametrize("kind", ["png", "bmp", "jpeg", "rgba", "equal", "grey", "turned png", "turned jpeg"])
def test_pictures_as_people_have_them(client: TestClient, make: SimpleNamespace, path: str, kind: str) -> None:
    """The same square in every file: rows 4 to 6, columns 10 to 12 of 32 x 40, but for the blur of JPEG."""
    square = make.square()
    colour = np.repeat(square[..., np.newaxis], 3, axis=2)
    opaque = np.full((32, 40, 1), 255, dtype=np.uint8)
    name, content = {
        "png": lambda: encoded(square, ".png"),
        "grey": lambda: encoded(square, ".bmp"),
        "bmp": lambda: encoded(colour, ".bmp"),
        "jpeg": lambda: encoded(square, ".jpg", quality=100),
        "rgba": lambda: encoded(np.concatenate([colour, opaque], axis=2), ".png"),
        "equal": lambda: encoded(colour, ".png"),
        # As it lies in the file it is turned anticlockwise.
        "turned png": lambda: encoded(np.rot90(square).copy(), ".png", exif=turned()),
        "turned jpeg": lambda: encoded(np.rot90(square).copy(), ".jpg", quality=100, exif=turned()),
    }[kind]()
    response = client.post(path, files={"file": (name, content)}, follow_redirects=False)
    assert response.status_code == 200, response.text
    expected = np.zeros((32, 40), dtype=int)
    expected[4:7, 10:13] = 1
    assert response.json()["segmentation"] == expected.tolist()


@pytest.mark.parametrize("path", ["/predict", "/predict/"])
def test_a_gif_is_refused_with_a_cure(client: TestClient, make: SimpleNamespace, path: str) -> None:
    name, content = encoded(make.square(), ".gif")
    response = client.post(path, files={"file": (name, content)}, follow_redirects=False)
    assert response.status_code in (415, 422)
    assert "GIF" in response.json()["detail"]
    assert "PNG" in response.json()["cure"]
