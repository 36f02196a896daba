"""Turn every error into a problem document; unexpected errors reveal no details."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any, Final

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as NoConnectionInTime
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Route

from metseg.errors import MetsegError
from metseg.schemas import PROBLEM_MEDIA_TYPE, Problem
from metseg.serve.http.multipart import refuse_place
from metseg.serve.http.problem_details import Refused, make_problem, problem_of
from metseg.serve.storage.engine import is_disk_full

#: Codes for errors that the framework raises.
_FRAMEWORK: Final[Mapping[int, tuple[str, str]]] = {
    404: ("request.unknown", "this path does not exist"),
    405: ("request.method", "this path does not support the method"),
}

_WRONG_METHOD: Final = 405

_log = logging.getLogger(__name__)


def add_handlers(app: FastAPI) -> None:
    """Register the handlers that answer every error with a problem document."""
    handlers: Mapping[type[Exception], Any] = {
        MetsegError: _metseg,
        RequestValidationError: _validation,
        HTTPException: _framework,
        OperationalError: _database,
        NoConnectionInTime: _database,
        ClientDisconnect: _gone,
    }
    for kind, handler in handlers.items():
        app.add_exception_handler(kind, handler)


def respond(request: Request, problem: Problem, headers: Mapping[str, str] | None = None) -> Response:
    """Return a problem document as a response, and count it."""
    request.app.state.service.measures.problem(problem.code)
    body = problem.model_dump_json(exclude_none=True)
    return Response(body, problem.status, headers=dict(headers or {}), media_type=PROBLEM_MEDIA_TYPE)


def unexpected_error(request: Request) -> Response:
    """Return the response to an unexpected error."""
    detail = "Internal error. The service's log has details under the id of this request."
    return respond(request, make_problem("internal", detail, request=request.state.request_id))


async def _metseg(request: Request, error: MetsegError) -> Response:
    headers = error.headers if isinstance(error, Refused) else {}
    problem = problem_of(error, request=request.state.request_id)
    if problem.status >= 500:
        _log.warning("request %s: %s", request.state.request_id, problem.code, exc_info=error)
    return respond(request, problem, headers)


async def _validation(request: Request, error: RequestValidationError) -> Response:
    """Report the invalid fields and the expected values, never the given ones."""
    for fault in error.errors():
        if isinstance(fault.get("input"), str):
            try:
                refuse_place(fault["input"], ".".join(map(str, fault["loc"])))
            except Refused as refused:
                return await _metseg(request, refused)
    faults = [{"field": ".".join(map(str, fault["loc"])), "message": str(fault["msg"])} for fault in error.errors()]
    known = "; ".join(f"{fault['field']}: {fault['message']}" for fault in faults)
    return respond(request, make_problem("request.invalid", known, request=request.state.request_id, errors=faults))


async def _framework(request: Request, error: HTTPException) -> Response:
    code, detail = _FRAMEWORK.get(error.status_code, ("request.malformed", "the request is malformed"))
    headers = {"Allow": _methods(request)} if error.status_code == _WRONG_METHOD else error.headers
    return respond(request, make_problem(code, detail, request=request.state.request_id), headers)


def _methods(request: Request) -> str:
    """Return all methods of a path; the framework returns only those of the first matching route."""
    routes: Iterable[Route] = request.app.state.routes
    fitting = (route for route in routes if route.path_regex.match(request.scope["path"]))
    return ", ".join(sorted({method for route in fitting for method in methods_of(route)}))


def methods_of(route: Route) -> set[str]:
    """Return the methods of a route; HEAD is answered wherever GET is (see `metseg.serve.http.middleware`)."""
    methods = set(route.methods or ())
    return methods | {"HEAD"} if "GET" in methods else methods


async def _database(request: Request, error: Exception) -> Response:
    _log.error("request %s: the database cannot be used", request.state.request_id, exc_info=error)
    if is_disk_full(error):
        full, cure = "the disk of the database is full", "delete studies, or give the service a larger disk"
        return respond(request, make_problem("resources.disk", full, request=request.state.request_id, cure=cure))
    seconds = str(request.app.state.service.settings.retry_after_s)
    detail = "the database cannot be reached"
    problem = make_problem("resources.database", detail, request=request.state.request_id, cure="try again later")
    return respond(request, problem, {"Retry-After": seconds})


async def _gone(request: Request, _error: ClientDisconnect) -> Response:
    """Return a response for the log: the client has disconnected, and its upload was removed before."""
    detail = "the client disconnected"
    return respond(request, make_problem("request.malformed", detail, request=request.state.request_id))
