"""Training data: data sets that read the cache, sampling, augmentation and batches.

The table of augmentations and the checks load without torch; the data sets are imported on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from metseg.runtime.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from metseg.dataset.augmentation import Augmenter
    from metseg.dataset.augmentation_table import AUGMENTATIONS
    from metseg.dataset.dataset_factory import Part, make_views
    from metseg.dataset.loader import EpochLoader
    from metseg.dataset.patch_dataset import PatchDataset, PatchItem, patch_items
    from metseg.dataset.samples import Batch, Sample, TrainingSet, ValidationSet, collate
    from metseg.dataset.sampling_plan import BatchPlan, Draw, batches_of_one_shape, share_out
    from metseg.dataset.slice_dataset import SliceDataset, SliceItem
    from metseg.dataset.validation_tiles import TileDataset
    from metseg.dataset.view_checks import check_view

__all__ = [
    "AUGMENTATIONS",
    "Augmenter",
    "Batch",
    "BatchPlan",
    "Draw",
    "EpochLoader",
    "Part",
    "PatchDataset",
    "PatchItem",
    "Sample",
    "SliceDataset",
    "SliceItem",
    "TileDataset",
    "TrainingSet",
    "ValidationSet",
    "batches_of_one_shape",
    "check_view",
    "collate",
    "make_views",
    "patch_items",
    "share_out",
]

__getattr__ = lazy_exports(
    __name__,
    {
        "augmentation": ("Augmenter",),
        "augmentation_table": ("AUGMENTATIONS",),
        "dataset_factory": ("Part", "make_views"),
        "loader": ("EpochLoader",),
        "patch_dataset": ("PatchDataset", "PatchItem", "patch_items"),
        "samples": ("Batch", "Sample", "TrainingSet", "ValidationSet", "collate"),
        "sampling_plan": ("BatchPlan", "Draw", "batches_of_one_shape", "share_out"),
        "slice_dataset": ("SliceDataset", "SliceItem"),
        "validation_tiles": ("TileDataset",),
        "view_checks": ("check_view",),
    },
)
