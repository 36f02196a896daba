"""Forward pass of a U-Net: down the encoder, up the decoder, with a skip connection at each level."""

from __future__ import annotations

import torch
from torch import nn


class EncoderDecoder(nn.Module):
    """Runs the parts that a family builds; the names are those of the weights on disk.

    ``stem`` and ``levels`` make the features of each size, ``dropout`` acts on the deepest, ``ups`` enlarge and join
    with what the encoder saw, ``heads`` make logits, the finest first; with several of them, training gets them all.
    """

    stem: nn.Module
    levels: nn.ModuleList
    dropout: nn.Module
    ups: nn.ModuleList
    heads: nn.ModuleList

    def forward(self, images: torch.Tensor) -> torch.Tensor | list[torch.Tensor]:
        features = self.stem(images)
        skips: list[torch.Tensor] = []
        for level in self.levels:
            features = level(features)
            skips.append(features)
        features = self.dropout(skips.pop())
        decoded: list[torch.Tensor] = []
        for up in self.ups:
            features = up(features, skips.pop())
            decoded.insert(0, features)
        if self.training and len(self.heads) > 1:
            return [head(level) for head, level in zip(self.heads, decoded[: len(self.heads)], strict=True)]
        logits: torch.Tensor = self.heads[0](decoded[0])
        return logits
