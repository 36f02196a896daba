"""DynUNet: the network of nnU-Net.

Papers: Isensee et al. 2021, nnU-Net, arXiv:1809.10486; Futrega et al. 2021, arXiv:2110.03352 (residual variant).
Code: the blocks of MONAI's `DynUNet`, Apache-2.0. The forward pass is ours: MONAI registers every block twice, which
doubles the weights on disk, interpolates the supervised levels itself and keeps them in memory between steps.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_eval

from metseg.model.networks.layers import FIXED_NORM, with_classes
from metseg.model.networks.network_options import DynUnetOptions
from metseg.model.onednn_workarounds import add_convolved, with_parameters

_NORM: dict[str, str | tuple[str, dict[str, Any]]] = {
    "batch": "batch",
    "instance": ("instance", {"affine": True}),
    "group": ("group", {"num_groups": 8}),
    "fixed": "batch",
}


def build(options: DynUnetOptions, *, in_channels: int, out_channels: int, dimensions: int) -> nn.Module:
    """Return nnU-Net's network from MONAI's blocks."""
    network = DynUNet(monai_module(options, in_channels=in_channels, out_channels=out_channels, dimensions=dimensions))
    return with_classes(network, FIXED_NORM) if options.norm == "fixed" else network


def monai_module(options: DynUnetOptions, *, in_channels: int, out_channels: int, dimensions: int) -> nn.Module:
    """Return MONAI's network, which provides our blocks; its weights have the names of ours, and further ones."""
    from monai.networks.nets.dynunet import DynUNet as MonaiDynUNet

    strides = options.strides_in(dimensions)
    network: nn.Module = MonaiDynUNet(
        spatial_dims=dimensions,
        in_channels=in_channels,
        out_channels=out_channels,
        kernel_size=options.kernels_in(dimensions),
        strides=strides,
        upsample_kernel_size=strides[1:],
        filters=options.channels,
        dropout=options.dropout or None,
        norm_name=_NORM[options.norm],
        deep_supervision=options.deep_supervision,
        deep_supr_num=len(strides) - 2,
        res_block=options.residual,
    )
    return network


class DynUNet(nn.Module):
    """MONAI's blocks, each held once."""

    def __init__(self, blocks: Any) -> None:
        super().__init__()
        self.input_block: Any = blocks.input_block
        self.downsamples: nn.ModuleList = blocks.downsamples
        self.bottleneck: nn.Module = blocks.bottleneck
        self.upsamples: nn.ModuleList = blocks.upsamples
        self.output_block: nn.Module = blocks.output_block
        heads = blocks.deep_supervision_heads if blocks.deep_supervision else nn.ModuleList()
        self.deep_supervision_heads: nn.ModuleList = heads

    def forward(self, images: torch.Tensor) -> torch.Tensor | list[torch.Tensor]:
        skips = [self.input_block(images)]
        for down in self.downsamples:
            skips.append(down(skips[-1]))
        features = self.bottleneck(skips[-1])
        if not (self.training or torch.is_grad_enabled()):
            return self._decoded_lean(features, skips)
        decoded: list[torch.Tensor] = []
        for up in self.upsamples:
            features = up(features, skips.pop())
            decoded.insert(0, features)
        logits: torch.Tensor = self.output_block(features)
        if not self.training or len(self.deep_supervision_heads) == 0:
            return logits
        coarser = decoded[1 : 1 + len(self.deep_supervision_heads)]
        return [logits, *(head(level) for head, level in zip(self.deep_supervision_heads, coarser, strict=True))]

    def folded(self) -> DynUNet:
        """Return a copy for predictions, with batch normalisation folded into the convolutions.

        Other normalisations depend on their input; a network with them is returned unchanged.
        """
        if not isinstance(self.input_block.norm1, _BatchNorm):
            return self
        twin = copy.deepcopy(self).eval()  # shared weights would go to a device with it
        for block in list(twin.modules()):
            _fold(block)
        return twin

    def _decoded_lean(self, features: torch.Tensor, skips: list[torch.Tensor]) -> torch.Tensor:
        """Return the logits, and hold no level for longer than it takes; the finest decides how much memory that is."""
        *coarser, finest = self.upsamples
        for up in coarser:
            features = up(features, skips.pop())
        logits: torch.Tensor = self.output_block(_up_unjoined(finest, features, skips))
        return logits


def _fold(block: Any) -> None:
    """Fold the batch normalisations of one of MONAI's blocks, in evaluation mode, into its convolutions."""
    for number in range(1, 4):  # the third is a residual block's
        norm = getattr(block, f"norm{number}", None)
        if isinstance(norm, _BatchNorm):
            convolution: Any = getattr(block, f"conv{number}")
            convolution.conv = fuse_conv_bn_eval(convolution.conv, norm)
            setattr(block, f"norm{number}", nn.Identity())


def _up_unjoined(up: Any, features: torch.Tensor, skips: list[torch.Tensor]) -> torch.Tensor:
    """Return what a block of MONAI's decoder answers in evaluation, in little more than half the memory.

    MONAI concatenates the decoder's features and the skip, in this order, before a convolution. The result equals the
    sum of two convolutions, one per half of the weights, with the bias (if any, see `DynUNet.folded`) in one of them.
    So no concatenation is needed, and the last of ``skips`` is freed before the other levels are computed.
    """
    block = up.conv_block
    first = block.conv1.conv
    weight_of_risen, weight_of_skip = first.weight.chunk(2, dim=1)
    answer: torch.Tensor = with_parameters(first, {"weight": weight_of_skip})(skips.pop())
    risen = up.transp_conv(features)
    answer = add_convolved(answer, with_parameters(first, {"weight": weight_of_risen, "bias": None}), risen)
    del risen
    answer = block.lrelu(block.norm1(answer))
    answer = block.conv2(answer)
    answer = block.lrelu(block.norm2(answer))
    return answer
