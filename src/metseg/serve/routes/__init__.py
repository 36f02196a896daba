"""The routes, thin: check who calls, call one function, answer."""

from metseg.serve.routes import artifacts, models, operations, predict, studies

ROUTERS = (predict.router, studies.router, artifacts.router, models.router, operations.router)

__all__ = ["ROUTERS"]
