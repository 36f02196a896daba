"""`/models`: the installed models."""

from __future__ import annotations

from fastapi import APIRouter

from metseg.schemas import ModelList
from metseg.serve.http.dependencies import Reading, Svc
from metseg.serve.http.openapi import problems
from metseg.serve.http.openapi_examples import MODELS
from metseg.serve.model_registry import models

router = APIRouter(tags=["models"], redirect_slashes=False)


@router.get(
    "/models",
    summary="List the models",
    response_model=ModelList,
    responses={
        200: {"description": "Every installed model.", "content": {"application/json": {"example": MODELS}}},
        **problems("request.forbidden"),
    },
)
def list_models(service: Svc, _who: Reading) -> ModelList:
    """List the models with their cards and metrics."""
    return ModelList(models=models(service.settings))
