"""`/dicom-web`: take DICOM objects by STOW-RS for the receiver."""

from __future__ import annotations

import json
from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Request, Response
from starlette.concurrency import run_in_threadpool

from metseg.serve.http.content_negotiation import accepts
from metseg.serve.http.dependencies import Storing, Svc
from metseg.serve.http.multipart_related import related_reader_for
from metseg.serve.http.openapi import STOW_BODY, problems
from metseg.serve.http.openapi_examples import STOW_FAILED, STOW_STORED, STOW_STORED_IN_PART
from metseg.serve.http.problem_details import Refused
from metseg.serve.http.uploads import receiving
from metseg.serve.service_context import Service
from metseg.serve.storage.api_keys import Principal

router = APIRouter(prefix="/dicom-web", tags=["pacs"], redirect_slashes=False)

#: Media type of the answer.
DICOM_JSON: Final = "application/dicom+json"

StudyUid = Annotated[
    str,
    Path(max_length=64, pattern=r"^[0-9]+(\.[0-9]+)*$", description="UID of the study of all objects."),
]


def _answer(description: str, example: Any) -> dict[str, Any]:
    content = {DICOM_JSON: {"schema": {"$ref": "#/components/schemas/DicomJson"}, "example": example}}
    return {"description": description, "content": content}


_RESPONSES: Final[dict[int | str, dict[str, Any]]] = {
    200: _answer("All objects are stored, or were there.", STOW_STORED),
    202: _answer("Some objects are stored; the others have the reason of their failure.", STOW_STORED_IN_PART),
    409: _answer("No object is stored; each has the reason of its failure.", STOW_FAILED),
    **problems(
        *("request.forbidden", "request.unknown", "request.not_acceptable", "request.malformed", "request.timeout"),
        *("request.too_large", "request.media_type", "request.url", "request.invalid", "service.busy"),
        *("resources.disk", "usage.missing_extra"),
    ),
}


@router.post(
    "/studies",
    summary="Store DICOM objects (STOW-RS)",
    response_class=Response,
    responses=_RESPONSES,
    openapi_extra=STOW_BODY,
)
async def store_objects(request: Request, service: Svc, who: Storing) -> Response:
    """Store DICOM objects of any studies for the receiver, which processes each study when it is complete.

    An object that is there already stays as it is, and counts as stored, so a request can be repeated.
    """
    return await _store(request, service, who, None)


@router.post(
    "/studies/{study_uid}",
    summary="Store DICOM objects of a study (STOW-RS)",
    response_class=Response,
    responses=_RESPONSES,
    openapi_extra=STOW_BODY,
)
async def store_objects_of_study(request: Request, service: Svc, who: Storing, study_uid: StudyUid) -> Response:
    """Store DICOM objects of one study for the receiver; objects of other studies fail."""
    return await _store(request, service, who, study_uid)


async def _store(request: Request, service: Service, who: Principal, study_uid: str | None) -> Response:
    service.stow.require_receiver()
    accept = request.headers.get("accept")
    if not accepts(accept, DICOM_JSON) and not accepts(accept, "application/json"):
        raise Refused(
            "request.not_acceptable",
            "none of the accepted formats is available",
            where="header Accept",
            expected=DICOM_JSON,
        )
    with service.gate.enter():
        async with receiving(request, service.folders.incoming, service.study_limits, related_reader_for) as upload:
            answer = await run_in_threadpool(service.stow.store, who, upload, study_uid)
            service.measures.uploaded(sum(file.bytes for file in upload.files))
    return Response(json.dumps(answer.document), answer.status, media_type=DICOM_JSON)
