"""metseg finds and outlines brain metastases and gliomas in MRI. Research use only.

Public names are imported when they are first used: ``import metseg`` is fast, and reading and scoring do not import
PyTorch::

    import metseg

    model = metseg.load_model("mets-sim")
    prediction = metseg.predict("patient_folder", model)
    prediction.lesions_frame()
    prediction.plot()
    prediction.save("out")

Data: `load`, `load_all`, `Case`, `Volume`, `Cases`, `simulate`. Models: `load_model`, `predict`, `Predictor`,
`Prediction`, `overlay`, `report`, `export`. Training: `Recipe`, `load_recipe`, `train`, `compare`. Scores:
`evaluate_case`, `score`. Follow-up: `follow`. Service: `Client`. Tables: `models`, `losses`, `transforms`, `metrics`,
`layouts`. Errors: `MetsegError` and its kinds.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from metseg.version import __version__

if TYPE_CHECKING:
    from metseg.api.dicom_results import export
    from metseg.api.drawing import overlay
    from metseg.api.longitudinal import follow
    from metseg.api.namespaces import layouts, losses, metrics, models, transforms
    from metseg.api.prediction import load_model, predict
    from metseg.api.reading import Cases, load, load_all
    from metseg.api.reporting import report
    from metseg.api.scoring import score
    from metseg.api.simulation import simulate
    from metseg.api.training import compare, train
    from metseg.client.service_errors import ServiceError, StudyFailed
    from metseg.client.study_client import Client
    from metseg.errors import (
        BundleError,
        GeometryError,
        InputError,
        LockedError,
        MetsegError,
        ResourceError,
        UsageError,
    )
    from metseg.evaluation import evaluate_case
    from metseg.inference.prediction import Prediction
    from metseg.inference.predictor import Predictor
    from metseg.recipe import Recipe, load_recipe
    from metseg.volume import Case, Volume

__all__ = [
    "BundleError",
    "Case",
    "Cases",
    "Client",
    "GeometryError",
    "InputError",
    "LockedError",
    "MetsegError",
    "Prediction",
    "Predictor",
    "Recipe",
    "ResourceError",
    "ServiceError",
    "StudyFailed",
    "UsageError",
    "Volume",
    "__version__",
    "compare",
    "evaluate_case",
    "export",
    "follow",
    "layouts",
    "load",
    "load_all",
    "load_model",
    "load_recipe",
    "losses",
    "metrics",
    "models",
    "overlay",
    "predict",
    "report",
    "score",
    "simulate",
    "train",
    "transforms",
]

#: Public name to the module that defines it.
_MODULES = {
    "BundleError": "metseg.errors",
    "Case": "metseg.volume",
    "Cases": "metseg.api.reading",
    "Client": "metseg.client.study_client",
    "GeometryError": "metseg.errors",
    "InputError": "metseg.errors",
    "LockedError": "metseg.errors",
    "MetsegError": "metseg.errors",
    "Prediction": "metseg.inference.prediction",
    "Predictor": "metseg.inference.predictor",
    "Recipe": "metseg.recipe",
    "ResourceError": "metseg.errors",
    "ServiceError": "metseg.client.service_errors",
    "StudyFailed": "metseg.client.service_errors",
    "UsageError": "metseg.errors",
    "Volume": "metseg.volume",
    "compare": "metseg.api.training",
    "evaluate_case": "metseg.evaluation",
    "export": "metseg.api.dicom_results",
    "follow": "metseg.api.longitudinal",
    "layouts": "metseg.api.namespaces",
    "load": "metseg.api.reading",
    "load_all": "metseg.api.reading",
    "load_model": "metseg.api.prediction",
    "load_recipe": "metseg.recipe",
    "losses": "metseg.api.namespaces",
    "metrics": "metseg.api.namespaces",
    "models": "metseg.api.namespaces",
    "overlay": "metseg.api.drawing",
    "predict": "metseg.api.prediction",
    "report": "metseg.api.reporting",
    "score": "metseg.api.scoring",
    "simulate": "metseg.api.simulation",
    "train": "metseg.api.training",
    "transforms": "metseg.api.namespaces",
}


def __getattr__(name: str) -> Any:
    module = _MODULES.get(name)
    if module is None:
        raise AttributeError(f"module 'metseg' has no attribute '{name}'")
    # Cached, so that the next access does not call this function.
    value = globals()[name] = getattr(import_module(module), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
