"""Instance normalisation that leaves tensors in the layout that convolutions like.

torch computes it as batch normalisation of one sample with N x C channels. On a CPU, channels last have to be copied
out of their layout for that, and the answer is not in it: at 16 channels of 80 x 80 x 80, 65 ms where 12 would do.
Group normalisation with a group for each channel is the same formula, and keeps the layout. Its backward pass does not
like channels last, so that it serves predictions only.
"""

from __future__ import annotations

from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

Network = TypeVar("Network", bound=nn.Module)


def with_quick_instance_norm(network: Network) -> Network:
    """Return the network with its instance normalisations changed in place; weights and their names stay."""
    for module in network.modules():
        quick = _QUICK.get(type(module))
        if quick is not None:
            # As torch.nn.utils.parametrize does it: a module put in this one's place would lose its hooks.
            module.__class__ = quick
    return network


class _Quick:
    """Comes before a normalisation's own class."""

    def forward(self: Any, input: Tensor) -> Tensor:
        if torch.is_grad_enabled() or self.track_running_stats or input.device.type != "cpu":
            usual: Any = super().forward  # type: ignore[misc]
            answer: Tensor = usual(input)
            return answer
        return functional.group_norm(input, self.num_features, self.weight, self.bias, self.eps)


class _InstanceNorm2d(_Quick, nn.InstanceNorm2d): ...


class _InstanceNorm3d(_Quick, nn.InstanceNorm3d): ...


_QUICK: dict[type, type] = {nn.InstanceNorm2d: _InstanceNorm2d, nn.InstanceNorm3d: _InstanceNorm3d}
