"""Maps over the images of a study: the uncertainty, Grad-CAM, and attention gates."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from metseg.schemas import Study
from metseg.ui.viewer.nifti_bytes import Image, write_nifti
from metseg.ui.viewer.plane_drawing import Rgb

#: Colours of a map from its lowest to its highest value, evenly spaced; of the colour map "viridis", as in reports.
_COLOURS: Final = ((68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37))
#: Opacity of the highest value.
_OPACITY: Final = 0.75
_STEPS: Final = 255


@dataclass(frozen=True)
class MapKind:
    """A kind of map.

    Args:
        name: its files are ``name.nii.gz`` and ``name-1.png``.
        title: in a control.
        meaning: of its colours, for the legend.
        highest: value with the last colour; the lowest is 0.
    """

    name: str
    title: str
    meaning: str
    highest: float


MAP_KINDS: Final[Mapping[str, MapKind]] = {
    kind.name: kind
    for kind in (
        MapKind("uncertainty", "Uncertainty", "standard deviation of the predictions' probabilities", 0.5),
        MapKind("gradcam", "Grad-CAM", "what raised the score of the lesions, share of its largest value", 1.0),
    )
}


#: Maps of attention gates; the group is the level, 1 for the finest.
_GATE: Final = re.compile(r"attention-(\d+)\.nii\.gz")


def maps_of(study: Study) -> list[MapKind]:
    """Return the maps that a study has; those of attention gates last, the finest first."""
    known = {artifact.name for artifact in study.artifacts}
    levels = sorted(int(found[1]) for found in map(_GATE.fullmatch, known) if found)
    return [kind for kind in MAP_KINDS.values() if f"{kind.name}.nii.gz" in known] + [gate_map(n) for n in levels]


def gate_map(level: int) -> MapKind:
    """Return the map of the attention gate of a level, 1 for the finest.

    >>> gate_map(1).title
    'Attention gate 1'
    """
    meaning = "share of the features that pass to the decoder"
    return MapKind(f"attention-{level}", f"Attention gate {level}", meaning, 1.0)


def colour_table() -> npt.NDArray[np.uint8]:
    """Return (256, 4): red, green, blue and opacity of each step of a map; the lowest is transparent.

    >>> colour_table()[[0, 255]].tolist()
    [[68, 1, 84, 0], [253, 231, 37, 191]]
    """
    shares = np.linspace(0, 1, _STEPS + 1)
    places = np.linspace(0, 1, len(_COLOURS))
    channels = [np.interp(shares, places, channel) for channel in np.transpose(_COLOURS)]
    table: npt.NDArray[np.uint8] = np.rint(np.stack([*channels, 255 * _OPACITY * np.sqrt(shares)], axis=-1)).astype(
        np.uint8
    )
    return table


def map_file(image: Image, kind: MapKind) -> bytes:
    """Return a map as the viewer takes it: gzipped NIfTI, uint8, `_STEPS` for the highest value."""
    return write_nifti(_steps(image.data * image.slope, kind), image.affine)


def draw_map(picture: Rgb, stored: npt.NDArray[np.uint16], kind: MapKind) -> Rgb:
    """Return a picture (rows, columns, 3) under a map (rows, columns) that is stored as 0 to 65535."""
    table = colour_table()[_steps(stored / np.float32(65535), kind)].astype(np.float32)
    share = table[..., 3:] / 255
    blended: Rgb = ((1 - share) * picture + share * table[..., :3] + 0.5).astype(np.uint8)
    return blended


def _steps(values: npt.NDArray[Any], kind: MapKind) -> npt.NDArray[np.uint8]:
    steps: npt.NDArray[np.uint8] = np.rint(np.clip(values.astype(np.float32) / kind.highest, 0, 1) * _STEPS).astype(
        np.uint8
    )
    return steps


def map_legend_html(kind: MapKind) -> str:
    """Return the legend of a map as HTML: its colours, with the lowest and the highest value.

    >>> "0 to 0.5" in map_legend_html(MAP_KINDS["uncertainty"])
    True
    """
    bar = f"display:inline-block;width:5em;height:.8em;border:1px solid #808080;margin-right:.35em;{gradient()}"
    return f'<span style="{bar}"></span>{kind.title}, 0 to {kind.highest:g}: {kind.meaning}'


def gradient() -> str:
    """Return the colours of a map as a CSS background."""
    colours = ", ".join(f"rgb({red}, {green}, {blue})" for red, green, blue in _COLOURS)
    return f"background:linear-gradient(to right, {colours})"
