"""The report of `metseg evaluate`."""

from __future__ import annotations

from pathlib import Path

from metseg.evaluation import ScoringConfig
from metseg.evaluation.files.folder_scoring import FolderScores
from metseg.evaluation.files.multi_model import Evaluation, PredictionSets, paired
from metseg.reporting.image_lookup import Images
from metseg.reporting.overlays import Drawn, draw_worst
from metseg.reporting.provenance import Fact, folder_name, making_facts, scoring_facts
from metseg.reporting.report_data import Contents, Scored, compared
from metseg.reporting.report_page import write_report

NO_IMAGES = "No images were given (--images ROOT), so no overlays were drawn."


def write_evaluation_report(
    evaluation: Evaluation, sets: PredictionSets, manner: ScoringConfig, *, out: Path, images: Images | None = None
) -> Path:
    """Write the report of one or several sets of predictions.

    Args:
        evaluation: of `evaluate_sets`.
        sets: the predictions and the truth.
        manner: protocol and label scheme.
        out: folder of ``report.html`` and ``figures``.
        images: for the overlays of the worst cases; None: no overlays. The report names images that are missing or
            cannot be read.
    Returns:
        the path of ``report.html``.
    """
    return write_report(evaluation_contents(evaluation, sets, manner, images=images), out)


def evaluation_contents(
    evaluation: Evaluation, sets: PredictionSets, manner: ScoringConfig, *, images: Images | None = None
) -> Contents:
    """Return the contents of the report of an evaluation; see `write_evaluation_report`."""
    scored = tuple(
        Scored(name, one.summary, one.scores, drawn.overlays, drawn.problems)
        for name, one in evaluation.sets.items()
        for drawn in [_drawn(one, sets.predictions[name], sets, manner, images)]
    )
    names = ", ".join(evaluation.sets)
    return Contents(
        title=f"{names} against {folder_name(sets.truth)}",
        facts=_facts(evaluation, sets, manner),
        manner=manner,
        scored=scored,
        comparisons=compared(evaluation.comparisons),
        readers=evaluation.readers,
        groups=evaluation.groups,
        no_overlays=NO_IMAGES if images is None else "",
    )


def _facts(evaluation: Evaluation, sets: PredictionSets, manner: ScoringConfig) -> tuple[Fact, ...]:
    first = next(iter(evaluation.sets.values())).summary
    predictions = [
        folder_name(path) if name == folder_name(path) else f"{name} (folder {folder_name(path)})"
        for name, path in sets.predictions.items()
    ]
    second = () if sets.second_truth is None else (("Second reader", folder_name(sets.second_truth)),)
    return (
        ("Truth", folder_name(sets.truth)),
        *second,
        ("Predictions", ", ".join(predictions)),
        ("Protocol", manner.protocol),
        ("Labels", _labels(manner)),
        *scoring_facts(first),
        *making_facts(),
    )


def _labels(manner: ScoringConfig) -> str:
    scheme = manner.scheme or manner.rules.scheme
    return scheme if isinstance(scheme, str) else ", ".join(f"{label} {name}" for label, name in scheme.classes.items())


def _drawn(
    one: FolderScores, predictions: Path, sets: PredictionSets, manner: ScoringConfig, images: Images | None
) -> Drawn:
    if images is None:
        return Drawn()
    return draw_worst(one.scores, paired(sets, predictions, manner).cases, manner, images)
