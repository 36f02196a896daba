"""``metseg follow``: compare the lesions of a patient over examinations."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from metseg.cli.output import Cells, Shown

if TYPE_CHECKING:
    from metseg.follow_up_document import FollowUpDocument


def follow(
    studies: Annotated[
        list[Path],
        typer.Argument(help="Examinations in order of time, or a folder that holds them.", metavar="STUDY"),
    ],
    out: Annotated[Path, typer.Option("--out", help="Output folder.")],
    predictions: Annotated[
        Path | None, typer.Option("--predictions", help="Folder that metseg predict wrote for these studies.")
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option("--labels", metavar="SCHEME", help="Label scheme of masks beside the images, if not predicted."),
    ] = None,
    dates: Annotated[
        list[str] | None,
        typer.Option("--date", metavar="YYYY-MM-DD", help="Date of an examination; repeat it for each, in order."),
    ] = None,
    patient: Annotated[str | None, typer.Option("--patient", help="Name of the patient in the results.")] = None,
    steroids: Annotated[
        list[str] | None,
        typer.Option(
            "--steroids",
            metavar="VALUE",
            help="Corticosteroids at an examination after the first: none, decreased, stable or increased; repeat it "
            "for each. Without it the result is for imaging only.",
        ),
    ] = None,
    clinical: Annotated[
        list[str] | None,
        typer.Option(
            "--clinical",
            metavar="VALUE",
            help="Clinical status at an examination after the first: improved, stable or worse; repeat it for each. "
            "Worse is progression, also without --steroids.",
        ),
    ] = None,
    repeatability_mm: Annotated[
        float | None,
        typer.Option(
            "--repeatability-mm",
            min=0,
            help="Standard deviation of a lesion's radius when it is outlined again; without it, the error of "
            "measurement is that of the voxel grid alone.",
        ),
    ] = None,
    formats: Annotated[
        list[str] | None,
        typer.Option("--format", metavar="NAME", help="Report format: pdf or html; can be repeated. (default: both)"),
    ] = None,
    paper: Annotated[str | None, typer.Option("--paper", help="Paper size: A4 or Letter.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Compare the lesions of a patient over examinations: what changed, sizes with their error, and RANO-BM."""
    import metseg
    from metseg.reporting.study.pdf_writer import DEFAULT_PAPER

    followed = metseg.follow(
        studies,
        predictions=predictions,
        labels=labels,
        dates=dates or (),
        patient=patient,
        steroids=steroids or (),
        clinical=clinical or (),
        repeatability_mm=repeatability_mm,
        out=out,
        formats=formats or ("pdf", "html"),
        paper=paper or DEFAULT_PAPER,
    )
    document = followed.document
    if as_json:
        print(document.model_dump_json())
        return
    for doubt in document.doubts:
        print(f"Doubtful: {doubt}")
    _shown(document, out).print()


def _shown(document: FollowUpDocument, out: Path) -> Shown:
    """Return the changes at the last examination as a table, most important first, and the summary as lines."""
    from metseg.longitudinal.change_text import changes_at
    from metseg.reporting.follow_up.follow_up_tables import change_table

    changes = changes_at(document.lesions, document.timepoints[-1].name)
    table = change_table(document, changes)
    cells = Cells(tuple(column.title for column in table.columns), table.rows) if changes else None
    lines = [*(("result", text) for text in document.headline), ("written to", str(out)), ("note", document.notice)]
    return Shown(document.model_dump(mode="json"), lines, cells)
