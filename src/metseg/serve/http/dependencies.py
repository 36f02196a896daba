"""Dependencies of the routes: authentication and scopes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Final

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from metseg.schemas import Scope, host_of, is_own_origin
from metseg.serve.http.problem_details import Refused
from metseg.serve.service_context import Service
from metseg.serve.storage.api_keys import LOCAL_PRINCIPAL, Principal

bearer: Final = HTTPBearer(
    auto_error=False,
    scheme_name="key",
    description="A key of `metseg serve keys add`. Until one exists, the service accepts local requests only.",
)


async def get_service(request: Request) -> Service:
    """Return the service of this application; async, because FastAPI runs plain functions in a thread."""
    service: Service = request.app.state.service
    return service


Svc = Annotated[Service, Depends(get_service)]


def get_principal(
    request: Request, service: Svc, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)]
) -> Principal:
    """Authenticate the caller.

    Raises:
        Refused: ``request.unauthorised``, ``request.rate``; while no key exists, ``request.host`` and
            ``request.origin``.
    """
    if not service.keys.any():
        _require_local(request, service)
        return LOCAL_PRINCIPAL
    holder = None if credentials is None else service.keys.holder(credentials.credentials)
    if holder is None:
        raise Refused(
            "request.unauthorised",
            "an API key is required" if credentials is None else "the API key is not valid",
            where="header Authorization",
            expected="Bearer and an API key",
            headers={"WWW-Authenticate": "Bearer"},
        )
    service.rates.count(holder.actor)
    return holder


def needs(scope: Scope) -> Callable[[Principal], Awaitable[Principal]]:
    """Return a dependency that requires a scope."""

    async def require(principal: Annotated[Principal, Depends(get_principal)]) -> Principal:
        if scope not in principal.scopes:
            raise Refused("request.forbidden", "the API key does not allow this", expected=f"scope {scope}")
        return principal

    return require


Predicting = Annotated[Principal, Depends(needs(Scope.PREDICT))]
Reading = Annotated[Principal, Depends(needs(Scope.READ))]
Writing = Annotated[Principal, Depends(needs(Scope.WRITE))]
Operating = Annotated[Principal, Depends(needs(Scope.OPERATE))]
Storing = Annotated[Principal, Depends(needs(Scope.STORE))]
Measuring = Annotated[Principal, Depends(needs(Scope.METRICS))]


def _require_local(request: Request, service: Service) -> None:
    """Reject requests that a foreign web page makes a local browser send, by ``Host`` and ``Origin``."""
    allowed = service.settings.allowed_hosts
    if host_of(f"//{request.headers.get('host', '')}") not in allowed:
        raise Refused(
            "request.host",
            "this host name is not allowed",
            where="header Host",
            cure="create an API key, or add the name to METSEG_ALLOWED_HOSTS",
        )
    if not is_own_origin(request.headers.get("origin"), request.headers["host"]):
        raise Refused("request.origin", "requests from pages of other origins are not allowed", where="header Origin")
