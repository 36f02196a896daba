"""Folders of several examinations, in both conventions of volumes: names, masks, the table of lesions, going on."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import nibabel
import numpy as np
import pytest

from metseg.errors import UsageError
from metseg.simulation import (
    NAMINGS,
    BmsrOptions,
    CourseOptions,
    Difficulty,
    PhantomOptions,
    SliceOptions,
    Stack,
    simulate_dataset,
)
from metseg.simulation.output.write import FILES

COARSE = PhantomOptions(resolution_mm=5.0, lesions_min=3, lesions_max=5)
LIVELY = CourseOptions(vanished=2, new_lesions=3)


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.fixture(scope="module")
def brats(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return one patient seen three times: once, then gone on with."""
    out = tmp_path_factory.mktemp("brats") / "out"
    simulate_dataset(out, patients=1, seed=8, phantom=COARSE, course=LIVELY, workers=1, quiet=True)
    before = files(out / "BraTS-MET-00001-000")
    rows = simulate_dataset(
        out, patients=1, timepoints=3, seed=8, phantom=COARSE, course=LIVELY, existing="resume", workers=1, quiet=True
    )
    assert files(out / "BraTS-MET-00001-000") == before
    assert [row["examinations"] for row in rows] == [3]
    return out


def lesions(out: Path) -> list[dict[str, str]]:
    with (out / "lesions.csv").open() as file:
        return list(csv.DictReader(file))


def test_going_on_adds_examinations(brats: Path) -> None:
    assert sorted(path.name for path in brats.iterdir() if path.is_dir()) == [
        f"BraTS-MET-00001-{timepoint:03d}" for timepoint in range(3)
    ]
    with (brats / "patients.csv").open() as file:
        assert [row["case"] for row in csv.DictReader(file)] == ["BraTS-MET-00001-000"]  # one row, or readers refuse


def test_the_table_of_lesions_is_what_lies_in_the_masks(brats: Path) -> None:
    rows = lesions(brats)
    for timepoint in range(3):
        case = f"BraTS-MET-00001-{timepoint:03d}"
        mask = np.asarray(nibabel.load(brats / case / f"{case}-seg.nii.gz").dataobj)
        of_case = [row for row in rows if row["case"] == case]
        assert sum(float(row["core_mm3"]) for row in of_case) == pytest.approx(np.isin(mask, (1, 3)).sum() * 125, abs=1)
        assert sum(float(row["snfh_mm3"]) for row in of_case) == pytest.approx((mask == 2).sum() * 125, abs=1)


def test_one_number_is_one_lesion_for_life(brats: Path) -> None:
    by_lesion: dict[str, list[dict[str, str]]] = {}
    for row in lesions(brats):
        by_lesion.setdefault(row["lesion_id"], []).append(row)
    events = [[row["event"] for row in rows] for rows in by_lesion.values()]
    assert any(history[-1] == "vanished" for history in events)
    assert any(history[0] == "new" for history in events)
    for rows in by_lesion.values():
        points = [int(row["timepoint"]) for row in rows]
        assert points == list(range(points[0], points[0] + len(points)))
        assert rows[-1]["event"] == "vanished" or points[-1] == 2
        assert all((float(row["core_mm3"]) == 0) == (row["event"] == "vanished") for row in rows)


def test_the_truth_of_a_later_examination_tells_the_history(brats: Path) -> None:
    truth = json.loads((brats / "BraTS-MET-00001-002" / "BraTS-MET-00001-002.json").read_text())
    assert (truth["timepoint"], truth["patient"]) == ("002", "BraTS-MET-00001")
    assert 120 <= truth["days"] <= 240
    assert np.linalg.det(truth["to_first_mm"]) == pytest.approx(1, abs=1e-4)
    for lesion in truth["lesions"]:
        assert lesion["history"][-1]["timepoint"] == "002"
        assert lesion["history"][-1]["planned_core_mm3"] == pytest.approx(
            np.pi / 6 * lesion["plan"]["diameter_mm"] ** 3, abs=1e-3
        )
    table = {row["lesion_id"] for row in lesions(brats) if row["event"] == "vanished"}
    assert {str(lesion["lesion_id"]) for lesion in truth["vanished"]} == table


def test_ucsf_bmsr(brats: Path, tmp_path: Path) -> None:
    simulate_dataset(
        tmp_path, patients=1, timepoints=2, seed=8, phantom=COARSE, course=LIVELY, output=BmsrOptions(), workers=1,
        quiet=True,
    )  # fmt: skip
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == ["100101A", "100101B"]
    endings = ("T1pre", "T1post", "T2Synth", "FLAIR", "seg", "BraTS-seg")
    for case, same in (("100101A", "BraTS-MET-00001-000"), ("100101B", "BraTS-MET-00001-001")):
        assert set(files(tmp_path / case)) == {f"{case}_{ending}.nii.gz" for ending in endings} | {f"{case}.json"}
        binary, classes, original, image, other = (
            np.asarray(nibabel.load(path).dataobj)
            for path in (
                tmp_path / case / f"{case}_seg.nii.gz",
                tmp_path / case / f"{case}_BraTS-seg.nii.gz",
                brats / same / f"{same}-seg.nii.gz",
                tmp_path / case / f"{case}_T2Synth.nii.gz",
                brats / same / f"{same}-t2w.nii.gz",
            )
        )
        np.testing.assert_array_equal(classes, original)
        np.testing.assert_array_equal(binary, np.isin(original, (1, 3)))
        np.testing.assert_array_equal(image, other)
    assert {(row["patient"], row["case"]) for row in lesions(tmp_path)} == {
        ("100101", "100101A"), ("100101", "100101B"),
    }  # fmt: skip
    simulate_dataset(tmp_path, patients=1, seed=9, phantom=COARSE, existing="overwrite", workers=1, quiet=True)
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == ["BraTS-MET-00001-000"]


def test_a_challenge_on_disk(tmp_path: Path) -> None:
    challenge = Difficulty(
        stacks={"t2w": Stack(slice_mm=10), "t2f": Stack(plane="coronal", slice_mm=10)}, oblique_deg=5, offset_mm=2,
        offset_deg=2, motion_share=1, motion_mm=2, missing_share=1,
    )  # fmt: skip
    simulate_dataset(tmp_path, patients=1, seed=8, phantom=COARSE, challenge=challenge, workers=1, quiet=True)
    case = tmp_path / "BraTS-MET-00001-000"
    truth = json.loads((case / f"{case.name}.json").read_text())
    (missing,) = truth["missing"]
    assert missing != "t1c"
    assert set(truth["scans"]) == {"t1n", "t1c", "t2w", "t2f"} - {missing}
    assert not (case / f"{case.name}-{missing}.nii.gz").exists()
    for name, scan in truth["scans"].items():
        image = nibabel.load(case / f"{case.name}-{name}.nii.gz")
        assert list(image.shape) == scan["shape"]
        assert image.header.get_zooms() == pytest.approx(scan["spacing_mm"], abs=1e-3)
        np.testing.assert_allclose(image.get_qform(), image.get_sform(), atol=1e-3)
        assert scan["motion_mm"] > 0
    mask, enhanced = (nibabel.load(case / f"{case.name}-{name}.nii.gz") for name in ("seg", "t1c"))
    np.testing.assert_array_equal(mask.affine, enhanced.affine)
    with pytest.raises(UsageError, match="another 'challenge'"):
        simulate_dataset(tmp_path, patients=1, seed=8, phantom=COARSE, existing="resume", quiet=True)


def test_an_older_data_set_can_be_gone_on_with(brats: Path, tmp_path: Path) -> None:
    stamp = json.loads((brats / "simulation.json").read_text())
    old = {key: stamp[key] for key in ("metseg", "seed", "phantom", "output")}
    (tmp_path / "simulation.json").write_text(json.dumps(old))
    (tmp_path / "BraTS-MET-00001-000").mkdir()
    rows = simulate_dataset(tmp_path, patients=1, seed=8, phantom=COARSE, existing="resume", quiet=True)
    assert rows == []  # nothing was made: the folder is there


def test_pictures_refuse_what_they_cannot_show(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"one examination.*--as nifti or --as ucsf-bmsr"):
        simulate_dataset(tmp_path, patients=1, timepoints=2, output=SliceOptions(), quiet=True)
    with pytest.raises(UsageError, match=r"on its own grid.*leave --challenge out"):
        simulate_dataset(tmp_path, patients=1, challenge=Difficulty(), output=SliceOptions(), quiet=True)
    with pytest.raises(UsageError, match=r"at most 26.*--as nifti"):
        simulate_dataset(tmp_path, patients=1, timepoints=27, output=BmsrOptions(), quiet=True)
    assert not list(tmp_path.iterdir())


def test_every_convention_of_volumes_has_its_files() -> None:
    assert set(FILES) == {kind for kind, naming in NAMINGS.items() if naming.volumes}
