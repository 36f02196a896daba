"""What is kept of the bundle that a training began with, and whom it had seen."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from metseg.io.case_source import CaseSource
from metseg.io.splits import SelectedCases, Selection, Split
from metseg.model import build_from_recipe
from metseg.model.bundle import Bundle, load_bundle, save_bundle
from metseg.recipe import Recipe
from metseg.training.model_card import write_card
from metseg.training.weights.init_provenance import InitProvenance, init_provenance

SPLIT = Split(train=("a", "b"), validation=("c",), test=("d",))


def case(patient: str) -> CaseSource:
    slices = (f"{patient}_1.png", f"{patient}_2.png")
    return cast(CaseSource, SimpleNamespace(patient=patient, case_id=patient, slice_names=slices))


def selection(**patients: str) -> Selection:
    """Return a division of patients of one letter each."""
    parts = {
        part: tuple(SelectedCases(case(patient), None) for patient in patients.get(part, ""))
        for part in Selection._fields
    }
    return Selection(**parts)


@pytest.fixture
def bundle(tmp_path: Path, make_tiny_recipe: Callable[..., Recipe]) -> Callable[..., Bundle]:
    """Return a function that saves a bundle with such a split and metrics, and reads it."""

    def save(split: Split | None = SPLIT, **metrics: Any) -> Bundle:
        recipe = make_tiny_recipe()
        networks = [build_from_recipe(recipe)]
        document = None if split is None else split.to_dict()
        folder = save_bundle(
            tmp_path / "first", networks=networks, recipe=recipe, card="", metrics=metrics, split=document
        )
        return load_bundle(folder)

    return save


@pytest.mark.parametrize(
    ("parts", "seen"),
    [
        ({"train": "abc", "validation": "c", "test": "d"}, 0),  # chosen by c before, and again
        ({"train": "cd", "validation": "a", "test": "b"}, 2),
        ({"train": "a", "validation": "d", "test": "c"}, 1),
        ({"train": "abcd", "validation": "x", "test": "y"}, 0),
    ],
)
def test_patients_who_are_to_judge_what_learnt_from_them(
    bundle: Callable[..., Bundle], parts: dict[str, str], seen: int, capsys: pytest.CaptureFixture[str]
) -> None:
    origin = init_provenance(bundle(), selection(**parts))
    assert origin.seen_before == seen
    told = capsys.readouterr().err
    assert (f"patients that 'first' was trained or selected on, or others with the same names: {seen};" in told) == (
        seen > 0
    )


@pytest.mark.parametrize(("fold", "seen"), [(None, 1), (0, 1), (1, 0)])
def test_a_fold_that_was_validated_on_was_not_learnt_from(
    bundle: Callable[..., Bundle], fold: int | None, seen: int
) -> None:
    folds = Split(train=("a", "b"), test=("d",), folds=(("a",), ("b",)))
    assert init_provenance(bundle(folds, fold=fold), selection(train="x", validation="b", test="d")).seen_before == seen
    assert init_provenance(bundle(folds, fold=1), selection(train="x", test="b")).seen_before == 1


def test_a_patient_of_whom_one_slice_was_learnt_from_has_been_seen(bundle: Callable[..., Bundle]) -> None:
    slices = Split(by="slice", train=("a/a_1.png",), validation=("b/b_1.png",), test=("a/a_2.png", "b/b_2.png"))
    first = bundle(slices)
    assert init_provenance(first, selection(validation="a", test="b")).seen_before == 2
    assert init_provenance(first, selection(validation="b", test="c")).seen_before == 0


def test_a_bundle_that_does_not_say_whom_it_has_seen(
    bundle: Callable[..., Bundle], capsys: pytest.CaptureFixture[str]
) -> None:
    assert init_provenance(bundle(None), selection(validation="a")).seen_before is None
    assert capsys.readouterr().err == "metseg: the training patients of 'first' are not known: scores may be too good\n"


@pytest.mark.parametrize(
    ("split", "before", "seen"),
    [(SPLIT, 0, 0), (SPLIT, 3, 3), (SPLIT, None, None), (None, 0, None), (None, 3, 3)],
)
def test_what_a_bundle_began_with_is_not_forgotten(
    bundle: Callable[..., Bundle], split: Split | None, before: int | None, seen: int | None
) -> None:
    first = bundle(split, steps=30, minutes=2.0, began_with=InitProvenance("zeroth", "", 12, 0.5, before).to_json())
    origin = init_provenance(first, selection(train="ab", validation="c", test="d"))
    assert (origin.name, origin.fingerprint) == ("first", first.fingerprint)
    assert (origin.steps, origin.minutes, origin.seen_before) == (42, 2.5, seen)


def test_patients_seen_in_both_generations_are_told_together(bundle: Callable[..., Bundle]) -> None:
    first = bundle(SPLIT, began_with=InitProvenance("zeroth", "", 12, 0.5, 2).to_json())
    assert init_provenance(first, selection(test="a")).seen_before == 3


def card(recipe: Recipe, origin: InitProvenance | None, by: str = "patient", **metrics: object) -> str:
    machine = {"processor": "p", "memory": "m", "device": "cpu", "bfloat16": "no", "torch": "t", "python": "3"}
    return write_card(
        recipe,
        {
            "parameters": 1,
            "patients": {"train": 2, "validation": 1, "test": 1},
            "steps": 5,
            "minutes": 1.0,
            "best_epoch": 0,
            "machine": machine,
            "began_with": None if origin is None else origin.to_json(),
            "split_by": by,
            "leaks_patients": by == "slice" or bool(origin and origin.seen_before),
            **metrics,
        },
    )


def test_the_card_names_what_was_begun_with(make_tiny_recipe: Callable[..., Recipe]) -> None:
    recipe = make_tiny_recipe()
    assert "began with" not in card(recipe, None)
    clean = card(recipe, InitProvenance("first", "f", 30, 2.0, 0))
    assert "- initial weights: `first` (trained for 30 steps, 2.0 minutes in total)\n" in clean
    assert "Leaks" not in clean
    assert "their training patients are not known" in card(recipe, InitProvenance("first", "f", 30, 2.0, None))


def test_the_card_says_that_sequences_may_be_missing_only_with_the_scores(
    make_tiny_recipe: Callable[..., Recipe],
) -> None:
    recipe = make_tiny_recipe('data.optional=["t1n"]')
    assert "accepts studies without" not in card(make_tiny_recipe(), None)
    assert "It accepts studies without t1n; its scores on them were not measured." in card(recipe, None)
    dice = {"mean": 0.5, "low": 0.25, "high": 0.75, "patients": 3}
    metrics = {"validation_required_only": {"regions": {"ET": {"metrics": {"dice": dice}}}}}
    text = card(recipe, None, **metrics)
    assert "| validation, without t1n (3) | ET | 0.500 (0.250 to 0.750) |" in text
    assert "not measured" not in text


def test_the_card_has_every_way_by_which_patients_leaked(make_tiny_recipe: Callable[..., Recipe]) -> None:
    recipe, origin = make_tiny_recipe(), InitProvenance("first", "f", 30, 2.0, 3)
    inherited = "the initial weights were trained or selected on 3 of these patients, or others of the same names"
    for text, ways in (
        (card(recipe, origin), inherited),
        (card(recipe, None, "slice"), "the split was by slice"),
        (card(recipe, origin, "slice"), f"{inherited} and the split was by slice"),
    ):
        assert f"**Leaks patients**: {ways}, so these figures are too good.\n" in text
