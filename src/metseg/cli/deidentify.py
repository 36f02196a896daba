"""``metseg deidentify``: copy DICOM studies without what identifies the patient."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from metseg.message_text import pluralize

if TYPE_CHECKING:
    from metseg.deidentification import Deidentified

DATES = ("remove", "shift")


def deidentify(
    inputs: Annotated[list[Path], typer.Argument(help="DICOM folders, zip archives or files.", metavar="INPUT")],
    out: Annotated[Path, typer.Option("--out", help="Output folder; empty or absent.")],
    dates: Annotated[
        str,
        typer.Option(
            "--dates",
            metavar="CHOICE",
            help="remove: no dates stay. shift: all dates of a patient move by the same secret number of days, so that "
            "the time between examinations stays.",
        ),
    ] = "remove",
    keep_descriptions: Annotated[
        bool,
        typer.Option(
            "--keep-descriptions", help="Keep technical words of series descriptions; sequences are recognised by them."
        ),
    ] = False,
    keep_burned_in: Annotated[
        bool,
        typer.Option("--keep-burned-in", help="Also copy pictures that may show a name in their pixels."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Copy DICOM images without what identifies the patient (PS3.15, Basic Confidentiality Profile)."""
    from metseg.deidentification import deidentify_files
    from metseg.deidentification.dataset_cleaner import CleaningOptions
    from metseg.registry import lookup
    from metseg.runtime.progress import track

    lookup("choice of --dates", dict.fromkeys(DATES), dates)
    options = CleaningOptions("shift" if dates == "shift" else "remove", keep_descriptions)
    done = deidentify_files(
        inputs,
        out,
        options,
        keep_burned_in=keep_burned_in,
        track=lambda places: track(places, "De-identifying", quiet=as_json),
    )
    if as_json:
        print(
            json.dumps(
                {
                    "files": [str(path) for path in done.written],
                    "studies": sorted(f"study-{study}" for study in done.studies),
                    "set_aside": dict(done.set_aside),
                    "removed": dict(done.removed),
                }
            )
        )
    else:
        _print(done, out)
    if not done.written:
        raise typer.Exit(3)


def _print(done: Deidentified, out: Path) -> None:
    for reason, count in sorted(done.set_aside.items()):
        typer.echo(f"note: {pluralize(count, 'file')} not copied: {reason}", err=True)
    print(
        f"{pluralize(len(done.written), 'image')} of {pluralize(len(done.studies), 'study', 'studies')} in {out}; "
        f"{pluralize(done.removed['private'], 'private element')} removed"
    )
    print("Pixels are unchanged: a head with skull shows the face.")
