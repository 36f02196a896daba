"""Clip the darkest and the brightest values."""

from __future__ import annotations

from typing import Annotated, Self

import numpy as np
from pydantic import Field, model_validator

from metseg.preprocess.normalization_scope import Scope, parts
from metseg.preprocess.prepared_case import Prepared, Record
from metseg.preprocess.step_text import Details, scope_text
from metseg.volume import Array

Percentage = Annotated[float, Field(ge=0, le=100)]


class Options(Scope):
    #: Percentile below which values are raised to it, 0 to 100.
    lower: Percentage = 0.5
    #: Percentile above which values are lowered to it, 0 to 100.
    upper: Percentage = 99.5

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.lower >= self.upper:
            raise ValueError(f"lower ({self.lower}) must be below upper ({self.upper})")
        return self


def apply(prepared: Prepared, options: Options) -> Prepared:
    """Limit each part of the image to two percentiles of the region, linearly interpolated between values.

    A part without tissue stays as it is.
    """
    image = prepared.image.astype(np.float32)
    for index, values in parts(prepared, options):
        if values.size:
            low, high = limits(values, options)
            np.clip(image[index], low, high, out=image[index])
    return prepared.after(Record("clip_percentiles", options.model_dump(mode="json")), image=image)


def limits(values: Array, options: Options) -> tuple[np.float32, np.float32]:
    """Return the two percentiles of (N,) values."""
    low, high = np.percentile(values.astype(np.float64), [options.lower, options.upper])
    return np.float32(low), np.float32(high)


def describe(record: Details) -> str:
    """Return what the step did, in a sentence for the report of a study."""
    lower, upper = float(record["lower"]), float(record["upper"])
    return f"Intensities were clipped to their {lower:g} and {upper:g} percentiles, {scope_text(record)}."
