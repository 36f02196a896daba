"""What holds for every image: symmetry where it is declared, and that neither axes nor flips matter."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from metseg.evaluation import METRICS, PROTOCOLS, evaluate_case
from metseg.evaluation.case_scoring import CaseScores

#: Sums of squares of these are exact, so that turning an image cannot change the order of ties.
SPACINGS = st.tuples(*[st.sampled_from([0.25, 0.5, 1.0, 3.0])] * 3)
SEEDS = st.integers(0, 2**32 - 1)


def masks(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return truth and prediction with classes 1 to 3 in blobs; either may be empty, both alike now and then."""
    generator = np.random.default_rng(seed)
    shape = generator.integers(3, 14, 3)
    both = []
    for _ in range(2):
        field = ndimage.gaussian_filter(generator.normal(size=shape), 1.0)
        labels = (field > np.quantile(field, generator.choice([0.7, 0.95, 1.0]))).astype(np.uint8)
        both.append(labels * generator.integers(1, 4, shape).astype(np.uint8))
    return both[0], both[0].copy() if generator.random() < 0.1 else both[1]


def scored(protocol: str, truth: np.ndarray, prediction: np.ndarray, spacing: tuple[float, ...]) -> CaseScores:
    scheme = "brats-met-2023" if protocol == "voxel" else None
    return evaluate_case(truth, prediction, spacing_mm=spacing, protocol=protocol, scheme=scheme)


@settings(max_examples=12, deadline=None)
@given(seed=SEEDS, spacing=SPACINGS, data=st.data())
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_neither_axes_nor_flips_matter(
    protocol: str, seed: int, spacing: tuple[float, float, float], data: st.DataObject
) -> None:
    truth, prediction = masks(seed)
    if protocol == "brats-met-2024":
        # Which necrosis is the lowest-numbered depends on the order of the voxels, by the challenge's own rule.
        truth, prediction = (np.where(labels == 1, 3, labels).astype(np.uint8) for labels in (truth, prediction))
    axes = data.draw(st.permutations(range(3)))
    flips = tuple(data.draw(st.sets(st.integers(0, 2))))
    turned = scored(
        protocol,
        *(np.flip(labels, flips).transpose(axes) for labels in (truth, prediction)),
        tuple(spacing[axis] for axis in axes),
    )
    plain = scored(protocol, truth, prediction, spacing)
    for region in plain.regions:
        for name, value in plain[region].metrics.items():
            expected = None if value is None else pytest.approx(value, abs=1e-9)
            assert turned[region][name] == expected, (region, name)
        assert turned[region].tally is not None
        assert plain[region].tally is not None
        assert turned[region].tally.lesions == plain[region].tally.lesions
        assert turned[region].tally.volumes == pytest.approx(plain[region].tally.volumes)


@settings(max_examples=25, deadline=None)
@given(seed=SEEDS, spacing=SPACINGS)
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_symmetric_figures_are_symmetric(protocol: str, seed: int, spacing: tuple[float, float, float]) -> None:
    truth, prediction = masks(seed)
    there, back = scored(protocol, truth, prediction, spacing), scored(protocol, prediction, truth, spacing)
    for region in there.regions:
        for name in (name for name, metric in METRICS.items() if metric.symmetric):
            value = there[region][name]
            assert back[region][name] == (None if value is None else pytest.approx(value, abs=1e-9)), (region, name)
        for one, other in (("sensitivity", "precision"), ("truth_volume_mm3", "predicted_volume_mm3")):
            assert back[region][one] == pytest.approx(there[region][other], abs=1e-9)


@settings(max_examples=25, deadline=None)
@given(seed=SEEDS, spacing=SPACINGS)
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_figure_is_a_finite_number_in_its_range(
    protocol: str, seed: int, spacing: tuple[float, float, float]
) -> None:
    scores = scored(protocol, *masks(seed), spacing)
    for region in scores.regions:
        for name in PROTOCOLS[protocol].figures:
            value = scores[region][name]
            assert value is not None
            assert math.isfinite(value)
            assert value >= 0
            if not METRICS[name].unit and not name.startswith("n_"):
                assert value <= 1
