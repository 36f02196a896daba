"""``metseg figure``: one figure by one command, of a data set, a study, a split or a training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from metseg.io.case_source import CaseSource

app = typer.Typer(help="Figures of a data set, a study, a split or a training.", no_args_is_help=True)

Root = Annotated[str, typer.Argument(metavar="ROOT", help="The data set; IMAGES::MASKS if masks are elsewhere.")]
Out = Annotated[Path, typer.Option("--out", help="The figure: PNG or SVG.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
CaseName = Annotated[str | None, typer.Option("--case", help="Name of the case; defaults to the first.")]
Labels = Annotated[str, typer.Option("--labels", help="Label scheme of the masks.")]
SequenceName = Annotated[str, typer.Option("--sequence", help="Sequence that is shown: t1n, t1c, t2w or t2f.")]
Patients = Annotated[
    Path | None, typer.Option("--patients", help="Table (CSV) with a row per case: its patient and attributes.")
]


@app.command()
def sequences(
    root: Root,
    out: Out,
    cases: Annotated[
        list[str] | None, typer.Option("--case", help="Name of a case; can be repeated. Defaults to the first three.")
    ] = None,
    labels: Labels = "brats-met-2023",
    as_json: Json = False,
) -> None:
    """Draw each sequence and the mask of a few cases, in the slice with the most lesion."""
    from metseg.experiment.data_figures import draw_sequences

    sources = _sources(root, labels, cases or [])
    chosen = sources if cases else sources[:3]
    draw_sequences(chosen, out, labels=labels)
    _print(out, {"cases": [source.case_id for source in chosen]}, as_json=as_json)


@app.command()
def attributes(
    root: Root,
    out: Out,
    column: Annotated[
        str,
        typer.Option(
            "--column", help="Column of the table of patients, or: primary tumour, age, sex, earlier treatment."
        ),
    ] = "primary tumour",
    most: Annotated[int | None, typer.Option("--most", min=1, help="Name only the most frequent values.")] = None,
    patients: Patients = None,
    as_json: Json = False,
) -> None:
    """Count the patients by a clinical attribute, such as the primary tumour, with percentages."""
    from metseg.cli.option_parsing import absolute
    from metseg.io.case_discovery import find_cases
    from metseg.io.clinical import patient_values, ranked_counts
    from metseg.plot.share_bars import draw_share_bars, share_text

    values = patient_values(find_cases(root, patients=absolute(patients)), column)
    counted = ranked_counts(values.values(), most=most)
    draw_share_bars(counted, out, title=column.capitalize(), unit="patients")
    if not as_json:
        for value, count in counted.items():
            print(f"{value}: {share_text(count, len(values))}")
    _print(out, {"column": column, "patients": len(values), "counts": counted}, as_json=as_json)


@app.command()
def planes(
    root: Root,
    out: Out,
    recipe: Annotated[str, typer.Option("--recipe", help="Recipe of the preprocessing.")] = "kaur2024-unet-dropout",
    case: CaseName = None,
    sequence: SequenceName = "t2f",
    as_json: Json = False,
) -> None:
    """Draw the three planes of a prepared study through its largest lesion."""
    from metseg.experiment.data_figures import draw_prepared_planes
    from metseg.recipe import load_recipe

    loaded = load_recipe(recipe)
    from metseg.io.case_discovery import find_cases

    source = _named(find_cases(root, loaded.data), [case] if case else [])[0]
    draw_prepared_planes(source, loaded, out, sequence=sequence)
    _print(out, {"case": source.case_id, "recipe": loaded.name}, as_json=as_json)


@app.command()
def split(
    file: Annotated[Path, typer.Argument(metavar="SPLIT", help="Split file of metseg split or of a training.")],
    out: Out,
    as_json: Json = False,
) -> None:
    """Draw how many patients each part of a split has."""
    from metseg.experiment.data_figures import draw_split, split_counts
    from metseg.io.splits import Split

    loaded = Split.load(file)
    draw_split(loaded, out)
    _print(out, {"by": loaded.by, "counts": split_counts(loaded)}, as_json=as_json)


@app.command()
def classes(
    root: Root,
    out: Out,
    prediction: Annotated[Path, typer.Option("--prediction", help="Predicted mask of the case (NIfTI).")],
    case: CaseName = None,
    labels: Labels = "brats-met-2023",
    sequence: SequenceName = "t2f",
    as_json: Json = False,
) -> None:
    """Draw image, truth and prediction of a case side by side, by class."""
    from metseg.experiment.data_figures import draw_classes
    from metseg.io.volumes.nifti import read_mask_nifti

    source = _sources(root, labels, [case] if case else [])[0]
    draw_classes(source.load(), read_mask_nifti(prediction), out, labels=labels, sequence=sequence)
    _print(out, {"case": source.case_id}, as_json=as_json)


@app.command()
def curves(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a training.")], out: Out, as_json: Json = False
) -> None:
    """Draw loss, accuracy, Dice and IoU of a training over its epochs, for training and validation."""
    import pandas as pd

    from metseg.errors import InputError
    from metseg.plot.curves import draw_metric_curves

    table = run / "epochs.csv"
    if not table.is_file():
        raise InputError(
            "the folder has no epochs.csv",
            where=run,
            cure="give the folder of a training that finished at least one epoch",
            code="input.missing",
        )
    epochs = pd.read_csv(table)
    draw_metric_curves(epochs, out, title=run.resolve().name)
    _print(out, {"epochs": int(epochs["epoch"].nunique())}, as_json=as_json)


def _sources(root: str, labels: str, names: list[str]) -> list[CaseSource]:
    """Return the cases of these names, in this order; without names all."""
    from metseg.io.case_discovery import find_cases

    return _named(find_cases(root, labels=labels), names)


def _named(sources: list[CaseSource], names: list[str]) -> list[CaseSource]:
    from metseg.registry import lookup

    known = {source.case_id: source for source in sources}
    return [lookup("case", known, name) for name in names] if names else sources


def _print(out: Path, document: dict[str, object], *, as_json: bool) -> None:
    print(json.dumps({"figure": str(out), **document}) if as_json else out)
