"""Acquisition of each sequence of an examination: its grid, and the motion of the head between sequences."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from metseg.simulation.anatomy.normal_anatomy import Grid
from metseg.simulation.difficulty import REFERENCE, Difficulty, Stack
from metseg.simulation.lesions.progression import Examination
from metseg.simulation.options import SEQUENCES
from metseg.simulation.scanner.grid_resampling import Placement
from metseg.simulation.scanner.rigid_transforms import Matrix, draw_rigid, rigid_matrix

#: Axes in space of a stack's columns, rows and slices.
PLANES: Mapping[str, tuple[int, int, int]] = {"axial": (0, 1, 2), "sagittal": (1, 2, 0), "coronal": (0, 2, 1)}


@dataclass(frozen=True)
class Scan:
    """One sequence as it is measured.

    Args:
        shape: voxels along columns, rows and slices.
        affine: (4, 4) voxel to RAS in the scanner, as the header says.
        to_reference_mm: (4, 4) takes a point of this sequence to where the same tissue lies in the reference one.
        motion_mm: how far the head typically moved meanwhile; 0 for not at all.
    """

    shape: tuple[int, int, int]
    affine: Matrix
    to_reference_mm: Matrix
    motion_mm: float = 0.0

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        x, y, z = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(x), float(y), float(z)

    def as_json(self) -> dict[str, object]:
        """Return the scan as JSON takes it."""
        return {
            "shape": list(self.shape),
            "spacing_mm": [round(length, 4) for length in self.spacing_mm],
            "to_reference_mm": self.to_reference_mm.round(6).tolist(),
            "motion_mm": round(self.motion_mm, 3),
        }


def plan_scans(examination: Examination, grid: Grid, challenge: Difficulty | None) -> dict[str, Scan]:
    """Return the sequences that are measured, in the order of `SEQUENCES`, and how.

    Args:
        examination: who and when; every random number follows from it.
        grid: of the phantom.
        challenge: None: all on the phantom's grid and no move between them.
    """
    if challenge is None:
        return {name: Scan(grid.shape, grid.affine, np.eye(4)) for name in SEQUENCES}
    missing = missing_sequence(examination, challenge)
    return {name: _plan(name, examination, grid, challenge) for name in SEQUENCES if name != missing}


def missing_sequence(examination: Examination, challenge: Difficulty) -> str | None:
    """Return the sequence that this examination lacks, never the reference; None for none."""
    rng = examination.patient.stream(f"missing {examination.name}")
    lacks, choice = rng.random() < challenge.missing_share, str(rng.choice([n for n in SEQUENCES if n != REFERENCE]))
    return choice if lacks else None


def _plan(name: str, examination: Examination, grid: Grid, challenge: Difficulty) -> Scan:
    rng = examination.patient.stream(f"scan {name} {examination.name}")
    offset = draw_rigid(rng, shift_mm=challenge.offset_mm, tilt_deg=challenge.offset_deg)
    tilt = challenge.oblique_deg * np.clip(rng.normal(0, 1, 3), -2, 2)
    moves, amplitude = rng.random() < challenge.motion_share, challenge.motion_mm * rng.uniform(0.5, 1.5)
    shape, affine = stack_grid(grid, challenge.stack(name), in_plane=challenge.in_plane, tilt_deg=tilt)
    return Scan(shape, affine, np.eye(4) if name == REFERENCE else offset, float(amplitude) if moves else 0.0)


def stack_grid(
    grid: Grid, stack: Stack, *, in_plane: float, tilt_deg: npt.ArrayLike
) -> tuple[tuple[int, int, int], Matrix]:
    """Return the shape and the affine of a stack that covers the same box, turned about the box's centre.

    >>> shape, affine = stack_grid(
    ...     Grid((4, 4, 10), 1.0, (0, 0, 0)), Stack(plane="sagittal", slice_mm=2), in_plane=1.0, tilt_deg=(0, 0, 0)
    ... )
    >>> shape, affine[:3].tolist()
    ((4, 10, 2), [[0.0, 0.0, 2.0, 0.5], [1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0]])
    """
    box = np.asarray(grid.shape) * grid.spacing_mm
    centre = np.asarray(grid.origin_mm) + (box - grid.spacing_mm) / 2
    slice_mm = grid.spacing_mm if stack.slice_mm is None else max(stack.slice_mm, grid.spacing_mm)
    edge = grid.spacing_mm if stack.slice_mm is None else in_plane * grid.spacing_mm
    axes = PLANES[stack.plane]
    spacing = (edge, edge, slice_mm)
    # Rounded first: 197 mm in voxels of 1 mm must not become 198 of them.
    x, y, z = (int(np.ceil(round(box[axis] / length, 6))) for axis, length in zip(axes, spacing, strict=True))
    affine = np.eye(4)
    affine[:3, :3] = np.eye(3)[:, axes] * spacing
    affine[:3, 3] = centre - affine[:3, :3] @ ((np.array([x, y, z]) - 1) / 2)
    return (x, y, z), rigid_matrix(tilt_deg, (0, 0, 0), about_mm=centre) @ affine


def place(scan: Scan, examination: Examination, grid: Grid) -> Placement:
    """Return where the voxels of a scan lie in the phantom."""
    to_phantom = np.linalg.inv(grid.affine) @ examination.to_first_mm @ scan.to_reference_mm @ scan.affine
    steps = max(1, round(scan.spacing_mm[2] / grid.spacing_mm))
    return Placement(scan.shape, to_phantom[:3, :3], to_phantom[:3, 3], steps)
