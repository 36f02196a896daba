"""`/follow-ups`: compare finished studies of one patient over time."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from metseg.follow_up_schemas import FOLLOW_UP_ARTIFACTS, FollowUpList, NewFollowUp, StoredFollowUp
from metseg.serve.http.dependencies import Reading, Svc, Writing
from metseg.serve.http.openapi import FOLLOW_UP_BODY, header, problems
from metseg.serve.http.openapi_examples import FOLLOW_UP, FOLLOW_UPS
from metseg.serve.http.problem_details import Refused
from metseg.serve.http.uploads import read_json
from metseg.serve.routes.artifacts import FILE_RESPONSES, ByteRange, is_content, send_file
from metseg.serve.routes.studies import IfNoneMatch

router = APIRouter(prefix="/follow-ups", tags=["follow-ups"], redirect_slashes=False)

FollowUpId = Annotated[str, Path(pattern="^[0-9a-f]{32}$", description="Id of a follow-up, from `POST /follow-ups`.")]
Name = Annotated[
    str,
    Path(
        max_length=64,
        description=f"One of {', '.join(FOLLOW_UP_ARTIFACTS)}; `GET /follow-ups/{{id}}` lists those of a follow-up.",
        examples=["report.pdf"],
    ),
]
_READ: Final = ("request.forbidden", "request.unknown", "request.url", "request.invalid")


def _described(description: str, example: Any, **more: Any) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"example": example}}, **more}


@router.post(
    "",
    status_code=201,
    summary="Follow a patient",
    response_model=StoredFollowUp,
    responses={
        201: _described("The comparison, stored.", FOLLOW_UP, headers={"Location": header("The follow-up.")}),
        **problems(
            *_READ,
            "request.state",
            "request.results_missing",
            "request.different_patients",
            "request.media_type",
            "request.too_large",
            "request.timeout",
            "input.no_affine",
            "input.label_schemes",
            "usage.dates",
            "usage.clinical_inputs",
            "service.busy",
            "resources.disk",
        ),
    },
    openapi_extra=FOLLOW_UP_BODY,
)
async def create_follow_up(request: Request, response: Response, service: Svc, who: Writing) -> StoredFollowUp:
    """Compare two or more finished studies of one patient, in order of time; the first is the baseline.

    The answer comes when the comparison is done: a few seconds for each pair of examinations. Studies keep their
    results; the follow-up is removed with the first of its studies that is deleted.
    """
    new = await read_json(request, service.edit_limits, NewFollowUp)
    with service.following.enter():
        found = await run_in_threadpool(service.follow_ups.create, who, new)
    response.headers["Location"] = f"/follow-ups/{found.id}"
    return found


@router.get(
    "",
    summary="List follow-ups",
    response_model=FollowUpList,
    responses={200: _described("Follow-ups, newest first.", FOLLOW_UPS), **problems(*_READ)},
)
def list_follow_ups(
    service: Svc,
    who: Reading,
    limit: Annotated[int, Query(ge=1, le=200, description="Maximum number of follow-ups.")] = 50,
    after: Annotated[str | None, Query(pattern="^[0-9a-f]{32}$", description="`next` of the previous page.")] = None,
) -> FollowUpList:
    """List the caller's follow-ups, newest first."""
    return service.follow_ups.page(who, limit=limit, after=after)


@router.get(
    "/{follow_up_id}",
    summary="Get a follow-up",
    response_model=StoredFollowUp,
    responses={200: _described("The follow-up.", FOLLOW_UP), **problems(*_READ)},
)
def get_follow_up(service: Svc, who: Reading, follow_up_id: FollowUpId) -> StoredFollowUp:
    """Get what changed, the lesions over time, and the response of the patient."""
    return service.follow_ups.find(who, follow_up_id)


@router.get(
    "/{follow_up_id}/artifacts/{name}",
    summary="Get a file of a follow-up",
    response_class=Response,
    responses={**FILE_RESPONSES, **problems(*_READ, "request.range")},
)
def get_follow_up_artifact(
    request: Request,
    service: Svc,
    who: Reading,
    follow_up_id: FollowUpId,
    name: Name,
    if_none_match: IfNoneMatch = None,
    byte_range: ByteRange = None,
) -> Response:
    """Get one file of a follow-up: the report, the tables, or the picture of a changed lesion."""
    found = service.follow_ups.file(who, follow_up_id, name)
    if found is None or not found[0].is_file():
        raise Refused(
            "request.unknown", "the follow-up has no such file", cure="see the artifacts in GET /follow-ups/{id}"
        )
    path, artifact = found
    answer = send_file(request, path, artifact, f"{follow_up_id[:8]}-{name}", if_none_match, byte_range)
    if is_content(request, answer):
        service.follow_ups.rows.note_reading(who, follow_up_id, name)
    return answer


@router.delete(
    "/{follow_up_id}",
    status_code=204,
    summary="Delete a follow-up",
    response_class=Response,
    responses=problems(*_READ),
)
def delete_follow_up(service: Svc, who: Writing, follow_up_id: FollowUpId) -> Response:
    """Delete a follow-up and its files; its studies stay."""
    service.follow_ups.delete(who, follow_up_id)
    return Response(status_code=204)
