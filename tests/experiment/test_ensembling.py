"""Bundles of one recipe become one; what they do not share is refused, and nobody is scored by who has seen him."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from metseg.errors import InputError, UsageError
from metseg.evaluation.files.file_matching import CasePair, Pairs
from metseg.evaluation.files.prediction_documents import Documents
from metseg.experiment.ensembling import join_bundles
from metseg.experiment.set_operating_point import _require_own_folds
from metseg.inference.predictor import Predictor
from metseg.io.splits import Split
from metseg.model import build_from_recipe
from metseg.model.bundle import load_bundle, save_bundle
from metseg.recipe import Recipe
from metseg.volume import Case, Volume

FOLDED = Split(train=("P0", "P1", "P2", "P3"), test=("P5",), folds=(("P0", "P1"), ("P2", "P3")))

Run = Callable[..., tuple[int, str, str]]
Make = Callable[..., Path]


@pytest.fixture
def make(tmp_path: Path, make_tiny_recipe: Callable[..., Recipe]) -> Make:
    """Return a function that makes the bundle of a fold, with weights of its own."""

    def made(fold: int, *changes: str, split: Split = FOLDED) -> Path:
        recipe = make_tiny_recipe(*changes)
        torch.manual_seed(fold)
        return save_bundle(
            tmp_path / f"fold{fold}-{len(list(tmp_path.iterdir()))}",
            networks=[build_from_recipe(recipe)],
            recipe=recipe,
            card="one",
            metrics={"fold": fold, "steps": 8, "minutes": 1.5, "parameters": 100, "best_epoch": 0},
            split=split.to_dict(),
        )

    return made


def test_a_joined_bundle_names_the_data_of_all(make: Make, tmp_path: Path) -> None:
    folds = [make(fold, f"data.licence={text}") for fold, text in enumerate(("Mine; CC0", "Yours; CC BY", "Mine; CC0"))]
    joined = load_bundle(join_bundles(folds, tmp_path / "joined"))
    assert joined.recipe.data.licence == "Mine; CC0; Yours; CC BY"
    assert "Mine; CC0; Yours; CC BY" in joined.card


def test_probabilities_are_averaged(make: Make, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (24, 24, 1), dtype=np.uint8)
    case = Case("c", "p", {name: Volume(pixels) for name in ("t1n", "t2f", "t1c")}, slice_names=("0",))
    folds = [make(0), make(1)]
    joined = load_bundle(join_bundles(folds, tmp_path / "joined"))

    def chances(place: Path) -> np.ndarray:
        return Predictor.from_bundle(load_bundle(place), device="cpu")(case).probability

    expected = np.mean([chances(fold) for fold in folds], axis=0)
    np.testing.assert_allclose(chances(tmp_path / "joined"), expected, atol=1e-4)
    assert np.abs(chances(folds[0]) - expected).max() > 1e-3
    assert [one["fold"] for one in joined.metrics["joined"]] == [0, 1]
    assert (joined.metrics["steps"], joined.metrics["minutes"], joined.metrics["parameters"]) == (16, 3.0, 200)
    assert joined.split == FOLDED.to_dict()
    assert "was not scored" in joined.card
    assert "Research use only" in joined.card


def test_on_the_command_line(make: Make, tmp_path: Path, run_metseg: Run) -> None:
    status, out, _ = run_metseg("models", "join", make(0), make(1), "--out", tmp_path / "joined", "--json")
    assert (status, json.loads(out)["networks"]) == (0, 2)
    assert "sound, 2 network(s); predicts as when it was made" in run_metseg("models", "verify", tmp_path / "joined")[1]


def test_what_does_not_belong_together(make: Make, tmp_path: Path) -> None:
    first = make(0)
    others = {
        "given twice": first,
        "have different recipes": make(1, "model.blocks=[1, 2]"),
        "have different operating points": make(1, "predict.threshold=0.25"),
        "already has several networks": join_bundles([make(1), make(2)], tmp_path / "two"),
    }
    for message, other in others.items():
        with pytest.raises(UsageError, match=message):
            join_bundles([first, other], tmp_path / "joined")
    with pytest.raises(UsageError, match="fewer than two bundles"):
        join_bundles([first], tmp_path / "joined")
    assert not (tmp_path / "joined").exists()
    join_bundles([first, make(1, "train.seed=5", "train.learning_rate=0.5")], tmp_path / "joined")


def test_of_a_comparisons_folds_nobody_is_unseen(make: Make, tmp_path: Path) -> None:
    splits = [
        Split(train=("P1", "P2"), validation=("P3",), test=("P0", "P9")),
        Split(train=("P0", "P2"), validation=("P3",), test=("P1", "P9")),
    ]
    folds = [make(fold, split=split) for fold, split in enumerate(splits)]
    joined = load_bundle(join_bundles(folds, tmp_path / "joined"))
    assert joined.split == Split(train=("P0", "P1", "P2", "P3"), test=("P9",)).to_dict()


def test_no_operating_point_is_chosen_by_networks_that_have_seen_the_patient(make: Make, tmp_path: Path) -> None:
    folds = [load_bundle(make(fold)) for fold in range(2)]
    joined = load_bundle(join_bundles([fold.folder for fold in folds], tmp_path / "joined"))
    pairs = Pairs((CasePair("P2", "P2", (Path("t"),), (tmp_path / "P2-seg.nii.gz",), is_slices=False),))
    document = tmp_path / "P2.json"
    document.write_text(json.dumps({"model": "tiny", "bundle": folds[1].fingerprint}), "utf-8")  # P2 is of fold 1
    _require_own_folds(pairs, Documents(tmp_path), joined, FOLDED)
    for made_by in (joined.fingerprint, folds[0].fingerprint, "another join", None):
        document.write_text(json.dumps({"model": "tiny", "bundle": made_by}), "utf-8")
        with pytest.raises(InputError, match="may have been trained on the patient") as caught:
            _require_own_folds(pairs, Documents(tmp_path), joined, FOLDED)
        assert caught.value.code == "input.split_leak"


def test_none_of_them_is_replaced(make: Make) -> None:
    folds = [make(0), make(1)]
    with pytest.raises(UsageError, match="would be replaced"):
        join_bundles(folds, folds[0])
    assert len(load_bundle(folds[0]).networks) == 1
