"""``metseg predict``: masks for pictures and folders of pictures."""

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
    inputs: Annotated[list[Path], typer.Argument(help="Pictures, or folders of pictures.", metavar="INPUT...")],
    model: Annotated[str, typer.Option("--model", help="A bundle: its name or its folder.")],
    out: Annotated[Path, typer.Option("--out", help="Where masks and JSON documents go.")] = Path("predictions"),
    formats: Annotated[
        list[str] | None, typer.Option("--format", help="mask, overlay, probability; may be given several times.")
    ] = None,
    tta: Annotated[bool | None, typer.Option("--tta/--no-tta", help="Average over mirror images.")] = None,
    device: Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:1, mps.")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Find lesions in pictures: masks of the input's size, overlays, a lesion table as JSON."""
    from metseg.model.bundle import load_bundle
    from metseg.predict.folder import predict_paths
    from metseg.predict.predictor import Predictor

    predictor = Predictor.from_bundle(load_bundle(model), device=device, tta=tta)
    outcome = predict_paths(inputs, predictor, out, formats=formats or ("mask", "overlay"), quiet=as_json)
    _print(outcome, out, as_json)
    if outcome.errors:
        raise typer.Exit(outcome.errors[0].exit_status)


def _print(outcome: Outcome, out: Path, as_json: bool) -> None:
    if as_json:
        failed = [{"code": error.code, "message": error.one_line()} for error in outcome.errors]
        cases = [json.loads(path.read_text("utf-8")) for path in outcome.documents]
        print(json.dumps({"cases": cases, "failed": failed}))
        return
    print(f"{outcome.pictures} pictures, {outcome.lesions} lesions; results in {out}")
    for error in outcome.errors[:SHOWN_ERRORS]:
        typer.echo(f"metseg: {error.one_line()}", err=True)
    if len(outcome.errors) > SHOWN_ERRORS:
        typer.echo(f"metseg: and {len(outcome.errors) - SHOWN_ERRORS} more could not be read", err=True)
