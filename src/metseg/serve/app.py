"""Create the FastAPI application: routes, error handlers and middleware."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.routing import Route

from metseg.schemas import NOTICE
from metseg.serve.http.error_handlers import add_handlers
from metseg.serve.http.middleware import HeadMiddleware, RequestMiddleware
from metseg.serve.http.openapi import complete
from metseg.serve.routes import ROUTERS
from metseg.serve.service_context import Service, open_service
from metseg.serve.settings import Settings
from metseg.version import __version__

_DESCRIPTION: Final = f"""Find and outline brain metastases and gliomas in MRI. **{NOTICE}**

Send a picture and get the answer at once (`POST /predict/`), or submit a study and follow its progress (`/studies`).
Every error is a problem document (RFC 9457) with a stable `code`.
"""


def create_app(settings: Settings) -> FastAPI:
    """Return the application. The database is opened now; background threads start with the server.

    Raises:
        ResourceError: ``resources.database``.
    """
    service = open_service(settings)
    app = FastAPI(
        title="metseg",
        version=__version__,
        description=_DESCRIPTION,
        lifespan=_lifespan(service),
        middleware=[Middleware(RequestMiddleware, measures=service.measures), Middleware(HeadMiddleware)],
        redirect_slashes=False,
        generate_unique_id_function=lambda route: route.name,  # operation ids are the names of the functions
        docs_url=None,  # these pages load scripts from other servers; the document itself is at /openapi.json
        redoc_url=None,
    )
    app.state.service = service
    # The framework may wrap included routers; the header Allow needs every route with its path and methods.
    app.state.routes = [route for router in (app, *ROUTERS) for route in router.routes if isinstance(route, Route)]
    for router in ROUTERS:
        app.include_router(router)
    add_handlers(app)
    complete(app)
    return app


def _lifespan(service: Service) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        service.start()
        try:
            yield
        finally:
            await run_in_threadpool(service.stop)

    return lifespan
