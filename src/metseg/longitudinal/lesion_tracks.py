"""Identities of lesions over all examinations: one track per lesion, with what happened to it at each examination."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from metseg.follow_up_document import Event
from metseg.geometry import Affine
from metseg.longitudinal.correspondence import DEFAULT_RULES, MatchingRules, PlacedLesion, assign, match_lesions
from metseg.longitudinal.measured_lesion import MeasuredLesion


@dataclass(frozen=True)
class LesionState:
    """A lesion at one examination.

    Args:
        timepoint: position of the examination, from 0.
        event: what happened to it.
        lesion: as measured; None if it is not there.
        related: identity of the lesion that it is a piece of, or has become part of.
    """

    timepoint: int
    event: Event
    lesion: MeasuredLesion | None = None
    related: int | None = None


@dataclass
class LesionTrack:
    """One lesion over time.

    Args:
        identity: 1..N: those of the first examination, largest first, then later ones in the order of appearance.
        states: one per examination from the one at which it was first seen.
        placed: as it was last seen.
    """

    identity: int
    states: list[LesionState]
    placed: PlacedLesion = field(repr=False)

    def at(self, timepoint: int) -> LesionState | None:
        """Return the state at an examination; None before it was first seen."""
        place = timepoint - self.states[0].timepoint
        return self.states[place] if 0 <= place < len(self.states) else None

    def lesion_at(self, timepoint: int) -> MeasuredLesion | None:
        state = self.at(timepoint)
        return None if state is None else state.lesion


def track_lesions(
    lesions: Sequence[Sequence[MeasuredLesion]],
    to_first_mm: Sequence[Affine],
    rules: MatchingRules = DEFAULT_RULES,
) -> tuple[LesionTrack, ...]:
    """Give the lesions of all examinations stable identities.

    The lesions of an examination are matched first with those of the one before. Those that are left are then matched
    with lesions that were seen earlier and had vanished or merged, so that an identity survives a gap.

    Args:
        lesions: of each examination, largest first.
        to_first_mm: (4, 4) of each examination, from its points to the same tissue in the first one.
        rules: limits of the match.
    """
    tracks: list[LesionTrack] = []
    for timepoint, (found, matrix) in enumerate(zip(lesions, to_first_mm, strict=True)):
        placed = [PlacedLesion.of(lesion, matrix) for lesion in found]
        if timepoint == 0:
            tracks = [_track(number, 0, "first", one) for number, one in enumerate(placed, start=1)]
        else:
            _continue(tracks, placed, timepoint, rules)
    return tuple(tracks)


def _track(
    identity: int, timepoint: int, event: Event, placed: PlacedLesion, related: int | None = None
) -> LesionTrack:
    return LesionTrack(identity, [LesionState(timepoint, event, placed.lesion, related)], placed)


def _continue(tracks: list[LesionTrack], placed: list[PlacedLesion], timepoint: int, rules: MatchingRules) -> None:
    """Add an examination to the tracks."""
    present = [track for track in tracks if track.states[-1].lesion is not None]
    gone = [track for track in tracks if track.states[-1].lesion is None]
    matches = match_lesions([track.placed for track in present], placed, rules)
    identity_of = {later: present[earlier].identity for earlier, later in matches.pairs.items()}
    left = [place for place in range(len(placed)) if place not in identity_of]
    returned = assign([track.placed for track in gone], [placed[place] for place in left], rules)
    for earlier, later in matches.pairs.items():
        _see(present[earlier], timepoint, "continued", placed[later])
    for earlier, place in returned.items():
        _see(gone[earlier], timepoint, "returned", placed[left[place]])
        identity_of[left[place]] = gone[earlier].identity
    for earlier, track in enumerate(present):
        if earlier not in matches.pairs:
            host = matches.merged_into.get(earlier)
            event: Event = "vanished" if host is None else "merged"
            track.states.append(LesionState(timepoint, event, None, None if host is None else identity_of[host]))
    for earlier, track in enumerate(gone):
        if earlier not in returned:
            last = track.states[-1]
            track.states.append(
                LesionState(timepoint, "merged" if last.event == "merged" else "absent", None, last.related)
            )
    for place in left:
        if place not in identity_of:
            parent = matches.split_from.get(place)
            related = None if parent is None else present[parent].identity
            tracks.append(
                _track(len(tracks) + 1, timepoint, "new" if parent is None else "split", placed[place], related)
            )


def _see(track: LesionTrack, timepoint: int, event: Event, placed: PlacedLesion) -> None:
    track.states.append(LesionState(timepoint, event, placed.lesion))
    track.placed = placed


def pieces_at(tracks: Sequence[LesionTrack], identity: int, timepoint: int) -> frozenset[int]:
    """Return the identities that a lesion consists of at an examination.

    It is itself, or the lesion that it was merged into, and every piece that was split from it; empty if nothing of it
    is left.
    """
    by_identity = {track.identity: track for track in tracks}
    found: set[int] = set()
    seen, open_ends = {identity}, [identity]
    while open_ends:  # not by recursion: a piece may be merged into the lesion that it came from
        current = open_ends.pop()
        state = by_identity[current].at(timepoint)
        if state is None:
            continue
        if state.lesion is not None:
            found.add(current)
        hosts = [state.related] if state.event == "merged" and state.related is not None else []
        fresh = {*hosts, *_pieces_of(tracks, current)} - seen
        seen |= fresh
        open_ends += sorted(fresh)
    return frozenset(found)


def _pieces_of(tracks: Sequence[LesionTrack], identity: int) -> list[int]:
    """Return the lesions that began as pieces of a lesion."""
    firsts = ((track.identity, track.states[0]) for track in tracks)
    return [other for other, state in firsts if state.event == "split" and state.related == identity]
