"""Convert errors to problem documents (RFC 9457), with a status for each code and without private data.

Paths of the server are removed from every text, and files are referred to by their number in the upload. Errors of
metseg contain no patient names: files have no other names here, and `metseg.io.dicom` never quotes header values.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from metseg.errors import BundleError, InputError, LockedError, MetsegError, ResourceError, UsageError
from metseg.pacs.pacs_errors import PacsError
from metseg.schemas import Failure, Phase, Problem

#: Status by code; other codes have the status of their error class.
STATUS: Final[Mapping[str, int]] = {
    # errors of the request
    "request.url": 400,
    "request.malformed": 400,
    "request.host": 400,
    "request.unauthorised": 401,
    "request.forbidden": 403,
    "request.origin": 403,
    "request.unknown": 404,
    "request.method": 405,
    "request.not_acceptable": 406,
    "request.timeout": 408,
    "request.state": 409,
    "request.results_missing": 409,
    "request.no_dicom": 409,
    "request.pseudonym": 409,
    "request.corrected": 409,
    "request.different_patients": 409,
    "request.conflict": 409,
    "request.too_large": 413,
    "request.range": 416,
    "request.media_type": 415,
    "request.invalid": 422,
    "request.rate": 429,
    "request.queue": 429,
    "request.idempotency": 422,
    # errors of the uploaded files
    "input.archive_path": 400,
    "input.archive_nested": 413,
    "input.archive_forged": 413,
    "input.too_large": 413,
    "input.trailing_data": 413,
    "input.format": 415,
    "input.not_dicom": 415,
    "input.transfer_syntax": 415,
    # errors of the service
    "service.busy": 503,
    "service.predictor": 503,
    "service.no_model": 503,
    "resources.memory": 503,
    "resources.database": 503,
    "resources.time": 503,
    "resources.disk": 507,
    # errors of the PACS
    "pacs.refused": 502,
    "pacs.not_found": 404,
    "pacs.absent": 404,
    "pacs.unreachable": 503,
    "pacs.timeout": 503,
    "pacs.busy": 503,
    "pacs.interrupted": 503,
    "resources.port": 503,
    "usage.missing_extra": 503,
    "usage.unknown_name": 422,
    "licence.not_accepted": 403,
    "internal": 500,
}

#: Status of data errors with a code that is not in `STATUS`.
INPUT_STATUS: Final = 422
#: Status by error class; the first match counts.
CLASS_STATUS: Final[tuple[tuple[type[MetsegError], int], ...]] = (
    (InputError, INPUT_STATUS),
    (UsageError, INPUT_STATUS),
    (BundleError, 503),
    (ResourceError, 507),
    (LockedError, 409),
    (PacsError, 502),
    (MetsegError, 500),
)

#: Title of each status.
TITLES: Final[Mapping[int, str]] = {
    400: "The request is malformed",
    401: "An API key is required",
    403: "This is not allowed",
    404: "Not found",
    405: "This method is not supported here",
    406: "None of the accepted formats is available",
    408: "The upload took too long",
    409: "This is not possible now",
    413: "The upload is too large",
    415: "The file format is not supported",
    416: "The file has no such part",
    422: "The data cannot be used",
    429: "Too many requests",
    500: "Internal error",
    502: "The PACS did not do this",
    503: "The service is not available for this now",
    507: "The service has no disk space left",
}

#: Cure by code, instead of a cure of the library that names an option of the command line.
CURES: Final[Mapping[str, str]] = {
    "input.missing_sequence": (
        "send each NIfTI file in the field of its sequence (t1n, t1c, t2w, t2f), name DICOM series in the field series "
        "(t1c=5), or choose a model that can work without it"
    ),
    "input.duplicate_sequence": (
        "send only one file or series per sequence; assign them with the fields t1n, t1c, t2w, t2f and series"
    ),
    "input.brain_mask": (
        "send a brain mask in the field brain_mask (NIfTI, on the grid of an image), or skull-stripped images"
    ),
    "licence.not_accepted": (
        "choose another model (see GET /models), or ask the operator of the service to accept the terms"
    ),
    "input.dimensions": "choose a model for volumes (see GET /models), or send slices as pictures",
    "input.unknown_sequence": "send the file in the field of its sequence, such as t1c",
}

_ENDINGS = r"(?:nii\.gz|nii|png|tif|jpg|webp|bmp|dcm|zip)"
_FOLDERS = r"(?:inputs|incoming[/\\][0-9a-f]{32})[/\\]"
_INPUT_FILE = re.compile(rf"(?:[^\s:'\"]*[/\\])?{_FOLDERS}0*(\d+)(?:\.[\w.]+)?|\b0*(\d+)\.{_ENDINGS}\b")
_PATH = re.compile(r"(?<![\w<])(?:[A-Za-z]:)?(?:[/\\][^\s/\\:'\",;()]+){2,}[/\\]?")
#: Maximum length of a text. A list of many series must fit.
_LONGEST = 2000


def status_of(error: MetsegError) -> int:
    """Return the status of an error.

    >>> status_of(InputError("x", code="input.too_large")), status_of(InputError("x")), status_of(BundleError("x"))
    (413, 422, 503)
    """
    by_class = next(status for kind, status in CLASS_STATUS if isinstance(error, kind))
    return STATUS.get(error.code, by_class)


def public_text(text: object) -> str:
    """Remove the server's paths from a text; uploaded files are referred to by their number.

    >>> public_text("/srv/m/studies/ab/abcd/inputs/0002.nii.gz: the file is truncated")
    'file 2: the file is truncated'
    >>> public_text("no bundle at /home/jane/.metseg/bundles/x")
    'no bundle at (path)'
    """
    # The path of the home folder may contain spaces, which the pattern does not match.
    home = os.environ.get("METSEG_HOME") or str(Path.home() / ".metseg")
    named = _INPUT_FILE.sub(lambda found: f"file {found[1] or found[2]}", str(text).replace(home, "(home)"))
    return " ".join(_PATH.sub("(path)", named).split())[:_LONGEST]


def failure_of(error: MetsegError, phase: Phase | None = None) -> Failure:
    """Return the stored and public description of an error that ended a study."""
    facts = [
        f"{name} {value}" for name, value in (("expected", error.expected), ("got", error.got)) if value is not None
    ]
    detail = error.what + (f" ({', '.join(facts)})" if facts else "")
    where = None if error.where is None else public_text(error.where)
    return Failure(code=error.code, detail=public_text(detail), where=where, cure=_cure_of(error), phase=phase)


def _cure_of(error: MetsegError) -> str | None:
    """Return the cure of an error for users of the API, who have no command line."""
    if error.cure is None:
        return None
    return public_text(error.cure_among((), CURES))


def problem_of(error: MetsegError, *, request: str | None = None, **members: Any) -> Problem:
    """Return the problem document of an error."""
    failure = failure_of(error)
    return make_problem(
        error.code,
        failure.detail,
        status=status_of(error),
        where=failure.where,
        cure=failure.cure,
        request=request,
        **members,
    )


def make_problem(code: str, detail: str, *, status: int | None = None, **members: Any) -> Problem:
    """Return a problem document; ``status`` defaults to the status of the code."""
    number = STATUS.get(code, INPUT_STATUS) if status is None else status
    title = TITLES.get(number, TITLES[500])
    return Problem(type=f"urn:metseg:problem:{code}", title=title, status=number, detail=detail, code=code, **members)


class Refused(MetsegError):
    """The service refuses a request.

    Args:
        code: a code ``request.*`` or ``service.*`` of `STATUS`.
        what: what happened, as for every `MetsegError`.
        headers: extra headers of the response.
    """

    def __init__(self, code: str, what: str, *, headers: Mapping[str, str] | None = None, **facts: Any) -> None:
        super().__init__(what, code=code, **facts)
        self.headers = dict(headers or {})
