"""Networks that do something known, and cases to try them on."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from metseg.inference.device import Compute
from metseg.inference.predictor import Predictor
from metseg.model import SegmentationNetwork
from metseg.recipe import Recipe, parse_recipe
from metseg.volume import Case, Volume

PLAIN = Compute(torch.device("cpu"), bf16=False, channels_last=False)


class FirstChannel(nn.Module):
    """Says what it sees: the first channel, scaled and shifted, is the logit. It notes how it was called."""

    def __init__(self, scale: float = 1.0, offset: float = 0.0) -> None:
        super().__init__()
        self.scale, self.offset = scale, offset
        self.batches: list[tuple[int, ...]] = []

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.batches.append(tuple(images.shape))
        return images[:, :1] * self.scale + self.offset


@pytest.fixture
def predictor() -> Callable[..., Predictor]:
    """Return a function that makes a predictor of bodies, with the changes to the recipe as ``key=value``."""

    def make(*bodies: nn.Module, channels: tuple[str, ...] = ("t2f",), changes: tuple[str, ...] = ()) -> Predictor:
        text = f'name = "known"\ndata = {{ channels = {list(channels)} }}\nmodel = {{ name = "unet" }}'
        recipe: Recipe = parse_recipe(text, where="test", changes=changes)
        networks = [SegmentationNetwork(body, in_channels=len(channels), out_channels=1) for body in bodies]
        return Predictor(networks, recipe, compute=PLAIN)

    return make


@pytest.fixture
def stack() -> Callable[..., Case]:
    """Return a function that makes a stack of pictures from arrays (X, Y, Z), one for each channel."""

    def make(*images: np.ndarray, names: tuple[str, ...] = ("t2f",)) -> Case:
        volumes = {name: Volume(image) for name, image in zip(names, images, strict=True)}
        return Case("case", "patient", volumes, slice_names=tuple(f"s{z}" for z in range(images[0].shape[2])))

    return make


@pytest.fixture(scope="session")
def first_channel() -> type[FirstChannel]:
    """Return the network that gives its first channel as its logits."""
    return FirstChannel
