"""A layout of volumes: the files of a study, each with a role, are combined into one source."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from metseg.errors import InputError, UsageError
from metseg.io.case_source import refuse_duplicate_cases
from metseg.io.file_index import Tree
from metseg.io.layouts.layout import Findings, Layout, refuse_left_out
from metseg.io.patient_table import Owner, Owners, table_owners
from metseg.io.patients import attributes_of, patient_finder, read_attributes
from metseg.io.sequence_names import sequence_of
from metseg.io.timepoints import same_patients, same_patients_note
from metseg.io.volumes.image_files import ImageFile, stem_of
from metseg.io.volumes.study_source import asked_for
from metseg.io.volumes.volume_case import VolumeSource
from metseg.labels import LABEL_MAPS, NamedLabels
from metseg.message_text import examples_text, pluralize
from metseg.recipe import DataPart
from metseg.volume import BRAIN_MASK

#: The role of a mask of lesions; other roles are modalities, or `BRAIN_MASK`.
LESIONS = "lesions"

#: Why a file is a sequence, where the layout says it of every file.
NAMED_BY_LAYOUT = "assigned by the layout of the data set"


@dataclass(frozen=True)
class Study:
    """The study of a file.

    Args:
        case_id: names the outputs.
        patient: identifier; the same for every examination of a patient.
        place: path relative to the root; patient patterns are searched in it.
        timepoint: examination.
        attributes: what the layout says of the patient, as pairs.
        notes: one sentence each.
    """

    case_id: str
    patient: str
    place: PurePosixPath
    timepoint: str | None = None
    attributes: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class StudyFile:
    """A file and its role in a study.

    Args:
        study: the study that it belongs to.
        role: a modality, `LESIONS` or `BRAIN_MASK`.
        path: the file.
        channel: see `ImageFile`.
        schemes: for `LESIONS`, the label schemes it may have, the likeliest first.
        reason: why it has this role, in a clause; empty: the layout's naming defines it.
        table: the ``dataset.json`` that defines the file's content; None: its name defines it.
        labels: for `LESIONS`, the names of the values in that table; None: not given.
    """

    study: Study
    role: str
    path: Path
    channel: int | None = None
    schemes: tuple[str, ...] = ()
    reason: str = ""
    table: Path | None = None
    labels: NamedLabels | None = None


@dataclass(frozen=True)
class Listing:
    """Every file of a tree that has a role, and what was left out.

    Args:
        files: of the studies.
        unlabelled: of studies without masks that the data set keeps apart.
        nameless: files without a role that a study says itself are left out.
        other: files with a name of this layout that are neither images nor masks of ours (perfusion, derivatives).
    """

    files: tuple[StudyFile, ...]
    unlabelled: tuple[StudyFile, ...] = ()
    nameless: tuple[Path, ...] = ()
    other: tuple[Path, ...] = ()

    def left_out(self, tree: Tree) -> tuple[PurePosixPath, ...]:
        """Return the volumes of a tree that are not read."""
        known = {*(file.path for file in (*self.files, *self.unlabelled)), *self.nameless}
        return tuple(path for path in tree.volumes if tree.root / path not in known)

    def require_strays_only(self, tree: Tree) -> None:
        """Refuse a tree if more than a few stray files would be left out.

        A file is a stray where it lies in or below the folder of one study that is read. Elsewhere up to
        `MAX_STRAYS` files are, if none is named after a sequence: such a file is an image of a study.

        Raises:
            InputError: ``input.left_out``, naming the files.
        """
        elsewhere = [path for path in self.left_out(tree) if tree.root / path not in self.other]
        folders = self._study_folders(tree)
        elsewhere = [path for path in elsewhere if not folders & {path.parent, *path.parent.parents}]
        refuse_left_out(
            elsewhere, tree, "NIfTI file", images=any(sequence_of(stem_of(path.name)) for path in elsewhere)
        )

    def notes_on_left_out(self, tree: Tree) -> tuple[str, ...]:
        """Return a note on the files of a tree that are not read."""
        left = self.left_out(tree)
        if not left:
            return ()
        what = pluralize(len(left), "NIfTI file is", "NIfTI files are")
        return (f"{what} neither image nor mask by the names of this layout: {examples_text(left)}",)

    def _study_folders(self, tree: Tree) -> set[PurePosixPath]:
        """Return the folders below the root that hold files of one study and no other."""
        studies: dict[PurePosixPath, set[str]] = defaultdict(set)
        for file in (*self.files, *self.unlabelled):
            if file.path.is_relative_to(tree.root):  # masks of nnU-Net lie beside the folder of the images
                studies[PurePosixPath(file.path.relative_to(tree.root).parent.as_posix())].add(file.study.case_id)
        own = {folder for folder, cases in studies.items() if len(cases) == 1}
        return own - {PurePosixPath(".")}


@dataclass(frozen=True)
class VolumeLayout(Layout):
    """One layout of volumes.

    Args:
        is_arranged: returns whether a tree has this layout.
        list_files: returns the role of each file, and the files left out.
    """

    is_arranged: Callable[[Tree], bool]
    list_files: Callable[[Tree, DataPart], Listing]

    def matches(self, tree: Tree) -> bool:
        return tree.masks is None and bool(tree.volumes) and self.is_arranged(tree)

    def find(self, tree: Tree, data: DataPart) -> Findings:
        """Return each study as a case; a study of masks alone is an orphan."""
        listing = self.list_files(tree, data)
        if data.layout == "auto":
            listing.require_strays_only(tree)
        files = _by_study(listing.files)
        orphans = tuple(file.path for group in files.values() for file in group if not _has_image(group))
        groups = {study: group for study, group in files.items() if _has_image(group)}
        if not groups:
            raise InputError(
                "there are masks but no images",
                where=tree.root,
                got=pluralize(len(orphans), "mask"),
                cure="give the folder that holds the images too",
                code="input.layout",
            )
        refuse_duplicate_cases((study.case_id, study.place) for study in groups)
        unlabelled = _by_study(listing.unlabelled)
        owners = owners_of((*groups, *unlabelled), data, tree)

        def sources_of(some: Mapping[Study, Sequence[StudyFile]]) -> list[VolumeSource]:
            return [
                _asked(self._source(study, group, tree, owners.of[study.place]), group, data)
                for study, group in some.items()
            ]

        asked = sources_of(groups)
        notes = (*listing.notes_on_left_out(tree), *owners.notes, *_choices(asked, groups.values(), data))
        return Findings(_by_id(asked), orphans, notes, _by_id(sources_of(unlabelled)))

    def _source(self, study: Study, group: Sequence[StudyFile], tree: Tree, owner: Owner) -> VolumeSource:
        images: dict[str, ImageFile] = {}
        twins: dict[str, tuple[Path, ...]] = {}
        for file in group:
            if file.role == LESIONS or file.role == BRAIN_MASK:
                continue
            if file.role in images:
                twins[file.role] = (*twins.get(file.role, ()), file.path)
            images.setdefault(file.role, ImageFile(file.path, file.channel, file.reason or NAMED_BY_LAYOUT))
        brains = [file.path for file in group if file.role == BRAIN_MASK]
        return VolumeSource(
            study.case_id,
            owner.patient,
            tree.root,
            timepoint=study.timepoint or owner.timepoint,
            attributes={**dict(study.attributes), **owner.attributes},
            fold=owner.fold,
            images=images,
            brain_mask=brains[0] if len(brains) == 1 else None,
            twins=twins,
            table=next((file.table for file in group if file.table is not None), None),
            notes=(*study.notes, *_ambiguous(brains, "brain masks")),
        )


def _by_study(files: Iterable[StudyFile]) -> dict[Study, list[StudyFile]]:
    groups: dict[Study, list[StudyFile]] = defaultdict(list)
    for file in files:
        groups[file.study].append(file)
    return groups


def _by_id(sources: Iterable[VolumeSource]) -> tuple[VolumeSource, ...]:
    return tuple(sorted(sources, key=lambda source: source.case_id))


def _has_image(group: Iterable[StudyFile]) -> bool:
    return any(file.role not in (LESIONS, BRAIN_MASK) for file in group)


def owners_of(studies: Sequence[Study], data: DataPart, tree: Tree) -> Owners:
    """Return the patients of studies: from the table or the pattern of `data`, else from the layout.

    Patient names that differ only in a date are one patient.
    """
    if data.patients is not None:
        names = {study.place: (str(study.place), study.case_id, study.place.name) for study in studies}
        return table_owners(names, data.patients, tree.root)
    table = read_attributes(tree.root)
    pattern = data.patient_pattern
    by_pattern = None if pattern is None else patient_finder((), pattern, root=tree.root)
    merged = same_patients(study.patient for study in studies) if by_pattern is None else {}
    owners = {}
    for study in studies:
        patient, time = merged.get(study.patient, (study.patient, None))
        patient = patient if by_pattern is None else by_pattern(study.place)
        row = attributes_of((study.case_id, study.place.name, study.patient, patient), table)
        owners[study.place] = Owner(patient, None, row, timepoint=time)
    return Owners(owners, same_patients_note(merged))


def _asked(source: VolumeSource, group: Sequence[StudyFile], data: DataPart) -> VolumeSource:
    """Return the source with the mask that serves what is asked for, and reading what is asked for."""
    masks = _fitting([file for file in group if file.role == LESIONS], data)
    if len(masks) == 1:
        source = replace(source, mask=masks[0].path)
    else:
        notes = _ambiguous([mask.path for mask in masks], "masks of lesions")
        source = replace(source, notes=(*source.notes, *notes))
    try:
        mask = masks[0] if len(masks) == 1 else None
        return asked_for(
            source, data, schemes=() if mask is None else mask.schemes, labels=None if mask is None else mask.labels
        )
    except UsageError as error:
        raise UsageError(
            error.what, where=source.mask, expected=error.expected, cure=error.cure, code=error.code
        ) from None


def _fitting(masks: Sequence[StudyFile], data: DataPart) -> list[StudyFile]:
    """Return the masks of the scheme declared, else of the scheme wanted, else of one that becomes it, else all."""
    if len(masks) < 2:
        return list(masks)
    becoming = tuple(files for files, wanted in LABEL_MAPS if wanted == data.labels)
    for schemes in ((data.file_labels,), (data.labels,), becoming):
        fitting = [mask for mask in masks if set(schemes) & set(mask.schemes)]
        if fitting:
            return fitting
    return list(masks)


def _choices(asked: Iterable[VolumeSource], groups: Iterable[Sequence[StudyFile]], data: DataPart) -> tuple[str, ...]:
    """Return a note on which masks were left out where studies have several, and which were read in all."""
    taken: Counter[str] = Counter()
    left: Counter[str] = Counter()
    for source, group in zip(asked, groups, strict=True):
        if source.mask is not None:
            masks = [file.path for file in group if file.role == LESIONS]
            taken[_ending(source.mask, source.case_id)] += 1
            left.update(_ending(path, source.case_id) for path in masks if path != source.mask)
    if not left:
        return ()
    read, unread = (
        ", ".join(f"{name} ({pluralize(count, 'case')})" for name, count in sorted(endings.items()))
        for endings in (taken, left)
    )
    return (f"{unread}: masks of labels '{data.labels}' were read from {read}",)


def _ending(path: Path, case: str) -> str:
    """Return what a file is called in every case: ``*_seg.nii.gz``."""
    return f"*{path.name.removeprefix(case)}"


def _ambiguous(paths: Sequence[Path], what: str) -> tuple[str, ...]:
    """Return a note on several files of one kind: none is read, because the choice is ambiguous."""
    if len(paths) < 2:
        return ()
    return (f"{len(paths)} files look like {what} ({', '.join(path.name for path in paths)}): none was read",)
