"""Who calls, and what they may: the dependencies of the routes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Final

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from metseg.schemas import Scope, host_of
from metseg.serve.http.problem_details import Refused
from metseg.serve.service_context import Service
from metseg.serve.storage.api_keys import LOCAL_PRINCIPAL, Principal

bearer: Final = HTTPBearer(
    auto_error=False,
    scheme_name="key",
    description="A key of `metseg serve keys add`. Without any key, the service answers on this machine only.",
)


async def get_service(request: Request) -> Service:
    """Return the service that this application was made for. Not worth a thread, as plain functions get one."""
    service: Service = request.app.state.service
    return service


Svc = Annotated[Service, Depends(get_service)]


def get_principal(
    request: Request, service: Svc, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)]
) -> Principal:
    """Return who calls.

    Raises:
        Refused: ``request.unauthorised``; without keys ``request.host`` and ``request.origin``.
    """
    if not service.keys.any():
        _require_local(request, service)
        return LOCAL_PRINCIPAL
    holder = None if credentials is None else service.keys.holder(credentials.credentials)
    if holder is None:
        raise Refused(
            "request.unauthorised",
            "a key is needed" if credentials is None else "the key is not valid",
            where="header Authorization",
            expected="Bearer and a key",
            headers={"WWW-Authenticate": "Bearer"},
        )
    return holder


def needs(scope: Scope) -> Callable[[Principal], Awaitable[Principal]]:
    """Return a dependency that lets only those pass who may do something."""

    async def require(principal: Annotated[Principal, Depends(get_principal)]) -> Principal:
        if scope not in principal.scopes:
            raise Refused("request.forbidden", "the key does not allow this", expected=f"scope {scope}")
        return principal

    return require


Predicting = Annotated[Principal, Depends(needs(Scope.PREDICT))]
Reading = Annotated[Principal, Depends(needs(Scope.READ))]
Writing = Annotated[Principal, Depends(needs(Scope.WRITE))]
Measuring = Annotated[Principal, Depends(needs(Scope.METRICS))]


def _require_local(request: Request, service: Service) -> None:
    """Refuse what a page elsewhere makes a browser on this machine send: under another name, or from its origin."""
    allowed = service.settings.allowed_hosts
    if host_of(f"//{request.headers.get('host', '')}") not in allowed:
        raise Refused("request.host", "the service is not known by this name", where="header Host", cure="add a key")
    origin = request.headers.get("origin")
    if origin is not None and host_of(origin) not in allowed:
        raise Refused("request.origin", "a page from elsewhere may not call the service", where="header Origin")
