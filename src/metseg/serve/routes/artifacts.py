"""`/studies/{id}/artifacts/{name}`: results of a study as files."""

from __future__ import annotations

import re
from pathlib import Path as FilePath
from typing import Annotated, Final

from fastapi import APIRouter, Header, Path, Request, Response
from fastapi.responses import FileResponse
from starlette.types import Receive, Scope, Send

from metseg.schemas import ARTIFACTS, Artifact
from metseg.serve.http.dependencies import Reading, Svc
from metseg.serve.http.middleware import ASKED_HEAD
from metseg.serve.http.openapi import Responses, header, problems
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
ByteRange = Annotated[str | None, Header(alias="Range", description="Part of the file: bytes=0-99.")]
_PART: Final = {kind: {"schema": {"type": "string", "format": "binary"}} for kind in sorted(set(ARTIFACTS.values()))}
_CONTENT: Final = {**_PART, "application/json": {"schema": {"type": "object"}}}
#: Responses of routes that send a file.
FILE_RESPONSES: Final[Responses] = {
    200: {"description": "The file.", "content": _CONTENT, "headers": {"ETag": header("SHA-256 of the content.")}},
    206: {"description": "The part requested with Range.", "content": _PART},
    304: {"description": "Nothing has changed since the ETag in If-None-Match."},
    **problems("request.forbidden", "request.unknown", "request.range", "request.url", "request.invalid"),
}


@router.get(
    "/{study_id}/artifacts/{name}",
    summary="Get a result",
    response_class=Response,
    responses=FILE_RESPONSES,
)
def get_artifact(
    request: Request,
    service: Svc,
    who: Reading,
    study_id: StudyId,
    name: Name,
    if_none_match: IfNoneMatch = None,
    byte_range: ByteRange = None,
) -> Response:
    """Get one result of a study that is done."""
    record = service.studies.find(who, study_id)
    found = next((item for item in artifacts_of(record) if item.name == name), None) if is_artifact(name) else None
    path = service.folders.study(study_id).artifacts / name
    if found is None or not path.is_file():
        raise Refused(
            "request.unknown", "the study has no such result", cure="see the artifacts in GET /studies/{study_id}"
        )
    answer = send_file(request, path, found, f"{study_id[:8]}-{name}", if_none_match, byte_range)
    if is_content(request, answer):
        service.studies.note(who, "artifact.read", study_id, {"name": name})
    return answer


def send_file(
    request: Request, path: FilePath, artifact: Artifact, name: str, if_none_match: str | None, byte_range: str | None
) -> Response:
    """Return the response with a stored file.

    Args:
        request: of the client.
        path: the file.
        artifact: its entry.
        name: of the download.
        if_none_match: an earlier ETag.
        byte_range: header Range.
    Raises:
        Refused: ``request.range``.
    """
    etag = f'"{artifact.sha256}"'
    if if_none_match is not None and matches(if_none_match, etag):
        return Response(status_code=304, headers={"ETag": etag})
    if byte_range is not None:
        _require_range(byte_range, artifact.bytes)
    policy = _PDF_POLICY if artifact.media_type == _PDF else _POLICY
    headers = {"ETag": etag, "Cache-Control": "private, no-cache", "Content-Security-Policy": policy}
    is_shown = artifact.media_type.startswith(("text/html", "image/", "application/pdf"))
    response = _HeadOfFile if getattr(request.state, ASKED_HEAD, False) else FileResponse
    return response(
        path,
        media_type=artifact.media_type,
        headers=headers,
        filename=name,
        content_disposition_type="inline" if is_shown else "attachment",
    )


def is_content(request: Request, answer: Response) -> bool:
    """Return whether a response of `send_file` sends content of the file, which the audit log records."""
    return isinstance(answer, FileResponse) and not getattr(request.state, ASKED_HEAD, False)


class _HeadOfFile(FileResponse):
    """The headers of a file; its content is not read."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await super().__call__({**scope, "method": "HEAD"}, receive, send)


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
