"""``metseg grade``: train, score and apply a classifier of the grade of gliomas."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from metseg.cli.option_parsing import MODEL_HELP

if TYPE_CHECKING:
    from metseg.api.grades import GradeData
    from metseg.grade_record import CaseGrade
    from metseg.grading.grade_classifier import GradeClassifier, GradeScores

app = typer.Typer(help="Grade of gliomas. Research use only; not a diagnosis.", no_args_is_help=True)

Data = Annotated[
    str, typer.Argument(metavar="DATA", help="The data set; IMAGES::MASKS if masks are under another root.")
]
File = Annotated[Path, typer.Argument(metavar="GRADE", help="File that metseg grade train wrote.")]
Column = Annotated[
    str,
    typer.Option(
        "--column", help="Column of patients.csv with the grades; grade is also the folders HGG and LGG of BraTS."
    ),
]
Model = Annotated[
    str | None,
    typer.Option("--model", help=f"Outline the tumours with it; defaults to the masks of the data set. {MODEL_HELP}"),
]
Layout = Annotated[str, typer.Option("--layout", help="Layout of the folder.")]
Channels = Annotated[
    str,
    typer.Option("--channels", metavar="NAMES", help="Channels of pictures, in order: t1n,t2f,t1c. Not with --model."),
]
Labels = Annotated[str, typer.Option("--labels", help="Label scheme of the masks. Not with --model.")]
Features = Annotated[
    Path | None, typer.Option("--features", metavar="FILE", help="Also write the features of each tumour (CSV).")
]
Device = Annotated[str, typer.Option("--device", help="Device for --model: auto, cpu, cuda, cuda:1 or mps.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


@app.command()
def train(
    data: Data,
    column: Column,
    out: Annotated[
        Path, typer.Option("--out", help="The file; as grade.json in a bundle, results of the bundle get a grade.")
    ] = Path("grade.json"),
    positive: Annotated[
        str | None, typer.Option("--positive", help="The higher grade; defaults to HGG, or to the last by alphabet.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Random seed of folds and bootstrap.")] = 0,
    model: Model = None,
    layout: Layout = "auto",
    channels: Channels = "",
    labels: Labels = "binary",
    features: Features = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Train a classifier of two grades and score it in nested cross-validation by patient."""
    from metseg.api.grades import train_grade

    read = _data(data, model, layout, channels, labels, features, device, quiet=as_json)
    classifier = train_grade(read, column, out, positive=positive, seed=seed)
    if as_json:
        print(json.dumps(classifier.model_dump(mode="json")))
        return
    _print_scores(classifier.scores, classifier.classes)
    _print_weights(classifier)
    print(f"classifier: {out}")


@app.command()
def evaluate(
    grade: File,
    data: Data,
    column: Column,
    model: Model = None,
    layout: Layout = "auto",
    channels: Channels = "",
    labels: Labels = "binary",
    features: Features = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Score a classifier on patients outside its training."""
    from metseg.api.grades import evaluate_grade
    from metseg.grading.grade_classifier import read_grade_classifier

    classifier = read_grade_classifier(grade)
    read = _data(data, model, layout, channels, labels, features, device, quiet=as_json)
    scores = evaluate_grade(classifier, read, column)
    if as_json:
        print(json.dumps(scores.model_dump(mode="json")))
        return
    _print_scores(scores, classifier.classes)


@app.command()
def predict(
    grade: File,
    data: Data,
    model: Model = None,
    layout: Layout = "auto",
    channels: Channels = "",
    labels: Labels = "binary",
    features: Features = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Print the grade of each case with the features that decided; refuses a classifier that may be chance."""
    from metseg.api.grades import predict_grade

    grades = predict_grade(grade, _data(data, model, layout, channels, labels, features, device, quiet=as_json))
    if as_json:
        print(json.dumps({case: one.model_dump(mode="json") for case, one in grades.items()}))
        return
    _print_grades(grades)


def _data(
    root: str,
    model: str | None,
    layout: str,
    channels: str,
    labels: str,
    features: Path | None,
    device: str,
    *,
    quiet: bool,
) -> GradeData:
    from metseg.api.grades import GradeData

    names = tuple(name.strip() for name in channels.split(",") if name.strip())
    return GradeData(
        root,
        model=model,
        layout=layout,
        channels=names,
        labels=labels,
        device=device,
        features_file=features,
        quiet=quiet,
        tell=_tell,
    )


def _tell(note: str) -> None:
    typer.echo(f"note: {note}", err=True)


def _print_scores(scores: GradeScores, classes: tuple[str, str]) -> None:
    lower, higher = classes
    print(f"{higher} against {lower}: {scores.auc_text}, {scores.positive} of them {higher}")
    print(f"calibration: Brier score {scores.brier:.3f}, calibration error {scores.calibration_error:.3f}")
    for one in scores.curve:
        print(
            f"  predicted {one.mean_probability:.2f}, observed {one.observed:.2f} ({one.patients} patients, "
            f"{one.low:g} to {one.high:g})"
        )
    if not scores.beats_chance:
        print("grade not available: the interval of the AUC includes 0.5, so the classifier may be chance")


def _print_weights(classifier: GradeClassifier) -> None:
    print(f"features by coefficient, C {classifier.regularisation:g}:")
    for one in sorted(classifier.features, key=lambda one: -abs(one.coefficient)):
        print(f"  {one.name}: {one.coefficient:+.3f}")


def _print_grades(grades: Mapping[str, CaseGrade]) -> None:
    for case, one in grades.items():
        decided = ", ".join(f"{reason.feature} {reason.contribution:+.2f}" for reason in one.decided_by)
        print(f"{case}: {one.grade} (probability {one.probability:.2f}; {decided})")
    if grades:
        print(f"{next(iter(grades.values())).auc_text}; research use only, not a diagnosis")
