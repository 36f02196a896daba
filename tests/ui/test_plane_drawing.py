"""Pictures that the page draws: sizes, colours, borders."""

from __future__ import annotations

import base64
import io

import numpy as np
from PIL import Image

from metseg.ui.viewer.plane_drawing import Frame, Layer, Style, data_url, draw, grey, png, target_size

RED = (255, 0, 0)


def test_pixels_are_made_square() -> None:
    assert target_size((16, 24), Frame(spacing=(3.0, 2.0), side=480)) == (480, 480)
    assert target_size((16, 24), Frame(spacing=(1.0, 2.0), side=480)) == (160, 480)


def test_fill_covers_the_mask_and_nothing_else() -> None:
    picture = np.zeros((10, 10, 3), dtype=np.uint8)
    mask = np.zeros((10, 10), dtype=bool)
    mask[2:6, 3:8] = True
    drawn = np.asarray(draw(picture, [Layer(mask, RED)], Style(contour=False, opacity=1.0), Frame(side=100)))
    np.testing.assert_array_equal(drawn[..., 0] == 255, np.kron(mask, np.ones((10, 10), dtype=bool)))


def test_a_contour_leaves_the_inside_free() -> None:
    picture = np.zeros((10, 10, 3), dtype=np.uint8)
    mask = np.zeros((10, 10), dtype=bool)
    mask[2:8, 2:8] = True
    drawn = np.asarray(draw(picture, [Layer(mask, RED)], Style(contour=True, opacity=1.0), Frame(side=100)))
    assert drawn[20, 50, 0] == 255
    assert drawn[50, 50, 0] == 0
    assert drawn[19, 50, 0] == 0


def test_opacity_lets_the_picture_shine_through() -> None:
    picture = np.full((4, 4, 3), 100, dtype=np.uint8)
    drawn = np.asarray(draw(picture, [Layer(np.ones((4, 4), dtype=bool), RED)], Style(False, 0.5), Frame(side=4)))
    assert drawn[2, 2].tolist() == [178, 50, 50]  # halfway, rounded up


def test_later_layers_lie_over_earlier_ones() -> None:
    whole = np.ones((4, 4), dtype=bool)
    layers = [Layer(whole, RED), Layer(whole, (0, 0, 255))]
    drawn = np.asarray(draw(np.zeros((4, 4, 3), dtype=np.uint8), layers, Style(False, 1.0), Frame(side=4)))
    assert drawn[1, 1].tolist() == [0, 0, 255]


def test_the_crosshair_leaves_its_middle_free() -> None:
    picture = np.zeros((100, 100, 3), dtype=np.uint8)
    drawn = np.asarray(draw(picture, [], Style(), Frame(crosshair=(30.0, 70.0), side=100)))
    assert drawn[29:32, 5].any()
    assert drawn[95, 69:72].any()
    assert not drawn[30, 70].any()


def test_sides_are_marked() -> None:
    picture = np.zeros((100, 100, 3), dtype=np.uint8)
    drawn = np.asarray(draw(picture, [], Style(), Frame(marks=("R", "L", "A", "P"), side=200)))
    assert drawn[90:110, 5:25].any()
    assert drawn[90:110, 175:195].any()
    assert not drawn[90:110, 90:110].any()


def test_the_scale_bar_is_as_long_as_it_says() -> None:
    """200 mm in 400 pixels: the bar of 50 mm is 100 pixels long."""
    picture = np.zeros((100, 100, 3), dtype=np.uint8)
    drawn = np.asarray(draw(picture, [], Style(), Frame(spacing=(2.0, 2.0), has_bar=True, side=400)))
    bright = (drawn[-14:].min(axis=-1) > 200).sum(axis=1)
    assert abs(int(bright.max()) - 100) <= 2


def test_the_line_around_a_lesion_leaves_its_colours() -> None:
    mask = np.zeros((10, 10), dtype=bool)
    mask[3:7, 3:7] = True
    layers = [Layer(mask, RED), Layer(mask, (255, 255, 255), is_halo=True)]
    drawn = np.asarray(draw(np.zeros((10, 10, 3), dtype=np.uint8), layers, Style(False, 1.0), Frame(side=100)))
    assert (drawn[30:70, 30:70] == RED).all()
    assert drawn[50, 29].tolist() == drawn[50, 71].tolist() == [255, 255, 255]


def test_grey_survives_what_is_no_number() -> None:
    values = np.array([[np.nan, np.inf, -np.inf, 5.0]])
    assert grey(values, (0.0, 10.0))[0, :, 0].tolist() == [0, 255, 0, 128]


def test_an_address_holds_the_picture() -> None:
    picture = Image.fromarray(np.arange(12, dtype=np.uint8).reshape(2, 2, 3))
    kind, _, content = data_url(picture).partition(",")
    assert kind == "data:image/png;base64"
    read = Image.open(io.BytesIO(base64.b64decode(content)))
    np.testing.assert_array_equal(np.asarray(read), np.asarray(picture))
    assert png(picture).startswith(b"\x89PNG")
