"""Progression of a patient's lesions from one examination to the next, as numbers, before any voxel is computed.

An `Examination` is a pure function of (seed, index, timepoint, options): it does not depend on how many examinations
are made. Examination 0 is the patient as `describe_patient` describes it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
import numpy.typing as npt

from metseg.simulation.options import CourseOptions, PhantomOptions
from metseg.simulation.patient import (
    GAP_MM,
    Patient,
    SimulatedLesion,
    Sites,
    describe_patient,
    draw_diameters,
    draw_lesion,
    random_stream,
)
from metseg.simulation.scanner.rigid_transforms import draw_rigid

#: By how much the volume of a core changes in one interval: least and most, drawn evenly in the logarithm.
VOLUME_FACTORS: Mapping[str, tuple[float, float]] = {
    "growing": (1.3, 3.0),
    "stable": (0.95, 1.05),
    "shrinking": (0.25, 0.75),
}

#: Everything that can stand in a lesion's history; the first two are how one begins.
EVENTS = ("first", "new", *VOLUME_FACTORS, "vanished")

#: A lesion that would shrink below this has vanished; one above that does not vanish at once but shrinks.
VANISHING_MM, LARGEST_VANISHING_MM = 1.5, 10.0

#: Cores smaller than this are fed by their surroundings: no necrosis.
SMALLEST_RING_MM = 6.0

LARGEST_OEDEMA_MM = 24.0


@dataclass(frozen=True)
class FollowedLesion(SimulatedLesion):
    """A lesion after its first examination.

    Args:
        first_diameter_mm: where its shape was drawn; the dents scale with the diameter.
    """

    first_diameter_mm: float

    @property
    def drawn_mm(self) -> float:
        return self.first_diameter_mm


@dataclass(frozen=True)
class Step:
    """What a lesion was found to have done at one examination.

    Args:
        timepoint: of the examination, from 0.
        event: one of `EVENTS`.
        planned_core_mm3: volume of the core; 0 once it has vanished.
    """

    timepoint: int
    event: str
    planned_core_mm3: float


@dataclass(frozen=True)
class Examination:
    """One examination of a simulated patient.

    Args:
        patient: with the lesions of this day; a lesion keeps its number for life.
        timepoint: 0 for the first.
        days: since the first.
        to_first_mm: (4, 4) takes a point of this examination's space to where it lay in the first one's.
        histories: every lesion ever seen to what it did until now.
    """

    patient: Patient
    timepoint: int
    days: int
    to_first_mm: npt.NDArray[np.float64]
    histories: Mapping[int, tuple[Step, ...]]

    @property
    def name(self) -> str:
        """Return the timepoint as BraTS-METS writes it: ``000``."""
        return f"{self.timepoint:03d}"

    @property
    def vanished(self) -> tuple[int, ...]:
        """Return the numbers of the lesions that are no longer there."""
        return tuple(number for number, steps in self.histories.items() if steps[-1].event == "vanished")


def first_examination(patient: Patient) -> Examination:
    """Return the first examination of a patient."""
    histories = {lesion.lesion_id: (Step(0, "first", lesion.planned_core_mm3),) for lesion in patient.lesions}
    return Examination(patient, 0, 0, np.eye(4), histories)


def describe_examination(
    seed: int, index: int, timepoint: int, *, phantom: PhantomOptions, course: CourseOptions
) -> Examination:
    """Return examination ``timepoint`` of the patient ``index`` of the data set ``seed``."""
    found = first_examination(describe_patient(seed, index, phantom))
    for number in range(1, timepoint + 1):
        rng = random_stream(seed, index, f"course {number}")
        found = _next(found, rng, phantom=phantom, course=course)
    return found


def _next(
    before: Examination, rng: np.random.Generator, *, phantom: PhantomOptions, course: CourseOptions
) -> Examination:
    days = before.days + int(rng.integers(course.interval_min_days, course.interval_max_days + 1))
    pose = draw_rigid(rng, shift_mm=course.shift_mm, tilt_deg=course.tilt_deg)
    now: list[SimulatedLesion] = list(before.patient.lesions)
    events: dict[int, str] = {}
    for lesion in before.patient.lesions:
        wished = _draw_event(rng, before.histories[lesion.lesion_id][-1].event, course)
        others = [other for other in now if other.lesion_id != lesion.lesion_id]
        events[lesion.lesion_id], diameter = _outcome(
            lesion, wished, chance=float(rng.random()), largest_mm=_room_mm(lesion, others, phantom)
        )
        now = others if diameter == 0 else [*others, _resized(lesion, diameter)]
    now.sort(key=lambda lesion: lesion.lesion_id)
    fresh = _new_lesions(now, 1 + max(before.histories, default=0), rng, phantom=phantom, course=course)
    events |= {lesion.lesion_id: "new" for lesion in fresh}
    volumes = {lesion.lesion_id: lesion.planned_core_mm3 for lesion in (*now, *fresh)}
    histories = dict(before.histories)
    for number, event in events.items():
        step = Step(before.timepoint + 1, event, volumes.get(number, 0.0))
        histories[number] = (*histories.get(number, ()), step)
    patient = replace(before.patient, lesions=(*now, *fresh))
    return Examination(patient, before.timepoint + 1, days, pose, histories)


def _draw_event(rng: np.random.Generator, last: str, course: CourseOptions) -> str:
    names = (*VOLUME_FACTORS, "vanished")
    weights = np.array([getattr(course, name) for name in names])
    goes_on, drawn = rng.random() < course.persistence, str(rng.choice(names, p=weights / weights.sum()))
    return last if goes_on and last in VOLUME_FACTORS and getattr(course, last) > 0 else drawn


def _outcome(lesion: SimulatedLesion, wished: str, *, chance: float, largest_mm: float) -> tuple[str, float]:
    """Return what really happens and the new diameter in mm, 0 for a lesion that has vanished.

    Args:
        lesion: as it was.
        wished: what was drawn for it.
        chance: 0 for the least change of the event's range, 1 for the most.
        largest_mm: diameter that there is room for.
    """
    if wished == "vanished" and lesion.diameter_mm <= LARGEST_VANISHING_MM:
        return "vanished", 0.0
    event = "shrinking" if wished == "vanished" else wished
    low, high = VOLUME_FACTORS[event]
    diameter = lesion.diameter_mm * float(np.cbrt(low * (high / low) ** chance))
    if diameter < VANISHING_MM and event == "shrinking":
        return "vanished", 0.0
    if diameter <= largest_mm or event == "shrinking":
        return event, diameter
    if event == "growing" and largest_mm >= lesion.diameter_mm * np.cbrt(low):
        return event, largest_mm
    return "stable", lesion.diameter_mm


def _room_mm(lesion: SimulatedLesion, others: Sequence[SimulatedLesion], phantom: PhantomOptions) -> float:
    """Return the largest diameter that leaves the gap to every other lesion."""
    gaps = [
        float(np.linalg.norm(np.subtract(lesion.centre_mm, other.centre_mm))) - other.diameter_mm / 2 - GAP_MM
        for other in others
    ]
    return min([2 * gap for gap in gaps] + [phantom.diameter_max_mm])


def _resized(lesion: SimulatedLesion, diameter_mm: float) -> FollowedLesion:
    kept = asdict(lesion) | {"first_diameter_mm": lesion.drawn_mm}
    return replace(
        FollowedLesion(**kept),
        diameter_mm=diameter_mm,
        necrotic_share=lesion.necrotic_share if diameter_mm >= SMALLEST_RING_MM else 0.0,
        oedema_mm=min(LARGEST_OEDEMA_MM, lesion.oedema_mm * diameter_mm / lesion.diameter_mm),
    )


def _new_lesions(
    present: Sequence[SimulatedLesion],
    first_number: int,
    rng: np.random.Generator,
    *,
    phantom: PhantomOptions,
    course: CourseOptions,
) -> tuple[SimulatedLesion, ...]:
    count = int(rng.poisson(course.new_lesions))
    sites = Sites(rng)
    for lesion in present:
        sites.close(lesion.centre_mm, lesion.diameter_mm / 2)
    diameters = np.maximum(phantom.diameter_min_mm, course.new_size * draw_diameters(rng, count, phantom))
    return tuple(
        draw_lesion(rng, number, float(diameter), sites)
        for number, diameter in enumerate(diameters, start=first_number)
    )
