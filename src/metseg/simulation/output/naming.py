"""Names of patients, examinations and files in data sets: a table of conventions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from string import ascii_uppercase

from metseg.errors import UsageError
from metseg.simulation.difficulty import Difficulty
from metseg.simulation.options import OutputOptions
from metseg.simulation.patient import patient_name

#: UCSF-BMSR numbers its patients from here.
FIRST_BMSR = 100101


@dataclass(frozen=True)
class Naming:
    """One convention.

    Args:
        patient: index of a patient, from 0, to its name.
        case: index and timepoint to the name of the examination, which its files begin with.
        folder: the same to the folder's name.
        folders: what its folders look like, as a glob pattern.
        examinations: how many of one patient it has names for.
        volumes: whether its images have a place in space.
    """

    patient: Callable[[int], str]
    case: Callable[[int, int], str]
    folder: Callable[[int, int], str]
    folders: str
    examinations: int
    volumes: bool = True


def _brats_case(index: int, timepoint: int) -> str:
    return f"{patient_name(index)}-{timepoint:03d}"


def _bmsr_case(index: int, timepoint: int) -> str:
    return f"{FIRST_BMSR + index}{ascii_uppercase[timepoint]}"


#: By the ``kind`` of the options of an output.
NAMINGS: Mapping[str, Naming] = {
    "nifti": Naming(patient_name, _brats_case, _brats_case, "BraTS-MET-*", 1000),
    "ucsf-bmsr": Naming(
        lambda index: str(FIRST_BMSR + index), _bmsr_case, _bmsr_case, "1" + "[0-9]" * 5 + "[A-Z]", len(ascii_uppercase)
    ),
    # One folder per patient: readers of pictures identify patients by folders.
    "slices": Naming(patient_name, _brats_case, lambda index, _: patient_name(index), "BraTS-MET-*", 1, volumes=False),
}


def folder_name(index: int, timepoint: int, output: OutputOptions) -> str:
    """Return the folder of an examination.

    >>> from metseg.simulation.options import BmsrOptions, NiftiOptions, SliceOptions
    >>> [folder_name(0, 0, output()) for output in (NiftiOptions, BmsrOptions, SliceOptions)]
    ['BraTS-MET-00001-000', '100101A', 'BraTS-MET-00001']
    >>> folder_name(4, 2, NiftiOptions()), folder_name(4, 2, BmsrOptions())
    ('BraTS-MET-00005-002', '100105C')
    """
    return NAMINGS[output.kind].folder(index, timepoint)


def check_output(output: OutputOptions, timepoints: int, challenge: Difficulty | None) -> None:
    """Refuse what the convention cannot hold.

    Raises:
        UsageError: several examinations, or sequences on grids of their own, as pictures; more examinations than the
            convention has names for.
    """
    naming = NAMINGS[output.kind]
    volumes = " or ".join(f"--as {kind}" for kind, other in NAMINGS.items() if other.volumes)
    if not naming.volumes and timepoints > 1:
        raise UsageError(
            "a folder of pictures can hold only one examination of each patient",
            got=f"--timepoints {timepoints}",
            cure=f"use {volumes}, or leave --timepoints out",
            code="usage.options",
        )
    if not naming.volumes and challenge is not None:
        raise UsageError(
            "--challenge puts each sequence on its own grid, but pictures need one grid for all sequences",
            cure=f"use {volumes}, or leave --challenge out",
            code="usage.options",
        )
    if timepoints > naming.examinations:
        raise UsageError(
            "too many examinations for this naming scheme",
            expected=f"at most {naming.examinations}",
            got=timepoints,
            cure="lower --timepoints" if output.kind == "nifti" else "lower --timepoints, or use --as nifti",
            code="usage.options",
        )
