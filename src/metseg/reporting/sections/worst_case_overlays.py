"""Overlays of the worst cases."""

from __future__ import annotations

from pathlib import Path

from metseg.evaluation import METRICS
from metseg.plot.images.outlines import draw_outline_picture
from metseg.reporting.blocks import Block, Bullets, Figure, Gallery, Paragraph, Section
from metseg.reporting.report_data import Contents, Scored
from metseg.reporting.worst_cases import leading_figure


def overlays(contents: Contents, figures: Path) -> Section:
    """Return the worst cases of every set of predictions, truth and prediction outlined."""
    title = "Worst cases"
    if contents.no_overlays:
        return Section("worst", title, (Paragraph(contents.no_overlays),))
    column = leading_figure(contents.scored[0].scores)
    blocks: list[Block] = [
        Paragraph(
            f"The lowest {METRICS[column].title} first. Thick green line: truth; thin orange line: prediction. "
            f"Shown: {contents.shown}."
        )
    ]
    for place, one in enumerate(contents.scored):
        blocks += _of(one, figures, place=place, named=contents.is_comparison)
    return Section("worst", title, tuple(blocks))


def _of(one: Scored, figures: Path, *, place: int, named: bool) -> list[Block]:
    drawn = []
    for rank, overlay in enumerate(one.overlays, start=1):
        # Names of cases come from folders and may be invalid file names, so files are numbered.
        path = figures / f"worst_{place + 1}_{rank}.png"
        draw_outline_picture(overlay.panel, path)
        drawn.append(Figure(path, overlay.caption, alt=f"Overlay of {overlay.caption}", wide=False))
    blocks: list[Block] = [Paragraph("", label=one.name)] if named else []
    if drawn:
        blocks.append(Gallery(tuple(drawn)))
    elif not one.problems:
        blocks.append(Paragraph("No case has an error."))
    if one.problems:
        blocks.append(Bullets(tuple(f"Not shown: {problem}" for problem in one.problems), tone="warning"))
    return blocks
