"""What an upload tells before anything is decoded: the kind of each file, its size and header, an archive's build.

Only first bytes and headers are read. What needs whole files (checksums, voxels, which DICOM series belongs to which)
is found by the worker, and the study then fails with the same code.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from metseg.errors import InputError
from metseg.io.dicom.archive import Archive, is_zip, nested_archive
from metseg.io.dicom.dicom_files import HEAD_BYTES, is_dicom
from metseg.io.dicom.elements import read_file_meta
from metseg.io.images.file_signatures import FORMATS, sniff_format
from metseg.io.images.image_decoding import check_picture_header
from metseg.io.volumes.nifti import check_nifti_header
from metseg.schemas import Kind

#: Read of each file to tell its kind, and of each member of an archive to see its file meta.
_HEAD_BYTES: Final = 4096
_GZIP: Final = b"\x1f\x8b"
_NIFTI_STARTS: Final = tuple(size.to_bytes(4, order) for size in (348, 540) for order in ("little", "big"))

#: What files are called on disk, by kind; for pictures by format.
_ENDINGS: Final[Mapping[str, str]] = {"PNG": ".png", "TIFF": ".tif", "JPEG": ".jpg", "WEBP": ".webp", "BMP": ".bmp"}

#: Kinds that make one study together.
_FAMILIES: Final[Mapping[Kind, str]] = {
    Kind.PICTURE: "pictures",
    Kind.NIFTI: "NIfTI files",
    Kind.DICOM: "DICOM",
    Kind.ARCHIVE: "DICOM",
}


def check_file(path: Path, where: str) -> tuple[Kind, str]:
    """Return what a file is, and the ending of its name, after looking at its head.

    Args:
        path: the file.
        where: what it is called in messages: its number.
    Raises:
        InputError: it is nothing that is read, or wrong in a way that its head tells.
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
    """Return what a study is, from what its files are.

    Raises:
        InputError: ``input.mixed_kinds``.
    """
    families = {_FAMILIES[kind] for kind in kinds}
    if len(families) == 1:
        return Kind.ARCHIVE if Kind.ARCHIVE in kinds else kinds[0]
    raise InputError(
        "the files are of several kinds",
        where="the upload",
        expected="pictures, NIfTI files, or DICOM",
        got=", ".join(sorted(families)),
        cure="upload the files of one study at a time",
        code="input.mixed_kinds",
    )


def require_brain_mask(files: Mapping[int, Kind], rest: Sequence[Kind]) -> None:
    """Refuse brain masks that no study can have.

    Args:
        files: number in the upload to kind, of what is declared to be a brain mask.
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
            "two files are said to be the brain mask",
            where=f"file {numbers[1]}",
            got=f"file {numbers[0]} too",
            cure="leave one of them out, or send it in the field of the sequence that it shows",
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
            "there is a brain mask and no image",
            where="the upload",
            cure="send the images of the study too",
            code="input.missing",
        )
    if Kind.PICTURE in rest:
        raise InputError(
            "pictures take no brain mask",
            where=f"file {numbers[0]}",
            cure="leave it out, or send the study as NIfTI or DICOM",
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
    """Refuse an archive of a dangerous build, or with nothing in it that is read."""
    found = 0
    with Archive(path) as archive:
        for member in archive.members:
            head = archive.head(member, _HEAD_BYTES)
            if is_zip(head):
                raise nested_archive()
            if is_dicom(head[:HEAD_BYTES]):
                found += 1
                _check_member(head)
    if not found:
        raise InputError(
            "there is no DICOM in the archive",
            cure="pack the DICOM files of one study; give pictures and NIfTI files without an archive",
            code="input.not_dicom",
        )


def _check_member(head: bytes) -> None:
    """Look at the file meta of a member, as far as it lies in the first bytes."""
    try:
        read_file_meta(io.BytesIO(head))
    except InputError as error:
        if error.code != "input.truncated" or len(head) < _HEAD_BYTES:
            raise


def _at(error: InputError, where: str) -> InputError:
    """Return an error that calls the file by its number."""
    return type(error)(
        error.what, where=where, expected=error.expected, got=error.got, cure=error.cure, code=error.code
    )


_CHECKS: Final[Mapping[Kind, Callable[[Path], None]]] = {
    Kind.PICTURE: check_picture_header,
    Kind.NIFTI: check_nifti_header,
    Kind.DICOM: _check_dicom,
    Kind.ARCHIVE: _check_archive,
}
