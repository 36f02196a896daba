"""What every loss has to do, whatever it does; and each one's value on numbers computed by hand."""

from __future__ import annotations

from math import log, sqrt

import numpy as np
import pytest
import torch
from torch import Tensor

from metseg.errors import UsageError
from metseg.labels import LABEL_SCHEMES
from metseg.model.activation import CLASSES, Outputs, region_outputs
from metseg.recipe import DataPart, Named, Recipe
from metseg.training.losses import LOSSES, build_loss, deep_supervision_loss, loss_of

CERTAIN = 20.0
SPACES = {"2D": (12, 10), "3D": (6, 7, 5)}
REGIONS = region_outputs(LABEL_SCHEMES["brats-met-2023"])
spaces = pytest.mark.parametrize("space", SPACES)
losses = pytest.mark.parametrize("name", LOSSES)
#: Every loss with one output, with four classes, and with three regions; `regions` itself has no other form.
FORMS = [
    (name, channels)
    for name in LOSSES
    for channels in ("one", "classes", "regions")
    if (name != "regions" or channels == "regions")
]
forms = pytest.mark.parametrize(("name", "form"), FORMS)
CHANNELS = {"one": 1, "classes": 4, "regions": 3}
MEANING: dict[str, Outputs] = {"one": CLASSES, "classes": CLASSES, "regions": REGIONS}


def loss(name: str, form: str = "classes", **options: object):
    return build_loss(Named(name=name, options=options), MEANING[form])


def truth(form: str, space: str) -> Tensor:
    """Return (2, *S) labels with every class; the second item of the batch is empty."""
    shape = SPACES[space]
    labels = np.zeros((2, *shape), np.uint8)
    labels[0, 2:5, 1:6] = 1
    if form != "one":
        labels[0, 3, 1:3] = 2
        labels[0, 3, 2:4] = 3
    return torch.from_numpy(labels)


def certain(labels: Tensor, form: str) -> Tensor:
    """Return logits that are sure of these labels."""
    return CERTAIN * (2 * MEANING[form].targets(labels, CHANNELS[form]).float() - 1)


def wrong(labels: Tensor, form: str) -> Tensor:
    """Return logits that are sure of something else everywhere."""
    if form == "classes":
        return certain((labels + 1) % 4, form)
    return -certain(labels, form)


def noise(form: str, *shape: int, seed: int) -> Tensor:
    return torch.randn((2, CHANNELS[form], *shape), generator=torch.Generator().manual_seed(seed))


def gradient(function, logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    logits = logits.clone().requires_grad_()
    value = function(logits, labels)
    value.backward()
    return value.detach(), logits.grad


@forms
@spaces
def test_perfect_is_less_than_unsure_is_less_than_wrong(name, form, space):
    labels = truth(form, space)
    perfect = loss(name, form)(certain(labels, form), labels)
    unsure = loss(name, form)(torch.zeros_like(certain(labels, form)), labels)
    worst = loss(name, form)(wrong(labels, form), labels)
    assert perfect.shape == ()
    assert 0 <= float(perfect) < 1e-3
    assert float(perfect) < float(unsure) < float(worst)


@forms
@spaces
@pytest.mark.parametrize("filled", [0, 1], ids=["empty", "all lesion"])
@pytest.mark.parametrize("size", [0.0, 1.0, 100.0, 1e4], ids=["even", "usual", "sure", "extreme"])
def test_values_and_gradients_are_finite(name, form, space, filled, size):
    labels = torch.full((2, *SPACES[space]), filled, dtype=torch.uint8)
    for seed, sign in ((0, 1), (1, -1)):
        random = noise(form, *SPACES[space], seed=seed)
        for logits in (size * random, sign * size * torch.ones_like(random), certain(labels, form)):
            value, slope = gradient(loss(name, form), logits, labels)
            assert torch.isfinite(value)
            assert torch.isfinite(slope).all()


@forms
def test_an_empty_batch_is_best_left_empty(name, form):
    labels = torch.zeros(2, 12, 10, dtype=torch.uint8)
    assert loss(name, form)(certain(labels, form), labels) < loss(name, form)(wrong(labels, form), labels)


@forms
@spaces
def test_a_step_downhill_lowers_it(name, form, space):
    labels = truth(form, space)
    logits = noise(form, *SPACES[space], seed=0)
    value, slope = gradient(loss(name, form), logits, labels)
    assert slope.abs().max() > 0
    assert loss(name, form)(logits - 0.1 * slope / slope.abs().max(), labels) < value


@forms
def test_the_order_of_a_batch_does_not_matter(name, form):
    labels = truth(form, "2D")
    logits = noise(form, 12, 10, seed=1)
    turned = float(loss(name, form)(logits.flip(0), labels.flip(0)))
    assert turned == pytest.approx(float(loss(name, form)(logits, labels)))


@forms
def test_equal_class_weights_change_nothing(name, form):
    if "class_weights" not in LOSSES[name].options.model_fields:
        pytest.skip("wraps another loss, which has the weights")
    labels = truth(form, "3D")
    logits = noise(form, *SPACES["3D"], seed=2)
    weights = [3.0] * (CHANNELS[form] if form != "one" else 2)
    weighted = float(loss(name, form, class_weights=weights)(logits, labels))
    assert weighted == pytest.approx(float(loss(name, form)(logits, labels)), rel=1e-5)


@forms
def test_as_many_class_weights_as_classes(name, form):
    options = {"class_weights": [1.0] * 7}
    if "class_weights" not in LOSSES[name].options.model_fields:
        options = {"inner": {"name": "dice_bce", **options}}
    with pytest.raises(UsageError, match="wrong number of class weights"):
        loss(name, form, **options)(certain(truth(form, "2D"), form), truth(form, "2D"))


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
        ("bce", {"class_weights": [1, 3]}, PAIR_AND_EMPTY, (4 * log(4 / 3) + 2 * log(2)) / 6),
        ("bce", {"class_weights": [9, 1, 3]}, THREE_OUTPUTS, -(log(0.5) + 3 * log(0.6)) / 4),
        ("dice", {"class_weights": [9, 1, 3]}, THREE_OUTPUTS, 1 - (CLASS_1 + 3 * CLASS_2) / 4),
        ("dice_focal", {"gamma": 1, "alpha": 0.9}, PAIR, 0.25 + 0.25 * log(4 / 3) / 2),
    ],
)
def test_by_hand(name, options, arguments, value):
    assert float(loss(name, **options)(*arguments)) == pytest.approx(value, abs=2e-5)


@pytest.mark.parametrize("alpha", [None, 0.3])
@pytest.mark.parametrize("gamma", [0.0, 1.5, 2.0])
def test_focal_of_one_output_is_monais(gamma, alpha):
    from monai.losses import FocalLoss

    labels = truth("one", "2D")
    logits = 3 * noise("one", 12, 10, seed=2)
    wanted = FocalLoss(gamma=gamma, alpha=alpha)(logits, labels[:, None].float())
    assert float(loss("focal", gamma=gamma, alpha=alpha)(logits, labels)) == pytest.approx(float(wanted), rel=1e-5)


@pytest.mark.parametrize("batch", [True, False])
@pytest.mark.parametrize("form", CHANNELS)
@spaces
def test_overlap_losses_are_monais(batch, form, space):
    from monai.losses import DiceLoss, TverskyLoss

    labels, logits = truth(form, space), 2 * noise(form, *SPACES[space], seed=4)
    target = MEANING[form].targets(labels, CHANNELS[form]).float()
    shared = {"sigmoid": form != "classes", "softmax": form == "classes", "batch": batch}
    shared |= {"smooth_nr": 1e-5, "smooth_dr": 1e-5, "include_background": form != "classes"}
    dice = DiceLoss(**shared)(logits, target)
    tversky = TverskyLoss(alpha=0.3, beta=0.7, **shared)(logits, target)
    assert float(loss("dice", form, batch=batch)(logits, labels)) == pytest.approx(float(dice), rel=1e-5)
    assert float(loss("tversky", form, batch=batch)(logits, labels)) == pytest.approx(float(tversky), rel=1e-5)


@pytest.mark.parametrize("form", CHANNELS)
@spaces
def test_cross_entropy_is_torchs(form, space):
    from torch.nn import functional

    labels, logits = truth(form, space), noise(form, *SPACES[space], seed=3)
    weights = [0.5, 2.0, 3.0, 1.5][: max(2, CHANNELS[form])]
    if form == "classes":
        wanted = functional.cross_entropy(logits, labels.long(), weight=torch.tensor(weights))
    elif form == "one":
        each = functional.binary_cross_entropy_with_logits(logits[:, 0], labels.float(), reduction="none")
        of_voxels = torch.tensor(weights)[labels.long()]
        wanted = (each * of_voxels).sum() / of_voxels.sum()
    else:
        target = REGIONS.targets(labels, 3).float()
        each = functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
        per_region = each.transpose(0, 1).flatten(1).mean(dim=1)
        wanted = (per_region * torch.tensor(weights)).sum() / sum(weights)
    assert float(loss("bce", form, class_weights=weights)(logits, labels)) == pytest.approx(float(wanted), rel=1e-5)


@pytest.mark.parametrize("form", CHANNELS)
def test_focal_without_focus_is_cross_entropy(form):
    labels = truth(form, "2D")
    logits = noise(form, 12, 10, seed=3)
    assert float(loss("focal", form, gamma=0)(logits, labels)) == pytest.approx(
        float(loss("bce", form)(logits, labels)), rel=1e-6
    )


def test_missed_lesion_weighs_more_than_false_alarm_in_tversky():
    labels = truth("one", "2D")
    nothing = certain(torch.zeros_like(labels), "one")
    tversky = loss("tversky")
    missed_half, twice = labels.clone(), labels.clone()
    missed_half[0, :, :3] = 0
    twice[1] = labels[0]
    assert tversky(certain(missed_half, "one"), labels) > tversky(certain(twice, "one"), labels) - 0.3
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


def test_regions_are_the_outermost_loss():
    with pytest.raises(UsageError, match="must be the outermost"):
        build_loss(Named(name="blob", options={"inner": "regions"}))


def test_the_loss_of_a_recipe_knows_its_regions_and_fails_early():
    def recipe(**options: object) -> Recipe:
        data = DataPart(modalities=("t1c",), labels="brats-met-2023")
        return Recipe(name="losses", data=data, model=Named(name="unet"), loss=Named(**options))

    labels = truth("regions", "3D")
    logits = noise("regions", *SPACES["3D"], seed=5)
    nested = loss_of(recipe(name="regions", options={"inner": {"name": "blob", "inner": "dice"}}))
    by_hand = build_loss(Named(name="blob", options={"inner": "dice"}), REGIONS)
    assert float(nested(logits, labels)) == pytest.approx(float(by_hand(logits, labels)))
    with pytest.raises(UsageError, match="wrong number of class weights"):
        loss_of(recipe(name="bce", options={"class_weights": [1, 2]}))
