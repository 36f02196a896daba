"""Write the file `report.html` and its figures."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from metseg.disclaimer import NOTICE
from metseg.evaluation import METRICS
from metseg.reporting.blocks import Block, Bullets, Facts, Figure, Gallery, Page, Paragraph, Section
from metseg.reporting.html import write_page
from metseg.reporting.report_data import Contents
from metseg.reporting.sections import SECTIONS
from metseg.reporting.sections.differences import too_narrow, verdicts
from metseg.reporting.worst_cases import leading_figure

REPORT, FIGURES = "report.html", "figures"

#: File names of report figures, for removing those of an earlier report.
OURS = ("distribution_*", "differences_*", "sensitivity_by_size", "froc", "bland_altman", "reliability_*", "worst_*_*")


def write_report(contents: Contents, out: Path, *, more: tuple[Section, ...] = ()) -> Path:
    """Write ``report.html``, and the folder ``figures`` with every figure as SVG and PNG.

    Figures of an earlier report that this one does not have are removed. Other files in that folder are kept.

    Args:
        contents: the contents.
        out: folder of both.
        more: additional sections, placed first; their figures may be anywhere.
    Returns:
        the path of the page.
    """
    figures = out / FIGURES
    page = page_of(contents, figures, more=more)
    write_page(page, out / REPORT)
    kept = {figure.path.stem for figure in _figures(page)}
    for path in list(figures.iterdir()) if figures.is_dir() else ():
        if path.stem not in kept and path.suffix in (".svg", ".png") and any(map(path.with_suffix("").match, OURS)):
            path.unlink()
    return out / REPORT


def _figures(page: Page) -> Iterator[Figure]:
    for section in page.sections:
        for block in section.blocks:
            yield from block.figures if isinstance(block, Gallery) else (block,) if isinstance(block, Figure) else ()


def page_of(contents: Contents, figures: Path, *, more: tuple[Section, ...] = ()) -> Page:
    """Write the figures into a folder and return the page."""
    made = (make(contents, figures) for make in SECTIONS)
    sections = (*more, *(section for section in made if section is not None))
    return Page(contents.title, NOTICE, summary=_summary(contents), sections=sections)


def _summary(contents: Contents) -> tuple[Block, ...]:
    """Return the facts, the main verdicts, and the number of warnings."""
    blocks: list[Block] = [Facts(contents.facts)]
    column = leading_figure([score for one in contents.scored for score in one.scores])
    leading = [one for one in contents.comparisons if one.figure == METRICS[column].title] or contents.comparisons[:1]
    blocks += [Paragraph(text, label=title, tone="verdict") for title, text in verdicts(leading)]
    blocks += too_narrow(contents.scored[0].summary.patients)
    if contents.warnings:
        blocks.append(Bullets(contents.warnings, tone="warning"))
    for one in contents.scored:
        name = one.name if len(contents.scored) > 1 else "Trivial predictions"
        blocks += [Paragraph(text, label=name, tone="warning") for text in one.summary.trivial]
    cases = sum(len(one.summary.warnings) for one in contents.scored)
    if cases:
        noun = "warning is listed" if cases == 1 else "warnings are listed"
        blocks.append(Paragraph(f"{cases} {noun} under Rules and warnings.", tone="warning"))
    return tuple(blocks)
