"""Measures of a patient's response at each examination, for the tables of rules in `rano_bm`."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property

from metseg.longitudinal.lesion_tracks import LesionTrack, pieces_at
from metseg.longitudinal.measured_lesion import MeasuredLesion
from metseg.longitudinal.rano_bm import (
    NEW_LESION_PLANES,
    NON_TARGET_MM,
    NON_TARGET_PERCENT,
    TARGET_CRITERIA,
    TargetCriteria,
)
from metseg.longitudinal.repeatability import Repeatability
from metseg.longitudinal.response_rules import Value, at_least, at_most
from metseg.longitudinal.size_change import size_change


def is_measurable(lesion: MeasuredLesion, criteria: TargetCriteria = TARGET_CRITERIA) -> bool:
    """Return whether a lesion can be a target."""
    return (
        at_least(lesion.longest_axial_mm, criteria.longest_mm)
        and at_least(lesion.perpendicular_axial_mm, criteria.perpendicular_mm)
        and lesion.axial_slices >= criteria.slices
        and at_most(lesion.slice_thickness_mm, criteria.slice_mm)
    )


def choose_targets(tracks: Sequence[LesionTrack], criteria: TargetCriteria = TARGET_CRITERIA) -> tuple[int, ...]:
    """Return the identities of the target lesions, the longest at the baseline first."""
    found = [(track.identity, lesion) for track in tracks if (lesion := track.lesion_at(0)) is not None]
    measurable = [(identity, lesion) for identity, lesion in found if is_measurable(lesion, criteria)]
    measurable.sort(key=lambda one: (-one[1].longest_axial_mm, one[0]))
    return tuple(identity for identity, _ in measurable[: criteria.most])


@dataclass(frozen=True)
class ResponseMeasures:
    """Measures of a patient over time.

    Args:
        tracks: all lesions.
        outline: repeatability of the outlines.
    """

    tracks: tuple[LesionTrack, ...]
    outline: Repeatability

    @cached_property
    def targets(self) -> tuple[int, ...]:
        return choose_targets(self.tracks)

    def target_lesions(self, timepoint: int) -> list[MeasuredLesion]:
        """Return what the targets consist of at an examination; merged targets count once, pieces each."""
        return self._lesions(self.targets, timepoint)

    def sum_mm(self, timepoint: int) -> float:
        """Return the sum of the longest diameters of the targets."""
        return self._length_mm(self.targets, timepoint)

    def sum_ml(self, timepoint: int) -> float:
        """Return the sum of the volumes of the targets."""
        return sum(lesion.volume_ml for lesion in self.target_lesions(timepoint))

    def new_lesions(self, timepoint: int, *, equivocal: bool = False) -> tuple[int, ...]:
        """Return the lesions that count as new at an examination, each once.

        A lesion that is too small to count when it is first seen counts when it first is large enough.

        Args:
            timepoint: position of the examination.
            equivocal: whether to return those first seen that are too small to count instead.
        """
        return tuple(
            track.identity
            for track in self.tracks
            if track.states[0].event == "new" and timepoint == _became_new(track, equivocal=equivocal)
        )

    def grown_non_targets(self, timepoint: int) -> tuple[int, ...]:
        """Return the lesions that are no targets and grew unequivocally since they were smallest.

        Lesions that merged, and pieces of a lesion, are one: the sum of their diameters counts. Lesions that merged
        with a target count there.
        """
        others = [track.identity for track in self.tracks if track.identity not in self.targets]
        of_targets = self._pieces(self.targets, timepoint)
        grown: set[int] = set()
        for group in self._together(others, timepoint):
            pieces = self._pieces(group, timepoint)
            before = [length for at in range(timepoint) if (length := self._whole_length_mm(group, at)) is not None]
            if pieces & of_targets or not pieces or not before:
                continue
            now = self._length_mm(group, timepoint)
            if at_least(now - min(before), NON_TARGET_MM) and at_least(_percent(min(before), now), NON_TARGET_PERCENT):
                grown |= pieces
        return tuple(sorted(grown))

    def values(self, timepoint: int, *, after_complete_response: bool) -> dict[str, Value]:
        """Return the measures of the images at an examination after the first.

        Args:
            timepoint: position of the examination.
            after_complete_response: whether an earlier examination was a complete response.
        """
        returned = [track for track in self.tracks if (state := track.at(timepoint)) and state.event == "returned"]
        return {
            "baseline_lesions": float(sum(track.lesion_at(0) is not None for track in self.tracks)),
            "targets": float(len(self.targets)),
            "lesions_left": float(sum(track.lesion_at(timepoint) is not None for track in self.tracks)),
            "new_lesions": float(len(self.new_lesions(timepoint))),
            "grown_non_targets": float(len(self.grown_non_targets(timepoint))),
            "returned_after_complete_response": float(len(returned)) if after_complete_response else 0.0,
            "largest_target_increase_mm": self._largest_increase_mm(timepoint),
            "volume_increase_exceeds_error": float(self._exceeds_error(timepoint)),
            **self._relative("diameters", [self.sum_mm(at) for at in range(timepoint + 1)]),
            **self._relative("volumes", [self.sum_ml(at) for at in range(timepoint + 1)]),
        }

    def _relative(self, name: str, sums: Sequence[float]) -> dict[str, Value]:
        """Return the change of the last sum from the first one and from the smallest before it, in percent."""
        if not self.targets:
            return {f"{name}_from_baseline_percent": None, f"{name}_from_nadir_percent": None}
        return {
            f"{name}_from_baseline_percent": _percent(sums[0], sums[-1]),
            f"{name}_from_nadir_percent": _percent(min(sums[:-1]), sums[-1]),
        }

    def _largest_increase_mm(self, timepoint: int) -> float | None:
        """Return by how much the target that grew most exceeds its smallest diameter; merged targets are one."""
        lengths = [
            [self._length_mm(group, at) for at in range(timepoint + 1)]
            for group in self._together(self.targets, timepoint)
        ]
        return max((each[-1] - min(each[:-1]) for each in lengths), default=None)

    def _together(self, identities: Sequence[int], timepoint: int) -> list[set[int]]:
        """Return lesions in groups: those that share a lesion at an examination are one group."""
        groups: list[tuple[set[int], frozenset[int]]] = []
        for identity in identities:
            members, pieces = {identity}, pieces_at(self.tracks, identity, timepoint)
            joined = [group for group in groups if group[1] & pieces]
            groups = [group for group in groups if group not in joined]
            for others, shared in joined:
                members, pieces = members | others, pieces | shared
            groups.append((members, pieces))
        return [members for members, _ in groups]

    def _pieces(self, lesions: Collection[int], timepoint: int) -> frozenset[int]:
        """Return the identities that some lesions consist of at an examination."""
        return frozenset[int]().union(*(pieces_at(self.tracks, one, timepoint) for one in lesions))

    def _lesions(self, lesions: Collection[int], timepoint: int) -> list[MeasuredLesion]:
        """Return all pieces of some lesions at an examination, each once."""
        pieces = self._pieces(lesions, timepoint)
        return [lesion for track in self.tracks if track.identity in pieces and (lesion := track.lesion_at(timepoint))]

    def _length_mm(self, lesions: Collection[int], timepoint: int) -> float:
        """Return the sum of the diameters of all pieces of some lesions, each counted once."""
        return sum(lesion.longest_axial_mm for lesion in self._lesions(lesions, timepoint))

    def _whole_length_mm(self, lesions: set[int], timepoint: int) -> float | None:
        """Return `_length_mm`, or None if one of the lesions was not visible, unless it is a piece of another one."""
        pieces = self._pieces(lesions, timepoint)
        roots = [track for track in self.tracks if track.identity in lesions and track.states[0].event != "split"]
        is_whole = pieces and all(pieces_at(self.tracks, track.identity, timepoint) for track in roots)
        return self._length_mm(lesions, timepoint) if is_whole else None

    def _exceeds_error(self, timepoint: int) -> bool:
        """Return whether the sum of volumes grew from its nadir by more than the error of measurement."""
        nadir = min(range(timepoint), key=self.sum_ml)
        before, after = self.target_lesions(nadir), self.target_lesions(timepoint)
        if not before or not after:
            return bool(after)
        return size_change(before, after, self.outline).volume == "larger"


def _percent(before: float, after: float) -> float:
    if before > 0:
        return 100 * (after - before) / before
    return math.inf if after > 0 else 0.0


def _became_new(track: LesionTrack, *, equivocal: bool) -> int | None:
    """Return the first examination at which a lesion was large enough to count as new; None: at none.

    With ``equivocal``, return that at which it was first seen if it was too small then, else None.
    """
    seen = [(state.timepoint, state.lesion) for state in track.states if state.lesion is not None]
    large = [place for place, lesion in seen if lesion.planes_seen >= NEW_LESION_PLANES]
    if equivocal:
        return seen[0][0] if seen[0][0] not in large else None
    return large[0] if large else None
