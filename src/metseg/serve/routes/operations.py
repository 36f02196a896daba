"""`/health`, `/ready`, `/metrics`: for administrators and monitoring."""

from __future__ import annotations

import os
import shutil

from fastapi import APIRouter, Response
from sqlalchemy.exc import SQLAlchemyError

from metseg.schemas import Health, Readiness, State
from metseg.serve.http.dependencies import Measuring, Svc
from metseg.serve.http.openapi import problems
from metseg.serve.http.openapi_examples import READY
from metseg.serve.prometheus_metrics import MEDIA_TYPE
from metseg.serve.service_context import Service
from metseg.version import __version__

router = APIRouter(tags=["operations"], redirect_slashes=False)


@router.get("/health", summary="Is the process alive?", response_model=Health)
async def get_health() -> Health:
    """Report that the process is alive. Uses no database and needs no key."""
    return Health(version=__version__)


@router.get(
    "/ready",
    summary="Can studies be accepted?",
    response_model=Readiness,
    responses={
        200: {"description": "Studies can be accepted.", "content": {"application/json": {"example": READY}}},
        503: {"model": Readiness, "description": "Studies cannot be accepted; `checks` shows why."},
    },
)
def get_readiness(response: Response, service: Svc) -> Readiness:
    """Report whether studies can be accepted now. Without workers they are accepted and wait in the queue."""
    found = _readiness(service)
    response.status_code = 200 if found.ready else 503
    return found


@router.get(
    "/metrics",
    summary="Metrics for Prometheus",
    response_class=Response,
    responses={
        200: {"description": "Metrics.", "content": {"text/plain": {"schema": {"type": "string"}}}},
        **problems("request.forbidden"),
    },
)
def get_metrics(service: Svc, _who: Measuring) -> Response:
    """Return the numbers of requests, studies and workers, and the response times."""
    return Response(service.measures.text(), media_type=MEDIA_TYPE)


def _readiness(service: Service) -> Readiness:
    home = service.folders.home
    checks = {
        "folders": all(os.access(place, os.W_OK) for place in (service.folders.incoming, service.folders.studies)),
        "disk": shutil.disk_usage(home).free >= service.settings.disk_reserve_bytes if home.is_dir() else False,
        "database": True,
    }
    try:
        counts, workers = service.studies.counts(), len(service.workers.alive())
    except SQLAlchemyError:
        checks["database"], counts, workers = False, dict.fromkeys(State, 0), 0
    return Readiness(
        ready=all(checks.values()),
        checks=checks,
        queued=counts[State.QUEUED],
        running=counts[State.RUNNING],
        workers=workers,
    )
