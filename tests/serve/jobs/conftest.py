"""Studies in which it is known what is bright, and so what the models here find; and workers that work on them."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import nibabel
import numpy as np
import pytest
from PIL import Image

from metseg.schemas import Kind

if TYPE_CHECKING:
    from metseg.serve.jobs.phases.job import Job

#: A voxel above this is lesion to the models here.
BRIGHT = 200.0

#: The study of `make_job`.
STUDY_ID = "0123456789abcdef0123456789abcdef"

#: Stands in the headers of the images here; it must be found nowhere else.
PATIENT = "ROTHSCHWANZ^ALBERTA"

AFFINE = np.array([[-1.0, 0, 0, 10], [0, 1.0, 0, -12], [0, 0, 2.0, 5], [0, 0, 0, 1]])


class File(NamedTuple):
    """A file to upload."""

    path: Path
    kind: Kind
    ending: str
    sequence: str | None = None

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.path.read_bytes()).hexdigest()


def volume_arrays() -> tuple[np.ndarray, np.ndarray]:
    """Return two sequences (20, 24, 10); in the first a lesion of 27 voxels and one of 8."""
    t1c = np.zeros((20, 24, 10), dtype=np.int16)
    t1c[2:18, 2:22, 1:9] = 100
    t1c[4:7, 5:8, 3:6] = 300
    t1c[12:14, 15:17, 6:8] = 250
    return t1c, (t1c // 2).astype(np.float32) + np.float32(0.25)


def write_volume(path: Path, data: np.ndarray) -> Path:
    image = nibabel.Nifti1Image(data, AFFINE)
    image.header.set_xyzt_units("mm")
    image.header["descrip"] = PATIENT.encode()
    nibabel.save(image, path)
    return path


@dataclass(frozen=True)
class Given:
    """What the studies here are made of."""

    patient: str = PATIENT
    affine: tuple[tuple[float, ...], ...] = tuple(map(tuple, AFFINE.tolist()))
    bright: float = BRIGHT

    def volume_arrays(self) -> tuple[np.ndarray, np.ndarray]:
        return volume_arrays()

    def picture_array(self, number: int) -> np.ndarray:
        return picture_array(number)

    def write_volume(self, path: Path, data: np.ndarray) -> Path:
        return write_volume(path, data)


@pytest.fixture(scope="session")
def given() -> Given:
    return Given()


@pytest.fixture
def home(home: Path, bundle_store: Path) -> Path:
    """Return the home of a service whose bundles have their networks: here they are run."""
    shutil.rmtree(home / "bundles")
    shutil.copytree(bundle_store, home / "bundles")
    return home


@pytest.fixture
def volume_files(tmp_path: Path) -> list[File]:
    """Return a study of two sequences as files to upload; see `volume_arrays`."""
    folder = tmp_path / "upload"
    folder.mkdir()
    t1c, t2f = volume_arrays()
    named = (("t1c", t1c), ("t2f", t2f))
    return [
        File(write_volume(folder / f"{PATIENT}_{name}.nii.gz", data), Kind.NIFTI, ".nii.gz", name)
        for name, data in named
    ]


def picture_array(number: int) -> np.ndarray:
    """Return a picture (32 rows, 40 columns), dark, with a bright square of side ``number`` + 1."""
    picture = np.full((32, 40), 60, dtype=np.uint8)
    picture[4 : 5 + number, 10 : 11 + number] = 255
    return picture


@pytest.fixture
def picture_files(tmp_path: Path) -> Callable[[int], list[File]]:
    """Return a function that gives so many pictures as files to upload; see `picture_array`."""

    def make(count: int) -> list[File]:
        folder = tmp_path / "pictures"
        folder.mkdir()
        files = []
        for number in range(1, count + 1):
            path = folder / f"{PATIENT}_{number}.png"
            Image.fromarray(picture_array(number)).save(path)
            files.append(File(path, Kind.PICTURE, ".png"))
        return files

    return make


@pytest.fixture
def make_job(tmp_path: Path, home: Path) -> Callable[..., Job]:
    """Return a function that makes a job of files, in a folder of its own."""

    from metseg.schemas import Options
    from metseg.serve.jobs.phases.job import Job, JobCache, artifacts_in
    from metseg.serve.jobs.phases.model_cache import Models
    from metseg.serve.storage.folders import StudyFolder
    from metseg.serve.storage.job_repository import WorkInput
    from metseg.serve.storage.patient_identity import patient_hash

    def make(files: Sequence[File], model: str, **options: object) -> Job:
        folder = StudyFolder(tmp_path / "study")
        folder.inputs.mkdir(parents=True)
        folder.work.mkdir()
        uploads = []
        for number, file in enumerate(files, start=1):
            path = folder.inputs / f"{number:04d}{file.ending}"
            shutil.copyfile(file.path, path)
            size = path.stat().st_size
            uploads.append(
                WorkInput(path, number, file.kind, file.sequence, size, file.sha256, reason=f"reason {number}")
            )
        return Job(
            STUDY_ID,
            folder,
            tuple(uploads),
            model,
            Options.model_validate(options),
            Models(kept=2, device="cpu"),
            JobCache(),
            artifacts_in(folder.artifacts),
            partial(patient_hash, home),
        )

    return make


@pytest.fixture
def long_files(tmp_path: Path) -> list[File]:
    """Return a study that takes ``bright-two`` a second or more: a thousand windows, one lesion of 8000 voxels."""
    folder = tmp_path / "long"
    folder.mkdir()
    data = np.full((72, 72, 72), 100, dtype=np.int16)
    data[30:50, 30:50, 30:50] = 300
    return [File(write_volume(folder / f"{name}.nii.gz", data), Kind.NIFTI, ".nii.gz", name) for name in ("t1c", "t2f")]


@pytest.fixture
def accept(home: Path) -> Iterator[Callable[..., str]]:
    """Return a function that has the service accept files as a study, as the API does, and gives its id."""
    from metseg.schemas import Options
    from metseg.serve.http.upload_reader import ReceivedFile
    from metseg.serve.settings import load_settings
    from metseg.serve.storage.api_keys import LOCAL_PRINCIPAL
    from metseg.serve.storage.database import open_database
    from metseg.serve.storage.folders import Folders
    from metseg.serve.storage.study_service import CheckedFile, NewStudy, Studies

    settings = load_settings()
    folders = Folders(settings.home)
    folders.make()
    database = open_database(settings)
    studies = Studies(database, settings)

    def make(files: Sequence[File], model: str) -> str:
        incoming = folders.incoming / "upload"
        incoming.mkdir(exist_ok=True)
        received = []
        for number, file in enumerate(files, start=1):
            path = incoming / f"{number:04d}"
            shutil.copyfile(file.path, path)
            item = ReceivedFile(number, path, file.sequence, path.stat().st_size, file.sha256)
            received.append(CheckedFile(item, file.kind, file.ending))
        new = NewStudy(incoming, files[0].kind, received, Options(model=model), digest="0" * 64)
        record, _ = studies.accept(LOCAL_PRINCIPAL, new)
        return record.id

    yield make
    database.close()
