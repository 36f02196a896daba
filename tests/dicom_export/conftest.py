"""Studies as DICOM with masks on their grids: one simulated, oblique and anisotropic, and a real one."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import ndimage

from metseg.dicom_export import read_source_headers
from metseg.inference.lesion_table import find_lesions
from metseg.inference.prediction import Prediction
from metseg.io.dicom import find_studies
from metseg.io.dicom.series_scan import scan
from metseg.labels import LABEL_SCHEMES
from metseg.simulation import PhantomOptions, SimulatedPatient, describe_patient, simulate_patient
from metseg.volume import Case, SequenceRecord, Volume

SCHEME = "brats-met-2023"
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True)
class DicomCase:
    """A DICOM study and a result on its grid.

    Args:
        folder: with one series.
        prediction: its result.
        saved: the document of the result, with mask and probability beside it.
    """

    folder: Path
    prediction: Prediction
    saved: Path


@pytest.fixture(scope="session")
def scanner() -> SimpleNamespace:
    """Return the functions that write MR objects."""
    return SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[1] / "io" / "dicom" / "scanner.py")))


@pytest.fixture(scope="session")
def phantom() -> SimulatedPatient:
    """Return a coarse simulated patient with rings and oedema."""
    options = PhantomOptions(
        resolution_mm=2.5, lesions_min=7, lesions_max=9, diameter_median_mm=13, diameter_min_mm=6, diameter_log_std=0.4
    )
    for index in range(20):
        if sum(lesion.is_ring for lesion in describe_patient(5, index, options).lesions) >= 2:
            return simulate_patient(5, index, options)
    raise AssertionError("twenty patients without a ring lesion")


@pytest.fixture(scope="session")
def simulated_case(phantom: SimulatedPatient, scanner: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory):
    """Return the simulated study on oblique slices, with voxels of 1.1 x 1.5 x 4.7 mm."""
    root = tmp_path_factory.mktemp("simulated")
    objects, labels = oblique_study(phantom, scanner)
    scanner.write(root / "study", objects)
    return dicom_case(root, labels)


def oblique_study(phantom: SimulatedPatient, scanner: SimpleNamespace, **elements: object):
    """Return the MR objects of a simulated study, and the class ids on their grid, (X, Y, Z)."""
    image = phantom.case.images["t1c"]
    count, rows, columns, spacing, step = 30, 130, 150, (1.5, 1.1), 4.7
    axes = np.array(scanner.OBLIQUE).reshape(2, 3)
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1] = axes[0] * spacing[1], axes[1] * spacing[0]
    affine[:3, 2] = np.cross(*axes) * step
    inside = np.argwhere(image.data > 0)
    middle = (LPS_TO_RAS @ image.affine @ [*inside.mean(axis=0), 1])[:3]
    origin = middle - affine[:3, :3] @ (np.array([columns, rows, count]) / 2)
    affine[:3, 3] = origin
    turn = np.linalg.inv(image.affine) @ LPS_TO_RAS @ affine
    shape = (columns, rows, count)
    values = ndimage.affine_transform(image.data.astype(np.float32), turn, output_shape=shape, order=1)
    labels = ndimage.affine_transform(phantom.case.labels.data, turn, output_shape=shape, order=0)
    stored = np.clip(1000 * values / values.max(), 0, 4000).astype(np.uint16)
    objects = scanner.slices(
        np.ascontiguousarray(stored.transpose(2, 1, 0)),
        orientation=scanner.OBLIQUE,
        spacing=spacing,
        origin=origin,
        step=step,
        **{"SeriesDescription": "T1 MPRAGE", "SeriesNumber": 7, "StudyID": "42", **elements},
    )
    return objects, labels.astype(np.uint8)


@pytest.fixture(scope="session")
def real_case(real_data: Path, tmp_path_factory: pytest.TempPathFactory):
    """Return the real oblique series with drawn lesions: a ring in oedema, a shell, a bar, and single voxels."""
    folder = real_data / "dicom_t1w"
    (series,) = scan(folder).series
    headers = read_source_headers(series)
    spacing = np.linalg.norm(headers.affine[:3, :3], axis=0)
    places = np.indices(headers.shape, dtype=np.float32)
    labels = np.zeros(headers.shape, dtype=np.uint8)

    def ball(centre: tuple[int, int, int], radius_mm: float, value: int) -> None:
        apart = sum(((places[axis] - centre[axis]) * spacing[axis]) ** 2 for axis in range(3))
        labels[apart <= radius_mm**2] = value

    for radius, value in ((16, 2), (9, 3), (5, 1)):
        ball((100, 150, 30), radius, value)
    ball((180, 250, 20), 7, 3)
    ball((180, 250, 20), 4.5, 0)
    ball((60, 250, 40), 1.2, 3)
    labels[200:203, 100:130, 50] = 3
    labels[150, 200, 10] = labels[151, 201, 10] = 3
    root = tmp_path_factory.mktemp("real")
    return dicom_case(root, labels, folder=folder, modality="t1n")


def dicom_case(root: Path, labels: np.ndarray, *, folder: Path | None = None, modality: str = "t1c") -> DicomCase:
    """Save a result for the one series of a study."""
    folder = folder or root / "study"
    (source,) = find_studies(folder, overrides={modality: scan(folder).series[0].label})
    case = source.load()
    probability = ndimage.gaussian_filter((labels > 0).astype(np.float32), 1)
    affine = case.images[modality].affine
    lesions, instances = find_lesions(labels, probability, affine, LABEL_SCHEMES[SCHEME], slicewise=False)
    prediction = Prediction(
        Case(
            case.case_id,
            case.patient,
            {modality: Volume(case.images[modality].data, affine)},
            sequence_records=tuple(SequenceRecord(modality, record.source, "") for record in case.sequence_records),
        ),
        labels,
        probability,
        tuple(replace_side(lesion) for lesion in lesions),
        instances,
        {},
        (),
        "drawn",
        SCHEME,
        reference=modality,
    )
    *_, document = prediction.save(root / "saved", formats=("mask", "probability"))
    return DicomCase(folder, prediction, document)


def replace_side(lesion):
    """Give a lesion a side, as a prediction does."""
    return lesion.model_copy(update={"side": "right"})


@pytest.fixture(scope="session")
def without_lesions(simulated_case: DicomCase, tmp_path_factory: pytest.TempPathFactory) -> DicomCase:
    """Return the simulated study with an empty mask."""
    empty = np.zeros_like(simulated_case.prediction.labels)
    prediction = replace(
        simulated_case.prediction,
        labels=empty,
        lesions=(),
        instances=empty.astype(np.uint16),
        probability=np.zeros(empty.shape, dtype=np.float32),
    )
    *_, document = prediction.save(tmp_path_factory.mktemp("empty"), formats=("mask",))
    return DicomCase(simulated_case.folder, prediction, document)


@pytest.fixture(scope="session", params=["simulated_case", "real_case"])
def dicom_result(request: pytest.FixtureRequest) -> DicomCase:
    """Return each study."""
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="session")
def study_objects() -> Callable[..., object]:
    """Return `oblique_study`."""
    return oblique_study


@pytest.fixture(scope="session")
def make_dicom_case() -> Callable[..., DicomCase]:
    """Return `dicom_case`."""
    return dicom_case
