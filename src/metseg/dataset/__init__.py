"""From the cache to batches: which item when, augmented how."""

from metseg.dataset.augmentation import AUGMENTATIONS, Augmenter
from metseg.dataset.dataset_factory import Part, check_view, make_views
from metseg.dataset.loader import EpochLoader
from metseg.dataset.patch_dataset import PatchDataset, PatchItem, patch_items
from metseg.dataset.samples import Batch, Sample, TrainingSet, ValidationSet, collate
from metseg.dataset.sampling_plan import BatchPlan, Draw, batches_of_one_shape, share_out
from metseg.dataset.slice_dataset import SliceDataset, SliceItem
from metseg.dataset.validation_tiles import TileDataset

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
