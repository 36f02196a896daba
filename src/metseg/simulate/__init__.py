"""A brain phantom with metastases: four sequences with exact truth, from a seed and nothing to download."""

from metseg.simulate.dataset import simulate_dataset
from metseg.simulate.options import SEQUENCES, NiftiOptions, PhantomOptions, SliceOptions
from metseg.simulate.patient import Lesion, Patient, describe_patient
from metseg.simulate.phantom import SimulatedPatient, simulate_patient
from metseg.simulate.truth import LesionTruth, lesion_truth

__all__ = [
    "SEQUENCES",
    "Lesion",
    "LesionTruth",
    "NiftiOptions",
    "Patient",
    "PhantomOptions",
    "SimulatedPatient",
    "SliceOptions",
    "describe_patient",
    "lesion_truth",
    "simulate_dataset",
    "simulate_patient",
]
