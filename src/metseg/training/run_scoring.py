"""Predict cases and score them against their masks, each on its own grid; save scores and figures."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from metseg.errors import InputError
from metseg.evaluation import CaseScores, MaskPair, ScoringConfig, evaluate_masks
from metseg.evaluation.files.serialization import scores_from_json, scores_to_json
from metseg.inference.prediction import Prediction
from metseg.inference.predictor import Predictor
from metseg.io.splits import SelectedCases
from metseg.labels import LABEL_SCHEMES
from metseg.preprocess.pipeline import scheme_labels
from metseg.runtime.atomic_io import write_bytes, write_text
from metseg.runtime.progress import track
from metseg.training.snapshot import Snapshot, take_snapshot

FIGURES, PICTURES = "judged.json", "snapshots.npz"
PLANES = ("picture", "truth", "prediction")


@dataclass(frozen=True)
class ScoredRun:
    """What was seen of the cases that a network was judged on.

    Args:
        scores: one per case; read back from a folder, without their single lesions.
        snapshots: one per case.
        slices_per_s: of the prediction itself, without reading and scoring; 0 where there was no case.
    """

    scores: tuple[CaseScores, ...]
    snapshots: tuple[Snapshot, ...]
    slices_per_s: float

    def save(self, folder: Path) -> None:
        """Write it into a folder; the table comes last, so that where it is, the pictures are there too."""
        planes = {f"{name}{n}": getattr(one, name) for n, one in enumerate(self.snapshots) for name in PLANES}
        memory = io.BytesIO()
        np.savez_compressed(memory, **planes)
        write_bytes(folder / PICTURES, memory.getvalue())
        document = {
            "slices_per_s": self.slices_per_s,
            "scores": [scores_to_json(score) for score in self.scores],
            "snapshots": [{"patient": one.patient, "voxels": one.voxels} for one in self.snapshots],
        }
        write_text(folder / FIGURES, json.dumps(document, allow_nan=False) + "\n")

    @staticmethod
    def is_in(folder: Path) -> bool:
        """Return whether there is one in a folder."""
        return (folder / FIGURES).exists()

    @classmethod
    def load(cls, folder: Path) -> ScoredRun:
        """Return what `save` wrote.

        Raises:
            InputError: the files are gone or damaged.
        """
        try:
            document = json.loads((folder / FIGURES).read_text("utf-8"))
            with np.load(folder / PICTURES, allow_pickle=False) as planes:
                snapshots = tuple(
                    Snapshot(**known, **{name: planes[f"{name}{n}"] for name in PLANES})
                    for n, known in enumerate(document["snapshots"])
                )
            scores = tuple(scores_from_json(score) for score in document["scores"])
            return cls(scores, snapshots, float(document["slices_per_s"]))
        except (OSError, EOFError, ValueError, KeyError, TypeError, BadZipFile) as error:
            raise InputError(
                "cannot read the saved scores and figures of the run",
                where=folder,
                got=type(error).__name__,
                cure=f"remove {FIGURES} there; the patients are then scored again",
            ) from error


def score_run(
    predictor: Predictor, chosen: Sequence[SelectedCases], what: str, *, probabilities: bool = True, quiet: bool = False
) -> ScoredRun:
    """Score a model on cases, each predicted as a whole; one prediction is in memory at a time.

    Args:
        predictor: the model.
        chosen: cases with truth, or some slices of them, which alone are scored then.
        what: shown beside the progress.
        probabilities: look at calibration and at other thresholds too, which takes a little.
        quiet: show no progress.
    Raises:
        InputError: a case cannot be read, or has no truth.
    """
    scores, snapshots, seconds, slices = [], [], 0.0, 0
    for source, indices in track(chosen, what, quiet=quiet):
        case = source.load()
        begin = time.perf_counter()
        prediction = predictor(case)
        seconds += time.perf_counter() - begin
        slices += prediction.labels.shape[2]
        if indices is not None:
            prediction = _take_slices(prediction, indices)
        scores.append(score_case(prediction, probabilities=probabilities))
        snapshots.append(take_snapshot(prediction))
    return ScoredRun(tuple(scores), tuple(snapshots), slices / seconds if seconds else 0.0)


def _take_slices(prediction: Prediction, indices: Sequence[int]) -> Prediction:
    """Return the prediction for some slices, without the lesions, which are those of the whole.

    Slices are taken out after the prediction: what is measured over a case while it is prepared (intensities, the
    head's box) is measured over the whole of it in training, and must be the same here.
    """
    taken = list(indices)
    return replace(
        prediction,
        case=prediction.case.take_slices(taken),
        labels=prediction.labels[:, :, taken],
        probability=prediction.probability[:, :, taken],
        lesions=(),
    )


def score_case(prediction: Prediction, *, probabilities: bool = True) -> CaseScores:
    """Return the scores of one prediction against its case's own truth, under the protocol ``voxel``.

    Args:
        prediction: the mask, and the probability of lesion.
        probabilities: look at calibration and at other thresholds too.
    Raises:
        InputError: the case has no truth.
    """
    case, truth = prediction.case, prediction.truth
    if truth is None:
        raise InputError(
            "the case has no mask to score against",
            where=case.case_id,
            cure="add its mask, or remove the case from the split",
            code="input.no_truth",
        )
    scheme = LABEL_SCHEMES[prediction.scheme]
    masks = MaskPair(
        truth=scheme_labels(np.asarray(truth.data), scheme, where=case.case_id),
        prediction=prediction.labels,
        affine=truth.affine,
        case=case.case_id,
        patient=case.patient,
        stack_of_slices=case.is_slice_stack,
        # Interpolation on the way back to the case's own grid can overshoot a little.
        probability=np.clip(prediction.probability, 0, 1) if probabilities else None,
    )
    return evaluate_masks(masks, ScoringConfig(scheme=scheme))
