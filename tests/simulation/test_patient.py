"""The description of patients: counts, sizes and places of lesions, and what it does not depend on."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from pydantic import ValidationError
from scipy import stats

from metseg.simulation import Patient, PhantomOptions, describe_patient
from metseg.simulation.anatomy.normal_anatomy import load_anatomy
from metseg.simulation.patient import draw_diameters


@pytest.fixture(scope="module")
def population() -> list[Patient]:
    return [describe_patient(0, index, PhantomOptions()) for index in range(150)]


def test_counts_and_diameters_are_within_the_bounds(population: list[Patient]) -> None:
    counts = [len(patient.lesions) for patient in population]
    diameters = [lesion.diameter_mm for patient in population for lesion in patient.lesions]
    assert min(counts) == 1
    assert 10 <= max(counts) <= 12
    assert 2 <= min(diameters) < 3
    assert 20 < max(diameters) <= 30
    assert 3 < np.mean(counts) < 5


def test_diameters_are_log_normal_and_many_are_small() -> None:
    options = PhantomOptions()
    drawn = draw_diameters(np.random.default_rng(0), 20_000, options)
    law = stats.lognorm(s=options.diameter_log_std, scale=options.diameter_median_mm)
    kept = law.cdf(30) - law.cdf(2)
    for limit in (3, 5, 10, 20):
        assert (drawn < limit).mean() == pytest.approx((law.cdf(limit) - law.cdf(2)) / kept, abs=0.015)
    assert (np.diff(drawn) <= 0).all()


def test_rings_are_large_and_there_are_both_kinds(population: list[Patient]) -> None:
    lesions = [lesion for patient in population for lesion in patient.lesions]
    rings = [lesion for lesion in lesions if lesion.is_ring]
    assert 0.05 < len(rings) / len(lesions) < 0.5
    assert min(lesion.diameter_mm for lesion in rings) >= 7
    cysts = [lesion for lesion in rings if lesion.fluidity > 0]
    assert 0.02 < len(cysts) / len(rings) < 0.6
    # The mean rim is at least 1.2 mm thick, and at most a fifth of the diameter.
    assert all(0.6**3 - 1e-9 <= lesion.necrotic_share <= (1 - 2.4 / lesion.diameter_mm) ** 3 for lesion in cysts)
    assert all(0.2 <= lesion.necrotic_share <= 0.6 for lesion in rings if lesion.fluidity == 0)
    assert all(lesion.fluidity == lesion.eccentricity == 0 for lesion in lesions if not lesion.is_ring)
    assert 0.3 < np.mean([lesion.oedema_mm > 0 for lesion in lesions]) < 0.95


def test_lesions_of_a_patient_keep_apart(population: list[Patient]) -> None:
    for patient in population:
        for first, second in combinations(patient.lesions, 2):
            distance = np.linalg.norm(np.subtract(first.centre_mm, second.centre_mm))
            assert distance > (first.diameter_mm + second.diameter_mm) / 2 + 3


def test_lesions_prefer_the_border_of_grey_and_white(population: list[Patient]) -> None:
    anatomy = load_anatomy(2.0)
    centres = np.array([lesion.centre_mm for patient in population for lesion in patient.lesions])
    voxels = tuple(np.rint(anatomy.grid.to_voxel(centres)).astype(int).T)
    mixed = np.minimum(anatomy.grey, anatomy.white)
    inside = anatomy.grey + anatomy.white > 0.8
    assert (mixed[voxels] > 0.25).mean() > 1.4 * (mixed[inside] > 0.25).mean()
    assert (anatomy.hull_mm[voxels] < 0).all()


def test_a_patient_depends_on_seed_and_index_only() -> None:
    fine, coarse = PhantomOptions(resolution_mm=1.0), PhantomOptions(resolution_mm=3.0, skull=False, noise=0.1)
    assert describe_patient(7, 3, fine) == describe_patient(7, 3, coarse)
    others = {describe_patient(7, 4, fine), describe_patient(8, 3, fine)}
    assert describe_patient(7, 3, fine) not in others


def test_streams_of_different_purposes_are_independent_and_repeatable() -> None:
    patient = describe_patient(1, 0, PhantomOptions())
    first, again, other = (patient.stream(name).random(4).tolist() for name in ("noise", "noise", "bias"))
    assert first == again
    assert first != other


def test_no_lesions_can_be_asked_for() -> None:
    assert describe_patient(0, 0, PhantomOptions(lesions_min=0, lesions_max=0)).lesions == ()


@pytest.mark.parametrize(
    "wrong",
    [{"lesions_min": 3, "lesions_max": 2}, {"diameter_median_mm": 50}, {"resolution_mm": 0.1}, {"unknown": 1}],
)
def test_options_that_contradict_themselves_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        PhantomOptions(**wrong)
