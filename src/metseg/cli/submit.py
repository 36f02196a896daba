"""``metseg submit``: have a study processed by a service, and fetch the results."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from metseg.cli.option_parsing import named_sequences
from metseg.errors import UsageError
from metseg.message_text import examples_text, pluralize
from metseg.runtime.progress import PLAIN_INTERVAL_S

if TYPE_CHECKING:
    from metseg.schemas import Study

#: Cure by code of the service, in words of this command.
CURES: Mapping[str, str] = {
    "request.unauthorised": "give an API key with --key or METSEG_API_KEY",
    "input.unknown_sequence": "name the sequence of the file with --modality t1c=FILE",
    "input.missing_sequence": "name sequences with --modality t1c=FILE or --series t1c=NUMBER, or change --model",
    "input.duplicate_sequence": "leave out all but one, or choose with --modality t1c=FILE or --series t1c=NUMBER",
    "input.brain_mask": "add a brain mask with --modality brain_mask=FILE, or upload skull-stripped images",
    "input.no_fitting_model": "add what is missing, name sequences with --modality t1c=FILE, or give another --model",
    "licence.not_accepted": "choose another --model, or ask the operator to run metseg models accept and its name",
    "input.dimensions": "choose a model for this kind of study with --model",
}


def submit(
    *,
    files: Annotated[
        list[Path] | None,
        typer.Argument(help="Files of one patient, or a folder of them.", metavar="FILE..."),
    ] = None,
    server: Annotated[
        str | None, typer.Option("--server", help="URL of the service. (default: METSEG_API_URL, or this machine)")
    ] = None,
    key: Annotated[str | None, typer.Option("--key", help="API key. (default: METSEG_API_KEY)")] = None,
    out: Annotated[Path, typer.Option("--out", help="Folder for the results; must be empty or absent.")] = Path(
        "results"
    ),
    model: Annotated[
        str | None,
        typer.Option("--model", help="Name of a model; defaults to the one that fits best; the reason is printed."),
    ] = None,
    modality: Annotated[
        list[str] | None,
        typer.Option(help="t1c=FILE: upload this file as the sequence; brain_mask=FILE: a brain mask."),
    ] = None,
    series: Annotated[
        list[str] | None,
        typer.Option("--series", help="t1c=NUMBER: use this DICOM series as the sequence; t1c=none: leave it out."),
    ] = None,
    label: Annotated[
        str,
        typer.Option("--label", metavar="TEXT", help="A few words to find the study again; never a patient's name."),
    ] = "",
    stack: Annotated[bool, typer.Option("--stack", help="Read multi-page TIFFs as stacks of slices.")] = False,
    allow_gaps: Annotated[
        bool, typer.Option("--allow-gaps", help="Interpolate slices missing from a DICOM series.")
    ] = False,
    uncertainty: Annotated[
        bool,
        typer.Option("--uncertainty", help="Also measure how far the predictions of mirror images and folds differ."),
    ] = False,
    explanation: Annotated[
        bool,
        typer.Option(
            "--explanation", help="Also make maps of Grad-CAM and of attention gates, where the model has any."
        ),
    ] = False,
    artifact: Annotated[
        list[str] | None,
        typer.Option(
            "--artifact", help="Result to fetch, such as probability.nii.gz; defaults to masks, lesions and reports."
        ),
    ] = None,
    timeout: Annotated[
        float | None, typer.Option("--timeout", min=0, help="Seconds to wait; defaults to no limit.")
    ] = None,
    delete: Annotated[
        bool, typer.Option("--delete", help="Delete the study from the service once its results are written.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Upload a study to a service, wait until it is processed, and write the results.

    Exits with a status other than 0, and prints nothing to standard output, if the study fails.
    """
    from metseg.client.study_client import Client

    _require_empty(out)
    images, left_out = _images(files or [])
    with Client(server, key) as client, _advice():
        study = client.submit(
            images,
            sequences=named_sequences(modality or []),
            model=model,
            stack=stack,
            allow_gaps=allow_gaps,
            series=named_sequences(series or [], option="--series"),
            uncertainty=uncertainty,
            explanation=explanation,
            label=label,
        )
        typer.echo(f"study {study.id}", err=True)
        if left_out:
            names = examples_text([path.name for path in left_out])
            typer.echo(f"note: not uploaded, no images of the study: {names}", err=True)
        if study.facts.model_reason:
            typer.echo(f"note: {study.facts.model_reason}", err=True)
        done = client.wait(study, timeout_s=timeout, on_progress=None if as_json else _Progress())
        written = client.save(done, out, artifact)
        if delete:
            client.delete(done)
    if as_json:
        document = {"study": done.model_dump(mode="json"), "files": [str(path) for path in written]}
        print(json.dumps(document))
        return
    _print(done, written)


@contextmanager
def _advice() -> Iterator[None]:
    """Replace the cures of the service, which name form fields, by those that name options of this command."""
    from metseg.client.service_errors import ServiceError

    try:
        yield
    except ServiceError as error:
        error.cure = CURES.get(error.code, error.cure)
        raise


class _Progress:
    """Prints a line on standard error when a phase begins, and every few seconds."""

    def __init__(self) -> None:
        self._shown: tuple[str, str] | None = None
        self._last = 0.0

    def __call__(self, study: Study) -> None:
        now, place = time.monotonic(), (study.state, study.phase)
        if study.state.is_final or (place == self._shown and now - self._last < PLAIN_INTERVAL_S):
            return
        self._shown, self._last = place, now
        what = "waiting for a worker" if study.state == "queued" else study.phase
        typer.echo(f"{study.progress:4.0%}  {what}", err=True)


def _images(paths: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """Return the files to upload, and those in folders that are left out: texts, tables and masks of lesions.

    Masks are left out only beside other images: names alone do not prove that a folder has no image.
    """
    from metseg.client.upload_files import files_below, is_no_image

    uploaded: list[Path] = []
    left_out: list[Path] = []
    for path in paths:
        found = files_below(path) if path.is_dir() else []
        others = [file for file in found if is_no_image(file.name)]
        images = [file for file in found if file not in others]
        masks = [file for file in images if _is_lesion_mask(file.name)]
        masks = masks if len(masks) < len(images) else []
        # A folder without images is given as it is: the client says that there is nothing to upload.
        uploaded += [file for file in images if file not in masks] or [path]
        left_out += [*others, *masks]
    return uploaded, left_out


def _is_lesion_mask(name: str) -> bool:
    """Return whether a NIfTI file or picture is a mask by its name; names of DICOM files say nothing."""
    from metseg.io.file_index import PICTURE_ENDINGS
    from metseg.io.sequence_names import is_lesion_mask
    from metseg.io.volumes.image_files import stem_of
    from metseg.io.volumes.nifti_file import NIFTI_ENDINGS

    return name.lower().endswith((*NIFTI_ENDINGS, *PICTURE_ENDINGS)) and is_lesion_mask(stem_of(name))


def _require_empty(folder: Path) -> None:
    """Raise unless a folder can receive the results of one study: files of another one would look like this one's."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(
            "the results folder is not empty" if folder.is_dir() else "not a folder",
            where=folder,
            cure="choose another one with --out",
            code="usage.folder",
        )


def _print(study: Study, written: tuple[Path, ...]) -> None:
    """Print the headline in the order of the page: fitness, warnings, finding, figures; then the files."""
    headline = study.headline
    if headline is not None and headline.fitness:
        print(headline.fitness)
    for warning in study.warnings:
        print(f"warning: {warning.text}")
    print(headline.finding if headline is not None else pluralize(len(study.lesions), "lesion"))
    for figure in headline.figures if headline is not None else ():
        print(f"  {figure.name}: {figure.text}")
    for path in written:
        print(path)
    print(study.notice)
