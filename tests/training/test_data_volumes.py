"""From volumes to batches: patches to train on, and validation that adds up to whole patients."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from metseg.io.case_source import CaseSource
from metseg.io.splits import Split
from metseg.preprocess.cache import cache_build
from metseg.recipe import Recipe
from metseg.training.data import TrainingData, load_training_data, make_loaders
from metseg.volume import Case, Volume

PATIENTS = "abcd"


@dataclass(frozen=True)
class BallSource(CaseSource):
    """A head of its own size in air, with one bright voxel per patient's number and a truth of twice as many."""

    @property
    def files(self) -> tuple[Path, ...]:
        return (self.root / "data",)

    def load(self) -> Case:
        number = PATIENTS.index(self.patient) + 1
        image = np.zeros((14 + number, 12, 11), np.float32)
        image[1:-1, 1:-1, 1:-1] = 100
        image[2 : 2 + number, 3, 3] = 300
        labels = np.zeros(image.shape, np.uint8)
        labels[2 : 2 + 2 * number, 3, 3] = 1
        return Case(self.case_id, self.patient, {"t1c": Volume(image, np.eye(4))}, Volume(labels, np.eye(4)))


@pytest.fixture
def recipe() -> Recipe:
    return Recipe.model_validate(
        {
            "name": "patches",
            "data": {"modalities": ["t1c"], "dimensions": 3},
            "model": {"name": "unet"},
            "loss": {"name": "dice_bce"},
            "train": {
                "batch_size": 2,
                "steps_per_epoch": 3,
                "patch_size": (6, 5, 4),
                "lesion_share": 0.5,
                "workers": 0,
            },
        }
    )


@pytest.fixture
def data(recipe, tmp_path, monkeypatch) -> TrainingData:
    monkeypatch.setattr(cache_build, "processors", lambda: 1)  # four tiny cases are not worth starting processes for
    (tmp_path / "data").write_text("the same for all")
    sources = [BallSource(f"case of {patient}", patient, tmp_path) for patient in PATIENTS]
    split = Split(train=("a", "b"), validation=("c", "d"))
    return load_training_data(recipe, sources, split, fold=None, cache=tmp_path / "cache", quiet=True)


def test_batches_of_patches_hold_their_share_of_lesion(data, recipe):
    training, *_ = make_loaders(data.train, data.validation, recipe)
    batches = list(training)
    assert [tuple(batch.image.shape) for batch in batches] == [(2, 1, 6, 5, 4)] * 3
    for batch in batches:
        assert batch.labels[0].any()
        assert {data.patients[case] for case in batch.case.tolist()} <= {"a", "b"}
    assert data.train.largest_shape() == (1, 6, 5, 4)
    again, *_ = make_loaders(data.train, data.validation, recipe)
    for one, other in zip(batches, again, strict=True):
        assert torch.equal(one.image, other.image)


def test_validation_goes_through_every_head_once(data, recipe):
    _, validation, _ = make_loaders(data.train, data.validation, recipe)
    seen = {"c": 0, "d": 0}
    for batch in validation:
        assert len(batch.labels) <= 4
        for labels, case in zip(batch.labels, batch.case.tolist(), strict=True):
            seen[data.patients[case]] += labels.numel()
    assert seen == {"c": 15 * 10 * 9, "d": 16 * 10 * 9}


class Bright(torch.nn.Module):
    """Calls lesion what is brighter than the head."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return image - 200


def test_the_validation_dice_is_that_of_whole_patients(data, recipe, monkeypatch):
    from metseg.training.loop.lightning_module import SegmentationModule

    task = SegmentationModule(Bright(), recipe, patients=data.patients, memory_format=torch.contiguous_format)
    logged: dict[str, float] = {}
    monkeypatch.setattr(task, "log", lambda name, value, **_: logged.update({name: float(value)}))
    task.on_validation_epoch_start()
    for number, batch in enumerate(make_loaders(data.train, data.validation, recipe)[1]):
        task.validation_step(batch, number)
    task.on_validation_epoch_end()
    # n of 2 n voxels are found and no other, in every patient, however tiles cut the lesions: 2 n / (n + 2 n).
    assert logged["val_dice"] == pytest.approx(2 / 3)
