"""Folders with several file formats: read NIfTI beside DICOM, and report files that are not read."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from metseg.errors import InputError, UsageError
from metseg.io.case_source import CaseSource
from metseg.io.file_index import Tree
from metseg.io.layouts import LAYOUTS
from metseg.io.layouts.dicom_layout import DICOM, holds_dicom
from metseg.io.layouts.layout import Findings, Layout, refuse_left_out
from metseg.io.layouts.slice_layout import SliceLayout
from metseg.io.layouts.volume_layout import VolumeLayout
from metseg.io.sequence_names import is_brain_mask
from metseg.io.volumes.image_files import stem_of
from metseg.message_text import examples_text, pluralize
from metseg.recipe import DataPart

if TYPE_CHECKING:
    from metseg.io.dicom.study_case import Override

#: Endings of volumes in formats that are not read.
UNREAD_ENDINGS = frozenset(
    (".nrrd", ".nhdr", ".mha", ".mhd", ".mgz", ".mgh", ".hdr", ".img", ".mnc", ".par", ".rec", ".head", ".brik")
)


#: How many studies of a kind are named in a note.
_NAMED = 4


def find_in_layout(
    tree: Tree, name: str, data: DataPart, *, overrides: Mapping[str, Override] | None = None
) -> Findings:
    """Return the cases of a layout, DICOM studies that lie beside NIfTI files, and notes on what is not read.

    Args:
        tree: what lies there.
        name: of the layout.
        data: what is read of it. With a layout named there, files of other kinds are left out with a note.
        overrides: for DICOM studies, see `metseg.io.dicom.find_studies`.
    Raises:
        InputError: ``input.left_out``, more than stray files of another kind would not be read; else as `Layout.find`.
    """
    layout = LAYOUTS[name]
    if layout is DICOM and data.patients is not None:
        raise UsageError(
            "a patient table cannot be used with DICOM",
            where=data.patients,
            got="DICOM files, which identify the patient in their headers",
            cure="remove the patient table",
        )
    if layout is DICOM:
        found = DICOM.find(tree, data, overrides=overrides)
    elif isinstance(layout, VolumeLayout) and data.layout == "auto" and _has_dicom(tree):
        found = _both(tree, layout, data, overrides)
    else:
        found = layout.find(tree, data)
    return replace(found, notes=(*found.notes, *other_kinds(tree, layout, data)))


def other_kinds(tree: Tree, layout: Layout, data: DataPart) -> tuple[str, ...]:
    """Return notes on files of kinds that a layout does not read.

    Raises:
        InputError: ``input.left_out``, pictures would hide a data set of volumes or a DICOM study.
    """
    notes = [*_unread(tree)]
    if isinstance(layout, SliceLayout):
        hidden = {"NIfTI file": tree.volumes, "DICOM file": tree.rest if _has_dicom(tree) else ()}
        for what, paths in hidden.items():
            if data.layout == "auto":
                refuse_left_out(paths, tree, what)
            notes += _not_read(paths, what)
    else:
        notes += _not_read(tree.pictures, "picture")
    if layout is DICOM:
        notes += _not_read(tree.volumes, "NIfTI file")
    return tuple(notes)


def _has_dicom(tree: Tree) -> bool:
    return tree.masks is None and bool(tree.rest) and holds_dicom(*(tree.root / path for path in tree.rest))


def _both(tree: Tree, layout: VolumeLayout, data: DataPart, overrides: Mapping[str, Override] | None) -> Findings:
    """Return the studies of NIfTI files and of DICOM, with notes on NIfTI files that belong to no study."""
    reason = ""
    try:
        volumes = layout.find(tree, data)
        masks = [path for path in _brain_masks(tree) if path in volumes.orphan_masks]
    except InputError as error:
        if error.code != "input.layout":
            raise
        # Masks alone, or names that say nothing: the images are the DICOM study.
        reason, volumes, masks = error.what, Findings(()), _brain_masks(tree)
    dicom = DICOM.find(tree, data, overrides=overrides, beside=True, brain_masks=masks)
    read = {file for source in dicom.sources for file in source.files}
    volumes = replace(volumes, orphan_masks=tuple(path for path in volumes.orphan_masks if path not in read))
    rest = [path for path in tree.volumes if tree.root / path not in read]
    if reason and rest:
        note = f"{pluralize(len(rest), 'NIfTI file')} not read beside DICOM: {reason}: {examples_text(rest)}"
        volumes = replace(volumes, notes=(note,))
    sources: list[CaseSource] = sorted((*volumes.sources, *dicom.sources), key=lambda source: source.case_id)
    both = _twice(volumes.sources, dicom.sources, tree.root) if volumes.sources else ()
    return replace(volumes, sources=tuple(sources), notes=(*volumes.notes, *dicom.notes, *both))


def _brain_masks(tree: Tree) -> list[Path]:
    return [tree.root / path for path in tree.volumes if is_brain_mask(stem_of(path.name))]


def _twice(volumes: Sequence[CaseSource], dicom: Sequence[CaseSource], root: Path) -> tuple[str, ...]:
    """Return a note on studies that may be there twice, as DICOM and converted: their patients cannot be compared.

    Pixels are not read here; see `metseg.io.duplicate_images`.
    """
    of_files, of_dicom = pluralize(len(volumes), "study", "studies"), pluralize(len(dicom), "study", "studies")
    return (
        f"{of_files} of NIfTI files ({_cases_at(volumes, root)}) and {of_dicom} of DICOM ({_cases_at(dicom, root)}) are"
        f" read as different patients; {_probable(volumes, dicom)}"
        "if they are the same examinations, keep one of the two",
    )


def _probable(volumes: Sequence[CaseSource], dicom: Sequence[CaseSource]) -> str:
    """Return a clause on studies that lie in one folder, or one below the other; empty if there are none."""
    pairs = [
        (one, other)
        for one in volumes
        for other in dicom
        if _folder(one).is_relative_to(_folder(other)) or _folder(other).is_relative_to(_folder(one))
    ]
    # A file above several studies, or beside several files, belongs to none of them in particular.
    times = Counter(source.case_id for pair in pairs for source in pair)
    alone = [(one, other) for one, other in pairs if times[one.case_id] == times[other.case_id] == 1]
    if not alone:
        return ""
    named = examples_text([f"{one.case_id} and {other.case_id}" for one, other in alone])
    return f"{named} probably are one examination, because one lies in the folder of the other; "


def _folder(source: CaseSource) -> Path:
    """Return the folder that holds all files of a study."""
    return Path(os.path.commonpath([file.parent for file in source.files]))


def _cases_at(sources: Sequence[CaseSource], root: Path) -> str:
    """Return the first few cases and the folders that hold their files."""
    named = [f"{source.case_id} in {_folder_name(_folder(source), root)}" for source in sources[:_NAMED]]
    more = [f"and {len(sources) - _NAMED} more"] if len(sources) > _NAMED else []
    return ", ".join([*named, *more])


def _folder_name(folder: Path, root: Path) -> str:
    """Return a folder by its path below the root, or the root by its name."""
    below = folder.relative_to(root)
    return f"the folder {below.as_posix()}" if below.parts else f"the folder {root.resolve().name} itself"


def _unread(tree: Tree) -> Iterator[str]:
    by_ending: dict[str, list[PurePosixPath]] = defaultdict(list)
    for path in tree.rest:
        if path.suffix.lower() in UNREAD_ENDINGS:
            by_ending[path.suffix.lower()].append(path)
    for ending, paths in by_ending.items():
        yield from _not_read(paths, f"{ending} file")


def _not_read(paths: Sequence[PurePosixPath], what: str) -> Iterator[str]:
    if paths:
        yield f"{pluralize(len(paths), what)} not read: {examples_text(paths)}"
