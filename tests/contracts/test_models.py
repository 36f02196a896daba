"""What every registered architecture must do, whatever it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from metseg.inference.device import in_memory_format
from metseg.model import MODELS, SegmentationNetwork, build_from_recipe, build_model
from metseg.model.bundle import load_bundle, save_bundle
from metseg.recipe import DataPart, Named, Recipe
from metseg.training.losses import deep_supervision_loss, loss_of

#: Options that make each family small, so that the suite stays quick; a family absent here is built as it comes.
SMALL: dict[str, dict[str, Any]] = {
    "unet": {"channels": (4, 8, 8, 16), "blocks": (1, 1, 1, 2)},
    "attention_unet": {"channels": (4, 8, 8, 16)},
    "unet_plus_plus": {"channels": (4, 4, 8, 8, 16)},
    "inception_unet": {"decoder_channels": (16, 8, 8, 8, 8)},
    "gated_unet": {"channels": (4, 8, 8)},
    "unet_dropout": {"channels": (4, 8, 8, 8, 16)},
    "cnn": {"channels": (4, 8)},
    "fcn": {"width": 4, "classifier_channels": 16},
    "swin_unetr": {"feature_size": 12, "depths": (1, 1, 1, 1), "window_size": 4},
    "dynunet": {"channels": (8, 8, 16, 16)},
    "resenc_unet": {"channels": (8, 8, 16, 16), "blocks": (1, 1, 1, 2)},
    "segresnet": {"width": 8, "blocks": (1, 1, 1)},
    "mednext": {"width": 4, "blocks": (1,) * 5, "expansion": (2,) * 5},
}
MODALITIES = ("t1n", "t1c", "t2w", "t2f")

every_model = pytest.mark.parametrize("name", MODELS)
every_3d_model = pytest.mark.parametrize("name", [name for name, spec in MODELS.items() if 3 in spec.dimensions])


@pytest.fixture(autouse=True)
def _reproducible() -> None:
    torch.manual_seed(0)


def small(name: str, *, in_channels: int = 1, out_channels: int = 1, dimensions: int = 2) -> SegmentationNetwork:
    return build_model(
        name, SMALL.get(name, {}), in_channels=in_channels, out_channels=out_channels, dimensions=dimensions
    )


def answers(logits: torch.Tensor | list[torch.Tensor]) -> list[torch.Tensor]:
    return [logits] if isinstance(logits, torch.Tensor) else logits


@every_model
@pytest.mark.parametrize(
    ("sizes", "in_channels", "out_channels"), [((97, 131), 3, 1), ((33, 47), 8, 4), ((1, 5), 1, 8), ((32, 32), 2, 2)]
)
def test_any_size_and_any_channels(name: str, sizes: tuple[int, int], in_channels: int, out_channels: int) -> None:
    network = small(name, in_channels=in_channels, out_channels=out_channels).eval()
    with torch.inference_mode():
        logits = network(torch.randn(1, in_channels, *sizes))
    assert logits.shape == (1, out_channels, *sizes)
    assert torch.isfinite(logits).all()


@every_3d_model
def test_any_volume_trains_and_every_parameter_learns(name: str) -> None:
    network = small(name, in_channels=2, out_channels=3, dimensions=3).train()
    outputs = answers(network(torch.randn(1, 2, 9, 12, 5)))
    assert all(output.shape == (1, 3, 9, 12, 5) for output in outputs)
    torch.stack([(output**2 * torch.rand_like(output)).mean() for output in outputs]).sum().backward()
    gradients = {key: value.grad for key, value in network.named_parameters()}
    assert [key for key, gradient in gradients.items() if gradient is None] == []
    assert [key for key, gradient in gradients.items() if not torch.isfinite(gradient).all()] == []


@every_3d_model
def test_volumes_look_the_same_with_channels_last_and_nearly_so_in_bf16(name: str) -> None:
    network = small(name, in_channels=2, out_channels=3, dimensions=3).eval()
    volume = torch.randn(1, 2, 17, 20, 5)
    with torch.inference_mode():
        plain = network(volume)
        in_memory_format(network, torch.channels_last_3d)
        last = network(volume.contiguous(memory_format=torch.channels_last_3d))
        with torch.autocast("cpu", dtype=torch.bfloat16):
            half = network(volume.contiguous(memory_format=torch.channels_last_3d)).float()
    assert plain.shape == (1, 3, 17, 20, 5)
    assert torch.isfinite(plain).all()
    torch.testing.assert_close(last, plain, rtol=1e-3, atol=1e-3)
    # 8 bits of mantissa: about 1 in 100 after a few layers.
    assert (half - plain).abs().mean() < 0.1 * plain.std() + 0.01


@every_model
def test_every_parameter_learns(name: str) -> None:
    network = small(name, in_channels=3, out_channels=2).train()
    outputs = answers(network(torch.randn(1, 3, 33, 47)))
    assert all(output.shape == (1, 2, 33, 47) for output in outputs)
    # A loss that is not symmetric, or normalisation layers would cancel it.
    torch.stack([(output**2 * torch.rand_like(output)).mean() for output in outputs]).sum().backward()
    gradients = {key: value.grad for key, value in network.named_parameters()}
    assert [key for key, gradient in gradients.items() if gradient is None] == []
    assert [key for key, gradient in gradients.items() if not torch.isfinite(gradient).all()] == []


#: Each architecture in each of its dimensions, with and without deep supervision where it has that choice.
TRAINED = [
    (name, dimensions, choice)
    for name, spec in MODELS.items()
    for dimensions in spec.dimensions
    for choice in ([True, False] if "deep_supervision" in spec.options.model_fields else [None])
]


@pytest.mark.parametrize(("name", "dimensions", "deeply"), TRAINED)
def test_a_training_step_reaches_every_parameter(name: str, dimensions: int, deeply: bool | None) -> None:
    """Several processes wait for one another's gradients: one that never comes would stop them all."""
    supervised = {} if deeply is None else {"deep_supervision": deeply}
    recipe = Recipe(
        name="step",
        data=DataPart(channels=MODALITIES[:2], labels="brats-met-2023", dimensions=dimensions),
        model=Named(name=name, options={**SMALL.get(name, {}), **supervised}),
    )
    network = build_from_recipe(recipe).train()
    sizes = (33, 47) if dimensions == 2 else (9, 12, 5)
    outputs = network(torch.randn(2, 2, *sizes))
    assert len(answers(outputs)) > 1 if deeply else isinstance(outputs, torch.Tensor)
    labels = torch.randint(0, 4, (2, *sizes), dtype=torch.uint8)
    deep_supervision_loss(loss_of(recipe), outputs, labels).backward()
    unreached = [key for key, value in network.named_parameters() if value.requires_grad and value.grad is None]
    assert unreached == []


@every_model
def test_batches_of_one_train_at_the_smallest_size(name: str) -> None:
    network = small(name).train()
    for output in answers(network(torch.randn(1, 1, 7, 7))):
        assert torch.isfinite(output).all()


@every_model
def test_evaluation_is_deterministic(name: str) -> None:
    network = small(name, in_channels=2).eval()
    images = torch.randn(2, 2, 33, 47)
    with torch.inference_mode():
        first, again = network(images), network(images)
        alone = network(images[1:])
    assert torch.equal(first, again)
    torch.testing.assert_close(first[1:], alone, rtol=1e-4, atol=1e-4)


@every_model
def test_a_bundle_brings_the_same_network_back(name: str, tmp_path: Path) -> None:
    recipe = Recipe(
        name="contract",
        data=DataPart(channels=MODALITIES[:2], labels="brats-met-2023"),
        model=Named(name=name, options=SMALL.get(name, {})),
    )
    network = small(name, in_channels=2, out_channels=4).to(memory_format=torch.channels_last)
    network.train()(torch.randn(2, 2, 33, 47))  # gives normalisation layers something to remember
    network.eval()
    save_bundle(tmp_path / "contract", networks=[network], recipe=recipe, card="# Contract\n", metrics={})
    (loaded,) = load_bundle(tmp_path / "contract").networks
    images = torch.randn(1, 2, 33, 47)
    with torch.inference_mode():
        torch.testing.assert_close(loaded(images), network(images), rtol=1e-4, atol=1e-5)
    for key, value in network.state_dict().items():
        assert torch.equal(loaded.state_dict()[key], value), key


@every_model
def test_names_its_source_and_builds_from_its_defaults(name: str) -> None:
    spec = MODELS[name]
    assert spec.source.startswith(("arXiv:", "doi:", "https://"))
    assert set(spec.initial_weights) <= set(spec.options.model_fields)
    assert spec.divisor(spec.options()) >= 1
