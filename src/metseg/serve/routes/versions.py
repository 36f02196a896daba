"""`/studies/{id}/versions` and `/studies/{id}/masks`: corrections of a finished study."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Request, Response
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool

from metseg.schemas import Kind
from metseg.serve.http.dependencies import Reading, Svc, Writing
from metseg.serve.http.multipart import reader_for
from metseg.serve.http.openapi import UPLOADS, VERSION_BODY, VERSION_MASK_BODY, header, problems
from metseg.serve.http.openapi_examples import CORRECTED, VERSIONS
from metseg.serve.http.problem_details import Refused
from metseg.serve.http.upload_reader import Upload
from metseg.serve.http.upload_validation import check_file
from metseg.serve.http.uploads import invalid_body, read_json, receiving
from metseg.serve.routes.artifacts import FILE_RESPONSES, ByteRange, is_content, send_file
from metseg.serve.routes.studies import IfNoneMatch, StudyId
from metseg.serve.service_context import Service
from metseg.serve.storage.api_keys import Principal
from metseg.version_schemas import VERSION_ARTIFACTS, NewMask, NewVersion, Version, VersionList

router = APIRouter(prefix="/studies", tags=["versions"], redirect_slashes=False)

Number = Annotated[int, Path(ge=0, le=9999, description="Number of a version; 0 is the result of the model.")]
Name = Annotated[
    str,
    Path(
        max_length=64,
        description=f"One of {', '.join(VERSION_ARTIFACTS)}; `GET /studies/{{id}}/versions/{{number}}` lists those of "
        "a version. Version 0 has the results of the study.",
        examples=["mask.nii.gz"],
    ),
]
_READ: Final = ("request.forbidden", "request.unknown", "request.state", "request.url", "request.invalid")
_WRITE: Final = (
    *_READ,
    "request.results_missing",
    "request.conflict",
    "request.too_large",
    "service.busy",
    "resources.disk",
)
#: Fields of an uploaded mask that people write.
_MASK_FORM: Final = partial(reader_for, free_text=("note", "author"))


def _created(description: str) -> dict[str, Any]:
    return {
        "description": description,
        "content": {"application/json": {"example": CORRECTED}},
        "headers": {"Location": header("The version.")},
    }


@router.get(
    "/{study_id}/versions",
    summary="List versions",
    response_model=VersionList,
    responses={
        200: {"description": "Versions, oldest first.", "content": {"application/json": {"example": VERSIONS}}},
        **problems(*_READ),
    },
)
def list_versions(service: Svc, who: Reading, study_id: StudyId) -> VersionList:
    """List the versions of a finished study: version 0 is the result of the model, the others are corrections."""
    return service.corrections.list(who, study_id)


@router.get(
    "/{study_id}/versions/{number}",
    summary="Get a version",
    response_model=Version,
    responses={
        200: {"description": "The version.", "content": {"application/json": {"example": CORRECTED}}},
        **problems(*_READ),
    },
)
def get_version(service: Svc, who: Reading, study_id: StudyId, number: Number) -> Version:
    """Get a version: its edits, its lesion table with the reviewer's states, and the comparison with its parent."""
    return service.corrections.find(who, study_id, number)


@router.post(
    "/{study_id}/versions",
    status_code=201,
    summary="Correct a study",
    response_model=Version,
    responses={
        201: _created("Stored as a new version."),
        **problems(
            *_WRITE,
            "request.timeout",
            "request.media_type",
            "usage.lesion",
            "usage.point",
            "usage.unknown_name",
            "input.no_probability",
            "input.region_size",
        ),
    },
    openapi_extra=VERSION_BODY,
)
async def create_version(
    request: Request, response: Response, service: Svc, who: Writing, study_id: StudyId
) -> Version:
    """Accept, reject, remove or add lesions. The result is a new version; older ones never change.

    `parent` is the version that was corrected. If another correction was stored meanwhile, the answer is 409.
    """
    new = await read_json(request, service.edit_limits, NewVersion)
    with service.correcting.enter():
        version = await run_in_threadpool(service.corrections.correct, who, study_id, new)
    response.headers["Location"] = f"/studies/{study_id}/versions/{version.number}"
    return version


@router.post(
    "/{study_id}/masks",
    status_code=201,
    summary="Upload a corrected mask",
    response_model=Version,
    responses={
        201: _created("Stored as a new version."),
        **problems(*_WRITE, *UPLOADS, "input.mask_grid", "input.labels"),
    },
    openapi_extra=VERSION_MASK_BODY,
)
async def upload_version(
    request: Request, response: Response, service: Svc, who: Writing, study_id: StudyId
) -> Version:
    """Store a corrected mask as a new version: NIfTI with the classes of the model, on the grid of `image.nii.gz`.

    Lesions that are as in the parent keep their state; others become accepted, or added if they are new.
    """
    with service.gate.enter():
        await run_in_threadpool(service.versions.list, who, study_id)  # refuse before the upload is read
        limits = service.correction_limits
        async with receiving(request, service.folders.incoming, limits, _MASK_FORM) as upload:
            # Not before: a slow upload must not keep others from correcting.
            with service.correcting.enter():
                version = await run_in_threadpool(_accept, service, who, study_id, upload)
    response.headers["Location"] = f"/studies/{study_id}/versions/{version.number}"
    return version


@router.get(
    "/{study_id}/versions/{number}/artifacts/{name}",
    summary="Get a file of a version",
    response_class=Response,
    responses={**FILE_RESPONSES, **problems(*_READ, "request.range")},
)
def get_version_artifact(
    request: Request,
    service: Svc,
    who: Reading,
    study_id: StudyId,
    number: Number,
    name: Name,
    if_none_match: IfNoneMatch = None,
    byte_range: ByteRange = None,
) -> Response:
    """Get one file of a version."""
    found = service.corrections.file(who, study_id, number, name)
    if found is None or not found.path.is_file():
        raise Refused(
            "request.unknown", "the version has no such file", cure="see GET /studies/{study_id}/versions/{number}"
        )
    download = f"{study_id[:8]}-v{number}-{name}"
    answer = send_file(request, found.path, found.artifact, download, if_none_match, byte_range)
    if is_content(request, answer):
        service.studies.note(who, "artifact.read", study_id, {"version": number, "name": name})
    return answer


def _accept(service: Service, who: Principal, study_id: str, upload: Upload) -> Version:
    """Validate an uploaded mask and store it as a version."""
    fields: dict[str, str] = {}
    for name, values in upload.fields.items():
        if name not in NewMask.model_fields or len(values) > 1:
            raise Refused(
                "request.invalid",
                "unknown form field, or one that occurs more than once",
                where="the form",
                expected=f"file, {', '.join(NewMask.model_fields)}",
            )
        fields[name] = values[0]
    try:
        new = NewMask.model_validate(fields)
    except ValidationError as error:
        raise invalid_body(error) from None
    if len(upload.files) != 1:
        raise Refused("request.invalid", "the form contains no file", where="the form", expected="one mask")
    kind, _ = check_file(upload.files[0].path, "file 1")
    if kind != Kind.NIFTI:
        raise Refused(
            "request.media_type",
            "the mask is not a NIfTI file",
            where="file 1",
            expected="NIfTI on the grid of the result",
            cure="send the mask as .nii or .nii.gz",
        )
    service.measures.uploaded(upload.files[0].bytes)
    return service.corrections.upload(who, study_id, new, upload.files[0].path)
