"""The preview is a table: a row per slice, a column per version, one grey scale for the versions of a slice."""

from __future__ import annotations

import numpy as np
from PIL import Image

from metseg.plot.images.augment_preview import PreviewRow, Shown, augment_preview


def tile_means(path, rows: int, columns: int) -> np.ndarray:
    """Return (rows, columns): the mean of the middle of every tile, grey 0 to 255; the header is above."""
    pixels = np.asarray(Image.open(path).convert("L"), dtype=float)
    side = pixels.shape[1] / columns
    head = pixels.shape[0] - rows * side
    means = np.zeros((rows, columns))
    for row, column in np.ndindex(rows, columns):
        top, left = head + (row + 0.4) * side, (column + 0.4) * side
        means[row, column] = pixels[int(top) : int(top + 0.2 * side), int(left) : int(left + 0.2 * side)].mean()
    return means


def grey(value: float) -> Shown:
    """Return a picture whose middle has this value, between a black and a white stripe."""
    picture = np.full((30, 30), value, np.float32)
    picture[:3], picture[-3:] = 0, 100
    return Shown(picture, None)


def test_versions_share_the_grey_values_of_the_prepared_slice(tmp_path):
    rows = [
        PreviewRow("a", Shown(grey(50).picture * 9, None), grey(50), (grey(25), grey(75), grey(300))),
        PreviewRow("b", Shown(grey(50).picture - 7, None), grey(50), (grey(100), grey(0), grey(50))),
    ]
    augment_preview(rows, tmp_path / "preview.png", heading="two")
    wanted = [[128, 128, 64, 191, 255], [128, 128, 255, 0, 128]]
    assert np.abs(tile_means(tmp_path / "preview.png", 2, 5) - wanted).max() < 6


def test_masks_are_outlined_in_every_column(tmp_path):
    mask = np.zeros((30, 30), np.uint8)
    mask[10:20, 10:20] = 1
    shown = Shown(grey(50).picture, mask)
    augment_preview([PreviewRow("a", shown, shown, (shown,))], tmp_path / "preview.png")
    pixels = np.asarray(Image.open(tmp_path / "preview.png").convert("RGB")).astype(int)
    coloured = np.flatnonzero((pixels.max(axis=2) - pixels.min(axis=2) > 60).any(axis=0)) / pixels.shape[1]
    for column in range(3):
        inside = coloured[(coloured > column / 3) & (coloured < (column + 1) / 3)] * 3 - column
        assert 0.3 < inside.min() < 0.4
        assert 0.6 < inside.max() < 0.7


def test_without_augmentation_two_columns_remain(tmp_path):
    augment_preview([PreviewRow("a", grey(20), grey(80), ())], tmp_path / "preview.png")
    means = tile_means(tmp_path / "preview.png", 1, 2)
    assert np.abs(means - [[51, 204]]).max() < 6
