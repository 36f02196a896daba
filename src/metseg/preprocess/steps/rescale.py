"""Rescale values to [0, 1]."""

from __future__ import annotations

from typing import Literal

import numpy as np

from metseg.errors import InputError
from metseg.preprocess.normalization_scope import Float32, Region, Scope, flat_warnings, normalize
from metseg.preprocess.prepared_case import Prepared, Record
from metseg.preprocess.step_text import Details, scope_text
from metseg.volume import Array

#: Images with a largest value below this share of what their type can hold cause a warning.
DARK_SHARE = 1 / 8


class Options(Scope):
    #: type: by what the file's type can hold (255, 65535), so that pictures stay comparable; range: by the smallest and
    #: largest value in the region.
    by: Literal["type", "range"] = "type"
    region: Region = "all"

    @property
    def wants_head(self) -> bool:
        return self.by == "range" and super().wants_head

    @property
    def wants_case(self) -> bool:
        return self.by == "range" and super().wants_case


def apply(prepared: Prepared, options: Options) -> Prepared:
    """Divide by the type's full scale, or map [minimum, maximum] to [0, 1]; values beyond are clipped.

    Raises:
        InputError: ``by = "type"`` for images that were read as floats, or were normalised before.
    """
    record = Record("rescale", options.model_dump(mode="json"))
    if options.by == "range":
        image, flat = normalize(prepared, options, _by_range)
        return prepared.after(record, image=image, full_scale=None, warnings=flat_warnings("rescale", flat, options))
    if prepared.full_scale is None:
        raise InputError(
            "rescale by type needs 8 or 16 bit images",
            got=prepared.image.dtype,
            cure='give the images as 8 or 16 bit files; your own recipe can set by = "range" for this step',
            code="input.value_range",
        )
    largest = float(prepared.image.max(initial=0)) / prepared.full_scale
    image = prepared.image.astype(np.float32) / np.float32(prepared.full_scale)
    return prepared.after(record, image=image, full_scale=None, warnings=_dark_warnings(largest))


def _dark_warnings(largest: float) -> list[str]:
    """Return a warning for images that use a small part of what their type can hold, as 12 bits in a 16-bit file do."""
    if not 0 < largest < DARK_SHARE:
        return []
    return [f"rescale: the largest value is {largest:.1%} of what the file's data type can hold; the images are dark"]


def _by_range(part: Float32, values: Array) -> Float32:
    low, high = float(values.min()), float(values.max())
    return np.asarray(np.clip((part - np.float32(low)) / np.float32(high - low), 0, 1), dtype=np.float32)


def describe(record: Details) -> str:
    """Return what the step did, in a sentence for the report of a study."""
    if record["by"] == "type":
        return "Intensities were divided by the largest value of the files' data type."
    return f"Intensities were rescaled to the range 0 to 1, {scope_text(record)}."
