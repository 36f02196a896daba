"""The contact sheet is a picture with an outline where the mask ends, and names that tell patients apart."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from metseg.plot.images.contact_sheet import Tile, contact_sheet, short_names


def picture() -> np.ndarray:
    return np.add.outer(np.arange(64), np.arange(48)).astype(np.uint16)


def coloured(path) -> np.ndarray:
    """Return where a sheet is clearly not grey."""
    pixels = np.asarray(Image.open(path).convert("RGB")).astype(int)
    return pixels.max(axis=2) - pixels.min(axis=2) > 60


def test_outline_is_drawn_where_the_mask_is(tmp_path):
    labels = np.zeros((64, 48), dtype=np.uint8)
    labels[8:24, 8:20] = 1  # upper left quarter of the picture
    contact_sheet([Tile(picture(), labels, "a")], tmp_path / "sheet.png")
    rows, cols = np.nonzero(coloured(tmp_path / "sheet.png"))
    side = Image.open(tmp_path / "sheet.png").size[1]
    assert len(rows) > 50
    assert rows.max() < 0.45 * side
    assert cols.max() < 0.55 * side
    height, width = rows.max() - rows.min(), cols.max() - cols.min()
    assert height / width == pytest.approx(16 / 12, rel=0.1)  # not stretched


def test_every_patient_has_its_place(tmp_path):
    labels = np.zeros((64, 48), dtype=np.uint8)
    labels[30:34, 20:28] = 1
    tiles = [Tile(picture(), labels, str(index)) for index in range(5)]
    contact_sheet(tiles, tmp_path / "sheet.png", columns=2, heading="five")
    from scipy.ndimage import binary_dilation, label

    assert label(binary_dilation(coloured(tmp_path / "sheet.png"), iterations=3))[1] == 5


@pytest.mark.parametrize("labels", [None, np.zeros((64, 48), dtype=np.uint8)], ids=["no mask", "no lesion"])
def test_nothing_to_outline(tmp_path, labels):
    contact_sheet([Tile(picture(), labels, "a")], tmp_path / "sheet.png")
    assert not coloured(tmp_path / "sheet.png").any()


def test_lesion_at_the_edge_is_closed(tmp_path):
    contact_sheet([Tile(picture(), np.ones((64, 48), dtype=np.uint8), "a")], tmp_path / "sheet.png")
    assert coloured(tmp_path / "sheet.png").sum() > 200


@pytest.mark.parametrize(
    ("names", "short"),
    [
        (["TCGA_CS_4941_1996", "TCGA_CS_4942_1997", "TCGA_DU_4942_1997"], ["CS_4941", "CS_4942", "DU_4942"]),
        (["BraTS-MET-00230-000", "BraTS-MET-00232-000"], ["00230", "00232"]),
        (["ann", "ben"], ["ann", "ben"]),
        (["a_1", "a"], ["a_1", "a"]),
        (["only_one"], ["only_one"]),
        ([], []),
    ],
)
def test_short_names(names, short):
    assert short_names(names) == short
    assert len(set(short)) == len(set(names))
