"""The pieces that architectures share."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys

import pytest
import torch
from torch import nn

from metseg.model.networks.layers import pick_before_pointwise


@pytest.mark.parametrize(("kind", "shape"), [(nn.Conv2d, (2, 3, 9, 12)), (nn.Conv3d, (1, 3, 5, 6, 7))])
def test_picking_first_changes_no_result(kind: type[nn.Module], shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    plain = nn.Sequential(kind(3, 4, 1, stride=2), kind(4, 4, 3, stride=2, padding=1), kind(4, 2, 1))
    picked = copy.deepcopy(plain)
    pick_before_pointwise(picked)
    images = torch.randn(shape)
    torch.testing.assert_close(picked(images), plain(images))
    assert picked.state_dict().keys() == plain.state_dict().keys()
    assert picked[0].stride == (1,) * (len(shape) - 2)
    assert picked[1].stride == plain[1].stride
    torch.testing.assert_close(pickle.loads(pickle.dumps(picked))(images), plain(images))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("unet", {"channels": (4, 8, 16), "blocks": (1, 1, 1)}),
        ("dynunet", {"channels": (8, 16, 32), "residual": True, "deep_supervision": False}),
    ],
)
def test_narrow_networks_train_with_channels_last(name: str, options: dict[str, object]) -> None:
    """The strided form of a 1x1 convolution kills the process here."""
    code = f"""
import torch
from metseg.model import build_model
network = build_model({name!r}, {options!r}, in_channels=3, out_channels=1).to(memory_format=torch.channels_last)
images = torch.rand(4, 3, 72, 80).contiguous(memory_format=torch.channels_last)
for _ in range(10):
    network(images).square().mean().backward()
"""
    allocator = {**os.environ, "MALLOC_CHECK_": "3"}
    run = subprocess.run([sys.executable, "-c", code], env=allocator, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


def test_narrow_networks_of_volumes_train_with_channels_last() -> None:
    code = """
import torch
from metseg.model import build_model
wide = {"channels": (8, 8, 16), "deep_supervision": False}
for name, options in {
    "unet": {"channels": (4, 8, 16), "blocks": (1, 1, 1)},
    "dynunet": {**wide, "residual": True, "strides": ((1, 1, 1), (1, 2, 2), (2, 2, 2))},
    "resenc_unet": {**wide, "blocks": (1, 1, 1)},
    "mednext": {"width": 4, "blocks": (1, 1, 1, 1, 1), "expansion": (2, 2, 2, 2, 2), "deep_supervision": False},
}.items():
    network = build_model(name, options, in_channels=3, out_channels=1, dimensions=3)
    network = network.to(memory_format=torch.channels_last_3d)
    images = torch.rand(2, 3, 20, 24, 16).contiguous(memory_format=torch.channels_last_3d)
    for bf16 in (False, True, False):
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            loss = network(images).float().square().mean()
        loss.backward()
"""
    allocator = {**os.environ, "MALLOC_CHECK_": "3"}
    run = subprocess.run([sys.executable, "-c", code], env=allocator, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
