"""Residual-encoder U-Net: nnU-Net's newer network, most of its depth in the encoder.

Papers: Isensee et al. 2024, "nnU-Net Revisited", arXiv:2404.09556 (ResEnc M, L, XL); He et al. 2019, arXiv:1812.01187
(ResNet-D: a shortcut that changes size is averaged first, then projected). The authors' code is
github.com/MIC-DKFZ/dynamic-network-architectures (Apache-2.0); that package needs timm, which does not install beside
a CPU-only torch everywhere, so this is rewritten for metseg, Apache-2.0. Difference: no bias before a normalisation,
which would cancel it.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn

from metseg.model.networks.encoder_decoder import EncoderDecoder
from metseg.model.networks.layers import AVERAGE_POOL, CONVOLUTION, DROPOUT, TRANSPOSED, make_norm
from metseg.model.networks.network_options import Norm, ResencUnetOptions

#: Slope of the leaky ReLU below zero.
SLOPE = 0.01

Axes = tuple[int, ...]


def build(options: ResencUnetOptions, *, in_channels: int, out_channels: int, dimensions: int) -> nn.Module:
    """Return the residual-encoder U-Net."""
    network = ResEncUNet(options, in_channels=in_channels, out_channels=out_channels, dimensions=dimensions)
    network.apply(_initialise)
    return network


def _initialise(module: nn.Module) -> None:
    """Begin as nnU-Net does: He's normal weights, and residual blocks that pass their input on unchanged."""
    if isinstance(module, nn.Conv2d | nn.Conv3d | nn.ConvTranspose2d | nn.ConvTranspose3d):
        nn.init.kaiming_normal_(module.weight, a=SLOPE)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    if isinstance(module, ResidualBlock):
        nn.init.zeros_(module.second_norm.weight)  # type: ignore[arg-type]


def _convolution(in_channels: int, out_channels: int, kernel: Axes, stride: Axes | int = 1) -> nn.Module:
    padding = tuple(side // 2 for side in kernel)
    layer = CONVOLUTION[len(kernel)]
    return layer(in_channels, out_channels, kernel, stride=stride, padding=padding, bias=False)  # type: ignore[arg-type]


class ConvNormLeaky(nn.Sequential):
    """Convolution, normalisation, leaky ReLU."""

    def __init__(
        self, in_channels: int, out_channels: int, *, kernel: Axes, norm: Norm, stride: Axes | int = 1
    ) -> None:
        super().__init__(
            _convolution(in_channels, out_channels, kernel, stride),
            make_norm(norm, out_channels, dimensions=len(kernel)),
            nn.LeakyReLU(SLOPE, inplace=True),
        )


class ResidualBlock(nn.Module):
    """Two convolutions beside a shortcut; that one is averaged to change size and projected to change width."""

    def __init__(self, in_channels: int, out_channels: int, *, kernel: Axes, stride: Axes, norm: Norm) -> None:
        super().__init__()
        dimensions = len(kernel)
        self.first = ConvNormLeaky(in_channels, out_channels, kernel=kernel, norm=norm, stride=stride)
        self.second = _convolution(out_channels, out_channels, kernel)
        self.second_norm = make_norm(norm, out_channels, dimensions=dimensions)
        shortcut: list[nn.Module] = []
        if set(stride) != {1}:
            shortcut.append(AVERAGE_POOL[dimensions](stride, stride))  # type: ignore[arg-type]
        if in_channels != out_channels:
            shortcut.append(_convolution(in_channels, out_channels, (1,) * dimensions))
            shortcut.append(make_norm(norm, out_channels, dimensions=dimensions))
        self.shortcut = nn.Sequential(*shortcut)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        answer = self.second_norm(self.second(self.first(features))) + self.shortcut(features)
        return nn.functional.leaky_relu_(answer, SLOPE)


class UpBlock(nn.Module):
    """Enlarge by a transposed convolution, join with the encoder's features, convolve."""

    def __init__(
        self, in_channels: int, out_channels: int, *, kernel: Axes, stride: Axes, norm: Norm, count: int
    ) -> None:
        super().__init__()
        self.enlarge = TRANSPOSED[len(kernel)](in_channels, out_channels, stride, stride=stride)  # type: ignore[arg-type]
        widths = (2 * out_channels, *([out_channels] * count))
        self.join = nn.Sequential(
            *(ConvNormLeaky(before, after, kernel=kernel, norm=norm) for before, after in pairwise(widths))
        )

    def forward(self, features: torch.Tensor, skip: torch.Tensor) -> torch.Tensor:
        joined: torch.Tensor = self.join(torch.cat([self.enlarge(features), skip], dim=1))
        return joined


class ResEncUNet(EncoderDecoder):
    """See the module's text."""

    def __init__(self, options: ResencUnetOptions, *, in_channels: int, out_channels: int, dimensions: int) -> None:
        super().__init__()
        channels, norm = options.channels, options.norm
        strides, kernels = options.strides_in(dimensions), options.kernels_in(dimensions)
        self.stem = ConvNormLeaky(in_channels, channels[0], kernel=kernels[0], norm=norm)
        self.levels = nn.ModuleList()
        width = channels[0]
        for wide, count, stride, kernel in zip(channels, options.blocks, strides, kernels, strict=True):
            steps = [stride] + [(1,) * dimensions] * (count - 1)
            widths = pairwise([width] + [wide] * count)
            self.levels.append(
                nn.Sequential(
                    *(
                        ResidualBlock(before, after, kernel=kernel, stride=step, norm=norm)
                        for (before, after), step in zip(widths, steps, strict=True)
                    )
                )
            )
            width = wide
        self.dropout = DROPOUT[dimensions](options.dropout)
        count = options.decoder_convolutions
        self.ups = nn.ModuleList(
            UpBlock(deep, shallow, kernel=kernel, stride=stride, norm=norm, count=count)
            for (shallow, deep), kernel, stride in reversed(
                list(zip(pairwise(channels), kernels[:-1], strides[1:], strict=True))
            )
        )
        # The coarsest decoder level teaches nothing: nnU-Net gives it weight 0.
        heads = len(channels) - 2 if options.deep_supervision else 1
        self.heads = nn.ModuleList(CONVOLUTION[dimensions](wide, out_channels, 1) for wide in channels[:heads])
