"""InceptionV3 as an encoder, with the parameter names and shapes of the public ImageNet checkpoint.

Paper: Szegedy et al. 2016, "Rethinking the Inception Architecture for Computer Vision", arXiv:1512.00567.
Names and structure: torchvision's `inception_v3`, BSD-3-Clause; rewritten for metseg as tables of branches, since
torchvision does not install beside every build of torch. The classifier heads (``AuxLogits``, ``fc``) are omitted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn
from torch.nn import functional

#: Channels of what `InceptionV3.forward` returns, at 1/2, 1/4, 1/8, 1/16 and 1/32 of the input's size.
FEATURE_CHANNELS = (64, 192, 288, 768, 2048)
#: Name of the weights that see the input channels.
STEM_WEIGHT = "Conv2d_1a_3x3.conv.weight"
_HEADS = ("AuxLogits.", "fc.")
_BATCH_NORM_EPSILON = 0.001


@dataclass(frozen=True)
class Conv:
    """One convolution of a branch; with stride 2 it is one of the unpadded ones that halve."""

    name: str
    width: int
    kernel: tuple[int, int]
    stride: int = 1


Pool = Literal["average", "maximum"]
#: A chain of steps; a pair of convolutions reads the same features, and both answers are kept.
Branch = tuple[Conv | Pool | tuple[Conv, Conv], ...]


class BasicConv2d(nn.Module):
    """Convolution, batch normalisation, ReLU; the attribute names are part of the checkpoint's keys."""

    def __init__(self, in_channels: int, spec: Conv, *, padding: tuple[int, int]) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, spec.width, spec.kernel, stride=spec.stride, padding=padding, bias=False)
        self.bn = nn.BatchNorm2d(spec.width, eps=_BATCH_NORM_EPSILON)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return functional.relu(self.bn(self.conv(features)), inplace=True)


class InceptionBlock(nn.Module):
    """Branches side by side, their answers concatenated in the order of the table."""

    def __init__(
        self, in_channels: int, branches: tuple[Branch, ...], *, padded: bool, keras_pooling: bool = False
    ) -> None:
        super().__init__()
        self.branches = branches
        self.padded = padded
        self.count_border = not keras_pooling
        self.out_channels = 0
        for branch in branches:
            width = in_channels
            for step in branch:
                if not isinstance(step, str):
                    convs = step if isinstance(step, tuple) else (step,)
                    for conv in convs:
                        padding = _same(conv.kernel) if padded or conv.stride == 1 else (0, 0)
                        self.add_module(conv.name, BasicConv2d(width, conv, padding=padding))
                    width = sum(conv.width for conv in convs)
            self.out_channels += width

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return torch.cat([self._run(branch, features) for branch in self.branches], dim=1)

    def _run(self, branch: Branch, features: torch.Tensor) -> torch.Tensor:
        for step in branch:
            if step == "average":
                features = functional.avg_pool2d(
                    features, kernel_size=3, stride=1, padding=1, count_include_pad=self.count_border
                )
            elif step == "maximum":
                features = halve(features, padded=self.padded)
            elif isinstance(step, tuple):
                features = torch.cat([self.get_submodule(conv.name)(features) for conv in step], dim=1)
            elif isinstance(step, Conv):
                features = self.get_submodule(step.name)(features)
        return features


class InceptionV3(nn.Module):
    """The convolutional part of InceptionV3.

    Args:
        in_channels: channels of the picture; the checkpoint has 3.
        padded: pad the unpadded convolutions and poolings of the stem and of the halving blocks by 1, so that sides
            divisible by 32 are halved exactly and every feature stays above the pixels it describes, as skip
            connections need it. False: the classifier's own arithmetic (299 -> 149 -> 147 -> ... -> 8). The
            parameters are the same.
        keras_pooling: leave the border out of average poolings, as Keras does; False: count it as zeros, as torchvision
            does.
    """

    def __init__(self, in_channels: int = 3, *, padded: bool = True, keras_pooling: bool = False) -> None:
        super().__init__()
        self.padded = padded
        width = in_channels
        for conv in _STEM:
            keeps_size = conv.name == "Conv2d_2b_3x3" or conv.kernel == (1, 1)
            padding = _same(conv.kernel) if padded or keeps_size else (0, 0)
            self.add_module(conv.name, BasicConv2d(width, conv, padding=padding))
            width = conv.width
        for name, branches in _BLOCKS.items():
            block = InceptionBlock(width, branches, padded=padded, keras_pooling=keras_pooling)
            self.add_module(name, block)
            width = block.out_channels

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        """Return features at five scales for images (N, C, H, W); see `FEATURE_CHANNELS`."""
        features = images
        scales: list[torch.Tensor] = []
        for name, module in self.named_children():
            if name in _AFTER_POOLING:
                features = halve(features, padded=self.padded)
            features = module(features)
            if name in _SCALES:
                scales.append(features)
        return scales


def halve(features: torch.Tensor, *, padded: bool) -> torch.Tensor:
    """Return the 3x3 maximum at every second position."""
    return functional.max_pool2d(features, kernel_size=3, stride=2, padding=int(padded))


def without_classifier(checkpoint: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return a public checkpoint as weights of `InceptionV3`."""
    return {key: value for key, value in checkpoint.items() if not key.startswith(_HEADS)}


def _same(kernel: tuple[int, int]) -> tuple[int, int]:
    return kernel[0] // 2, kernel[1] // 2


def _square(name: str, width: int, side: int, stride: int = 1) -> Conv:
    return Conv(name, width, (side, side), stride)


def _block_35(pool_width: int) -> tuple[Branch, ...]:
    """Figure 5 of the paper: at 35 x 35, factorised 5x5."""
    return (
        (_square("branch1x1", 64, 1),),
        (_square("branch5x5_1", 48, 1), _square("branch5x5_2", 64, 5)),
        (_square("branch3x3dbl_1", 64, 1), _square("branch3x3dbl_2", 96, 3), _square("branch3x3dbl_3", 96, 3)),
        ("average", _square("branch_pool", pool_width, 1)),
    )


def _block_17(width: int) -> tuple[Branch, ...]:
    """Figure 6: at 17 x 17, 7x7 factorised into 1x7 and 7x1."""
    return (
        (_square("branch1x1", 192, 1),),
        (
            _square("branch7x7_1", width, 1),
            Conv("branch7x7_2", width, (1, 7)),
            Conv("branch7x7_3", 192, (7, 1)),
        ),
        (
            _square("branch7x7dbl_1", width, 1),
            Conv("branch7x7dbl_2", width, (7, 1)),
            Conv("branch7x7dbl_3", width, (1, 7)),
            Conv("branch7x7dbl_4", width, (7, 1)),
            Conv("branch7x7dbl_5", 192, (1, 7)),
        ),
        ("average", _square("branch_pool", 192, 1)),
    )


def _block_8() -> tuple[Branch, ...]:
    """Figure 7: at 8 x 8, the filter bank spread out."""
    return (
        (_square("branch1x1", 320, 1),),
        (
            _square("branch3x3_1", 384, 1),
            (Conv("branch3x3_2a", 384, (1, 3)), Conv("branch3x3_2b", 384, (3, 1))),
        ),
        (
            _square("branch3x3dbl_1", 448, 1),
            _square("branch3x3dbl_2", 384, 3),
            (Conv("branch3x3dbl_3a", 384, (1, 3)), Conv("branch3x3dbl_3b", 384, (3, 1))),
        ),
        ("average", _square("branch_pool", 192, 1)),
    )


_STEM = (
    _square("Conv2d_1a_3x3", 32, 3, stride=2),
    _square("Conv2d_2a_3x3", 32, 3),
    _square("Conv2d_2b_3x3", 64, 3),
    _square("Conv2d_3b_1x1", 80, 1),
    _square("Conv2d_4a_3x3", 192, 3),
)
#: Modules that follow a max-pooling, and the last module of each scale.
_AFTER_POOLING = ("Conv2d_3b_1x1", "Mixed_5b")
_SCALES = ("Conv2d_2b_3x3", "Conv2d_4a_3x3", "Mixed_5d", "Mixed_6e", "Mixed_7c")
_BLOCKS: dict[str, tuple[Branch, ...]] = {
    "Mixed_5b": _block_35(32),
    "Mixed_5c": _block_35(64),
    "Mixed_5d": _block_35(64),
    "Mixed_6a": (
        (_square("branch3x3", 384, 3, stride=2),),
        (
            _square("branch3x3dbl_1", 64, 1),
            _square("branch3x3dbl_2", 96, 3),
            _square("branch3x3dbl_3", 96, 3, stride=2),
        ),
        ("maximum",),
    ),
    "Mixed_6b": _block_17(128),
    "Mixed_6c": _block_17(160),
    "Mixed_6d": _block_17(160),
    "Mixed_6e": _block_17(192),
    "Mixed_7a": (
        (_square("branch3x3_1", 192, 1), _square("branch3x3_2", 320, 3, stride=2)),
        (
            _square("branch7x7x3_1", 192, 1),
            Conv("branch7x7x3_2", 192, (1, 7)),
            Conv("branch7x7x3_3", 192, (7, 1)),
            _square("branch7x7x3_4", 192, 3, stride=2),
        ),
        ("maximum",),
    ),
    "Mixed_7b": _block_8(),
    "Mixed_7c": _block_8(),
}
