"""Find out what an upload is, as far as its headers tell, to choose a model for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from metseg.errors import MetsegError
from metseg.inference.model_choice import InputTraits, traits_of_picture
from metseg.io.prediction_inputs import LEFT_OUT
from metseg.schemas import BRAIN_MASK, Kind
from metseg.serve.storage.study_service import CheckedFile


def traits_of_upload(kind: Kind, files: Sequence[CheckedFile], series: Mapping[str, str]) -> InputTraits:
    """Return what is known of an upload.

    Args:
        kind: of the images.
        files: received files with their kinds.
        series: sequences that the request assigns to DICOM series.
    """
    if kind == Kind.PICTURE:
        return traits_of_picture(files[0].file.path)
    images = [item for item in files if item.file.sequence != BRAIN_MASK]
    has_mask = len(images) < len(files)
    if kind == Kind.NIFTI:
        return nifti_traits([item.file.sequence for item in images], has_brain_mask=has_mask)
    return InputTraits(False, dicom_sequences([item.file.path for item in images], series), has_brain_mask=has_mask)


def nifti_traits(sequences: Sequence[str | None], *, has_brain_mask: bool) -> InputTraits:
    """Return what is known of NIfTI files by their sequences; None: a file without one."""
    named = frozenset(name for name in sequences if name is not None)
    if len(sequences) == 1 and not named:
        return InputTraits(False, named, is_single_unnamed=True, has_brain_mask=has_brain_mask)
    # With several files, a nameless one may be any sequence; the worker refuses it with its number.
    return InputTraits(False, None if None in sequences else named, has_brain_mask=has_brain_mask)


def dicom_sequences(paths: Sequence[Path], series: Mapping[str, str]) -> frozenset[str] | None:
    """Return the sequences that the headers of DICOM files name, and those that the request assigns.

    Returns:
        None if they are not known: nothing is recognised, or the files cannot be read. The worker then says why.
    """
    from metseg.io.dicom.sequence_recognition import recognise  # pydicom only where there is DICOM
    from metseg.io.dicom.series_scan import scan

    try:
        found = {recognise(item.header).modality for item in scan(list(paths)).series}
    except MetsegError:
        return None
    left_out = {name for name, label in series.items() if label == LEFT_OUT}
    return frozenset(name for name in (*found, *series) if name is not None and name not in left_out) or None
