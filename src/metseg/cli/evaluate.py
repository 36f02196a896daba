"""``metseg evaluate``: score predictions against truth."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from metseg.errors import UsageError

if TYPE_CHECKING:
    from metseg.report.images import Images

Predictions = Annotated[
    list[str],
    typer.Option(
        "--predictions", metavar="[NAME=]PATH", help="Folder (or file) of predicted masks; several are compared."
    ),
]
Truth = Annotated[Path, typer.Option("--truth", help="Folder (or file) of true masks.")]
Out = Annotated[Path, typer.Option("--out", help="Where cases.csv, lesions.csv, summary.json and report.html go.")]
Protocol = Annotated[str, typer.Option("--protocol", help="voxel, brats-met-2023, brats-met-2024 or brats-gli-2023.")]
Labels = Annotated[
    str | None, typer.Option("--labels", help="Label scheme of the masks; by default the protocol's own.")
]
SecondTruth = Annotated[
    Path | None, typer.Option("--second-truth", help="Masks of a second reader, who may have drawn some cases only.")
]
Jobs = Annotated[int | None, typer.Option("--jobs", min=1, help="Processes; by default one per core.")]
AllowMissing = Annotated[bool, typer.Option("--allow-missing", help="Score a missing prediction as an empty one.")]
PatientPattern = Annotated[
    str | None, typer.Option("--patient-pattern", help="Regular expression; its group is the patient.")
]
ImagesRoot = Annotated[
    Path | None, typer.Option("--images", help="Folder of the images, to show the worst cases on in the report.")
]
Report = Annotated[bool, typer.Option("--report/--no-report", help="Write report.html and its figures.")]


def evaluate(
    predictions: Predictions,
    truth: Truth,
    out: Out,
    protocol: Protocol = "voxel",
    labels: Labels = None,
    second_truth: SecondTruth = None,
    jobs: Jobs = None,
    allow_missing: AllowMissing = False,
    patient_pattern: PatientPattern = None,
    images: ImagesRoot = None,
    report: Report = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Score predicted masks against true ones: per case and region, with intervals over patients.

    Probability maps beside the masks (`metseg predict --format mask --format probability`) add calibration and FROC.
    Several --predictions are compared with paired tests; --second-truth sets them beside two readers.
    """
    from metseg.cli.evaluate_tables import print_evaluation
    from metseg.evaluate import Manner, Sets, evaluate_sets
    from metseg.machine import processors

    sets = Sets(
        named(predictions),
        truth,
        second_truth=second_truth,
        allow_missing=allow_missing,
        patient_pattern=patient_pattern,
    )
    if images is not None and not report:
        raise UsageError("--images are for the report", got="--no-report", cure="leave one of the two out")
    manner = Manner(protocol, labels)
    # Looked through before anything is scored: a wrong folder should not be found after an hour.
    shown = None if images is None else _listed(images)
    evaluation = evaluate_sets(sets, manner, out=out, jobs=jobs or processors(), quiet=as_json)
    if report:
        from metseg.report.evaluation import write_evaluation_report  # matplotlib, a second

        write_evaluation_report(evaluation, sets, manner, out=out, images=shown)
    if as_json:
        print(json.dumps(evaluation.to_json(), allow_nan=False))
    else:
        print_evaluation(evaluation, out)


def _listed(images: Path) -> Images:
    from metseg.report.images import Images

    return Images(images)


def named(predictions: Sequence[str]) -> dict[str, Path]:
    """Return each set of predictions by name: ``NAME=PATH``, or a path, whose last part is the name.

    Raises:
        UsageError: two of one name.

    >>> named(["runs/unet", "ours=runs/attention/predictions"])
    {'unet': PosixPath('runs/unet'), 'ours': PosixPath('runs/attention/predictions')}
    """
    found: dict[str, Path] = {}
    for text in predictions:
        name, separator, path = text.partition("=")
        # A path with "=" in it is still a path.
        whole = not separator or Path(text).exists()
        place = Path(text) if whole else Path(path)
        name = Path(text).resolve().name if whole else name
        if name in found:
            raise UsageError(
                f"two sets of predictions are called '{name}'",
                where="--predictions",
                got=f"{found[name]}, {place}",
                cure="give them names: --predictions NAME=PATH",
                code="usage.options",
            )
        found[name] = place
    return found
