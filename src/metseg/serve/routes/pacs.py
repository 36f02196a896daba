"""`/pacs`: search the PACS of the settings, take studies from them, and store results in them; for operators."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Request, Response
from starlette.concurrency import run_in_threadpool

from metseg.pacs_schemas import PacsFetch, PacsList, PacsSearch, PacsSend, PacsSent, PacsStudyList
from metseg.schemas import Scope, Study
from metseg.serve.http.dependencies import Operating, Reading, Svc, Writing
from metseg.serve.http.openapi import UPLOADS, json_body, problems
from metseg.serve.http.openapi_examples import ACCEPTED, PACS_FETCH, PACS_SEARCH, PACS_SENT, PACS_STUDIES, STUDY_ID
from metseg.serve.http.serializers import study_of
from metseg.serve.http.uploads import read_json, working_folder
from metseg.serve.routes.studies import accept_upload
from metseg.serve.service_context import Service
from metseg.serve.storage.api_keys import Principal
from metseg.serve.storage.db_models import StudyRecord

router = APIRouter(prefix="/pacs", tags=["pacs"], redirect_slashes=False)

Name = Annotated[str, Path(pattern="^[A-Za-z0-9_-]{1,32}$", description="Name of a PACS, from `GET /pacs`.")]
#: Characters of the digest of a study that are its idempotency key.
_KEY_LENGTH: Final = 32
_JSON: Final = ("request.media_type", "request.too_large", "request.timeout")
_PACS: Final = (
    *("request.forbidden", "request.unknown", "request.url", "request.invalid", *_JSON),
    *("pacs.unreachable", "pacs.not_found", "pacs.refused"),
)

_NOT_SENT: Final = ("request.state", "request.no_dicom", "request.pseudonym", "request.corrected")


def _described(description: str, example: Any) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"example": example}}}


@router.get(
    "",
    summary="List PACS",
    response_model=PacsList,
    responses={200: _described("Names.", {"pacs": ["archive"]}), **problems("request.forbidden", "request.url")},
)
def list_pacs(service: Svc, who: Reading) -> PacsList:
    """List the PACS that the operator has configured; none for keys without the scope `operate`."""
    return PacsList(pacs=service.pacs.names if Scope.OPERATE in who.scopes else ())


@router.post(
    "/{name}/search",
    summary="Search a PACS",
    response_model=PacsStudyList,
    responses={200: _described("Studies that match.", PACS_STUDIES), **problems(*_PACS, "usage.date")},
    openapi_extra=json_body("PacsSearch", PACS_SEARCH),
)
async def search_pacs(request: Request, service: Svc, who: Operating, name: Name) -> PacsStudyList:
    """Search studies by patient, date, description, modality or accession number. The answer names patients.

    The conditions are in the body, because addresses are logged by proxies.
    """
    asked = await read_json(request, service.edit_limits, PacsSearch)
    found = await run_in_threadpool(service.pacs.search, name, asked)
    await run_in_threadpool(service.studies.note, who, "pacs.searched", None, {"pacs": name})
    return found


@router.post(
    "/{name}/fetch",
    status_code=202,
    summary="Take a study from a PACS",
    response_model=Study,
    responses={
        202: _described("Accepted and stored durably.", ACCEPTED),
        **problems(*_PACS, *UPLOADS, "request.queue", "service.no_model", "input.no_fitting_model", "input.no_images"),
    },
    openapi_extra=json_body("PacsFetch", PACS_FETCH),
)
async def fetch_from_pacs(
    request: Request, response: Response, service: Svc, who: Operating, _writer: Writing, name: Name
) -> Study:
    """Take the images of a study from a PACS, and analyse them like an upload. Fetched again, it is the same study."""
    asked = await read_json(request, service.edit_limits, PacsFetch)
    with service.gate.enter():
        record, known = await run_in_threadpool(_fetch, service, who, name, asked)
    response.headers["Location"] = f"/studies/{record.id}"
    if known:
        response.headers["Idempotent-Replayed"] = "true"
    return study_of(record)


@router.post(
    "/{name}/send",
    summary="Store results in a PACS",
    response_model=PacsSent,
    responses={200: _described("What became of the objects.", PACS_SENT), **problems(*_PACS, *_NOT_SENT)},
    openapi_extra=json_body("PacsSend", {"study": STUDY_ID}),
)
async def send_to_pacs(request: Request, service: Svc, who: Operating, _reader: Reading, name: Name) -> PacsSent:
    """Store the DICOM results of a finished study in a PACS. Objects that it has are skipped.

    They are the results of the model. If the study was corrected, this is refused unless `without_corrections` is set.
    """
    asked = await read_json(request, service.edit_limits, PacsSend)
    return await run_in_threadpool(service.pacs.send, who, name, asked)


def _fetch(service: Service, who: Principal, name: str, asked: PacsFetch) -> tuple[StudyRecord, bool]:
    """Retrieve a study into a folder of its own, and accept it."""
    service.studies.require_room(who, None)
    with working_folder(service.folders.incoming, service.study_limits) as folder:
        fetched = service.pacs.retrieve(name, asked, folder)
        digest, upload = fetched.digest, fetched.upload
        key = digest[:_KEY_LENGTH]
        accepted = accept_upload(service, who, upload, key, asked.options, asked.label, digest=digest)
        service.studies.note(who, "pacs.fetched", accepted[0].id, {"pacs": name, "images": len(upload.files)})
        return accepted
