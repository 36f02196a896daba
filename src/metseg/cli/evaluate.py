"""``metseg evaluate``: score predictions against truth."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from metseg.cli.option_parsing import absolute, named_part, named_paths
from metseg.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from metseg.evaluation.files.file_matching import Missing
    from metseg.reporting.image_lookup import Images

Folders = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[TRUTH PREDICTIONS]",
        help="Ground-truth masks, then predicted masks, each a folder or a file; further predictions, each PATH or "
        "NAME=PATH, are compared. The same as --truth and --predictions.",
    ),
]
Predictions = Annotated[
    list[str] | None,
    typer.Option(
        "--predictions", metavar="[NAME=]PATH", help="Folder or file of predicted masks; repeat to compare several."
    ),
]
Truth = Annotated[Path | None, typer.Option("--truth", help="Folder or file of ground-truth masks.")]
Out = Annotated[
    Path, typer.Option("--out", help="Output folder for cases.csv, lesions.csv, summary.json and report.html.")
]
Protocol = Annotated[
    str, typer.Option("--protocol", help="Scoring protocol: voxel, brats-met-2023, brats-met-2024 or brats-gli-2023.")
]
Labels = Annotated[str | None, typer.Option("--labels", help="Label scheme of the masks; defaults to the protocol's.")]
PredictionLabels = Annotated[
    str | None,
    typer.Option("--prediction-labels", help="Label scheme of the prediction files; defaults to --labels."),
]
TruthLabels = Annotated[
    str | None, typer.Option("--truth-labels", help="Label scheme of the truth files; defaults to --labels.")
]
SecondTruth = Annotated[
    Path | None, typer.Option("--second-truth", help="Masks of a second reader; some cases are enough.")
]
Jobs = Annotated[int | None, typer.Option("--jobs", min=1, help="Number of processes; defaults to one per core.")]
MissingFiles = Annotated[
    str,
    typer.Option(
        "--missing",
        help="Files on one side only: error stops, empty scores a truth without a prediction as an empty "
        "prediction, skip ignores them.",
    ),
]
SplitFile = Annotated[Path | None, typer.Option("--split", help="Score only one part of this split; requires --part.")]
PartName = Annotated[str | None, typer.Option("--part", help="Part of --split: train, validation or test.")]
Fold = Annotated[int | None, typer.Option("--fold", min=0, help="Validation fold of --split, from 0.")]
AllowMismatch = Annotated[
    bool,
    typer.Option(
        "--allow-affine-mismatch",
        help="Compare volumes of equal shape voxel by voxel even if their affines differ.",
    ),
]
PatientPattern = Annotated[
    str | None, typer.Option("--patient-pattern", help="Regular expression; its group matches the patient.")
]
Patients = Annotated[
    Path | None,
    typer.Option("--patients", help="Table (CSV) with a row per case or truth file: its patient."),
]
ImagesRoot = Annotated[
    Path | None, typer.Option("--images", help="Folder of the images, for pictures of the worst cases in the report.")
]
Attributes = Annotated[
    Path | None,
    typer.Option("--attributes", help="Table (CSV) with a row per patient or case, such as patients.csv, for --by."),
]
By = Annotated[
    str | None,
    typer.Option(
        "--by",
        help="Attribute for results by group: a column of --attributes, or: primary tumour, age, sex, earlier "
        "treatment. (default: primary tumour)",
    ),
]
Report = Annotated[bool, typer.Option("--report/--no-report", help="Write report.html and its figures.")]


def evaluate(
    *,
    folders: Folders = None,
    predictions: Predictions = None,
    truth: Truth = None,
    out: Out = Path("scores"),
    protocol: Protocol = "voxel",
    labels: Labels = None,
    prediction_labels: PredictionLabels = None,
    truth_labels: TruthLabels = None,
    second_truth: SecondTruth = None,
    jobs: Jobs = None,
    missing: MissingFiles = "error",
    split: SplitFile = None,
    part: PartName = None,
    fold: Fold = None,
    allow_affine_mismatch: AllowMismatch = False,
    patient_pattern: PatientPattern = None,
    patients: Patients = None,
    images: ImagesRoot = None,
    attributes: Attributes = None,
    by: By = None,
    report: Report = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Score predicted masks against ground truth, per case and region, with confidence intervals over patients.

    Probability maps beside the masks (`metseg predict --format mask --format probability`) add calibration and FROC.
    Several --predictions are compared with paired tests; --second-truth compares them with inter-reader agreement.
    """
    from metseg.cli.evaluate_tables import print_evaluation
    from metseg.evaluation import PredictionSets, ScoringConfig, evaluate_sets
    from metseg.runtime.system_info import processors

    true, predicted = _truth_and_predictions(folders or [], truth, predictions or [])
    if by is not None and attributes is None:
        raise UsageError("--by needs --attributes", got=by, cure="add --attributes patients.csv", code="usage.options")
    sets = PredictionSets(
        named_paths(predicted),
        true,
        attributes=attributes,
        **({} if by is None else {"by": by}),
        second_truth=second_truth,
        missing=cast("Missing", missing),
        part=named_part(split, part, fold),
        patient_pattern=patient_pattern,
        patients=absolute(patients),
    )
    if images is not None and not report:
        raise UsageError("--images needs the report", got="--no-report", cure="remove --images or --no-report")
    manner = ScoringConfig(
        protocol,
        labels,
        truth_labels=truth_labels,
        prediction_labels=prediction_labels,
        allow_affine_mismatch=allow_affine_mismatch,
    )
    # Checked before anything is scored: a wrong folder should not fail after an hour.
    shown = None if images is None else _listed(images)
    evaluation = evaluate_sets(sets, manner, out=out, jobs=jobs or processors(), quiet=as_json)
    if report:
        from metseg.reporting.evaluation_report import write_evaluation_report  # matplotlib, a second

        write_evaluation_report(evaluation, sets, manner, out=out, images=shown)
    if as_json:
        print(json.dumps(evaluation.to_json(), allow_nan=False))
    else:
        print_evaluation(evaluation, out)


def _truth_and_predictions(
    folders: Sequence[str], truth: Path | None, predictions: Sequence[str]
) -> tuple[Path, Sequence[str]]:
    """Return the truth and the predictions, from the arguments or from the options.

    Raises:
        UsageError: ``usage.options``, one of them is missing, or arguments and options are mixed.
    """
    if folders and (truth is not None or predictions):
        raise UsageError(
            "truth and predictions are given as arguments and as options",
            where="evaluate",
            got=", ".join(folders),
            cure="write metseg evaluate TRUTH PREDICTIONS, or use --truth and --predictions",
            code="usage.options",
        )
    given = [*folders[:1]] if truth is None else [truth]
    predicted = folders[1:] or predictions
    if not given or not predicted:
        lacking = [name for name, value in (("truth", given), ("predictions", predicted)) if not value]
        raise UsageError(
            f"{' and '.join(lacking)} missing",
            where="evaluate",
            expected="metseg evaluate TRUTH PREDICTIONS",
            cure="give both as arguments, or use --truth and --predictions",
            code="usage.options",
        )
    return Path(given[0]), predicted


def _listed(images: Path) -> Images:
    from metseg.reporting.image_lookup import Images

    return Images(images)
