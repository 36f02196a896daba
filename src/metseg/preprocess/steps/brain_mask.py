"""Say what the brain is: from here on it is what other steps take for the head.

Nothing here finds the brain in an image with a skull: another program does, and its mask can be given with the case.
A network that takes this step was trained on brains. A head with skull and scalp is therefore refused, unless the
recipe says that its network was trained on heads.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from metseg.errors import InputError
from metseg.measure import voxel_volume_mm3
from metseg.preprocess.head_mask import find_head, without_holes
from metseg.preprocess.prepared_case import Prepared, Record
from metseg.preprocess.step_text import Details
from metseg.recipe import Frozen

#: No brain is larger. An image whose erased background leaves more shows a head: a scanner or a program has erased the
#: air around it. Measured: 1083 to 1945 mL in 40 skull-stripped studies, 2972 to 4238 mL in four heads without air.
LARGEST_BRAIN_ML = 2500.0


class Options(Frozen):
    #: file: the mask that came with the case; nonzero: where an erased background ends; best: the first of these that
    #: there is.
    source: Literal["best", "file", "nonzero"] = "best"
    #: For a head with skull and scalp, of which neither says where the brain is. refuse: an error; head: take the whole
    #: head, with a warning, for a network that was trained on heads.
    otherwise: Literal["head", "refuse"] = "refuse"
    #: Set the images to 0 outside.
    zero_outside: bool = False


def apply(prepared: Prepared, options: Options) -> Prepared:
    """Return the case with the brain as its head.

    A mask that came with the case counts as it is. Where the background of every image was erased, the brain is where
    any of them differs from it, with holes filled, unless that is larger than a brain (`LARGEST_BRAIN_ML`): then only
    the air around a head was erased. Part of a head without air is not told from a brain, nor is a head in pictures,
    whose size is not known.

    Raises:
        InputError: ``input.empty_brain_mask``; ``input.brain_mask``, a head with skull and ``otherwise = "refuse"``.
    """
    mask, source = _found(prepared, options)
    warnings = []
    if source == "head":
        if options.otherwise == "refuse":
            raise InputError(
                "the images show a head with skull; the network was trained on brains without skull",
                expected="images whose skull was removed, or a brain mask",
                cure="give a brain mask (metseg predict: --modality brain_mask=FILE, or a NIfTI file called"
                " ..._brain_mask beside the images or the DICOM study), or remove the skull",
                code="input.brain_mask",
            )
        warnings = ["brain_mask: neither a mask nor images without skull; the whole head counts as the region"]
    image = prepared.image
    if options.zero_outside:
        image = np.where(mask, image, np.zeros((), image.dtype))
    share = round(float(mask.mean()), 4)
    return prepared.after(
        Record("brain_mask", {**options.model_dump(mode="json"), "found": source, "share": share}),
        image=image,
        head=mask,
        brain=None,
        warnings=warnings,
    )


def _found(prepared: Prepared, options: Options) -> tuple[np.ndarray, Literal["file", "nonzero", "head"]]:
    """Return the region and where it is from."""
    if prepared.brain is not None and options.source != "nonzero":
        if not prepared.brain.any():
            raise InputError(
                "the brain mask is empty", cure="give a mask that covers the brain", code="input.empty_brain_mask"
            )
        return prepared.brain, "file"
    head = find_head(prepared.image)
    if not head.mask.any():  # constant images show no skull either; that they are constant, others say
        return head.mask, "nonzero"
    if options.source != "file" and head.erased:
        brain = without_holes(head.mask)
        if _may_be_a_brain(brain, prepared):
            return brain, "nonzero"
    return head.mask, "head"


def _may_be_a_brain(mask: np.ndarray, prepared: Prepared) -> bool:
    """Return whether a region is no larger than a brain; pictures do not tell."""
    if prepared.affine is None:
        return True
    return float(np.count_nonzero(mask)) * voxel_volume_mm3(prepared.affine) / 1000 <= LARGEST_BRAIN_ML


def describe(record: Details) -> str:
    """Return what the step did, in a sentence for the report of a study."""
    found = {
        "file": "The brain mask that came with the study was used.",
        "nonzero": "The images came without skull and scalp; what is not zero was taken as the brain.",
        "head": "No brain mask was found; the whole head, skull and scalp included, was taken.",
    }
    return found[record["found"]]
