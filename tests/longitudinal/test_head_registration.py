"""Registration of examinations with a known move, and the doubts about bad ones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from metseg.longitudinal.follow_up import follow_timepoints
from metseg.longitudinal.head_registration import register_timepoints
from metseg.longitudinal.timepoint import Timepoint
from metseg.simulation import CourseOptions, PhantomOptions, SimulatedPatient, simulate_examination
from metseg.volume import Volume

from .conftest import Draw

OPTIONS = PhantomOptions(resolution_mm=3.0, lesions_min=3, lesions_max=5, diameter_min_mm=6, diameter_median_mm=12)
COURSE = CourseOptions(shift_mm=3, tilt_deg=4)


def timepoint_of(simulated: SimulatedPatient) -> Timepoint:
    case = simulated.case
    assert case.labels is not None
    return Timepoint(case.case_id, case.labels, "brats-met-2023", case.images["t1c"], "t1c")


@pytest.fixture(scope="module")
def examinations() -> tuple[SimulatedPatient, SimulatedPatient]:
    first, second = (simulate_examination(11, 0, place, options=OPTIONS, course=COURSE) for place in (0, 1))
    return first, second


def test_a_known_move_is_found_to_a_fraction_of_a_voxel(
    examinations: tuple[SimulatedPatient, SimulatedPatient],
) -> None:
    _, found = register_timepoints([timepoint_of(one) for one in examinations])
    examination = examinations[1].examination
    assert examination is not None
    known = np.linalg.inv(examination.to_first_mm)
    points = np.array([[x, y, z, 1.0] for x in (-50, 0, 50) for y in (-60, 0, 60) for z in (0, 40)])
    error_mm = np.linalg.norm((points @ (found.to_later_mm - known).T)[:, :3], axis=1)
    assert error_mm.max() < 1.0
    assert np.linalg.norm((points @ (known - np.eye(4)).T)[:, :3], axis=1).max() > 3.0
    assert found.doubts == ()
    assert found.fit is not None
    assert found.fit.head_overlap > 0.95


def test_lesions_keep_the_identity_that_the_simulation_gave_them(
    examinations: tuple[SimulatedPatient, SimulatedPatient],
) -> None:
    """The lesions of the simulation keep their number for life; each track joins one number."""
    followed = follow_timepoints([timepoint_of(one) for one in examinations], "P")
    seen = []
    for track in followed.tracks:
        ids = [
            nearest_lesion(one, lesion.centre_mm)
            for place, one in enumerate(examinations)
            if (lesion := track.lesion_at(place)) is not None
        ]
        assert len(set(ids)) == 1
        seen.append(ids[0])
    assert len(seen) == len(set(seen))
    assert sum(len(track.states) == 2 and track.states[1].lesion is not None for track in followed.tracks) >= 2


def nearest_lesion(simulated: SimulatedPatient, centre_mm: np.ndarray) -> int:
    return min(simulated.lesions, key=lambda lesion: float(np.linalg.norm(lesion.centre_mm - centre_mm))).lesion_id


def test_noise_instead_of_a_head_is_doubtful_and_said_before_the_numbers(
    examinations: tuple[SimulatedPatient, SimulatedPatient],
) -> None:
    first, second = (timepoint_of(one) for one in examinations)
    assert second.image is not None
    noise = np.random.default_rng(0).random(second.image.shape, dtype=np.float32)
    wrong = replace(second, image=Volume(noise, second.image.affine))
    document = follow_timepoints([first, wrong], "P").document
    assert document.timepoints[1].registration.doubts
    assert any("doubtful" in doubt for doubt in document.doubts)


def test_without_images_positions_are_those_of_the_headers(draw: Draw) -> None:
    document = follow_timepoints(
        [draw(((20.0, 20.0, 20.0), 5.0), name="a"), draw(((20.0, 20.0, 20.0), 6.0), name="b")], "P"
    ).document
    assert document.timepoints[1].registration.mutual_information is None
    assert "positions are those of the headers" in document.doubts[0]
    assert [state.event for state in document.lesions[0].states] == ["first", "continued"]
