"""Agreement of predicted and true volumes, the basis of response assessment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from metseg.evaluation import CaseScores
from metseg.evaluation.statistics.volume_agreement import LIMIT_SD, BlandAltman, VolumeAgreement
from metseg.measure import MM3_PER_ML
from metseg.plot.bland_altman import LINEAR_ML, Agreement, draw_bland_altman
from metseg.reporting.blocks import Figure, Paragraph, Section, Table
from metseg.reporting.formatting import BOOTSTRAP, OVER_PATIENTS, bounds_of, interval_text
from metseg.reporting.report_data import Contents

TITLES = (
    "region",
    "predictions",
    "of",
    "in",
    "n",
    "bias",
    "lower limit",
    "upper limit",
    "concordance",
)


def volumes(contents: Contents, figures: Path) -> Section:
    """Return the Bland-Altman plot of the cases' volumes, and bias and limits of cases and found lesions."""
    title = "Volumes"
    panels: dict[str, Agreement] = {}
    rows: list[tuple[str, ...]] = []
    empty = [region for region in contents.regions if _is_empty(contents, region)]
    for region in contents.regions:
        for series, one in enumerate(contents.scored):
            known = one.summary.regions[region].volume
            if known is None or region in empty:
                continue
            name = f"{region}, {one.name}" if contents.is_comparison else region
            panels[name] = _agreement(one.scores, region, known.total.absolute, series=series)
            rows += [(region, one.name, "cases", *cells) for cells in _rows(known.total)]
            if known.lesions is not None:
                rows += [(region, one.name, "found lesions", *cells) for cells in _rows(known.lesions)]
    if not panels:
        why = "Truth and predictions are empty" if empty else "The data have no voxel size"
        return Section("volumes", title, (Paragraph(f"{why}, so there are no volumes to compare."),))
    path = figures / "bland_altman.svg"
    draw_bland_altman(panels, path)
    caption = (
        "Predicted minus true volume against the mean of the two; each point is a case. Solid line: bias; dashed: "
        f"limits of agreement (bias ± {LIMIT_SD:g} standard deviations); bands: {BOOTSTRAP}. "
        f"Where volumes differ widely, the lower axis is logarithmic beyond {LINEAR_ML:g} mL."
        + (f" Not shown (empty in every case): {', '.join(empty)}." if empty else "")
    )
    table = Table(
        TITLES,
        tuple(rows),
        words=4,
        caption=f"Prediction minus truth, limits of agreement, Lin's concordance ({OVER_PATIENTS})",
    )
    return Section("volumes", title, (Figure(path, caption, alt="Bland-Altman plot of volumes"), table))


def _is_empty(contents: Contents, region: str) -> bool:
    """Return whether a region is empty in all truths and predictions with a known volume."""
    sides = ("truth_volume_mm3", "predicted_volume_mm3")
    return all(score[region].metrics[side] == 0 for one in contents.scored for score in one.scores for side in sides)


def _agreement(scores: Sequence[CaseScores], region: str, known: BlandAltman, *, series: int) -> Agreement:
    values: list[Mapping[str, float | None]] = [one[region].metrics for one in scores]
    pairs = [
        (truth / MM3_PER_ML, predicted / MM3_PER_ML)
        for one in values
        if (truth := one["truth_volume_mm3"]) is not None and (predicted := one["predicted_volume_mm3"]) is not None
    ]
    lower, upper = known.lower_limit, known.upper_limit
    return Agreement(
        truth_ml=[truth for truth, _ in pairs],
        predicted_ml=[predicted for _, predicted in pairs],
        bias_ml=bounds_of(known.bias),
        lower_ml=None if lower is None else bounds_of(lower),
        upper_ml=None if upper is None else bounds_of(upper),
        series=series,
    )


def _rows(one: VolumeAgreement) -> list[tuple[str, ...]]:
    """Return the agreement in mL with the concordance, and in percent of nonzero true volumes."""
    rows = [(*_bias_and_limits(one.absolute), interval_text(one.concordance))]
    return rows if one.relative is None else [*rows, (*_bias_and_limits(one.relative), "")]


def _bias_and_limits(one: BlandAltman) -> tuple[str, ...]:
    figures = (interval_text(figure, one.unit) for figure in (one.bias, one.lower_limit, one.upper_limit))
    return one.unit, str(one.observations), *figures
