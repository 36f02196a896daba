"""``metseg corrections``: fetch corrected segmentations of a service as a training set."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from metseg.errors import UsageError
from metseg.message_text import pluralize

if TYPE_CHECKING:
    from metseg.client.training_export import CorrectedStudies

app = typer.Typer(help="Use corrected segmentations of a service for training.", no_args_is_help=True)


@app.callback()
def corrections() -> None:
    """Use corrected segmentations of a service for training."""


@app.command("export")
def export(
    *,
    out: Annotated[Path, typer.Option("--out", help="Folder for the training set; must be empty or absent.")],
    server: Annotated[
        str | None, typer.Option("--server", help="URL of the service. (default: METSEG_API_URL, or this machine)")
    ] = None,
    key: Annotated[str | None, typer.Option("--key", help="API key. (default: METSEG_API_KEY)")] = None,
    home: Annotated[
        Path | None,
        typer.Option("--home", help="Read the folder of a service on this machine instead: studies of all owners."),
    ] = None,
    images: Annotated[
        Path | None,
        typer.Option("--images", help="Folder with the uploaded NIfTI files, under any name; matched by checksum."),
    ] = None,
    reviewed: Annotated[
        bool, typer.Option("--reviewed", help="Only versions in which every lesion is accepted, rejected or added.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Write the latest correction of each study as images and masks that `metseg train` reads.

    The service keeps the reference image only. Masks of studies with other sequences go to masks_only/, unless --images
    has the uploaded files. Rejected lesions are not in the masks.
    """
    from metseg.client.training_export import MANIFEST, export_corrections

    if home is not None and (server is not None or key is not None):
        raise UsageError("--home excludes --server and --key", cure="leave out one of them", code="usage.options")
    with _source(server, key, home) as source:
        manifest = export_corrections(source, out, images=images, reviewed_only=reviewed)
    if as_json:
        print(json.dumps(manifest))
        return
    _print(manifest, out)
    print(out / MANIFEST)


@contextmanager
def _source(server: str | None, key: str | None, home: Path | None) -> Iterator[CorrectedStudies]:
    if home is None:
        from metseg.client.study_client import Client
        from metseg.client.training_export import ClientSource

        with Client(server, key) as client:
            yield ClientSource(client)
        return
    if not (home / "service.sqlite").is_file() and not (home / "metseg.toml").is_file():
        raise UsageError(
            "not the folder of a service", where=home, cure="give the METSEG_HOME of the service", code="usage.folder"
        )
    from metseg.serve.service_context import open_service
    from metseg.serve.settings import load_settings
    from metseg.serve.versions.home_source import HomeSource

    service = open_service(load_settings(home=home))
    try:
        yield HomeSource(service)
    finally:
        service.database.close()


def _print(manifest: dict[str, Any], out: Path) -> None:
    complete = [case for case in manifest["cases"] if case["complete"]]
    for scheme in manifest["datasets"]:
        print(f"{out / scheme}: training set, labels '{scheme}'")
    print(f"{pluralize(len(complete), 'case')} with images and mask")
    for case in manifest["cases"]:
        if not case["complete"]:
            print(f"warning: study {case['study']}: mask only, {case['reason']}; --images can add uploaded NIfTI files")
    if not manifest["cases"]:
        print("no study has a corrected version")
