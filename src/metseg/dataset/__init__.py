"""From the cache to batches: which item when, augmented how."""

from metseg.dataset.augment import AUGMENTATIONS, Augmenter
from metseg.dataset.batch import Batch, Sample, TrainingSet, ValidationSet, collate
from metseg.dataset.loader import EpochLoader
from metseg.dataset.patches import PatchDataset, PatchItem, patch_items
from metseg.dataset.sampling import BatchPlan, Draw, batches_of_one_shape, share_out
from metseg.dataset.slices import SliceDataset, SliceItem
from metseg.dataset.tiles import TileDataset
from metseg.dataset.views import Part, check_view, make_views

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
