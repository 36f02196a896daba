"""Whether predicted volumes agree with true ones: treatment response is read from volume."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from metseg.evaluate import CaseScores
from metseg.evaluate.volumes import LIMIT_SD, BlandAltman, VolumeAgreement
from metseg.measure import MM3_PER_ML
from metseg.plot.bland_altman import LINEAR_ML, Agreement, draw_bland_altman
from metseg.report.blocks import NOTHING, Figure, Paragraph, Section, Table
from metseg.report.contents import Contents
from metseg.report.words import BOOTSTRAP, OVER_PATIENTS, bounds_of, interval_text

TITLES = (
    "region",
    "predictions",
    "of",
    "n",
    "bias (mL)",
    "limits of agreement (mL)",
    "bias (%)",
    "limits of agreement (%)",
    "concordance",
)


def volumes(contents: Contents, figures: Path) -> Section:
    """Return the Bland-Altman plot of the cases' volumes, and bias and limits of cases and found lesions."""
    title = "Volumes"
    panels: dict[str, Agreement] = {}
    rows: list[tuple[str, ...]] = []
    for region in contents.regions:
        for one in contents.scored:
            known = one.summary.regions[region].volume
            if known is None:
                continue
            name = f"{region}, {one.name}" if contents.is_comparison else region
            panels[name] = _agreement(one.scores, region, known.total.absolute)
            rows.append((region, one.name, "cases", *_cells(known.total)))
            if known.lesions is not None:
                rows.append((region, one.name, "found lesions", *_cells(known.lesions)))
    if not panels:
        return Section("volumes", title, (Paragraph("The data have no voxel size, so no volume is known."),))
    path = figures / "bland_altman.svg"
    draw_bland_altman(panels, path)
    caption = (
        "Predicted minus true volume against the mean of the two; each point is a case. Solid line: bias; dashed: "
        f"limits of agreement (bias ± {LIMIT_SD:g} standard deviations); bands: {BOOTSTRAP}. "
        f"Where volumes differ widely, the lower axis is logarithmic beyond {LINEAR_ML:g} mL."
    )
    table = Table(TITLES, tuple(rows), words=3, caption=f"Prediction minus truth ({OVER_PATIENTS})")
    return Section("volumes", title, (Figure(path, caption, alt="Bland-Altman plot of volumes"), table))


def _agreement(scores: Sequence[CaseScores], region: str, known: BlandAltman) -> Agreement:
    values: list[Mapping[str, float | None]] = [one[region].values for one in scores]
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
    )


def _cells(one: VolumeAgreement) -> tuple[str, ...]:
    return (
        str(one.absolute.observations),
        *_bias_and_limits(one.absolute),
        *(_bias_and_limits(one.relative) if one.relative is not None else (NOTHING, NOTHING)),
        interval_text(one.concordance),
    )


def _bias_and_limits(one: BlandAltman) -> tuple[str, str]:
    if one.lower_limit is None or one.upper_limit is None:
        return interval_text(one.bias, one.unit), NOTHING
    limits = f"{interval_text(one.lower_limit, one.unit)} and {interval_text(one.upper_limit, one.unit)}"
    return interval_text(one.bias, one.unit), limits
