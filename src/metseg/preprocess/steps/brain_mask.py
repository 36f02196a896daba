"""Use the brain mask: later steps use the brain instead of the head.

The step uses the brain mask of the case. Where there is none and the images show a skull,
`metseg.inference.brain.brain_extraction` extracts the brain and adds its mask to the case before the steps run. A
network with this step was trained on brains: a head with skull and scalp and without a mask is rejected here, unless
the recipe states that its network was trained on heads.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Literal

import numpy as np

from metseg.errors import InputError
from metseg.geometry import Affine
from metseg.measure import LARGEST_BRAIN_ML, mask_volume_ml
from metseg.preprocess.head_mask import find_head, without_holes
from metseg.preprocess.prepared_case import Prepared, Record
from metseg.preprocess.step_text import Details
from metseg.recipe import Frozen
from metseg.volume import Array


class Options(Frozen):
    #: file: the mask that came with the case; nonzero: where an erased background ends; network: the first that there
    #: is of file, nonzero and the mask of the network `brain-extraction`; deepbet: likewise with that program (T1 and
    #: T1c only); best: as network where `otherwise` is refuse, else file or nonzero.
    source: Literal["best", "file", "nonzero", "network", "deepbet"] = "best"
    #: For a head with skull and scalp where the brain was not found. refuse: an error; head: take the whole head, with
    #: a warning, for a network that was trained on heads.
    otherwise: Literal["head", "refuse"] = "refuse"
    #: Set the images to 0 outside.
    zero_outside: bool = False


def apply(prepared: Prepared, options: Options) -> Prepared:
    """Return the case with the brain as its head.

    A mask of the case is used unchanged. Where the background of every image was erased, the brain is the region where
    any of them differs from it, with holes filled, unless that is larger than a brain (`LARGEST_BRAIN_ML`): then only
    the air around a head was erased. Part of a head without air cannot be distinguished from a brain; neither can a
    head in pictures, which have no voxel size.

    Raises:
        InputError: ``input.empty_brain_mask``; ``input.brain_mask``, a head with skull and ``otherwise = "refuse"``.
    """
    mask, source = _found(prepared, options)
    warnings = []
    if source == "head":
        if options.otherwise == "refuse":
            raise no_brain_mask(
                "the images show a head with skull; the network was trained on skull-stripped images",
                expected="skull-stripped images, or a brain mask",
            )
        warnings = ["brain_mask: no mask, and the images are not skull-stripped; the whole head is used as the region"]
    made = {} if prepared.brain_record is None or source in ("nonzero", "head") else asdict(prepared.brain_record)
    image = prepared.image
    if options.zero_outside:
        image = np.where(mask, image, np.zeros((), image.dtype))
    share = round(float(mask.mean()), 4)
    return prepared.after(
        Record("brain_mask", {**options.model_dump(mode="json"), **made, "found": source, "share": share}),
        image=image,
        head=mask,
        brain=None,
        brain_record=None,
        warnings=warnings,
    )


def no_brain_mask(what: str, *, expected: str, got: str | None = None, where: str | None = None) -> InputError:
    """Return the error for a head without a brain mask; ``input.brain_mask``."""
    return InputError(
        what,
        where=where,
        expected=expected,
        got=got,
        cure="give a brain mask (metseg predict: --modality brain_mask=FILE, or a NIfTI file named"
        " ..._brain_mask beside the images or the DICOM study), or skull-strip the images",
        code="input.brain_mask",
    )


def show_brains_only(image: Array, affine: Affine | None) -> bool:
    """Return whether images show a brain without skull: their background was erased, and they are no larger than one.

    Args:
        image: (C, X, Y, Z) as in `find_head`; constant images show no skull either.
        affine: of all of them; None: plain pictures, which have no voxel size.
    """
    head = find_head(image)
    if not head.mask.any():
        return True
    return head.erased and _may_be_a_brain(without_holes(head.mask), affine)


def _found(prepared: Prepared, options: Options) -> tuple[np.ndarray, str]:
    """Return the region and where it is from: file, nonzero, head, or the method that made the mask."""
    if prepared.brain is not None and options.source != "nonzero":
        if not prepared.brain.any():
            raise InputError(
                "the brain mask is empty", cure="give a mask that covers the brain", code="input.empty_brain_mask"
            )
        return prepared.brain, "file" if prepared.brain_record is None else prepared.brain_record.method
    head = find_head(prepared.image)
    if not head.mask.any():  # constant images show no skull either; that they are constant, others say
        return head.mask, "nonzero"
    if options.source != "file" and head.erased:
        brain = without_holes(head.mask)
        if _may_be_a_brain(brain, prepared.affine):
            return brain, "nonzero"
    return head.mask, "head"


def _may_be_a_brain(mask: np.ndarray, affine: Affine | None) -> bool:
    """Return whether a region is no larger than a brain; pictures do not tell."""
    return affine is None or mask_volume_ml(mask, affine) <= LARGEST_BRAIN_ML


def describe(record: Details) -> str:
    """Return what the step did, in a sentence for the report of a study."""
    found = {
        "file": "The brain mask that came with the study was used.",
        "nonzero": "The images came without skull and scalp; all non-zero voxels were taken as the brain.",
        "network": f"The brain was outlined in {record.get('sequence')} by the network brain-extraction, "
        f"{record.get('volume_ml')} mL; the skull was left out.",
        "deepbet": f"The brain was outlined in {record.get('sequence')} by deepbet, {record.get('volume_ml')} mL; the "
        "skull was left out.",
        "head": "No brain mask was found; the whole head, including skull and scalp, was used.",
    }
    return found[record["found"]]
