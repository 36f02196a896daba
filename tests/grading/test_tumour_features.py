"""Features of shapes and images with known values."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from metseg.grading.tumour import Tumour, joined_slices, tumour_of
from metseg.grading.tumour_features import FEATURES, tumour_values
from metseg.volume import Case, Volume

SHAPE = (60, 50, 40)
HEAD = (slice(5, 55), slice(5, 45), slice(5, 35))
DOCS = Path(__file__).parents[2] / "docs" / "grade.md"


def head_images(mask: np.ndarray, **inside: float) -> dict[str, np.ndarray]:
    """Return images with a head of 100 in a background of 0, and a value in the mask."""
    images = {}
    for name, value in inside.items():
        image = np.zeros(mask.shape, np.float32)
        image[HEAD] = 100
        image[mask] = value
        images[name] = image
    return images


def tumour(labels: np.ndarray, scheme: str = "binary", spacing=(1.0, 1.0, 1.0), **inside: float) -> Tumour:
    images = head_images(labels > 0, **(inside or {"t1c": 150.0}))
    return Tumour(images, labels.astype(np.uint8), scheme, spacing)


def ball(radius: float, centre=(30, 25, 20), stretch=(1, 1, 1)) -> np.ndarray:
    grid = np.indices(SHAPE).astype(float)
    distance = sum(((axis - at) / by) ** 2 for axis, at, by in zip(grid, centre, stretch, strict=True))
    return distance <= radius**2


def test_a_cube_has_the_volume_and_surface_of_its_cut_corners() -> None:
    labels = np.zeros(SHAPE, np.uint8)
    labels[20:30, 20:30, 15:25] = 1
    values = tumour_values(tumour(labels, spacing=(1.0, 1.0, 1.0)))
    # Marching cubes with midpoints: six faces of 9 x 9, twelve edges of 9 x sqrt(1/2), eight triangles.
    surface = 6 * 81 + 12 * 9 * math.sqrt(0.5) + 8 * math.sqrt(3) / 8
    assert values["volume"] == pytest.approx(1.0)
    assert values["surface_to_volume"] == pytest.approx(surface / 1000)
    assert values["sphericity"] == pytest.approx(math.pi ** (1 / 3) * 6000 ** (2 / 3) / surface)
    assert values["elongation"] == pytest.approx(1)
    assert values["flatness"] == pytest.approx(1)
    assert (values["components"], values["largest_share"]) == (1, 1)


def test_a_ball_is_rounder_than_a_cube_and_a_long_one_is_longer() -> None:
    round_one = tumour_values(tumour(ball(10)))
    long_one = tumour_values(tumour(ball(5, stretch=(3, 1, 1))))
    # The steps of voxels make the surface of any ball about 8 % too large.
    assert round_one["sphericity"] == pytest.approx(0.92, abs=0.02)
    assert round_one["volume"] == pytest.approx(4 / 3 * math.pi, rel=0.02)
    assert round_one["elongation"] == pytest.approx(1, abs=1e-9)
    assert long_one["elongation"] == pytest.approx(1 / 3, abs=0.02)
    assert long_one["sphericity"] < round_one["sphericity"]


def test_the_spacing_counts() -> None:
    labels = np.zeros(SHAPE, np.uint8)
    labels[20:30, 20:30, 15:20] = 1
    values = tumour_values(tumour(labels, spacing=(1.0, 1.0, 2.0)))
    assert values["volume"] == pytest.approx(1.0)
    assert values["flatness"] == pytest.approx(math.sqrt((25 - 1) * 4 / 99), abs=1e-9)


def test_shares_of_the_parts() -> None:
    labels = np.zeros(SHAPE, np.uint8)
    labels[20:30, 20:30, 15:25] = 2
    labels[20:30, 20:30, 15:20] = 3
    labels[20:30, 20:30, 15:16] = 1
    values = tumour_values(tumour(labels, "brats-gli-2023"))
    assert values["oedema_share"] == pytest.approx(0.5)
    assert values["enhancing_share"] == pytest.approx(0.4)
    assert values["necrotic_share"] == pytest.approx(0.1)
    assert values["core_volume"] == pytest.approx(0.5)
    assert tumour_values(tumour(labels > 0))["enhancing_share"] is None, "one class tells no parts apart"


def test_enhancement_and_intensities() -> None:
    values = tumour_values(tumour(ball(8), t1c=150.0, t1n=75.0, t2f=200.0))
    assert values["enhancement_to_brain"] == pytest.approx(1.5)
    assert values["enhancement_to_t1n"] == pytest.approx(2.0)
    assert values["bright_share"] == pytest.approx(1.0)
    assert values["t2f_mean"] == pytest.approx(2.0)
    assert values["t2f_spread"] == pytest.approx(0.0)
    assert values["t2w_mean"] is None


def test_the_side_is_that_of_the_body() -> None:
    mask = ball(6, centre=(45, 25, 20))
    images = {"t1c": Volume(head_images(mask, t1c=150.0)["t1c"], np.diag([1.0, 1, 1, 1]))}
    right = tumour_values(tumour_of(Case("a", "a", images), mask.astype(np.uint8), "binary", grid=images["t1c"]))
    # The head is 50 wide, from 5 to 54: middle 29.5, half width 24.5.
    assert right["right_offset"] == pytest.approx(15.5 / 24.5, abs=1e-6)
    mirrored = {"t1c": Volume(images["t1c"].data, np.diag([-1.0, 1, 1, 1]))}
    left = tumour_values(tumour_of(Case("a", "a", mirrored), mask.astype(np.uint8), "binary", grid=mirrored["t1c"]))
    assert left["right_offset"] == pytest.approx(-right["right_offset"])
    assert left["midline_distance"] == pytest.approx(right["midline_distance"])


def test_pictures_have_no_millimetres() -> None:
    values = tumour_values(tumour(ball(8.4), spacing=None))
    assert [values[name] for name in ("volume", "sphericity", "surface_to_volume", "flatness", "right_offset")] == [
        None
    ] * 5
    # The steps of pixels make the outline of a disc about 5 % too long.
    assert values["circularity"] == pytest.approx(0.9, abs=0.03)
    assert values["slice_share"] == pytest.approx(17 / 30)
    square = np.zeros(SHAPE, np.uint8)
    square[20:30, 20:30, 15] = 1
    outline = 4 * 9 + 4 * math.sqrt(0.5)
    assert tumour_values(tumour(square, spacing=None))["circularity"] == pytest.approx(400 * math.pi / outline**2)


def test_a_copy_of_flair_is_an_absent_sequence() -> None:
    mask = ball(6)
    image = Volume(head_images(mask, t2f=150.0)["t2f"])
    other = Volume(head_images(mask, t1c=120.0)["t1c"])
    case = Case("a", "a", {"t1n": image, "t2f": image, "t1c": other})
    made = tumour_of(case, mask.astype(np.uint8), "binary", grid=image)
    assert set(made.images) == {"t2f", "t1c"}
    assert tumour_values(made)["enhancement_to_t1n"] is None


def test_the_parts_of_a_stack_give_the_features_of_the_whole() -> None:
    mask = ball(8)
    whole = tumour(mask, spacing=None)
    parts = [
        Tumour({"t1c": whole.images["t1c"][:, :, part]}, whole.labels[:, :, part], "binary", None)
        for part in (slice(0, 15), slice(15, 40))
    ]
    assert tumour_values(joined_slices(parts)) == tumour_values(whole)


def test_no_tumour_has_no_feature() -> None:
    assert set(tumour_values(tumour(np.zeros(SHAPE, np.uint8))).values()) == {None}


def test_the_page_lists_every_feature_with_its_formula() -> None:
    text = DOCS.read_text("utf-8")
    for name, feature in FEATURES.items():
        assert f"| `{name}` | {feature.formula} | {feature.unit or '-'} |" in text
