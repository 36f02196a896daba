"""Routes of the API. Each checks access, calls one function and returns its result."""

from metseg.serve.routes import artifacts, follow_ups, models, operations, pacs, predict, stow, studies, versions

ROUTERS = (
    predict.router,
    studies.router,
    artifacts.router,
    versions.router,
    follow_ups.router,
    pacs.router,
    stow.router,
    models.router,
    operations.router,
)

__all__ = ["ROUTERS"]
