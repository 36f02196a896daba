"""One way for every network: whatever the case's size and type, the mask lies on the case's own grid."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from torch import nn

from metseg.errors import InputError, UsageError
from metseg.inference.device import bf16_is_fast, choose_compute
from metseg.inference.network_predictor import SLICES_AT_ONCE, SLICES_IN_MEMORY
from metseg.inference.predictor import Predictor
from metseg.model import build_model
from metseg.model.bundle import load_bundle
from metseg.recipe import Named
from metseg.volume import Case, Volume

Make = Callable[..., Predictor]
Stack = Callable[..., Case]
Body = Callable[..., nn.Module]


def noise(*shape: int, dtype: type = np.uint8, high: int = 255, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, high, shape).astype(dtype)


@pytest.mark.parametrize("shape", [(97, 131, 3), (16, 16, 1), (1, 1, 1), (5, 200, 2)])
def test_the_mask_has_the_size_of_the_picture(predictor: Make, stack: Stack, shape: tuple[int, int, int]) -> None:
    torch.manual_seed(0)
    body = build_model("unet", {"channels": (4, 8), "blocks": (1, 1)}, in_channels=1, out_channels=1)
    prediction = predictor(body, changes=('preprocess=[{ name = "rescale" }]',))(stack(noise(*shape)))
    assert prediction.labels.shape == prediction.probability.shape == shape
    assert prediction.labels.dtype == np.uint8
    assert prediction.probability.dtype == np.float32
    assert set(prediction.timings_s) == {"preprocess", "predict", "restore", "measure"}


@pytest.mark.parametrize("steps", [
    '[{ name = "crop_to_head" }]',
    '[{ name = "crop_to_head", margin = 3, square = true, multiple = 8 }]',
    '[{ name = "pad_or_crop", size = [64, 20] }]',
    '[{ name = "crop_to_head", margin = 1 }, { name = "pad_or_crop", size = [40, 33] }]',
])  # fmt: skip
def test_restoring_is_exact_where_nothing_is_resampled(
    predictor: Make, stack: Stack, first_channel: Body, steps: str
) -> None:
    image = np.zeros((37, 29, 4), dtype=np.float32)
    image[8:25, 7:22] = noise(17, 15, 4, seed=1).astype(np.float32) + 1
    prediction = predictor(first_channel(1.0, -100.0), changes=(f"preprocess={steps}",))(stack(image))
    seen = np.zeros(image.shape, dtype=bool)  # what a window of 64 x 20 about the centre holds
    seen[:, 4:24] = True
    expected = image >= 100
    if "64, 20" in steps:
        expected &= seen
    np.testing.assert_array_equal(prediction.labels, expected)
    assert expected.any()


def test_resampling_back_gives_the_shape_and_the_place(predictor: Make, stack: Stack, first_channel: Body) -> None:
    image = np.zeros((60, 40, 2), dtype=np.float32)
    image[30:50, 10:20] = 1
    changes = ('preprocess=[{ name = "resize", size = [30, 20] }]',)
    labels = predictor(first_channel(20.0, -10.0), changes=changes)(stack(image)).labels
    np.testing.assert_array_equal(labels, image)  # halving and doubling a square on even borders loses nothing


def test_sixteen_bits_are_not_cut_to_eight(predictor: Make, stack: Stack, first_channel: Body) -> None:
    image = noise(9, 9, 1, dtype=np.uint16, high=65535)
    labels = predictor(first_channel(1.0, -30_000.0))(stack(image)).labels
    np.testing.assert_array_equal(labels, image >= 30_000)


def test_a_missing_channel_is_named(predictor: Make, stack: Stack, first_channel: Body) -> None:
    model = predictor(first_channel(), channels=("t1n", "t2f"))
    with pytest.raises(InputError, match="missing sequence t1n") as raised:
        model(stack(noise(4, 4, 1), names=("t2f",)))
    assert raised.value.code == "input.missing_sequence"


def test_channels_come_in_the_order_of_the_recipe(predictor: Make, stack: Stack, first_channel: Body) -> None:
    t1n, t2f = np.zeros((3, 3, 1), np.float32), np.ones((3, 3, 1), np.float32)
    model = predictor(first_channel(2.0, -1.0), channels=("t1n", "t2f"), changes=('data.modalities=["t2f", "t1n"]',))
    assert model(stack(t1n, t2f, names=("t1n", "t2f"))).labels.all()


def test_networks_are_averaged_as_probabilities(predictor: Make, stack: Stack, first_channel: Body) -> None:
    image = np.zeros((3, 3, 1), dtype=np.float32)
    # sigmoid(0) = 0.5, sigmoid(log 9) = 0.9: the mean is 0.7; the mean of the logits would give 0.75.
    model = predictor(first_channel(0.0, 0.0), first_channel(0.0, float(np.log(9))))
    np.testing.assert_allclose(model(stack(image)).probability, 0.7, rtol=1e-6)


def test_mirror_images_change_nothing_for_a_network_that_does_not_mind(
    predictor: Make, stack: Stack, first_channel: Body
) -> None:
    case = stack(noise(7, 5, 3).astype(np.float32) / 50 - 2)
    both = 'augment=[{ name = "flip", axes = [1, 0] }]'
    plain = predictor(first_channel())(case)
    body = first_channel()
    mirrored = predictor(body, changes=("predict.tta=true", both))(case)
    assert len(body.batches) == 4  # as it is, and mirrored along x, y and both
    np.testing.assert_allclose(mirrored.probability, plain.probability, rtol=1e-6)


class Ramp(nn.Module):
    """Sees more lesion towards high x, whatever the picture."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        ramp = torch.linspace(-2, 2, images.shape[2]).reshape(1, 1, -1, 1)
        return ramp.expand(len(images), 1, images.shape[2], images.shape[3]).contiguous()


def test_mirror_images_are_turned_back_before_they_are_averaged(predictor: Make, stack: Stack) -> None:
    case = stack(np.zeros((5, 3, 1), np.float32))
    changes = ("predict.tta=true", 'augment=[{ name = "flip" }]')
    probability = predictor(Ramp(), changes=changes)(case).probability
    # The ramp is along x, the axis that training mirrored: sigmoid(v) and sigmoid(-v) meet everywhere: sum 1.
    np.testing.assert_allclose(probability, 0.5, rtol=1e-6)
    assert np.ptp(predictor(Ramp())(case).probability) > 0.7


def test_only_what_training_mirrored_is_averaged(predictor: Make, stack: Stack, first_channel: Body) -> None:
    body = first_channel()
    changes = ("predict.tta=true", 'augment=[{ name = "noise" }, { name = "flip", axes = [0] }]')
    predictor(body, changes=changes)(stack(noise(7, 5, 3)))
    assert len(body.batches) == 2


def test_mirror_images_that_training_never_saw_are_refused(predictor: Make, first_channel: Body) -> None:
    with pytest.raises(UsageError, match=r"trained with flips.*'flip'.*--no-tta"):
        predictor(first_channel(), changes=("predict.tta=true",))


def test_slices_go_through_in_batches(predictor: Make, stack: Stack, first_channel: Body) -> None:
    body = first_channel()
    predictor(body)(stack(noise(4, 6, 2 * SLICES_AT_ONCE + 3)))
    assert body.batches == [(SLICES_AT_ONCE, 1, 4, 6)] * 2 + [(3, 1, 4, 6)]


@pytest.mark.parametrize("steps", [
    "[]",
    '[{ name = "crop_to_head" }, { name = "zscore", scope = "case", region = "all" }]',
    '[{ name = "pad_or_crop", size = [12, 7] }]',
])  # fmt: skip
def test_parts_make_the_whole(predictor: Make, stack: Stack, first_channel: Body, steps: str) -> None:
    case = stack(noise(9, 8, 2 * SLICES_IN_MEMORY + 5).astype(np.float32))
    model = predictor(first_channel(0.01, -1.0), changes=(f"preprocess={steps}",))
    whole, parts = model(case), list(model.in_parts(case))
    assert [part.labels.shape[2] for part in parts] == [SLICES_IN_MEMORY, SLICES_IN_MEMORY, 5]
    np.testing.assert_array_equal(np.concatenate([part.probability for part in parts], axis=2), whole.probability)
    np.testing.assert_array_equal(np.concatenate([part.labels for part in parts], axis=2), whole.labels)
    assert [name for part in parts for name in part.case.slice_names] == list(case.slice_names)


def test_slices_with_others_missing_between_share_no_lesion(predictor: Make, stack: Stack, first_channel: Body) -> None:
    image = np.full((6, 6, 2), -5, dtype=np.float32)
    image[2:4, 2:4] = 5
    case = stack(image)
    model = predictor(first_channel(), changes=("preprocess=[]",))
    assert [lesion.slices for lesion in model(case).lesions] == [(0, 1)]
    assert [lesion.slices for lesion in model(replace(case, slice_gaps=(False, True))).lesions] == [(0,), (1,)]


def test_a_truth_that_lies_beside_the_pictures_does_not_matter(
    predictor: Make, stack: Stack, first_channel: Body
) -> None:
    case = stack(noise(6, 6, 1))
    with_truth = Case("case", "p", case.images, Volume(np.full((6, 6, 1), 250, np.uint8)), slice_names=("s0",))
    model = predictor(first_channel())
    np.testing.assert_array_equal(model(with_truth).labels, model(case).labels)


def test_a_bundle_is_run_as_it_was_trained(tiny_bundle: Path) -> None:
    bundle = load_bundle(tiny_bundle)
    assert bundle.recipe.train.precision == "float32"
    mirrored = bundle.recipe.model_copy(update={"augment": (Named(name="flip"),)})
    bundle = replace(bundle, recipe=mirrored)
    model = Predictor.from_bundle(bundle, device="cpu", tta=True)
    assert model._compute.bf16 is False
    assert model.part.tta
    assert not model.recipe.predict.tta
    assert not Predictor.from_bundle(bundle, device="cpu").part.tta


@pytest.mark.parametrize("dimensions", [2, 3])
def test_volumes_are_predicted_in_channels_last(tiny_bundle: Path, dimensions: Literal[2, 3]) -> None:
    bundle = load_bundle(tiny_bundle)
    recipe = bundle.recipe.model_copy(
        update={
            "data": bundle.recipe.data.model_copy(update={"dimensions": dimensions}),
            "train": bundle.recipe.train.model_copy(update={"precision": "float32"}),
        }
    )
    network = build_model(
        "unet", {"channels": (4, 8), "blocks": (1, 1)}, in_channels=1, out_channels=1, dimensions=dimensions
    )
    told = Predictor.from_bundle(replace(bundle, recipe=recipe, networks=[network]), device="cpu")
    assert told._compute.channels_last == (dimensions == 3)


def test_how_to_compute_can_be_told() -> None:
    plain = choose_compute(device="cpu", precision="float32", channels_last="off")
    assert (plain.device.type, plain.bf16, plain.channels_last) == ("cpu", False, False)
    told = choose_compute(device="cpu", precision="bf16", channels_last="auto")
    assert (told.bf16, told.channels_last) == (True, True)
    assert choose_compute(device="cpu").bf16 == bf16_is_fast(torch.device("cpu"))
    assert not choose_compute(device="cpu", precision="float32").channels_last
    assert choose_compute(device="cpu", precision="float32", gains_by_channels_last=True).channels_last
    assert not choose_compute(device="cpu", channels_last="off", gains_by_channels_last=True).channels_last


@pytest.mark.parametrize("name", ["gpu", "cuda:99", "meta", ""])
def test_a_device_that_is_not_there_is_a_usage_error(name: str) -> None:
    with pytest.raises(UsageError, match=r"there is no device .* \(expected auto, .*cpu") as raised:
        choose_compute(device=name)
    assert raised.value.code == "usage.device"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no graphics card")
def test_a_graphics_card_says_the_same_as_the_processor(tiny_bundle: Path, stack: Stack) -> None:
    case = stack(*(noise(40, 30, 9, seed=seed) for seed in range(3)), names=("t1n", "t2f", "t1c"))
    answers = [Predictor.from_bundle(load_bundle(tiny_bundle), device=name)(case) for name in ("cpu", "cuda")]
    np.testing.assert_allclose(answers[0].probability, answers[1].probability, atol=1e-3)


def test_float16_is_for_training_on_a_gpu_only(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="float16 training needs a CUDA GPU") as caught:
        choose_compute(device="cpu", precision="float16")
    assert caught.value.code == "usage.precision"
    monkeypatch.setattr("metseg.inference.device.find_device", lambda name: torch.device("cuda"))
    told = choose_compute(device="cuda", precision="float16", channels_last="off")
    assert (told.float16, told.bf16, told.lightning_precision) == (True, False, "16-mixed")
    assert choose_compute(device="cuda", precision="bf16").lightning_precision == "bf16-mixed"
    assert choose_compute(device="cuda", precision="float32").lightning_precision == "32-true"


def test_a_network_trained_in_float16_predicts_on_a_cpu_in_float32(tiny_bundle: Path) -> None:
    bundle = load_bundle(tiny_bundle)
    train = bundle.recipe.train.model_copy(update={"precision": "float16"})
    trained = replace(bundle, recipe=bundle.recipe.model_copy(update={"train": train}))
    compute = Predictor.from_bundle(trained, device="cpu")._compute
    assert (compute.bf16, compute.float16) == (False, False)
