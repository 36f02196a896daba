"""An inspection counts what is there, by hand-made trees with known faults."""

from __future__ import annotations

import json

import numpy as np
import pytest

from metseg.io.case_discovery import find
from metseg.io.inspection.contact_sheet_selection import showcase
from metseg.io.inspection.slice_inspection import Problem, inspect_cases

RNG = np.random.default_rng(0)
NO_LESION = np.zeros((8, 9), dtype=np.uint8)


def noise() -> np.ndarray:
    return RNG.integers(0, 256, (8, 9), dtype=np.uint8)


def lesion(pixels: int) -> np.ndarray:
    mask = np.zeros(72, dtype=np.uint8)
    mask[:pixels] = 255
    return mask.reshape(8, 9)


def test_counts(two_patients):
    (two_patients / "patients.csv").write_text("patient,grade\na,II\nb,III\n")
    seen = inspect_cases(find(two_patients), quiet=True)
    assert (seen.layout, seen.patients, seen.cases, seen.slices) == ("patient_folders", 2, 2, 3)
    assert (seen.lesion_slices, seen.empty_masks, seen.slices_without_mask) == (1, 2, 0)
    assert seen.patients_without_lesion == ["b"]
    assert (seen.sizes, seen.dtypes, seen.channels) == ({"7 x 5": 3}, {"uint8": 3}, {1: 3})
    assert seen.label_values == {1: 1}
    assert seen.attributes == {"grade": {"II": 1, "III": 1}}
    assert seen.largest_lesion == {"a": "a/a_15", "b": "b/b_1"}
    assert seen.other_files == {".csv": 1}
    assert seen.problems == []


def test_copies_are_counted_by_patient(save, tmp_path):
    same, blank = noise(), np.zeros((8, 9, 3), dtype=np.uint8)
    for number in (1, 2):
        save(f"a/{number}.png", np.stack([same, noise(), same], axis=2))
    save("a/3.png", blank)  # tells nothing
    save("b/1.png", np.stack([same, same, noise()], axis=2))
    save("b/2.png", np.stack([noise(), noise(), noise()], axis=2))  # so b has no copies
    seen = inspect_cases(find(tmp_path, channels=("t1n", "t2f", "t1c")), quiet=True)
    assert seen.channel_copies == {"t1n = t1c": ["a"]}
    assert seen.constant_pictures == ["a/3"]


def test_duplicates_across_patients_only(save, tmp_path):
    same = noise()
    save("a/1.png", same)
    save("a/2.png", same)  # within a patient alone it would be no matter
    save("b/1.tif", np.repeat(same[..., None], 3, axis=2))  # grey or three equal channels: the same picture
    save("b/2.png", np.zeros((8, 9), dtype=np.uint8))
    save("c/1.png", np.zeros((8, 9), dtype=np.uint8))  # constant pictures are alike everywhere
    save("c/2.png", same.astype(np.uint16))  # another type is another picture
    twin = noise()
    save("c/3.png", twin)
    save("c/4.png", twin)
    seen = inspect_cases(find(tmp_path), quiet=True)
    assert seen.duplicates == [["a/1", "a/2", "b/1"]]


def test_orphans_and_bad_files_do_not_stop_the_rest(save, tmp_path):
    for number in (1, 2, 3, 4):
        save(f"a/{number}.png", noise())
    save("a/1_mask.png", lesion(3))
    save("a/3_mask.png", lesion(5)[:, :4])
    save("a/4_mask.png", np.full((8, 9), 7, dtype=np.uint8))
    save("a/9_mask.png", NO_LESION)
    (tmp_path / "a" / "5.png").write_bytes(b"")
    (tmp_path / "a" / "6.gif").write_bytes(b"GIF89a")
    seen = inspect_cases(find(tmp_path), quiet=True)
    assert seen.slices == 5
    assert seen.orphan_images == ["a/2", "a/5"]
    assert seen.orphan_masks == ["a/9_mask.png"]
    assert seen.other_files == {".gif": 1}
    found = {problem.file: problem for problem in seen.problems}
    assert {file: problem.code for file, problem in found.items()} == {
        "a/3_mask.png": "input.geometry",
        "a/4_mask.png": "input.labels",
        "a/5.png": "input.format",
    }
    assert isinstance(found["a/5.png"], Problem)
    assert "an empty file" in found["a/5.png"].message
    assert str(tmp_path) not in found["a/5.png"].message
    assert seen.sizes == {"9 x 8": 4}


def test_classes_are_counted_by_slice(save, tmp_path):
    for number, values in ((1, (1, 2)), (2, (2, 3)), (3, (2,))):
        save(f"a/{number}.png", noise())
        mask = NO_LESION.copy()
        for row, value in enumerate(values):
            mask[row] = value
        save(f"a/{number}_mask.png", mask)
    seen = inspect_cases(find(tmp_path, labels="brats-met-2023"), quiet=True)
    assert seen.label_values == {1: 1, 2: 3, 3: 1}


def test_it_is_json(two_patients):
    document = json.loads(json.dumps(inspect_cases(find(two_patients), quiet=True).to_dict()))
    assert document["patients"] == 2


def test_showcase_takes_the_largest_lesion_and_skips_what_is_broken(save, tmp_path):
    for number, size in ((1, 2), (2, 9), (3, 4)):
        save(f"pat_a/{number}.png", noise())
        save(f"pat_a/{number}_mask.png", lesion(size))
    save("pat_b/1.png", noise())
    (tmp_path / "pat_c").mkdir()
    (tmp_path / "pat_c" / "1.png").write_bytes(b"")
    found = find(tmp_path)
    seen = inspect_cases(found, quiet=True)
    tiles = showcase(found.sources, seen.largest_lesion)
    assert [(tile.title, None if tile.labels is None else int(tile.labels.sum())) for tile in tiles] == [
        ("a", 9),
        ("b", None),
    ]


def test_showcase_shows_flair_where_the_channels_are_named(save, tmp_path):
    colour = np.stack([noise(), noise(), noise()], axis=2)
    save("a/1.png", colour)
    found = find(tmp_path, channels=("t1n", "t2f", "t1c"))
    (tile,) = showcase(found.sources, {"a": "a/1"})
    np.testing.assert_array_equal(tile.picture, colour[..., 1])


@pytest.mark.real
def test_public_glioma_slices(real_data):
    seen = inspect_cases(find(real_data / "lgg_flair_slices", channels=("t1n", "t2f", "t1c")), quiet=True)
    assert (seen.patients, seen.slices, seen.lesion_slices) == (88, 3096, 1068)
    assert seen.empty_masks == 3096 - 1068
    assert seen.problems == []
    assert seen.duplicates == []
    assert seen.attributes["who_grade"] == {"III": 46, "II": 41, "(none)": 1}
    assert len(seen.channel_copies["t1n = t2f"]) == 5
    assert len(seen.channel_copies["t2f = t1c"]) == 8
