"""Grad-CAM for segmentation, and the maps of attention gates.

Papers: Selvaraju et al. 2017, Grad-CAM, arXiv:1610.02391; Vinogradova et al. 2020, Seg-Grad-CAM, arXiv:2002.11434,
which sums the logits of the pixels of a region; Oktay et al. 2018, Attention U-Net, arXiv:1804.03999.
MONAI's GradCAM, for classification, is the reference in the tests. It sums over all pixels, and its backward hooks
refuse networks with layers that work in place, as most of ours have.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional

from metseg.inference.explanation.explained_layers import find_layer, gates_of
from metseg.model import SegmentationNetwork
from metseg.model.activation import Outputs
from metseg.model.network import crop_far_end, padded_sizes

_LINEAR = {2: "bilinear", 3: "trilinear"}


def lesion_logit(logits: Tensor, outputs: Outputs) -> Tensor:
    """Return (N, *S), the logit of the probability of any lesion, of logits (N, K, *S).

    Its sigmoid is `Outputs.lesion_probability` of the probabilities.
    """
    if outputs.regions:
        return logits.amax(dim=1)
    if logits.shape[1] == 1:
        return logits[:, 0]
    return logits[:, 1:].logsumexp(dim=1) - logits[:, 0]


def seg_grad_cam(
    network: SegmentationNetwork, images: Tensor, layer: nn.Module, region: Tensor, outputs: Outputs
) -> Tensor:
    """Return (N, *S) float32, what in a layer's features raised the logits of a region; 0 or more, not normalised.

    The features are summed with the mean gradient of each as its weight, negative sums become 0, and the map is
    interpolated to the size of the image.

    Args:
        network: in evaluation mode.
        images: (N, C, *S).
        layer: a module of the network that returns features.
        region: (N, *S) bool; the score is the sum of `lesion_logit` over it. Empty: the map is 0.
        outputs: what the logits mean.
    """
    if not region.any():
        return torch.zeros_like(images[:, 0])
    with torch.enable_grad(), _outputs_of([layer]) as kept:
        score = (lesion_logit(_logits(network, images), outputs) * region).sum()
        (gradient,) = torch.autograd.grad(score, kept[-1:])
    gradient, features = (network.in_image_axes(one, len(images)) for one in (gradient, kept[-1].detach()))
    weights = gradient.mean(dim=tuple(range(2, gradient.ndim)), keepdim=True)
    coarse = torch.relu((weights * features).sum(dim=1, keepdim=True))
    return _resized(coarse, network, images)[:, 0]


class Explainer:
    """Explains images by the networks of a model; maps of several networks are averaged.

    Args:
        networks: on the CPU, in evaluation mode.
        outputs: what their logits mean.
        threshold: least probability of a lesion voxel.
        layer: name of the layer for Grad-CAM; None: the bottleneck.
    Raises:
        UsageError: ``usage.layer``, there is no such layer, or it returns no features.
    """

    def __init__(
        self, networks: Sequence[SegmentationNetwork], outputs: Outputs, *, threshold: float, layer: str | None = None
    ) -> None:
        self._networks = networks
        self._outputs = outputs
        self._threshold = threshold
        named = [find_layer(network, layer) for network in networks]
        self.layer = named[0][0]
        self._layers = [module for _, module in named]
        self.gates = len(gates_of(networks[0]))

    def __call__(self, images: Tensor) -> Tensor:
        """Return (N, 1 + gates, *S) float32 of images (N, C, *S): Grad-CAM of the predicted lesion, then each gate."""
        maps = [
            self._explained(network, images, layer) for network, layer in zip(self._networks, self._layers, strict=True)
        ]
        return torch.stack(maps).mean(dim=0)

    def _explained(self, network: SegmentationNetwork, images: Tensor, layer: nn.Module) -> Tensor:
        with torch.no_grad(), _outputs_of(gates_of(network)) as gates:
            logits = _logits(network, images)
        region = torch.sigmoid(lesion_logit(logits, self._outputs)) >= self._threshold
        cam = seg_grad_cam(network, images, layer, region, self._outputs)
        # Inner gates end first.
        finest_first = sorted(gates, key=lambda gate: -gate.shape[2:].numel())
        return torch.cat([cam[:, None], *(_resized(gate.detach(), network, images) for gate in finest_first)], dim=1)


def _logits(network: SegmentationNetwork, images: Tensor) -> Tensor:
    return torch.as_tensor(network(images)).float()


def _resized(maps: Tensor, network: SegmentationNetwork, images: Tensor) -> Tensor:
    """Return maps (N, 1, ...) of the padded images at the size of the images; see `SegmentationNetwork`."""
    sizes = images.shape[2:]
    padded = padded_sizes(sizes, network.divisor)
    mode = _LINEAR[network.dimensions]
    return crop_far_end(functional.interpolate(maps.float(), size=padded, mode=mode, align_corners=False), sizes)


@contextmanager
def _outputs_of(modules: Sequence[nn.Module]) -> Iterator[list[Tensor]]:
    """Keep the outputs of modules; the network goes on with copies, as later layers may write into them."""
    kept: list[Tensor] = []

    def keep(_: nn.Module, __: object, output: Tensor) -> Tensor:
        kept.append(output)
        return output.clone()

    handles = [module.register_forward_hook(keep) for module in modules]
    try:
        yield kept
    finally:
        for handle in handles:
            handle.remove()
