"""Compare the declared sequence of a file with the sequence in its name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from metseg.io.sequence_names import sequence_of, shared_prefix
from metseg.io.volumes.image_files import DICOM_ENDINGS, ImageFile, stem_of

#: In the reason why a file is a sequence: the user declared it, against what the file's name says.
AGAINST_NAME = ", and its name says "


def declaration(reason: str, modality: str, stem: str, *, prefix: str = "") -> str:
    """Return the reason for a declared sequence, including the sequence in the file's name if they differ.

    >>> declaration("the form declares it (t1c)", "t1c", "P1_T1_without_contrast")
    'the form declares it (t1c), and its name says t1n'
    """
    said = sequence_of(stem, prefix=prefix)
    return reason if said in (None, modality) else f"{reason}{AGAINST_NAME}{said}"


def with_reasons(files: Mapping[str, ImageFile]) -> dict[str, ImageFile]:
    """Return declared files, each with what its name says in its reason where that is another sequence.

    Args:
        files: declared modality to file.
    """
    said = _other_sequences(files)
    return {
        name: replace(file, reason=f"{file.reason}{AGAINST_NAME}{said[name]}")
        if name in said and AGAINST_NAME not in file.reason
        else file
        for name, file in files.items()
    }


def declared_against_names(files: Mapping[str, ImageFile]) -> tuple[str, ...]:
    """Return a note for each file with a declared sequence that contradicts its name.

    Args:
        files: declared modality to file.
    """
    return tuple(
        f"{files[name].path.name} is declared to be {name}{AGAINST_NAME}{said}: read as {name}"
        for name, said in _other_sequences(files).items()
    )


def _other_sequences(files: Mapping[str, ImageFile]) -> dict[str, str]:
    """Return the sequences in the names of declared files that contradict the declaration.

    A DICOM series is checked by its header when it is read, not by its folder's name.
    """
    named = {
        name: file
        for name, file in files.items()
        if not file.path.is_dir() and file.path.suffix.lower() not in DICOM_ENDINGS
    }
    prefix = shared_prefix([stem_of(file.path.name) for file in named.values()])
    said = {name: sequence_of(stem_of(file.path.name), prefix=prefix) for name, file in named.items()}
    return {name: other for name, other in said.items() if other is not None and other != name}
