"""Normalise to mean 0 and standard deviation 1."""

from __future__ import annotations

from typing import Literal

import numpy as np

from metseg.preprocess.normalization_scope import Float32, Scope, flat_warnings, normalize, tissue
from metseg.preprocess.prepared_case import Prepared, Record
from metseg.preprocess.step_text import Details, scope_text
from metseg.volume import Array


class Options(Scope):
    #: What voxels outside the region become. keep: the same formula as inside; zero: 0. Without effect on region all.
    outside: Literal["keep", "zero"] = "keep"


def apply(prepared: Prepared, options: Options) -> Prepared:
    """Subtract the mean of the region and divide by its standard deviation (of the population), channel by channel.

    A constant channel or slice, or one without tissue, becomes 0 and is warned of.
    """
    image, flat = normalize(prepared, options, standardise)
    if options.outside == "zero" and options.wants_head:
        image *= tissue(prepared)
    return prepared.after(
        Record("zscore", options.model_dump(mode="json")),
        image=image,
        full_scale=None,
        warnings=flat_warnings("zscore", flat, options),
    )


def standardise(part: Float32, values: Array) -> Float32:
    """Return ``(part - mean) / deviation`` of the values; sums are in float64, for large volumes lose digits in 32."""
    mean, deviation = values.mean(dtype=np.float64), values.std(dtype=np.float64)
    return np.asarray((part - np.float32(mean)) / np.float32(deviation), dtype=np.float32)


def describe(record: Details) -> str:
    """Return what the step did, in a sentence for the report of a study."""
    return f"Intensities were normalised to mean 0 and standard deviation 1, {scope_text(record)}."
