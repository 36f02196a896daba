"""Error texts for readers of images, not of logs: what happened, and what to do now.

The page has its own texts. The service's message is shown below them, for the administrator.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from metseg.errors import MetsegError
from metseg.schemas import Failure


@dataclass(frozen=True)
class ErrorText:
    """The text for one kind of error.

    Args:
        title: what happened, in a few words.
        advice: what to do, a sentence or two.
    """

    title: str
    advice: str


@dataclass(frozen=True)
class Explained:
    """An error as the page shows it.

    Args:
        words: the text for the user.
        code: the stable code of the error.
        technical: the service's message, for the administrator.
        where: the file concerned, by its number in the upload, or a field; None if only the study is.
    """

    words: ErrorText
    code: str
    technical: str
    where: str | None = None


_TRY_AGAIN: Final = "Try again in a moment. If it happens again, tell the administrator of the service."
_EXPORT_AGAIN: Final = "Export the images from the archive (PACS) again, and upload the new copy."
_NOT_ON_PAGE: Final = "Reload the page. If it happens again, tell the administrator of the service."

_OTHER_MODEL: Final = "Choose another model under 'Model', and tell the administrator to install this one again."

_STUDY_ID: Final = re.compile(r"\b[0-9a-f]{32}\b")

WORDS: Final[Mapping[str, ErrorText]] = {
    # between the page and the service
    "client.unreachable": ErrorText(
        "The service cannot be reached",
        "Your studies are safe. The service may be starting or being updated: wait a moment, then try again.",
    ),
    "client.timeout": ErrorText("The service takes too long to answer", _TRY_AGAIN),
    "client.unexpected": ErrorText(
        "The service gave an answer that this page does not understand",
        "The page and the service may have different versions. Tell the administrator.",
    ),
    "page.elsewhere": ErrorText(
        "This page can be opened only on the computer that it runs on",
        "Remote access needs an access key, and none exists yet. The administrator can create one.",
    ),
    # who asks, and for what
    "request.unauthorised": ErrorText(
        "A key is needed", "Enter your access key. If it no longer works, ask the administrator for a new one."
    ),
    "request.forbidden": ErrorText("Your key does not allow this", "Ask the administrator for a key that does."),
    "request.rate": ErrorText("Your key is used too often at the moment", "Wait a minute, then try again."),
    "request.queue": ErrorText(
        "Too many of your studies are waiting", "Wait until some are finished, or cancel one in the list of studies."
    ),
    "licence.not_accepted": ErrorText(
        "The terms of this model have not been accepted",
        "It is for non-commercial use only. Choose it under 'Model' and accept its terms there, if your access allows"
        " it; else choose another model, or ask the administrator to run `metseg models accept` and its name.",
    ),
    "request.host": ErrorText(
        "The service does not accept requests to this address",
        "Use the address that you were given, or ask the administrator to allow this one.",
    ),
    "request.origin": ErrorText("The service accepts no requests from this page", _NOT_ON_PAGE),
    "request.unknown": ErrorText(
        "This study was not found",
        "It was deleted, has expired, or belongs to another user. Look for it in the list of your studies.",
    ),
    "request.state": ErrorText(
        "This is not possible in the present state of the study",
        "Reload the page to see its state. A study must be finished to be corrected, compared or stored in the PACS, "
        "and only an unfinished one can be cancelled.",
    ),
    "request.results_missing": ErrorText(
        "Results of the study are missing",
        "The study cannot be corrected or compared. Upload its images again, and use the new study.",
    ),
    "request.no_dicom": ErrorText(
        "The study has no DICOM results",
        "Nothing was stored in the PACS. Ask the administrator to enable DICOM results, then analyse the study again.",
    ),
    "request.pseudonym": ErrorText(
        "The DICOM results do not name the patient",
        "Nothing was stored: the PACS cannot file them under the patient. Ask the administrator to keep the identity "
        "in DICOM results, then analyse the study again.",
    ),
    "request.corrected": ErrorText(
        "The DICOM results do not contain the corrections of this study",
        "Nothing was stored. Reload the page. To store the result of the model nevertheless, confirm it there.",
    ),
    "request.different_patients": ErrorText(
        "The studies seem to be of different patients",
        "Their DICOM files have different patient ids. Compare studies of one patient; if the patient is the same "
        "nevertheless, confirm it on the page.",
    ),
    "request.conflict": ErrorText(
        "Somebody has corrected this study meanwhile", "Reload the page, and correct the latest version."
    ),
    "usage.lesion": ErrorText(
        "This lesion does not exist any more", "Reload the page, and correct the latest version."
    ),
    "usage.point": ErrorText(
        "No lesion can be added at this point",
        "It lies outside of the image, or in a finding: accept that finding, or choose another point.",
    ),
    "input.no_probability": ErrorText(
        "The model sees no lesion at this point",
        "Move the crosshair into the middle of the lesion, or draw the lesion and upload the corrected mask.",
    ),
    "input.region_size": ErrorText(
        "The lesion at this point would be too large",
        "Move the crosshair into the middle of the lesion, or draw the lesion and upload the corrected mask.",
    ),
    "input.mask_grid": ErrorText(
        "The mask does not have the size and position of the image",
        "Draw it on the image under 'Report and files', and save it with the geometry of that image.",
    ),
    "input.labels": ErrorText(
        "The mask contains values that are no classes of the model",
        "Use the values of the mask under 'Report and files'.",
    ),
    "request.url": ErrorText("A link or a path cannot be opened", "Upload the images themselves."),
    "request.malformed": ErrorText("The upload arrived damaged", "Upload the files again."),
    "request.method": ErrorText("The service cannot do this", _NOT_ON_PAGE),
    "request.not_acceptable": ErrorText("The service cannot answer in this format", _NOT_ON_PAGE),
    "request.range": ErrorText("This part of the file does not exist", _NOT_ON_PAGE),
    "request.media_type": ErrorText("This form of upload is not supported", _NOT_ON_PAGE),
    "request.timeout": ErrorText(
        "The upload was too slow", "The connection stalled. Try again, from a faster network if you can."
    ),
    "request.too_large": ErrorText(
        "The upload is too large",
        "Upload one examination only, with only the series that the model needs. Pack DICOM files into one zip file.",
    ),
    "request.invalid": ErrorText(
        "Something in the form is not valid", "Check the model and the options that you chose, and try again."
    ),
    "request.idempotency": ErrorText(
        "This upload was already sent with other files", "Reload the page and upload again."
    ),
    # what the service lacks
    "service.busy": ErrorText(
        "The service is busy", "Too many studies are waiting. Nothing was lost: try again in a few minutes."
    ),
    "input.no_fitting_model": ErrorText(
        "No installed model fits these images",
        "The details say for each model what it needs. Add the missing images, correct what each shows under"
        " 'Sequences', or ask the administrator to install a model that fits.",
    ),
    "service.predictor": ErrorText("The picture could not be analysed in time", _TRY_AGAIN),
    "service.no_model": ErrorText(
        "No model is installed for this kind of study",
        "Choose another model, or ask the administrator to install one.",
    ),
    "resources.memory": ErrorText(
        "The study is too large for this computer",
        "Upload fewer or thicker slices, or ask the administrator for a computer with more memory.",
    ),
    "resources.time": ErrorText(
        "The study took too long and was stopped", "Choose a faster model, or upload a smaller study."
    ),
    "resources.disk": ErrorText(
        "The disk of the service is full",
        "Delete studies that you no longer need, or tell the administrator.",
    ),
    "resources.storage": ErrorText(
        "The service lost a file of the upload",
        "Upload the study again. If it happens again, tell the administrator: all workers must see the same folder.",
    ),
    "resources.system": ErrorText("The operating system of the service refused something", _TRY_AGAIN),
    "resources.database": ErrorText("The service cannot reach its database", _TRY_AGAIN),
    "internal": ErrorText("Something went wrong in the service", _TRY_AGAIN),
    # what kind of files
    "input.format": ErrorText(
        "A file has a format that is not supported",
        "Upload DICOM, NIfTI (.nii, .nii.gz), or pictures as PNG, TIFF, JPEG, WebP or BMP.",
    ),
    "input.mixed_kinds": ErrorText(
        "The files have different formats", "Upload either DICOM, or NIfTI files, or pictures, of one examination."
    ),
    "input.several_cases": ErrorText("There is more than one examination", "Upload one examination of one patient."),
    "input.missing": ErrorText("There are no images in the upload", "Choose the files again."),
    "input.dimensions": ErrorText(
        "The model does not fit these images",
        "Pictures need a model for pictures, volumes one for volumes: choose another model.",
    ),
    "input.too_large": ErrorText(
        "An image is too large",
        "Upload the original resolution. A single picture may have up to 25 megapixels.",
    ),
    "input.multi_page": ErrorText(
        "The file contains several pictures",
        "If these are the slices of one examination, choose 'The pages of a TIFF are slices' and upload again.",
    ),
    "input.mixed_slices": ErrorText(
        "The pictures do not belong together", "Upload slices of one examination, all of the same size and kind."
    ),
    # damaged files
    "input.truncated": ErrorText("A file is damaged or was cut short", _EXPORT_AGAIN),
    "input.checksum": ErrorText("A file was damaged during the transfer", _EXPORT_AGAIN),
    "input.trailing_data": ErrorText("A file has extra data after its end", _EXPORT_AGAIN),
    "input.unreadable": ErrorText("A file cannot be read", _EXPORT_AGAIN),
    "input.archive_damaged": ErrorText("The zip file is damaged", "Pack the DICOM files again and upload the new zip."),
    "input.archive_path": ErrorText(
        "The zip file contains unsafe paths", "Pack the DICOM files again with the system's own zip program."
    ),
    "input.archive_nested": ErrorText(
        "The zip file contains another zip file, or too many files",
        "Unpack it, and pack one examination into one zip file.",
    ),
    "input.archive_forged": ErrorText(
        "The zip file unpacks to far more data than it declares", "Pack the DICOM files again, one examination only."
    ),
    # sequences
    "input.missing_sequence": ErrorText(
        "A sequence that the model needs is missing",
        "Choose 'Change sequences or model and run again' if it is below, else 'New study'. Add the sequence, choose "
        "under 'Sequences' what each file or series shows, or choose a model that does not need it.",
    ),
    "input.unknown_sequence": ErrorText(
        "It is not clear which sequence a file shows",
        "Choose under 'Sequences' what each file shows, and upload again.",
    ),
    "input.duplicate_sequence": ErrorText(
        "Two files are assigned to the same sequence", "Correct one of them, or remove it."
    ),
    "input.label_map": ErrorText(
        "A file contains a mask or a label map instead of an image",
        "Remove it, or upload the MR image that it was drawn on.",
    ),
    "input.several_series": ErrorText(
        "Several series could show the same sequence",
        "Choose under 'Sequences' what each series shows, or upload only the series that you need.",
    ),
    # DICOM
    "input.not_dicom": ErrorText(
        "There is no DICOM in the zip file", "Pack the DICOM files of one examination. Upload other images without zip."
    ),
    "input.not_mr": ErrorText("These are not MR images", "Upload an MRI examination of the head."),
    "input.no_pixels": ErrorText("The DICOM files contain no images", "Export the images too, not only the reports."),
    "input.no_geometry": ErrorText(
        "The images have no position in the body", "Upload the original series, not screenshots of it."
    ),
    "input.transfer_syntax": ErrorText(
        "The DICOM compression is not supported", "Export the series uncompressed, and upload it again."
    ),
    "input.mixed_series": ErrorText(
        "Images of different patients or examinations are mixed", "Upload one examination of one patient only."
    ),
    "input.missing_slices": ErrorText(
        "Slices of the series are missing",
        "Export the whole series. If no more slices exist, allow gaps under 'More options'; every result then says so.",
    ),
    "input.uneven_slices": ErrorText(
        "The slices are not evenly spaced",
        "Export the whole series. If no more slices exist, allow gaps under 'More options'; every result then says so.",
    ),
    "input.duplicate_slice": ErrorText(
        "Two different images have the same position",
        "Upload one series without duplicates, for example without an added reconstruction.",
    ),
    "input.rescale": ErrorText("The grey values of a DICOM image are not valid", _EXPORT_AGAIN),
    # geometry and values
    "input.geometry": ErrorText(
        "The position of the images in space is not valid", "Upload the original series as the scanner stored it."
    ),
    "input.no_affine": ErrorText(
        "The images have no position in space", "Convert the original DICOM to NIfTI again, or upload DICOM."
    ),
    "input.label_schemes": ErrorText(
        "The studies were analysed for different classes of tissue",
        "Choose studies of one model, or analyse the images of all of them again with one model.",
    ),
    "input.shape": ErrorText("An image has an impossible size", _EXPORT_AGAIN),
    "input.axes": ErrorText(
        "A file contains several images", "Upload one three-dimensional image per file, one file per sequence."
    ),
    "input.channels": ErrorText(
        "It is not clear what the channels of an image are", "Upload one file per sequence instead."
    ),
    "input.spacing": ErrorText("The voxel size is not valid", "Convert the original DICOM to NIfTI again."),
    "input.shape_mismatch": ErrorText(
        "The sequences have different sizes", "Upload sequences of one examination, registered or as scanned."
    ),
    "input.affine_mismatch": ErrorText(
        "The sequences have different positions", "Upload sequences of one examination, registered or as scanned."
    ),
    "input.registration": ErrorText(
        "The sequences could not be registered to one another",
        "Check that all of them show the same head, and upload them again.",
    ),
    "input.not_finite": ErrorText("Too many voxels have no value", "Convert the original images again."),
    "input.scaling": ErrorText("The grey values of an image are not valid", "Convert the original images again."),
    "input.value_range": ErrorText(
        "The grey values do not suit this model", "Upload the original values of the scanner, not normalised ones."
    ),
    "input.brain_mask": ErrorText(
        "No brain was found in the images",
        "Check that they show a head. Then add a brain mask under 'More options', or upload skull-stripped images.",
    ),
    "input.brain_mask_kind": ErrorText(
        "The brain mask is not a NIfTI file", "Upload the brain mask as .nii or .nii.gz, under 'More options'."
    ),
    "input.brain_mask_of_pictures": ErrorText(
        "Brain masks cannot be used with pictures", "Remove the brain mask, or upload the study as NIfTI or DICOM."
    ),
    "input.duplicate_brain_mask": ErrorText(
        "There are two brain masks",
        "Keep one of them. If the other file is a sequence, choose it under 'Sequences'.",
    ),
    "input.empty_brain_mask": ErrorText("The brain mask is empty", "Upload a mask that covers the brain, or no mask."),
    "input.invalid": ErrorText(
        "The images cannot be used", "Check that you uploaded an MRI of the head, and try again."
    ),
    # the PACS
    "input.no_images": ErrorText("The study has no MR images", "Choose another study."),
    "usage.date": ErrorText("The dates of the search are not valid", "Choose one day, or the first and the last day."),
    "pacs.unreachable": ErrorText(
        "The PACS does not answer", "Try again later. If it happens again, tell the administrator of the service."
    ),
    "pacs.timeout": ErrorText(
        "The PACS takes too long to answer", "Try again later, with a condition that fits fewer studies."
    ),
    "pacs.refused": ErrorText(
        "The PACS refused the request", "Show the details below to the administrator of the PACS."
    ),
    "pacs.busy": ErrorText("The PACS is busy", "Try again in a few minutes."),
    "pacs.interrupted": ErrorText("The connection to the PACS ended too early", "Try again."),
    "resources.port": ErrorText(
        "The service takes another study from this PACS",
        "Try again in a few minutes. If it happens again, tell the administrator: the port for C-MOVE is in use.",
    ),
    "pacs.absent": ErrorText("The PACS does not have this study any more", "Search again."),
    "usage.missing_extra": ErrorText(
        "The service cannot reach a PACS", "Tell the administrator to install metseg with the extra 'pacs'."
    ),
    "pacs.not_found": ErrorText("The PACS does not have this study any more", "Search again."),
    # models
    "model.replaced": ErrorText("The model was updated during the analysis", "Start the analysis again."),
    "model.checksum": ErrorText("The files of the model have changed", _OTHER_MODEL),
    "model.truncated": ErrorText("The files of the model are damaged", _OTHER_MODEL),
    "model.missing": ErrorText("Files of the model are missing", _OTHER_MODEL),
    "model.invalid": ErrorText("The files of the model are not valid", _OTHER_MODEL),
    "model.recipe": ErrorText("The model belongs to another version of metseg", _OTHER_MODEL),
    "model.architecture": ErrorText("The model belongs to another version of metseg", _OTHER_MODEL),
    "model.prediction": ErrorText("The model does not compute as it should on this machine", _OTHER_MODEL),
    "model.pickle": ErrorText("The model has a format that is not opened for safety", _OTHER_MODEL),
    "usage.uncertainty": ErrorText(
        "This model cannot measure the uncertainty",
        "It makes one prediction only. Clear 'Measure uncertainty', or choose a model with several folds.",
    ),
    "usage.dates": ErrorText(
        "The dates do not fit the studies", "Give a date for every study, the earliest first, or for none."
    ),
    "usage.clinical_inputs": ErrorText(
        "Steroids or clinical status are missing for some studies",
        "Choose them for every study after the first, or for none.",
    ),
    "usage.unknown_name": ErrorText(
        "A name in the request is not known", "Choose the model again under 'Model'; it may have been removed."
    ),
}

#: Text for a code that is not in the table, by the first word of the code.
FAMILIES: Final[Mapping[str, ErrorText]] = {
    "input": ErrorText("The images cannot be used", "Read the details below, correct the files and upload them again."),
    "request": ErrorText("The request cannot be fulfilled", "Read the details below, and try again."),
    "service": ErrorText("The service cannot do this now", _TRY_AGAIN),
    "pacs": ErrorText("The PACS refused the request", "Show the details below to the administrator of the PACS."),
    "resources": ErrorText("The computer does not have enough memory, disk space or time", _TRY_AGAIN),
    "model": ErrorText("The model cannot be used", "Choose another model, and report this one to the administrator."),
    "usage": ErrorText("The chosen options do not fit together", "Change the model or the options, and try again."),
}


def words_for(code: str) -> ErrorText:
    """Return the text for an error code: its own, that of its family, or the general one.

    >>> words_for("input.truncated").title, words_for("input.new").title, words_for("what.ever").title
    ('A file is damaged or was cut short', 'The images cannot be used', 'Something went wrong in the service')
    """
    return WORDS.get(code) or FAMILIES.get(code.partition(".")[0]) or WORDS["internal"]


def explain_error(error: MetsegError) -> Explained:
    """Return the explanation of an error that a request raised."""
    request = getattr(getattr(error, "problem", None), "request", None)
    technical = error.one_line() + (f" [request {request}]" if request else "")
    return Explained(words_for(error.code), error.code, technical, _readable_place(error.where))


def explain_failure(failure: Failure) -> Explained:
    """Return the explanation of a failed study."""
    said = [failure.detail, *([] if failure.cure is None else [failure.cure])]
    phase = f" [while: {failure.phase}]" if failure.phase else ""
    return Explained(words_for(failure.code), failure.code, "; ".join(said) + phase, _readable_place(failure.where))


def _readable_place(where: object) -> str | None:
    """Return a place for the user. The id of a study is none: the page shows that study already.

    >>> _readable_place("file 2"), _readable_place("case 0123456789abcdef0123456789abcdef"), _readable_place(None)
    ('file 2', None, None)
    """
    return None if where is None or _STUDY_ID.search(str(where)) else str(where)
