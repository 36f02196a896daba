"""Errors in words that somebody who reads images, and not logs, understands: what happened, and what to do now.

The words are the page's own; what the service said stands below them, for whoever looks after it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from metseg.errors import MetsegError
from metseg.schemas import Failure


@dataclass(frozen=True)
class ErrorText:
    """What is said of one kind of error.

    Args:
        title: what happened, in a few words.
        advice: what to do, a sentence or two.
    """

    title: str
    advice: str


@dataclass(frozen=True)
class Explained:
    """An error as it is shown.

    Args:
        words: for everybody.
        code: its stable name.
        technical: what the service said, for whoever looks after it.
        where: the file concerned, by its number in the upload, or a field.
    """

    words: ErrorText
    code: str
    technical: str
    where: str | None = None


_TRY_AGAIN: Final = "Try again in a moment. If it happens again, tell whoever looks after the service."
_EXPORT_AGAIN: Final = "Export the images from the archive (PACS) again, and upload the new copy."
_NOT_ON_PAGE: Final = "This should not happen from this page. Reload it; if it happens again, tell whoever runs it."

WORDS: Final[Mapping[str, ErrorText]] = {
    # between the page and the service
    "page.unreachable": ErrorText(
        "The service cannot be reached",
        "Your studies are safe. The service may be starting or being updated: wait a moment, then try again.",
    ),
    "page.timeout": ErrorText("The service takes too long to answer", _TRY_AGAIN),
    "page.unexpected": ErrorText(
        "The service gave an answer that this page does not understand",
        "Page and service may be of different versions. Tell whoever looks after them.",
    ),
    "page.elsewhere": ErrorText(
        "This page is open on its own computer only",
        "The service asks nobody for a key, so it lets nobody in from elsewhere. Whoever runs it can make a key.",
    ),
    # who asks, and for what
    "request.unauthorised": ErrorText(
        "A key is needed", "Enter the access key that you were given. If it no longer works, ask for a new one."
    ),
    "request.forbidden": ErrorText("Your key does not allow this", "Ask whoever gave you the key for one that does."),
    "request.host": ErrorText(
        "The service does not know itself under this address",
        "Use the address that you were given, or ask whoever runs the service to add this one.",
    ),
    "request.origin": ErrorText("The service accepts no requests from this page", _NOT_ON_PAGE),
    "request.unknown": ErrorText(
        "This study is not there",
        "It was deleted, has expired, or belongs to somebody else. Look for it among your studies.",
    ),
    "request.state": ErrorText(
        "This is no longer possible", "The study is already finished. You can delete it instead."
    ),
    "request.url": ErrorText("A link or a path cannot be opened", "Upload the images themselves."),
    "request.malformed": ErrorText("The upload arrived damaged", "Upload the files again."),
    "request.method": ErrorText("The service cannot do this", _NOT_ON_PAGE),
    "request.not_acceptable": ErrorText("The service cannot answer in this form", _NOT_ON_PAGE),
    "request.range": ErrorText("This part of the file does not exist", _NOT_ON_PAGE),
    "request.media_type": ErrorText("This form of upload is not read", _NOT_ON_PAGE),
    "request.timeout": ErrorText(
        "The upload was too slow", "The connection stalled. Try again, from a faster network if you can."
    ),
    "request.too_large": ErrorText(
        "The upload is too large",
        "Upload one examination only, with no more series than are needed; DICOM packed into one zip file.",
    ),
    "request.invalid": ErrorText(
        "Something in the form does not fit", "Look at the model and the choices that you made, and try again."
    ),
    "request.idempotency": ErrorText(
        "This upload was already sent with other files", "Reload the page and upload again."
    ),
    # what the service lacks
    "service.busy": ErrorText(
        "The service is busy", "Too many studies are waiting. Nothing was lost: try again in a few minutes."
    ),
    "service.predictor": ErrorText("The picture could not be analysed in time", _TRY_AGAIN),
    "service.no_model": ErrorText(
        "No model is installed for this kind of study",
        "Choose another model, or ask whoever runs the service to install one.",
    ),
    "resources.memory": ErrorText(
        "The study is too large for this computer",
        "Upload fewer or thicker slices, or ask for a computer with more memory.",
    ),
    "resources.time": ErrorText(
        "The study took too long and was stopped", "Choose a faster model, or upload a smaller study."
    ),
    "resources.disk": ErrorText(
        "The service has no room left on its disk",
        "Delete studies that you no longer need, or tell whoever runs the service.",
    ),
    "resources.database": ErrorText("The service has lost its database", _TRY_AGAIN),
    "internal": ErrorText("Something went wrong in the service", _TRY_AGAIN),
    # what kind of files
    "input.format": ErrorText(
        "A file is of a kind that cannot be read",
        "Upload DICOM, NIfTI (.nii, .nii.gz), or pictures as PNG, TIFF, JPEG, WebP or BMP.",
    ),
    "input.mixed_kinds": ErrorText(
        "The files are of several kinds", "Upload either DICOM, or NIfTI files, or pictures, of one examination."
    ),
    "input.several_cases": ErrorText("There is more than one examination", "Upload one examination of one patient."),
    "input.missing": ErrorText("There are no images in the upload", "Choose the files again."),
    "input.dimensions": ErrorText(
        "The model does not fit these images",
        "Pictures need a model for pictures, volumes one for volumes: choose another model.",
    ),
    "input.too_large": ErrorText(
        "An image is too large", "Upload the examination at its own resolution; single pictures up to 25 megapixels."
    ),
    "input.multi_page": ErrorText(
        "The file holds several pictures",
        "If these are the slices of one examination, choose 'The pages of a TIFF are slices' and upload again.",
    ),
    "input.mixed_slices": ErrorText(
        "The pictures do not belong together", "Upload slices of one examination, all of the same size and kind."
    ),
    # damaged files
    "input.truncated": ErrorText("A file is damaged or was cut short", _EXPORT_AGAIN),
    "input.checksum": ErrorText("A file was damaged on its way", _EXPORT_AGAIN),
    "input.trailing_data": ErrorText("A file holds more than it should", _EXPORT_AGAIN),
    "input.unreadable": ErrorText("A file cannot be read", _EXPORT_AGAIN),
    "input.archive_damaged": ErrorText("The zip file is damaged", "Pack the DICOM files again and upload the new zip."),
    "input.archive_path": ErrorText(
        "The zip file is built in an unsafe way", "Pack the DICOM files again with the system's own zip program."
    ),
    "input.archive_nested": ErrorText(
        "The zip file holds another, or too many files", "Unpack it, and pack one examination into one zip file."
    ),
    "input.archive_forged": ErrorText(
        "The zip file unpacks to far more than it says", "Pack the DICOM files again, one examination only."
    ),
    # sequences
    "input.missing_sequence": ErrorText(
        "A sequence that the model needs is missing",
        "Add the sequence, choose under 'Sequences' what each file shows (for DICOM, enter the number of the series "
        "under 'More options'), or choose a model that does without it.",
    ),
    "input.unknown_sequence": ErrorText(
        "It is not clear which sequence a file shows",
        "Choose under 'Sequences' what each file shows, and upload again.",
    ),
    "input.duplicate_sequence": ErrorText(
        "Two files are said to show the same sequence", "Correct one of them, or leave it out."
    ),
    "input.label_map": ErrorText(
        "A file holds a mask or a label map where an image is needed",
        "Leave it out, or upload the MR image that it was drawn on.",
    ),
    "input.several_series": ErrorText(
        "Several series could show the same sequence",
        "Say under 'More options' which series number shows which sequence, or upload only the series you want.",
    ),
    # DICOM
    "input.not_dicom": ErrorText(
        "There is no DICOM in the zip file", "Pack the DICOM files of one examination; give other images unpacked."
    ),
    "input.not_mr": ErrorText("These are not MR images", "Upload an MRI examination of the head."),
    "input.no_pixels": ErrorText("There are DICOM files but no images", "Export the images too, not only the reports."),
    "input.no_geometry": ErrorText(
        "The images do not say where they lie in the body", "Upload the original series, not screenshots of it."
    ),
    "input.transfer_syntax": ErrorText(
        "The DICOM compression is not supported", "Export the series uncompressed, and upload it again."
    ),
    "input.mixed_series": ErrorText(
        "Images of different patients or examinations are mixed", "Upload one examination of one patient only."
    ),
    "input.missing_slices": ErrorText(
        "Slices of the series are missing",
        "Export the whole series. If it is complete as it is, allow gaps under 'More options'; every result then says "
        "so.",
    ),
    "input.uneven_slices": ErrorText(
        "The slices are not evenly spaced",
        "Export the whole series. If it is complete as it is, allow gaps under 'More options'; every result then says "
        "so.",
    ),
    "input.duplicate_slice": ErrorText(
        "Two different images lie at the same place",
        "Upload one series without repeats, for example without an added reconstruction.",
    ),
    "input.rescale": ErrorText("The grey values of a DICOM image make no sense", _EXPORT_AGAIN),
    # geometry and values
    "input.geometry": ErrorText(
        "The position of the images in space makes no sense", "Upload the original series as the scanner stored it."
    ),
    "input.no_affine": ErrorText(
        "The images do not say where they lie in space", "Convert the original DICOM to NIfTI again, or upload DICOM."
    ),
    "input.shape": ErrorText("An image has an impossible size", _EXPORT_AGAIN),
    "input.axes": ErrorText(
        "A file holds several images", "Upload one three-dimensional image per file, one file per sequence."
    ),
    "input.channels": ErrorText(
        "It is not clear what the channels of an image are", "Upload one file per sequence instead."
    ),
    "input.spacing": ErrorText("The size of the voxels makes no sense", "Convert the original DICOM to NIfTI again."),
    "input.shape_mismatch": ErrorText(
        "The sequences do not fit on one another", "Upload sequences of one examination, registered or as scanned."
    ),
    "input.affine_mismatch": ErrorText(
        "The sequences do not lie at the same place", "Upload sequences of one examination, registered or as scanned."
    ),
    "input.registration": ErrorText(
        "The sequences could not be registered to one another",
        "See that all of them show the same head, and upload them again.",
    ),
    "input.not_finite": ErrorText("Too many voxels have no value", "Convert the original images again."),
    "input.scaling": ErrorText("The grey values of an image make no sense", "Convert the original images again."),
    "input.value_range": ErrorText(
        "The grey values do not suit this model", "Upload the scanner's own values, not normalised ones."
    ),
    "input.brain_mask": ErrorText(
        "No brain was found in the images",
        "Check that they show a head. Then add a brain mask under More options, or upload images without skull.",
    ),
    "input.brain_mask_kind": ErrorText(
        "The brain mask is not a NIfTI file", "Upload the brain mask as .nii or .nii.gz, under More options."
    ),
    "input.brain_mask_of_pictures": ErrorText(
        "Pictures take no brain mask", "Remove the brain mask, or upload the study as NIfTI or DICOM."
    ),
    "input.duplicate_brain_mask": ErrorText(
        "There are two brain masks",
        "Keep one of them. If the other shows a sequence, choose under 'Sequences' which one.",
    ),
    "input.empty_brain_mask": ErrorText("The brain mask is empty", "Upload a mask that covers the brain, or none."),
    "input.invalid": ErrorText("The images cannot be used", "See that you uploaded an MRI of the head, and try again."),
    # models
    "model.replaced": ErrorText("The model was updated while the study was worked on", "Start the analysis again."),
}

#: What is said of a code that is not in the table, by its first word.
FAMILIES: Final[Mapping[str, ErrorText]] = {
    "input": ErrorText(
        "The images cannot be used", "Look at the details below, correct the files and upload them again."
    ),
    "request": ErrorText("The request cannot be fulfilled", "Look at the details below, and try again."),
    "service": ErrorText("The service cannot do this now", _TRY_AGAIN),
    "resources": ErrorText("The computer lacks memory, room or time for this", _TRY_AGAIN),
    "model": ErrorText(
        "The model cannot be used", "Choose another model, and tell whoever looks after the service about this one."
    ),
    "usage": ErrorText("The choices made do not fit together", "Change the model or the options, and try again."),
}


def words_for(code: str) -> ErrorText:
    """Return what is said of an error: by its code, else by its family, else in general.

    >>> words_for("input.truncated").title, words_for("input.new").title, words_for("what.ever").title
    ('A file is damaged or was cut short', 'The images cannot be used', 'Something went wrong in the service')
    """
    return WORDS.get(code) or FAMILIES.get(code.partition(".")[0]) or WORDS["internal"]


def explain_error(error: MetsegError) -> Explained:
    """Return an error of a call as it is shown."""
    request = getattr(getattr(error, "problem", None), "request", None)
    technical = error.one_line() + (f" [request {request}]" if request else "")
    return Explained(words_for(error.code), error.code, technical, _told(error.where))


def explain_failure(failure: Failure) -> Explained:
    """Return why a study failed as it is shown."""
    said = [failure.detail, *([] if failure.cure is None else [failure.cure])]
    phase = f" [while: {failure.phase}]" if failure.phase else ""
    return Explained(words_for(failure.code), failure.code, "; ".join(said) + phase, failure.where)


def _told(where: object) -> str | None:
    return None if where is None else str(where)
