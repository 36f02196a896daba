"""Strided convolutions between a single column of voxels and a wider volume, in float32 amid a network in bfloat16.

oneDNN's AMX kernels, as torch 2.13 brings it, answer these, or their gradients, with anything up to 1e35; a bottleneck
gets as narrow as that where a volume has few slices. All else they answer right, several times as fast as AVX512.
"""

from __future__ import annotations

from typing import Any, TypeVar

import torch
from torch import Tensor, nn

Network = TypeVar("Network", bound=nn.Module)


def in_float32_where_narrow(network: Network) -> Network:
    """Return the network with its strided convolutions changed in place; weights and their names stay as they are."""
    for module in network.modules():
        careful = _CAREFUL.get(type(module))
        if careful is not None and _step(module) > 1:
            # As torch.nn.utils.parametrize does it: a module put in this one's place would lose its hooks.
            module.__class__ = careful
    return network


def _step(module: Any) -> int:
    return int(module.stride[-1])


class _Careful:
    """Comes before a convolution's own class."""

    def forward(self: Any, volume: Tensor, *further: Any) -> Tensor:
        usual: Any = super().forward  # type: ignore[misc]
        if not (volume.device.type == "cpu" and torch.is_autocast_enabled("cpu") and self._narrow_side(volume) == 1):
            return torch.as_tensor(usual(volume, *further))
        with torch.autocast("cpu", enabled=False):
            return torch.as_tensor(usual(volume.float(), *further))


class _CarefulDown(_Careful):
    def _narrow_side(self: Any, volume: Tensor) -> int:
        """Return the width of the answer."""
        padding = 0 if isinstance(self.padding, str) else self.padding[-1]  # "same" cannot be strided: it is "valid"
        reach = self.dilation[-1] * (self.kernel_size[-1] - 1) + 1
        return int((volume.shape[-1] + 2 * padding - reach) // _step(self) + 1)


class _CarefulUp(_Careful):
    def _narrow_side(self: Any, volume: Tensor) -> int:
        """Return the width of what goes in: its gradient is the answer of a strided convolution."""
        return int(volume.shape[-1])


class _Conv2d(_CarefulDown, nn.Conv2d): ...


class _Conv3d(_CarefulDown, nn.Conv3d): ...


class _ConvTranspose2d(_CarefulUp, nn.ConvTranspose2d): ...


class _ConvTranspose3d(_CarefulUp, nn.ConvTranspose3d): ...


_CAREFUL: dict[type, type] = {
    nn.Conv2d: _Conv2d,
    nn.Conv3d: _Conv3d,
    nn.ConvTranspose2d: _ConvTranspose2d,
    nn.ConvTranspose3d: _ConvTranspose3d,
}
