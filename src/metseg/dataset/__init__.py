"""From the cache to batches: which item when, augmented how."""

from metseg.dataset.augment import AUGMENTATIONS, Augmenter
from metseg.dataset.loader import EpochLoader
from metseg.dataset.sampling import BatchPlan, Draw
from metseg.dataset.slices import Batch, SliceDataset, SliceItem, collate

__all__ = [
    "AUGMENTATIONS",
    "Augmenter",
    "Batch",
    "BatchPlan",
    "Draw",
    "EpochLoader",
    "SliceDataset",
    "SliceItem",
    "collate",
]
