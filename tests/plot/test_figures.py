"""Curves, distributions and outlines are drawn where they should be."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from PIL import Image

from metseg.errors import UsageError
from metseg.plot.curves import draw_curves
from metseg.plot.distribution import draw_distribution
from metseg.plot.images.outlines import Panel, draw_outlines
from metseg.plot.images.overlay import PREDICTION_COLOUR, TRUTH_COLOUR
from metseg.plot.style import COLOURS, save


def near(path: Path, colour: str | tuple[int, int, int]) -> np.ndarray:
    """Return (rows, columns) bool: where a figure has a colour."""
    if isinstance(colour, str):
        colour = tuple(int(colour[place : place + 2], 16) for place in (1, 3, 5))
    pixels = np.asarray(Image.open(path).convert("RGB")).astype(int)
    return np.abs(pixels - np.asarray(colour)).max(axis=2) < 40


def epochs(**columns: list[float]) -> pd.DataFrame:
    count = len(next(iter(columns.values())))
    base = {"epoch": list(range(count)), "elapsed_s": [60.0 * (row + 1) for row in range(count)]}
    return pd.DataFrame(
        base | {"train_loss": [1.0] * count, "val_loss": [1.0] * count, "val_dice": [0.5] * count} | columns
    )


def test_the_backend_of_pyplot_is_left_to_the_user(tmp_path: Path) -> None:
    code = (
        "import matplotlib; matplotlib.use('svg'); import matplotlib.pyplot; from pathlib import Path; "
        "from metseg.plot.distribution import draw_distribution; "
        f"draw_distribution({{'a': [0.5]}}, Path({str(tmp_path / 'd.png')!r}), label='Dice'); "
        "print(matplotlib.get_backend(), matplotlib.pyplot.get_fignums())"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["svg", "[]"]
    assert (tmp_path / "d.png").stat().st_size > 1000


def test_a_run_of_one_epoch_can_be_seen(tmp_path: Path) -> None:
    draw_curves({"one": epochs(val_dice=[0.5])}, tmp_path / "c.png")
    drawn = near(tmp_path / "c.png", COLOURS[0])
    half = drawn.shape[1] // 2
    above_legend = drawn[: int(0.8 * len(drawn))]
    assert above_legend[:, :half].any()
    assert above_legend[:, half:].any()


def test_epochs_without_validation_leave_no_gap(tmp_path: Path) -> None:
    draw_curves({"a": epochs(val_dice=[0.1, float("nan"), float("nan"), 0.9])}, tmp_path / "gap.png")
    drawn = near(tmp_path / "gap.png", COLOURS[0])
    panel = drawn[: int(0.75 * len(drawn)), int(0.55 * drawn.shape[1]) :]
    columns = np.flatnonzero(panel.any(axis=0))
    # From minute 1 to minute 4 of an axis that begins at 0: three quarters of the panel, without a hole.
    assert len(columns) > 0.6 * panel.shape[1]
    assert np.diff(columns).max() == 1


def test_a_repeated_epoch_counts_once(tmp_path: Path) -> None:
    table = epochs(val_dice=[0.2, 0.8])
    draw_curves({"a": table}, tmp_path / "once.png")
    twice = pd.concat([table.iloc[:1].assign(val_dice=0.99, train_loss=9.0), table], ignore_index=True)
    draw_curves({"a": twice}, tmp_path / "twice.png")
    assert (tmp_path / "once.png").read_bytes() == (tmp_path / "twice.png").read_bytes()


def test_models_lie_from_top_to_bottom_and_figures_from_left_to_right(tmp_path: Path) -> None:
    draw_distribution({"low": [0.1, 0.2, 0.15], "high": [0.9, 0.8, 0.85]}, tmp_path / "d.png", label="Dice")
    (rows_low, columns_low), (rows_high, columns_high) = (
        np.nonzero(near(tmp_path / "d.png", colour)) for colour in COLOURS[:2]
    )
    assert rows_low.max() < rows_high.min()
    assert columns_low.max() < columns_high.min()


@pytest.mark.parametrize("values", [[0.5], [0.0, 0.0], [1.0] * 30])
def test_few_or_equal_figures_can_be_drawn(tmp_path: Path, values: list[float]) -> None:
    draw_distribution({"a": values}, tmp_path / "d.png", label="Dice")
    assert near(tmp_path / "d.png", COLOURS[0]).any()


def test_outlines_have_the_colours_of_the_legend_and_lie_where_the_masks_do(tmp_path: Path) -> None:
    truth, prediction = np.zeros((40, 30), bool), np.zeros((40, 30), bool)
    truth[2:10, 2:8] = True  # upper left: x is the column
    prediction[28:38, 20:28] = True  # lower right
    panel = Panel(np.random.default_rng(0).normal(size=(40, 30)), truth, prediction, "title")
    draw_outlines([panel, panel, panel], tmp_path / "o.png")
    height, width = near(tmp_path / "o.png", TRUTH_COLOUR).shape
    for place in range(3):
        columns = slice(place * width // 3, (place + 1) * width // 3)
        # The legend below has the same colours.
        green, orange = (
            np.nonzero(near(tmp_path / "o.png", colour)[: int(0.88 * height), columns])
            for colour in (TRUTH_COLOUR, PREDICTION_COLOUR)
        )
        assert green[0].max() < orange[0].min()
        assert green[1].max() < orange[1].min()


def test_a_lesion_at_the_edge_is_outlined_all_around(tmp_path: Path) -> None:
    mask = np.ones((20, 20), bool)
    draw_outlines([Panel(np.zeros((20, 20)), mask, np.zeros_like(mask), "all")], tmp_path / "edge.png")
    drawn = near(tmp_path / "edge.png", TRUTH_COLOUR)
    columns = np.flatnonzero(drawn[100:300].any(axis=0))
    left, right = (np.flatnonzero(drawn[:, side]) for side in (columns.min(), columns.max()))
    # Closed: the sides of a square with its corners cut by half a pixel, 12 points here, each.
    for side in (left, right):
        assert np.ptp(side) == pytest.approx(np.ptp(columns) - 24, abs=8)
        assert len(side) > 0.98 * np.ptp(side)


def test_without_lesions_there_is_only_the_picture(tmp_path: Path) -> None:
    nothing = np.zeros((8, 8), bool)
    draw_outlines([Panel(np.eye(8), nothing, nothing, "none")], tmp_path / "none.png")
    with Image.open(tmp_path / "none.png") as picture:
        assert picture.size[0] > 300


@pytest.mark.parametrize("name", ["sheet", "sheet.xyz"])
def test_a_name_without_a_format_of_figures_is_a_wrong_command(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match=r"not written in this format.*ends in \.png or \.svg"):
        save(Figure(), tmp_path / name)
    assert list(tmp_path.iterdir()) == []
    save(Figure(), tmp_path / "sheet.PNG")
    assert (tmp_path / "sheet.PNG").stat().st_size > 100
