"""Tissues and sequences: the signal of each tissue follows from its relaxation times and the scanner's timing.

Spin echo (Haacke et al., Magnetic Resonance Imaging, 2nd ed. 2014, ch. 8 and 15), per unit of proton density ``rho``:

    S = rho (1 - exp(-TR / T1)) exp(-TE / T2)                             without inversion
    S = rho |1 - 2 exp(-TI / T1) + exp(-TR / T1)| exp(-TE / T2)           after an inversion pulse (FLAIR)

A contrast agent of concentration ``c`` (mmol/L) shortens both times: 1/T = 1/T0 + r c, with r1 = 4.5 and r2 = 5.5
per second and mmol/L (gadolinium chelates at 1.5 to 3 T, Rohrer et al. 2005, Invest Radiol 40:715).
Relaxation times are round figures for 3 T (Stanisz et al. 2005, Magn Reson Med 54:507, and textbooks).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

RELAXIVITY_1, RELAXIVITY_2 = 4.5, 5.5


@dataclass(frozen=True)
class Tissue:
    """What a voxel full of one tissue sends.

    Args:
        density: of protons, relative to water.
        t1_ms, t2_ms: relaxation times.
        uptake: contrast agent a few minutes after injection, mmol/L.
        still: share of the signal left in a long spin echo; blood flows out of the slice meanwhile.
    """

    density: float
    t1_ms: float
    t2_ms: float
    uptake: float = 0.0
    still: float = 1.0


TISSUES: Mapping[str, Tissue] = {
    "white": Tissue(0.70, 860, 72, uptake=0.006),
    "grey": Tissue(0.82, 1400, 92, uptake=0.02),
    "fluid": Tissue(1.00, 4200, 900),
    "oedema": Tissue(0.88, 1700, 140, uptake=0.01),
    "tumour_weak": Tissue(0.86, 1450, 108, uptake=0.12),
    "tumour_strong": Tissue(0.86, 1400, 104, uptake=0.85),
    "necrosis": Tissue(0.95, 2700, 260, uptake=0.01),
    "cyst": Tissue(1.00, 3600, 700),
    "vessel": Tissue(0.85, 1700, 110, uptake=1.5, still=0.15),
    "choroid": Tissue(0.84, 1600, 105, uptake=0.7),
    "dura": Tissue(0.62, 1000, 40, uptake=0.6),
    "bone": Tissue(0.06, 900, 15),
    "marrow": Tissue(0.62, 480, 60, uptake=0.03),
    "fat": Tissue(0.72, 400, 105, uptake=0.01),
    "muscle": Tissue(0.72, 1350, 38, uptake=0.08),
    "skin": Tissue(0.66, 900, 45, uptake=0.15),
    "eye": Tissue(1.00, 4000, 800),
}


@dataclass(frozen=True)
class Sequence:
    """The timing of one sequence in ms.

    Args:
        repetition_ms, echo_ms, inversion_ms: TR, TE, TI; None: no inversion.
        agent: it follows the injection.
        nulls_fluid: its TI suppresses the signal of cerebrospinal fluid, for any TR.
    """

    repetition_ms: float
    echo_ms: float
    inversion_ms: float | None = None
    agent: bool = False
    nulls_fluid: bool = False


SEQUENCE_TIMING: Mapping[str, Sequence] = {
    "t1n": Sequence(600, 9),
    "t1c": Sequence(600, 9, agent=True),
    "t2w": Sequence(5000, 98),
    "t2f": Sequence(9000, 118, inversion_ms=2440, nulls_fluid=True),
}

#: T1 weighting by an inversion pulse, as in MPRAGE (its readout is left out): the same for t1n and t1c of a patient.
INVERSION_PREPARED: Mapping[str, Sequence] = {
    "t1n": Sequence(2300, 4, inversion_ms=1050),
    "t1c": Sequence(2300, 4, inversion_ms=1050, agent=True),
}


@dataclass(frozen=True)
class Scanners:
    """What the patients of a data set are scanned with.

    Args:
        spread: how far relaxation times, uptake and timings stray, relative to one scanner.
        protocols: sequence to its timing; each patient is scanned by one of them.
        rim_mm: least and most that programs which take the skull off leave outside the brain: dura and sinuses.
    """

    spread: float
    protocols: tuple[Mapping[str, Sequence], ...]
    rim_mm: tuple[float, float]


SCANNERS: Mapping[str, Scanners] = {
    "one": Scanners(1.0, (SEQUENCE_TIMING,), (0.3, 0.3)),
    "many": Scanners(3.0, (SEQUENCE_TIMING, {**SEQUENCE_TIMING, **INVERSION_PREPARED}), (0.0, 4.0)),
}

#: Echoes longer than this let flowing blood leave the slice.
FLOW_VOID_ECHO_MS = 50.0


def signal(tissue: Tissue, sequence: Sequence) -> float:
    """Return the signal of a tissue in a sequence, relative to fully relaxed water.

    >>> white, fluid = TISSUES["white"], TISSUES["fluid"]
    >>> [round(signal(t, SEQUENCE_TIMING["t1n"]), 2) for t in (white, fluid)]
    [0.31, 0.13]
    >>> round(signal(fluid, SEQUENCE_TIMING["t2f"]), 2)
    0.0
    """
    dose = tissue.uptake if sequence.agent else 0.0
    t1 = 1 / (1 / tissue.t1_ms + RELAXIVITY_1 * dose / 1000)
    t2 = 1 / (1 / tissue.t2_ms + RELAXIVITY_2 * dose / 1000)
    recovered = 1 - np.exp(-sequence.repetition_ms / t1)
    if sequence.inversion_ms is not None:
        recovered = abs(1 - 2 * np.exp(-sequence.inversion_ms / t1) + np.exp(-sequence.repetition_ms / t1))
    flow = tissue.still if sequence.echo_ms > FLOW_VOID_ECHO_MS else 1.0
    return float(tissue.density * flow * recovered * np.exp(-sequence.echo_ms / t2))


def vary_tissue(tissue: Tissue, rng: np.random.Generator, *, spread: float = 1.0) -> Tissue:
    """Return one patient's tissue: relaxation times and uptake some per cent off the average, times ``spread``."""
    t1, t2, uptake = np.exp(spread * rng.normal(0, (0.02, 0.03, 0.08)))
    return replace(
        tissue, t1_ms=tissue.t1_ms * float(t1), t2_ms=tissue.t2_ms * float(t2), uptake=tissue.uptake * float(uptake)
    )


def vary_sequence(sequence: Sequence, rng: np.random.Generator, *, spread: float = 1.0) -> Sequence:
    """Return the sequence of one scanner; where fluid is to be dark, TI follows TR, as operators see to it."""
    repetition = sequence.repetition_ms * float(np.exp(spread * rng.uniform(-0.08, 0.08)))
    return replace(
        sequence,
        repetition_ms=repetition,
        echo_ms=sequence.echo_ms * float(np.exp(spread * rng.uniform(-0.1, 0.1))),
        inversion_ms=null_ms(TISSUES["fluid"].t1_ms, repetition) if sequence.nulls_fluid else sequence.inversion_ms,
    )


def null_ms(t1_ms: float, repetition_ms: float) -> float:
    """Return the inversion time at which a tissue sends nothing: ``1 - 2 exp(-TI / T1) + exp(-TR / T1) = 0``.

    >>> round(null_ms(4200, 9000))
    2445
    """
    return t1_ms * float(np.log(2) - np.log1p(np.exp(-repetition_ms / t1_ms)))
