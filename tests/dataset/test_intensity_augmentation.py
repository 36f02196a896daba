"""Intensity augmentation on numbers computed by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from metseg import random_fields
from metseg.dataset import Augmenter, intensity_augmentation
from metseg.errors import UsageError
from metseg.recipe import Named


def picture(*values: float) -> torch.Tensor:
    """Return the values as an image (1, N, 1)."""
    return torch.tensor(values, dtype=torch.float32).reshape(1, -1, 1)


def flat(image: torch.Tensor) -> list[float]:
    return image.flatten().tolist()


def test_brightness_adds_a_share_of_the_standard_deviation(at_high, at_low):
    options = intensity_augmentation.Brightness(share=0.2)
    image = picture(0, 4, 0, 4)  # standard deviation 2
    assert flat(intensity_augmentation.brightness(image, options, at_high)) == pytest.approx([0.4, 4.4, 0.4, 4.4])
    assert flat(intensity_augmentation.brightness(image, options, at_low)) == pytest.approx([-0.4, 3.6, -0.4, 3.6])


def test_contrast_stretches_about_the_mean_within_the_range(at_high, at_low):
    options = intensity_augmentation.Contrast(low=0.5, high=1.25)
    image = picture(0, 0.5, 1.5, 2)  # mean 1
    assert flat(intensity_augmentation.contrast(image, options, at_high)) == pytest.approx([0, 0.375, 1.625, 2])
    assert flat(intensity_augmentation.contrast(image, options, at_low)) == pytest.approx([0.5, 0.75, 1.25, 1.5])


def test_gamma_bends_the_images_own_range(at_high, at_low):
    options = intensity_augmentation.Gamma(low=0.5, high=2)
    assert flat(intensity_augmentation.gamma(picture(-1, 0, 1), options, at_high)) == pytest.approx([-1, -0.5, 1])
    assert flat(intensity_augmentation.gamma(picture(0, 1, 4), options, at_low)) == pytest.approx([0, 2, 4])


def test_noise_has_the_share_that_was_drawn(at_high):
    class Rng(type(at_high)):
        def standard_normal(self, shape, dtype):
            return np.random.default_rng(0).standard_normal(shape, dtype=dtype)

    image = torch.from_numpy(np.random.default_rng(1).normal(5, 3, (1, 200, 200)).astype(np.float32))
    added = intensity_augmentation.noise(image, intensity_augmentation.Noise(share=0.1), Rng()) - image
    assert float(added.std()) == pytest.approx(0.3, rel=0.02)
    assert float(added.mean()) == pytest.approx(0, abs=0.01)


def gaussian_weights(sigma: float) -> np.ndarray:
    """Return the weights at distances -4..4, which sum to one."""
    weights = np.exp(-0.5 * (np.arange(-4, 5) / sigma) ** 2)
    return weights / weights.sum()


def test_blur_spreads_a_point_as_a_gaussian():
    image = torch.zeros(2, 21, 15)
    image[:, 10, 7] = 1
    options = intensity_augmentation.Blur(low_voxels=1, high_voxels=1)
    blurred = intensity_augmentation.blur(image, options, np.random.default_rng(0))
    weights = gaussian_weights(1)
    assert blurred[0, 6:15, 3:12].numpy() == pytest.approx(np.outer(weights, weights), abs=1e-6)
    assert torch.equal(blurred[0], blurred[1])
    assert float(blurred[0].sum()) == pytest.approx(1, abs=1e-5)


def test_blur_continues_the_edges_and_works_in_three_dimensions():
    image = torch.zeros(1, 6, 7, 9)
    image[:, :, :, :3] = 4  # a step along the last axis, constant along the others
    blurred = intensity_augmentation.blur(
        image, intensity_augmentation.Blur(low_voxels=1, high_voxels=1), np.random.default_rng(0)
    )
    padded = np.pad(image[0, 0, 0].numpy(), 4, mode="edge")
    wanted = np.convolve(padded, gaussian_weights(1), mode="valid")
    assert blurred[0].numpy() == pytest.approx(np.broadcast_to(wanted, (6, 7, 9)), abs=1e-5)


def test_bias_multiplies_what_is_above_air():
    """The drift, found back from two images in the same draw, is the one that simulation uses."""
    shape = (30, 26, 8)
    values = np.random.default_rng(0).uniform(1, 2, shape).astype(np.float32)
    values[0, 0, 0] = 0  # air
    normalised = (values - 1.2) / 0.3
    options = intensity_augmentation.BiasField(strength=0.4, scale_voxels=12)
    draws = np.random.default_rng(7)
    drift = random_fields.bias_field(shape, strength=draws.uniform(0, 0.4), scale_voxels=12, rng=draws)
    assert drift.max() / drift.min() > 1.05, "there is something to see"
    raw, scaled = (
        intensity_augmentation.bias_field(torch.from_numpy(image)[None], options, np.random.default_rng(7))[0].numpy()
        for image in (values, normalised)
    )
    assert raw == pytest.approx(values * drift, abs=1e-5)
    assert scaled * 0.3 + 1.2 == pytest.approx(values * drift, abs=1e-5)
    normalised[:, :3] = 0  # around a brain that was z-scored by itself
    around = intensity_augmentation.bias_field(torch.from_numpy(normalised)[None], options, np.random.default_rng(7))[0]
    assert not around[:, :3].any()
    assert around[:, 3:].numpy() != pytest.approx(normalised[:, 3:], abs=1e-3)


@pytest.mark.parametrize(
    ("size", "factor", "row", "wanted"),
    [
        (4, 2.0, [0, 2, 4, 8], [1, 2.25, 4.75, 6]),  # slabs 1 and 6, their centres at 0.5 and 2.5
        (6, 3.0, [3, 3, 3, 9, 9, 9], [3, 3, 5, 7, 9, 9]),  # slabs 3 and 9, centres at 1 and 4: steps of 2 between them
        (5, 2.5, [0, 0, 5, 10, 10], [1, 1.8, 5, 8.2, 9]),  # voxel 2 is in both slabs: 1 and 9, centres at 0.75 and 3.25
        (3, 9.0, [0, 3, 9], [4, 4, 4]),
        (3, 1.0, [0, 3, 9], [0, 3, 9]),
    ],
)
def test_thick_slices(size, factor, row, wanted):
    assert intensity_augmentation.thick_slices(size, factor) @ np.array(row, np.float32) == pytest.approx(
        wanted, abs=1e-5
    )


class AlongAxis:
    """A generator that draws this axis and the highest factor."""

    def __init__(self, axis: int) -> None:
        self.axis = axis

    def integers(self, high: int) -> int:
        assert self.axis < high
        return self.axis

    def uniform(self, low: float, high: float) -> float:
        return high


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_low_resolution_is_along_one_axis(axis):
    row = np.array([0, 2, 4, 8], np.float32)
    shape = [3, 3, 3]
    shape[axis] = 4
    image = np.broadcast_to(row.reshape([-1 if a == axis else 1 for a in range(3)]), shape).copy()
    coarse = intensity_augmentation.low_resolution(
        torch.from_numpy(image)[None], intensity_augmentation.LowResolution(high=2), AlongAxis(axis)
    )
    assert coarse.shape == (1, *shape)
    assert np.moveaxis(coarse[0].numpy(), axis, -1)[2, 1] == pytest.approx([1, 2.25, 4.75, 6])


def test_low_resolution_leaves_some_sequences_sharp():
    image = torch.rand(200, 6, 6, 6)
    coarse = intensity_augmentation.low_resolution(
        image, intensity_augmentation.LowResolution(low=2, each=0.3), np.random.default_rng(0)
    )
    sharp = (coarse == image).all(dim=(1, 2, 3)).double().mean()
    assert 0.6 < float(sharp) < 0.8


@pytest.mark.parametrize("name", ["brightness", "contrast", "gamma", "noise", "blur", "bias_field", "low_resolution"])
def test_each_modality_has_a_draw_of_its_own(name):
    one = np.random.default_rng(0).normal(size=(24, 24)).astype(np.float32)
    image = torch.from_numpy(np.stack([one, one]))
    augmenter = Augmenter([Named(name=name, options={"probability": 1})], dimensions=2)
    changed, _ = augmenter(image, torch.zeros(24, 24, dtype=torch.uint8), np.random.default_rng(3))
    assert not torch.allclose(changed[0], changed[1], atol=1e-3)


class Subset:
    """A generator that draws this subset."""

    def __init__(self, bits: int) -> None:
        self.bits = bits

    def integers(self, low: int, high: int) -> int:
        assert low <= self.bits < high
        return self.bits


@pytest.mark.parametrize(("bits", "shown"), [(1, [2, 2, 3]), (2, [1, 2, 2]), (3, [2, 2, 2])])
def test_a_missing_sequence_is_shown_as_a_copy_of_the_reference(bits, shown):
    image = torch.tensor([1.0, 2.0, 3.0]).reshape(3, 1, 1).expand(3, 2, 2)
    options = intensity_augmentation.MissingSequence(reference=1)
    assert intensity_augmentation.missing_sequence(image, options, Subset(bits))[:, 0, 0].tolist() == shown
    zeros = [value if value == own else 0 for value, own in zip(shown, [1, 2, 3], strict=True)]
    hidden = intensity_augmentation.missing_sequence(
        image, intensity_augmentation.MissingSequence(reference=1, fill="zero"), Subset(bits)
    )
    assert hidden[:, 0, 0].tolist() == zeros


def test_neighbouring_slices_of_a_sequence_are_hidden_and_changed_together():
    image = torch.arange(6.0).reshape(6, 1, 1) + torch.rand(6, 8, 8)  # slices z-1, z, z+1 of two sequences each
    labels = torch.zeros(8, 8, dtype=torch.uint8)

    def augment(name: str, **options: object) -> torch.Tensor:
        step = Named(name=name, options={"probability": 1, **options})
        return Augmenter([step], dimensions=2, channels=2, neighbours=1)(image, labels, np.random.default_rng(0))[0]

    assert torch.equal(augment("missing_sequence", reference=1), image[[1, 1, 3, 3, 5, 5]])
    added = (augment("brightness", share=1) - image).mean(dim=(1, 2))
    assert added[0::2].tolist() == pytest.approx([float(added[0])] * 3, abs=1e-5)
    assert added[1::2].tolist() == pytest.approx([float(added[1])] * 3, abs=1e-5)
    assert abs(float(added[0] - added[1])) > 0.01


@pytest.mark.parametrize(("reference", "channels"), [(0, 1), (3, 3)])
def test_a_sequence_can_only_be_missed_beside_another(reference, channels):
    step = Named(name="missing_sequence", options={"reference": reference})
    with pytest.raises(UsageError, match="needs a reference and at least one other sequence"):
        Augmenter([step], dimensions=2, channels=channels)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("gamma", {"low": 1.5, "high": 1.2}),
        ("contrast", {"low": -0.5}),
        ("zoom", {"low": 0.0}),
        ("noise", {"share": -0.1}),
        ("blur", {"low_voxels": 2.0, "high_voxels": 1.0}),
        ("rotate", {"degrees": -15}),
        ("elastic", {"scale_voxels": 0}),
        ("flip", {"probability": 1.5}),
        ("bias_field", {"strength": -0.1}),
        ("low_resolution", {"low": 0.5}),
    ],
)
def test_options_that_make_no_sense_are_refused(name, options):
    with pytest.raises(UsageError, match=f"options of '{name}'"):
        Augmenter([Named(name=name, options=options)], dimensions=2)
