"""The families that are mostly for volumes: what they are made of."""

from __future__ import annotations

import pytest
import torch
from monai.networks.nets import SegResNet
from monai.networks.nets.mednext import create_mednext
from torch import nn

from metseg.errors import UsageError
from metseg.model import build_model
from metseg.model.networks.resenc_unet import ResidualBlock

PAPER_SIZES = {
    "S": {},
    "B": {"expansion": (2, 3, 4, 4, 4, 4, 4, 3, 2)},
    "M": {"expansion": (2, 3, 4, 4, 4, 4, 4, 3, 2), "blocks": (3, 4, 4, 4, 4, 4, 4, 4, 3)},
    "L": {"expansion": (3, 4, 8, 8, 8, 8, 8, 4, 3), "blocks": (3, 4, 8, 8, 8, 8, 8, 4, 3)},
}


def shapes(network: nn.Module) -> dict[str, tuple[int, ...]]:
    return {key: tuple(value.shape) for key, value in network.state_dict().items()}


@pytest.mark.parametrize("size", PAPER_SIZES)
def test_mednext_has_the_papers_sizes(size: str) -> None:
    with torch.device("meta"):
        ours = build_model("mednext", PAPER_SIZES[size], in_channels=4, out_channels=3, dimensions=3)
        theirs = create_mednext(size, in_channels=4, out_channels=3, deep_supervision=True)
    assert shapes(ours.body) == shapes(theirs)


def test_mednext_has_a_head_on_every_level_the_coarsest_included() -> None:
    options = {"width": 4, "blocks": (1,) * 5, "expansion": (2,) * 5}
    network = build_model("mednext", options, in_channels=1, out_channels=2, dimensions=3)
    bare = network.body.train()(torch.randn(1, 1, 8, 16, 8))
    assert [tuple(output.shape[2:]) for output in bare] == [(8, 16, 8), (4, 8, 4), (2, 4, 2)]
    assert isinstance(network.eval()(torch.randn(1, 1, 8, 16, 8)), torch.Tensor)


@pytest.mark.parametrize("blocks", [(2, 2), (2, 2, 2, 2)])
def test_mednext_goes_up_as_it_goes_down(blocks: tuple[int, ...]) -> None:
    with pytest.raises(UsageError):
        build_model("mednext", {"blocks": blocks, "expansion": blocks}, in_channels=1, out_channels=1, dimensions=3)


def test_segresnet_is_monais() -> None:
    options = {"width": 8, "blocks": (1, 2, 1), "decoder_blocks": 2}
    ours = build_model("segresnet", options, in_channels=2, out_channels=3, dimensions=3).eval()
    theirs = SegResNet(3, 8, 2, 3, blocks_down=(1, 2, 1), blocks_up=(2, 2)).eval()
    theirs.load_state_dict(ours.body.state_dict())
    volume = torch.randn(1, 2, 8, 8, 12, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(ours(volume), theirs(volume))


def test_resenc_begins_with_blocks_that_pass_their_input_on() -> None:
    network = build_model("resenc_unet", {}, in_channels=1, out_channels=1, dimensions=2)
    blocks = [module for module in network.modules() if isinstance(module, ResidualBlock)]
    assert len(blocks) == 1 + 3 + 4 + 6 + 6 + 6
    features = torch.randn(1, 64, 6, 6, generator=torch.Generator().manual_seed(0))
    plain = blocks[2]  # the second of the level with 64 channels: neither size nor width changes
    torch.testing.assert_close(plain(features), torch.where(features > 0, features, 0.01 * features))


def test_resenc_averages_where_it_halves_and_projects_where_it_widens() -> None:
    block = ResidualBlock(2, 3, kernel=(3, 3, 3), stride=(2, 2, 1), norm="batch").eval()
    nn.init.zeros_(block.second_norm.weight)
    features = torch.randn(1, 2, 4, 4, 3, generator=torch.Generator().manual_seed(0))
    mean = features.reshape(1, 2, 2, 2, 2, 2, 3).mean(dim=(3, 5))
    weight = block.shortcut[1].weight[:, :, 0, 0, 0]
    wanted = torch.einsum("oc,ncxyz->noxyz", weight, mean) / (1 + 1e-5) ** 0.5
    torch.testing.assert_close(block(features), torch.where(wanted > 0, wanted, 0.01 * wanted))


def test_resenc_supervises_all_decoder_levels_but_the_coarsest() -> None:
    options = {"channels": (8, 8, 16, 16, 16), "blocks": (1,) * 5}
    network = build_model("resenc_unet", options, in_channels=1, out_channels=2, dimensions=3)
    bare = network.body.train()(torch.randn(1, 1, 32, 16, 16))
    assert [tuple(output.shape[2:]) for output in bare] == [(32, 16, 16), (16, 8, 8), (8, 4, 4)]
