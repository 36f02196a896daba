"""Architectures: a table, a factory, and a wrapper for inputs of any size.

The table and the options load without torch; the networks are imported on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from metseg.runtime.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from metseg.model.architectures import MODELS
    from metseg.model.model_spec import ModelSpec
    from metseg.model.network import SegmentationNetwork
    from metseg.model.network_factory import build_from_recipe, build_model, channels_of

__all__ = ["MODELS", "ModelSpec", "SegmentationNetwork", "build_from_recipe", "build_model", "channels_of"]

__getattr__ = lazy_exports(
    __name__,
    {
        "architectures": ("MODELS",),
        "model_spec": ("ModelSpec",),
        "network": ("SegmentationNetwork",),
        "network_factory": ("build_from_recipe", "build_model", "channels_of"),
    },
)
