"""Whether a picture shows one image: the same answer from the file and its content, and as it is read."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from metseg.io.images.image_decoding import MODES
from metseg.io.images.images_2d import channels_equal, read_picture
from metseg.picture_channels import COLOUR_MODES, GREY_MODES, shows_one_image

NOISE = np.random.default_rng(0).integers(0, 255, (24, 20, 3), dtype=np.uint8)
EQUAL = NOISE[..., :1].repeat(3, 2)


def write(path: Path, kind: str) -> Path:
    """Write a picture of a kind."""
    colour, grey = Image.fromarray(NOISE), Image.fromarray(NOISE[..., 0])
    if kind == "deep colour":
        cv2.imwrite(str(path), NOISE.astype(np.uint16) * 257)
        return path
    image = {
        "grey": grey,
        "equal": Image.fromarray(EQUAL),
        "colour": colour,
        "palette": colour.quantize(16),
        "transparent": Image.merge("RGBA", (*colour.split(), grey)),
        "opaque": colour.convert("RGBA"),
        "deep": Image.fromarray(NOISE[..., 0].astype(np.uint16) * 257),
        "grey with alpha": Image.merge("LA", (grey, grey)),
    }[kind]
    image.save(path, **({"quality": 95} if path.suffix in (".jpg", ".webp") else {}))
    return path


@pytest.mark.parametrize(
    ("name", "kind", "expected"),
    [
        ("a.png", "grey", True),
        ("a.png", "equal", True),
        ("a.jpg", "equal", True),
        ("a.webp", "equal", True),
        ("a.png", "colour", False),
        ("a.jpg", "colour", False),
        ("a.tif", "colour", False),
        ("a.bmp", "colour", False),
        ("a.png", "palette", True),  # read as grey, with a note
        ("a.png", "transparent", True),
        ("a.png", "opaque", False),
        ("a.png", "deep", True),
        ("a.tif", "deep", True),
        ("a.png", "grey with alpha", True),
        ("a.png", "deep colour", False),
    ],
)
def test_the_answer_is_that_of_reading(tmp_path: Path, name: str, kind: str, expected: bool) -> None:
    path = write(tmp_path / name, kind)
    assert shows_one_image(path) is shows_one_image(path.read_bytes()) is expected
    assert channels_equal(read_picture(path).pixels) == expected


def test_a_stack_is_judged_by_its_first_page(tmp_path: Path) -> None:
    first, second = Image.fromarray(EQUAL), Image.fromarray(NOISE)
    first.save(tmp_path / "grey.tif", save_all=True, append_images=[second])
    second.save(tmp_path / "colour.tif", save_all=True, append_images=[first])
    assert [shows_one_image(tmp_path / f"{name}.tif") for name in ("grey", "colour")] == [True, False]


def test_what_cannot_be_read_is_neither(tmp_path: Path) -> None:
    damaged = write(tmp_path / "a.png", "colour").read_bytes()[:200]
    (tmp_path / "damaged.png").write_bytes(damaged)
    Image.fromarray(NOISE).convert("CMYK").save(tmp_path / "cmyk.jpg")
    Image.fromarray(NOISE).save(tmp_path / "other.gif")
    for content in (
        b"",
        b"no picture",
        damaged,
        *(tmp_path / name for name in ("damaged.png", "cmyk.jpg", "other.gif")),
    ):
        assert shows_one_image(content) is None
    assert shows_one_image(tmp_path / "nowhere.png") is None


def test_every_mode_that_is_read_is_known() -> None:
    assert {*GREY_MODES, *COLOUR_MODES} == set(MODES)
