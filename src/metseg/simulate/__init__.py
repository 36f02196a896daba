"""A brain phantom with metastases: four sequences with exact truth, from a seed and nothing to download."""

from metseg.simulate.challenge import CHALLENGES, Challenge, Stack, challenge_level
from metseg.simulate.course import EVENTS, Examination, describe_examination
from metseg.simulate.dataset import simulate_dataset
from metseg.simulate.examination import simulate_examination
from metseg.simulate.naming import NAMINGS
from metseg.simulate.options import (
    SEQUENCES,
    BmsrOptions,
    CourseOptions,
    NiftiOptions,
    OutputOptions,
    PhantomOptions,
    SliceOptions,
)
from metseg.simulate.patient import Lesion, Patient, describe_patient
from metseg.simulate.phantom import SimulatedPatient, simulate_patient
from metseg.simulate.truth import LesionTruth, lesion_truth

__all__ = [
    "CHALLENGES",
    "EVENTS",
    "NAMINGS",
    "SEQUENCES",
    "BmsrOptions",
    "Challenge",
    "CourseOptions",
    "Examination",
    "Lesion",
    "LesionTruth",
    "NiftiOptions",
    "OutputOptions",
    "Patient",
    "PhantomOptions",
    "SimulatedPatient",
    "SliceOptions",
    "Stack",
    "challenge_level",
    "describe_examination",
    "describe_patient",
    "lesion_truth",
    "simulate_dataset",
    "simulate_examination",
    "simulate_patient",
]
