"""Simulate one examination of one patient: the first, undisturbed one from the phantom, all others as scanned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from metseg.random_fields import bias_field, rician_noise
from metseg.simulation.anatomy.normal_anatomy import Grid, load_anatomy
from metseg.simulation.anatomy.voxelization import voxelise
from metseg.simulation.difficulty import REFERENCE, Difficulty
from metseg.simulation.lesions.lesion_truth import lesion_truth
from metseg.simulation.lesions.progression import Examination, describe_examination
from metseg.simulation.options import CourseOptions, PhantomOptions
from metseg.simulation.patient import describe_patient
from metseg.simulation.phantom import Head, SimulatedPatient, build_head, simulate_patient
from metseg.simulation.scanner.acquisition import Scan, place, plan_scans
from metseg.simulation.scanner.grid_resampling import Placement
from metseg.simulation.scanner.motion import draw_shifts, measured_while_moving
from metseg.simulation.scanner.mri_signal import DRIFT_MM, WHITE_LEVEL, as_stored, noise_free, timing_of, tissues_of
from metseg.volume import Case, Volume

FloatArray = npt.NDArray[np.float32]


def simulate_examination(
    seed: int,
    index: int,
    timepoint: int = 0,
    *,
    options: PhantomOptions | None = None,
    course: CourseOptions | None = None,
    challenge: Difficulty | None = None,
) -> SimulatedPatient:
    """Return examination ``timepoint`` of patient ``index`` of the data set ``seed``.

    The first one without a challenge is `simulate_patient`'s, to the bit. Each later one has the same head with the
    lesions of its day, a slightly different position in the scanner, and its own timing, drift and noise.

    Args:
        seed: which data set.
        index: of the patient, from 0.
        timepoint: of the examination, from 0.
        options: how the patients are made.
        course: what happens between examinations.
        challenge: what makes the images difficult; None for nothing.
    Returns:
        Labels, instances and the brain lie on the grid of t1c.
    """
    options, course = options or PhantomOptions(), course or CourseOptions()
    examination = describe_examination(seed, index, timepoint, phantom=options, course=course)
    if timepoint == 0 and challenge is None:
        return replace(simulate_patient(seed, index, options), examination=examination)
    first = None if timepoint == 0 else describe_patient(seed, index, options)
    head = build_head(examination.patient, options, first=first)
    grid = load_anatomy(options.resolution_mm).grid
    return _scanned(
        examination, head, plan_scans(examination, grid, challenge), grid=grid, options=harder(options, challenge)
    )


def harder(options: PhantomOptions, challenge: Difficulty | None) -> PhantomOptions:
    """Return the options with the challenge's noise and drift, at most what the options allow."""
    if challenge is None:
        return options
    noise, bias = min(0.5, options.noise * challenge.noise_factor), min(1.0, options.bias * challenge.bias_factor)
    return options.model_copy(update={"noise": noise, "bias": bias})


def _scanned(
    examination: Examination, head: Head, scans: Mapping[str, Scan], *, grid: Grid, options: PhantomOptions
) -> SimulatedPatient:
    patient, reference = examination.patient, scans[REFERENCE]
    tissues = tissues_of(patient, options)
    images = {}
    for name, scan in scans.items():
        rng = patient.stream(f"sequence {name} {examination.name}")
        timing = timing_of(name, patient, options, rng)
        perfect = noise_free(name, head.shares, texture=head.texture, tissues=tissues, timing=timing)
        placement = place(scan, examination, grid)
        image = _measured(placement.image(perfect), scan, options=options, rng=rng)
        if not options.skull:
            image *= _brain(head, placement)
        images[name] = Volume(as_stored(image), scan.affine)
    placement = place(reference, examination, grid)
    labels, instances = voxelise(head.lesions, placement)
    case = Case(
        case_id=f"{patient.name}-{examination.name}",
        patient=patient.name,
        images=images,
        labels=Volume(labels, reference.affine),
        timepoint=examination.name,
    )
    truth = lesion_truth(labels, instances, reference.affine)
    brain = _brain(head, placement) | (labels > 0)
    return SimulatedPatient(patient, case, instances, brain, truth, examination=examination, scans=scans)


def _brain(head: Head, placement: Placement) -> npt.NDArray[np.bool_]:
    return np.asarray(placement.share(head.brain.astype(np.float32)) >= 0.5)


def _measured(image: FloatArray, scan: Scan, *, options: PhantomOptions, rng: np.random.Generator) -> FloatArray:
    """Return an image with drift, motion and noise; what a spline overshot below 0 is cut off."""
    scale = [DRIFT_MM / length for length in scan.spacing_mm]
    image = np.maximum(image, 0) * bias_field(scan.shape, strength=options.bias, scale_voxels=scale, rng=rng)
    if scan.motion_mm > 0:
        spacing = scan.spacing_mm
        image = measured_while_moving(image, draw_shifts(scan.shape[1], scan.motion_mm, spacing[:2], rng))
    return rician_noise(image, options.noise * WHITE_LEVEL, rng)
