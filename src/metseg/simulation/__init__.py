"""A brain phantom with metastases: four sequences with exact ground truth, from a seed, without downloads."""

from metseg.simulation.difficulty import CHALLENGES, Difficulty, Stack, difficulty_level
from metseg.simulation.examination import simulate_examination
from metseg.simulation.lesions.lesion_truth import LesionTruth, lesion_truth
from metseg.simulation.lesions.progression import EVENTS, Examination, describe_examination
from metseg.simulation.options import (
    SEQUENCES,
    BmsrOptions,
    CourseOptions,
    NiftiOptions,
    OutputOptions,
    PhantomOptions,
    SliceOptions,
)
from metseg.simulation.output.dataset import simulate_dataset
from metseg.simulation.output.naming import NAMINGS
from metseg.simulation.patient import Patient, SimulatedLesion, describe_patient
from metseg.simulation.phantom import SimulatedPatient, simulate_patient

__all__ = [
    "CHALLENGES",
    "EVENTS",
    "NAMINGS",
    "SEQUENCES",
    "BmsrOptions",
    "CourseOptions",
    "Difficulty",
    "Examination",
    "LesionTruth",
    "NiftiOptions",
    "OutputOptions",
    "Patient",
    "PhantomOptions",
    "SimulatedLesion",
    "SimulatedPatient",
    "SliceOptions",
    "Stack",
    "describe_examination",
    "describe_patient",
    "difficulty_level",
    "lesion_truth",
    "simulate_dataset",
    "simulate_examination",
    "simulate_patient",
]
