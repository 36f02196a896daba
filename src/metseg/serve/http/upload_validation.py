"""Validate uploads by their headers: the kind and size of each file, and the structure of archives.

Only first bytes and headers are read. The worker does the checks that need whole files (checksums, voxels, grouping of
DICOM series); a study that does not pass them fails with the same codes.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from metseg.errors import InputError
from metseg.io.dicom.archive import Archive, is_zip, nested_archive
from metseg.io.dicom.dicom_files import HEAD_BYTES, is_dicom
from metseg.io.dicom.elements import begins_with_file_meta, damaged, read_file_meta
from metseg.io.images.file_signatures import FORMATS, sniff_format
from metseg.io.images.image_decoding import check_picture_header
from metseg.io.volumes.nifti import check_nifti_header
from metseg.schemas import Kind

#: Bytes read from each file to detect its kind, and from each member of an archive for its file meta information.
_HEAD_BYTES: Final = 4096
_GZIP: Final = b"\x1f\x8b"
_NIFTI_STARTS: Final = tuple(size.to_bytes(4, order) for size in (348, 540) for order in ("little", "big"))

#: Extension of stored pictures by format.
_ENDINGS: Final[Mapping[str, str]] = {"PNG": ".png", "TIFF": ".tif", "JPEG": ".jpg", "WEBP": ".webp", "BMP": ".bmp"}

#: Groups of kinds that can form one study.
_FAMILIES: Final[Mapping[Kind, str]] = {
    Kind.PICTURE: "pictures",
    Kind.NIFTI: "NIfTI files",
    Kind.DICOM: "DICOM",
    Kind.ARCHIVE: "DICOM",
}


def check_file(path: Path, where: str) -> tuple[Kind, str]:
    """Detect the kind of a file, validate its header, and return the kind and the extension to store it with.

    Args:
        path: the file.
        where: name of the file in messages: its number.
    Raises:
        InputError: the format is not supported, or the header is not valid.
    """
    with path.open("rb") as stream:
        head = stream.read(_HEAD_BYTES)
    kind, ending = _recognise(head, where)
    try:
        _CHECKS[kind](path)
    except InputError as error:
        raise _at(error, where) from None
    return kind, ending


def study_kind(kinds: Sequence[Kind]) -> Kind:
    """Return the kind of a study from the kinds of its files.

    Raises:
        InputError: ``input.mixed_kinds``.
    """
    families = {_FAMILIES[kind] for kind in kinds}
    if len(families) == 1:
        return Kind.ARCHIVE if Kind.ARCHIVE in kinds else kinds[0]
    raise InputError(
        "the files have different formats",
        where="the upload",
        expected="pictures, NIfTI files, or DICOM",
        got=", ".join(sorted(families)),
        cure="upload the files of one study at a time",
        code="input.mixed_kinds",
    )


def require_brain_mask(files: Mapping[int, Kind], rest: Sequence[Kind]) -> None:
    """Reject brain masks that do not fit the study.

    Args:
        files: kinds of the files declared as brain masks, by number in the upload.
        rest: kinds of the other files.
    Raises:
        InputError: ``input.duplicate_brain_mask``, more than one; ``input.brain_mask_kind``, one that is not NIfTI;
            ``input.brain_mask_of_pictures``, one beside pictures; ``input.missing``, no image beside it.
    """
    if not files:
        return
    numbers = list(files)
    if len(numbers) > 1:
        raise InputError(
            "two files are declared as the brain mask",
            where=f"file {numbers[1]}",
            got=f"file {numbers[0]} too",
            cure="remove one of them, or send it in the field of its sequence",
            code="input.duplicate_brain_mask",
        )
    if files[numbers[0]] != Kind.NIFTI:
        raise InputError(
            "the brain mask is not a NIfTI file",
            where=f"file {numbers[0]}",
            expected="NIfTI, on the grid of one of the images",
            cure="send the mask as .nii or .nii.gz",
            code="input.brain_mask_kind",
        )
    if not rest:
        raise InputError(
            "the upload contains a brain mask but no image",
            where="the upload",
            cure="send the images of the study too",
            code="input.missing",
        )
    if Kind.PICTURE in rest:
        raise InputError(
            "brain masks cannot be used with pictures",
            where=f"file {numbers[0]}",
            cure="remove it, or send the study as NIfTI or DICOM",
            code="input.brain_mask_of_pictures",
        )


def _recognise(head: bytes, where: str) -> tuple[Kind, str]:
    if is_dicom(head[:HEAD_BYTES]):
        return Kind.DICOM, ".dcm"
    if is_zip(head):
        return Kind.ARCHIVE, ".zip"
    if head.startswith(_GZIP):
        return Kind.NIFTI, ".nii.gz"
    if head.startswith(_NIFTI_STARTS):
        return Kind.NIFTI, ".nii"
    try:
        return Kind.PICTURE, _ENDINGS[sniff_format(head, where)]
    except InputError as error:
        error.expected = f"{', '.join(FORMATS)}, NIfTI, DICOM or a zip archive of DICOM"
        raise _at(error, where) from None


def _check_dicom(path: Path) -> None:
    with path.open("rb") as stream:
        read_file_meta(stream)


def _check_archive(path: Path) -> None:
    """Reject an archive with an unsafe structure or without DICOM files.

    A large file of DICM and zeros is known by its head. It is rejected here if the archive contains nothing else, since
    a worker has to unpack it; among others, the worker sets it aside.
    """
    found = begun = 0
    with Archive(path) as archive:
        for member in archive.members:
            head = archive.head(member, _HEAD_BYTES)
            if is_zip(head):
                raise nested_archive()
            if is_dicom(head[:HEAD_BYTES]):
                found += 1
                begun += begins_with_file_meta(head)
                _check_member(head)
    if not found:
        raise InputError(
            "the archive contains no DICOM files",
            cure="pack the DICOM files of one study; send pictures and NIfTI files without an archive",
            code="input.not_dicom",
        )
    if not begun:
        raise damaged("no file meta")


def _check_member(head: bytes) -> None:
    """Validate the file meta information of a member, as far as the first bytes contain it."""
    try:
        read_file_meta(io.BytesIO(head))
    except InputError as error:
        if error.code != "input.truncated" or len(head) < _HEAD_BYTES:
            raise


def _at(error: InputError, where: str) -> InputError:
    """Return a copy of an error that refers to the file by its number."""
    return type(error)(
        error.what, where=where, expected=error.expected, got=error.got, cure=error.cure, code=error.code
    )


_CHECKS: Final[Mapping[Kind, Callable[[Path], None]]] = {
    Kind.PICTURE: check_picture_header,
    Kind.NIFTI: check_nifti_header,
    Kind.DICOM: _check_dicom,
    Kind.ARCHIVE: _check_archive,
}
