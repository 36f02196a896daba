"""Write the brain mask of one image, for ``metseg extract-brain``."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from metseg.errors import InputError, UsageError
from metseg.inference.brain.brain_extraction import ORDER, POSSIBLE_ML, Brain, extract_brain
from metseg.inference.outputs.volume_outputs import write_nifti
from metseg.io.volumes.nifti import read_volume
from metseg.measure import mask_volume_ml
from metseg.message_text import pluralize
from metseg.preprocess.head_mask import head_mask, without_holes
from metseg.preprocess.steps.brain_mask import show_brains_only
from metseg.recipe import DataPart
from metseg.volume import Volume


def extract_brain_of_file(path: Path, out: Path, *, method: str = "network", device: str = "auto") -> Brain:
    """Write the brain mask of one image, uint8 0 and 1 on its own grid, and return it.

    Args:
        path: a NIfTI file, or a folder with one DICOM study; its T1c is used, else T1, T2 or FLAIR.
        out: the ``.nii.gz`` to write.
        method: a name in `METHODS`.
        device: such as ``auto``, ``cpu``, ``cuda``.
    Raises:
        UsageError: a mask of another ending, or on the place of the image.
        InputError: the image cannot be read, or ``input.brain_mask``: it shows no brain.
    """
    if not out.name.endswith(".nii.gz") or out.resolve() == path.resolve():
        raise UsageError(
            "the mask cannot be written there",
            where=out,
            expected="a new file that ends in .nii.gz",
            cure="choose another --out",
            code="usage.path",
        )
    image = _read_head(path)
    stripped = image.affine is not None and show_brains_only(image.data[None], image.affine)
    brain = _tissue(image) if stripped else extract_brain(image, method=method, device=device)
    if not brain.is_possible:
        raise InputError(
            "no brain was found in the image",
            where=path,
            expected=f"{POSSIBLE_ML[0]:.0f} to {POSSIBLE_ML[1]:.0f} mL of brain",
            got=f"{brain.volume_ml:.0f} mL",
            cure="check that the image shows a head",
            code="input.brain_mask",
        )
    write_nifti(brain.mask.astype(np.uint8), image.affine, out)
    return brain


def _tissue(image: Volume) -> Brain:
    """Return where an image without skull differs from its background: the network would cut its rim off."""
    assert image.affine is not None
    mask = without_holes(head_mask(image.data[None]))
    note = "the image shows no skull: everything that differs from its background was taken as the brain"
    return Brain(mask, mask_volume_ml(mask, image.affine), (note,))


def _read_head(path: Path) -> Volume:
    """Return the image of a NIfTI file, or the one of a DICOM study that shows the brain best."""
    if path.is_file():
        return read_volume(path)[0]
    if not path.exists():
        raise InputError("no such file or folder", where=path, cure="check the path", code="input.missing")
    from metseg.io.layouts.dicom_study import studies_asked_for  # pydicom only where there is DICOM

    studies = studies_asked_for(path, DataPart())
    if len(studies) != 1:
        raise InputError(
            "the folder does not hold exactly one DICOM study",
            where=path,
            expected="a NIfTI file, or a folder with one DICOM study",
            got=pluralize(len(studies), "study", "studies"),
            cure="give a NIfTI file, or the folder of one study",
            code="input.several_cases",
        )
    images = studies[0].load().images
    return images[next((name for name in ORDER if name in images), next(iter(images)))]
