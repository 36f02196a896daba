"""Intensity augmentation on numbers computed by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from metseg.dataset import Augmenter, intensity
from metseg.errors import UsageError
from metseg.recipe import Named


def picture(*values: float) -> torch.Tensor:
    """Return the values as an image (1, N, 1)."""
    return torch.tensor(values, dtype=torch.float32).reshape(1, -1, 1)


def flat(image: torch.Tensor) -> list[float]:
    return image.flatten().tolist()


def test_brightness_adds_a_share_of_the_standard_deviation(at_high, at_low):
    options = intensity.Brightness(share=0.2)
    image = picture(0, 4, 0, 4)  # standard deviation 2
    assert flat(intensity.brightness(image, options, at_high)) == pytest.approx([0.4, 4.4, 0.4, 4.4])
    assert flat(intensity.brightness(image, options, at_low)) == pytest.approx([-0.4, 3.6, -0.4, 3.6])


def test_contrast_stretches_about_the_mean_within_the_range(at_high, at_low):
    options = intensity.Contrast(low=0.5, high=1.25)
    image = picture(0, 0.5, 1.5, 2)  # mean 1
    assert flat(intensity.contrast(image, options, at_high)) == pytest.approx([0, 0.375, 1.625, 2])
    assert flat(intensity.contrast(image, options, at_low)) == pytest.approx([0.5, 0.75, 1.25, 1.5])


def test_gamma_bends_the_images_own_range(at_high, at_low):
    options = intensity.Gamma(low=0.5, high=2)
    assert flat(intensity.gamma(picture(-1, 0, 1), options, at_high)) == pytest.approx([-1, -0.5, 1])
    assert flat(intensity.gamma(picture(0, 1, 4), options, at_low)) == pytest.approx([0, 2, 4])


def test_noise_has_the_share_that_was_drawn(at_high):
    class Rng(type(at_high)):
        def standard_normal(self, shape, dtype):
            return np.random.default_rng(0).standard_normal(shape, dtype=dtype)

    image = torch.from_numpy(np.random.default_rng(1).normal(5, 3, (1, 200, 200)).astype(np.float32))
    added = intensity.noise(image, intensity.Noise(share=0.1), Rng()) - image
    assert float(added.std()) == pytest.approx(0.3, rel=0.02)
    assert float(added.mean()) == pytest.approx(0, abs=0.01)


def gaussian_weights(sigma: float) -> np.ndarray:
    """Return the weights at distances -4..4, which sum to one."""
    weights = np.exp(-0.5 * (np.arange(-4, 5) / sigma) ** 2)
    return weights / weights.sum()


def test_blur_spreads_a_point_as_a_gaussian():
    image = torch.zeros(2, 21, 15)
    image[:, 10, 7] = 1
    options = intensity.Blur(low_voxels=1, high_voxels=1)
    blurred = intensity.blur(image, options, np.random.default_rng(0))
    weights = gaussian_weights(1)
    assert blurred[0, 6:15, 3:12].numpy() == pytest.approx(np.outer(weights, weights), abs=1e-6)
    assert torch.equal(blurred[0], blurred[1])
    assert float(blurred[0].sum()) == pytest.approx(1, abs=1e-5)


def test_blur_continues_the_edges_and_works_in_three_dimensions():
    image = torch.zeros(1, 6, 7, 9)
    image[:, :, :, :3] = 4  # a step along the last axis, constant along the others
    blurred = intensity.blur(image, intensity.Blur(low_voxels=1, high_voxels=1), np.random.default_rng(0))
    padded = np.pad(image[0, 0, 0].numpy(), 4, mode="edge")
    wanted = np.convolve(padded, gaussian_weights(1), mode="valid")
    assert blurred[0].numpy() == pytest.approx(np.broadcast_to(wanted, (6, 7, 9)), abs=1e-5)


@pytest.mark.parametrize("name", ["brightness", "contrast", "gamma", "noise", "blur"])
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
    options = intensity.MissingSequence(reference=1)
    assert intensity.missing_sequence(image, options, Subset(bits))[:, 0, 0].tolist() == shown
    zeros = [value if value == own else 0 for value, own in zip(shown, [1, 2, 3], strict=True)]
    hidden = intensity.missing_sequence(image, intensity.MissingSequence(reference=1, fill="zero"), Subset(bits))
    assert hidden[:, 0, 0].tolist() == zeros


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
    ],
)
def test_options_that_make_no_sense_are_refused(name, options):
    with pytest.raises(UsageError, match=f"options of '{name}'"):
        Augmenter([Named(name=name, options=options)], dimensions=2)
