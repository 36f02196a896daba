"""Equal images under two patients' names: found whatever the file's name and format, and marked as a leak."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from shutil import copytree

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from metseg.io.case_discovery import find
from metseg.io.duplicate_images import DIGESTS, _joined, equal_patients, mark_duplicates
from metseg.io.splits import Split


@pytest.fixture
def copied(tiny_slices: Path, tmp_path: Path) -> Path:
    """Return the tiny data set with one slice of P0 again under the name of P8, in another format."""
    root = tmp_path / "data"
    copytree(tiny_slices, root)
    (root / "P8").mkdir()
    for z in range(2):
        pixels = np.random.default_rng(100 + z).integers(0, 255, (24, 24, 3), dtype=np.uint8)
        picture = Image.fromarray(pixels) if z else Image.open(root / "P0" / "P0_2.png")
        picture.save(root / "P8" / f"P8_{z}.webp", lossless=True)
        Image.fromarray(np.zeros((24, 24), np.uint8)).save(root / "P8" / f"P8_{z}_mask.png")
    return root


def test_a_copy_is_found_in_another_format(copied: Path) -> None:
    assert equal_patients(list(find(copied).sources), quiet=True) == [("P0", "P8")]


def test_patients_without_copies_and_black_slices_are_no_leak(tiny_slices: Path, tmp_path: Path) -> None:
    root = tmp_path / "data"
    copytree(tiny_slices, root)
    for patient in ("P0", "P1"):  # the same black slice, as below and above every head
        for name in (f"{patient}_9.png", f"{patient}_9_mask.png"):
            Image.fromarray(np.zeros((24, 24), np.uint8)).save(root / patient / name)
    assert equal_patients(list(find(root).sources), quiet=True) == []


@pytest.mark.parametrize(
    ("split", "found"),
    [
        (Split(train=("P0",), validation=("P1",), test=("P8",)), (("P0", "P8"),)),
        (Split(train=("P0", "P8"), validation=("P1",), test=("P2",)), ()),
        (Split(train=("P0", "P1", "P8"), folds=(("P0",), ("P1", "P8"))), (("P0", "P8"),)),
        (Split(train=("P0", "P1", "P8"), folds=(("P0", "P8"), ("P1",))), ()),
    ],
)
def test_it_is_a_leak_where_the_split_divides_them(
    copied: Path, split: Split, found: tuple[tuple[str, ...], ...]
) -> None:
    marked = mark_duplicates(split, list(find(copied).sources), quiet=True)
    assert marked.duplicates == found
    assert marked.leaks_patients is bool(found)
    assert Split.from_dict(marked.to_dict()) == split  # a finding does not make it another division
    assert Split.from_dict(marked.to_dict()).duplicates == found


def test_a_split_of_before_has_no_finding() -> None:
    document = Split(train=("a",)).to_dict()
    del document["duplicates"]
    assert Split.from_dict(document).duplicates == ()


def test_volumes_are_compared_by_their_voxels(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    voxels = {name: rng.integers(0, 900, (6, 7, 8)).astype(np.int16) for name in ("A", "B")}
    voxels["C"] = voxels["A"]
    for number, (name, data) in enumerate(voxels.items()):
        folder = tmp_path / name
        folder.mkdir()
        affine = np.diag([1, 1, 1 + number, 1])  # the place in space may differ
        for sequence in ("t1c", "t2f"):
            other = data if sequence == "t1c" else rng.integers(0, 900, (6, 7, 8)).astype(np.int16)
            nib.save(nib.Nifti1Image(other, affine), folder / f"{name}-{sequence}.nii.gz")
    assert equal_patients(list(find(tmp_path).sources), quiet=True) == [("A", "C")]


def test_what_was_read_once_is_not_read_again(copied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import metseg.io.duplicate_images as module

    sources = list(find(copied).sources)
    assert equal_patients(sources, cache=tmp_path / "cache", quiet=True) == [("P0", "P8")]
    assert (tmp_path / "cache" / DIGESTS).exists()
    monkeypatch.setattr(module, "_KNOWN", {})  # as in another process
    monkeypatch.setattr(module, "read_picture", lambda *_, **__: pytest.fail("read again"))
    assert equal_patients(sources, cache=tmp_path / "cache", quiet=True) == [("P0", "P8")]


def test_groups_are_joined_by_what_they_share() -> None:
    """Chains in any order, rings, stars and single groups."""
    chain = [{f"c{n}", f"c{n + 1}"} for n in range(50)]
    ring = [{f"r{n}", f"r{(n + 1) % 5}"} for n in range(5)]
    star = [{"s0", f"s{n}"} for n in range(1, 4)]
    groups = [*chain[::2], *ring, *star, {"x", "y", "z"}, {"p", "q"}, *chain[1::2]]
    assert _joined(groups) == [
        tuple(sorted(f"c{n}" for n in range(51))),
        ("p", "q"),
        ("r0", "r1", "r2", "r3", "r4"),
        ("s0", "s1", "s2", "s3"),
        ("x", "y", "z"),
    ]


def test_only_the_last_data_set_is_remembered(tiny_slices: Path, copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import metseg.io.duplicate_images as module

    monkeypatch.setattr(module, "_KNOWN", {})
    first, second = list(find(tiny_slices).sources), list(find(copied).sources)
    for sources in (first, second, first[:3]):
        equal_patients(sources, quiet=True)
        assert [len(known) for known in module._KNOWN.values()] == [len(sources)]
    monkeypatch.setattr(module, "read_picture", lambda *_, **__: pytest.fail("read again"))
    equal_patients(first[:3], quiet=True)


def test_the_command_says_it_and_writes_it_down(
    copied: Path, tmp_path: Path, run_metseg: Callable[..., tuple[int, str, str]]
) -> None:
    out = tmp_path / "split.json"
    for seed in range(20):
        status, _, err = run_metseg("split", copied, "--out", out, "--folds", 3, "--seed", seed, "--json")
        document = json.loads(out.read_text())
        fold_of = {patient: n for n, fold in enumerate(document["folds"]) for patient in fold}
        divided = fold_of.get("P0") != fold_of.get("P8")
        assert status == 0
        assert document["leaks_patients"] is divided
        assert ("equal images (P0 = P8)" in err) is divided
        if divided:
            return
    pytest.fail("no seed divides the two")
