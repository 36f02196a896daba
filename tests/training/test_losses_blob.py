"""Blob loss: by hand, and against a plain loop over lesions."""

from __future__ import annotations

from collections.abc import Callable
from math import log

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import Tensor
from torch.nn import functional

from metseg.errors import UsageError
from metseg.labels import LABEL_SCHEMES
from metseg.model.activation import CLASSES, Outputs, region_outputs
from metseg.recipe import Named
from metseg.training.losses import build_loss, deep_supervision_loss

REGIONS = region_outputs(LABEL_SCHEMES["brats-met-2023"])
THREE = log(3)  # sigmoid of it is 3/4, of its negative 1/4


def blob(outputs: Outputs = CLASSES, **options: object):
    return build_loss(Named(name="blob", options=options), outputs)


#: One row of six voxels with a lesion of one and a lesion of two.
ROW = torch.tensor([[1, 0, 0, 1, 1, 0]], dtype=torch.uint8)[:, :, None]
LOGITS = torch.tensor([[THREE, -THREE, -THREE, 0, 0, -THREE]])[:, None, :, None]
# Background: probabilities 3/4 in all. First lesion: 3/4. Second: 1/2 and 1/2.
DICE = 1 - 2 * 1.75 / (2.5 + 3)
DICE_EACH = [1 - 2 * 0.75 / (0.75 + 0.75 + 1), 1 - 2 * 1 / (0.75 + 1 + 2)]
BCE = (4 * log(4 / 3) + 2 * log(2)) / 6
BCE_EACH = [log(4 / 3), (3 * log(4 / 3) + 2 * log(2)) / 5]


@pytest.mark.parametrize(
    ("options", "value"),
    [
        ({"inner": "dice", "alpha": 0}, sum(DICE_EACH) / 2),
        ({"inner": "dice"}, 2 * DICE + sum(DICE_EACH) / 2),
        ({"inner": "bce", "alpha": 0, "beta": 3}, 3 * sum(BCE_EACH) / 2),
        ({"alpha": 1}, DICE + BCE + (sum(DICE_EACH) + sum(BCE_EACH)) / 2),
        ({"inner": {"name": "dice_bce", "bce_weight": 0.5}, "alpha": 0}, (sum(DICE_EACH) + 0.5 * sum(BCE_EACH)) / 2),
        ({"inner": "bce", "alpha": 0, "beta": 0}, 0),
    ],
)
def test_by_hand(options, value):
    assert float(blob(**options)(LOGITS, ROW)) == pytest.approx(value, abs=2e-5)


def test_items_without_lesion_do_not_thin_the_mean_out():
    empty = torch.cat([ROW, torch.zeros_like(ROW)])
    both = blob(inner="dice", alpha=0)(torch.cat([LOGITS, LOGITS]), empty)
    assert float(both) == pytest.approx(sum(DICE_EACH) / 2, abs=2e-5)
    assert float(blob(inner="dice", alpha=0)(LOGITS, torch.zeros_like(ROW))) == 0


def test_corners_join_voxels():
    labels = torch.tensor([[[1, 0], [0, 1]]], dtype=torch.uint8)
    logits = torch.zeros(1, 1, 2, 2)
    assert float(blob(inner="dice", alpha=0)(logits, labels)) == pytest.approx(1 - 2 * 1 / (2 + 2), abs=2e-5)


# The plain way: for each lesion, the voxels that are not of another lesion, and the loss of these.


def plain_dice(chance: Tensor, truth: Tensor) -> Tensor:
    return 1 - (2 * (chance * truth).sum() + 1e-5) / (chance.sum() + truth.sum() + 1e-5)


def plain_tversky(chance: Tensor, truth: Tensor) -> Tensor:
    hit, false, missed = (chance * truth).sum(), (chance * (1 - truth)).sum(), ((1 - chance) * truth).sum()
    return 1 - (hit + 1e-5) / (hit + 0.3 * false + 0.7 * missed + 1e-5)


def per_lesion(masks: Tensor, value: Callable[[int, int, Tensor, Tensor], Tensor]) -> Tensor:
    """Return the mean over items and outputs of the mean over lesions of ``value(item, output, voxels, lesion)``."""
    means = []
    for item, output in np.ndindex(*masks.shape[:2]):
        numbers, count = ndimage.label(masks[item, output].numpy(), np.ones((3,) * (masks.ndim - 2)))
        of_lesions = []
        for lesion in range(1, count + 1):
            kept = torch.from_numpy((numbers == 0) | (numbers == lesion))
            of_lesions.append(value(item, output, kept, torch.from_numpy(numbers == lesion)))
        if of_lesions:
            means.append(sum(of_lesions) / count)
    return sum(means) / len(means)


def scattered(*shape: int, classes: int) -> Tensor:
    """Return labels (3, *S) with many small lesions, the last item empty."""
    random = np.random.default_rng(0)
    labels = random.integers(1, classes + 1, (3, *shape)) * (random.random((3, *shape)) < 0.12)
    labels[2] = 0
    return torch.from_numpy(labels.astype(np.uint8))


@pytest.mark.parametrize("shape", [(14, 11), (8, 7, 6)], ids=["2D", "3D"])
@pytest.mark.parametrize("form", ["one", "classes", "regions"])
@pytest.mark.parametrize("inner", ["dice", "tversky", "bce"])
def test_one_pass_is_the_loop_over_lesions_and_so_is_its_gradient(shape, form, inner):
    outputs, channels = (REGIONS, 3) if form == "regions" else (CLASSES, 4 if form == "classes" else 1)
    labels = scattered(*shape, classes=1 if form == "one" else 3)
    random = torch.Generator().manual_seed(1)
    logits = torch.randn(3, channels, *shape, generator=random).requires_grad_()
    masks = outputs.targets(labels, channels)[:, 1 if form == "classes" else 0 :]
    skipped = 1 if form == "classes" else 0

    def value(item: int, output: int, kept: Tensor, lesion: Tensor) -> Tensor:
        own = lesion[kept].float()
        if inner == "bce" and form == "classes":
            entropy = functional.cross_entropy(logits, labels.long(), reduction="none")
            return entropy[item][kept].mean()
        if inner == "bce":
            return functional.binary_cross_entropy_with_logits(logits[item, output][kept], own)
        chances = logits.softmax(1) if form == "classes" else logits.sigmoid()
        formula = {"dice": plain_dice, "tversky": plain_tversky}[inner]
        return formula(chances[item, output + skipped][kept], own)

    wanted = per_lesion(masks, value)
    (wanted_slope,) = torch.autograd.grad(wanted, logits)
    found = blob(outputs, inner=inner, alpha=0)(logits, labels)
    (slope,) = torch.autograd.grad(found, logits)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(slope, wanted_slope, rtol=1e-3, atol=1e-7)


def test_a_missed_small_lesion_costs_as_much_as_a_missed_large_one():
    labels = torch.zeros(1, 16, 16, 8, dtype=torch.uint8)
    labels[0, 1:9, 1:9, 1:7] = 1
    labels[0, 12:14, 12:14, 3:5] = 1
    found = torch.where(labels[:, None] > 0, 20.0, -20.0)
    without_small, without_large = found.clone(), found.clone()
    without_small[:, :, 12:14, 12:14] = -20
    without_large[:, :, 1:9, 1:9] = -20
    lesions, dice = blob(inner="dice", alpha=0), build_loss(Named(name="dice"))
    assert float(lesions(without_small, labels)) == pytest.approx(0.5, abs=1e-4)
    assert float(lesions(without_large, labels)) == pytest.approx(0.5, abs=1e-4)
    assert float(dice(without_small, labels)) < 0.02 < 0.9 < float(dice(without_large, labels))


def test_lesions_of_deep_supervision_are_found_once_and_those_of_the_next_batch_anew(monkeypatch):
    calls = []
    from metseg.training.losses import blob as module

    def counted(mask: np.ndarray) -> tuple[np.ndarray, int]:
        calls.append(mask.shape)
        return module_label(mask)

    module_label = module.label_instances
    monkeypatch.setattr(module, "label_instances", counted)
    function = blob(inner="dice", alpha=0)
    alone = float(function(LOGITS, ROW))
    assert float(deep_supervision_loss(function, [LOGITS] * 3, ROW.clone())) == pytest.approx(alone)
    assert len(calls) == 1
    reused = ROW.clone()
    function(LOGITS, reused)
    reused[0, 0] = 0  # a buffer that the next batch is written into
    assert float(function(LOGITS, reused)) == pytest.approx(1 - 2 / 4.5, abs=2e-5)
    assert len(calls) == 2


def test_blobs_of_blobs_are_refused():
    with pytest.raises(UsageError, match="cannot be computed per lesion"):
        blob(inner={"name": "blob", "inner": "dice"})
