"""Several predictions of the same image, by networks and mirror images, and their mean."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from metseg.inference.backends.exported_model import ExportedNetwork
from metseg.inference.device import Compute, in_memory_format, memory_format
from metseg.model import SegmentationNetwork
from metseg.model.activation import Outputs

#: Torch's network, or an exported one; both are called with images and return logits.
AnyNetwork = SegmentationNetwork | ExportedNetwork


class Ensemble:
    """The networks of a model, each seeing the image and its mirror images.

    Args:
        networks: one, or one per fold.
        mirrors: the sets of tensor axes to mirror along, one for each mirror image; an empty one is the image itself.
        outputs: what the logits mean.
        compute: device and precision.
        dimensions: 2 or 3.
    """

    def __init__(
        self,
        networks: Sequence[AnyNetwork],
        mirrors: Sequence[tuple[int, ...]],
        *,
        outputs: Outputs,
        compute: Compute,
        dimensions: int,
    ) -> None:
        self._mirrors = mirrors
        self._outputs = outputs
        self._compute = compute
        self._memory_format = memory_format(compute, dimensions=dimensions)
        self._networks = [self._ready(network) for network in networks]

    @property
    def out_channels(self) -> int:
        """Return K, the number of outputs of each network."""
        return self._networks[0].out_channels

    @property
    def views(self) -> int:
        """Return how many times each network sees an image: mirror images are seen too."""
        return len(self._mirrors)

    @property
    def members(self) -> int:
        """Return the number of predictions: networks times mirror images."""
        return len(self._networks) * len(self._mirrors)

    def mean(self, image: Tensor) -> Tensor:
        """Return the mean probabilities (N, K, X, Y[, Z]) float32 of images (N, C, X, Y[, Z])."""
        members = self._predictions(image)
        total = next(members)
        for probabilities in members:
            total += probabilities
        return total if self.members == 1 else total.div_(self.members)

    def mean_and_members(self, image: Tensor) -> Tensor:
        """Return (N, K + members, X, Y[, Z]) float32.

        First the mean probabilities, then the probability of lesion that each prediction gives.
        """
        total, lesion = None, []
        for probabilities in self._predictions(image):
            lesion.append(self._outputs.lesion_probability(probabilities).clone())
            total = probabilities if total is None else total.add_(probabilities)
        assert total is not None  # there is at least one network, and the image itself
        return torch.cat([total.div_(self.members), torch.stack(lesion, dim=1)], dim=1)

    def _ready(self, network: AnyNetwork) -> AnyNetwork:
        if isinstance(network, ExportedNetwork):
            return network
        return in_memory_format(network.folded(), self._memory_format).to(self._compute.device).eval()

    def _predictions(self, image: Tensor) -> Iterator[Tensor]:
        image = image.to(self._compute.device).contiguous(memory_format=self._memory_format)
        for network in self._networks:
            for axes in self._mirrors:
                yield self._forward(network, image, axes)

    def _forward(self, network: AnyNetwork, image: Tensor, axes: Sequence[int]) -> Tensor:
        turned = image.flip(list(axes)) if axes else image
        with torch.autocast(self._compute.device.type, dtype=torch.bfloat16, enabled=self._compute.bf16):
            logits = network(turned)
        answer = self._outputs.probabilities(torch.as_tensor(logits))
        return answer.flip(list(axes)) if axes else answer
