"""The tables of metseg as mappings: models, losses, transforms, metrics, layouts."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import metseg
from metseg.dataset.augmentation_table import AUGMENTATIONS
from metseg.evaluation.metrics.metric_table import METRICS
from metseg.io.layouts import LAYOUTS
from metseg.model import MODELS
from metseg.preprocess import STEPS
from metseg.training.losses import LOSSES

TABLES = {
    "models": MODELS,
    "losses": LOSSES,
    "metrics": METRICS,
    "layouts": LAYOUTS,
    "transforms": {**STEPS, **AUGMENTATIONS},
}


@pytest.mark.parametrize("name", TABLES)
def test_a_namespace_is_its_table(name: str) -> None:
    namespace, table = getattr(metseg, name), TABLES[name]
    assert list(namespace) == list(table)
    assert len(namespace) == len(table)
    for entry in table:
        assert namespace[entry] is table[entry]
        assert entry in namespace
        assert entry in repr(namespace)
    assert "nothing" not in namespace
    assert namespace.get("nothing") is None


def test_a_mistyped_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(metseg.UsageError, match=r"Unknown model .unett.\. Did you mean .unet."):
        metseg.models["unett"]
    with pytest.raises(metseg.UsageError, match=r"name: .*got int"):
        metseg.layouts[5]  # type: ignore[index]


def test_the_kinds_of_transforms_are_apart() -> None:
    assert list(metseg.transforms.steps) == list(STEPS)
    assert list(metseg.transforms.augmentations) == list(AUGMENTATIONS)
    assert not set(STEPS) & set(AUGMENTATIONS)


def test_networks_and_losses_are_built_by_name() -> None:
    network = metseg.models.build(
        "unet", {"channels": [4, 8], "blocks": [1, 1]}, in_channels=2, out_channels=1, dimensions=3
    ).eval()
    logits = network(torch.zeros(1, 2, 9, 8, 7))
    assert logits.shape == (1, 1, 9, 8, 7)
    labels = torch.zeros(1, 9, 8, 7, dtype=torch.uint8)
    labels[0, :4] = 1
    loss = metseg.losses.build("dice_bce", {"bce_weight": 0.0})
    right = torch.where(labels[:, None] > 0, 20.0, -20.0)
    assert float(loss(right, labels)) == pytest.approx(0, abs=1e-3)
    assert float(loss(-right, labels)) > 0.9
    with pytest.raises(metseg.UsageError, match="bce_weigth"):
        metseg.losses.build("dice_bce", {"bce_weigth": 0.0})


def test_metrics_are_the_columns_of_a_case() -> None:
    mask = np.zeros((4, 4, 4), np.uint8)
    mask[1:3, 1:3, 1:3] = 1
    scores = metseg.evaluate_case(mask, mask, (1, 1, 1))
    assert set(scores) == {"lesion"} and "WT" not in scores
    values = dict(scores["lesion"])
    assert set(values) == set(metseg.metrics)
    assert values["dice"] == 1 and "dise" not in scores["lesion"]
    assert scores["lesion"]["hd95_mm"] == 0
    assert metseg.metrics["hd95_mm"].unit == "mm"
