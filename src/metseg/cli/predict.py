"""``metseg predict``: masks for pictures, volumes and folders of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from metseg.cli.option_parsing import absolute, named_part, named_sequences
from metseg.message_text import pluralize

if TYPE_CHECKING:
    from metseg.inference.batch import Outcome

#: Errors printed one by one; the rest are counted.
SHOWN_ERRORS = 10

#: Kinds of warning printed; the documents hold all of them.
SHOWN_WARNINGS = 5


def predict(
    *,
    inputs: Annotated[
        list[Path] | None, typer.Argument(help="Pictures, volumes, DICOM, or folders of them.", metavar="INPUT...")
    ] = None,
    model: Annotated[str, typer.Option("--model", help="A bundle: its name or its folder.")],
    out: Annotated[Path, typer.Option("--out", help="Output folder for masks and JSON documents.")] = Path(
        "predictions"
    ),
    formats: Annotated[
        list[str] | None,
        typer.Option(
            "--format", help="Result to write: mask, overlay, probability, instances or brain-mask; can be repeated."
        ),
    ] = None,
    tta: Annotated[bool | None, typer.Option("--tta/--no-tta", help="Average over mirror images.")] = None,
    shard: Annotated[
        str | None,
        typer.Option(help="Process part i of n of the cases, given as i/n. Skips finished cases; safe to run again."),
    ] = None,
    modality: Annotated[
        list[str] | None,
        typer.Option(
            help="t1c=PATH: use this file or DICOM series as the sequence; overrides detection. t1c=none: leave it out."
        ),
    ] = None,
    patient_pattern: Annotated[
        str | None, typer.Option(help="Regular expression, searched in the path; its group matches the patient.")
    ] = None,
    patients: Annotated[
        Path | None, typer.Option("--patients", help="Table (CSV) with a row per file or study: its patient.")
    ] = None,
    stack: Annotated[
        bool | None, typer.Option("--stack/--no-stack", help="Read multi-page TIFFs as stacks of slices.")
    ] = None,
    allow_gaps: Annotated[
        bool | None, typer.Option("--allow-gaps/--no-gaps", help="Interpolate slices missing from a DICOM series.")
    ] = None,
    split: Annotated[
        Path | None, typer.Option("--split", help="Predict only one part of this split; requires --part.")
    ] = None,
    part: Annotated[str | None, typer.Option("--part", help="Part of --split: train, validation or test.")] = None,
    fold: Annotated[int | None, typer.Option("--fold", min=0, help="Validation fold of --split, from 0.")] = None,
    device: Annotated[str, typer.Option("--device", help="Device: auto, cpu, cuda, cuda:1 or mps.")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Find lesions and write masks on the input's grid, overlays, and a lesion table as JSON."""
    from metseg.malloc_tuning import give_back_freed_memory

    give_back_freed_memory()
    from metseg.inference.batch import predict_paths
    from metseg.inference.input_options import InputOptions
    from metseg.inference.predictor import Predictor
    from metseg.inference.shards import Shard
    from metseg.model.bundle import load_bundle
    from metseg.model_terms import require_accepted

    reading = InputOptions(
        patient_pattern,
        stack,
        allow_gaps,
        named_sequences(modality or []),
        tell=_tell,
        part=named_part(split, part, fold),
        patients=absolute(patients),
    )
    portion = None if shard is None else Shard.parse(shard)
    require_accepted(model)
    predictor = Predictor.from_bundle(load_bundle(model), device=device, tta=tta)
    chosen = formats or ("mask", "overlay")
    outcome = predict_paths(inputs or [], predictor, out, formats=chosen, reading=reading, shard=portion, quiet=as_json)
    _print(outcome, out, as_json)
    if outcome.errors:
        raise typer.Exit(outcome.errors[0].exit_status)


def _tell(note: str) -> None:
    typer.echo(f"note: {note}", err=True)


def _print(outcome: Outcome, out: Path, as_json: bool) -> None:
    if as_json:
        failed = [{"code": error.code, "message": error.one_line()} for error in outcome.errors]
        cases = [json.loads(path.read_text("utf-8")) for path in outcome.documents]
        print(json.dumps({"cases": cases, "skipped": outcome.skipped, "failed": failed}))
        return
    # Warnings come before the counts, so that they are read first.
    for text, count in outcome.warnings.most_common(SHOWN_WARNINGS):
        typer.echo(f"note ({pluralize(count, 'case')}): {text}", err=True)
    if len(outcome.warnings) > SHOWN_WARNINGS:
        more = pluralize(len(outcome.warnings) - SHOWN_WARNINGS, "more kind of note is", "more kinds of note are")
        typer.echo(f"note: {more} in the JSON documents", err=True)
    counts = {"picture": outcome.pictures, "volume": outcome.volumes}
    shown = [pluralize(count, what) for what, count in counts.items() if count]
    shown += [f"{outcome.skipped} skipped"] if outcome.skipped else []
    # "0 lesions" where no image was processed would read like a finding.
    lesions = [pluralize(outcome.lesions, "lesion")] if outcome.documents else []
    print(f"{', '.join([*(shown or ['nothing predicted']), *lesions])}; results in {out}", flush=True)
    for error in outcome.errors[:SHOWN_ERRORS]:
        typer.echo(f"metseg: {error.one_line()}", err=True)
    if len(outcome.errors) > SHOWN_ERRORS:
        typer.echo(f"metseg: and {len(outcome.errors) - SHOWN_ERRORS} more could not be read", err=True)
