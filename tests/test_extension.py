"""What `register` adds to a table is used like metseg's own entries."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pytest
import torch
from pydantic import BaseModel, Field
from torch import Tensor, nn

from metseg.cli.recipe_docs import recipe_page
from metseg.cli.recipe_schema import recipe_schema
from metseg.dataset import AUGMENTATIONS, Augmenter
from metseg.dataset.augmentation_options import RandomOptions
from metseg.dataset.augmentation_table import AugmentationSpec
from metseg.errors import UsageError
from metseg.evaluation import METRICS, PROTOCOLS, Metric, ScoringConfig, evaluate_case, metric_of_masks
from metseg.evaluation.empty_masks import Kind
from metseg.evaluation.files.folder_scoring import map_pairs
from metseg.evaluation.metrics.metric_table import metrics_shown
from metseg.evaluation.protocols import Penalty
from metseg.io import LAYOUTS
from metseg.io.file_index import Pairing, scan
from metseg.io.layouts import SliceLayout, choose_layout, slice_layouts
from metseg.model import MODELS, ModelSpec, build_model
from metseg.model.activation import Outputs
from metseg.preprocess import STEPS, check_steps
from metseg.preprocess.prepared_case import Prepared, Record
from metseg.preprocess.step_spec import StepSpec
from metseg.recipe import Frozen, Named
from metseg.reporting.method_text import rules
from metseg.reporting.study.preprocessing_text import describe_steps
from metseg.training.losses import LOSSES, LossSpec, build_loss

SPACING = (1.0, 1.0, 2.0)
TABLES = (MODELS, LOSSES, METRICS, LAYOUTS, STEPS, AUGMENTATIONS, PROTOCOLS)


@pytest.fixture(autouse=True)
def _nothing_stays() -> Iterator[None]:
    yield
    for table in TABLES:
        for name in table.registered:
            table.unregister(name)


class Options(Frozen):
    factor: Annotated[float, Field(gt=0)] = 2.0


def blocks(*sizes: int) -> list[np.ndarray]:
    """Return masks of 8×8×4 voxels with as many of them set along the first axis, 4 to each."""
    masks = [np.zeros((8, 8, 4), dtype=np.uint8) for _ in sizes]
    for mask, size in zip(masks, sizes, strict=True):
        mask[:size, 0, :] = 1
    return masks


def test_every_table_has_a_group_of_its_own() -> None:
    assert [table.group for table in TABLES] == [
        "metseg.models",
        "metseg.losses",
        "metseg.metrics",
        "metseg.layouts",
        "metseg.transforms.preprocess",
        "metseg.transforms.augment",
        "metseg.protocols",
    ]


def test_a_metric_is_computed_in_every_protocol() -> None:
    @METRICS.register("volume_ratio", title="Volume ratio", better="neither", empty=None, places=("terminal",))
    def volume_ratio(truth: Any, prediction: Any, spacing_mm: Any) -> float:
        return float(prediction.sum() / max(truth.sum(), 1))

    truth, prediction = blocks(4, 2)
    for protocol in PROTOCOLS:
        value = 1 if PROTOCOLS[protocol].scheme == "binary" else 3
        scores = evaluate_case(truth * value, prediction * value, spacing_mm=SPACING, protocol=protocol)
        assert next(iter(scores.regions.values()))["volume_ratio"] == 0.5
    assert metrics_shown("terminal")[-1] == "volume_ratio"
    assert "volume_ratio" not in metrics_shown("tests")
    assert volume_ratio(truth, prediction, None) == 0.5


def test_empty_masks_and_pictures_follow_the_stated_rule() -> None:
    METRICS.register("gap", title="Gap", better="lower", unit="mm", empty=Kind.DISTANCE)(lambda *_: 7.0)
    full, nothing = blocks(4, 0)
    penalty = PROTOCOLS["voxel"].penalty(full.shape, SPACING)
    pairs = [(full, full, 7.0), (full, nothing, penalty), (nothing, full, penalty), (nothing, nothing, 0.0)]
    for truth, prediction, expected in pairs:
        assert evaluate_case(truth, prediction, spacing_mm=SPACING)["lesion"]["gap"] == pytest.approx(expected)
    assert evaluate_case(full, full)["lesion"]["gap"] is None  # no voxel size, no distance


def test_a_metric_that_is_not_a_number_is_refused() -> None:
    METRICS.register("bad", title="Bad", better="lower", empty=None)(lambda *_: float("nan"))
    with pytest.raises(UsageError, match="the metric 'Bad' returned nan"):
        evaluate_case(*blocks(2, 2), spacing_mm=SPACING)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"better": "lower", "leading": 3}, "leading needs a share"),
        ({"better": "higher", "places": ("readers",)}, "needs a symmetric metric"),
        ({"better": "neither", "places": ("tests",)}, "a better direction"),
    ],
)
def test_a_metric_that_contradicts_itself_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Metric("Odd", **fields)


def test_what_other_processes_do_not_know_is_scored_in_this_one() -> None:
    METRICS.register("here", metric_of_masks(lambda *_: 1.0, title="Here", better="higher", empty=None))
    found = list(map_pairs(_process, [None] * 64, jobs=2))  # type: ignore[list-item]
    assert set(found) == {os.getpid()}


def _process(_: object) -> int:
    return os.getpid()


def test_a_protocol_is_scored_and_told() -> None:
    penalty = Penalty(lambda shape, spacing_mm: 99.0, "99 mm, as agreed")
    PROTOCOLS.register("agreed", replace(PROTOCOLS["voxel"], own_figures={}, penalty=penalty))
    scores = evaluate_case(*blocks(2, 0), spacing_mm=SPACING, protocol="agreed")["lesion"]
    assert (scores["hd95_mm"], scores["nsd_1.0"]) == (99.0, None)
    assert "99 mm, as agreed" in " ".join(rules(ScoringConfig("agreed")))


def test_a_layout_is_tried_before_those_that_match_anything(tiny_slices: Path) -> None:
    assert choose_layout(scan(tiny_slices)) == "patient_folders"
    LAYOUTS.register("mine", SliceLayout("P1/...", lambda tree: bool(tree.pictures), lambda tree: Pairing(())))
    assert choose_layout(scan(tiny_slices)) == "mine"
    assert next(iter(slice_layouts())) == "mine"


def test_a_network_is_built() -> None:
    @MODELS.register("one", options=Options, dimensions=(2,), source="none", divisor=lambda _: 1)
    def build(options: Options, *, in_channels: int, out_channels: int, dimensions: int) -> nn.Module:
        return nn.Conv2d(in_channels, out_channels, 1)

    network = build_model("one", {"factor": 3.0}, in_channels=2, out_channels=1)
    assert network(torch.zeros(1, 2, 5, 7)).shape == (1, 1, 5, 7)
    with pytest.raises(UsageError, match="factr"):
        build_model("one", {"factr": 3.0}, in_channels=2, out_channels=1)


def test_a_loss_is_built() -> None:
    @LOSSES.register("mean_logit", options=Options)
    def build(options: Options, outputs: Outputs) -> Any:
        return lambda logits, labels: options.factor * logits.mean()

    loss = build_loss(Named(name="mean_logit", options={"factor": 3.0}))
    assert float(loss(torch.ones(1, 1, 2, 2), torch.zeros(1, 2, 2, dtype=torch.uint8))) == 3.0


def test_a_step_is_checked_and_described() -> None:
    @STEPS.register("double", options=Options, kind="normalise", describe=lambda record: f"Times {record['factor']}.")
    def apply(prepared: Prepared, options: Options) -> Prepared:
        record = Record("double", {"factor": options.factor})
        return replace(prepared, image=prepared.image * options.factor, records=(*prepared.records, record))

    (step,) = check_steps([Named(name="double", options={"factor": 4.0})])
    assert step.to_json() == {"name": "double", "factor": 4.0}
    assert describe_steps([{"step": "double", "factor": 4.0}]) == ("Times 4.0.",)


class Loose(BaseModel):
    factor: float = 2.0


@pytest.mark.parametrize(
    "make",
    [
        lambda options: ModelSpec(build="a:b", options=options, dimensions=(2,), source="", divisor=lambda _: 1),
        lambda options: LossSpec(build="a:b", options=options),
        lambda options: StepSpec(apply=lambda prepared, _: prepared, options=options, kind="normalise"),
        lambda options: AugmentationSpec(options, change_image="a:b"),
    ],
)
@pytest.mark.parametrize(("options", "got"), [(Loose, "Loose"), ({"factor": 2.0}, "dict")])
def test_options_that_would_ignore_a_misspelt_key_are_refused(make: Any, options: Any, got: str) -> None:
    with pytest.raises(UsageError, match=rf"a class derived from metseg\.recipe\.Frozen, got {got}") as caught:
        make(options)
    assert caught.value.code == "usage.entry_type"


@pytest.mark.parametrize(
    ("functions", "got"),
    [({}, "neither"), ({"change_map": "a:b", "change_image": "a:b"}, "change_map and change_image")],
)
def test_an_augmentation_changes_the_map_or_the_image(functions: dict[str, str], got: str) -> None:
    with pytest.raises(UsageError, match=f"got {got}"):
        AugmentationSpec(RandomOptions, **functions)  # type: ignore[arg-type]


def test_options_without_comments_and_without_source_are_listed() -> None:
    # As of a compiled package: the class has no source file.
    unsourced = type("Unsourced", (Frozen,), {"__annotations__": {"factor": float}, "__doc__": "Times a factor."})
    LOSSES.register("uncommented", LossSpec(build="a:b", options=Options))
    LOSSES.register("unsourced", LossSpec(build="a:b", options=unsourced))
    page = recipe_page()
    assert "|  | `factor` | number > 0 | `2.0` |  |" in page
    assert "| `unsourced` |  |  |  | Times a factor. |" in page
    (entry,) = [one for one in recipe_schema()["definitions"]["loss"]["anyOf"] if one["title"] == "unsourced"]
    assert entry["properties"]["factor"] == {"type": "number"}


def test_an_augmentation_is_carried_out() -> None:
    class Add(RandomOptions):
        probability: float = 1.0
        value: float = 1.0

    def add(image: Tensor, options: Add, rng: np.random.Generator) -> Tensor:
        return image + options.value

    AUGMENTATIONS.register("add", AugmentationSpec(Add, change_image=add))
    augmenter = Augmenter([Named(name="add", options={"value": 2.0})], dimensions=2)
    image, _ = augmenter(torch.zeros(1, 4, 4), torch.zeros(4, 4, dtype=torch.uint8), np.random.default_rng(0))
    assert float(image.min()) == float(image.max()) == 2.0
