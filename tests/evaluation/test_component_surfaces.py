"""Surfaces computed lesion by lesion against those of whole masks."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from metseg.evaluation.empty_masks import Emptiness
from metseg.evaluation.lesions.lesion_matching import MatchRule, match_lesions
from metseg.evaluation.metrics.component_surfaces import RegionSurfaces, component_surfaces
from metseg.evaluation.metrics.surface_distance import SurfaceDistances, surface_distances

SPACING = (0.5, 1.0, 3.0)


def same(one: SurfaceDistances, other: SurfaceDistances) -> bool:
    """Whether every distance and every area is the same, to the last digit."""
    return one.emptiness is other.emptiness and all(
        np.array_equal(ours.distances_mm, theirs.distances_mm) and np.array_equal(ours.areas_mm2, theirs.areas_mm2)
        for ours, theirs in zip(one.both, other.both, strict=True)
    )


def blobs(generator: np.random.Generator, shape: np.ndarray) -> np.ndarray:
    field = ndimage.gaussian_filter(generator.normal(size=shape), generator.choice([0.5, 1.0, 2.0]))
    return field > np.quantile(field, generator.choice([0.6, 0.8, 0.95]))


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), merging=st.booleans())
def test_equals_the_surfaces_of_masks(seed: int, merging: bool) -> None:
    """Lesions beside each other too, where the nearest element of all belongs to another lesion."""
    generator = np.random.default_rng(seed)
    shape = generator.integers(4, 20, 3)
    truth, prediction = blobs(generator, shape), blobs(generator, shape)
    matching = match_lesions(truth, prediction, MatchRule(dilations=int(merging), merge_predictions=merging))
    lesions = matching.truth, matching.prediction
    surfaces = RegionSurfaces(*(component_surfaces(side.groups, SPACING) for side in lesions), SPACING)
    assert same(surfaces.whole, surface_distances(truth, prediction, SPACING))
    for number, joined in enumerate(matching.touching, start=1):
        if joined:
            masks = matching.truth.ids == number, np.isin(matching.prediction.ids, joined)
            assert same(surfaces.between(number, joined), surface_distances(*masks, SPACING))


def test_one_side_without_lesions() -> None:
    empty, some = np.zeros((2, 4, 4, 4), dtype=bool)
    some[1, 1, 1] = True
    matching = match_lesions(some, empty, MatchRule())
    sides = (component_surfaces(side.groups, SPACING) for side in (matching.truth, matching.prediction))
    assert RegionSurfaces(*sides, SPACING).whole.emptiness is Emptiness.PREDICTION
