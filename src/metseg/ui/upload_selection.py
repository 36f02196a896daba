"""What was chosen for upload, before it is sent: the kind of each file, which sequence it shows, what does not fit.

Only names are looked at, to show and to propose something; the service looks at the content.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from metseg.schemas import BRAIN_MASK, SEQUENCES, Kind, Model
from metseg.ui.api_client import Part
from metseg.ui.labels import KINDS, plain, sequence_name
from metseg.ui.page_settings import ReadNames, SequenceFromName

#: Endings by kind; a file without any of them may be DICOM.
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

_CLUTTER: Final = ("thumbs.db", "desktop.ini")

#: What a model is for, as `metseg.schemas.Model.default_for` has it.
PICTURES, VOLUMES = "pictures", "volumes"


@dataclass(frozen=True)
class ChosenFile:
    """One file that is to be sent.

    Args:
        name: as the user knows it; shown, and not sent.
        content: its bytes.
        kind: by its ending.
        sequence: which it shows, where that is known; `BRAIN_MASK`: it is a brain mask.
        reason: why, or what its name leaves open; empty where the name tells nothing.
        is_doubtful: whether its name speaks of a sequence without saying plainly which.
        name_says: the sequence that its name says.
    """

    name: str
    content: bytes
    kind: Kind
    sequence: str | None = None
    reason: str = ""
    is_doubtful: bool = False
    name_says: str | None = None


def ending_of(name: str) -> str:
    """Return the ending of a file name that is known, or nothing.

    >>> ending_of("Scan.NII.GZ"), ending_of("IM0001")
    ('.nii.gz', '')
    """
    lowered = name.lower()
    return next((ending for ending in ENDINGS if lowered.endswith(ending)), "")


def last_part(name: str) -> str:
    """Return the name of a file without its folders, which a browser tells where a folder is chosen."""
    return name.replace("\\", "/").rpartition("/")[2]


def is_clutter(name: str) -> bool:
    """Return whether a file is one that systems leave in folders, and nobody means to upload.

    >>> is_clutter("study/.DS_Store"), is_clutter("Thumbs.db"), is_clutter("study/IM1")
    (True, True, False)
    """
    last = last_part(name).lower()
    return last.startswith(".") or last in _CLUTTER


def choose(files: Sequence[tuple[str, bytes]], read_names: ReadNames) -> tuple[ChosenFile, ...]:
    """Return the files with what their names tell.

    Args:
        files: names and contents, in order.
        read_names: from names without endings to sequences, or to `BRAIN_MASK`.
    """
    found = [
        ChosenFile(name, content, ENDINGS.get(ending_of(name), Kind.DICOM))
        for name, content in files
        if not is_clutter(name)
    ]
    volumes = [file.name for file in found if file.kind == Kind.NIFTI]
    stems = [last_part(name)[: -len(ending_of(name))] for name in volumes]
    said = dict(zip(volumes, read_names(stems), strict=True))
    return tuple(_as_named(file, said.get(file.name, SequenceFromName())) for file in found)


def _as_named(file: ChosenFile, said: SequenceFromName) -> ChosenFile:
    return replace(
        file, sequence=said.sequence, reason=said.reason, is_doubtful=said.is_doubtful, name_says=said.sequence
    )


def study_kind(files: Sequence[ChosenFile]) -> Kind | None:
    """Return what the files are together; None: of several kinds, or none at all. A brain mask may be beside any."""
    kinds = {Kind.DICOM if file.kind == Kind.ARCHIVE else file.kind for file in images_of(files) or files}
    return kinds.pop() if len(kinds) == 1 else None


def images_of(files: Sequence[ChosenFile]) -> list[ChosenFile]:
    """Return the files that are no brain mask."""
    return [file for file in files if file.sequence != BRAIN_MASK]


def with_sequences(files: Sequence[ChosenFile], sequences: Sequence[str | None]) -> tuple[ChosenFile, ...]:
    """Return the files with the sequences that the user confirmed or corrected."""
    return tuple(replace(file, sequence=sequence) for file, sequence in zip(files, sequences, strict=True))


def complaints(files: Sequence[ChosenFile], model: Model | None) -> list[str]:
    """Return what does not fit, a sentence each; nothing where all does.

    Args:
        files: as chosen.
        model: that is to be used, where it is known.
    """
    if not files:
        return []
    kind = study_kind(files)
    if kind is None:
        named = ", ".join(sorted({KINDS[file.kind] for file in files}))
        return [f"The files are of several kinds ({named}). Choose those of one examination."]
    found = [] if model is None or fits(model, kind) else [f"The model {model.name} is for volumes, not for pictures."]
    masks = len(files) - len(images_of(files))
    found += ["Choose the images too, not only a brain mask."] if masks == len(files) else []
    found += ["There is more than one brain mask. Leave one of them out."] if masks > 1 else []
    found += ["Pictures take no brain mask. Leave it out."] if masks and kind == Kind.PICTURE else []
    return found + (_sequence_complaints(images_of(files), model) if kind == Kind.NIFTI else [])


def _sequence_complaints(files: Sequence[ChosenFile], model: Model | None) -> list[str]:
    named = Counter(file.sequence for file in files if file.sequence is not None)
    found = [f"Two files are said to show {sequence_name(name)}." for name, count in named.items() if count > 1]
    found += [
        f"The name of {plain(last_part(file.name))} says {sequence_name(file.name_says)}, not"
        f" {sequence_name(file.sequence)}. Make sure that your choice is right."
        for file in files
        if file.sequence is not None and file.name_says is not None and file.sequence != file.name_says
    ]
    nameless = [file for file in files if file.sequence is None]
    if nameless and (len(files) > 1 or nameless[0].is_doubtful):
        return [*found, "Say for each file which sequence it shows."]
    if model is None or nameless:
        return found
    lacking = [name for name in model.sequences if name not in named and name not in model.optional]
    words = " and ".join(map(sequence_name, lacking))
    return [*found, f"The model {model.name} also needs {words}."] if lacking else found


def needs_sequence(files: Sequence[ChosenFile]) -> bool:
    """Return whether a file cannot be sent before the user says what it shows, for its name is not plain."""
    return any(file.is_doubtful and file.sequence is None for file in files)


def fits(model: Model, kind: Kind) -> bool:
    """Return whether a model can be given a study of a kind: 3D networks need volumes."""
    return kind != Kind.PICTURE or model.dimensions != 3


def default_model(models: Sequence[Model], kind: Kind | None) -> Model | None:
    """Return the model that the service takes where none is named."""
    use = PICTURES if kind == Kind.PICTURE else VOLUMES
    return next((model for model in models if use in model.default_for), None)


def parts_of(files: Sequence[ChosenFile]) -> tuple[Part, ...]:
    """Return the files as they are sent: by number and by the sequence that their names say, but not by their names.

    So the service can tell, with the result, whether a name says what a file was read as.

    >>> file = ChosenFile("MILLER_T1_Gd.nii", b"", Kind.NIFTI, "t1c", name_says="t1c")
    >>> [(part.field, part.name) for part in parts_of([file])]
    [('t1c', 'file-1-t1c.nii')]
    """
    return tuple(
        Part(file.sequence or "files", f"file-{number}{_said(file)}{ending_of(file.name)}", file.content)
        for number, file in enumerate(files, start=1)
    )


def _said(file: ChosenFile) -> str:
    """Return the sequence that a file's name says, as a part of the name that is sent."""
    return f"-{file.name_says}" if file.name_says in SEQUENCES else ""


def total_bytes(files: Sequence[ChosenFile]) -> int:
    """Return how much is to be sent."""
    return sum(len(file.content) for file in files)
