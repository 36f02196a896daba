"""Identities of lesions that stay, grow, appear, vanish, return, split and merge."""

from __future__ import annotations

import numpy as np
import pytest

from metseg.longitudinal.correspondence import PlacedLesion, match_lesions
from metseg.longitudinal.lesion_tracks import LesionTrack, pieces_at, track_lesions
from metseg.longitudinal.measured_lesion import measure_lesions
from metseg.longitudinal.timepoint import Timepoint

from .conftest import Draw

A, B, C = (20.0, 20.0, 20.0), (50.0, 50.0, 30.0), (60.0, 20.0, 40.0)


def tracks_of(*timepoints: Timepoint) -> tuple[LesionTrack, ...]:
    return track_lesions([measure_lesions(one) for one in timepoints], [np.eye(4)] * len(timepoints))


def events(track: LesionTrack) -> list[str]:
    return [state.event for state in track.states]


def test_lesions_keep_their_identity_while_they_grow_shrink_and_change_rank(draw: Draw) -> None:
    tracks = tracks_of(draw((A, 6), (B, 4)), draw((A, 3), (B, 7)), draw((A, 2), (B, 9)))
    assert [track.identity for track in tracks] == [1, 2]
    assert [events(track) for track in tracks] == [["first", "continued", "continued"]] * 2
    assert np.allclose(tracks[0].states[2].lesion.centre_mm, A)  # type: ignore[union-attr]
    assert np.allclose(tracks[1].states[2].lesion.centre_mm, B)  # type: ignore[union-attr]


def test_new_and_vanished_lesions(draw: Draw) -> None:
    tracks = tracks_of(draw((A, 5), (B, 4)), draw((A, 5), (C, 3)))
    assert [events(track) for track in tracks] == [["first", "continued"], ["first", "vanished"], ["new"]]


def test_an_identity_survives_a_gap(draw: Draw) -> None:
    tracks = tracks_of(draw((A, 5), (B, 3)), draw((A, 5)), draw((A, 5), (B, 3)))
    assert events(tracks[1]) == ["first", "vanished", "returned"]
    assert len(tracks) == 2


def test_a_lesion_that_breaks_apart_has_pieces(draw: Draw) -> None:
    before = draw((A, 5), ((29.0, 20.0, 20.0), 5))  # one connected lesion
    after = draw(((18.0, 20.0, 20.0), 4), ((31.0, 20.0, 20.0), 3))
    tracks = tracks_of(before, after)
    assert [events(track) for track in tracks] == [["first", "continued"], ["split"]]
    assert tracks[1].states[0].related == 1
    assert pieces_at(tracks, 1, 1) == {1, 2}


def test_lesions_that_grow_together_merge(draw: Draw) -> None:
    before = draw(((18.0, 20.0, 20.0), 5), ((31.0, 20.0, 20.0), 4))
    after = draw(((18.0, 20.0, 20.0), 7), ((31.0, 20.0, 20.0), 7))
    tracks = tracks_of(before, after)
    assert [events(track) for track in tracks] == [["first", "continued"], ["first", "merged"]]
    assert tracks[1].states[1].related == 1
    assert pieces_at(tracks, 2, 1) == {1}


def test_a_piece_that_merges_back_does_not_loop(draw: Draw) -> None:
    whole = draw((A, 5), ((29.0, 20.0, 20.0), 5))
    apart = draw(((18.0, 20.0, 20.0), 4), ((31.0, 20.0, 20.0), 3))
    again = draw((A, 5), ((29.0, 20.0, 20.0), 5))
    tracks = tracks_of(whole, apart, again)
    assert [events(track) for track in tracks] == [["first", "continued", "continued"], ["split", "merged"]]
    assert pieces_at(tracks, 1, 2) == {1}


def test_a_satellite_beside_a_lesion_is_new_and_no_piece(draw: Draw) -> None:
    tracks = tracks_of(draw((A, 6)), draw((A, 6), ((30.5, 20.0, 20.0), 2.5)))
    assert events(tracks[1]) == ["new"]


def test_small_lesions_are_matched_by_distance_and_large_ones_are_not(draw: Draw) -> None:
    small = tracks_of(draw((A, 1.5)), draw(((23.9, 20.0, 20.0), 1.0)))
    assert events(small[0]) == ["first", "continued"]
    far = tracks_of(draw((A, 1.5)), draw(((27.0, 20.0, 20.0), 1.0)))
    assert [events(track) for track in far] == [["first", "vanished"], ["new"]]


def test_the_assignment_is_global(draw: Draw) -> None:
    """Of these in a row the middle two are nearest; matched first, they would leave the outer ones alone."""
    row = [20.0, 24.0], [22.4, 26.0]
    earlier, later = (
        [
            PlacedLesion.of(lesion, np.eye(4))
            for at in places
            for lesion in measure_lesions(draw(((at, 20.0, 20.0), 1.0)))
        ]
        for places in row
    )
    assert match_lesions(earlier, later).pairs == {0: 0, 1: 1}


def test_a_known_transform_is_undone(draw: Draw) -> None:
    before, after = measure_lesions(draw((A, 5))), measure_lesions(draw(((30.0, 20.0, 20.0), 5)))
    matrix = np.eye(4)
    matrix[0, 3] = -10.0
    tracks = track_lesions([before, after], [np.eye(4), matrix])
    assert events(tracks[0]) == ["first", "continued"]
    assert len(track_lesions([before, after], [np.eye(4), np.eye(4)])) == 2


@pytest.mark.parametrize("counts", [(0, 2), (2, 0), (0, 0)])
def test_examinations_without_lesions(draw: Draw, counts: tuple[int, int]) -> None:
    spheres = ((A, 4.0), (B, 4.0))
    tracks = tracks_of(*(draw(*spheres[:count]) for count in counts))
    assert len(tracks) == max(counts)
