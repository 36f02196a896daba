"""Read a finished study, or a corrected version of it, as an examination to follow."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final

import numpy as np

from metseg.io.volumes.nifti import read_mask_nifti, read_volume
from metseg.labels import LABEL_SCHEMES, check_labels
from metseg.longitudinal.timepoint import Timepoint, registered_sequence, without_positions
from metseg.registry import lookup
from metseg.schemas import Facts
from metseg.serve.http.problem_details import Refused
from metseg.volume import Volume

_MASK: Final = "mask.nii.gz"


@dataclass(frozen=True)
class ExaminationFiles:
    """The stored results of an examination.

    Args:
        artifacts: folder of the study's results.
        mask_folder: folder of the version's mask; that of the study's results for version 0.
        facts: of the study.
        version: that is followed; 0: the result of the model.
        patient_hash: of its patient id; None: not known.
    """

    artifacts: Path
    mask_folder: Path
    facts: Facts
    version: int
    patient_hash: str | None = None


def read_examination(files: ExaminationFiles, name: str, day: date | None, patient: str = "") -> Timepoint:
    """Return an examination with its mask and the image to register.

    Args:
        files: its stored results.
        name: of the examination.
        day: its date; None: not known.
        patient: name of its patient in the document; empty: not known.

    Raises:
        GeometryError: ``input.no_affine``, pictures without a position in space.
        Refused: ``request.results_missing``, the mask is missing, or its label scheme is not known.
    """
    facts = files.facts
    if facts.affine is None or facts.slices:
        raise without_positions(name)
    mask = files.mask_folder / _MASK
    if facts.scheme is None or not mask.is_file():
        raise Refused(
            "request.results_missing",
            "the study cannot be followed, because results are missing",
            where=name,
            expected=_MASK,
            got="no label scheme" if facts.scheme is None else f"no {_MASK}",
            cure="upload the study again, and follow that one",
        )
    stored = read_mask_nifti(mask)
    values = check_labels(stored.data, lookup("label scheme", LABEL_SCHEMES, facts.scheme), where=_MASK)
    sequence = registered_sequence(facts.sequences or filter(None, [facts.reference]))
    image = _image(files, sequence)
    return Timepoint(
        name=name,
        labels=Volume(values, stored.affine),
        scheme=facts.scheme,
        image=image,
        sequence="" if image is None or sequence is None else sequence,
        day=day,
        source=_source(files),
        patient=patient,
    )


def _image(files: ExaminationFiles, sequence: str | None) -> Volume | None:
    """Return the stored image of a sequence; None if there is none."""
    if sequence is None:
        return None
    is_reference = sequence == files.facts.reference
    path = files.artifacts / ("image.nii.gz" if is_reference else f"sequence-{sequence}.nii.gz")
    if not path.is_file():
        return None
    image, _ = read_volume(path)
    return Volume(np.asarray(image.data, dtype=np.float32), image.affine)


def _source(files: ExaminationFiles) -> str:
    """Return what made the mask: the model, and the version if it was corrected."""
    model = files.facts.model or "a model"
    return f"{model}, corrected (version {files.version})" if files.version else model
