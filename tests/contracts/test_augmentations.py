"""What every augmentation has to do, whatever it does: a new line in the table is tested by itself."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from metseg.dataset import AUGMENTATIONS, Augmenter
from metseg.errors import UsageError
from metseg.recipe import Named

SHAPES = {"odd": (37, 50), "thin": (1, 40), "tiny": (2, 3), "volume": (17, 20, 9), "one slice": (17, 20, 1)}


def example(shape: tuple[int, ...], channels: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(0)
    image = rng.normal(size=(channels, *shape)).cumsum(axis=1).astype(np.float32)
    labels = np.zeros(shape, np.uint8)
    labels[tuple(slice(size // 4, 1 + size // 2) for size in shape)] = 3
    return torch.from_numpy(image), torch.from_numpy(labels)


def only(name: str, dimensions: int, **options: object) -> Augmenter:
    return Augmenter([Named(name=name, options=options)], dimensions=dimensions, channels=3)


@pytest.mark.parametrize("name", AUGMENTATIONS)
@pytest.mark.parametrize("kind", SHAPES)
def test_shape_type_and_class_ids_are_kept(name, kind):
    shape = SHAPES[kind]
    image, labels = example(shape)
    kept = image.clone(), labels.clone()
    for seed in range(3):
        changed, mask = only(name, len(shape), probability=1)(image, labels, np.random.default_rng(seed))
        assert (changed.shape, changed.dtype) == (image.shape, torch.float32)
        assert (mask.shape, mask.dtype) == (labels.shape, torch.uint8)
        assert torch.isfinite(changed).all()
        assert set(mask.unique().tolist()) <= {0, 3}
    assert torch.equal(image, kept[0])
    assert torch.equal(labels, kept[1])


@pytest.mark.parametrize("name", AUGMENTATIONS)
@pytest.mark.parametrize("kind", ["odd", "volume"])
def test_it_does_something_and_the_generator_decides_what(name, kind):
    shape = SHAPES[kind]
    image, labels = example(shape)
    augmenter = only(name, len(shape), probability=1)
    states = torch.get_rng_state(), np.random.get_state()[1].copy()
    results = [augmenter(image, labels, np.random.default_rng(seed)) for seed in range(6)]
    again = [augmenter(image, labels, np.random.default_rng(seed)) for seed in range(6)]
    for (one, mask), (other, other_mask) in zip(results, again, strict=True):
        assert torch.equal(one, other)
        assert torch.equal(mask, other_mask)
    assert any(not torch.equal(one, image) for one, _ in results)
    assert any(not torch.equal(one, results[0][0]) for one, _ in results)
    assert torch.equal(torch.get_rng_state(), states[0])
    assert np.array_equal(np.random.get_state()[1], states[1])


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_intensities_and_places_are_different_things(name):
    spec = AUGMENTATIONS[name]
    assert (spec.change_map is None) != (spec.change_image is None)
    image, labels = example((37, 50))
    masks = [only(name, 2, probability=1)(image, labels, np.random.default_rng(seed))[1] for seed in range(6)]
    assert any(not torch.equal(mask, labels) for mask in masks) == (spec.change_map is not None)


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_probability(name):
    image, labels = example((24, 30))
    never = only(name, 2, probability=0)
    for seed in range(5):
        same, mask = never(image, labels, np.random.default_rng(seed))
        assert torch.equal(same, image)
        assert torch.equal(mask, labels)
    options = {"axis_probability": 1} if name == "flip" else {}
    sometimes = only(name, 2, probability=0.3, **options)
    changed = sum(not torch.equal(sometimes(image, labels, np.random.default_rng(k))[0], image) for k in range(200))
    assert 35 <= changed <= 85  # 60 expected, standard deviation 6.5


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_a_constant_image_stays_constant(name):
    image, labels = torch.full((2, 20, 24), -1.5), torch.zeros(20, 24, dtype=torch.uint8)
    changed, _ = only(name, 2, probability=1)(image, labels, np.random.default_rng(0))
    assert changed.numpy() == pytest.approx(image.numpy(), abs=1e-5)


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_options_have_defaults_and_unknown_ones_are_refused(name):
    only(name, 2)
    with pytest.raises(UsageError, match=f"options of '{name}'"):
        only(name, 2, nonsense=1)


def test_an_unknown_step_is_refused():
    with pytest.raises(UsageError, match="Did you mean 'rotate'"):
        only("rotat", 2)


def test_no_steps_change_nothing():
    image, labels = example((10, 12))
    same, mask = Augmenter([], dimensions=2)(image, labels, np.random.default_rng(0))
    assert same is image
    assert mask is labels
