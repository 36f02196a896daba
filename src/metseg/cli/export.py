"""``metseg export``: write predictions as DICOM objects."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from metseg.api.dicom_results import Exported

FORMATS_HELP = (
    "DICOM objects to write: seg, seg-classes, seg-probability, rtstruct, sr, pdf or pages; several with commas."
)
IDENTITY_HELP = (
    "pseudonym: name no person. keep: write the patient and the UIDs of the source into the objects, for the archive "
    "that the study came from."
)
MARGIN_HELP = "Margin in mm around each lesion of an RTSTRUCT, as one more structure."
MARGIN_KIND_HELP = "What the structure with the margin is: ptv or control."


def export(
    documents: Annotated[
        list[Path], typer.Argument(help="Documents OUT/CASE.json of metseg predict.", metavar="DOCUMENT")
    ],
    source: Annotated[
        list[Path], typer.Option("--source", help="The DICOM study that was predicted on; can be repeated.")
    ],
    formats: Annotated[list[str] | None, typer.Option("--format", metavar="NAMES", help=FORMATS_HELP)] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Output folder; defaults to the folder of the document.")
    ] = None,
    series: Annotated[
        str | None,
        typer.Option(
            "--series", metavar="NUMBER", help="Series of the image, for a prediction of a file converted from it."
        ),
    ] = None,
    identity: Annotated[str, typer.Option("--identity", metavar="CHOICE", help=IDENTITY_HELP)] = "pseudonym",
    margin: Annotated[float | None, typer.Option("--margin", metavar="MM", help=MARGIN_HELP)] = None,
    margin_kind: Annotated[str, typer.Option("--margin-kind", metavar="KIND", help=MARGIN_KIND_HELP)] = "ptv",
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            metavar="NAME_OR_FOLDER",
            help="The bundle or training that was used, if `metseg models list` does not show it.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Write predictions as DICOM: SEG, RTSTRUCT, structured report, encapsulated PDF."""
    from metseg.api.dicom_results import export_result
    from metseg.dicom_export.source_series import SourceStudies

    studies = SourceStudies(tuple(source))
    margins = {"margin_mm": margin, "margin_kind": margin_kind}
    written: list[Path] = []
    try:
        for document in documents:
            made = export_result(
                document,
                studies,
                out,
                formats=separated(formats or ["seg"]),
                series=series,
                identity=identity,
                margin=margins,
                model=model,
            )
            print_notes(document.stem, made)
            written += made.files
    finally:  # if a document fails, the files of those before it are there, and are listed
        if written or sys.exc_info()[0] is None:
            _print_files(written, as_json=as_json)


def _print_files(paths: Sequence[Path], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"files": [str(path) for path in paths]}))
        return
    for path in paths:
        print(path)


def separated(values: Sequence[str]) -> tuple[str, ...]:
    """Return the names in values of an option, each once.

    >>> separated(["seg,sr", "pdf, seg"])
    ('seg', 'sr', 'pdf')
    """
    names = (name.strip() for value in values for name in value.split(","))
    return tuple(dict.fromkeys(name for name in names if name))


def print_notes(case: str, made: Exported) -> None:
    """Print which exports were not written because the result holds nothing for them, and the notes on the others."""
    if made.empty:
        typer.echo(f"note: {case} holds no lesion, so these are not written: {', '.join(made.empty)}", err=True)
    for note in made.notes:
        typer.echo(f"note: {case}: {note}", err=True)
