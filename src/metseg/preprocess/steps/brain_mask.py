"""Say what the brain is: from here on it is what other steps take for the head.

Nothing here finds the brain in an image with a skull: that takes a program of its own, whose mask can be given with the
case. Without one, and with the skull still there, the region is the whole head, and every result says so.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from metseg.errors import InputError
from metseg.preprocess.head import find_head, without_holes
from metseg.preprocess.prepared import Prepared, Record
from metseg.recipe import Frozen


class Options(Frozen):
    #: file: the mask that came with the case; nonzero: where an erased background ends; best: the first of these that
    #: there is.
    source: Literal["best", "file", "nonzero"] = "best"
    #: Where neither is there. head: the head with skull and scalp, warned of; refuse: an error.
    otherwise: Literal["head", "refuse"] = "head"
    #: Set the images to 0 outside.
    zero_outside: bool = False


def apply(prepared: Prepared, options: Options) -> Prepared:
    """Return the case with the brain as its head.

    A mask that came with the case counts as it is. Where the background of every image was erased, the brain is where
    any of them differs from it, with holes filled; a scanner that erases the air around a whole head cannot be told
    from a stripped skull.

    Raises:
        InputError: an empty mask, or no way to the brain and ``otherwise = "refuse"`` (``input.brain_mask``).
    """
    mask, source = _found(prepared, options)
    warnings = []
    if source == "head":
        warnings = ["brain_mask: neither a mask nor images without skull; the whole head counts as the region"]
        if options.otherwise == "refuse":
            raise InputError(
                "the brain is not known",
                expected="a brain mask with the case, or images whose skull was removed",
                cure='give a mask (--modality brain_mask=FILE), or say otherwise = "head" for this step',
                code="input.brain_mask",
            )
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
            raise InputError("the brain mask is empty", cure="leave it out", code="input.brain_mask")
        return prepared.brain, "file"
    head = find_head(prepared.image)
    if head.erased and options.source != "file":
        return without_holes(head.mask), "nonzero"
    return head.mask, "head"
