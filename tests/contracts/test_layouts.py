"""Every layout of pictures finds the same two patients on a tiny tree of its own, and only its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from metseg.errors import InputError
from metseg.io import LAYOUTS, find_cases
from metseg.io.case_discovery import find
from metseg.io.layouts import slice_layouts

#: Layout -> where image and mask of patient p, slice n lie; folders are relative to the root of the test.
PLACES = {
    "patient_folders": ("data_set/{p}/{p}_{n}.png", "data_set/{p}/{p}_{n}_mask.png"),
    "images_masks": ("data_set/images/{p}/{n}.png", "data_set/masks/{p}/{n}.png"),
    "separate_roots": ("pictures/{p}/{n}.png", "truth/{p}/{n}.tif"),
}
ROOTS = {"separate_roots": "pictures::{base}/truth"}
SLICES = (("ann", 2), ("ann", 10), ("ben", 1))


def write(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def build(layout: str, base: Path, *, without_mask: tuple[tuple[str, int], ...] = ()) -> str:
    """Write the tree of a layout; return its root as the command line takes it."""
    image, mask = PLACES[layout]
    for patient, number in SLICES:
        picture = np.full((4, 6), number, dtype=np.uint8)
        truth = np.zeros((4, 6), dtype=np.uint8)
        truth[1, 5] = 255
        write(base / image.format(p=patient, n=number), picture)
        if (patient, number) not in without_mask:
            write(base / mask.format(p=patient, n=number), truth)
    return f"{base}/" + ROOTS.get(layout, "data_set").format(base=base)


def test_every_layout_has_a_tree_here():
    assert set(PLACES) == set(slice_layouts())


@pytest.mark.parametrize("name", slice_layouts())
@pytest.mark.parametrize("asked", ["auto", "by name"])
def test_layout_finds_patients_slices_and_masks(tmp_path, name, asked):
    root = build(name, tmp_path)
    found = find(root, layout=name if asked == "by name" else "auto")
    assert found.layout == name
    assert [(source.case_id, source.patient, len(source.slices)) for source in found.sources] == [
        ("ann", "ann", 2),
        ("ben", "ben", 1),
    ]
    case = found.sources[0].load()
    assert case.images["image"].data[0, 0].tolist() == [2, 10]
    assert case.labels is not None
    assert np.argwhere(case.labels.data).tolist() == [[5, 1, 0], [5, 1, 1]]
    assert found.orphan_masks == ()


@pytest.mark.parametrize("name", slice_layouts())
def test_slice_names_lead_back_to_the_images(tmp_path, name):
    for source in find_cases(build(name, tmp_path)):
        for slice_name, piece in zip(source.slice_names, source.slices, strict=True):
            assert piece.image == source.root / f"{slice_name}.png"


@pytest.mark.parametrize("name", slice_layouts())
def test_no_masks_at_all_is_a_case_without_truth(tmp_path, name):
    root = build(name, tmp_path)
    for mask in sorted(tmp_path.rglob("*")):
        if mask.is_file() and (mask.stem.endswith("_mask") or mask.parent.parent.name in ("masks", "truth")):
            mask.unlink()
    if name == "images_masks":
        write(tmp_path / "data_set/masks/carl/1.png", np.zeros((4, 6), dtype=np.uint8))  # the folder remains
    assert all(source.load().labels is None for source in find_cases(root))


@pytest.mark.parametrize("name", slice_layouts())
def test_orphans_are_found(tmp_path, name):
    root = build(name, tmp_path, without_mask=(("ann", 2),))
    orphan = tmp_path / PLACES[name][1].format(p="ann", n=99)
    write(orphan, np.zeros((4, 6), dtype=np.uint8))
    found = find(root)
    assert found.orphan_masks == (orphan,)
    with pytest.raises(InputError) as caught:
        found.sources[0].load()
    assert caught.value.code == "input.orphan"


@pytest.mark.parametrize("name", LAYOUTS)
def test_no_layout_says_what_each_looks_like(tmp_path, name):
    (tmp_path / "notes.txt").write_text("nothing here")
    with pytest.raises(InputError, match=r"1 \.txt file") as caught:
        find_cases(tmp_path)
    assert LAYOUTS[name].looks_like in str(caught.value)
    assert caught.value.code == "input.layout"


@pytest.mark.parametrize("name", slice_layouts())
def test_asking_for_the_wrong_layout_is_refused(tmp_path, name):
    root = build(name, tmp_path)
    for other in set(LAYOUTS) - {name, "patient_folders"}:
        with pytest.raises(InputError, match=other):
            find_cases(root, layout=other)
