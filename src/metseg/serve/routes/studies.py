"""`/studies`: submit, list, get, cancel and delete studies."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response
from pydantic import AfterValidator, AwareDatetime, BeforeValidator
from starlette.concurrency import run_in_threadpool

from metseg.errors import InputError
from metseg.schemas import BRAIN_MASK, LABEL_CHARACTERS, SEQUENCES, Kind, Options, State, Study, StudyChange, StudyList
from metseg.serve.http.dependencies import Reading, Svc, Writing
from metseg.serve.http.openapi import LABEL_BODY, STUDY_BODY, UPLOADS, header, problems
from metseg.serve.http.openapi_examples import ACCEPTED, STUDIES, STUDY
from metseg.serve.http.problem_details import Refused
from metseg.serve.http.request_options import options_of, take_label
from metseg.serve.http.serializers import THUMBNAIL, study_of, summary_of
from metseg.serve.http.upload_reader import ReceivedFile, Upload
from metseg.serve.http.upload_traits import traits_of_upload
from metseg.serve.http.upload_validation import check_file, require_brain_mask, study_kind
from metseg.serve.http.uploads import read_json, receiving
from metseg.serve.model_registry import USES, VOLUMES, model_for, require_several_predictions
from metseg.serve.service_context import Service
from metseg.serve.storage.api_keys import Principal
from metseg.serve.storage.db_models import StudyRecord
from metseg.serve.storage.study_service import CheckedFile, NewStudy, Search

router = APIRouter(prefix="/studies", tags=["studies"], redirect_slashes=False)

#: Recommended seconds between two requests for an unfinished study.
_POLL_S: Final = 1

StudyId = Annotated[str, Path(pattern="^[0-9a-f]{32}$", description="Id of a study, from `POST /studies`.")]
IdempotencyKey = Annotated[
    str | None,
    Header(
        pattern="^[A-Za-z0-9_-]{1,64}$",
        description="Chosen by the client, unique per study: repeating a request with its key is safe.",
    ),
]
IfNoneMatch = Annotated[str | None, Header(description="An earlier ETag; the answer is 304 if nothing has changed.")]

#: Text of a search. PostgreSQL takes no NUL.
_NO_NUL: Final = r"^[^\x00]*$"


def _in_utc(moment: datetime) -> datetime:
    """Return a time in UTC, as it is compared.

    Raises:
        ValueError: in UTC it lies outside of the years 1 to 9999, which Python and the databases know.
    """
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("the time must lie in the years 1 to 9999, in UTC too") from None


def _written_as_time(text: str) -> str:
    """Return the text of a time; pydantic would take bare numbers for seconds since 1970."""
    if not _DATE.match(text):
        raise ValueError("expected a time such as 2026-01-31T08:00:00Z")
    return text


_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ]")
_Moment = Annotated[AwareDatetime, BeforeValidator(_written_as_time), AfterValidator(_in_utc)]

_ETAG: Final = {
    "ETag": header("Changes with every change of the study."),
    "Retry-After": header("Seconds until the next request."),
}


def _example(value: Any, description: str, headers: dict[str, Any] | None = None) -> dict[str, Any]:
    found: dict[str, Any] = {"description": description, "content": {"application/json": {"example": value}}}
    return found if headers is None else {**found, "headers": headers}


@router.post(
    "",
    status_code=202,
    summary="Submit a study",
    response_model=Study,
    responses={
        202: _example(ACCEPTED, "Accepted and stored durably.", {**_ETAG, "Location": header("The study.")}),
        **problems(
            *UPLOADS,
            "request.forbidden",
            "request.queue",
            "request.idempotency",
            "service.no_model",
            "input.no_fitting_model",
            "licence.not_accepted",
            "usage.uncertainty",
        ),
    },
    openapi_extra=STUDY_BODY,
)
async def create_study(
    request: Request, response: Response, service: Svc, who: Writing, idempotency_key: IdempotencyKey = None
) -> Study:
    """Submit pictures of one patient, NIfTI files (one per sequence), or DICOM (files or one zip archive).

    Models for skull-stripped images need a brain mask for images with skull. Send it in the field `brain_mask`.
    Without one, the service extracts the brain with a network and stores the mask as artifact `brain_mask.nii.gz`.

    Errors in the file headers are reported at once, other errors during the analysis of the study.
    """
    with service.gate.enter():
        await run_in_threadpool(service.studies.require_room, who, idempotency_key)
        async with receiving(request, service.folders.incoming, service.study_limits) as upload:
            record, known = await run_in_threadpool(_accept, service, who, upload, idempotency_key)
    _head(response, record)
    response.headers["Location"] = f"/studies/{record.id}"
    if known:
        response.headers["Idempotent-Replayed"] = "true"
    return study_of(record)


def _search(
    state: Annotated[State | None, Query(description="Only studies in this state.")] = None,
    label: Annotated[
        str | None,
        Query(
            max_length=LABEL_CHARACTERS,
            pattern=_NO_NUL,
            description="Only studies with these letters in their label.",
        ),
    ] = None,
    model: Annotated[
        str | None, Query(max_length=100, pattern=_NO_NUL, description="Only studies of this model.")
    ] = None,
    begin: Annotated[_Moment | None, Query(description="Only studies accepted at this time or later.")] = None,
    end: Annotated[_Moment | None, Query(description="Only studies accepted before this time.")] = None,
) -> Search:
    """Return the conditions of a search, from the query."""
    return Search(label, model, state, begin, end)


@router.get(
    "",
    summary="List studies",
    response_model=StudyList,
    responses={
        200: _example(STUDIES, "Studies, newest first."),
        **problems("request.forbidden", "request.unknown", "request.url", "request.invalid"),
    },
)
def list_studies(
    service: Svc,
    who: Reading,
    search: Annotated[Search, Depends(_search)],
    limit: Annotated[int, Query(ge=1, le=200, description="Maximum number of studies.")] = 50,
    after: Annotated[str | None, Query(pattern="^[0-9a-f]{32}$", description="`next` of the previous page.")] = None,
) -> StudyList:
    """List the caller's studies that match all given conditions, newest first."""
    page = service.studies.page(who, limit=limit, after=after, search=search)
    pictured = service.studies.with_artifact(page.records, THUMBNAIL)
    summaries = tuple(summary_of(record, has_thumbnail=record.id in pictured) for record in page.records)
    return StudyList(studies=summaries, next=page.next)


@router.get(
    "/{study_id}",
    summary="Get a study",
    response_model=Study,
    responses={
        200: _example(STUDY, "The study with its progress.", _ETAG),
        304: {"description": "Nothing has changed since the ETag in If-None-Match."},
        **problems("request.forbidden", "request.unknown", "request.url", "request.invalid"),
    },
)
def get_study(
    response: Response, service: Svc, who: Reading, study_id: StudyId, if_none_match: IfNoneMatch = None
) -> Study | Response:
    """Get the progress of a study, and its results when it is done. Poll with `If-None-Match` to save traffic."""
    version = service.studies.version(who, study_id)
    if if_none_match is not None and matches(if_none_match, _etag(version)):
        return Response(status_code=304, headers={"ETag": _etag(version)})
    record = service.studies.find(who, study_id)
    _head(response, record)
    return study_of(record)


@router.patch(
    "/{study_id}",
    summary="Label a study",
    response_model=Study,
    responses={
        200: _example({**STUDY, "label": "Follow-up 2"}, "The study with its new label.", _ETAG),
        **problems(
            "request.forbidden",
            "request.unknown",
            "request.url",
            "request.invalid",
            "request.media_type",
            "request.too_large",
            "request.timeout",
        ),
    },
    openapi_extra=LABEL_BODY,
)
async def label_study(request: Request, response: Response, service: Svc, who: Writing, study_id: StudyId) -> Study:
    """Change the label of a study, a few words to find it again. Never use the name of a patient."""
    change = await read_json(request, service.edit_limits, StudyChange)
    record = await run_in_threadpool(service.studies.set_label, who, study_id, " ".join(change.label.split()))
    _head(response, record)
    return study_of(record)


@router.post(
    "/{study_id}/cancel",
    summary="Cancel a study",
    response_model=Study,
    responses={
        200: _example({**ACCEPTED, "state": "cancelled"}, "The cancelled study.", _ETAG),
        **problems("request.forbidden", "request.unknown", "request.state", "request.url", "request.invalid"),
    },
)
def cancel_study(response: Response, service: Svc, who: Writing, study_id: StudyId) -> Study:
    """Cancel the analysis of a study. The study stays in the list without results."""
    record = service.studies.cancel(who, study_id)
    _head(response, record)
    return study_of(record)


@router.delete(
    "/{study_id}",
    status_code=204,
    summary="Delete a study",
    response_class=Response,
    responses=problems("request.forbidden", "request.unknown", "request.url", "request.invalid"),
)
def delete_study(service: Svc, who: Writing, study_id: StudyId) -> Response:
    """Delete a study, its files and its results permanently; cancel its analysis."""
    service.studies.delete(who, study_id)
    return Response(status_code=204)


def _accept(service: Service, who: Principal, upload: Upload, key: str | None) -> tuple[StudyRecord, bool]:
    """Validate an upload and accept it as a study."""
    digest = upload.digest()  # before fields are taken out
    label = take_label(upload.fields)
    return accept_upload(service, who, upload, key, options_of(upload.fields), label, digest=digest)


def accept_upload(
    service: Service,
    who: Principal,
    upload: Upload,
    key: str | None,
    options: Options,
    label: str,
    *,
    digest: str | None = None,
) -> tuple[StudyRecord, bool]:
    """Validate files and accept them as a study; return it, and whether an earlier request had created it.

    Args:
        service: the components.
        who: the owner.
        upload: the files.
        key: idempotency key, if any.
        options: of the study.
        label: words of the user.
        digest: hash of the request; None: that of the upload.
    """
    digest = digest or upload.digest()
    if not upload.files:
        raise Refused("request.invalid", "the form contains no file", where="the form", expected="files")
    checked = []
    for file in upload.files:
        kind, ending = check_file(file.path, f"file {file.number}")
        if kind == Kind.NIFTI and file.is_doubtful:
            raise _unclear(file)
        checked.append(CheckedFile(file, kind, ending))
    masks = {item.file.number: item.kind for item in checked if item.file.sequence == BRAIN_MASK}
    rest = [item.kind for item in checked if item.file.number not in masks]
    require_brain_mask(masks, rest)
    kind = study_kind(rest)
    traits = USES[VOLUMES] if options.model else traits_of_upload(kind, checked, options.series)
    choice = model_for(service.settings, traits, options.model)
    if options.uncertainty:
        require_several_predictions(choice.model)
    chosen = options.model_copy(update={"model": choice.model})
    new = NewStudy(upload.folder, kind, checked, chosen, digest, key, model_reason=choice.text, label=label)
    accepted = service.studies.accept(who, new)
    service.measures.uploaded(sum(file.bytes for file in upload.files))
    return accepted


def _unclear(file: ReceivedFile) -> InputError:
    """Return the error for a file name that mentions a sequence ambiguously; metseg does not guess."""
    return InputError(
        "the file name is ambiguous about the sequence",
        where=f"file {file.number}",
        expected=f"the field {', '.join(SEQUENCES)}, or an unambiguous name",
        got=file.reason,
        cure="send it in the field of its sequence, such as t1c",
        code="input.unknown_sequence",
    )


def _head(response: Response, record: StudyRecord) -> None:
    response.headers["ETag"] = _etag(record.version)
    response.headers["Cache-Control"] = "private, no-cache"
    if not record.state.is_final:
        response.headers["Retry-After"] = str(_POLL_S)


def _etag(version: int) -> str:
    return f'"{version}"'


def matches(if_none_match: str, etag: str) -> bool:
    """Return whether a header contains an ETag, possibly marked as weak (RFC 9110, 13.1.2).

    >>> matches('"3", W/"4"', '"4"'), matches("*", '"4"'), matches('"5"', '"4"')
    (True, True, False)
    """
    named = [tag.strip().removeprefix("W/") for tag in if_none_match.split(",")]
    return etag in named or "*" in named
