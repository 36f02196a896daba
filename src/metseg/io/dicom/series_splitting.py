"""Divide the pictures of a series into stacks.

One SeriesInstanceUID may hold several: the images of a Dixon sequence, echoes, b-values, time points, the three planes
of a localiser. Images are in one stack if they agree in image type, echo time, b-value, temporal position, matrix,
orientation and pixel size. No other field divides them, so that two images at one position are detected.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import count, pairwise

import numpy as np

from metseg.errors import InputError
from metseg.io.dicom.header import SequenceHeader
from metseg.io.dicom.instance_reader import Frame, Instance
from metseg.io.dicom.series_description import technical_words

#: How far direction cosines may differ in one stack; a thousandth moves the edge of a head by a tenth of a millimetre.
ORIENTATION_TOLERANCE = 1e-3
SPACING_TOLERANCE = 1e-3
#: Stacks with planes at a smaller angle than this are parts of one image; those of a localiser are orthogonal.
TILT_DEGREES = 45.0
#: So many numbers at least tell a step.
_FEWEST_NUMBERS = 4

#: Files or pictures that cannot be used are set aside where they are at most this share of all; more are refused.
ODD_SHARE = 0.1


@dataclass(frozen=True)
class Series:
    """One stack of pictures: a whole series, or a part of it.

    Args:
        label: "3", the scanner's number of the series (SeriesNumber), or "3.2" for the second stack of that number.
        study: pseudonym.
        patient: pseudonym.
        frames: the pictures, in no meaningful order.
        references: pseudonyms of the frames of reference; more than one are refused when it is read.
        stacks: how many stacks carry its series' number.
        tilted: how many other stacks of its series differ from it by a tilt only: they show more of the same image.
        number_step: the step in which the scanner numbered the pictures of its series; 1: none is left out.
        source: pseudonym of the series that the stack is of.
    """

    label: str
    study: str
    patient: str
    frames: tuple[Frame, ...]
    references: tuple[str, ...] = ()
    stacks: int = 1
    tilted: int = 0
    number_step: int = 1
    source: str = ""

    @property
    def name(self) -> str:
        """Return how messages call it."""
        return f"series {self.label}"

    @property
    def title(self) -> str:
        """Return its name and what its description says, without what may name a patient."""
        words = technical_words(self.header.description)
        return f'{self.name} ("{words}")' if words else f"{self.name} (no description)"

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
        "images of different origin have the same series UID",
        where=where,
        expected="one patient, one study, one frame of reference",
        got=got,
        cure="export the study again, or remove the files that do not belong to it",
        code="input.mixed_series",
    )


def number_series(groups: Sequence[Sequence[Instance]]) -> tuple[Series, ...]:
    """Return the stacks of all series of a study, labelled with the numbers that the scanner gave.

    Stacks of one number are counted: 3.1, 3.2. Series without a number are counted on behind the largest.

    Args:
        groups: the objects of each series, in the order in which the series are shown.
    """
    numbers = [_series_number(group) for group in groups]
    following = count(max((number for number in numbers if number is not None), default=0) + 1)
    by_number: dict[int, list[Series]] = defaultdict(list)
    for number, group in zip(numbers, groups, strict=True):
        by_number[next(following) if number is None else number] += divide(group)
    return tuple(
        replace(stack, label=str(number) if len(stacks) == 1 else f"{number}.{part}", stacks=len(stacks))
        for number, stacks in by_number.items()
        for part, stack in enumerate(stacks, start=1)
    )


def _series_number(group: Sequence[Instance]) -> int | None:
    given = [item.series_number for item in group if item.series_number is not None and item.series_number > 0]
    return min(given, default=None)


def divide(instances: Sequence[Instance]) -> list[Series]:
    """Return the stacks of one series, the one with most pictures first; `number_series` labels them.

    Args:
        instances: its objects, in any order; the result does not depend on it.
    """
    ordered = sorted(
        instances, key=lambda item: (item.sop, str(item.frames[0].place.path), item.frames[0].place.member)
    )
    frames = [frame for instance in ordered for frame in instance.frames]
    placeless = sum(frame.position_mm is None for frame in frames)
    # A few pictures without a place among many (a screenshot, a damaged header) do not spoil the rest.
    apart = placeless <= ODD_SHARE * len(frames)
    by_kind: dict[object, list[Frame]] = defaultdict(list)
    for frame in frames:
        without_place = apart and frame.position_mm is None
        by_kind[frame.kind, frame.pixels.rows, frame.pixels.columns, without_place].append(frame)
    stacks = [stack for alike in by_kind.values() for stack in _by_geometry(alike)]
    stacks.sort(key=lambda stack: -len(stack))
    step = _number_step([frame for stack in stacks for frame in stack])
    references = tuple(sorted({item.frame_of_reference for item in ordered if item.frame_of_reference is not None}))
    return [
        Series(
            label="",
            study=ordered[0].study,
            patient=ordered[0].patient,
            frames=tuple(stack),
            references=references,
            tilted=sum(_differ_by_tilt(stack[0], other[0]) for other in stacks),
            number_step=step,
            source=ordered[0].series,
        )
        for stack in stacks
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
