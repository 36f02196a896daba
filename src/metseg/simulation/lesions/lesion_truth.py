"""Ground truth of a simulated patient's lesions, measured from the voxels alone."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.spatial import ConvexHull
from scipy.spatial.distance import pdist

from metseg.simulation.lesions.lesion_shapes import ET, NETC, SNFH


@dataclass(frozen=True)
class LesionTruth:
    """One lesion as it lies in the voxels.

    Args:
        lesion_id: 1..N.
        netc_mm3, snfh_mm3, et_mm3: volume of each label.
        equivalent_diameter_mm: of the sphere with the core's volume (NETC and ET).
        longest_diameter_mm: largest distance between two voxel corners of the core.
        centre_mm: mean position of the core, RAS.
    """

    lesion_id: int
    netc_mm3: float
    snfh_mm3: float
    et_mm3: float
    equivalent_diameter_mm: float
    longest_diameter_mm: float
    centre_mm: tuple[float, float, float]

    @property
    def core_mm3(self) -> float:
        return self.netc_mm3 + self.et_mm3

    def as_json(self) -> dict[str, object]:
        """Return the lesion as JSON takes it, lengths to the micrometre."""
        return {
            key: [round(v, 3) for v in value] if isinstance(value, tuple) else round(value, 3)
            for key, value in asdict(self).items()
        }


def lesion_truth(
    labels: npt.NDArray[np.integer], instances: npt.NDArray[np.integer], affine: npt.NDArray[np.float64]
) -> tuple[LesionTruth, ...]:
    """Return the table of lesions.

    Args:
        labels: (X, Y, Z) NETC 1, SNFH 2, ET 3.
        instances: (X, Y, Z) the lesion each labelled voxel belongs to; every lesion has a core.
        affine: (4, 4) voxel-to-RAS matrix, mm.

    >>> labels = np.zeros((4, 4, 4), int); labels[1, 1, 1:3] = 3
    >>> lesion = lesion_truth(labels, (labels > 0).astype(int), np.diag([2.0, 2, 2, 1]))[0]
    >>> round(lesion.et_mm3, 6), lesion.centre_mm, round(lesion.longest_diameter_mm, 3)
    (16.0, (2.0, 2.0, 3.0), 4.899)
    """
    voxel_mm3 = float(abs(np.linalg.det(affine[:3, :3])))
    found = []
    for number, box in enumerate(ndimage.find_objects(instances), start=1):
        if box is None:
            continue
        inside = np.where(instances[box] == number, labels[box], 0)
        netc, snfh, et = (float((inside == label).sum()) * voxel_mm3 for label in (NETC, SNFH, ET))
        core = (inside == NETC) | (inside == ET)
        middle = np.argwhere(core).mean(axis=0) + [side.start for side in box]
        x, y, z = affine[:3, :3] @ middle + affine[:3, 3]
        diameter = float(np.cbrt(6 / np.pi * (netc + et)))
        longest = _longest_diameter(core, affine)
        found.append(LesionTruth(number, netc, snfh, et, diameter, longest, (float(x), float(y), float(z))))
    return tuple(found)


def _longest_diameter(core: npt.NDArray[np.bool_], affine: npt.NDArray[np.float64]) -> float:
    """Return the largest distance between two voxel corners: always between corners of the convex hull."""
    surface = np.argwhere(core & ~ndimage.binary_erosion(core))
    offsets = np.stack(np.meshgrid(*[[-0.5, 0.5]] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    corners = (surface[:, None] + offsets).reshape(-1, 3) @ affine[:3, :3].T
    return float(pdist(corners[ConvexHull(corners).vertices]).max())
