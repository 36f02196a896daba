"""`/models`: the installed models, the one that fits an input, and consent to non-commercial terms."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Query

from metseg.inference.model_choice import InputTraits
from metseg.schemas import Kind, Model, ModelChoice, ModelList, Scope, Sequence
from metseg.serve.http.dependencies import Operating, Reading, Svc
from metseg.serve.http.openapi import problems
from metseg.serve.http.openapi_examples import CHOICE, MODELS
from metseg.serve.http.problem_details import Refused
from metseg.serve.model_registry import accept_terms, choose_for, models

router = APIRouter(tags=["models"], redirect_slashes=False)

Name = Annotated[
    str, Path(pattern="^[A-Za-z0-9][A-Za-z0-9._+-]{0,99}$", description="Name of a model, from `GET /models`.")
]


def _example(value: Any, description: str) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"example": value}}}


_ENTRY: Final = {**MODELS["models"][0], "accepted": True}


@router.get(
    "/models",
    summary="List the models",
    response_model=ModelList,
    responses={200: _example(MODELS, "Every installed model."), **problems("request.forbidden")},
)
def list_models(service: Svc, who: Reading) -> ModelList:
    """List the installed models, with the card and the metrics of each."""
    return ModelList(models=models(service.settings), may_accept=Scope.OPERATE in who.scopes)


@router.get(
    "/models/choice",
    summary="Choose a model",
    response_model=ModelChoice,
    responses={
        200: _example(CHOICE, "The model that fits best, and why."),
        **problems("request.forbidden", "request.invalid"),
    },
)
def choose_model(
    service: Svc,
    _who: Reading,
    kind: Annotated[Kind, Query(description="Kind of the images.")],
    sequences: Annotated[
        list[Sequence] | None, Query(description="Sequences that are there; leave out if they are not known.")
    ] = None,
    unnamed: Annotated[bool, Query(description="One NIfTI file, and nothing says of which sequence.")] = False,
    brain_mask: Annotated[bool, Query(description="A brain mask comes with the images.")] = False,
    grey: Annotated[
        bool | None, Query(description="Whether pictures hold one grey image each; leave out if it is not known.")
    ] = None,
) -> ModelChoice:
    """Return the model that a study gets if its request names none, and why the others are not used."""
    known = frozenset() if unnamed else None if sequences is None else frozenset(sequences)
    traits = InputTraits(kind == Kind.PICTURE, known, unnamed, brain_mask, is_grey=grey)
    return choose_for(service.settings, traits)


@router.post(
    "/models/{name}/accept",
    summary="Accept the terms of a model",
    response_model=Model,
    responses={
        200: _example(_ENTRY, "The model, which can be used now."),
        **problems("request.forbidden", "request.unknown", "request.invalid"),
    },
)
def accept_model(service: Svc, who: Operating, name: Name) -> Model:
    """Accept the non-commercial terms of a model for the whole service, as `metseg models accept` does.

    Needs the scope `operate`; without any key, the request must come from this machine. The audit log records it.
    """
    if name not in {model.name for model in models(service.settings)}:
        raise Refused("request.unknown", "no model has this name", where="name", cure="see GET /models")
    accept_terms(service.database, who.actor, name)
    return next(model for model in models(service.settings) if model.name == name)
