"""The prediction that a bundle keeps: the same on every machine, and a change of the weights is found."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from metseg.bundle_folder import checksums, packaged_bundle
from metseg.errors import BundleError
from metseg.model import SegmentationNetwork, build_from_recipe
from metseg.model.bundle import load_bundle, save_bundle
from metseg.model.reference_prediction import TOLERANCE, largest_difference, reference_prediction
from metseg.recipe import DataPart, Named, Recipe

ONE_CLASS = Recipe(name="tiny", data=DataPart(channels=("t2f",)), model=Named(name="unet", options={}))
VOLUME = Recipe(
    name="tiny",
    data=DataPart(modalities=("t1c", "t2f"), dimensions=3, labels="brats-met-2023"),
    model=Named(name="unet", options={"channels": [4, 8], "blocks": [1, 1]}),
    loss=Named(name="regions"),
)


def network(recipe: Recipe) -> SegmentationNetwork:
    torch.manual_seed(0)
    return build_from_recipe(recipe).eval()


@pytest.mark.parametrize("recipe", [ONE_CLASS, VOLUME], ids=["slices", "volumes"])
def test_the_same_network_predicts_what_was_kept(recipe: Recipe) -> None:
    kept = reference_prediction([network(recipe)], recipe)
    assert json.loads(json.dumps(kept)) == kept
    assert 100 < len(kept["probabilities"]) <= 256
    assert np.std(kept["probabilities"]) > 1e-4
    assert largest_difference(kept, [network(recipe)], recipe) < 1e-5


@torch.no_grad()
def test_another_network_is_found() -> None:
    kept, other = reference_prediction([network(ONE_CLASS)], ONE_CLASS), network(ONE_CLASS)
    other.body.heads[0].bias += 0.02
    with pytest.raises(BundleError) as caught:
        largest_difference(kept, [other], ONE_CLASS)
    assert caught.value.code == "model.prediction"
    other.body.heads[0].bias += float("nan")
    with pytest.raises(BundleError):
        largest_difference(kept, [other], ONE_CLASS)


@pytest.mark.parametrize(
    "kept",
    [{}, {"shape": [1, 1, 32, 32], "probabilities": [0.5]}, {"shape": "x", "probabilities": []}, {"shape": [1, 9, 32]}],
)
def test_what_is_no_prediction_is_refused(kept: dict[str, Any]) -> None:
    with pytest.raises(BundleError) as caught:
        largest_difference(kept, [network(ONE_CLASS)], ONE_CLASS)
    assert caught.value.code == "model.invalid"


def test_a_bundle_keeps_the_mean_of_its_networks(tmp_path: Path) -> None:
    networks = [network(ONE_CLASS), build_from_recipe(ONE_CLASS).eval()]
    folder = save_bundle(tmp_path / "two", networks=networks, recipe=ONE_CLASS, card="two", metrics={})
    bundle = load_bundle(folder)
    assert bundle.reference is not None
    alone, both = (
        np.array(reference_prediction(part, ONE_CLASS)["probabilities"]) for part in (networks[:1], networks)
    )
    assert bundle.reference["probabilities"] == pytest.approx(both, abs=1e-5)
    assert np.abs(alone - both).max() > TOLERANCE
    assert "reference.json" in checksums(folder)


@pytest.mark.parametrize("name", ["mets-sim", "brain-extraction"])
def test_the_networks_of_the_package_predict_here_what_they_keep(name: str) -> None:
    bundle = load_bundle(packaged_bundle(name))
    assert bundle.reference is not None
    assert largest_difference(bundle.reference, bundle.networks, bundle.recipe) < TOLERANCE
