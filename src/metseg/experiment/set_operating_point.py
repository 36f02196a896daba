"""Choose a bundle's operating point on validation patients and write it into its recipe, for later predictions.

This module does not predict: run ``metseg predict --format mask --format probability`` on the validation patients
first. The bundle's own split defines these; training and test patients raise an error.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from metseg.errors import InputError, UsageError
from metseg.evaluation import ScoringConfig
from metseg.evaluation.files.file_matching import CasePair, Pairs, match_files
from metseg.evaluation.files.folder_scoring import map_pairs, without_errors
from metseg.evaluation.files.prediction_documents import Documents
from metseg.evaluation.lesions.operating_point import OperatingPoint, choose_operating_point, fit_confidence
from metseg.evaluation.lesions.threshold_sweep import Sweep
from metseg.experiment.leakage_checks import (
    refuse_seen_patients,
    require_validation_patients,
    untested_patients,
    validation_patients,
)
from metseg.experiment.sweep_worker import SweepRequest, SweptCase
from metseg.io.splits import Split
from metseg.measure import ConfidenceMap
from metseg.message_text import pluralize
from metseg.model.bundle import Bundle, load_bundle, save_bundle
from metseg.recipe import PredictPart, Recipe
from metseg.runtime.progress import track

#: Heading of the section added to the card. A section with this heading is from an earlier choice and is replaced.
HEADING = "## Operating point"

MM3, VOXELS = "mm3", "voxels"

#: Display names of units; only 2D pictures have no voxel size.
UNIT_WORDS: Mapping[str, str] = {MM3: "mm³", VOXELS: "pixels"}


@dataclass(frozen=True)
class OperatingTarget:
    """The data and the target rate for choosing an operating point.

    Args:
        predictions: folder with the masks and probabilities of validation patients from ``metseg predict``.
        truth: folder of their true masks.
        false_positives: largest mean number per patient.
        protocol: rule for counting a lesion as found.
        labels: label scheme of the true masks; None: that of the recipe's files.
        split_file: split of the training; None: the bundle's own.
        fold: validation fold of the bundle, if the split has folds and the bundle one network.
        patient_pattern, patients: see `metseg.evaluation.files.file_matching.match_files`; neither: as in the
            bundle's recipe.
    """

    predictions: Path
    truth: Path
    false_positives: float
    protocol: str = "voxel"
    labels: str | None = None
    split_file: Path | None = None
    fold: int | None = None
    patient_pattern: str | None = None
    patients: str | None = None


@dataclass(frozen=True)
class OperatingResult:
    """The outcome.

    Args:
        bundle: folder of the bundle.
        point: the chosen operating point.
        confidence: calibration from mean probability to confidence of a lesion.
        warnings: patients without predictions.
    """

    bundle: Path
    point: OperatingPoint
    confidence: ConfidenceMap
    warnings: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the entry of the bundle's `metrics.json`."""
        confidence = {"confidence_slope": self.confidence.slope, "confidence_intercept": self.confidence.intercept}
        return {**self.point.to_json(), **confidence}


def set_operating_point(
    bundle: str | Path, wanted: OperatingTarget, *, out: Path | None = None, jobs: int = 1, quiet: bool = False
) -> OperatingResult:
    """Choose a bundle's operating point and write it into the bundle.

    Args:
        bundle: its name or folder.
        wanted: data and target rate.
        out: a new bundle; None: the bundle itself is replaced.
        jobs: number of processes.
        quiet: no progress bar.
    Raises:
        UsageError: the bundle keeps only the largest component of a case, or its validation patients are unknown.
        InputError: patients outside the validation part, cases without probabilities, no lesion, or no point that keeps
            within the rate.
    """
    given = load_bundle(bundle)
    recipe = given.recipe
    _require_pieces(recipe, given.name)
    manner = ScoringConfig(wanted.protocol, wanted.labels or recipe.data.file_labels or recipe.data.labels)
    own = None if given.split is None else Split.from_dict(given.split, where=given.folder)
    split = _split(own, wanted, given.name)
    said = wanted if wanted.patient_pattern or wanted.patients else recipe.data
    pairs = match_files(
        wanted.predictions,
        wanted.truth,
        # The truth may cover the whole data set; only validation patients need predictions.
        needed=validation_patients(split, networks=len(given.networks), fold=wanted.fold),
        patient_pattern=said.patient_pattern,
        patients=said.patients,
        labels=manner.scheme_name,
    )
    validation = require_validation_patients(pairs, split, networks=len(given.networks), fold=wanted.fold)
    if own is not None:
        refuse_seen_patients(pairs, own)
    documents = Documents(wanted.predictions)
    _require_predictions(pairs, documents, given)
    _require_own_folds(pairs, documents, given, split)
    # A scheme given by the user labels the lesion itself; the recipe's region refers to the recipe's file labels.
    look = SweepRequest(manner, recipe.predict, region=recipe.data.region if wanted.labels is None else None)
    cases = pairs.cases
    swept = without_errors(map_pairs(look.sweep, cases, jobs=jobs), len(cases))
    looked_at = list(track(swept, "Sweeping thresholds", total=len(cases), quiet=quiet))
    point = _chosen(looked_at, wanted.false_positives)
    confidence = _fitted(cases, look, point, jobs=jobs, quiet=quiet)
    warnings = (*pairs.warnings, *untested_patients(pairs, validation))
    operated = OperatingResult(out or given.folder, point, confidence, warnings)
    _save(given, operated)
    return operated


def _require_pieces(recipe: Recipe, name: str) -> None:
    if recipe.predict.keep_largest:
        raise UsageError(
            "the bundle keeps only the largest component of a case, so no false-positive rate can be chosen",
            where=name,
            cure="that suits patients with one lesion each; for several, train with predict.keep_largest=false",
            code="usage.operating_point",
        )


def _split(own: Split | None, wanted: OperatingTarget, name: str) -> Split:
    """Return the given split, else the bundle's own."""
    split = own if wanted.split_file is None else Split.load(wanted.split_file)
    if split is None:
        raise UsageError(
            "the bundle does not record its split",
            where=name,
            cure="give the split it was trained with: --split FILE",
            code="usage.operating_point",
        )
    return split


def _require_predictions(pairs: Pairs, documents: Documents, bundle: Bundle) -> None:
    """Refuse predictions without probabilities, or of another model according to the documents beside them."""
    without = [pair.case for pair in pairs.cases if not pair.probability]
    if without:
        raise InputError(
            f"{pluralize(len(without), 'case')} without a probability map",
            where=without[0],
            cure="predict again: metseg predict --format mask --format probability",
            code="input.no_probability",
        )
    for pair in pairs.cases:
        for document in documents.of(pair):
            model = document.get("model", bundle.model_name)
            # Documents of 0.1.0 name the recipe.
            if model not in (bundle.model_name, bundle.recipe.name):
                raise InputError(
                    "the predictions are from another model",
                    where=f"case {pair.case}",
                    expected=bundle.model_name,
                    got=model,
                    cure="predict with this bundle",
                    code="input.other_model",
                )


def _require_own_folds(pairs: Pairs, documents: Documents, bundle: Bundle, split: Split) -> None:
    """Refuse predictions of a network from another fold than the patient's: it was trained on the patient.

    Raises:
        InputError: ``input.split_leak``.
    """
    if len(bundle.networks) < 2 or not split.folds:
        return
    of_fold = {one["fold"]: one["fingerprint"] for one in bundle.metrics.get("joined", ())}
    fold_of = {patient: fold for fold, patients in enumerate(split.folds) for patient in patients}
    for pair in pairs.cases:
        expected = of_fold.get(fold_of[pair.patient])
        bundles = {document.get("bundle") for document in documents.of(pair)}
        if expected is None or bundles != {expected}:
            made_by = ", ".join(sorted(filter(None, bundles - {expected})))
            raise InputError(
                "the prediction is from a network that may have been trained on the patient",
                where=pair.patient,
                expected=f"bundle {expected}, validated on fold {fold_of[pair.patient]}",
                got=f"bundle {made_by}" if made_by else "no document that records the bundle",
                cure="predict the patients of each fold with the bundle of that fold, into one folder",
                code="input.split_leak",
            )


def _chosen(swept: Sequence[SweptCase], false_positives: float) -> OperatingPoint:
    in_mm3 = {one.in_mm3 for one in swept}
    if len(in_mm3) > 1:
        raise InputError("some cases have a voxel size and others do not", code="input.spacing")
    by_patient: defaultdict[str, list[Sweep]] = defaultdict(list)
    for one in swept:
        by_patient[one.patient].append(one.sweep)
    return choose_operating_point(by_patient, false_positives, unit=MM3 if in_mm3.pop() else VOXELS)


def _fitted(
    cases: Sequence[CasePair], look: SweepRequest, point: OperatingPoint, *, jobs: int, quiet: bool
) -> ConfidenceMap:
    outcomes = without_errors(map_pairs(partial(look.confidences, point=point), cases, jobs=jobs), len(cases))
    found = list(track(outcomes, "Calibrating confidences", total=len(cases), quiet=quiet))
    confidences = np.concatenate([of_case for of_case, _ in found])
    return fit_confidence(confidences, np.concatenate([hits for _, hits in found]))


def _save(bundle: Bundle, operated: OperatingResult) -> None:
    """Write the bundle with the operating point added to its recipe, metrics and card."""
    before = bundle.recipe.predict
    recipe = bundle.recipe.model_copy(update={"predict": with_point(before, operated.point, operated.confidence)})
    save_bundle(
        operated.bundle,
        networks=bundle.networks,
        recipe=recipe,
        card=_card(bundle.card, operated, scored_at=before.threshold),
        metrics={**bundle.metrics, "operating_point": operated.to_json()},
        split=bundle.split,
    )


def with_point(part: PredictPart, point: OperatingPoint, confidence: ConfidenceMap) -> PredictPart:
    """Return the predict part at an operating point; it replaces a minimum size chosen earlier."""
    in_mm3 = point.unit == MM3
    return part.model_copy(
        update={
            "threshold": point.threshold,
            "minimum_mm3": point.minimum_size if in_mm3 else 0.0,
            "minimum_voxels": 0 if in_mm3 else int(point.minimum_size),
            "confidence_slope": confidence.slope,
            "confidence_intercept": confidence.intercept,
        }
    )


def _card(card: str, operated: OperatingResult, *, scored_at: float) -> str:
    """Return the card with a section on the operating point at its end."""
    point = operated.point
    sides: Mapping[str, Any] = {
        "sensitivity": point.sensitivity,
        "false positives per patient": point.false_positives_per_patient,
        "Dice": point.dice,
    }
    rows = [f"| {name} | {one.mean:.3f} | {_range(one.low, one.high)} |" for name, one in sides.items()]
    plural = "" if point.asked_false_positives == 1 else "s"
    lines = [
        HEADING,
        "",
        f"Chosen for at most {point.asked_false_positives:g} false positive{plural} per patient, on {point.lesions} "
        f"lesions of {point.patients} validation patients: a threshold of {point.threshold:g}, and components of at "
        f"least {point.minimum_size:g} {UNIT_WORDS[point.unit]}. The figures below are on the same patients and "
        "therefore slightly optimistic. Lesion confidences were calibrated on the same patients. Scores above are at "
        f"the earlier threshold {scored_at:g}.",
        *(f"\n{warning}." for warning in operated.warnings),
        "",
        "| figure | value | 95 % interval |",
        "|---|---|---|",
        *rows,
    ]
    return "\n".join([card.partition(HEADING)[0].rstrip(), "", *lines, ""])


def _range(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f"{low:.3f} to {high:.3f}"
