"""``metseg demo``: predict the bundled study with the packaged model, score it against its truth, and report it."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from metseg.message_text import pluralize
from metseg.sample import STUDY, TRUTH, TRUTH_LABELS, sample_folder

if TYPE_CHECKING:
    from metseg.evaluation import Evaluation
    from metseg.headline import Headline

#: The packaged model for volumes.
MODEL: Final = "mets-sim"
#: Regions of the truth's labels in words.
REGION_TITLES: Final = {"WT": "whole lesion", "TC": "tumour core", "ET": "enhancing tumour"}
#: Folder of the scores in the output folder.
SCORES: Final = "scores"


def demo(
    out: Annotated[Path, typer.Option("--out", help="Output folder for mask, overlay, scores and report.")] = Path(
        "metseg-demo"
    ),
    device: Annotated[str, typer.Option("--device", help="Device: auto, cpu, cuda, cuda:1 or mps.")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Find lesions in a bundled study, score them against the truth, and write a report. Needs no data.

    The study is simulated and of no patient, and the model was trained on simulated patients: the score shows that
    everything works, not how good the model is on patients.
    """
    from metseg.runtime.malloc_tuning import give_back_freed_memory

    give_back_freed_memory()
    from metseg.reporting.study.formats import check_request, write_report
    from metseg.reporting.study.from_disk import report_of_document
    from metseg.reporting.study.pdf_writer import DEFAULT_PAPER

    # Checked before the prediction: a missing package should not fail after it.
    paper = check_request(["html", "pdf"], paper=DEFAULT_PAPER)
    document = predict_sample(out, device=device, quiet=as_json)
    evaluation = score_sample(out, quiet=as_json)
    report = report_of_document(document, images=sample_folder(STUDY))
    reports = write_report(report, out / f"{STUDY}-report", ["html", "pdf"], paper=paper)
    if as_json:
        content: dict[str, Any] = {
            "document": str(document),
            "headline": report.headline.model_dump(mode="json"),
            "scores": evaluation.to_json(),
            "reports": [str(path) for path in reports],
        }
        print(json.dumps(content, allow_nan=False))
        return
    _print(report.headline, evaluation, out, reports)


def predict_sample(out: Path, *, device: str = "auto", quiet: bool = False) -> Path:
    """Predict the bundled study and write mask, overlay and document; return the document.

    Args:
        out: output folder.
        device: as ``--device``.
        quiet: show no progress.
    """
    from metseg.inference.batch import predict_paths
    from metseg.inference.predictor import Predictor
    from metseg.model.bundle import load_bundle

    predictor = Predictor.from_bundle(load_bundle(MODEL), device=device)
    outcome = predict_paths([sample_folder(STUDY)], predictor, out, formats=("mask", "overlay"), quiet=quiet)
    if outcome.errors:
        raise outcome.errors[0]
    return outcome.documents[0]


def score_sample(out: Path, *, quiet: bool = False) -> Evaluation:
    """Score the mask of `predict_sample` against the truth, and write the scores with their report.

    Args:
        out: output folder.
        quiet: show no progress.
    """
    from metseg.evaluation import PredictionSets, ScoringConfig, evaluate_sets
    from metseg.reporting.evaluation_report import write_evaluation_report

    mask = f"{STUDY}-seg.nii.gz"
    sets = PredictionSets({MODEL: out / mask}, sample_folder(TRUTH) / mask)
    scoring = ScoringConfig(scheme=TRUTH_LABELS)
    evaluation = evaluate_sets(sets, scoring, out=out / SCORES, quiet=quiet)
    write_evaluation_report(evaluation, sets, scoring, out=out / SCORES, images=None)
    return evaluation


def _print(headline: Headline, evaluation: Evaluation, out: Path, reports: list[Path]) -> None:
    print("A simulated study, of no patient; the scores show that metseg works, not how it does on patients.")
    print(headline.fitness)
    print("\n".join([headline.finding, *(f"  {figure.name}: {figure.text}" for figure in headline.figures)]))
    print("\n".join(score_lines(evaluation, out / SCORES / "lesions.csv")))
    print(f"report:  {' and '.join(map(str, reports))}")
    print(f"overlay: {out / f'{STUDY}-overlay.png'}")
    print(f"scores:  {out / SCORES / 'report.html'}")


def score_lines(evaluation: Evaluation, lesions_file: Path) -> list[str]:
    """Return the agreement with the truth in words: lesions and specks as the headline counts them, then each region.

    Args:
        evaluation: of the study.
        lesions_file: its table of lesions.
    """
    lines = [f"against the truth: {_found_by_size(lesions_file)} are touched by the prediction"]
    for region, scores in evaluation.sets[MODEL].summary.regions.items():
        dice, lesions = scores.metrics["dice"], scores.lesions
        value = "not defined" if dice is None else f"{dice.mean:.3f}"
        found = f"{lesions['n_tp']} of {lesions['n_tp'] + lesions['n_fn']} lesions and specks found"
        lines.append(f"  {REGION_TITLES[region]}: Dice {value}, {found}, {lesions['n_fp']} false")
    return lines


def _found_by_size(lesions_file: Path) -> str:
    """Return how many true lesions, and how many specks, are found, such as "2 of 2 lesions and 1 of 2 specks"."""
    from metseg.headline import SPECK_ML
    from metseg.measure import MM3_PER_ML

    region = next(iter(REGION_TITLES))  # all tissue of a lesion, as in the headline
    with lesions_file.open(encoding="utf-8", newline="") as stream:
        true = [row for row in csv.DictReader(stream) if row["region"] == region and row["kind"] == "truth"]
    specks = [row for row in true if float(row["volume_mm3"]) < SPECK_ML * MM3_PER_ML]

    def found(rows: list[dict[str, str]], thing: str) -> str:
        return f"{sum(row['detected'] == 'true' for row in rows)} of {pluralize(len(rows), thing)}"

    large = found([row for row in true if row not in specks], "lesion")
    return f"{large} and {found(specks, 'speck')} below {SPECK_ML} mL"
