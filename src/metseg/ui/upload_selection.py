"""Files chosen for upload: the kind and sequence of each, and complaints before sending.

This module reads file names, to propose kinds and sequences, and headers of pictures; the service checks the contents.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Final

from metseg.client.service_api import Part
from metseg.client.upload_files import is_clutter, is_no_image
from metseg.picture_channels import shows_one_image
from metseg.schemas import BRAIN_MASK, SEQUENCES, Kind, Model
from metseg.sequence_titles import sequence_title
from metseg.ui.display_text import KINDS, plain
from metseg.ui.page_settings import ReadNames, SequenceFromName

#: Kind by file extension; other files may be DICOM.
ENDINGS: Final[Mapping[str, Kind]] = {
    ".nii.gz": Kind.NIFTI,
    ".nii": Kind.NIFTI,
    ".png": Kind.PICTURE,
    ".tif": Kind.PICTURE,
    ".tiff": Kind.PICTURE,
    ".jpg": Kind.PICTURE,
    ".jpeg": Kind.PICTURE,
    ".webp": Kind.PICTURE,
    ".bmp": Kind.PICTURE,
    ".zip": Kind.ARCHIVE,
    ".dcm": Kind.DICOM,
    ".ima": Kind.DICOM,
}

#: In place of a sequence: the user does not want a file to be used.
NOT_USED: Final = "not used"
#: In place of a series: the sequence is left out; of `metseg.schemas.Options`.
LEFT_OUT: Final = "none"

#: A file name without extension, around its last number.
_LAST_NUMBER: Final = re.compile(r"(?P<before>.*?)(?P<number>\d{1,15})(?P<after>\D*)")

#: Uses of a model, with the values of `metseg.schemas.Model.default_for`.
PICTURES, VOLUMES = "pictures", "volumes"


@dataclass(frozen=True)
class ChosenFile:
    """One file to send.

    Args:
        name: the user's file name; shown, but not sent.
        content: bytes of the file.
        kind: kind by its extension.
        sequence: its sequence if known; `BRAIN_MASK` for a brain mask.
        reason: why, or why the name is ambiguous; empty if the name indicates nothing.
        is_doubtful: whether the name mentions sequences but is ambiguous.
        name_says: the sequence that its name indicates.
    """

    name: str
    content: bytes
    kind: Kind
    sequence: str | None = None
    reason: str = ""
    is_doubtful: bool = False
    name_says: str | None = None

    def with_sequence(self, sequence: str | None) -> ChosenFile:
        """Return the file with the sequence that the user confirmed or corrected."""
        return replace(self, sequence=sequence)


def ending_of(name: str) -> str:
    """Return the extension of a file name if it is in `ENDINGS`, else "".

    >>> ending_of("Scan.NII.GZ"), ending_of("IM0001")
    ('.nii.gz', '')
    """
    lowered = name.lower()
    return next((ending for ending in ENDINGS if lowered.endswith(ending)), "")


def last_part(name: str) -> str:
    """Return a file name without folders, which browsers include when the user chooses a folder."""
    return name.replace("\\", "/").rpartition("/")[2]


def choose(files: Sequence[tuple[str, bytes]], read_names: ReadNames) -> tuple[ChosenFile, ...]:
    """Return the images with the kinds and sequences that their names indicate, without texts, tables and clutter.

    Args:
        files: names and contents, in order.
        read_names: maps names without extensions to sequences or to `BRAIN_MASK`.
    """
    found = [
        ChosenFile(name, content, ENDINGS.get(ending_of(name), Kind.DICOM))
        for name, content in files
        if not is_clutter(PurePosixPath(last_part(name))) and not is_no_image(name)
    ]
    volumes = [file.name for file in found if file.kind == Kind.NIFTI]
    stems = [last_part(name)[: -len(ending_of(name))] for name in volumes]
    said = dict(zip(volumes, read_names(stems), strict=True))
    named = tuple(_as_named(file, said.get(file.name, SequenceFromName())) for file in found)
    numbers = picture_numbers(named)
    return (
        named if numbers is None else tuple(file for _, file in sorted(zip(numbers, named, strict=True), key=_number))
    )


def _number(numbered: tuple[int, ChosenFile]) -> int:
    return numbered[0]


def picture_numbers(files: Sequence[ChosenFile]) -> list[int] | None:
    """Return the slice numbers of pictures with names that differ only in their last number, from 1; else None.

    They start at 1, since the last number of a name may be a date of birth.

    >>> pictures = [ChosenFile(f"P7_{number}.png", b"", Kind.PICTURE) for number in (20, 18, 19)]
    >>> picture_numbers(pictures), picture_numbers(pictures[:1]), picture_numbers([*pictures, *pictures])
    ([3, 1, 2], None, None)
    """
    matches = [_LAST_NUMBER.fullmatch(last_part(file.name)[: -len(ending_of(file.name)) or None]) for file in files]
    found = [match for match in matches if match is not None]
    numbers = [int(match["number"]) for match in found]
    same = len({(match["before"], match["after"]) for match in found}) == 1
    if len(files) < 2 or study_kind(files) != Kind.PICTURE or len(found) < len(files):
        return None
    if not same or len(set(numbers)) < len(numbers):
        return None
    return [number - min(numbers) + 1 for number in numbers]


def _as_named(file: ChosenFile, said: SequenceFromName) -> ChosenFile:
    return replace(
        file, sequence=said.sequence, reason=said.reason, is_doubtful=said.is_doubtful, name_says=said.sequence
    )


def study_kind(files: Sequence[ChosenFile]) -> Kind | None:
    """Return the common kind of the images; None for mixed kinds or no files. Brain masks do not count."""
    kinds = {Kind.DICOM if file.kind == Kind.ARCHIVE else file.kind for file in images_of(files) or files}
    return kinds.pop() if len(kinds) == 1 else None


def images_of(files: Sequence[ChosenFile]) -> list[ChosenFile]:
    """Return the files except brain masks."""
    return [file for file in files if file.sequence != BRAIN_MASK]


def complaints(files: Sequence[ChosenFile], model: Model | None) -> list[str]:
    """Return one sentence per problem; an empty list if there is none.

    Args:
        files: the chosen files.
        model: the chosen model, if any.
    """
    if not files:
        return []
    kind = study_kind(files)
    if kind is None:
        named = ", ".join(sorted({KINDS[file.kind] for file in files}))
        return [f"The files have different formats ({named}). Choose the files of one examination."]
    found = [] if model is None or fits(model, kind) else [f"The model {model.name} is for volumes, not for pictures."]
    masks = len(files) - len(images_of(files))
    found += ["Choose the images too, not only a brain mask."] if masks == len(files) else []
    found += ["There is more than one brain mask. Remove all but one."] if masks > 1 else []
    found += ["Brain masks cannot be used with pictures. Remove the mask."] if masks and kind == Kind.PICTURE else []
    return found + (_sequence_complaints(images_of(files), model) if kind == Kind.NIFTI else [])


def grey_misfit(sequence: str, model: Model) -> str | None:
    """Return why the result of a model would mean nothing for grey pictures of a sequence; None: it fits.

    Args:
        sequence: that the pictures show, as the user says; empty: not answered yet.
        model: the chosen model.
    """
    taken = model.sequences[0] if len(model.sequences) == 1 else model.grey_sequence
    if sequence in ("", taken) or not model.sequences:
        return None
    known = f"takes grey pictures for {sequence_title(taken)}" if taken else f"needs {' and '.join(_titles(model))}"
    return (
        f"The model {model.name} {known}, and these show {sequence_title(sequence)}. It was not trained on such"
        " pictures, so its result would mean nothing."
    )


def _titles(model: Model) -> list[str]:
    return [sequence_title(name) for name in model.sequences]


def show_one_sequence(files: Sequence[ChosenFile]) -> bool:
    """Return whether pictures are grey, and hence show one sequence; judged by the first of them."""
    return bool(files) and study_kind(files) == Kind.PICTURE and shows_one_image(files[0].content) is True


def _sequence_complaints(files: Sequence[ChosenFile], model: Model | None) -> list[str]:
    named = Counter(file.sequence for file in files if file.sequence is not None)
    found = [f"More than one file is assigned to {sequence_title(name)}." for name, count in named.items() if count > 1]
    found += [
        f"The name of {plain(last_part(file.name))} says {sequence_title(file.name_says)}, not"
        f" {sequence_title(file.sequence)}. Make sure that your choice is right."
        for file in files
        if file.sequence is not None and file.name_says is not None and file.sequence != file.name_says
    ]
    nameless = [file for file in files if file.sequence is None]
    if nameless and (len(files) > 1 or nameless[0].is_doubtful):
        return [*found, "Choose the sequence of each file, or 'do not use' where it shows none of these."]
    if model is None or nameless:
        return found
    lacking = [name for name in model.sequences if name not in named and name not in model.optional]
    words = " and ".join(map(sequence_title, lacking))
    return [*found, f"The model {model.name} also needs {words}."] if lacking else found


def needs_sequence(files: Sequence[ChosenFile]) -> bool:
    """Return whether the user must choose a sequence first, because a file name is ambiguous."""
    return any(file.is_doubtful and file.sequence is None for file in files)


def fits(model: Model, kind: Kind) -> bool:
    """Return whether a model supports a kind of study: 3D networks need volumes."""
    return kind != Kind.PICTURE or model.dimensions != 3


def default_model(models: Sequence[Model], kind: Kind | None) -> Model | None:
    """Return the default model of the service for a kind of study."""
    use = PICTURES if kind == Kind.PICTURE else VOLUMES
    return next((model for model in models if use in model.default_for), None)


def parts_of(files: Sequence[ChosenFile]) -> tuple[Part, ...]:
    """Return the files to send, renamed to a number and the sequence that their name indicates.

    With it the service can report when the chosen sequence differs from the file name, without the name itself.
    Pictures have their slice numbers, which tell the service of missing slices.

    >>> file = ChosenFile("MILLER_T1_Gd.nii", b"", Kind.NIFTI, "t1c", name_says="t1c")
    >>> [(part.field, part.name) for part in parts_of([file])]
    [('t1c', 'file-1-t1c.nii')]
    """
    numbers = picture_numbers(files) or range(1, len(files) + 1)
    return tuple(
        Part(file.sequence or "files", f"file-{number}{_said(file)}{ending_of(file.name)}", file.content)
        for number, file in zip(numbers, files, strict=True)
    )


def _said(file: ChosenFile) -> str:
    """Return the suffix of the sent file name: the sequence that the original name indicates."""
    return f"-{file.name_says}" if file.name_says in SEQUENCES else ""


def total_bytes(files: Sequence[ChosenFile]) -> int:
    """Return the total size of the files in bytes."""
    return sum(len(file.content) for file in files)
