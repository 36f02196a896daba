"""What a model returns for a case, as data: what the writers of files and reports need."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from metseg.geometry import same_grid
from metseg.grading.grade_classifier import GradeClassifier
from metseg.headline import Headline, headline_of
from metseg.inference.backends.backend_table import TORCH
from metseg.inference.lesion_table import InstanceMap
from metseg.lesion import Lesion
from metseg.preprocess.head_mask import head_mask, without_holes
from metseg.preprocess.prepared_case import Record, check_grids
from metseg.preprocess.steps.align import truth_on_reference
from metseg.recipe import PredictPart
from metseg.volume import BRAIN_MASK, Case, Volume


@dataclass(frozen=True)
class PredictionData:
    """The result of a model for a case; `metseg.inference.prediction.Prediction` saves and draws it.

    Args:
        case: what was asked about.
        labels: (X, Y, Z) uint8 class ids on the case's own grid.
        probability: (X, Y, Z) float32, of any lesion class.
        lesions: connected lesions, largest first.
        instances: (X, Y, Z) the id of the lesion at each voxel; 0: background.
        timings_s: seconds by phase.
        warnings: of reading, preprocessing and prediction.
        model: name of the model; see `metseg.bundle_folder.model_name`.
        scheme: name of the label scheme that the class ids are of.
        reference: name of the image that the result shares its grid with; empty: the first of the case.
        records: what the preparation did, step by step.
        part: how masks were made of probabilities; None: not by a `Predictor`.
        fingerprint: of the model's bundle; empty: the model came from no bundle.
        fitness: what the model was trained on, and what the case is; one sentence, empty if not known.
        backend: what ran the networks, a name in `metseg.inference.backends.backend_table.BACKENDS`.
        uncertainty: (X, Y, Z) float32, standard deviation of the probabilities of lesion of networks and mirror images;
            None: not measured.
        grade_classifier: of the bundle, if grades of its results may be shown; None otherwise.
        no_grade: why grades may not be shown, one clause; empty if they may, or if that is not known.
    """

    case: Case
    labels: npt.NDArray[np.uint8]
    probability: npt.NDArray[np.float32]
    lesions: tuple[Lesion, ...]
    instances: InstanceMap
    timings_s: dict[str, float]
    warnings: tuple[str, ...]
    model: str
    scheme: str
    reference: str = ""
    records: tuple[Record, ...] = ()
    part: PredictPart | None = None
    fingerprint: str = ""
    fitness: str = ""
    backend: str = TORCH
    uncertainty: npt.NDArray[np.float32] | None = None
    grade_classifier: GradeClassifier | None = None
    no_grade: str = ""

    @property
    def headline(self) -> Headline:
        """Return what a reader has to know first: fitness, number of lesions, volumes and diameters."""
        pictures = self.labels.shape[2] if self.case.is_slice_stack else None
        return headline_of(self.lesions, labels=self.scheme, pictures=pictures, fitness=self.fitness)

    @property
    def reference_image(self) -> Volume:
        """Return the image that the result shares its grid with."""
        images = self.case.images
        return images[self.reference] if self.reference else next(iter(images.values()))

    @cached_property
    def truth(self) -> Volume | None:
        """Return the case's own truth on the grid of the result, or None where it has none.

        A truth on another image's grid has moved with that image, as in training.

        Raises:
            GeometryError: it lies on another grid, and nothing brought the images to one.
        """
        truth = self.case.labels
        if truth is None or same_grid(truth.grid, self.reference_image.grid):
            return truth
        aligned = next((record for record in self.records if record.step == "align"), None)
        if aligned is None:
            check_grids(self.case, [self.reference or next(iter(self.case.images))])
            return truth
        return truth_on_reference(self.case, aligned)


def brain_of(prediction: PredictionData) -> Volume:
    """Return the brain mask that a prediction went by, uint8 0 and 1.

    It is the mask of the case; without one, where the reference shows tissue: its skull had been removed before, or the
    model was made for whole heads.
    """
    mask = prediction.case.images.get(BRAIN_MASK)
    if mask is not None:
        return Volume((np.asarray(mask.data, dtype=np.float32) > 0.5).astype(np.uint8), mask.affine)
    reference = prediction.reference_image
    return Volume(without_holes(head_mask(reference.data[None])).astype(np.uint8), reference.affine)
