"""`/studies/{id}/artifacts/{name}`: results of a study as files."""

from __future__ import annotations

import re
from typing import Annotated, Final

from fastapi import APIRouter, Header, Path, Response
from fastapi.responses import FileResponse

from metseg.schemas import ARTIFACTS
from metseg.serve.http.dependencies import Reading, Svc
from metseg.serve.http.openapi import header, problems
from metseg.serve.http.problem_details import Refused
from metseg.serve.http.serializers import artifacts_of
from metseg.serve.routes.studies import IfNoneMatch, StudyId, matches
from metseg.serve.storage.artifact_names import is_artifact

router = APIRouter(prefix="/studies", tags=["studies"], redirect_slashes=False)

#: Reports may contain inline pictures and styles, but run no scripts and load nothing, and are shown in no frame.
_POLICY: Final = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none';"
    " frame-ancestors 'none'; sandbox"
)
#: Shorter for PDF, because a sandbox and limits of sources break the PDF viewers of browsers.
_PDF, _PDF_POLICY = "application/pdf", "frame-ancestors 'none'"

_RANGE: Final = re.compile(r"bytes=(?:(\d{1,18})-(\d{0,18})|-(\d{1,18}))")

Name = Annotated[
    str,
    Path(
        max_length=64,
        description=f"One of {', '.join(ARTIFACTS)}; `GET /studies/{{id}}` lists those of a study.",
        examples=["mask.nii.gz"],
    ),
]
_PART: Final = {kind: {"schema": {"type": "string", "format": "binary"}} for kind in sorted(set(ARTIFACTS.values()))}
_CONTENT: Final = {**_PART, "application/json": {"schema": {"type": "object"}}}


@router.get(
    "/{study_id}/artifacts/{name}",
    summary="Get a result",
    response_class=Response,
    responses={
        200: {"description": "The file.", "content": _CONTENT, "headers": {"ETag": header("SHA-256 of the content.")}},
        206: {"description": "The part requested with Range.", "content": _PART},
        304: {"description": "Nothing has changed since the ETag in If-None-Match."},
        **problems("request.forbidden", "request.unknown", "request.range", "request.url", "request.invalid"),
    },
)
def fetch(
    service: Svc,
    who: Reading,
    study_id: StudyId,
    name: Name,
    if_none_match: IfNoneMatch = None,
    byte_range: Annotated[str | None, Header(alias="Range", description="Part of the file: bytes=0-99.")] = None,
) -> Response:
    """Get one result of a study that is done."""
    record = service.studies.find(who, study_id)
    found = next((item for item in artifacts_of(record) if item.name == name), None) if is_artifact(name) else None
    path = service.folders.study(study_id).artifacts / name
    if found is None or not path.is_file():
        raise Refused(
            "request.unknown", "the study has no such result", cure="see the artifacts in GET /studies/{study_id}"
        )
    etag = f'"{found.sha256}"'
    if if_none_match is not None and matches(if_none_match, etag):
        return Response(status_code=304, headers={"ETag": etag})
    if byte_range is not None:
        _require_range(byte_range, found.bytes)
    service.studies.note(who, "artifact.read", study_id, {"name": name})
    policy = _PDF_POLICY if found.media_type == _PDF else _POLICY
    headers = {"ETag": etag, "Cache-Control": "private, no-cache", "Content-Security-Policy": policy}
    disposition = "inline" if found.media_type.startswith(("text/html", "image/", "application/pdf")) else "attachment"
    return FileResponse(
        path,
        media_type=found.media_type,
        headers=headers,
        filename=f"{study_id[:8]}-{name}",
        content_disposition_type=disposition,
    )


def _require_range(asked: str, size: int) -> None:
    """Raise unless a header is one byte range of the file; `FileResponse` then sends that range.

    >>> _require_range("bytes=0-99", 50)
    >>> _require_range("bytes=50-", 50)
    Traceback (most recent call last):
    ...
    metseg.serve.http.problem_details.Refused: header Range: the file has no such part (expected one range of bytes, ...
    """
    match = _RANGE.fullmatch(asked.strip())
    first, last, length = (int(part) if part else None for part in match.groups()) if match else (None, None, 0)
    begin = max(size - length, 0) if length is not None else first
    if begin is None or begin >= size or (last is not None and last < begin):
        raise Refused(
            "request.range",
            "the file has no such part",
            where="header Range",
            expected="one range of bytes, such as bytes=0-99",
            headers={"Content-Range": f"bytes */{size}"},
        )
