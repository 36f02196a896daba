"""Divide the pictures of a series into stacks.

One SeriesInstanceUID may hold several: the images of a Dixon sequence, echoes, b-values, time points, the three planes
of a localiser. Pictures are of one stack if they agree in image type, echo time, b-value, temporal position, matrix,
orientation and pixel size; nothing else divides them, so that two pictures at one place are noticed.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from metseg.errors import InputError
from metseg.io.dicom.header import SequenceHeader
from metseg.io.dicom.instances import Frame, Instance

#: How far direction cosines may differ in one stack; a thousandth moves the edge of a head by a tenth of a millimetre.
ORIENTATION_TOLERANCE = 1e-3
SPACING_TOLERANCE = 1e-3
#: Stacks whose planes are less apart than this are parts of one image; those of a localiser are at right angles.
TILT_DEGREES = 45.0
#: So many numbers at least tell a step.
_FEWEST_NUMBERS = 4


@dataclass(frozen=True)
class Series:
    """One stack of pictures: a whole series, or a part of it.

    Args:
        label: "3", the number of the series in order found, or "3.2" for the second stack of it.
        study: pseudonym.
        patient: pseudonym.
        frames: the pictures, in no meaningful order.
        references: pseudonyms of the frames of reference; more than one are refused when it is read.
        stacks: how many stacks its series holds.
        tilted: how many other stacks of its series differ from it by a tilt only: they show more of the same image.
        number_step: the step in which the scanner numbered the pictures of its series; 1: none is left out.
    """

    label: str
    study: str
    patient: str
    frames: tuple[Frame, ...]
    references: tuple[str, ...] = ()
    stacks: int = 1
    tilted: int = 0
    number_step: int = 1

    @property
    def name(self) -> str:
        """Return how messages call it."""
        return f"series {self.label}"

    @property
    def header(self) -> SequenceHeader:
        return self.frames[0].header


def check_one_patient(instances: Sequence[Instance]) -> None:
    """Refuse one SeriesInstanceUID that is used for several patients or studies.

    Raises:
        InputError: ``input.mixed_series``, without saying which patients.
    """
    patients, studies = {item.patient for item in instances}, {item.study for item in instances}
    if len(patients) > 1 or len(studies) > 1:
        raise mixed(f"series {instances[0].series}", f"{len(patients)} patients in {len(studies)} studies")


def mixed(where: str, got: str) -> InputError:
    """Return the error for pictures that carry one series' number but do not belong together."""
    return InputError(
        "pictures of different origin carry one series' number",
        where=where,
        expected="one patient, one study, one frame of reference",
        got=got,
        cure="export the study again, or take out what does not belong to it",
        code="input.mixed_series",
    )


def divide(number: int, instances: Sequence[Instance]) -> list[Series]:
    """Return the stacks of one series, the one with most pictures first.

    Args:
        number: of the series in order found, from 1.
        instances: its objects, in any order; the result does not depend on it.
    """
    ordered = sorted(
        instances, key=lambda item: (item.sop, str(item.frames[0].place.path), item.frames[0].place.member)
    )
    by_kind: dict[object, list[Frame]] = defaultdict(list)
    for instance in ordered:
        for frame in instance.frames:
            by_kind[frame.kind, frame.pixels.rows, frame.pixels.columns].append(frame)
    stacks = [stack for frames in by_kind.values() for stack in _by_geometry(frames)]
    stacks.sort(key=lambda stack: -len(stack))
    step = _number_step([frame for stack in stacks for frame in stack])
    references = tuple(sorted({item.frame_of_reference for item in ordered if item.frame_of_reference is not None}))
    return [
        Series(
            label=str(number) if len(stacks) == 1 else f"{number}.{part}",
            study=ordered[0].study,
            patient=ordered[0].patient,
            frames=tuple(stack),
            references=references,
            stacks=len(stacks),
            tilted=sum(_differ_by_tilt(stack[0], other[0]) for other in stacks),
            number_step=step,
        )
        for part, stack in enumerate(stacks, start=1)
    ]


def _by_geometry(frames: Iterable[Frame]) -> list[list[Frame]]:
    stacks: list[list[Frame]] = []
    for frame in frames:
        for stack in stacks:
            if _alike(stack[0], frame):
                stack.append(frame)
                break
        else:
            stacks.append([frame])
    return stacks


def _differ_by_tilt(one: Frame, two: Frame) -> bool:
    """Return whether two pictures are of one kind, in planes that are not parallel and not across one another."""
    if one.kind != two.kind or one.orientation is None or two.orientation is None or _alike(one, two):
        return False
    normals = [np.cross(frame.orientation[:3], frame.orientation[3:]) for frame in (one, two) if frame.orientation]
    return bool(abs(float(normals[0] @ normals[1])) > np.cos(np.radians(TILT_DEGREES)))


def _number_step(frames: Sequence[Frame]) -> int:
    """Return the largest number by which all of the scanner's numbers differ: 2 where every second one is missing.

    Numbers of all stacks count, since those of two echoes may take turns.
    """
    numbers = sorted({frame.sequence_number for frame in frames if frame.sequence_number is not None})
    if len(numbers) < _FEWEST_NUMBERS:
        return 1
    return math.gcd(*(after - before for before, after in pairwise(numbers)))


def _alike(one: Frame, two: Frame) -> bool:
    """Return whether two pictures lie in parallel planes, with pixels of one size."""
    return _near(one.orientation, two.orientation, ORIENTATION_TOLERANCE) and _near(
        one.spacing_mm, two.spacing_mm, SPACING_TOLERANCE
    )


def _near(one: tuple[float, ...] | None, two: tuple[float, ...] | None, tolerance: float) -> bool:
    if one is None or two is None:
        return one is two
    return bool(np.allclose(one, two, rtol=0, atol=tolerance))
