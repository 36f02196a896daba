"""Compute a data set's fingerprint: voxel sizes, shapes, intensities and lesions, one case at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from metseg.errors import InputError
from metseg.geometry import same_grid, spacing_mm
from metseg.io.case_source import CaseSource
from metseg.measure.instances import label_instances
from metseg.measure.size import lesion_volumes_ml
from metseg.preprocess import check_steps
from metseg.preprocess.pipeline import prepare_case
from metseg.preprocess.prepared_case import Prepared, reference_name
from metseg.recipe import DataPart, Named
from metseg.runtime.progress import track
from metseg.volume import BRAIN_MASK, Case

#: Training checks how well images align; the fingerprint does not, since no registration is configured yet.
LIMITS = ("least_head_overlap", "least_coverage", "least_mutual_information")
#: Preprocessing before a case is measured. Without registration, which changes no size.
STEPS = check_steps(
    (
        Named(name="align", options={"method": "resample", **dict.fromkeys(LIMITS, 0)}),
        Named(name="brain_mask", options={"otherwise": "head"}),
        Named(name="reorient"),
        Named(name="crop_to_head", options={"axes": "all"}),
    )
)
PERCENTILES = {"low": 0.5, "median": 50.0, "high": 99.5}


@dataclass(frozen=True)
class CaseFacts:
    """The measurements of one case. Axes are right, anterior, superior.

    Args:
        case_id, patient: identifiers.
        spacing_mm: of the reference.
        shape: (X, Y, Z) of the brain or head after cropping.
        share_kept: fraction of the file's voxels that cropping keeps.
        region: source of the brain region: file, nonzero, or head if no brain was found.
        one_grid: whether all images lie on the reference's grid.
        intensities: per sequence, mean, standard deviation and percentiles within the region, in the file's units.
        lesions_ml: volume of each connected lesion; None without truth.
        class_voxels: class id to voxels; None without truth.
    """

    case_id: str
    patient: str
    spacing_mm: tuple[float, float, float]
    shape: tuple[int, int, int]
    share_kept: float
    region: str
    one_grid: bool
    intensities: Mapping[str, Mapping[str, float]]
    lesions_ml: tuple[float, ...] | None = None
    class_voxels: Mapping[int, int] | None = None


@dataclass(frozen=True)
class Fingerprint:
    """The measurements of all cases, and the reason for each case that could not be read."""

    cases: tuple[CaseFacts, ...]
    problems: Mapping[str, str]

    @property
    def spacings_mm(self) -> list[tuple[float, float, float]]:
        return [case.spacing_mm for case in self.cases]

    @property
    def shapes(self) -> list[tuple[int, int, int]]:
        return [case.shape for case in self.cases]

    @property
    def lesions_ml(self) -> list[float]:
        """Return the volumes of all lesions, smallest first."""
        return sorted(volume for case in self.cases for volume in case.lesions_ml or ())

    @property
    def cases_by_class(self) -> Counter[int]:
        """Return class id to the number of cases that show it."""
        return Counter(value for case in self.cases for value in case.class_voxels or ())

    @property
    def sequences(self) -> Counter[str]:
        """Return sequence to the number of cases that have it."""
        return Counter(name for case in self.cases for name in case.intensities)

    def to_dict(self) -> dict[str, Any]:
        return {"cases": [asdict(case) for case in self.cases], "problems": dict(self.problems)}


def compute_fingerprint(sources: Sequence[CaseSource], data: DataPart, *, quiet: bool = False) -> Fingerprint:
    """Return the fingerprint of the cases; unreadable cases are listed separately.

    Args:
        sources: from `metseg.io.find_cases`.
        data: which images are read, and what the labels mean.
        quiet: show no progress.
    Raises:
        InputError: 2D pictures, which have no voxel size (``input.no_affine``); or no case can be read.
    """
    pictures = next((source for source in sources if source.slice_names), None)
    if pictures is not None:
        raise InputError(
            "pictures have no pixel size, so no plan can be made from them",
            where=pictures.case_id,
            expected="volumes: NIfTI or DICOM",
            cure="start from a shipped recipe for slices, such as lgg-fast",
            code="input.no_affine",
        )
    facts, problems, last = [], {}, None
    for source in track(sources, "Measuring", quiet=quiet):
        try:
            facts.append(case_facts(source.load(), data))
        except InputError as error:
            problems[source.case_id], last = error.data_set_line(), error
    if not facts and last is not None:
        raise last
    return Fingerprint(tuple(facts), problems)


def case_facts(case: Case, data: DataPart) -> CaseFacts:
    """Return the measurements of one case.

    Raises:
        InputError: it cannot be prepared, see `prepare_case`.
    """
    reference = case.images[reference_name(case, data)]
    if reference.affine is None:
        raise InputError(
            "the volume has no voxel size",
            where=case.case_id,
            cure="save the files with an affine",
            code="input.no_affine",
        )
    images = [image for name, image in case.images.items() if name != BRAIN_MASK]
    prepared = prepare_case(case, data, STEPS)
    assert prepared.affine is not None
    found = next(record.details["found"] for record in prepared.records if record.step == "brain_mask")
    lesions, voxels = _lesions(prepared)
    return CaseFacts(
        case_id=case.case_id,
        patient=case.patient,
        spacing_mm=_rounded(spacing_mm(prepared.affine)),
        shape=prepared.grid,
        share_kept=float(np.prod(prepared.grid) / reference.data.size),
        region=str(found),
        one_grid=all(same_grid(image.grid, reference.grid) for image in images),
        intensities=_intensities(prepared),
        lesions_ml=lesions,
        class_voxels=voxels,
    )


def _rounded(spacing: Iterable[float]) -> tuple[float, float, float]:
    """Return a spacing without the rounding errors of headers: 0.9999999 becomes 1."""
    x, y, z = (round(value, 5) for value in spacing)
    return x, y, z


def _intensities(prepared: Prepared) -> dict[str, dict[str, float]]:
    region = np.ones(prepared.grid, dtype=bool) if prepared.head is None else prepared.head
    return {
        name: _statistics(channel[region].astype(np.float32, copy=False))
        for name, channel in zip(prepared.modalities, prepared.image, strict=True)
        if region.any()
    }


def _statistics(values: npt.NDArray[np.float32]) -> dict[str, float]:
    found = np.percentile(values, list(PERCENTILES.values()))
    spread = {"mean": float(values.mean(dtype=np.float64)), "deviation": float(values.std(dtype=np.float64))}
    return spread | {name: float(value) for name, value in zip(PERCENTILES, found, strict=True)}


def _lesions(prepared: Prepared) -> tuple[tuple[float, ...] | None, dict[int, int] | None]:
    if prepared.labels is None or prepared.affine is None:
        return None, None
    instances, _ = label_instances(prepared.labels)
    volumes = lesion_volumes_ml(instances, prepared.affine)
    values, counts = np.unique(prepared.labels[prepared.labels > 0], return_counts=True)
    return tuple(volumes.tolist()), dict(zip(values.tolist(), counts.tolist(), strict=True))
