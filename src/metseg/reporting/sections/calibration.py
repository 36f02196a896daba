"""Calibration of the probabilities of voxels and lesions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from metseg.evaluation.statistics.calibration import FOREGROUND, Calibration
from metseg.plot.reliability import LESIONS, VOXELS, Axis, Reliability, draw_reliability
from metseg.reporting.blocks import Block, Figure, Paragraph, Section, Table
from metseg.reporting.formatting import BOOTSTRAP, OVER_PATIENTS, bounds_of, figure_text, interval_text
from metseg.reporting.report_data import Contents


def calibration(contents: Contents, figures: Path) -> Section:
    """Return the reliability of voxels and of lesions' confidences, with the calibration errors."""
    title = "Calibration"
    voxels = {
        one.name: one.summary.probabilities.voxels for one in contents.scored if one.summary.probabilities is not None
    }
    lesions = {
        region: found
        for region in contents.regions
        if (found := {one.name: known for one in contents.scored if (known := one.summary.regions[region].confidence)})
    }
    blocks: list[Block] = []
    if voxels:
        path = figures / "reliability_voxels.svg"
        blocks += _part(voxels, path, axis=VOXELS, what="voxels", right="lesion of any class")
    for place, (region, found) in enumerate(lesions.items(), start=1):
        path = figures / f"reliability_lesions_{place}.svg"
        what = f"predicted lesions ({region}), by their confidence"
        blocks += _part(found, path, axis=LESIONS, what=what, right="hits")
    if not blocks:
        blocks.append(Paragraph("No probabilities were given, so calibration is not reported."))
    return Section("calibration", title, tuple(blocks))


def _part(known: Mapping[str, Calibration], path: Path, *, axis: Axis, what: str, right: str) -> list[Block]:
    draw_reliability({name: _reliability(one) for name, one in known.items()}, path, axis=axis)
    caption = (
        f"Reliability of {what}: the share that are {right} against the mean probability in each bin, all patients "
        f"together; below, the number in each bin. Bars: {BOOTSTRAP}; no bar: the whole bin is from one patient. "
        "On the dotted line probabilities are exactly right; below it they are too high."
    )
    titles = ("predictions", "ECE", f"ECE from {FOREGROUND:g} on", "Brier score")
    rows = tuple(
        (name, *(interval_text(figure) for figure in (one.ece, one.ece_foreground, one.brier)))
        for name, one in known.items()
    )
    table = Table(titles, rows, caption=f"Expected calibration error of {what} ({OVER_PATIENTS})")
    return [Figure(path, caption, alt=f"Reliability of {what}"), table, _bins(known, axis=axis, what=what)]


def _bins(known: Mapping[str, Calibration], *, axis: Axis, what: str) -> Table:
    """Return the points of the curves with their counts."""
    titles = ("predictions", "bin", axis.counted, "patients", f"mean {axis.predicted}", axis.observed)
    rows = tuple(
        (name, f"{one.low:g} to {one.high:g}", f"{one.count:,}", str(one.observed.patients), mean, share)
        for name, calibrated in known.items()
        for one in calibrated.bins
        if one.observed is not None
        for mean, share in [(figure_text(one.mean_probability), interval_text(replace(one.observed, undefined=0)))]
    )
    caption = f"Points of the curves of {what} ({OVER_PATIENTS}; empty bins are left out)"
    return Table(titles, rows, words=2, caption=caption, folded=True)


def _reliability(one: Calibration) -> Reliability:
    points = [
        (known.mean_probability, bounds_of(known.observed), known.count)
        for known in one.bins
        if known.mean_probability is not None and known.observed is not None
    ]
    return Reliability(
        predicted=[probability for probability, _, _ in points],
        observed=[observed for _, observed, _ in points],
        counts=[count for _, _, count in points],
        error=None if one.ece is None else one.ece.mean,
    )
