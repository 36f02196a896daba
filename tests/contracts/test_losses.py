"""What every loss has to do, whatever it does; and each one's value on numbers computed by hand."""

from __future__ import annotations

from math import log, sqrt

import numpy as np
import pytest
import torch
from torch import Tensor

from metseg.errors import UsageError
from metseg.recipe import Named
from metseg.train.losses import LOSSES, build_loss, deep_supervision_loss, one_hot

CERTAIN = 20.0
SPACES = {"2D": (12, 10), "3D": (6, 7, 5)}
forms = pytest.mark.parametrize("classes", [1, 4])
spaces = pytest.mark.parametrize("space", SPACES)
losses = pytest.mark.parametrize("name", LOSSES)


def loss(name: str, **options: object):
    return build_loss(Named(name=name, options=options))


def truth(classes: int, space: str) -> Tensor:
    """Return (2, *S) labels with every class; the second item of the batch is empty."""
    shape = SPACES[space]
    labels = np.zeros((2, *shape), np.uint8)
    labels[0, 2:5, 1:6] = 1
    for value in range(2, classes):
        labels[0, 3, value - 1 : value + 1] = value
    return torch.from_numpy(labels)


def certain(labels: Tensor, classes: int) -> Tensor:
    """Return logits that are sure of these labels."""
    return CERTAIN * (2 * one_hot(labels, classes) - 1)


def wrong(labels: Tensor, classes: int) -> Tensor:
    """Return logits that are sure of something else everywhere."""
    return certain((labels + 1) % max(2, classes), classes)


def gradient(function, logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    logits = logits.clone().requires_grad_()
    value = function(logits, labels)
    value.backward()
    return value.detach(), logits.grad


@losses
@forms
@spaces
def test_perfect_is_less_than_unsure_is_less_than_wrong(name, classes, space):
    labels = truth(classes, space)
    perfect = loss(name)(certain(labels, classes), labels)
    unsure = loss(name)(torch.zeros_like(certain(labels, classes)), labels)
    worst = loss(name)(wrong(labels, classes), labels)
    assert perfect.shape == ()
    assert 0 <= float(perfect) < 1e-3
    assert float(perfect) < float(unsure) < float(worst)


@losses
@forms
@spaces
@pytest.mark.parametrize("filled", [0, 1], ids=["empty", "all lesion"])
@pytest.mark.parametrize("size", [0.0, 1.0, 100.0, 1e4], ids=["even", "usual", "sure", "extreme"])
def test_values_and_gradients_are_finite(name, classes, space, filled, size):
    labels = torch.full((2, *SPACES[space]), filled, dtype=torch.uint8)
    for seed, sign in ((0, 1), (1, -1)):
        noise = torch.randn((2, classes, *SPACES[space]), generator=torch.Generator().manual_seed(seed))
        for logits in (size * noise, sign * size * torch.ones_like(noise), certain(labels, classes)):
            value, slope = gradient(loss(name), logits, labels)
            assert torch.isfinite(value)
            assert torch.isfinite(slope).all()


@losses
@forms
def test_an_empty_batch_is_best_left_empty(name, classes):
    labels = torch.zeros(2, 12, 10, dtype=torch.uint8)
    assert loss(name)(certain(labels, classes), labels) < loss(name)(wrong(labels, classes), labels)


@losses
@forms
@spaces
def test_a_step_downhill_lowers_it(name, classes, space):
    labels = truth(classes, space)
    logits = torch.randn((2, classes, *SPACES[space]), generator=torch.Generator().manual_seed(0))
    value, slope = gradient(loss(name), logits, labels)
    assert slope.abs().max() > 0
    assert loss(name)(logits - 0.1 * slope / slope.abs().max(), labels) < value


@losses
@forms
def test_the_order_of_a_batch_does_not_matter(name, classes):
    labels = truth(classes, "2D")
    logits = torch.randn((2, classes, 12, 10), generator=torch.Generator().manual_seed(1))
    assert float(loss(name)(logits.flip(0), labels.flip(0))) == pytest.approx(float(loss(name)(logits, labels)))


@losses
def test_unknown_options_are_refused(name):
    with pytest.raises(UsageError, match=f"options of '{name}'"):
        loss(name, nonsense=1)


def test_an_unknown_loss_is_refused():
    with pytest.raises(UsageError, match="Did you mean 'tversky'"):
        loss("tverski")


@pytest.mark.parametrize(
    ("name", "options"),
    [("dice", {"smooth": 0}), ("focal", {"alpha": 1.5}), ("focal", {"gamma": -1}), ("focal_tversky", {"gamma": 0.5})],
)
def test_options_that_end_in_nan_are_refused(name, options):
    with pytest.raises(UsageError, match=f"options of '{name}'"):
        loss(name, **options)


# By hand. Sigmoid of log 3 is 3/4, of -log 3 it is 1/4.
THREE = log(3)


def one_output(logits: list[list[float]], labels: list[list[int]]) -> tuple[Tensor, Tensor]:
    """Return logits (N, 1, X, 1) and labels (N, X, 1), one row per item."""
    return torch.tensor(logits, dtype=torch.float32)[:, None, :, None], torch.tensor(labels, dtype=torch.uint8)[
        :, :, None
    ]


#: Probabilities 3/4 and 1/4, of which the first is lesion.
PAIR = one_output([[THREE, -THREE]], [[1, 0]])
#: The same, and an empty item with probabilities of one half.
PAIR_AND_EMPTY = one_output([[THREE, -THREE], [0, 0]], [[1, 0], [0, 0]])
#: Two voxels, three outputs with probabilities (0.2, 0.5, 0.3) and (0.1, 0.3, 0.6); the truth is 1 and 2.
THREE_OUTPUTS = (
    torch.tensor([[0.2, 0.5, 0.3], [0.1, 0.3, 0.6]]).log().T.reshape(1, 3, 2, 1),
    torch.tensor([1, 2], dtype=torch.uint8).reshape(1, 2, 1),
)
CLASS_1, CLASS_2 = 2 * 0.5 / (1 + 0.8), 2 * 0.6 / (1 + 0.9)


@pytest.mark.parametrize(
    ("name", "options", "arguments", "value"),
    [
        ("bce", {}, one_output([[0, 0]], [[1, 0]]), log(2)),
        ("bce", {}, one_output([[THREE, -THREE]], [[1, 1]]), (log(4 / 3) + log(4)) / 2),
        ("bce", {}, THREE_OUTPUTS, -(log(0.5) + log(0.6)) / 2),
        ("dice", {}, PAIR, 1 - 2 * 0.75 / (1 + 1)),
        ("dice", {}, PAIR_AND_EMPTY, 1 - 2 * 0.75 / (1 + 2)),
        ("dice", {"batch": False}, PAIR_AND_EMPTY, (0.25 + 1) / 2),
        ("dice", {}, THREE_OUTPUTS, 1 - (CLASS_1 + CLASS_2) / 2),
        ("dice", {"include_background": True}, THREE_OUTPUTS, 1 - (0 + CLASS_1 + CLASS_2) / 3),
        ("dice", {"smooth": 1}, PAIR, 1 - (2 * 0.75 + 1) / (1 + 1 + 1)),
        ("tversky", {}, PAIR, 1 - 0.75 / (0.75 + 0.3 * 0.25 + 0.7 * 0.25)),
        ("tversky", {"alpha": 0.2, "beta": 0.5}, PAIR, 1 - 0.75 / (0.75 + 0.2 * 0.25 + 0.5 * 0.25)),
        ("tversky", {"alpha": 1, "beta": 0}, PAIR_AND_EMPTY, 1 - 0.75 / (0.75 + 1.25)),
        ("tversky", {"alpha": 0.5, "beta": 0.5}, THREE_OUTPUTS, 1 - (CLASS_1 + CLASS_2) / 2),
        ("focal_tversky", {"gamma": 2}, PAIR, sqrt(0.25)),
        ("focal_tversky", {}, PAIR, 0.25**0.75),
        (
            "focal_tversky",
            {"gamma": 2, "alpha": 0.5, "beta": 0.5},
            THREE_OUTPUTS,
            (sqrt(1 - CLASS_1) + sqrt(1 - CLASS_2)) / 2,
        ),
        ("focal", {}, PAIR, 0.25**2 * log(4 / 3)),
        ("focal", {"gamma": 1, "alpha": 0.9}, PAIR, 0.25 * log(4 / 3) * (0.9 + 0.1) / 2),
        ("focal", {"gamma": 0, "alpha": 0.25}, one_output([[0, 0, 0]], [[1, 0, 0]]), log(2) * (0.25 + 2 * 0.75) / 3),
        ("focal", {}, THREE_OUTPUTS, -(0.5**2 * log(0.5) + 0.4**2 * log(0.6)) / 2),
        ("focal", {"gamma": 0.5}, THREE_OUTPUTS, -(sqrt(0.5) * log(0.5) + sqrt(0.4) * log(0.6)) / 2),
        ("dice_bce", {}, PAIR, 0.25 + log(4 / 3)),
        ("dice_bce", {"dice_weight": 2, "bce_weight": 3}, PAIR, 2 * 0.25 + 3 * log(4 / 3)),
        ("dice_focal", {"dice_weight": 2, "focal_weight": 3}, PAIR, 2 * 0.25 + 3 * 0.25**2 * log(4 / 3)),
        ("dice_focal", {"gamma": 1, "alpha": 0.9}, PAIR, 0.25 + 0.25 * log(4 / 3) / 2),
    ],
)
def test_by_hand(name, options, arguments, value):
    assert float(loss(name, **options)(*arguments)) == pytest.approx(value, abs=2e-5)


@pytest.mark.parametrize("alpha", [None, 0.3])
@pytest.mark.parametrize("gamma", [0.0, 1.5, 2.0])
def test_focal_of_one_output_is_monais(gamma, alpha):
    from monai.losses import FocalLoss

    labels = truth(1, "2D")
    logits = 3 * torch.randn((2, 1, 12, 10), generator=torch.Generator().manual_seed(2))
    wanted = FocalLoss(gamma=gamma, alpha=alpha)(logits, labels[:, None].float())
    assert float(loss("focal", gamma=gamma, alpha=alpha)(logits, labels)) == pytest.approx(float(wanted), rel=1e-5)


@forms
def test_focal_without_focus_is_cross_entropy(classes):
    labels = truth(classes, "2D")
    logits = torch.randn((2, classes, 12, 10), generator=torch.Generator().manual_seed(3))
    assert float(loss("focal", gamma=0)(logits, labels)) == pytest.approx(float(loss("bce")(logits, labels)), rel=1e-6)


def test_missed_lesion_weighs_more_than_false_alarm_in_tversky():
    labels = truth(1, "2D")
    nothing = certain(torch.zeros_like(labels), 1)
    tversky = loss("tversky")
    missed_half, twice = labels.clone(), labels.clone()
    missed_half[0, :, :3] = 0
    twice[1] = labels[0]
    assert tversky(certain(missed_half, 1), labels) > tversky(certain(twice, 1), labels) - 0.3
    assert float(tversky(nothing, labels)) == pytest.approx(1, abs=1e-3)


def test_deep_supervision_halves_the_weight_at_each_depth():
    def value_of(logits: Tensor, labels: Tensor) -> Tensor:
        assert logits.dtype == torch.float32
        return logits.mean() * labels.float().mean()

    labels = torch.full((1, 4, 4), 2, dtype=torch.uint8)
    outputs = [torch.full((1, 1, 4, 4), value, dtype=torch.bfloat16) for value in (8.0, 4.0, 2.0)]
    assert float(deep_supervision_loss(value_of, outputs, labels)) == pytest.approx(2 * (8 + 4 / 2 + 2 / 4) / 1.75)
    assert float(deep_supervision_loss(value_of, outputs[:1], labels)) == pytest.approx(16)
    assert float(deep_supervision_loss(value_of, outputs[1], labels)) == pytest.approx(8)


def test_one_hot():
    labels = torch.tensor([[[0, 2], [1, 0]]], dtype=torch.uint8)
    assert one_hot(labels, 3)[0].tolist() == [[[1, 0], [0, 1]], [[0, 0], [1, 0]], [[0, 1], [0, 0]]]
    binary = torch.tensor([[[0, 1], [1, 0]]], dtype=torch.uint8)
    assert one_hot(binary, 1)[0].tolist() == [[[0, 1], [1, 0]]]
