"""``metseg explain``: maps that show what a network looked at."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from metseg.cli.option_parsing import MODEL_HELP
from metseg.message_text import pluralize


def explain(
    model: Annotated[str, typer.Argument(metavar="MODEL", help=MODEL_HELP)],
    input_path: Annotated[
        Path, typer.Argument(metavar="INPUT", help="A picture, a volume, DICOM, or a folder of them.")
    ],
    out: Annotated[Path, typer.Option("--out", help="Output folder for maps and overlays.")] = Path("explanations"),
    layer: Annotated[
        str | None,
        typer.Option("--layer", metavar="NAME", help="Layer of the network for Grad-CAM; defaults to the bottleneck."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Write Grad-CAM of the predicted lesions, and the attention gates of attention networks, as maps and overlays."""
    from metseg.inference.explanation.explain_case import CaseExplainer, write_explanation
    from metseg.inference.input_options import InputOptions
    from metseg.model.bundle import load_bundle
    from metseg.model_terms import require_accepted
    from metseg.preprocess.missing_sequences import grey_sequence
    from metseg.runtime.progress import share_bar, show_no_share

    require_accepted(model)
    bundle = load_bundle(model)
    explainer = CaseExplainer(bundle, layer=layer)
    sources = InputOptions().sources([input_path], bundle.recipe.data, out, grey=grey_sequence(bundle.recipe))
    show, written = show_no_share if as_json else share_bar, []
    for source in sources:
        with show(f"Explaining {source.case_id}") as on_share:
            explanation = explainer(source.load(), on_share=on_share)
        written += write_explanation(explanation, out)
        if not explanation.prediction.lesions:
            typer.echo(f"note: {source.case_id}: no lesion was found, so Grad-CAM has nothing to explain", err=True)
    if as_json:
        print(json.dumps({"files": [str(path) for path in written]}))
        return
    print(f"{pluralize(len(sources), 'case')} explained, {pluralize(len(written), 'file')} in {out}")
