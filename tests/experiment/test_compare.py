"""A comparison on hand-made pictures: what is trained, judged, written, and not done twice."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from metseg.errors import UsageError
from metseg.experiment import compare as module
from metseg.experiment.compare import Plan, compare
from metseg.experiment.comparison_files import comparison_document, write_results
from metseg.inference.predictor import Predictor
from metseg.io.case_discovery import find_cases
from metseg.io.images.slice_stack import SliceStackSource
from metseg.io.splits import Split
from metseg.model.bundle import load_bundle
from metseg.recipe import Recipe
from metseg.volume import Case

RecipeMaker = Callable[..., Recipe]
FIGURES = ("curves.png", "dice_by_patient.png", "overlays_first.png", "overlays_second.png")
FACTS = ("parameters", "minutes", "validation_loss", "steps", "peak_memory_gb", "slices_per_s")


@pytest.fixture(scope="module")
def plan(tiny_slices: Path, make_tiny_recipe: RecipeMaker, tmp_path_factory: pytest.TempPathFactory) -> Plan:
    recipes = (make_tiny_recipe("name=first"), make_tiny_recipe("name=second", "model.channels=[6, 6]"))
    return Plan(recipes, tiny_slices, tmp_path_factory.mktemp("comparison"), device="cpu")


@pytest.fixture(scope="module")
def read() -> Counter[str]:
    """Return how often each patient's pictures were read in this process by the comparison `out`."""
    return Counter()


@pytest.fixture(scope="module")
def out(plan: Plan, read: Counter[str]) -> Path:
    """Return the folder of a finished comparison of two recipes on one split."""
    load = SliceStackSource.load

    def counted(source: SliceStackSource) -> Case:
        read[source.patient] += 1
        return load(source)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SliceStackSource, "load", counted)
        write_results(compare(plan), plan.out)
    return plan.out


@pytest.fixture(scope="module")
def document(out: Path) -> dict[str, object]:
    return json.loads((out / "results.json").read_text("utf-8"))


def test_every_figure_is_a_picture_and_stands_in_the_report(out: Path) -> None:
    report = (out / "results.md").read_text("utf-8")
    for name in FIGURES:
        with Image.open(out / name) as picture:
            picture.load()
            assert min(picture.size) > 300
            assert len(np.unique(np.asarray(picture.convert("L")))) > 20  # something is drawn
        assert f"]({name})" in report
    assert report.count("](") == len(FIGURES)


def test_the_page_tells_the_same_and_shows_what_was_seen(out: Path, document: dict[str, object]) -> None:
    html = (out / "report.html").read_text("utf-8")
    assert str(document["verdict"]) in html
    for name in ("models", "training", "examples", "results", "tests", "distribution", "worst", "cases", "method"):
        assert f'<section id="{name}">' in html
    # Training curves, a picture of three patients of each model, and up to three worst cases of each.
    assert 3 < html.count("data:image/png;base64,") <= 9
    assert str(out) not in html
    assert "://" not in html


def test_results_hold_what_was_measured(document: dict) -> None:
    assert (document["format"], document["version"]) == ("metseg-comparison", 1)
    # Nothing is unfair about it; of a network trained for two epochs on 3 patients it is said what it is.
    assert all("nearly everything" in said or "too narrow" in said for said in document["warnings"])
    assert document["leaks_patients"] is False
    assert document["scored"] == "test patients"
    assert "core" in document["machine"]["processor"]
    assert all(model["machines"] == [document["machine"]] for model in document["models"].values())
    assert list(document["models"]) == ["first", "second"]
    for model in document["models"].values():
        assert all(model[fact] > 0 for fact in FACTS)
        assert model["steps"] == 8
        dice = model["summary"]["regions"]["lesion"]["metrics"]["dice"]
        assert dice["low"] <= dice["mean"] <= dice["high"]
        assert dice["mean"] == pytest.approx(np.mean(list(model["dice_by_patient"].values())))
        assert {"dice_positive_slices", "dice_all_slices"} == set(
            model["summary"]["regions"]["lesion"]["slice_metrics"]
        )
    (pair,) = document["pairs"]
    means = [np.mean(list(document["models"][pair[key]]["dice_by_patient"].values())) for key in ("first", "second")]
    assert pair["difference"] == pytest.approx(means[0] - means[1])


def test_only_test_patients_are_judged_and_none_of_them_was_trained_on(out: Path, document: dict) -> None:
    split = Split.load(out / "split.json")
    assert len(split.test) == 3
    for name, model in document["models"].items():
        assert set(model["dice_by_patient"]) == set(split.test)
        assert Split.from_dict(load_bundle(out / name / "run" / "bundle").split or {}) == split


def test_dice_is_that_of_the_bundle_on_the_patient(out: Path, document: dict, tiny_slices: Path) -> None:
    predictor = Predictor.from_bundle(load_bundle(out / "second" / "run" / "bundle"), device="cpu")
    judged = document["models"]["second"]["dice_by_patient"]
    for source in find_cases(tiny_slices, channels=("t1n", "t2f", "t1c")):
        if source.patient not in judged:
            continue
        case = source.load()
        truth, found = case.labels.data > 0, predictor(case).labels > 0
        assert judged[source.patient] == pytest.approx(2 * (truth & found).sum() / (truth.sum() + found.sum()))


def test_each_network_reads_the_test_patients_once(out: Path, read: Counter[str]) -> None:
    split = Split.load(out / "split.json")
    assert {patient: read[patient] for patient in split.test} == dict.fromkeys(split.test, 2)  # two networks


def test_finished_runs_are_not_repeated(plan: Plan, out: Path, document: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    def again(*_: object) -> None:
        raise AssertionError("trained or read again")

    monkeypatch.setattr(module, "train_run", again)
    monkeypatch.setattr(SliceStackSource, "load", again)
    monkeypatch.setattr("metseg.runtime.system_info.processor_name", lambda: "another machine")
    found = comparison_document(compare(replace(plan, overwrite=True)))
    assert (
        json.loads(json.dumps(found)) == document
    )  # with the speed and the machine of the run, not of the writing of the table


def test_a_run_that_kept_no_scores_is_scored_from_its_bundle(plan: Plan, out: Path, document: dict) -> None:
    for name in ("judged.json", "snapshots.npz"):
        (out / "first" / "run" / "test" / name).unlink()
    (again, _) = compare(replace(plan, overwrite=True)).contestants
    assert again.dice_by_patient == document["models"]["first"]["dice_by_patient"]
    assert (out / "first" / "run" / "test" / "judged.json").exists()


def test_a_run_of_another_recipe_is_not_taken_for_this_one(
    plan: Plan, out: Path, make_tiny_recipe: RecipeMaker
) -> None:
    changed = (make_tiny_recipe("name=first", "train.learning_rate=0.1"), plan.recipes[1])
    with pytest.raises(UsageError, match="started with another recipe"):
        compare(replace(plan, recipes=changed, overwrite=True))


def test_a_run_on_another_split_is_not_taken_for_this_one(plan: Plan, out: Path, make_tiny_recipe: RecipeMaker) -> None:
    split = Split.load(out / "split.json")
    file = out / "another.json"
    replace(split, validation=split.test, test=split.validation).save(file)
    with pytest.raises(UsageError, match="started with another split"):
        compare(replace(plan, split_file=file, overwrite=True))
    assert Split.load(out / "split.json") == split, "refused, so nothing was written"


def test_cross_validation_judges_every_patient_once(
    tiny_slices: Path, make_tiny_recipe: RecipeMaker, tmp_path: Path
) -> None:
    recipe = make_tiny_recipe("train.max_steps=4", "split.test=0")
    comparison = compare(Plan((recipe,), tiny_slices, tmp_path, folds=2, device="cpu"))
    write_results(comparison, tmp_path)
    (one,) = comparison.contestants
    assert sorted(score.patient for score in one.scores) == [f"P{patient}" for patient in range(8)]
    assert one.facts["steps"] == 4
    for fold, bundle in enumerate(one.bundles):
        trained = Split.from_dict(load_bundle(bundle).split or {})
        assert trained.test == comparison.split.folds[fold]
        assert trained.validation
    assert comparison.verdict == "tiny alone: nothing to compare it with"
    report = (tmp_path / "results.md").read_text("utf-8")
    assert "cross-validation, 2 folds" in report
    assert "Paired tests" not in report


def test_folds_beside_test_patients_are_refused(
    tiny_slices: Path, make_tiny_recipe: RecipeMaker, tmp_path: Path
) -> None:
    """Today's recipe says whom to keep back: that is neither ignored nor guessed to be meant otherwise."""
    with pytest.raises(UsageError, match=r"split\.test = 0\.25 and 2 folds") as caught:
        compare(Plan((make_tiny_recipe("split.test=0.25"),), tiny_slices, tmp_path, folds=2, device="cpu"))
    assert "--set split.test=0" in str(caught.value.cure)
    assert not list(tmp_path.iterdir())


def test_results_are_replaced_only_where_that_is_asked_for(plan: Plan, out: Path) -> None:
    for name in ("results.json", "overlays_first.png", "curves.svg"):
        assert (out / name).exists()
    with pytest.raises(UsageError, match="results of a comparison already exist") as caught:
        compare(plan)
    assert "--overwrite" in str(caught.value.cure)


def test_a_split_of_another_comparison_is_not_replaced(
    tiny_slices: Path, make_tiny_recipe: RecipeMaker, tmp_path: Path
) -> None:
    Split(train=("P0",), test=("P1",)).save(tmp_path / "split.json")
    with pytest.raises(UsageError, match="holds a different split"):
        compare(Plan((make_tiny_recipe(),), tiny_slices, tmp_path, device="cpu"))
    assert Split.load(tmp_path / "split.json").test == ("P1",)


def test_folds_of_a_split_file_cannot_be_other_ones(
    tiny_slices: Path, make_tiny_recipe: RecipeMaker, tmp_path: Path
) -> None:
    file = tmp_path / "split.json"
    Split(train=tuple(f"P{n}" for n in range(4)), test=tuple(f"P{n}" for n in range(4, 8))).save(file)
    with pytest.raises(UsageError, match="number of folds is not the requested one"):
        compare(Plan((make_tiny_recipe(),), tiny_slices, tmp_path, folds=3, split_file=file))
