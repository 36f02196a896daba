"""The figures of an evaluation: what is written on them, and that what they show lies where it should."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from metseg.plot.bland_altman import Agreement, draw_bland_altman
from metseg.plot.differences import draw_differences
from metseg.plot.distribution_by_region import draw_distribution_by_region
from metseg.plot.error_bars import ErrorBounds, error_bars
from metseg.plot.froc import FrocCurve, draw_froc
from metseg.plot.images.outlines import Panel, draw_outline_picture
from metseg.plot.images.overlay import PREDICTION_COLOUR, TRUTH_COLOUR
from metseg.plot.reliability import LESIONS, Reliability, draw_reliability
from metseg.plot.sensitivity_by_size import SizeSensitivity, draw_sensitivity_by_size
from metseg.plot.style import COLOURS, MINUS, style

BINS = ("< 3", "3 to < 5", "≥ 5")
CURVE = FrocCurve([3.0, 1.0, 0.0], [ErrorBounds(0.9, 0.8, 1.0), ErrorBounds(0.7, 0.5, 0.8), ErrorBounds(0.2, 0.1, 0.4)])
SIZES = (
    SizeSensitivity(4, ErrorBounds(0.5, 0.2, 0.8)),
    SizeSensitivity(0, None),
    SizeSensitivity(2, ErrorBounds(1.0, 1.0, 1.0)),
)
VOLUMES = Agreement(
    [1.0, 2.0, 0.0],
    [1.5, 2.0, 0.2],
    ErrorBounds(0.23, 0.0, 0.5),
    ErrorBounds(-0.3, -0.5, 0.0),
    ErrorBounds(0.7, 0.4, 1.0),
)
CERTAIN = Reliability([0.1, 0.9], [ErrorBounds(0.2), ErrorBounds(0.8)], [1000, 10], error=0.1)

#: Each figure with one and with two models, and where there is nothing to show.
DRAWINGS: dict[str, Callable[[Path], None]] = {
    "froc": lambda path: draw_froc({"a": CURVE, "b": FrocCurve([2.0], [ErrorBounds(0.5)])}, path),
    "sensitivity": lambda path: draw_sensitivity_by_size({"ET": {"a": SIZES, "b": SIZES}}, path, bins=BINS),
    "sensitivity of three regions": lambda path: draw_sensitivity_by_size(
        {region: {"a": SIZES} for region in ("WT", "TC", "ET")}, path, bins=BINS
    ),
    "volumes": lambda path: draw_bland_altman(dict.fromkeys(("WT", "TC", "ET"), VOLUMES), path),
    "volume of one case": lambda path: draw_bland_altman({"WT": Agreement([1.0], [1.0], ErrorBounds(0.0))}, path),
    "volumes, all nothing": lambda path: draw_bland_altman(
        {"WT": Agreement([0.0, 0], [0.0, 0], ErrorBounds(0.0))}, path
    ),
    "reliability": lambda path: draw_reliability({"a": CERTAIN, "b": CERTAIN}, path, axis=LESIONS),
    "reliability of nothing": lambda path: draw_reliability({"a": Reliability([], [], [])}, path),
    "differences": lambda path: draw_differences({"a - b": ErrorBounds(0.1, -0.1, 0.3)}, path, shown=(), label="Dice"),
    "distribution": lambda path: draw_distribution_by_region(
        {"WT": {"a": [0.1, 0.5], "b": []}, "ET": {"a": [0.3], "b": [0.4]}}, path, label="Dice", is_share=True
    ),
}


def texts(svg: Path) -> list[str]:
    """Return the words of a drawing."""
    return [
        " ".join("".join(one.itertext()).split()) for one in ElementTree.parse(svg).iter() if one.tag.endswith("}text")
    ]


@pytest.mark.parametrize("name", DRAWINGS)
def test_a_figure_is_written_for_the_screen_and_for_print_the_same_every_time(name: str, tmp_path: Path) -> None:
    for folder in ("one", "two"):
        DRAWINGS[name](tmp_path / folder / "figure.svg")
    for ending in ("svg", "png"):
        one, two = ((tmp_path / folder / f"figure.{ending}").read_bytes() for folder in ("one", "two"))
        assert one == two
    assert texts(tmp_path / "one" / "figure.svg"), "text is text"
    with Image.open(tmp_path / "one" / "figure.png") as picture:
        assert picture.info["dpi"] == pytest.approx((300, 300), abs=1)
        assert len(np.unique(np.asarray(picture.convert("L")))) > 20


def test_series_can_be_told_apart_without_colour() -> None:
    looks = [style(place) for place in range(8)]
    assert len({one.marker for one in looks}) == 8
    assert len({str(one.dashes) for one in looks[:4]}) == 4
    assert style(8) == style(0)


def test_error_bars_never_point_the_wrong_way() -> None:
    assert error_bars([ErrorBounds(0.5, 0.6, 0.4), ErrorBounds(1.0, 0.5, None)]).tolist() == [[0, 0.5], [0, 0]]
    assert error_bars([]).shape == (2, 0)


def test_froc_names_its_axes_and_leaves_out_what_nobody_reads(tmp_path: Path) -> None:
    far = FrocCurve([500.0, 2.0], [ErrorBounds(1.0), ErrorBounds(0.5)])
    draw_froc({"model": far}, tmp_path / "f")
    words = texts(tmp_path / "f.svg")
    assert {"false positives per patient", "sensitivity", "model"} <= set(words)
    numbers = [float(word) for word in words if re.fullmatch(r"[\d.]+", word)]
    assert max(numbers) == 10


def test_bins_tell_how_many_lesions_they_hold(tmp_path: Path) -> None:
    draw_sensitivity_by_size({"ET": {"a": SIZES}}, tmp_path / "s", bins=BINS)
    words = " ".join(texts(tmp_path / "s.svg"))
    for count in ("n = 4", "n = 0", "n = 2"):
        assert count in words
    assert "longest diameter (mm)" in words


def test_limits_of_agreement_are_written_with_their_values(tmp_path: Path) -> None:
    draw_bland_altman({"ET": VOLUMES}, tmp_path / "b")
    words = " ".join(texts(tmp_path / "b.svg"))
    for part in (
        "ET (n = 3)",
        "+1.96 SD",
        "+0.7",
        "bias",
        "+0.23",
        f"{MINUS}1.96 SD",
        f"{MINUS}0.3",
        "mean of true and predicted volume (mL)",
    ):
        assert part in words


def test_the_calibration_error_stands_beside_the_name(tmp_path: Path) -> None:
    draw_reliability({"model": CERTAIN}, tmp_path / "r")
    words = texts(tmp_path / "r.svg")
    assert "model (ECE 0.100)" in words
    assert {"predicted probability", "voxels"} <= set(words)


def test_only_a_shown_difference_is_filled(tmp_path: Path) -> None:
    draw_differences({"a - b": ErrorBounds(0.2, 0.1, 0.3)}, tmp_path / "shown", shown={"a - b"}, label="Dice")
    draw_differences({"a - b": ErrorBounds(0.2, 0.1, 0.3)}, tmp_path / "not", shown=(), label="Dice")
    blue = COLOURS[0].lower()
    open_marker, filled = f"fill: #ffffff; stroke: {blue}", f"fill: {blue}; stroke: {blue}"
    shown, not_shown = ((tmp_path / f"{name}.svg").read_text("utf-8") for name in ("shown", "not"))
    # The ends of the bar are markers too, and have the line's colour.
    assert open_marker in not_shown
    assert open_marker not in shown
    assert shown.count(filled) == not_shown.count(filled) + 1


def test_a_picture_alone_has_no_margin_and_the_voxels_true_shape(tmp_path: Path) -> None:
    mask = np.zeros((20, 10), bool)
    mask[5:15, 2:8] = True
    panel = Panel(np.random.default_rng(0).normal(size=(20, 10)), mask, ~mask & False, "", aspect=4.0)
    draw_outline_picture(panel, tmp_path / "p.png")
    with Image.open(tmp_path / "p.png") as picture:
        assert picture.size[1] == pytest.approx(2 * picture.size[0], abs=2)  # 20 wide, 10 x 4 high
        pixels = np.asarray(picture.convert("RGB")).astype(int)
    green = np.abs(pixels - np.asarray(TRUTH_COLOUR)).max(axis=2) < 60
    rows, columns = np.nonzero(green)
    assert columns.min() / pixels.shape[1] == pytest.approx(5 / 20, abs=0.02)
    assert rows.max() / pixels.shape[0] == pytest.approx(8 / 10, abs=0.03)
    assert not (np.abs(pixels - np.asarray(PREDICTION_COLOUR)).max(axis=2) < 20).any()
