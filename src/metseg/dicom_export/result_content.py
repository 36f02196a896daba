"""What the exports write: the result of one study on the grid of its source series."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property

import numpy as np
import numpy.typing as npt

from metseg.errors import GeometryError
from metseg.geometry import Grid, grid_difference, turn_onto
from metseg.lesion import Lesion


@dataclass(frozen=True)
class ResultContent:
    """The result of a study, from memory or from files.

    Args:
        case_id: names the files; a pseudonym for studies that were read as DICOM.
        labels: (X, Y, Z) uint8 class ids.
        instances: (X, Y, Z) `Lesion.id` at each voxel; 0: background.
        affine: (4, 4) voxel-to-RAS of both, mm.
        scheme: name of the label scheme.
        lesions: by id.
        model: its name.
        made_at: when the result was made, with its time zone.
        fingerprint: of the model's bundle; empty if it came from none.
        probability: (X, Y, Z) float32 of lesion, or None.
        report_pdf: makes the report; None: there is none.
    """

    case_id: str
    labels: npt.NDArray[np.uint8]
    instances: npt.NDArray[np.unsignedinteger]
    affine: npt.NDArray[np.float64]
    scheme: str
    lesions: tuple[Lesion, ...]
    model: str
    made_at: datetime
    fingerprint: str = ""
    probability: npt.NDArray[np.float32] | None = None
    report_pdf: Callable[[], bytes] | None = field(default=None, compare=False)

    @cached_property
    def digest(self) -> bytes:
        """Return a digest of everything that the objects are made of, but the source; their UIDs follow from it."""
        state = hashlib.sha256()
        for array in (self.labels, self.instances.astype(np.uint32), self.affine):
            state.update(np.ascontiguousarray(array).tobytes())
        lesions = "\n".join(lesion.model_dump_json() for lesion in self.lesions)
        made_at = self.made_at.isoformat()
        for text in (self.case_id, self.scheme, lesions, self.model, self.fingerprint, made_at):
            state.update(f"{text}\0".encode())
        return state.digest()

    def on_grid(self, grid: Grid) -> ResultContent:
        """Return the result with its axes in the order and direction of a grid.

        Converters reorder the axes of a series; voxels are only moved.

        Raises:
            GeometryError: ``export.grid``, the grids differ in more than that.
        """
        assert grid.affine is not None
        turn = turn_onto(self.affine, grid.affine)
        turned = Grid(turn.shape(self.labels.shape), turn.affine(self.affine, self.labels.shape))
        difference = grid_difference(grid, turned)
        if difference is not None:
            raise GeometryError(
                "the result is not on the grid of the DICOM series",
                expected="a mask on the voxels of the series",
                got=difference,
                cure="name the series that the result was made of: metseg export --series NUMBER; a result of a "
                "resampled image has no source series and stays NIfTI",
                code="export.grid",
            )
        return replace(
            self,
            labels=turn(self.labels),
            instances=turn(self.instances),
            affine=grid.affine,
            probability=None if self.probability is None else turn(self.probability),
        )
