"""Classes and regions: targets, probabilities, decisions."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from metseg.labels import LABEL_SCHEMES
from metseg.model import channels_of
from metseg.model.activation import CLASSES, outputs_of, region_outputs
from metseg.recipe import DataPart, Named, Recipe

METS = LABEL_SCHEMES["brats-met-2023"]  # NETC 1, SNFH 2, ET 3; WT (1, 2, 3), TC (1, 3), ET (3)


def recipe(loss: str = "dice_bce", **data: object) -> Recipe:
    return Recipe(
        name="outputs",
        data=DataPart.model_validate({"modalities": ("t1c", "t2f"), **data}),
        model=Named(name="unet"),
        loss=Named(name=loss),
    )


def test_classes_as_targets() -> None:
    labels = torch.tensor([[[0, 2], [1, 0]]], dtype=torch.uint8)
    assert CLASSES.targets(labels, 3)[0].int().tolist() == [[[1, 0], [0, 1]], [[0, 0], [1, 0]], [[0, 1], [0, 0]]]
    assert CLASSES.targets(labels > 0, 1)[0].int().tolist() == [[[0, 1], [1, 0]]]


def test_regions_as_targets() -> None:
    labels = torch.tensor([[0, 1, 2, 3]], dtype=torch.uint8)
    assert region_outputs(METS).targets(labels, 3)[0].int().tolist() == [[0, 1, 1, 1], [0, 1, 0, 1], [0, 0, 0, 1]]


@pytest.mark.parametrize("name", LABEL_SCHEMES)
def test_regions_are_the_schemes_own(name: str) -> None:
    scheme = LABEL_SCHEMES[name]
    ids = np.array(scheme.values, dtype=np.uint8)
    labels = torch.from_numpy(scheme.to_indices(ids))[None]
    for found, region in zip(region_outputs(scheme).targets(labels, 0)[0], scheme.regions, strict=True):
        np.testing.assert_array_equal(found.numpy(), scheme.region_mask(ids, region))


@pytest.mark.parametrize("name", LABEL_SCHEMES)
def test_sure_regions_give_the_regions_of_the_truth_back(name: str) -> None:
    scheme, outputs = LABEL_SCHEMES[name], region_outputs(LABEL_SCHEMES[name])
    ids = np.array(scheme.values, dtype=np.uint8)
    chances = outputs.targets(torch.from_numpy(scheme.to_indices(ids))[None], 0).float()
    decided = scheme.from_indices(outputs.class_indices(chances, threshold=0.5)[0].numpy())
    for region in scheme.regions:
        np.testing.assert_array_equal(scheme.region_mask(decided, region), scheme.region_mask(ids, region))
    if name != "brats-2015":  # whose regions do not tell necrosis from non-enhancing tumour
        np.testing.assert_array_equal(decided, ids)


def test_smaller_regions_are_painted_over_larger_ones() -> None:
    chances = torch.tensor([[0.9, 0.9, 0.9, 0.1, 0.6], [0.1, 0.6, 0.9, 0.1, 0.4], [0.1, 0.2, 0.7, 0.8, 0.5]])[None]
    assert region_outputs(METS).class_indices(chances, threshold=0.5)[0].tolist() == [2, 1, 3, 3, 3]


def test_one_class_is_decided_by_its_threshold() -> None:
    chances = CLASSES.probabilities(torch.tensor([[[-1.0, 0.0, 1.1, 2.0]]]))  # 0.27, 0.5, 0.75, 0.88
    assert CLASSES.class_indices(chances, threshold=0.5)[0].tolist() == [0, 1, 1, 1]
    assert CLASSES.class_indices(chances, threshold=0.8)[0].tolist() == [0, 0, 0, 1]


def test_several_classes_are_decided_together_and_the_likeliest_named() -> None:
    chances = torch.tensor([[0.6, 0.45, 0.1], [0.3, 0.3, 0.2], [0.1, 0.25, 0.7]])[None]
    assert CLASSES.class_indices(chances, threshold=0.5)[0].tolist() == [0, 1, 2]
    assert CLASSES.class_indices(chances, threshold=0.35)[0].tolist() == [1, 1, 2]
    logits = chances.log() + 3
    torch.testing.assert_close(CLASSES.probabilities(logits), chances)


def test_the_loss_of_a_recipe_says_what_the_outputs_are() -> None:
    assert channels_of(recipe(labels="brats-met-2024")) == (2, 5)
    assert channels_of(recipe("regions", labels="brats-met-2024")) == (2, 4)
    assert channels_of(recipe("regions")) == (2, 1)
    assert outputs_of(recipe(labels="brats-met-2024")) == CLASSES


def test_neighbouring_slices_are_further_inputs_of_slice_networks() -> None:
    assert channels_of(recipe(neighbours=1))[0] == 6
    assert channels_of(recipe(neighbours=0))[0] == 2
