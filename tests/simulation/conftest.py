"""Patients that several tests look at; coarse, so that they take a second."""

from __future__ import annotations

import pytest

from metseg.simulation import PhantomOptions, SimulatedPatient, describe_patient, simulate_patient

#: Many lesions, and large enough for rings at the coarse voxels of the tests.
MANY = PhantomOptions(
    resolution_mm=2.5, lesions_min=7, lesions_max=9, diameter_median_mm=13.0, diameter_min_mm=6.0, diameter_log_std=0.4
)


@pytest.fixture(scope="session")
def options() -> PhantomOptions:
    return MANY


@pytest.fixture(scope="session")
def simulated(options: PhantomOptions) -> SimulatedPatient:
    """Return the first patient of seed 5 that has a ring and oedema."""
    for index in range(20):
        lesions = describe_patient(5, index, options).lesions
        if sum(lesion.is_ring for lesion in lesions) >= 2 and any(lesion.oedema_mm > 8 for lesion in lesions):
            return simulate_patient(5, index, options)
    raise AssertionError("twenty patients without a ring lesion")
