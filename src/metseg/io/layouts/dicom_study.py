"""DICOM studies that read what a recipe asks for. Apart from the layout, so that pydicom is imported only for DICOM."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

from metseg.io.brain_masks import read_brain_mask
from metseg.io.dicom import DicomStudySource, find_studies
from metseg.io.dicom.study import Override
from metseg.io.volumes import require_sequences
from metseg.recipe import DataPart
from metseg.volume import BRAIN_MASK, Case


@dataclass(frozen=True)
class AskedStudy(DicomStudySource):
    """A study of which certain sequences are wanted.

    Args:
        wanted: the modalities that are read, in this order; empty: all that were recognised.
        optional: those of them that may be missing.
        brain_mask: NIfTI file of a brain mask on the grid of one of the series, or None.
    """

    wanted: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    brain_mask: Path | None = None

    @property
    def files(self) -> tuple[Path, ...]:
        return (*super().files, *(() if self.brain_mask is None else (self.brain_mask,)))

    def load(self) -> Case:
        """Read the sequences wanted.

        Raises:
            InputError: ``input.missing_sequence``; else as `DicomStudySource.load`.
            GeometryError: the brain mask lies on no image's grid.
        """
        require_sequences(self.case_id, self.modalities, wanted=self.wanted, optional=self.optional, remarks=self.notes)
        case = super().load()
        if self.brain_mask is None:
            return case
        brain = read_brain_mask(self.brain_mask, case.images)
        return replace(case, images={**case.images, BRAIN_MASK: brain})


def studies_asked_for(
    root: Path | Sequence[Path],
    data: DataPart,
    *,
    overrides: Mapping[str, Override] | None = None,
    tell: Callable[[str], None] | None = None,
) -> tuple[AskedStudy, ...]:
    """Return the studies under a folder, in an archive or among files, sorted by id.

    Args:
        root: the folder, the archive or the files.
        data: which sequences are read, and whether slices may be missing.
        overrides, tell: as for `metseg.io.dicom.find_studies`.
    """
    found = find_studies(root, overrides=overrides, allow_gaps=data.allow_gaps, tell=tell)
    studies = (_asked(study, data) for study in found)
    return tuple(sorted(studies, key=lambda study: study.case_id))


def _asked(study: DicomStudySource, data: DataPart) -> AskedStudy:
    found = {field.name: getattr(study, field.name) for field in fields(study)}
    series = {name: study.series[name] for name in data.inputs or study.series if name in study.series}
    return AskedStudy(**{**found, "series": series}, wanted=data.inputs, optional=data.optional)
