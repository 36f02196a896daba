"""``metseg report``: write a readable report of a predicted study."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer


def report(
    documents: Annotated[
        list[Path], typer.Argument(help="Documents OUT/CASE.json of metseg predict.", metavar="DOCUMENT")
    ],
    formats: Annotated[
        list[str] | None,
        typer.Option("--format", metavar="NAME", help="Report format: pdf or html; can be repeated."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Output folder; defaults to the folder of the document.")
    ] = None,
    images: Annotated[
        Path | None, typer.Option("--images", help="The study's images, as background; black without them.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            metavar="NAME_OR_FOLDER",
            help="The bundle or training that was used, if `metseg models list` does not show it.",
        ),
    ] = None,
    pseudonym: Annotated[
        str | None, typer.Option("--pseudonym", help="Name of the study in the report; defaults to the case name.")
    ] = None,
    key_images: Annotated[
        int | None,
        typer.Option("--key-images", min=0, max=100, help="Number of lesions with a key image, largest first."),
    ] = None,
    paper: Annotated[str | None, typer.Option("--paper", help="Paper size: A4 or Letter.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Write a report of a predicted study: key images, lesion table, total burden, model scores and limits."""
    from metseg.reporting.study.formats import check_pseudonym, check_request, write_report
    from metseg.reporting.study.from_disk import report_of_document
    from metseg.reporting.study.pdf_writer import DEFAULT_PAPER
    from metseg.reporting.study.report_builder import Options

    chosen = formats or ["pdf"]
    sheet = check_request(chosen, paper=paper or DEFAULT_PAPER)
    check_pseudonym(pseudonym, studies=len(documents))
    options = Options(pseudonym=pseudonym)
    if key_images is not None:
        options = options.model_copy(update={"key_images": key_images})
    written: list[Path] = []
    for document in documents:
        made = report_of_document(document, images=images, model=model, options=options)
        folder = document.parent if out is None else out
        written += write_report(made, folder / f"{pseudonym or document.stem}-report", chosen, paper=sheet)
    if as_json:
        print(json.dumps({"reports": [str(path) for path in written]}))
        return
    for path in written:
        print(path)
