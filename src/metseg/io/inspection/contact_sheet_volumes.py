"""Select the slices of volumes for a contact sheet: for each patient, the slice with the largest lesion area."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from metseg.errors import MetsegError
from metseg.geometry import same_grid, turn_to_ras
from metseg.io.case_source import CaseSource
from metseg.io.inspection.contact_sheet_selection import SHOWN_MODALITIES
from metseg.io.inspection.volume_inspection import CaseLine
from metseg.plot.images.contact_sheet import Tile, short_names
from metseg.volume import BRAIN_MASK, Array, Case, Volume

#: In volumes, metastases are most visible after contrast agent.
PREFERRED = ("t1c", *SHOWN_MODALITIES)


def showcase_volumes(sources: Sequence[CaseSource], lines: Sequence[CaseLine]) -> list[Tile]:
    """Return an axial slice for each patient; a study that cannot be read is left out.

    Args:
        sources: the data set.
        lines: what `inspect_volumes` says of each study.
    """
    chosen = _one_each(lines)
    titles = dict(zip(chosen, short_names(list(chosen)), strict=True))
    tiles = []
    for source in sources:
        if chosen.get(source.patient) != source.case_id:
            continue
        try:
            tiles.append(_tile(source.load(), titles[source.patient]))
        except MetsegError:
            continue  # the inspection names it
    return tiles


def _one_each(lines: Sequence[CaseLine]) -> Mapping[str, str]:
    """Return patient -> the study with the largest lesion, or the first."""
    best: dict[str, CaseLine] = {}
    for line in lines:
        if line.patient not in best or line.lesion_ml[:1] > best[line.patient].lesion_ml[:1]:
            best[line.patient] = line
    return {patient: line.case for patient, line in sorted(best.items())}


def _tile(case: Case, title: str) -> Tile:
    names = [name for name in case.images if name != BRAIN_MASK]
    image = case.images[next((name for name in PREFERRED if name in names), names[0])]
    labels = case.labels
    if labels is None or not same_grid(image.grid, labels.grid):
        return Tile(_axial(image, None), None, title)
    areas = np.count_nonzero(_turned(labels), axis=(0, 1))
    z = int(areas.argmax()) if areas.any() else None
    return Tile(_axial(image, z), np.asarray(_axial(labels, z), dtype=np.uint8), title)


def _axial(volume: Volume, z: int | None) -> Array:
    """Return slice z of the volume turned to RAS, or the middle one, as a radiologist sees it: patient's right left."""
    turned = _turned(volume)
    return turned[::-1, ::-1, turned.shape[2] // 2 if z is None else z].T


def _turned(volume: Volume) -> Array:
    return volume.data if volume.affine is None else turn_to_ras(volume.affine)(volume.data)
