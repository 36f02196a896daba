"""``metseg predict``: masks for pictures, volumes and folders of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from metseg.predict.folder import Outcome

#: Errors shown one by one; more are counted.
SHOWN_ERRORS = 10


def predict(
    inputs: Annotated[list[Path], typer.Argument(help="Pictures, volumes, or folders of them.", metavar="INPUT...")],
    model: Annotated[str, typer.Option("--model", help="A bundle: its name or its folder.")],
    out: Annotated[Path, typer.Option("--out", help="Where masks and JSON documents go.")] = Path("predictions"),
    formats: Annotated[
        list[str] | None, typer.Option("--format", help="mask, overlay, probability; may be given several times.")
    ] = None,
    tta: Annotated[bool | None, typer.Option("--tta/--no-tta", help="Average over mirror images.")] = None,
    shard: Annotated[
        str | None,
        typer.Option(help="i/n: do this part of the cases only; what is finished is left out, so it can be repeated."),
    ] = None,
    device: Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:1, mps.")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Find lesions: masks of the input's size and place, overlays, a lesion table as JSON."""
    from metseg.model.bundle import load_bundle
    from metseg.predict.folder import predict_paths
    from metseg.predict.predictor import Predictor
    from metseg.predict.shards import Shard

    part = None if shard is None else Shard.parse(shard)
    predictor = Predictor.from_bundle(load_bundle(model), device=device, tta=tta)
    chosen = formats or ("mask", "overlay")
    outcome = predict_paths(inputs, predictor, out, formats=chosen, shard=part, quiet=as_json)
    _print(outcome, out, as_json)
    if outcome.errors:
        raise typer.Exit(outcome.errors[0].exit_status)


def _print(outcome: Outcome, out: Path, as_json: bool) -> None:
    if as_json:
        failed = [{"code": error.code, "message": error.one_line()} for error in outcome.errors]
        cases = [json.loads(path.read_text("utf-8")) for path in outcome.documents]
        print(json.dumps({"cases": cases, "skipped": outcome.skipped, "failed": failed}))
        return
    counts = {"pictures": outcome.pictures, "volumes": outcome.volumes, "skipped": outcome.skipped}
    shown = [f"{count} {what}" for what, count in counts.items() if count] or ["nothing to do"]
    print(f"{', '.join(shown)}, {outcome.lesions} lesions; results in {out}")
    for error in outcome.errors[:SHOWN_ERRORS]:
        typer.echo(f"metseg: {error.one_line()}", err=True)
    if len(outcome.errors) > SHOWN_ERRORS:
        typer.echo(f"metseg: and {len(outcome.errors) - SHOWN_ERRORS} more could not be read", err=True)
