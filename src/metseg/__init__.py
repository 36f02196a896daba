"""metseg finds and outlines brain metastases and gliomas in MRI. Research use only.

The public functions are loaded when they are first used, so that ``import metseg`` costs nothing::

    import metseg

    model = metseg.load_model("lgg-flair")
    prediction = metseg.predict("patient_folder", model)
    picture = metseg.overlay(prediction)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from metseg.version import __version__

if TYPE_CHECKING:
    from metseg.api import (
        Cases,
        compare,
        evaluate_case,
        load,
        load_all,
        load_model,
        overlay,
        predict,
        score,
        train,
    )

__all__ = [
    "Cases",
    "__version__",
    "compare",
    "evaluate_case",
    "load",
    "load_all",
    "load_model",
    "overlay",
    "predict",
    "score",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'metseg' has no attribute '{name}'")
    return getattr(import_module("metseg.api"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
