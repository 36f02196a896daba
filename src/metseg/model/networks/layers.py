"""Layers shared by our own architectures: convolution, normalisation and up-sampling in 2D and 3D."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import nn
from torch.nn import functional

from metseg.model.networks.network_options import Norm
from metseg.model.upsampling_gradients import has_quick_join, join_with_doubled

Network = TypeVar("Network", bound=nn.Module)

#: The memory layout that convolutions like best, by spatial dimensions.
CHANNELS_LAST: dict[int, torch.memory_format] = {2: torch.channels_last, 3: torch.channels_last_3d}

CONVOLUTION: Mapping[int, type[nn.Conv2d] | type[nn.Conv3d]] = {2: nn.Conv2d, 3: nn.Conv3d}
BATCH_NORM: Mapping[int, type[nn.BatchNorm2d] | type[nn.BatchNorm3d]] = {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
TRANSPOSED: Mapping[int, type[nn.ConvTranspose2d] | type[nn.ConvTranspose3d]] = {
    2: nn.ConvTranspose2d,
    3: nn.ConvTranspose3d,
}
AVERAGE_POOL: Mapping[int, type[nn.AvgPool2d] | type[nn.AvgPool3d]] = {2: nn.AvgPool2d, 3: nn.AvgPool3d}
MAX_POOL: Mapping[int, type[nn.MaxPool2d] | type[nn.MaxPool3d]] = {2: nn.MaxPool2d, 3: nn.MaxPool3d}
INSTANCE_NORM: Mapping[int, type[nn.InstanceNorm2d] | type[nn.InstanceNorm3d]] = {
    2: nn.InstanceNorm2d,
    3: nn.InstanceNorm3d,
}
#: Whole feature maps are dropped: single pixels are too alike to their neighbours for dropping them to matter.
DROPOUT: Mapping[int, type[nn.Dropout2d] | type[nn.Dropout3d]] = {2: nn.Dropout2d, 3: nn.Dropout3d}
_LINEAR: Mapping[int, str] = {2: "bilinear", 3: "trilinear"}

#: Channels per group of the group normalisation.
GROUP_WIDTH = 16


def with_classes(network: Network, classes: Mapping[type, type]) -> Network:
    """Return the network with the classes of its modules changed in place; weights and their names stay as they are.

    Args:
        network: any; its modules are looked up by their very class.
        classes: from a class to its replacement, a subclass without additional state.
    """
    for module in network.modules():
        derived = classes.get(type(module))
        if derived is not None:
            # As torch.nn.utils.parametrize does it: a module put in this one's place would lose its hooks.
            module.__class__ = derived
    return network


class _Fixed:
    """Mixin for batch normalisation: always uses the stored statistics, in training too.

    An answer then depends on nothing else in the batch or the window, and windows agree with one another where they
    overlap. See `metseg.training.weights.fixed_norm` for where the statistics are from.
    """

    def forward(self: Any, input: torch.Tensor) -> torch.Tensor:
        return functional.batch_norm(
            input, self.running_mean, self.running_var, self.weight, self.bias, training=False, eps=self.eps
        )


class FixedNorm2d(_Fixed, nn.BatchNorm2d): ...


class FixedNorm3d(_Fixed, nn.BatchNorm3d): ...


#: From batch normalisation to the fixed one of the same weights.
FIXED_NORM: dict[type, type] = {nn.BatchNorm2d: FixedNorm2d, nn.BatchNorm3d: FixedNorm3d}


def has_fixed_norm(network: nn.Module) -> bool:
    """Return whether a network normalises by statistics that it holds."""
    return any(isinstance(module, _Fixed) for module in network.modules())


def make_norm(norm: Norm, channels: int, *, dimensions: int) -> nn.Module:
    """Return a normalisation layer with scale and shift.

    On a CPU in bf16 with channels last, at 32 channels and 256 x 256, forward and backward of batch normalisation take
    about 7 ms, group 4 ms, instance 40 ms (it copies out of the layout and back), a 3x3 convolution 40 ms.
    """
    if norm == "batch":
        return BATCH_NORM[dimensions](channels)
    if norm == "fixed":
        return with_classes(BATCH_NORM[dimensions](channels), FIXED_NORM)
    if norm == "instance":
        return INSTANCE_NORM[dimensions](channels, affine=True)
    width = next(width for width in range(GROUP_WIDTH, 0, -1) if channels % width == 0)
    return nn.GroupNorm(channels // width, channels)


def upsample(features: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """Return features (N, C, ...) linearly interpolated to the spatial size of ``like``."""
    mode = _LINEAR[features.ndim - 2]
    return functional.interpolate(features, size=like.shape[2:], mode=mode, align_corners=False)


def double(features: torch.Tensor) -> torch.Tensor:
    """Return features (N, C, *S) at twice the size, each value repeated: what Keras' up-sampling layers do."""
    return functional.interpolate(features, scale_factor=2, mode="nearest")


class _Upsampled:
    """Mixin for a convolution: its input is features (N, C, *S), doubled, and joined with a skip (N, K, *2S).

    On a CPU, `metseg.model.onednn_workarounds` computes the same without the doubled features.
    """

    def forward(self: Any, features: torch.Tensor, skip: torch.Tensor) -> torch.Tensor:
        usual: Any = super().forward  # type: ignore[misc]
        answer: torch.Tensor = usual(torch.cat([double(features), skip], dim=1))
        return answer


class UpsampledConv2d(_Upsampled, nn.Conv2d): ...  # type: ignore[misc]


class UpsampledConv3d(_Upsampled, nn.Conv3d): ...  # type: ignore[misc]


UPSAMPLED_CONVOLUTION: Mapping[int, type[UpsampledConv2d] | type[UpsampledConv3d]] = {
    2: UpsampledConv2d,
    3: UpsampledConv3d,
}


class TwoInputSequential(nn.Sequential):
    """Layers in order; the first one takes two inputs, such as features and a skip."""

    def forward(self, features: torch.Tensor, other: torch.Tensor | int) -> torch.Tensor:  # type: ignore[override]
        first, *others = self
        joined: torch.Tensor = first(features, other)
        for layer in others:
            joined = layer(joined)
        return joined


def neighbours_of(slice_features: torch.Tensor, slices: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the features of the slice before each slice and of the slice behind it; zeros beyond the ends.

    Args:
        slice_features: (N · slices, ...); the slices of one volume follow one another.
        slices: of each volume.
    """
    volumes = slice_features.reshape(-1, slices, *slice_features.shape[1:])
    others = (0, 0) * (volumes.ndim - 2)
    before = functional.pad(volumes[:, :-1], (*others, 1, 0))
    behind = functional.pad(volumes[:, 1:], (*others, 0, 1))
    return before.flatten(0, 1), behind.flatten(0, 1)


class ThreeSlicesConv2d(nn.Conv2d):
    """1x1 convolution over a slice and its two neighbours in a volume; beyond the ends there are zeros.

    On a CPU, `metseg.model.onednn_workarounds` computes the same without joining three copies of the slices.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(3 * in_channels, out_channels, 1, bias=False)

    def forward(self, features: torch.Tensor, slices: int) -> torch.Tensor:  # type: ignore[override]
        """Return (N · slices, K, rows, columns) for features (N · slices, C, rows, columns)."""
        pixels = features.permute(0, 2, 3, 1)  # channels last, as convolutions like them
        before, behind = neighbours_of(pixels, slices)
        return super().forward(torch.cat([before, pixels, behind], dim=-1).permute(0, 3, 1, 2))


class ConvNormAct(nn.Sequential):
    """Convolution without bias (the normalisation has one), normalisation, ReLU."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        dimensions: int,
        norm: Norm = "batch",
        kernel_size: int = 3,
        stride: int = 1,
    ) -> None:
        super().__init__(
            CONVOLUTION[dimensions](
                in_channels, out_channels, kernel_size, stride=stride, padding=kernel_size // 2, bias=False
            ),
            make_norm(norm, out_channels, dimensions=dimensions),
            nn.ReLU(inplace=True),
        )


class UpBlock(nn.Module):
    """Narrow, interpolate, join with the encoder's features, convolve."""

    def __init__(
        self, in_channels: int, skip_channels: int, out_channels: int, *, dimensions: int, norm: Norm = "batch"
    ) -> None:
        super().__init__()
        self.narrow = CONVOLUTION[dimensions](in_channels, out_channels, 1, bias=False)
        self.join = ConvNormAct(out_channels + skip_channels, out_channels, dimensions=dimensions, norm=norm)

    def forward(self, features: torch.Tensor, skip: torch.Tensor) -> torch.Tensor:
        narrow = self.narrow(features)
        if has_quick_join(narrow, skip):
            joined = join_with_doubled(narrow, skip)
        else:
            joined = torch.cat([upsample(narrow, skip), skip], dim=1)
        answer: torch.Tensor = self.join(joined)
        return answer


class UprightSlices(nn.Module):
    """An architecture that computes with upright slices (rows, columns), while images and logits are (X, Y)."""

    def in_image_axes(self, features: torch.Tensor, images: int) -> torch.Tensor:  # noqa: ARG002
        """Return the features of a module, (N, C, rows, columns), as (N, C, X, Y); others are unchanged.

        Args:
            features: output of the module.
            images: N.
        """
        return features.transpose(2, 3) if features.ndim == 4 else features


@dataclass(frozen=True)
class EveryNth:
    """A forward hook that picks every n-th position of a module's input along each spatial axis."""

    steps: tuple[int, ...]

    def __call__(self, _: nn.Module, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        features, *others = inputs
        for axis, step in enumerate(self.steps, start=2):
            features = features[(slice(None),) * axis + (slice(None, None, step),)]
        return (features, *others)


def pick_before_pointwise(network: nn.Module) -> None:
    """Let strided 1x1 convolutions see only the positions they use; weights, keys and results stay what they were.

    With fewer than 16 channels in, the backward pass of the strided form writes beyond its memory in oneDNN (torch
    2.13, CPU, channels last) and ends the process.
    """
    for module in network.modules():
        if not isinstance(module, nn.Conv2d | nn.Conv3d) or set(module.kernel_size) != {1} or set(module.stride) == {1}:
            continue
        module.register_forward_pre_hook(EveryNth(tuple(module.stride)))
        module.stride = (1,) * len(module.stride)
