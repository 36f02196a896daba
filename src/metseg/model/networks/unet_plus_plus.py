"""U-Net++: nested, dense skip paths; a trained head on every depth, pruned at inference to the depth that suffices.

Paper: Zhou et al. 2018, "UNet++: A Nested U-Net Architecture for Medical Image Segmentation", arXiv:1807.10165.
Code: the blocks of MONAI's `BasicUNetPlusPlus`, Apache-2.0; the order of computation is ours, because MONAI's forward
pass always computes all four depths.

The inputs of node (level, j) are the up-sampled node (level + 1, j - 1) and all earlier nodes of its own level. The
head of depth d is on node (0, d), which needs exactly the nodes with level + j <= d: a pruned network computes only
these.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import nn

from metseg.model.networks.network_options import DEPTH, UnetPlusPlusOptions

_NORM: dict[str, str | tuple[str, dict[str, bool]]] = {"batch": "batch", "instance": ("instance", {"affine": True})}


def build(options: UnetPlusPlusOptions, *, in_channels: int, out_channels: int, dimensions: int) -> nn.Module:
    """Return U-Net++ with MONAI's blocks."""
    from monai.networks.nets.basic_unetplusplus import BasicUNetPlusPlus

    blocks = BasicUNetPlusPlus(
        spatial_dims=dimensions,
        in_channels=in_channels,
        out_channels=out_channels,
        features=(*options.channels, options.channels[0]),
        deep_supervision=options.deep_supervision,
        act=("relu", {"inplace": True}),
        norm=_NORM[options.norm],
        dropout=options.dropout,
    )
    return UNetPlusPlus(blocks, deep_supervision=options.deep_supervision, inference_depth=options.inference_depth)


class UNetPlusPlus(nn.Module):
    """MONAI's blocks, computed only as deep as asked."""

    def __init__(self, blocks: nn.Module, *, deep_supervision: bool, inference_depth: int) -> None:
        super().__init__()
        self.blocks = blocks
        self.deep_supervision = deep_supervision
        self.inference_depth = inference_depth
        if not deep_supervision:
            for depth in range(1, DEPTH):  # heads that nothing would train
                delattr(blocks, f"final_conv_0_{depth}")

    def forward(self, images: torch.Tensor) -> torch.Tensor | list[torch.Tensor]:
        if self.training and self.deep_supervision:
            top_row = self._top_row(images, DEPTH)
            return [self._block("final_conv", 0, depth)(top_row[depth]) for depth in range(DEPTH, 0, -1)]
        depth = DEPTH if self.training else self.inference_depth
        logits: torch.Tensor = self._block("final_conv", 0, depth)(self._top_row(images, depth)[depth])
        return logits

    def _top_row(self, images: torch.Tensor, depth: int) -> list[torch.Tensor]:
        """Return the nodes (0, 0) to (0, depth), computed along the diagonals level + j = 0, 1, ..., depth."""
        rows: list[list[torch.Tensor]] = []
        features = images
        for level in range(depth + 1):
            features = self._block("conv", level, 0)(features)
            rows.append([features])
            for j in range(1, level + 1):
                row = rows[level - j]
                below = rows[level - j + 1][j - 1]
                row.append(self._block("upcat", level - j, j)(below, torch.cat(row, dim=1)))
        return rows[0]

    def _block(self, kind: str, level: int, j: int) -> nn.Module:
        return cast(nn.Module, getattr(self.blocks, f"{kind}_{level}_{j}"))
