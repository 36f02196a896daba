"""Folders of patients: any number of workers, going on, refusing, replacing, and what a failure leaves behind."""

from __future__ import annotations

import csv
import errno
import sys
from pathlib import Path

import pytest

from metseg.errors import ResourceError, UsageError
from metseg.simulation import PhantomOptions, SliceOptions, simulate_dataset
from metseg.simulation.output import dataset

COARSE = PhantomOptions(resolution_mm=5.0)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("two") / "out"
    simulate_dataset(out, patients=2, seed=4, phantom=COARSE, workers=1, quiet=True)
    return out


def test_names_and_table(two: Path) -> None:
    names = {str(path.relative_to(two)) for path in two.rglob("*")}
    assert {
        "BraTS-MET-00001-000/BraTS-MET-00001-000-t1n.nii.gz",
        "BraTS-MET-00002-000/BraTS-MET-00002-000-seg.nii.gz",
    } <= names
    assert not [name for name in names if name.startswith(".")]
    with (two / "patients.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["case"] for row in rows] == ["BraTS-MET-00001-000", "BraTS-MET-00002-000"]
    assert all(1 <= int(row["lesions"]) <= 12 and float(row["et_ml"]) > 0 for row in rows)


def test_the_same_bytes_from_more_workers_and_among_more_patients(two: Path, tmp_path: Path) -> None:
    simulate_dataset(tmp_path / "out", patients=3, seed=4, phantom=COARSE, workers=2, quiet=True)
    many = contents(tmp_path / "out")
    few = {name: data for name, data in contents(two).items() if not name.endswith(".csv")}
    assert {name: many[name] for name in few} == few
    assert any(name.startswith("BraTS-MET-00003-000/") for name in many)


def test_a_folder_with_something_in_it_is_refused(two: Path, tmp_path: Path) -> None:
    before = contents(two)
    with pytest.raises(UsageError, match=r"not empty.*--resume.*--overwrite") as caught:
        simulate_dataset(two, patients=1, phantom=COARSE, quiet=True)
    assert (caught.value.code, caught.value.exit_status) == ("usage.output_exists", 2)
    assert contents(two) == before
    (tmp_path / "file").write_text("x")
    with pytest.raises(UsageError, match="is a file"):
        simulate_dataset(tmp_path / "file", patients=1, phantom=COARSE, quiet=True)


def test_resume_makes_what_is_missing_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    simulate_dataset(tmp_path, patients=2, seed=4, phantom=COARSE, workers=1, quiet=True)
    complete = contents(tmp_path)
    for file in (tmp_path / "BraTS-MET-00001-000").iterdir():
        file.unlink()
    (tmp_path / "BraTS-MET-00001-000").rmdir()
    (tmp_path / ".BraTS-MET-00001-000.killed").mkdir()
    made: list[int] = []
    original = dataset.make_examination
    monkeypatch.setattr(dataset, "make_examination", lambda job: (made.append(job.index), original(job))[1])
    simulate_dataset(tmp_path, patients=2, seed=4, phantom=COARSE, workers=1, existing="resume", quiet=True)
    assert made == [0]
    assert contents(tmp_path) == complete
    assert not list(tmp_path.glob(".*"))


def test_resume_with_other_options_is_refused(two: Path) -> None:
    with pytest.raises(UsageError, match="another 'seed'") as caught:
        simulate_dataset(two, patients=2, seed=5, phantom=COARSE, existing="resume", quiet=True)
    assert caught.value.code == "usage.output_differs"
    with pytest.raises(UsageError, match="another 'output'"):
        simulate_dataset(two, patients=2, seed=4, phantom=COARSE, output=SliceOptions(), existing="resume", quiet=True)


def test_overwrite_replaces_a_simulation_and_nothing_else(tmp_path: Path) -> None:
    simulate_dataset(tmp_path, patients=1, seed=4, phantom=COARSE, workers=1, quiet=True)
    (tmp_path / "notes.txt").write_text("mine")
    simulate_dataset(
        tmp_path, patients=1, seed=5, phantom=COARSE, output=SliceOptions(slices_per_patient=2), existing="overwrite",
        workers=1, quiet=True,
    )  # fmt: skip
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "BraTS-MET-00001",
        "lesions.csv",
        "notes.txt",
        "patients.csv",
        "simulation.json",
    ]
    assert len(list((tmp_path / "BraTS-MET-00001").glob("*.png"))) == 4
    stranger = tmp_path / "stranger"
    stranger.mkdir()
    (stranger / "precious").write_text("x")
    with pytest.raises(UsageError, match="does not hold a simulation"):
        simulate_dataset(stranger, patients=1, phantom=COARSE, existing="overwrite", quiet=True)
    assert (stranger / "precious").exists()


def test_a_full_disk_leaves_no_half_patient(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("metseg.simulation.output.write.write_volume", fail)
    with pytest.raises(ResourceError) as caught:
        simulate_dataset(tmp_path, patients=1, seed=4, phantom=COARSE, workers=1, quiet=True)
    assert (caught.value.code, caught.value.exit_status) == ("resources.disk", 5)
    assert [path.name for path in tmp_path.iterdir()] == ["simulation.json"]


def test_workers_follow_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("metseg.runtime.system_info.os.sched_getaffinity", lambda _: set(range(64)), raising=False)
    free = {"available": 8e9}
    monkeypatch.setattr(dataset.psutil, "virtual_memory", lambda: type("Memory", (), free)())
    assert 2 <= dataset.affordable_workers(1.0) <= 5
    assert dataset.affordable_workers(2.0) > 2 * dataset.affordable_workers(1.0)
    free["available"] = 1e6
    assert dataset.affordable_workers(1.0) == 1


def test_without_nilearn_no_folder_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nilearn", None)
    with pytest.raises(UsageError, match=r"nilearn.*is not installed; pip install 'metseg\[simulate\]'"):
        simulate_dataset(tmp_path / "study", patients=1, phantom=COARSE, workers=1, quiet=True)
    assert not (tmp_path / "study").exists()
