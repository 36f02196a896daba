"""What is kept of the bundle that a training began with, and whom it had seen."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from metseg.io.splits import Chosen, Selection
from metseg.model import build_from_recipe
from metseg.model.bundle import Bundle, load_bundle, save_bundle
from metseg.recipe import Recipe
from metseg.train.card import write_card
from metseg.train.origin import Origin, origin_of

SPLIT = {"by": "patient", "train": ["a", "b"], "validation": ["c"], "test": ["d"], "folds": []}


def selection(**patients: str) -> Selection:
    """Return a division of patients of one letter each."""
    parts = {
        part: tuple(Chosen(SimpleNamespace(patient=patient), None) for patient in patients.get(part, ""))  # type: ignore[arg-type]
        for part in Selection._fields
    }
    return Selection(**parts)


@pytest.fixture
def bundle(tmp_path: Path, make_tiny_recipe: Callable[..., Recipe]) -> Callable[..., Bundle]:
    """Return a function that saves a bundle with such a split and metrics, and reads it."""

    def save(split: dict[str, Any] | None = SPLIT, **metrics: Any) -> Bundle:
        recipe = make_tiny_recipe()
        networks = [build_from_recipe(recipe)]
        folder = save_bundle(
            tmp_path / "first", networks=networks, recipe=recipe, card="", metrics=metrics, split=split
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
    origin = origin_of(bundle(), selection(**parts))
    assert origin.seen_before == seen
    told = capsys.readouterr().err
    assert told.startswith(f"metseg: {seen} patients for validation or test are called like some") == (seen > 0)


def test_every_fold_was_learnt_from_by_one_network_or_another(bundle: Callable[..., Bundle]) -> None:
    folds = {"by": "patient", "train": ["a", "b"], "validation": [], "test": ["d"], "folds": [["a"], ["b"]]}
    assert origin_of(bundle(folds), selection(train="x", validation="b", test="d")).seen_before == 1


@pytest.mark.parametrize("split", [None, {**SPLIT, "by": "slice"}])
def test_a_bundle_that_cannot_say_whom_it_has_seen(bundle: Callable[..., Bundle], split: dict[str, Any] | None) -> None:
    assert origin_of(bundle(split), selection(validation="a")).seen_before is None


def test_training_adds_up_from_bundle_to_bundle(bundle: Callable[..., Bundle]) -> None:
    first = bundle(steps=30, minutes=2.0, began_with=Origin("zeroth", "", 12, 0.5, None).to_json())
    origin = origin_of(first, selection())
    assert (origin.name, origin.fingerprint) == ("first", first.fingerprint)
    assert (origin.steps, origin.minutes) == (42, 2.5)


def card(recipe: Recipe, origin: Origin | None) -> str:
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
            "leaks_patients": bool(origin and origin.seen_before),
        },
    )


def test_the_card_names_what_was_begun_with(make_tiny_recipe: Callable[..., Recipe]) -> None:
    recipe = make_tiny_recipe()
    assert "began with" not in card(recipe, None)
    clean = card(recipe, Origin("first", "f", 30, 2.0, 0))
    assert "- began with the weights of `first` (30 steps, 2.0 minutes)\n" in clean
    assert "Leaks" not in clean
    leaking = card(recipe, Origin("first", "f", 30, 2.0, 3))
    assert "**Leaks patients**: the weights it began with had seen 3 of these patients" in leaking
    assert "whom they have seen is not known" in card(recipe, Origin("first", "f", 30, 2.0, None))
