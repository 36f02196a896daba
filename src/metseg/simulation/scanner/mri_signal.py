"""MRI signal of a head: signal of every tissue, coil drift, noise, rounding to integers."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from metseg.random_fields import bias_field, rician_noise
from metseg.simulation.anatomy.tissues import SCANNERS, TISSUES, Sequence, Tissue, signal, vary_sequence, vary_tissue
from metseg.simulation.options import SEQUENCES, PhantomOptions
from metseg.simulation.patient import Patient

FloatArray = npt.NDArray[np.float32]

#: What the signal of white matter becomes; scanners give any number, a fixed one keeps noise and drift comparable.
WHITE_LEVEL = 400.0

#: Distance of the nodes of the coil's drift.
DRIFT_MM = 75.0

#: How much of the template's own texture shows in each sequence: iron and myelin darken T2 where they brighten T1.
TEXTURE_WEIGHT: Mapping[str, float] = {"t1n": 0.8, "t1c": 0.8, "t2w": -0.7, "t2f": -0.5}


def render_sequences(
    patient: Patient,
    shares: Mapping[str, FloatArray],
    *,
    texture: FloatArray,
    brain: npt.NDArray[np.bool_],
    options: PhantomOptions,
) -> dict[str, npt.NDArray[np.int16]]:
    """Return the four sequences.

    Args:
        patient: provides relaxation times, timings, drift and noise.
        shares: tissue to its (X, Y, Z) share of each voxel.
        texture: (X, Y, Z) factor on the signal of brain tissue.
        brain: (X, Y, Z) what is left when the skull is off.
        options: noise, drift, skull.
    Returns:
        Sequence to (X, Y, Z) int16, not negative; 0 outside the brain if the skull is off.
    """
    tissues = tissues_of(patient, options)
    images = {}
    for name in SEQUENCES:
        rng = patient.stream(f"sequence {name}")
        timing = timing_of(name, patient, options, rng)
        image = noise_free(name, shares, texture=texture, tissues=tissues, timing=timing)
        spacing = options.resolution_mm
        image *= bias_field(image.shape, strength=options.bias, scale_voxels=DRIFT_MM / spacing, rng=rng)
        image = rician_noise(image, options.noise * WHITE_LEVEL, rng)
        if not options.skull:
            image *= brain
        images[name] = as_stored(image)
    return images


def tissues_of(patient: Patient, options: PhantomOptions) -> dict[str, Tissue]:
    """Return the patient's own relaxation times; the same in every examination."""
    rng, spread = patient.stream("relaxation"), SCANNERS[options.scanners].spread
    return {name: vary_tissue(TISSUES[name], rng, spread=spread) for name in TISSUES}


def timing_of(name: str, patient: Patient, options: PhantomOptions, rng: np.random.Generator) -> Sequence:
    """Return the timing of one sequence of one examination, by the protocol that the patient is scanned with.

    Args:
        name: of the sequence.
        patient: always scanned by the same protocol.
        options: which scanners there are.
        rng: for how this examination differs from the protocol.
    """
    scanners = SCANNERS[options.scanners]
    protocol = scanners.protocols[int(patient.stream("protocol").integers(len(scanners.protocols)))]
    return vary_sequence(protocol[name], rng, spread=scanners.spread)


def noise_free(
    name: str,
    shares: Mapping[str, FloatArray],
    *,
    texture: FloatArray,
    tissues: Mapping[str, Tissue],
    timing: Sequence,
) -> FloatArray:
    """Return what a perfect scanner would see, (X, Y, Z), white matter at `WHITE_LEVEL`.

    Args:
        name: of the sequence.
        shares: tissue to its (X, Y, Z) share of each voxel.
        texture: (X, Y, Z) factor on the signal of brain tissue.
        tissues: of the patient.
        timing: of the sequence on this scanner.
    """
    signals = {tissue: signal(tissues[tissue], timing) for tissue in shares}
    image = _mix(shares, signals, texture ** np.float32(TEXTURE_WEIGHT[name]))
    image *= np.float32(WHITE_LEVEL / signals["white"])
    return image


def as_stored(image: FloatArray) -> npt.NDArray[np.int16]:
    """Return an image in the whole numbers of the files."""
    return np.rint(np.minimum(image, np.float32(np.iinfo(np.int16).max))).astype(np.int16)


def _mix(shares: Mapping[str, FloatArray], signals: Mapping[str, float], texture: FloatArray) -> FloatArray:
    """Return the sum of the tissues' signals; only normal brain tissue carries the texture."""
    image = np.float32(signals["white"]) * shares["white"] + np.float32(signals["grey"]) * shares["grey"]
    image *= texture
    for name, share in shares.items():
        if name not in ("white", "grey"):
            image += np.float32(signals[name]) * share
    return np.asarray(image, dtype=np.float32)
