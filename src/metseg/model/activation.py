"""Outputs of a network: exclusive classes or overlapping regions.

Classes: one class has one output (sigmoid); several share a softmax with the background. Regions: whole tumour, tumour
core and enhancing tumour contain one another, so each has its own sigmoid and is trained as it will be scored
(nnU-Net's region-based training, Isensee et al. 2020, arXiv:2011.00848). The recipe's loss determines which of the two
a network has: ``loss.name = "regions"`` selects regions.

The class `Outputs` serves both sides: losses get their binary targets from it, predictions their probabilities and
decisions.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from metseg.labels import LABEL_SCHEMES, LabelScheme
from metseg.recipe import REGIONS_LOSS, Recipe


@dataclass(frozen=True)
class Outputs:
    """The meaning of the K logits of a network.

    Args:
        regions: for each output, the class indices (1..) of the region that it is the probability of; empty: the
            outputs are classes.
        painted: for regions, which output decides on which class index, later ones over earlier ones.
    """

    regions: tuple[tuple[int, ...], ...] = ()
    painted: tuple[tuple[int, int], ...] = ()

    def channels(self, classes: int) -> int:
        """Return K for a scheme of so many classes."""
        if self.regions:
            return len(self.regions)
        return 1 if classes == 1 else classes + 1

    def exclusive(self, logits: Tensor) -> bool:
        """Return whether the outputs of these logits (N, K, *S) share a softmax."""
        return not self.regions and logits.shape[1] > 1

    def probabilities(self, logits: Tensor) -> Tensor:
        """Return (N, K, *S) float32."""
        logits = logits.float()
        return torch.softmax(logits, dim=1) if self.exclusive(logits) else torch.sigmoid(logits)

    def targets(self, labels: Tensor, channels: int) -> Tensor:
        """Return class indices (N, *S) as (N, K, *S) bool: where each output should be one."""
        if self.regions:
            found = [torch.isin(labels, labels.new_tensor(members)) for members in self.regions]
            return torch.stack(found, dim=1)
        if channels == 1:
            return (labels > 0).unsqueeze(1)
        indices = torch.arange(channels, device=labels.device).reshape(1, -1, *([1] * (labels.ndim - 1)))
        return labels.unsqueeze(1) == indices

    def class_indices(self, probabilities: Tensor, *, threshold: float) -> Tensor:
        """Return the class index of each voxel (N, *S) uint8, given probabilities (N, K, *S).

        One output: lesion where its probability reaches the threshold. A softmax: lesion where the classes together
        reach it, and then the most probable class. Regions: each that reaches it is painted over the larger ones with
        the class that tells it from the smaller ones.
        """
        if self.regions:
            decided = torch.zeros_like(probabilities[:, 0], dtype=torch.uint8)
            for output, index in self.painted:
                decided.masked_fill_(probabilities[:, output] >= threshold, index)
            return decided
        if probabilities.shape[1] == 1:
            return (probabilities[:, 0] >= threshold).to(torch.uint8)
        lesion = probabilities[:, 1:]
        return torch.where(lesion.sum(dim=1) >= threshold, lesion.argmax(dim=1) + 1, 0).to(torch.uint8)

    def lesion_probability(self, probabilities: Tensor) -> Tensor:
        """Return (N, *S): the probability of any lesion, given probabilities (N, K, *S).

        Regions contain one another, so the likeliest says how likely any is.
        """
        if self.regions:
            return probabilities.amax(dim=1)
        return probabilities[:, 0] if probabilities.shape[1] == 1 else probabilities[:, 1:].sum(dim=1)


#: One class, or several that exclude one another.
CLASSES = Outputs()


def region_outputs(scheme: LabelScheme) -> Outputs:
    """Return outputs that are the regions of a scheme, in its order.

    The largest region is painted first. Each is painted with the first of its classes that no smaller region has: of
    whole tumour, core and enhancing tumour (1, 2, 3), (1, 3), (3), oedema (2), necrosis (1) and enhancing tumour (3).
    Classes that no region tells apart (necrosis and non-enhancing tumour in BraTS 2015) come out as the first of them;
    the regions that are scored are the same.

    >>> region_outputs(LABEL_SCHEMES["brats-met-2023"]).painted
    ((0, 2), (1, 1), (2, 3))
    """
    index = {value: place for place, value in enumerate(scheme.values)}
    regions = tuple(tuple(index[value] for value in members) for members in scheme.regions.values())
    order = sorted(range(len(regions)), key=lambda output: -len(regions[output]))
    painted = []
    for output in order:
        members = set(regions[output])
        smaller = [set(region) for region in regions if set(region) < members]
        own = members.difference(*smaller) or members
        painted.append((output, min(own)))
    return Outputs(regions, tuple(painted))


def outputs_of(recipe: Recipe) -> Outputs:
    """Return what the outputs of a recipe's network mean."""
    return region_outputs(LABEL_SCHEMES[recipe.data.labels]) if recipe.loss.name == REGIONS_LOSS else CLASSES
