"""Preparing a volume takes no more than four times its own size."""

from __future__ import annotations

import tracemalloc

import numpy as np

from metseg.preprocess.pipeline import prepare
from metseg.volume import Case, Volume

from . import phantom

GRID = phantom.grid((72, 80, 56), (2.0, 2.2, 2.4))
LPS = np.diag([-1.0, -1, 1, 1])
STEPS = (
    {"name": "align"},
    {"name": "reorient"},
    {"name": "brain_mask"},
    {"name": "crop_to_head", "axes": "all"},
    {"name": "clip_percentiles"},
    {"name": "zscore", "outside": "zero"},
)


def test_memory(make_recipe):
    names = ("t1c", "t2f", "t2w", "t1n")
    images = {name: phantom.sequence(GRID, name if name != "t1n" else "t2w").data for name in names}
    case = Case("c", "p", {name: Volume(data, LPS) for name, data in images.items()})
    recipe = make_recipe(*STEPS)
    prepare(case, recipe)  # imports
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    prepared = prepare(case, recipe)
    peak = tracemalloc.get_traced_memory()[1] - before
    tracemalloc.stop()
    size = sum(data.nbytes for data in images.values())
    assert prepared.image.dtype == np.float32
    assert peak < 3 * size, f"with the case itself that is {1 + peak / size:.1f} times its size"
