"""DICOM studies that read a recipe's sequences. Separate from the layout so that pydicom is imported only for DICOM."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

from metseg.errors import GeometryError
from metseg.io.dicom import DicomStudySource, find_studies
from metseg.io.dicom.study_case import Override
from metseg.io.volumes.brain_masks import read_brain_mask
from metseg.io.volumes.volume_case import require_sequences
from metseg.recipe import DataPart
from metseg.volume import BRAIN_MASK, Case


@dataclass(frozen=True)
class AskedStudy(DicomStudySource):
    """A study restricted to certain sequences.

    Args:
        wanted: the modalities that are read, in this order; empty: all that were recognised.
        optional: those of them that may be missing.
        brain_mask: NIfTI file of a brain mask on the grid of one of the series, or None.
        is_mask_found: whether the mask was found beside the study and not named; where it lies on no grid of the
            study, it is left out with a warning.
    """

    wanted: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    brain_mask: Path | None = None
    is_mask_found: bool = False

    def with_brain_mask(self, path: Path | None) -> AskedStudy:
        """Return the study with the given brain mask, or with none, instead of a detected one."""
        return replace(self, brain_mask=path, is_mask_found=False)

    @property
    def files(self) -> tuple[Path, ...]:
        return (*super().files, *(() if self.brain_mask is None else (self.brain_mask,)))

    def load(self) -> Case:
        """Read the wanted sequences.

        Raises:
            InputError: ``input.missing_sequence``; else as `DicomStudySource.load`.
            GeometryError: the brain mask lies on no image's grid.
        """
        require_sequences(self.case_id, self.modalities, wanted=self.wanted, optional=self.optional, remarks=self.notes)
        case = super().load()
        if self.brain_mask is None:
            return case
        try:
            brain = read_brain_mask(self.brain_mask, case.images)
        except GeometryError as error:
            if not self.is_mask_found:
                raise
            warning = f"{self.brain_mask.name} beside the study is not used: {error.what}"
            return replace(case, warnings=(*case.warnings, warning))
        notes = (f"{self.brain_mask.name} beside the study is its brain mask",) if self.is_mask_found else ()
        return replace(case, images={**case.images, BRAIN_MASK: brain}, warnings=(*case.warnings, *notes))


def with_masks_beside(studies: Iterable[AskedStudy], masks: Iterable[Path], root: Path) -> tuple[AskedStudy, ...]:
    """Return the studies with the brain masks that lie beside them.

    A mask belongs to the study with files in the mask's folder or below it, else in the nearest folder above, if that
    is one study, and it is the only mask of the study.

    Args:
        studies: as found.
        masks: NIfTI files called brain masks, below `root`.
        root: the folder that was searched.
    """
    by_id = {study.case_id: study for study in studies}
    found: dict[str, list[Path]] = defaultdict(list)
    for mask in masks:
        beside = _studies_beside(mask, by_id.values(), root)
        if len(beside) == 1:
            found[beside[0].case_id].append(mask)
    for case_id, own in found.items():
        if len(own) == 1:
            by_id[case_id] = replace(by_id[case_id], brain_mask=own[0], is_mask_found=True)
    return tuple(by_id.values())


def _studies_beside(mask: Path, studies: Iterable[AskedStudy], root: Path) -> list[AskedStudy]:
    folder = mask.parent
    while True:
        beside = [study for study in studies if any(path.is_relative_to(folder) for path in study.files)]
        if beside or folder == root:
            return beside
        folder = folder.parent


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
