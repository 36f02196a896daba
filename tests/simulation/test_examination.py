"""Later examinations and difficult ones: the same head elsewhere, labels that follow, moves that the truth knows."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from metseg.simulation import (
    SEQUENCES,
    CourseOptions,
    Difficulty,
    PhantomOptions,
    SimulatedPatient,
    Stack,
    describe_examination,
    describe_patient,
    simulate_examination,
    simulate_patient,
)
from metseg.simulation.phantom import build_head

OPTIONS = PhantomOptions(
    resolution_mm=4.0, skull=False, noise=0.01, bias=0, lesions_min=3, lesions_max=4, diameter_median_mm=16,
    diameter_min_mm=12,
)  # fmt: skip
COURSE = CourseOptions(growing=1, stable=0, shrinking=0, vanished=0, new_lesions=0)
APART = Difficulty(
    stacks={"t2w": Stack(slice_mm=8), "t2f": Stack(plane="coronal", slice_mm=8)},
    oblique_deg=5,
    offset_mm=4,
    offset_deg=4,
)


def centre_mm(found: SimulatedPatient, name: str) -> npt.NDArray[np.float64]:
    """Return the centre of the brain, which is all there is in an image without skull."""
    volume = found.case.images[name]
    assert volume.affine is not None
    middle = np.argwhere(np.asarray(volume.data) > 0).mean(axis=0)
    return np.asarray(volume.affine @ (*middle, 1))


@pytest.fixture(scope="module")
def first() -> SimulatedPatient:
    return simulate_patient(6, 0, OPTIONS)


@pytest.fixture(scope="module")
def second() -> SimulatedPatient:
    return simulate_examination(6, 0, 1, options=OPTIONS, course=COURSE)


@pytest.fixture(scope="module")
def apart() -> SimulatedPatient:
    return simulate_examination(6, 0, options=OPTIONS, challenge=APART)


def test_the_first_examination_is_the_patient_to_the_bit(first: SimulatedPatient) -> None:
    found = simulate_examination(6, 0, 0, options=OPTIONS, course=COURSE)
    for name in SEQUENCES:
        np.testing.assert_array_equal(found.case.images[name].data, first.case.images[name].data)
    np.testing.assert_array_equal(found.instances, first.instances)
    assert found.lesions == first.lesions


def test_lesions_grow_in_the_voxels_as_in_the_plan(first: SimulatedPatient, second: SimulatedPatient) -> None:
    assert second.examination is not None
    assert second.case.case_id == "BraTS-MET-00001-001"
    assert [lesion.lesion_id for lesion in first.lesions] == [lesion.lesion_id for lesion in second.lesions]
    grown = 0
    for before, after in zip(first.lesions, second.lesions, strict=True):
        steps = second.examination.histories[after.lesion_id]
        assert after.core_mm3 == pytest.approx(steps[-1].planned_core_mm3, abs=0.51 * 4.0**3)
        grown += steps[-1].event == "growing" and after.core_mm3 > 1.25 * before.core_mm3
    assert grown >= 1


def test_the_truth_knows_where_the_head_went(first: SimulatedPatient, second: SimulatedPatient) -> None:
    assert second.examination is not None
    to_first = second.examination.to_first_mm
    assert np.abs(to_first - np.eye(4)).max() > 0.5
    assert (to_first @ centre_mm(second, "t1c"))[:3] == pytest.approx(centre_mm(first, "t1c")[:3], abs=1.0)
    for before, after in zip(first.lesions, second.lesions, strict=True):
        moved = to_first @ (*after.centre_mm, 1)
        assert np.linalg.norm(moved[:3] - before.centre_mm) < 2.5  # a growing lesion's dents move its centre a little


def test_noise_is_new_and_anatomy_is_not(first: SimulatedPatient, second: SimulatedPatient) -> None:
    brain = first.brain & second.brain
    before, after = (np.asarray(found.case.images["t1n"].data, float)[brain] for found in (first, second))
    assert not np.array_equal(before, after)
    assert np.corrcoef(before, after)[0, 1] > 0.6


def test_small_vessels_stay_where_they_were() -> None:
    patient = describe_patient(6, 0, OPTIONS)
    later = describe_examination(6, 0, 1, phantom=OPTIONS, course=COURSE).patient
    here, now = (
        build_head(who, OPTIONS, first=first).shares["vessel"] for who, first in ((patient, None), (later, patient))
    )
    # Only where a lesion has grown over them they are gone.
    assert np.corrcoef(here.ravel(), now.ravel())[0, 1] > 0.98


def test_labels_lie_where_contrast_agent_does(second: SimulatedPatient, apart: SimulatedPatient) -> None:
    for found in (second, apart):
        assert found.case.labels is not None
        enhanced = np.asarray(found.case.images["t1c"].data, float)
        rim = np.asarray(found.case.labels.data) == 3
        assert enhanced.shape == rim.shape == found.brain.shape == found.instances.shape
        assert enhanced[rim].mean() > 1.2 * np.median(enhanced[found.brain])


def test_sequences_have_grids_of_their_own(apart: SimulatedPatient) -> None:
    # 196 x 232 x 188 mm; 3.6 mm in plane and 8 mm slices: 54.4, 64.4, 23.5; coronal 54.4, 52.2, 29.
    shapes = {name: image.shape for name, image in apart.case.images.items()}
    assert shapes == {"t1n": (49, 58, 47), "t1c": (49, 58, 47), "t2w": (55, 65, 24), "t2f": (55, 53, 29)}
    assert apart.case.images["t2w"].spacing_mm == pytest.approx((3.6, 3.6, 8.0))
    assert apart.case.labels is not None
    np.testing.assert_array_equal(apart.case.labels.affine, apart.case.images["t1c"].affine)


def test_the_truth_knows_how_the_sequences_lie(apart: SimulatedPatient) -> None:
    reference = centre_mm(apart, "t1c")
    for name in ("t1n", "t2w", "t2f"):
        there = centre_mm(apart, name)
        back = apart.scans[name].to_reference_mm @ there
        assert np.linalg.norm(back[:3] - reference[:3]) < 1.0
    assert max(np.linalg.norm(centre_mm(apart, name)[:3] - reference[:3]) for name in ("t1n", "t2w", "t2f")) > 2.0


def test_thick_slices_keep_the_volume_of_every_lesion(first: SimulatedPatient) -> None:
    thick = Difficulty(stacks={"t1c": Stack(slice_mm=8)})
    found = simulate_examination(6, 0, options=OPTIONS, challenge=thick)
    voxel_mm3 = 3.6 * 3.6 * 8
    assert len(found.lesions) == len(first.lesions)
    for before, after in zip(first.lesions, found.lesions, strict=True):
        assert after.core_mm3 == pytest.approx(before.core_mm3, abs=0.51 * voxel_mm3)


def test_noise_and_drift_follow_the_level() -> None:
    still = PhantomOptions(resolution_mm=5.0, noise=0.03, bias=0, lesions_min=0, lesions_max=0)
    clean, noisy = (
        simulate_examination(
            1, 0, options=still.model_copy(update={"noise": noise}), challenge=Difficulty(noise_factor=2)
        )
        for noise in (0.0, 0.03)
    )
    image, other = (np.asarray(found.case.images["t1n"].data, float) for found in (clean, noisy))
    # Far above the noise Rician noise is normal; twice 0.03 of the 400 that white matter has.
    assert (other - image)[clean.brain & (image > 300)].std() == pytest.approx(2 * 0.03 * 400, rel=0.06)
