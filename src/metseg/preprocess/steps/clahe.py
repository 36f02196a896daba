"""Contrast-limited adaptive histogram equalisation, exactly as OpenCV does it.

Source: Zuiderveld, "Contrast limited adaptive histogram equalization", Graphics Gems IV (1994); OpenCV's `CLAHE`.
"""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field

from metseg.errors import InputError
from metseg.preprocess.prepared_case import Prepared, Record, check_present, full_scale
from metseg.preprocess.step_text import Details
from metseg.recipe import Frozen, Modality
from metseg.volume import Array


class Options(Frozen):
    #: Limit of the contrast, as a multiple of the mean count of the histogram's bins, as in OpenCV; larger: more
    #: contrast and more noise.
    clip_limit: Annotated[float, Field(gt=0)] = 2.0
    #: Number of tiles along a picture's columns and rows.
    tiles: tuple[Annotated[int, Field(gt=0)], Annotated[int, Field(gt=0)]] = (8, 8)
    #: Which images; empty: all.
    modalities: tuple[Modality, ...] = ()


def apply(prepared: Prepared, options: Options) -> Prepared:
    """Equalise each slice of the chosen images, in file order.

    The tiles start at a picture's top left corner and odd sizes are padded at the other two edges, so the result
    depends on how a picture lies: this step runs before anything that turns or cuts it.

    Raises:
        InputError: the values are not whole numbers from 0 to 65535: OpenCV knows the method for 8 and 16 bits only,
            and squeezing other values into them would be an unrequested normalisation.
    """
    wanted = options.modalities or prepared.modalities
    check_present(wanted, prepared.modalities, where="clahe")
    image = whole_numbers(prepared.image)
    pairs = zip(prepared.modalities, image, strict=True)
    channels = [equalise(channel, options) if name in wanted else channel for name, channel in pairs]
    return prepared.after(
        Record("clahe", options.model_dump(mode="json")),
        image=np.stack(channels),
        full_scale=full_scale(image),
    )


def equalise(volume: Array, options: Options) -> Array:
    """Return (X, Y, Z) uint8 or uint16 with every ``volume[:, :, z].T`` equalised as the picture that it is."""
    import cv2

    method = cv2.createCLAHE(clipLimit=options.clip_limit, tileGridSize=options.tiles)
    out = np.empty_like(volume)
    for z in range(volume.shape[2]):
        out[:, :, z] = method.apply(np.ascontiguousarray(volume[:, :, z].T)).T
    return out


def whole_numbers(image: Array) -> Array:
    """Return an image as the uint8 or uint16 it is; float32 that holds whole numbers up to 65535 becomes uint16."""
    if image.dtype.kind == "u":
        return image
    limit = np.iinfo(np.uint16).max
    if np.isfinite(image).all() and image.min() >= 0 and image.max() <= limit and (image == np.rint(image)).all():
        return image.astype(np.uint16)
    raise InputError(
        "clahe needs whole numbers, 8 or 16 bit",
        expected=f"whole numbers from 0 to {limit}",
        got=f"{image.dtype} from {image.min():g} to {image.max():g}",
        cure="use clip_percentiles and zscore on such images instead of clahe",
        code="input.value_range",
    )


def describe(record: Details) -> str:
    """Return what the step did, in a sentence for the report of a study."""
    columns, rows = record["tiles"]
    which = f" of {', '.join(record['modalities'])}" if record.get("modalities") else ""
    return (
        f"The contrast{which} was equalised slice by slice (CLAHE, clip limit {float(record['clip_limit']):g}, "
        f"{columns} × {rows} tiles)."
    )
