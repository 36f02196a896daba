"""A whole patient: what is bright where, labels against images, and nothing outside the brain when stripped."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from scipy import ndimage

from metseg.simulation import SEQUENCES, PhantomOptions, SimulatedPatient, describe_patient, simulate_patient
from metseg.simulation.anatomy.head_anatomy import brain_mask
from metseg.simulation.anatomy.normal_anatomy import Grid, load_anatomy
from metseg.simulation.phantom import build_head
from metseg.simulation.scanner.mri_signal import render_sequences


def image(simulated: SimulatedPatient, name: str) -> npt.NDArray[np.float64]:
    return np.asarray(simulated.case.images[name].data, dtype=np.float64)


def labels(simulated: SimulatedPatient) -> npt.NDArray[np.uint8]:
    assert simulated.case.labels is not None
    return np.asarray(simulated.case.labels.data, dtype=np.uint8)


def test_the_case_is_complete(simulated: SimulatedPatient) -> None:
    assert simulated.case.modalities == SEQUENCES
    for volume in (*simulated.case.images.values(), simulated.case.labels):
        assert volume is not None
        assert volume.shape == (78, 93, 75)
        assert volume.spacing_mm == pytest.approx((2.5, 2.5, 2.5))
    assert all(volume.data.dtype == np.int16 and volume.data.min() >= 0 for volume in simulated.case.images.values())
    assert labels(simulated).dtype == np.uint8
    assert set(np.unique(labels(simulated))) == {0, 1, 2, 3}


def test_as_many_lesions_of_such_sizes_as_planned(simulated: SimulatedPatient) -> None:
    core = np.isin(labels(simulated), (1, 3))
    assert ndimage.label(core, np.ones((3, 3, 3)))[1] == len(simulated.patient.lesions) == len(simulated.lesions)
    for planned, found in zip(simulated.patient.lesions, simulated.lesions, strict=True):
        assert planned.lesion_id == found.lesion_id
        assert found.core_mm3 == pytest.approx(np.pi / 6 * planned.diameter_mm**3, abs=0.51 * 2.5**3)


def test_ring_lesions_hold_necrosis_and_solid_ones_none(simulated: SimulatedPatient) -> None:
    assert any(lesion.is_ring for lesion in simulated.patient.lesions)
    for planned, found in zip(simulated.patient.lesions, simulated.lesions, strict=True):
        assert (found.netc_mm3 > 0) == planned.is_ring
        assert found.et_mm3 > 0
        core = (simulated.instances == found.lesion_id) & np.isin(labels(simulated), (1, 3))
        necrotic = core & (labels(simulated) == 1)
        assert not (ndimage.binary_dilation(necrotic) & ~core).any()


def test_a_cyst_is_seen_as_fluid(options: PhantomOptions) -> None:
    """The same head, its largest ring once filled with dead tissue and once with water."""
    options = options.model_copy(update={"noise": 0.0, "bias": 0.0})
    patient = next(
        one for one in (describe_patient(5, index, options) for index in range(20)) if one.lesions[0].is_ring
    )
    largest, *others = patient.lesions
    seen = []
    for fluidity in (0.0, 1.0):
        changed = replace(patient, lesions=(replace(largest, fluidity=fluidity), *others))
        head = build_head(changed, options)
        necrosis = (head.lesions.instances == 1) & (head.lesions.labels == 1)
        images = render_sequences(changed, head.shares, texture=head.texture, brain=head.brain, options=options)
        seen.append({name: float(data[necrosis].mean()) for name, data in images.items()})
    dead, water = seen
    assert water["t2f"] < 0.7 * dead["t2f"]
    assert water["t2w"] > 1.05 * dead["t2w"]
    assert water["t1n"] < dead["t1n"]


def test_every_lesion_enhances(simulated: SimulatedPatient) -> None:
    white = white_matter(simulated)
    before, after = image(simulated, "t1n"), image(simulated, "t1c")
    for lesion in simulated.patient.lesions:
        rim = (simulated.instances == lesion.lesion_id) & (labels(simulated) == 3)
        assert after[rim].mean() > 1.15 * after[white].mean()
        assert before[rim].mean() < before[white].mean()


def white_matter(simulated: SimulatedPatient) -> npt.NDArray[np.bool_]:
    head = build_head(simulated.patient, PhantomOptions(resolution_mm=2.5))
    return head.shares["white"] > 0.95


def test_contrast_of_the_labels(simulated: SimulatedPatient, options: PhantomOptions) -> None:
    truth, shares = labels(simulated), build_head(simulated.patient, options).shares
    white, fluid = shares["white"] > 0.95, shares["fluid"] > 0.95
    flair, t2, after = (image(simulated, name) for name in ("t2f", "t2w", "t1c"))
    assert flair[truth == 2].mean() > 1.2 * flair[white].mean()
    assert flair[fluid].mean() < 0.3 * flair[white].mean()
    assert t2[fluid].mean() > 2 * t2[white].mean()
    assert after[truth == 1].mean() < 0.8 * after[truth == 3].mean()
    vessel = shares["vessel"] > 0.9
    assert vessel.sum() > 20
    assert after[vessel].mean() > 1.5 * after[white].mean()
    assert t2[vessel].mean() < t2[white].mean()


def test_shares_never_exceed_one(simulated: SimulatedPatient, options: PhantomOptions) -> None:
    shares = build_head(simulated.patient, options).shares
    assert min(share.min() for share in shares.values()) >= -1e-6
    assert sum(shares.values()).max() < 1.02


def test_noise_level(options: PhantomOptions) -> None:
    quiet, noisy = (
        simulate_patient(5, 0, options.model_copy(update={"noise": noise, "resolution_mm": 4.0})) for noise in (0, 0.05)
    )
    difference = image(noisy, "t1n") - image(quiet, "t1n")
    # Far above the noise Rician noise is normal with the given sigma; white matter has the level 400 by construction.
    assert difference[quiet.brain & (image(quiet, "t1n") > 250)].std() == pytest.approx(0.05 * 400, rel=0.05)


def test_stripped_is_zero_outside_the_brain_and_equal_labels(options: PhantomOptions) -> None:
    coarse = options.model_copy(update={"resolution_mm": 4.0})
    whole, stripped = (simulate_patient(5, 1, coarse.model_copy(update={"skull": skull})) for skull in (True, False))
    np.testing.assert_array_equal(labels(whole), labels(stripped))
    for name in SEQUENCES:
        assert not image(stripped, name)[~stripped.brain].any()
        assert (image(stripped, name)[stripped.brain] > 0).mean() > 0.99
    outside = ndimage.binary_dilation(whole.brain, iterations=4) & ~ndimage.binary_dilation(whole.brain, iterations=2)
    assert image(whole, "t1n")[outside].mean() > 100
    assert stripped.brain[labels(stripped) > 0].all()
    volume_l = stripped.brain.sum() * 4.0**3 / 1e6
    assert 1.2 < volume_l < 2.2  # a template brain with fissures, up to 20 % larger or smaller


def test_the_same_patient_is_the_same_to_the_bit(options: PhantomOptions) -> None:
    coarse = options.model_copy(update={"resolution_mm": 4.0})
    first, again, other = (simulate_patient(5, index, coarse) for index in (2, 2, 3))
    for name in SEQUENCES:
        np.testing.assert_array_equal(image(first, name), image(again, name))
        assert not np.array_equal(image(first, name), image(other, name))
    np.testing.assert_array_equal(labels(first), labels(again))


def test_lesions_lie_in_the_same_place_at_every_resolution(options: PhantomOptions) -> None:
    coarse, fine = (simulate_patient(5, 0, options.model_copy(update={"resolution_mm": mm})) for mm in (4.0, 2.5))
    for first, second in zip(coarse.lesions, fine.lesions, strict=True):
        assert np.linalg.norm(np.subtract(first.centre_mm, second.centre_mm)) < 6


def test_a_patient_without_lesions_is_healthy() -> None:
    none = PhantomOptions(lesions_min=0, lesions_max=0, resolution_mm=4.0)
    simulated = simulate_patient(0, 0, none)
    assert not labels(simulated).any()
    assert simulated.lesions == describe_patient(0, 0, none).lesions == ()


def test_the_average_head_keeps_its_place_when_voxels_grow() -> None:
    from nilearn.datasets import load_mni152_wm_template

    original = load_mni152_wm_template(resolution=1)
    white = original.get_fdata()
    expected = original.affine @ (*ndimage.center_of_mass(white), 1)
    for spacing in (2.0, 3.0, 4.5):
        head = load_anatomy(spacing)
        centre = head.grid.affine @ (*ndimage.center_of_mass(head.white), 1)
        assert centre == pytest.approx(expected, abs=0.25)
        assert head.white.sum() * spacing**3 == pytest.approx(white.sum(), rel=0.02)


def test_the_rim_decides_how_closely_the_skull_is_taken_off() -> None:
    grid = Grid((40, 40, 40), 1.0, (0.0, 0.0, 0.0))
    x, y, z = np.meshgrid(*[np.arange(40) - 20.0] * 3, indexing="ij")
    hull = (np.sqrt(x**2 + y**2 + z**2) - 12).astype(np.float32)
    tissue = (hull < -1).astype(np.float32)
    for rim_mm in (0.3, 2.0, 4.0):
        kept = brain_mask(hull, tissue, grid, rim_mm=rim_mm)
        assert hull[kept].max() == pytest.approx(rim_mm, abs=0.5)
        assert kept[hull < 0].all()
