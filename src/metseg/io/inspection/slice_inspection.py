"""Inspect a data set of slices before training: its content, missing files and duplicates."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from metseg.errors import MetsegError
from metseg.io.case_discovery import FoundCases
from metseg.io.case_source import CaseSource
from metseg.io.images.slice_stack import SliceFile, SliceStackSource
from metseg.io.images.slice_stats import SliceFacts, slice_facts
from metseg.labels import LABEL_SCHEMES
from metseg.registry import lookup
from metseg.runtime.progress import track
from metseg.runtime.system_info import processors

#: A column with more values than this is reported by their number.
MAX_VALUES = 12


@dataclass(frozen=True)
class Problem:
    """An unusable file and the reason."""

    file: str
    code: str
    message: str


@dataclass(frozen=True)
class Inspection:
    """Summary of a data set of slices. Names of slices are relative paths without extension.

    Args:
        root, layout: location and layout.
        patients, cases, slices: counts.
        cases_wrong: how many cases have a file that cannot be used.
        lesion_slices, empty_masks, slices_without_mask: how many slices are so.
        patients_without_lesion: patients without lesion in any mask.
        sizes, dtypes, channels: how many slices have each.
        channel_copies: "ch0 = ch1" to the patients with these channels equal in all slices.
        constant_pictures: slices of a single value.
        label_values: class id to the number of slices that show it.
        orphan_images: slices without a mask in cases that have masks.
        orphan_masks: masks without an image.
        left_out: files that belong to no case, with the reason.
        duplicates: groups of slices of different patients with the same pixels.
        problems: files that cannot be used.
        notes: conversions while reading, with the number of slices.
        attributes: column of the table of patients to how many patients have each value.
        other_files: ending to number of the files that are no pictures.
        largest_lesion: patient to the slice with most lesion pixels, or the middle one where there is no lesion.
    """

    root: str
    layout: str
    patients: int
    cases: int
    slices: int
    lesion_slices: int
    empty_masks: int
    slices_without_mask: int
    cases_wrong: int = 0
    patients_without_lesion: list[str] = field(default_factory=list)
    sizes: dict[str, int] = field(default_factory=dict)
    dtypes: dict[str, int] = field(default_factory=dict)
    channels: dict[int, int] = field(default_factory=dict)
    channel_copies: dict[str, list[str]] = field(default_factory=dict)
    constant_pictures: list[str] = field(default_factory=list)
    label_values: dict[int, int] = field(default_factory=dict)
    orphan_images: list[str] = field(default_factory=list)
    orphan_masks: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    duplicates: list[list[str]] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    notes: dict[str, int] = field(default_factory=dict)
    attributes: dict[str, dict[str, int]] = field(default_factory=dict)
    other_files: dict[str, int] = field(default_factory=dict)
    largest_lesion: dict[str, str] = field(default_factory=dict)

    @property
    def all_wrong(self) -> bool:
        """Return whether every case has an error."""
        return self.cases_wrong == self.cases

    def to_dict(self) -> dict[str, Any]:
        """Return the inspection as a JSON document."""
        return asdict(self)


class Row(NamedTuple):
    """One slice with its statistics."""

    source: SliceStackSource
    piece: SliceFile
    facts: SliceFacts


def inspect_cases(found: FoundCases, *, quiet: bool = False) -> Inspection:
    """Return the summary of a data set. Reads every image and mask; damaged files do not stop the others.

    Args:
        found: from `metseg.io.case_discovery.find`.
        quiet: show no progress.
    """
    sources = [source for source in found.sources if isinstance(source, SliceStackSource)]
    rows = _read(sources, quiet=quiet)
    lesions = [row for row in rows if row.facts.lesion_pixels > 0]
    masked = [row for row in rows if row.facts.has_mask]
    patients = sorted({row.source.patient for row in rows})
    with_truth = {row.source.patient for row in masked}
    good = [row for row in rows if row.facts.size is not None]
    return Inspection(
        root=str(found.tree.root),
        layout=found.layout,
        patients=len(patients),
        cases=len(found.sources),
        slices=len(rows),
        lesion_slices=len(lesions),
        empty_masks=len(masked) - len(lesions),
        slices_without_mask=sum(row.piece.mask is None for row in rows),
        cases_wrong=len({row.source.case_id for row in rows if row.facts.errors}),
        patients_without_lesion=sorted(with_truth - {row.source.patient for row in lesions}),
        sizes=ranked(row.facts.size for row in good),
        dtypes=ranked(row.facts.dtype for row in good),
        channels=ranked(row.facts.channels for row in good),
        channel_copies=_channel_copies(rows),
        constant_pictures=[row.piece.name for row in rows if row.facts.constant],
        label_values=dict(sorted(ranked(value for row in rows for value in row.facts.classes).items())),
        orphan_images=[row.piece.name for row in rows if row.piece.mask is None and row.source.has_labels],
        orphan_masks=[relative_name(path, found) for path in found.orphan_masks],
        left_out=list(found.notes),
        duplicates=_duplicates(rows),
        problems=_problems(rows, found),
        notes=ranked(note for row in rows for note in row.facts.notes),
        attributes=attribute_counts(found.sources),
        other_files=dict(sorted(found.tree.others.items())),
        largest_lesion=_largest_lesion(rows),
    )


def _read(sources: Sequence[SliceStackSource], *, quiet: bool) -> list[Row]:
    """Read every slice, in threads: decoders and checksums let go of the interpreter."""
    pairs = [(source, piece) for source in sources for piece in source.slices]
    schemes = {source.labels: lookup("label scheme", LABEL_SCHEMES, source.labels) for source in sources}

    def row(pair: tuple[SliceStackSource, SliceFile]) -> Row:
        return Row(*pair, slice_facts(pair[1], schemes[pair[0].labels]))

    with ThreadPoolExecutor(processors()) as pool:
        return list(track(pool.map(row, pairs), "Reading", total=len(pairs), quiet=quiet))


def ranked(values: Iterable[Any]) -> dict[Any, int]:
    """Return value -> count, the most frequent first."""
    return dict(Counter(values).most_common())


def _channel_copies(rows: Sequence[Row]) -> dict[str, list[str]]:
    """Return "ch0 = ch1" -> patients: a pair counts where it is equal in every slice that is not constant."""
    equal: dict[str, list[frozenset[tuple[int, int]]]] = defaultdict(list)
    names: dict[str, tuple[str, ...]] = {}
    for source, _, facts in rows:
        if facts.channels > 1 and not facts.constant:
            equal[source.patient].append(frozenset(facts.copies))
            fits = len(source.channels) == facts.channels
            names[source.patient] = source.channels if fits else tuple(f"ch{c}" for c in range(facts.channels))
    copies: dict[str, list[str]] = defaultdict(list)
    for patient in sorted(equal):
        for one, two in sorted(frozenset.intersection(*equal[patient])):
            copies[f"{names[patient][one]} = {names[patient][two]}"].append(patient)
    return dict(sorted(copies.items()))


def _duplicates(rows: Sequence[Row]) -> list[list[str]]:
    same: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if row.facts.digest is not None:
            same[row.facts.digest].append(row)
    groups = [group for group in same.values() if len({row.source.patient for row in group}) > 1]
    return sorted([row.piece.name for row in group] for group in groups)


def _problems(rows: Sequence[Row], found: FoundCases) -> list[Problem]:
    return [problem_of(error, found) for row in rows for error in row.facts.errors]


def problem_of(error: MetsegError, found: FoundCases) -> Problem:
    """Return an error as a line of the inspection, its file relative to the data set."""
    where = relative_name(Path(str(error.where)), found)
    return Problem(where, error.code, error.data_set_line().removeprefix(f"{error.where}: "))


def relative_name(path: Path, found: FoundCases) -> str:
    """Return a path relative to the data set's root or its masks' root; the name of a single file that is the root."""
    roots = [found.tree.root] + ([found.tree.masks.root] if found.tree.masks else [])
    for root in roots:
        if path.is_relative_to(root):
            return path.name if path == root else path.relative_to(root).as_posix()
    return str(path)


def attribute_counts(sources: Sequence[CaseSource]) -> dict[str, dict[str, int]]:
    """Return column -> value -> number of patients; a column of many values is reported by their number."""
    of_patient: Mapping[str, Mapping[str, str]] = {source.patient: source.attributes for source in sources}
    columns = dict.fromkeys(column for row in of_patient.values() for column in row)
    found: dict[str, dict[str, int]] = {}
    for column in columns:
        counts = ranked(row.get(column, "") or "(none)" for row in of_patient.values())
        found[column] = counts if len(counts) <= MAX_VALUES else {f"({len(counts)} different values)": len(of_patient)}
    return found


def _largest_lesion(rows: Sequence[Row]) -> dict[str, str]:
    of_patient: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if row.facts.size is not None:
            of_patient[row.source.patient].append(row)
    chosen = {}
    for patient, group in sorted(of_patient.items()):
        best = max(group, key=lambda row: row.facts.lesion_pixels)
        chosen[patient] = (best if best.facts.lesion_pixels else group[len(group) // 2]).piece.name
    return chosen
