"""Blob loss: every lesion has the same weight, regardless of its size.

Paper: Kofler et al. 2022, "blob loss: instance imbalance aware loss functions for semantic segmentation",
arXiv:2205.08209. The loss of the whole image is combined with a loss per lesion: the loss of the image without the
other lesions, which are removed from truth and prediction. It is averaged over the lesions of an item and then over
the items with lesions. Several classes, or regions, are computed one against the rest and averaged.

The authors' code runs the inner loss once per lesion over the whole image. Here each voxel's contribution is added to
the sums of its own lesion, and a lesion's loss follows from its sums and those of the background: one pass for any
number of lesions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from metseg.measure.instances import label_instances
from metseg.model.activation import Outputs
from metseg.training.losses.voxel_loss import Term, VoxelLoss


class LesionVoxels(NamedTuple):
    """The lesions of one class or region of one item.

    Args:
        total: how many.
        voxels: (L,) which of the V voxels are lesion.
        numbers: (L,) to which lesion each of these belongs, from 0.
        background: (V,) bool, the others.
    """

    total: int
    voxels: Tensor
    numbers: Tensor
    background: Tensor


class BlobLoss:
    """A `Loss`; see the module's text.

    Args:
        inner: the loss of the whole, and of each lesion.
        alpha: weight of the whole.
        beta: weight of the mean over lesions.
    """

    def __init__(self, inner: VoxelLoss, *, alpha: float, beta: float) -> None:
        self._inner = inner
        self._alpha = alpha
        self._beta = beta
        # The outputs of deep supervision share one truth, and its lesions are found once.
        self._seen: tuple[Tensor, list[list[LesionVoxels]]] | None = None

    def __call__(self, logits: Tensor, labels: Tensor) -> Tensor:
        return self._alpha * self._inner(logits, labels) + self._beta * self.of_lesions(logits, labels)

    def of_lesions(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the mean over lesions; 0 where there are none."""
        lesions = self._lesions(labels, logits.shape[1])
        terms = [term.weight * _mean_over_lesions(term, logits, labels, lesions) for term in self._inner.terms]
        return torch.stack(terms).sum()

    def _lesions(self, labels: Tensor, channels: int) -> list[list[LesionVoxels]]:
        if self._seen is not None and self._seen[0].shape == labels.shape and torch.equal(self._seen[0], labels):
            return self._seen[1]
        lesions = number_lesions(labels, self._inner.outputs, channels)
        self._seen = labels.clone(), lesions
        return lesions


def number_lesions(labels: Tensor, outputs: Outputs, channels: int) -> list[list[LesionVoxels]]:
    """Return the lesions of each item and, in that, of each class or region.

    Voxels that share a face, an edge or a corner belong to one lesion (8 neighbours in a slice, 26 in a volume).
    """
    targets = outputs.targets(labels, channels)
    if channels > 1 and not outputs.regions:
        targets = targets[:, 1:]
    masks = targets.cpu().numpy()
    volumes = masks[..., None] if masks.ndim == 4 else masks
    return [[_numbered(mask, labels.device) for mask in item] for item in volumes]


def _numbered(mask: npt.NDArray[np.bool_], device: torch.device) -> LesionVoxels:
    instances, count = label_instances(mask)
    flat = instances.ravel()
    voxels = np.flatnonzero(flat)
    numbers = flat[voxels].astype(np.int64) - 1
    arrays = (torch.from_numpy(array).to(device) for array in (voxels, numbers, flat == 0))
    return LesionVoxels(count, *arrays)


def _mean_over_lesions(term: Term, logits: Tensor, labels: Tensor, lesions: list[list[LesionVoxels]]) -> Tensor:
    quantities = term.quantities(logits, labels)
    entries = quantities[0].shape[1]
    shares = term.shares(logits.shape[1])
    losses, weights = [], []
    for item, of_item in enumerate(lesions):
        for place, found in enumerate(of_item):
            # One entry for all outputs, or the last ones: the first may be the background's.
            entry = 0 if entries == 1 else entries - len(of_item) + place
            if found.total:
                losses.append(_of_each(term, [quantity[item, entry] for quantity in quantities], found).mean())
                weights.append(1.0 if shares is None else shares[entry])
    if not losses:
        return logits.new_zeros(())
    return (torch.stack(losses) * logits.new_tensor(weights)).sum() / sum(weights)


def _of_each(term: Term, quantities: Sequence[Tensor], lesions: LesionVoxels) -> Tensor:
    """Return the loss of each lesion, over its own voxels and the background, without the other lesions."""
    sums = []
    for quantity in quantities:
        own = quantity.new_zeros(lesions.total).index_add(0, lesions.numbers, quantity[lesions.voxels])
        # Summed apart: one by one, millions of voxels would lose digits, and subtracted from the whole, small lesions.
        sums.append((quantity * lesions.background).sum() + own)
    return term.formula(*sums)
