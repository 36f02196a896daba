"""EfficientNet-Lite0 as an encoder, with the shapes of the public ImageNet checkpoint.

Paper: Tan and Le 2019, arXiv:1905.11946 (EfficientNet); its "Lite" form has ReLU6 and no squeeze-and-excitation, which
suits processors. Written for metseg, Apache-2.0. The classifier (``_conv_head``, ``_bn1``, ``_fc``) is omitted.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from metseg.model.networks.layers import neighbours_of

#: Channels of what `EfficientNetLite.forward` returns, at 1/2, 1/4, 1/8, 1/16 and 1/32 of the input's size.
FEATURE_CHANNELS = (16, 24, 40, 112, 320)
#: Name of the weights that see the input channels.
STEM_WEIGHT = "stem.convolution.weight"
_STEM_WIDTH = 32
_EPSILON, _MOMENTUM = 1e-3, 0.01
#: One channel in so many is seen by the next slice, and one by the previous slice.
_SHIFTED_SHARE = 8
_CLASSIFIER = ("_conv_head.", "_bn1.", "_fc.")
#: The checkpoint's names to ours.
_RENAMED = (
    (r"^_conv_stem\.", "stem.convolution."),
    (r"^_bn0\.", "stem.norm."),
    (r"^_blocks\.(\d+)\._expand_conv\.", r"blocks.\1.expand.convolution."),
    (r"^_blocks\.(\d+)\._bn0\.", r"blocks.\1.expand.norm."),
    (r"^_blocks\.(\d+)\._depthwise_conv\.", r"blocks.\1.depthwise.convolution."),
    (r"^_blocks\.(\d+)\._bn1\.", r"blocks.\1.depthwise.norm."),
    (r"^_blocks\.(\d+)\._project_conv\.", r"blocks.\1.project.convolution."),
    (r"^_blocks\.(\d+)\._bn2\.", r"blocks.\1.project.norm."),
)


@dataclass(frozen=True)
class Stage:
    """Blocks of one width; the first of them has the stride."""

    blocks: int
    kernel: int
    stride: int
    expansion: int
    width: int


_STAGES = (
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(2, 5, 2, 6, 40),
    Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112),
    Stage(4, 5, 2, 6, 192),
    Stage(1, 3, 1, 6, 320),
)


class ConvBatchNorm(nn.Module):
    """Convolution, batch normalisation and, unless ``linear``, ReLU6."""

    def __init__(
        self, in_channels: int, width: int, kernel: int, *, stride: int = 1, groups: int = 1, linear: bool = False
    ) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(in_channels, width, kernel, stride=stride, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(width, eps=_EPSILON, momentum=_MOMENTUM)
        self.linear = linear
        # As TensorFlow's "same" at even sizes, for which the weights were trained: a stride of 2 pads less before the
        # image than behind it.
        before, both = (kernel - stride) // 2, kernel - stride
        self.padding = (before, both - before) * 2 if kernel > 1 else None

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        if self.padding is not None:
            features = functional.pad(features, self.padding)
        features = self.norm(self.convolution(features))
        return features if self.linear else functional.relu6(features, inplace=True)


class InvertedResidual(nn.Module):
    """Widen, convolve each channel by itself, narrow; beside a shortcut where nothing changes its shape."""

    def __init__(self, in_channels: int, stage: Stage, *, stride: int) -> None:
        super().__init__()
        wide = in_channels * stage.expansion
        self.expand = ConvBatchNorm(in_channels, wide, 1) if stage.expansion > 1 else nn.Identity()
        self.depthwise = ConvBatchNorm(wide, wide, stage.kernel, stride=stride, groups=wide)
        self.project = ConvBatchNorm(wide, stage.width, 1, linear=True)
        self.shortcut = stride == 1 and in_channels == stage.width

    def forward(self, features: torch.Tensor, slices: int = 1) -> torch.Tensor:
        seen = shift_channels(features, slices) if self.shortcut else features
        narrow: torch.Tensor = self.project(self.depthwise(self.expand(seen)))
        return narrow + features if self.shortcut else narrow


def shift_channels(features: torch.Tensor, slices: int) -> torch.Tensor:
    """Give each slice an eighth of the channels of the slice before it, and an eighth of those of the slice behind it.

    A 2D network so sees through a volume, without further weights or multiplications: the temporal shift module of Lin
    et al. 2019, arXiv:1811.08383. Beyond the ends of a volume there are zeros.

    Args:
        features: (N · slices, C, rows, columns); the slices of one volume follow one another.
        slices: of each volume; 1: nothing is shifted.
    """
    if slices == 1:
        return features
    part = features.shape[1] // _SHIFTED_SHARE
    pixels = features.permute(0, 2, 3, 1)  # channels last, as convolutions like them
    from_before, _ = neighbours_of(pixels[..., :part], slices)
    _, from_behind = neighbours_of(pixels[..., part : 2 * part], slices)
    return torch.cat([from_before, from_behind, pixels[..., 2 * part :]], dim=-1).permute(0, 3, 1, 2)


class EfficientNetLite(nn.Module):
    """The encoder; see the module's text."""

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.stem = ConvBatchNorm(in_channels, _STEM_WIDTH, 3, stride=2)
        self.blocks = nn.ModuleList()
        width = _STEM_WIDTH
        for stage in _STAGES:
            for place in range(stage.blocks):
                self.blocks.append(InvertedResidual(width, stage, stride=stage.stride if place == 0 else 1))
                width = stage.width

    def forward(self, images: torch.Tensor, slices: int = 1) -> list[torch.Tensor]:
        """Return the last features of each size, those of 1/2 first.

        Args:
            images: (N · slices, C, rows, columns), sides divisible by 32.
            slices: that follow one another in a volume and see one another; see `shift_channels`.
        """
        features = self.stem(images)
        levels: list[torch.Tensor] = []
        for block in self.blocks:
            halved = block(features, slices)
            if halved.shape[2:] != features.shape[2:]:
                levels.append(features)
            features = halved
        return [*levels, features]


def adapt_checkpoint(checkpoint: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the public checkpoint under the names of `EfficientNetLite`, without its classifier."""
    return {_renamed(key): value for key, value in checkpoint.items() if not key.startswith(_CLASSIFIER)}


def _renamed(key: str) -> str:
    for pattern, name in _RENAMED:
        key, found = re.subn(pattern, name, key)
        if found:
            break
    return key
