"""metseg finds and outlines brain metastases and gliomas in MRI. Research use only.

The public functions are loaded when they are first used, so that ``import metseg`` costs nothing::

    import metseg

    model = metseg.load_model("lgg-flair")
    prediction = metseg.predict("patient_folder", model)
    picture = metseg.overlay(prediction)
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

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

# The AMX kernels of oneDNN, as torch 2.13 brings it, answer some strided bfloat16 convolutions of small volumes with
# numbers of 1e35 (tests/model/test_bf16.py); its AVX512 ones are right. Read once, before the first convolution.
os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX512_CORE_BF16")

__version__ = "0.1.0"

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
