"""A patient's pictures become one case, on the axes that volume.py states."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from metseg.errors import GeometryError, InputError
from metseg.io import SliceFile, SliceStackSource, find_cases

COLOUR = np.stack([np.full((5, 7), value, dtype=np.uint8) for value in (10, 20, 30)], axis=2)


def source(root: Path, *names: str, channels: tuple[str, ...] = (), masks: tuple[str | None, ...] = ()):
    masks = masks or (None,) * len(names)
    pieces = tuple(
        SliceFile(Path(name).stem, root / name, None if mask is None else root / mask, number)
        for number, (name, mask) in enumerate(zip(names, masks, strict=True))
    )
    return SliceStackSource("case", "patient", root, slices=pieces, channels=channels)


def test_axes_are_column_row_slice(two_patients):
    case = find_cases(two_patients)[0].load()
    data = case.images["image"].data
    assert data.shape == (7, 5, 2)
    picture = np.asarray(Image.open(two_patients / "a" / "a_15.png"))
    np.testing.assert_array_equal(data[:, :, 1].T, picture)
    assert case.labels is not None
    assert np.argwhere(case.labels.data).tolist() == [[2, 1, 1]]  # column 2, row 1, second slice
    assert case.labels.data.dtype == np.uint8
    assert case.slice_names == ("a/a_4", "a/a_15")
    assert data[:, :, 1].T.flags.c_contiguous


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_type_is_kept(save, tmp_path, dtype):
    save("a.tif", np.arange(6, dtype=dtype).reshape(2, 3))
    assert source(tmp_path, "a.tif").load().images["image"].data.dtype == dtype


@pytest.mark.parametrize(("numbers", "gaps"), [
    ((3, 9), (False, True)),
    ((10, 11), ()),
    ((1, 2, 3, 9, 10), (False, False, False, True, False)),
    ((0, 5, 10, 25, 30), (False, False, False, True, False)),  # every fifth slice
    ((0, 5, 10, 11), (False, False, False, False)),
    ((2, 4), (False, True)),  # a difference that is there once is no step
])  # fmt: skip
def test_numbers_in_the_names_tell_where_slices_are_missing(save, tmp_path, numbers, gaps):
    for number in numbers:
        pixels = np.full((5, 7), 50, dtype=np.uint8)
        pixels[0, 0] = 200
        save(f"a/P_{number}.png", pixels)
    case = find_cases(tmp_path)[0].load()
    assert case.slice_gaps == (gaps if any(gaps) else ())
    if len(numbers) == 5:
        assert case.take_slices([2, 3, 4]).slice_gaps == (False, True, False)
        assert case.take_slices([3, 4]).slice_gaps == (True, False)  # as a part of the stack
        assert case.take_slices([0, 2]).slice_gaps == (False, True)


def test_pictures_without_numbers_follow_one_another(save, tmp_path):
    for name in ("one", "two"):
        save(f"a/{name}.png", COLOUR[..., 0] + np.arange(7, dtype=np.uint8))
    assert find_cases(tmp_path)[0].load().slice_gaps == ()


def test_single_slice(save, tmp_path):
    save("a.png", COLOUR)
    case = source(tmp_path, "a.png").load()
    assert {name: volume.shape for name, volume in case.images.items()} == dict.fromkeys(
        ("ch0", "ch1", "ch2"), (7, 5, 1)
    )
    assert case.labels is None


def test_colour_channels_get_their_names_in_file_order(save, tmp_path):
    save("a.png", COLOUR)
    case = source(tmp_path, "a.png", channels=("t1n", "t2f", "t1c")).load()
    assert {name: int(volume.data.max()) for name, volume in case.images.items()} == {"t1n": 10, "t2f": 20, "t1c": 30}


def test_equal_colour_channels_are_one(save, tmp_path):
    save("a.png", COLOUR[..., [1, 1, 1]])
    case = source(tmp_path, "a.png", channels=("t2w",)).load()
    assert int(case.images["t2w"].data.max()) == 20
    assert case.warnings == ("equal colour channels were read as one",)


def test_different_colour_channels_become_luminance(save, tmp_path):
    save("a.png", COLOUR)
    case = source(tmp_path, "a.png", channels=("t2w",)).load()
    assert int(case.images["t2w"].data.max()) == 18  # 0.299 * 10 + 0.587 * 20 + 0.114 * 30 = 18.15
    assert "luminance" in case.warnings[0]


def test_grey_picture_lacks_named_sequences(save, tmp_path):
    save("a.png", COLOUR[..., 0])
    with pytest.raises(InputError, match="t1n, t2f, t1c") as caught:
        source(tmp_path, "a.png", channels=("t1n", "t2f", "t1c")).load()
    assert caught.value.code == "input.missing_sequence"


@pytest.mark.parametrize("channels", [(), ("t1n", "t2f", "t1c")])
def test_grey_among_colour_is_refused(save, tmp_path, channels):
    save("a.png", COLOUR)
    save("b.png", COLOUR[..., 0])
    with pytest.raises(InputError) as caught:
        source(tmp_path, "a.png", "b.png", channels=channels).load()
    assert caught.value.code in ("input.channels", "input.missing_sequence")


def test_two_names_for_three_channels_are_refused(save, tmp_path):
    save("a.png", COLOUR)
    with pytest.raises(InputError) as caught:
        source(tmp_path, "a.png", channels=("t1n", "t2f")).load()
    assert caught.value.code == "input.channels"


def test_mask_of_another_size_is_refused_by_name(save, tmp_path):
    save("a.png", COLOUR)
    save("m.png", np.zeros((7, 5), dtype=np.uint8))
    with pytest.raises(GeometryError, match=r"m\.png.*7 x 5.*5 x 7"):
        source(tmp_path, "a.png", masks=("m.png",)).load()


def test_slice_without_mask_among_masked_ones_is_refused_by_name(two_patients):
    (two_patients / "a" / "a_4_mask.png").unlink()
    with pytest.raises(InputError, match=r"a_4\.png") as caught:
        find_cases(two_patients)[0].load()
    assert caught.value.code == "input.orphan"


@pytest.mark.parametrize("other", [np.zeros((6, 7), np.uint8), np.zeros((5, 7), np.uint16)], ids=["size", "type"])
def test_slices_that_do_not_fit_together_are_refused(save, tmp_path, other):
    save("a.png", COLOUR[..., 0])
    save("b.png", other)
    with pytest.raises(InputError, match=r"b\.png") as caught:
        source(tmp_path, "a.png", "b.png").load()
    assert caught.value.code == "input.mixed_slices"


def test_one_bad_picture_does_not_stop_the_rest(save, tmp_path):
    for name in ("a.png", "c.png"):
        save(name, COLOUR)
    (tmp_path / "b.png").write_bytes(b"")
    broken = source(tmp_path, "a.png", "b.png", "c.png")
    case, errors = broken.load_readable()
    assert case is not None
    assert case.slice_names == ("a", "c")
    assert [error.code for error in errors] == ["input.format"]
    with pytest.raises(InputError, match=r"b\.png"):
        broken.load()


def test_nothing_readable(tmp_path):
    (tmp_path / "b.png").write_bytes(b"")
    case, errors = source(tmp_path, "b.png").load_readable()
    assert case is None
    assert len(errors) == 1


def test_notes_are_counted(save, tmp_path):
    for name in ("a.png", "b.png"):
        image = Image.fromarray(COLOUR[..., 0]).convert("LA")
        image.putalpha(128)
        image.save(tmp_path / name)
    case = source(tmp_path, "a.png", "b.png").load()
    assert case.warnings == ("the alpha channel was ignored and the picture converted to grey (2 slices)",)
