"""What a file is declared to show, against what its own name says."""

from __future__ import annotations

from collections.abc import Mapping

from metseg.io.image_files import DICOM_ENDINGS, ImageFile, stem_of
from metseg.io.sequences import sequence_of


def declared_against_names(files: Mapping[str, ImageFile]) -> tuple[str, ...]:
    """Return a note for each file that is declared to be another sequence than its name says.

    A DICOM series is judged by its header when it is read, and not by the name of its folder.

    Args:
        files: declared modality to file.
    """
    notes = []
    for name, file in files.items():
        if file.path.is_dir() or file.path.suffix.lower() in DICOM_ENDINGS:
            continue
        said = sequence_of(stem_of(file.path.name))
        if said is not None and said != name:
            notes.append(f"{file.path.name} is declared to be {name}, and its name says {said}: read as {name}")
    return tuple(notes)
