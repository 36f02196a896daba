"""The tables of metseg as mappings: models, losses, transforms, metrics, layouts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

import metseg
from metseg.dataset.augmentation_table import AUGMENTATIONS
from metseg.evaluation.metrics.metric_table import METRICS
from metseg.io.layouts import LAYOUTS
from metseg.model import MODELS
from metseg.preprocess import STEPS
from metseg.recipe import Frozen
from metseg.registry import Registry
from metseg.training.losses import LOSSES

TABLES = {
    "models": MODELS,
    "losses": LOSSES,
    "metrics": METRICS,
    "layouts": LAYOUTS,
    "transforms": {**STEPS, **AUGMENTATIONS},
}


#: Namespaces with `register`, and their tables.
EXTENSIBLE = (
    (metseg.models, MODELS),
    (metseg.losses, LOSSES),
    (metseg.metrics, METRICS),
    (metseg.layouts, LAYOUTS),
    (metseg.transforms.steps, STEPS),
    (metseg.transforms.augmentations, AUGMENTATIONS),
)


@pytest.fixture
def _nothing_stays() -> Iterator[None]:
    yield
    for namespace, table in EXTENSIBLE:
        for name in table.registered:
            namespace.unregister(name)


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
    assert set(scores) == {"lesion"}
    assert "WT" not in scores
    values = dict(scores["lesion"])
    assert set(values) == set(metseg.metrics)
    assert values["dice"] == 1
    assert "dise" not in scores["lesion"]
    assert scores["lesion"]["hd95_mm"] == 0
    assert metseg.metrics["hd95_mm"].unit == "mm"


@pytest.mark.usefixtures("_nothing_stays")
@pytest.mark.parametrize(("namespace", "table"), EXTENSIBLE, ids=[table.group for _, table in EXTENSIBLE])
def test_every_namespace_takes_an_entry_and_gives_it_back(namespace: Any, table: Registry[Any]) -> None:
    entry = next(iter(table.values()))
    assert namespace.register("mine", entry) is entry
    assert table.registered == ("mine",)
    assert namespace["mine"] is entry
    with pytest.raises(metseg.UsageError, match="have the name 'mine'"):
        namespace.register("mine", entry)
    namespace.unregister("mine")
    assert "mine" not in namespace
    with pytest.raises(metseg.UsageError, match="of the wrong type"):
        namespace.register("mine", object())


@pytest.mark.usefixtures("_nothing_stays")
def test_functions_become_entries_by_decorators() -> None:
    class Options(Frozen):
        factor: float = 2.0

    @metseg.models.register("scale", options=Options, dimensions=(2, 3), source="none", divisor=lambda _: 1)
    def build(options: Options, *, in_channels: int, out_channels: int, dimensions: int) -> torch.nn.Module:
        return (torch.nn.Conv2d if dimensions == 2 else torch.nn.Conv3d)(in_channels, out_channels, 1)

    @metseg.losses.register("mean", options=Options)
    def build_mean(options: Options, outputs: Any) -> Any:
        return lambda logits, labels: options.factor * logits.mean()

    @metseg.metrics.register("marked", title="Marked voxels", better="neither", empty=None)
    def marked(truth: Any, prediction: Any, spacing_mm: Any) -> float:
        return float(prediction.sum())

    assert metseg.models.build("scale", in_channels=2, out_channels=1)(torch.zeros(1, 2, 5, 7)).shape == (1, 1, 5, 7)
    loss = metseg.losses.build("mean", {"factor": 3.0})
    assert float(loss(torch.ones(1, 1, 2, 2), torch.zeros(1, 2, 2, dtype=torch.uint8))) == 3.0
    mask = np.zeros((4, 4, 4), np.uint8)
    mask[1:3, 1:3, 1:3] = 1
    assert metseg.evaluate_case(mask, mask)["lesion"]["marked"] == 8


def test_names_of_entries_are_texts_and_two_tables_take_none() -> None:
    with pytest.raises(metseg.UsageError, match=r"name: .*got int"):
        metseg.models.register(5, object())  # type: ignore[arg-type]
    assert not hasattr(metseg.transforms, "register")
