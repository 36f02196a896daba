"""Charts: lesion volume against threshold, and distributions of grey values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go

from metseg.ui.viewer.components import counts_above

_BINS = 80
_HEIGHT = 210
#: Number of voxels from which a distribution is estimated.
_SAMPLE = 200_000


def threshold_chart(probability: npt.NDArray[np.uint16], threshold: float, voxel_ml: float | None) -> Any:
    """Return a chart of the lesion volume at each threshold.

    Args:
        probability: 0 to 65535.
        threshold: threshold to mark.
        voxel_ml: volume of a voxel in mL; None: count pixels.
    """
    counts = counts_above(probability)
    amount = counts if voxel_ml is None else counts * voxel_ml
    figure = go.Figure(go.Scatter(x=np.arange(1, 100) / 100, y=amount, mode="lines", line={"width": 2}))
    figure.add_vline(x=threshold, line={"width": 1, "dash": "dot"})
    unit = "pixels" if voxel_ml is None else "mL"
    return _quiet(figure, x="Probability threshold", y=f"Lesion ({unit})")


def values_chart(samples: Mapping[str, npt.NDArray[Any]]) -> Any:
    """Return the distributions of grey values, each scaled to its own range because the units differ.

    Args:
        samples: values by name; large images are subsampled.
    """
    figure = go.Figure()
    for name, values in samples.items():
        centres, shares = distribution(values)
        figure.add_scatter(x=centres, y=shares, mode="lines", name=name, line={"width": 2, "shape": "hvh"})
    return _quiet(figure, x="Grey value, from least to largest", y="Share of voxels")


def distribution(values: npt.NDArray[Any]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the histogram of an image without its background, which is its most frequent value.

    Returns:
        Centres of the bins, 0 to 1, and fractions, which sum to 1.
    """
    flat = values.reshape(-1)
    sample = np.asarray(flat[:: max(flat.size // _SAMPLE, 1)], dtype=np.float64)
    sample = sample[np.isfinite(sample)]
    found, counts = np.unique(sample, return_counts=True)
    tissue = sample[sample != found[counts.argmax()]] if found.size > 1 else sample
    low, high = np.percentile(tissue, [0.5, 99.5]) if tissue.size else (0.0, 1.0)
    scaled = (tissue - low) / max(high - low, 1e-12)
    shares, edges = np.histogram(scaled, bins=_BINS, range=(0, 1))
    return (edges[:-1] + edges[1:]) / 2, shares / max(shares.sum(), 1)


def _quiet(figure: Any, *, x: str, y: str) -> Any:
    figure.update_layout(
        height=_HEIGHT,
        margin={"l": 10, "r": 10, "t": 10, "b": 10},
        xaxis_title=x,
        yaxis_title=y,
        legend={"orientation": "h", "y": 1.15, "x": 0},
        hovermode="x",
    )
    return figure
