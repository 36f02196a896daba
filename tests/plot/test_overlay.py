"""Pictures in grey, masks drawn on them, and one palette."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from metseg.class_styles import TISSUE_STYLES, class_styles
from metseg.labels import LABEL_SCHEMES
from metseg.picture_style import BRAIN_COLOUR, LINE_COLOURS, OTHER_COLOURS, SELECTED_COLOUR, YELLOW, Colour
from metseg.plot.images.overlay import draw_labels, draw_outline, grey, outline, window_of, with_caption


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_a_picture_uses_the_whole_range(dtype: type) -> None:
    shown = grey(np.linspace(0, 200, 10_000).astype(dtype).reshape(100, 100))
    assert shown.shape == (100, 100, 3)
    assert (shown.min(), shown.max()) == (0, 255)
    assert (shown[..., 0] == shown[..., 2]).all()


def test_a_window_says_what_is_black_and_white() -> None:
    assert grey(np.array([[-5, 10, 20], [30, 40, 99]]), (10, 30))[..., 1].tolist() == [[0, 0, 128], [255, 255, 255]]


def test_a_constant_picture_is_black_and_a_single_bright_pixel_is_white() -> None:
    assert not grey(np.full((4, 4), 9)).any()
    almost = np.zeros((100, 100))
    almost[3, 4] = 7  # beyond the 99.5th percentile, which is 0 like the 1st
    assert window_of(almost) == (0.0, 7.0)
    assert grey(almost)[3, 4].tolist() == [255, 255, 255]


def test_the_outline_is_the_inner_border_and_closed_at_the_edge() -> None:
    mask = np.zeros((5, 5), bool)
    mask[1:4, 0:3] = True
    wanted = mask.copy()
    wanted[2, 1] = False
    assert (outline(mask) == wanted).all()
    red: Colour = (255, 0, 0)
    drawn = draw_outline(np.zeros((5, 5, 3), np.uint8), mask, red)
    assert ((drawn == red).all(axis=2) == wanted).all()


def test_labels_are_filled_and_outlined_in_the_colour_of_their_class() -> None:
    labels = np.zeros((7, 7), np.uint8)
    labels[0:3, 0:3], labels[4:7, 4:7] = 2, 3
    styles = class_styles("brats-met-2023")
    drawn = draw_labels(np.full((7, 7, 3), 100, np.uint8), labels, styles, opacity=0.5)
    assert tuple(drawn[0, 0]) == styles[2].colour == YELLOW
    assert tuple(drawn[4, 4]) == styles[3].colour
    assert drawn[1, 1].tolist() == [170, 164, 83]  # half of 100 and half of 240, 228, 66
    assert drawn[0, 6].tolist() == [100, 100, 100]


def test_colours_differ_and_those_of_lines_can_be_seen_on_white() -> None:
    assert len(set(OTHER_COLOURS)) == len(OTHER_COLOURS)
    assert len(set(LINE_COLOURS)) == len(LINE_COLOURS)
    assert YELLOW not in LINE_COLOURS


@pytest.mark.parametrize("scheme", LABEL_SCHEMES)
def test_each_class_of_a_scheme_has_a_colour_of_its_own_and_a_name_in_words(scheme: str) -> None:
    styles = class_styles(scheme)
    assert set(styles) == set(LABEL_SCHEMES[scheme].classes)
    assert len({style.colour for style in styles.values()} | {BRAIN_COLOUR, SELECTED_COLOUR}) == len(styles) + 2
    assert not {style.title for style in styles.values()} & {"ET", "NETC", "SNFH", "NCR", "ED", "RC"}


def test_a_tissue_has_one_colour_whatever_its_number() -> None:
    """Oedema is class 1 of the decathlon and class 2 of BraTS; enhancing tumour is 3 or 4."""
    assert class_styles("decathlon-brain")[1] == class_styles("brats-met-2023")[2] == TISSUE_STYLES["ED"]
    assert class_styles("brats-gli-2021")[4] == class_styles("brats-gli-2023")[3] == TISSUE_STYLES["ET"]


def test_a_captioned_picture_keeps_its_pixels() -> None:
    picture = np.full((40, 500, 3), 90, np.uint8)
    made = with_caption(picture, "P01", [TISSUE_STYLES["ET"], TISSUE_STYLES["ED"]])
    np.testing.assert_array_equal(made[:40], picture)
    for tissue in ("ET", "ED"):
        assert (made[40:] == TISSUE_STYLES[tissue].colour).all(axis=-1).sum() >= 100
    assert with_caption(picture[:, :20], "P01", []).shape[1] > 200  # the text is not cut off


def test_drawing_on_pictures_needs_no_matplotlib() -> None:
    code = "import sys, metseg.plot.images.overlay; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
