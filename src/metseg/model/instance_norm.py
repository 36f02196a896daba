"""Instance normalisation in predictions: torch's results, in channels-last layout and in less time.

torch computes it as batch normalisation of one sample with N x C channels. On a CPU, a channels-last input must be
copied to another layout for that, and the output is not channels-last. torch's group normalisation with one group per
channel gives the same and is faster, but in channels-last layout it is wrong where a volume is mostly air: there it
subtracts the square of the mean from the mean of the squares. `benchmarks/instance_norm.py` has times and errors of
each.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from metseg.model.networks.layers import Network, with_classes

#: Numbers of a slab: few enough to stay in the processor's cache from one step to the next, and to be less memory than
#: `metseg.runtime.malloc_tuning` fetches from the system each time.
SLAB_NUMBERS = 2**17


def with_quick_instance_norm(network: Network) -> Network:
    """Return the network with its instance normalisations changed in place; weights and their names stay."""
    return with_classes(network, _QUICK)


def with_usual_instance_norm(network: Network) -> Network:
    """Return the network with torch's own instance normalisations again, changed in place, for exports."""
    return with_classes(network, {quick: usual for usual, quick in _QUICK.items()})


def instance_norm(features: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float) -> Tensor:
    """Return features brought to mean 0 and variance 1 over each sample's and channel's voxels, scaled and shifted.

    The mean comes first, and the sums go slab by slab: nothing as large as the features is held but the answer.

    Args:
        features: (N, C, X, Y[, Z]) float32 in any layout.
        weight, bias: (C,), or None for 1 and 0.
        eps: added to the variance.
    Returns:
        The same shape and layout.
    """
    voxels = features[0, 0].numel()
    thickness = max(1, SLAB_NUMBERS * features.shape[2] // features.numel())
    slabs = torch.split(features, thickness, dim=2)
    mean = _summed(slabs) / voxels
    variance = _summed((slab - mean).square_() for slab in slabs) / voxels
    scale = torch.rsqrt(variance + eps)
    if weight is not None:
        scale *= weight.view(mean.shape[1:])
    answer = torch.empty_like(features)
    for slab, place in zip(slabs, torch.split(answer, thickness, dim=2), strict=True):
        torch.sub(slab, mean, out=place)
        place *= scale
        if bias is not None:
            place += bias.view(mean.shape[1:])
    return answer


def _summed(slabs: Iterable[Tensor]) -> Tensor:
    """Return the sums over voxels, (N, C, 1, 1[, 1])."""
    return torch.stack([slab.sum(tuple(range(2, slab.ndim)), keepdim=True) for slab in slabs]).sum(0)


class _Quick:
    """Comes before a normalisation's own class."""

    def forward(self: Any, input: Tensor) -> Tensor:
        ours = input.device.type == "cpu" and not (torch.is_grad_enabled() or self.track_running_stats)
        if ours and input.is_contiguous():
            return functional.group_norm(input, self.num_features, self.weight, self.bias, self.eps)
        if ours and input.dtype == torch.float32:
            return instance_norm(input, self.weight, self.bias, self.eps)
        usual: Any = super().forward  # type: ignore[misc]
        answer: Tensor = usual(input)
        return answer


class _InstanceNorm2d(_Quick, nn.InstanceNorm2d): ...


class _InstanceNorm3d(_Quick, nn.InstanceNorm3d): ...


_QUICK: dict[type, type] = {nn.InstanceNorm2d: _InstanceNorm2d, nn.InstanceNorm3d: _InstanceNorm3d}
