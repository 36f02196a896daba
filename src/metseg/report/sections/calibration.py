"""Whether probabilities, of voxels and of lesions, mean what they say."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from metseg.evaluate.calibration import FOREGROUND, Calibration
from metseg.plot.reliability import LESIONS, VOXELS, Axis, Reliability, draw_reliability
from metseg.report.blocks import Block, Figure, Paragraph, Section, Table
from metseg.report.contents import Contents
from metseg.report.words import OVER_PATIENTS, bounds_of, interval_text


def calibration(contents: Contents, figures: Path) -> Section:
    """Return the reliability of voxels and of lesions' confidences, with the calibration errors."""
    title = "Calibration"
    voxels = {
        one.name: one.summary.probabilities.voxels for one in contents.scored if one.summary.probabilities is not None
    }
    lesions = {
        f"{region}, {one.name}" if contents.is_comparison else region: known
        for region in contents.regions
        for one in contents.scored
        if (known := one.summary.regions[region].confidence) is not None
    }
    blocks: list[Block] = []
    if voxels:
        path = figures / "reliability_voxels.svg"
        blocks += _part(voxels, path, axis=VOXELS, what="voxels", right="lesion of any class")
    if lesions:
        path = figures / "reliability_lesions.svg"
        blocks += _part(lesions, path, axis=LESIONS, what="predicted lesions, by their confidence", right="hits")
    if not blocks:
        blocks.append(Paragraph("There are no probabilities, so nothing can be said about them."))
    return Section("calibration", title, tuple(blocks))


def _part(known: Mapping[str, Calibration], path: Path, *, axis: Axis, what: str, right: str) -> list[Block]:
    draw_reliability({name: _reliability(one) for name, one in known.items()}, path, axis=axis)
    caption = (
        f"Reliability of {what}: the share that are {right} against the mean probability in each bin, all patients "
        "together; underneath, how many each bin holds. On the dotted line a probability is exactly right, below it "
        "too sure."
    )
    titles = ("predictions", "ECE", f"ECE from {FOREGROUND:g} on", "Brier score")
    rows = tuple(
        (name, *(interval_text(figure) for figure in (one.ece, one.ece_foreground, one.brier)))
        for name, one in known.items()
    )
    table = Table(titles, rows, caption=f"Expected calibration error of {what} ({OVER_PATIENTS})")
    return [Figure(path, caption, alt=f"Reliability of {what}"), table]


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
