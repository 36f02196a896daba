"""Inspect a data set of volumes before training: the content and the errors of each study."""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

from metseg.io.case_discovery import FoundCases
from metseg.io.case_source import CaseSource
from metseg.io.inspection.slice_inspection import Problem, attribute_counts, problem_of, ranked, relative_name
from metseg.io.volumes.volume_case import VolumeSource
from metseg.io.volumes.volume_stats import StudyFacts, study_facts
from metseg.runtime.progress import track
from metseg.runtime.system_info import processors

#: Studies read at once; each is held in memory whole.
MAX_THREADS = 4


@dataclass(frozen=True)
class SequenceLine:
    """One sequence of one study; see `metseg.io.volumes.volume_stats.ImageFacts`."""

    shape: tuple[int, int, int]
    spacing_mm: tuple[float, ...]
    orientation: str
    dtype: str
    grid: int
    constant: bool


@dataclass(frozen=True)
class CaseLine:
    """One study.

    Args:
        case, patient, timepoint: identifiers.
        sequences: modality to its statistics.
        missing: sequences that are wanted, or that other studies have, and this one has not.
        grids: on how many different grids the sequences lie.
        has_mask: whether there is a mask that can be read.
        label_values: class id in the file to number of voxels.
        class_ml: class to volume in mL.
        lesion_ml: volume of each lesion in mL, the largest first.
        notes: remarks while reading.
        problems: errors.
    """

    case: str
    patient: str
    timepoint: str | None
    sequences: dict[str, SequenceLine] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    grids: int = 0
    has_mask: bool = False
    label_values: dict[int, int] = field(default_factory=dict)
    class_ml: dict[str, float] = field(default_factory=dict)
    lesion_ml: list[float] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


@dataclass(frozen=True)
class VolumeInspection:
    """Summary of a data set of volumes.

    Args:
        root, layout: location and layout.
        patients, cases: counts.
        repeated: patients with several examinations, and how many.
        masks, lesions: how many masks and lesions in all of them.
        lesion_ml: smallest, median and largest volume of a lesion in mL; empty without any.
        cases_without_lesion: studies with an empty mask.
        sequences, shapes, spacings_mm, orientations, dtypes: how many images are so.
        label_values: class id to the number of studies that show it.
        cases_on_several_grids: studies with sequences on different grids, which need registration.
        constant_images: "case sequence" of images of a single value.
        duplicates: groups of "case sequence" of different patients with the same voxels.
        orphan_masks: masks without an image.
        left_out: files that the layout left out, with the reason.
        attributes: column to how many patients have each value.
        other_files: ending to number of the files that are no volumes.
        case_lines: every study.
    """

    root: str
    layout: str
    patients: int
    cases: int
    repeated: dict[str, int]
    masks: int
    lesions: int
    lesion_ml: list[float]
    cases_without_lesion: list[str]
    sequences: dict[str, int]
    shapes: dict[str, int]
    spacings_mm: dict[str, int]
    orientations: dict[str, int]
    dtypes: dict[str, int]
    label_values: dict[int, int]
    cases_on_several_grids: list[str]
    constant_images: list[str]
    duplicates: list[list[str]]
    orphan_masks: list[str]
    left_out: list[str]
    attributes: dict[str, dict[str, int]]
    other_files: dict[str, int]
    case_lines: list[CaseLine]

    @property
    def problems(self) -> list[Problem]:
        """Return the errors of all studies."""
        return [problem for line in self.case_lines for problem in line.problems]

    @property
    def all_wrong(self) -> bool:
        """Return whether every study has an error."""
        return all(line.problems for line in self.case_lines)

    def to_dict(self) -> dict[str, Any]:
        """Return the inspection as a JSON document."""
        return asdict(self)


class Row(NamedTuple):
    """One study with its statistics."""

    source: CaseSource
    facts: StudyFacts


def inspect_volumes(found: FoundCases, *, quiet: bool = False) -> VolumeInspection:
    """Return the summary of a data set of volumes. Reads every file completely; damaged files do not stop the others.

    Args:
        found: from `metseg.io.case_discovery.find`.
        quiet: show no progress.
    """
    rows = _read(found.sources, quiet=quiet)
    lines = _case_lines(rows, found)
    images = [image for line in lines for image in line.sequences.values()]
    lesions = sorted(ml for line in lines for ml in line.lesion_ml)
    examinations = Counter(line.patient for line in lines)
    return VolumeInspection(
        root=str(found.tree.root),
        layout=found.layout,
        patients=len(examinations),
        cases=len(lines),
        repeated={patient: count for patient, count in sorted(examinations.items()) if count > 1},
        masks=sum(line.has_mask for line in lines),
        lesions=len(lesions),
        lesion_ml=[lesions[0], statistics.median(lesions), lesions[-1]] if lesions else [],
        cases_without_lesion=[line.case for line in lines if line.has_mask and not line.lesion_ml],
        sequences=ranked(name for line in lines for name in line.sequences),
        shapes=ranked(" x ".join(map(str, image.shape)) for image in images),
        spacings_mm=ranked(" x ".join(f"{mm:.3g}" for mm in image.spacing_mm) for image in images),
        orientations=ranked(image.orientation for image in images),
        dtypes=ranked(image.dtype for image in images),
        label_values=dict(sorted(ranked(value for line in lines for value in line.label_values).items())),
        cases_on_several_grids=[line.case for line in lines if line.grids > 1],
        constant_images=[f"{line.case} {name}" for line in lines for name, i in line.sequences.items() if i.constant],
        duplicates=_duplicates(rows),
        orphan_masks=[relative_name(path, found) for path in found.orphan_masks],
        left_out=list(found.notes),
        attributes=attribute_counts(found.sources),
        other_files=_other_files(found),
        case_lines=lines,
    )


def _read(sources: Sequence[CaseSource], *, quiet: bool) -> list[Row]:
    """Read every study, in threads: decompression, sums and checksums let go of the interpreter."""
    with ThreadPoolExecutor(min(MAX_THREADS, processors())) as pool:
        facts = track(pool.map(study_facts, sources), "Reading", total=len(sources), quiet=quiet)
        return [Row(source, seen) for source, seen in zip(sources, facts, strict=True)]


def _case_lines(rows: Sequence[Row], found: FoundCases) -> list[CaseLine]:
    usual = list(dict.fromkeys(name for row in rows for name in _sequences(row)))
    return [_case_line(row, usual, found) for row in rows]


def _sequences(row: Row) -> tuple[str, ...]:
    return tuple(row.source.images) if isinstance(row.source, VolumeSource) else tuple(row.facts.images)


def _case_line(row: Row, usual: Sequence[str], found: FoundCases) -> CaseLine:
    source, facts = row
    wanted = (source.wanted if isinstance(source, VolumeSource) else ()) or usual
    present = _sequences(row)
    return CaseLine(
        case=source.case_id,
        patient=source.patient,
        timepoint=source.timepoint,
        sequences={
            name: SequenceLine(i.shape, i.spacing_mm, i.orientation, i.dtype, i.grid, i.constant)
            for name, i in facts.images.items()
        },
        missing=[name for name in wanted if name not in present],
        grids=len({image.grid for image in facts.images.values()}),
        has_mask=facts.has_mask,
        label_values=dict(facts.label_values),
        class_ml={name: round(ml, 4) for name, ml in facts.class_ml.items()},
        lesion_ml=[round(ml, 4) for ml in facts.lesion_ml],
        notes=list(facts.notes),
        problems=[problem_of(error, found) for error in facts.errors],
    )


def _duplicates(rows: Sequence[Row]) -> list[list[str]]:
    same: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for source, facts in rows:
        for name, image in facts.images.items():
            if image.digest is not None:
                same[image.digest].append((source.patient, f"{source.case_id} {name}"))
    groups = [group for group in same.values() if len({patient for patient, _ in group}) > 1]
    return sorted([name for _, name in group] for group in groups)


def _other_files(found: FoundCases) -> dict[str, int]:
    """Return ending -> number of the files beside the volumes; DICOM files that are read are none of them."""
    read = {path for source in found.sources for path in source.files}
    paths = [path for path in (*found.tree.pictures, *found.tree.rest) if found.tree.root / path not in read]
    return dict(sorted(Counter(path.suffix.lower() or "(none)" for path in paths).items()))
