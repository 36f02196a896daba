"""What may be said: the best is named only where interval, corrected p-value and patients all show it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from string import ascii_lowercase

import numpy as np
import pandas as pd
import pytest

from metseg.evaluation import CaseScores, MaskPair, evaluate_masks
from metseg.experiment.comparison_files import comparison_document, comparison_markdown
from metseg.experiment.comparison_result import ComparedModel, Comparison
from metseg.io.splits import Split
from metseg.recipe import Named, Recipe

FACTS = {
    "parameters": 1_500_000.0,
    "minutes": 2.0,
    "validation_loss": 0.25,
    "steps": 30.0,
    "slices_per_s": 41.26,
    "peak_memory_gb": 1.0,
}
SPLIT = Split(train=("x",), validation=("y",), test=tuple("abcdef"))


def scored(patient: str, voxels: int) -> CaseScores:
    """Return the scores of a prediction that finds ``voxels`` of a lesion's 10: Dice 2 n / (n + 10)."""
    truth, prediction = np.zeros((4, 5, 2), np.uint8), np.zeros((4, 5, 2), np.uint8)
    truth[:2, :, 0] = 1
    prediction[:2, :, 0] = (np.arange(10).reshape(2, 5) < voxels).astype(np.uint8)
    return evaluate_masks(MaskPair(truth, prediction, case=patient, stack_of_slices=True))


@pytest.fixture
def compared(make_tiny_recipe: Callable[..., Recipe]) -> Callable[..., Comparison]:
    """Return a function from the voxels each model finds in patients a, b, c ... to the comparison."""

    def make(found: dict[str, Sequence[int]], split: Split = SPLIT, warnings: tuple[str, ...] = ()) -> Comparison:
        contestants = tuple(
            ComparedModel(
                recipe=make_tiny_recipe(f"name={name}"),
                bundles=(Path("bundle"),),
                scores=tuple(scored(patient, count) for patient, count in zip(ascii_lowercase, counts, strict=False)),
                snapshots=(),
                facts=FACTS,
                curves=pd.DataFrame(),
            )
            for name, counts in found.items()
        )
        return Comparison(contestants, split, warnings)

    return make


def test_dice_is_as_computed_by_hand(compared: Callable[..., Comparison]) -> None:
    (one,) = compared({"one": [10, 0, 5, 10, 10, 2]}).contestants
    assert one.dice_by_patient == pytest.approx({"a": 1, "b": 0, "c": 2 / 3, "d": 1, "e": 1, "f": 1 / 3})
    assert one.mean_dice == pytest.approx(4 / 6)


def test_a_model_that_is_better_for_every_patient_is_named(compared: Callable[..., Comparison]) -> None:
    comparison = compared({"poor": [2, 3, 4, 5, 2, 3], "good": [8, 9, 9, 10, 8, 9]})
    assert comparison.shown_best is comparison.contestants[1]
    assert comparison.verdict == "good is better than every other"


def test_a_higher_mean_is_not_enough(compared: Callable[..., Comparison]) -> None:
    # Differences +10 -8 +2 -1 +1 0 voxels: the mean is positive, and no resampling would bet on it.
    comparison = compared({"one": [10, 2, 7, 5, 6, 5], "two": [0, 10, 5, 6, 5, 5]})
    assert comparison.highest.name == "one"
    assert comparison.shown_best is None
    assert comparison.verdict == "no difference shown between one, which has the highest mean Dice, and two"


def test_the_best_has_to_beat_every_other(compared: Callable[..., Comparison]) -> None:
    good = [8, 9, 9, 10, 8, 9, 8, 10]
    comparison = compared({"poor": [2, 3, 4, 5, 2, 3, 1, 2], "good": good, "twin": good})
    assert comparison.shown_best is None
    assert comparison.verdict == "no difference shown between good, which has the highest mean Dice, and twin"
    by_pair = {(pair.first, pair.second): pair for pair in comparison.pairs}
    assert by_pair["poor", "good"].verdict == "good is better"
    assert by_pair["poor", "good"].better == "good"
    assert by_pair["good", "twin"].better is None
    assert by_pair["good", "twin"].p_value == 1
    assert comparison_document(comparison)["best"] is None
    assert comparison_document(comparison)["highest_mean_dice"] == "good"


def test_one_model_is_compared_with_nothing(compared: Callable[..., Comparison]) -> None:
    comparison = compared({"alone": [1, 2, 3, 4, 5, 6]})
    assert comparison.pairs == ()
    assert "nothing to compare" in comparison.verdict


def test_table_has_every_figure_under_its_own_name(compared: Callable[..., Comparison]) -> None:
    report = comparison_markdown(compared({"one": [5] * 6, "two": [10] * 6}))
    titles, _, first, second = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in report.splitlines() if line.startswith("|")
    ][:4]
    row = dict(zip(titles, first, strict=True))
    assert row["Dice"] == "0.667 (0.667 to 0.667)"
    assert row["Dice on positive slices"] == "0.667 (0.667 to 0.667)"
    assert row["Mean Dice over all slices"] == "0.833 (0.833 to 0.833)"  # one of two slices is empty in both
    assert row["IoU"] == "0.500 (0.500 to 0.500)"
    assert row["Precision"].startswith("1.000")
    assert row["Sensitivity"].startswith("0.500")
    assert row["Accuracy"] == "0.875 (0.875 to 0.875)"  # 5 of 40 voxels are wrong
    assert [row[key] for key in ("parameters", "training", "validation loss", "steps", "prediction", "memory")] == [
        "1.50 M",
        "2.0 min",
        "0.2500",
        "30",
        "41.3 slices/s",
        "1.0 GB",
    ]
    assert second[0] == "two"
    assert "| micro IoU with background |" in report  # what published tables print as IoU, under its whole name
    assert "6 cases of 6 patients (test patients)" in report
    assert "Research use only" in report


def test_a_split_by_slice_is_marked_in_every_row(compared: Callable[..., Comparison]) -> None:
    leaking = Split(by="slice", train=("x/1",), validation=("x/2",), test=("x/3",))
    found = {"one": [5] * 6, "two": [10] * 6}
    assert comparison_markdown(compared(found, leaking)).count("(leaks patients)") == 2
    assert "**Leaks patients**" in comparison_markdown(compared(found, leaking))
    assert comparison_document(compared(found, leaking))["leaks_patients"] is True
    assert "eaks patients" not in comparison_markdown(compared(found))


def test_warnings_stand_above_the_verdict(compared: Callable[..., Comparison]) -> None:
    report = comparison_markdown(compared({"one": [5] * 6, "two": [10] * 6}, SPLIT, ("Unequal budgets: so and so.",)))
    assert report.index("**Warning**: Unequal budgets: so and so.") < report.index("**two is better than every other**")


@pytest.mark.parametrize(("patients", "told"), [(6, True), (20, False)])
def test_a_difference_on_few_patients_is_told_with_caution(
    compared: Callable[..., Comparison], patients: int, *, told: bool
) -> None:
    report = comparison_markdown(compared({"one": [5] * patients, "two": [10] * patients}))
    assert ("**Few patients**" in report) is told


def test_a_result_names_the_machine_that_its_runs_ran_on(compared: Callable[..., Comparison]) -> None:
    comparison = compared({"one": [5] * 6, "two": [10] * 6})
    here, there = {"processor": "X, 2 cores", "device": "cpu"}, {"processor": "Y, 8 cores", "device": "cuda"}

    def ran_on(*machines: dict[str, str]) -> Comparison:
        pairs = zip(comparison.contestants, machines, strict=True)
        return replace(comparison, contestants=tuple(replace(one, machines=(machine,)) for one, machine in pairs))

    assert "Machine: X, 2 cores; device cpu." in comparison_markdown(ran_on(here, here))
    assert comparison_document(ran_on(here, here))["machine"] == here
    report, document = comparison_markdown(ran_on(here, there)), comparison_document(ran_on(here, there))
    assert "durations are not comparable:\n\n- one: X, 2 cores; device cpu\n- two: Y, 8 cores; device cuda\n" in report
    assert document["machine"] == {}
    assert document["models"]["two"]["machines"] == [there]
    assert "- two: not noted" in comparison_markdown(ran_on(here, {}))  # a bundle of an earlier version


def test_a_table_says_that_an_encoder_began_with_random_weights(compared: Callable[..., Comparison]) -> None:
    comparison = compared({"a": [5] * 6, "b": [6] * 6}, SPLIT)
    first, *others = comparison.contestants
    model = Named(name="inception_unet")
    changed = replace(first, recipe=first.recipe.model_copy(update={"model": model}))
    table = comparison_markdown(replace(comparison, contestants=(changed, *others)))
    assert table.count("(random weights)") == 1
