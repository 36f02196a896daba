"""`POST /predict/`: one picture, answered at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import APIRouter, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from metseg.errors import InputError
from metseg.inference.model_choice import traits_of_picture
from metseg.io.images.file_signatures import FORMAT_NAMES
from metseg.message_text import pluralize
from metseg.schemas import Answer, Kind
from metseg.serve.http.content_negotiation import negotiate
from metseg.serve.http.dependencies import Predicting, Svc
from metseg.serve.http.error_handlers import respond
from metseg.serve.http.openapi import PREDICT_ANSWERS, PREDICT_BODY, UPLOADS, problems
from metseg.serve.http.problem_details import Refused, make_problem
from metseg.serve.http.request_options import options_of, take_flag
from metseg.serve.http.upload_reader import Upload
from metseg.serve.http.upload_validation import check_file
from metseg.serve.http.uploads import receiving
from metseg.serve.model_registry import PICTURES, USES, model_for
from metseg.serve.service_context import Service
from metseg.serve.sync_predict.messages import Ask, Form, Refusal

router = APIRouter(tags=["pictures"], redirect_slashes=False)

_JSON: Final = "application/json"
_PNG: Final = "image/png"
_PROBABILITIES: Final = "probabilities"
_WHERE: Final = "the picture"

Model = Annotated[
    str | None,
    Query(pattern="^[A-Za-z0-9][A-Za-z0-9._+-]{0,99}$", description="As the form field `model`."),
]

Probabilities = Annotated[bool, Query(description="As the form field `probabilities`.")]


@dataclass(frozen=True)
class QueryOptions:
    """What the query of the request asks for: a model, and the probabilities."""

    model: str | None
    probabilities: bool


@router.post("/predict", include_in_schema=False)
@router.post(
    "/predict/",
    summary="Segment one picture",
    response_model=Answer,
    responses={
        200: PREDICT_ANSWERS,
        **problems(
            *UPLOADS,
            "request.forbidden",
            "request.not_acceptable",
            "input.truncated",
            "service.predictor",
            "service.no_model",
            "input.no_fitting_model",
            "licence.not_accepted",
            "resources.memory",
        ),
    },
    openapi_extra=PREDICT_BODY,
)
async def predict_picture(
    request: Request, service: Svc, _who: Predicting, model: Model = None, probabilities: Probabilities = False
) -> Response:
    """Segment one picture and return the result at once, as JSON, or as PNG if requested with `Accept`.

    Send the picture in the form field `file` or as the body itself. The service does not store it.
    """
    form = negotiate(request.headers.get("accept"))
    with service.gate.enter():
        async with receiving(request, service.folders.incoming, service.picture_limits) as upload:
            ask = await run_in_threadpool(_ask, service, upload, form, QueryOptions(model, probabilities))
            reply = await service.instant.ask(ask)
    if isinstance(reply, Refusal):
        members = reply.failure.model_dump(exclude={"phase", "code", "detail"}, exclude_none=True)
        failure = reply.failure
        problem = make_problem(
            failure.code, failure.detail, status=reply.status, request=request.state.request_id, **members
        )
        return respond(request, problem)
    service.measures.predict_seconds.observe(reply.elapsed_s)
    media_type = _JSON if form == Form.JSON else _PNG
    return Response(reply.body, media_type=media_type, headers={"Vary": "Accept", "Cache-Control": "no-store"})


def _ask(service: Service, upload: Upload, form: Form, query: QueryOptions) -> Ask:
    """Return the request to the child process, after validating the header of the picture."""
    probabilities = take_flag(upload.fields, _PROBABILITIES) or query.probabilities
    if probabilities and form != Form.JSON:
        raise Refused(
            "request.invalid",
            "probabilities are added to JSON only",
            where=f"field {_PROBABILITIES}",
            cure="for a picture of them, send Accept: image/png; view=probability without the field",
        )
    options = options_of(upload.fields)
    if options.model_dump(exclude={"model"}, exclude_defaults=True):
        raise Refused(
            "request.invalid",
            "a field is only for studies",
            where="the form",
            expected="file, model and probabilities",
        )
    if len(upload.files) != 1:
        got = pluralize(len(upload.files), "file")
        raise Refused("request.invalid", "the request must contain one picture", where="field file", got=got)
    received = upload.files[0]
    kind, ending = check_file(received.path, _WHERE)
    if kind != Kind.PICTURE:
        raise InputError(
            "not a picture",
            where=_WHERE,
            expected=FORMAT_NAMES,
            got=kind,
            cure="send volumes and DICOM to POST /studies",
            code="input.format",
        )
    path = received.path.rename(received.path.with_suffix(ending))
    wanted = options.model or query.model
    # Only a choice needs to look at the pixels.
    traits = USES[PICTURES] if wanted else traits_of_picture(path)
    chosen = model_for(service.settings, traits, wanted)
    return Ask(str(path), str(chosen.model), form, probabilities, model_reason=chosen.text)
