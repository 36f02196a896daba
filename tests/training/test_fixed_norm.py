"""Normalisation by fixed statistics: what it is for, and where they are from."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from metseg.dataset import Batch
from metseg.errors import InputError
from metseg.inference.device import Compute, choose_compute
from metseg.model import SegmentationNetwork, build_model
from metseg.model.networks.layers import FIXED_NORM, has_fixed_norm, with_classes
from metseg.recipe import load_recipe
from metseg.training import run
from metseg.training.fit import _devices
from metseg.training.loop.distributed import Ranks
from metseg.training.weights.fixed_norm import measure_norms

HERE = Compute(torch.device("cpu"), bf16=False, channels_last=True)


def dynunet(norm: str) -> SegmentationNetwork:
    torch.manual_seed(0)
    options = {"channels": (8, 8, 16), "norm": norm, "deep_supervision": False}
    return build_model("dynunet", options, in_channels=1, out_channels=2, dimensions=3)


def batches(count: int) -> list[Batch]:
    generator = torch.Generator().manual_seed(0)
    images = [3 + 2 * torch.randn(2, 1, 16, 16, 16, generator=generator) for _ in range(count)]
    nothing = torch.zeros(2, 16, 16, 16, dtype=torch.long)
    return [Batch(image=image, labels=nothing, case=torch.tensor([0, 1])) for image in images]


@pytest.mark.parametrize("training", [True, False])
def test_an_answer_depends_on_nothing_beside_it(training: bool) -> None:
    network = dynunet("fixed")
    measure_norms(network, batches(3), HERE)
    network.train(training)
    held = {key: value.clone() for key, value in network.state_dict().items() if "running" in key}
    first, second = batches(1)[0].image
    alone = network(first[None])
    beside_air = network(torch.stack([first, torch.zeros_like(second)]))[:1]
    torch.testing.assert_close(alone, beside_air, rtol=1e-4, atol=1e-5)
    assert all(torch.equal(network.state_dict()[key], value) for key, value in held.items())


def test_statistics_are_those_of_the_batches() -> None:
    network = dynunet("fixed")
    measure_norms(network, batches(4), HERE)
    first = network.body.input_block
    with torch.no_grad():
        seen = [first.conv1(batch.image) for batch in batches(4)]
    torch.testing.assert_close(first.norm1.running_mean, torch.cat(seen).mean((0, 2, 3, 4)), rtol=1e-4, atol=1e-5)
    variance = torch.stack([one.transpose(0, 1).flatten(1).var(1) for one in seen]).mean(0)
    torch.testing.assert_close(first.norm1.running_var, variance, rtol=1e-4, atol=1e-5)
    assert has_fixed_norm(network)


def test_other_normalisations_are_not_measured() -> None:
    network = dynunet("batch")
    measure_norms(network, (pytest.fail("nobody needs a batch") for _ in range(1)), HERE)
    assert not has_fixed_norm(network)


def test_measuring_that_is_interrupted_leaves_them_fixed() -> None:
    network = dynunet("fixed")
    with pytest.raises(ZeroDivisionError):
        measure_norms(network, (batches(1)[0] if number else 1 / number for number in (1, 0)), HERE)  # type: ignore[misc]
    assert has_fixed_norm(network)
    assert not any(type(module) is nn.BatchNorm3d for module in network.modules())


def test_several_graphics_cards_do_not_set_them_in_motion() -> None:
    cards = Compute(torch.device("cuda"), bf16=True, channels_last=True)
    told = {norm: _devices(cards, Ranks(devices=2), dynunet(norm))["sync_batchnorm"] for norm in ("batch", "fixed")}
    assert told == {"batch": True, "fixed": False}


def test_dropout_is_not_measured() -> None:
    torch.manual_seed(0)
    options = {"channels": (8, 8, 16), "norm": "fixed", "dropout": 0.5}
    network = build_model("dynunet", options, in_channels=1, out_channels=2, dimensions=3)
    measured = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        measure_norms(network, batches(2), HERE)
        measured.append(network.body.bottleneck.norm2.running_var.clone())
    assert torch.equal(*measured)
    assert any(isinstance(module, nn.Dropout3d | nn.Dropout) and module.p == 0.5 for module in network.modules())


def test_fixed_is_batch_normalisation_in_evaluation() -> None:
    norm = nn.BatchNorm3d(4)
    norm(5 + torch.randn(2, 4, 6, 6, 6))
    images = torch.randn(1, 4, 6, 6, 6)
    expected = norm.eval()(images)
    torch.testing.assert_close(with_classes(norm, FIXED_NORM).train()(images), expected)


@pytest.mark.parametrize(
    ("recipe", "changes", "last"),
    [("mets-3d", [], False), ("mets-3d", ["model.norm=fixed"], True), ("demo-unet", ["model.norm=fixed"], False)],
)
def test_training_is_in_channels_last_where_that_is_quicker(
    recipe: str, changes: list[str], last: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    chosen: list[Compute] = []
    monkeypatch.setattr(run, "choose_compute", lambda **told: (chosen.append(choose_compute(**told)), chosen[0])[1])
    told = load_recipe(recipe, ["train.precision=float32", *changes])
    with pytest.raises(InputError):  # after that choice the data are looked for
        run.train_run(told, run.Run(tmp_path / "nowhere", tmp_path / "run", device="cpu"))
    assert [compute.channels_last for compute in chosen] == [last]
