"""Joint counts of trainings: on the device, fetched once an epoch, and the same as those of the evaluation."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from metseg.dataset import Batch
from metseg.evaluation.metrics.overlap import dice, iou, joint_counts, region_counts
from metseg.labels import LABEL_SCHEMES
from metseg.recipe import parse_recipe
from metseg.training.loop.lightning_module import SegmentationModule, count_by_bins, count_by_comparison, count_jointly
from metseg.training.losses import loss_of

SCHEME = LABEL_SCHEMES["brats-gli-2021"]  # ids 1, 2 and 4 have the indices 1, 2 and 3
PATIENTS = ("a", "b", "a", "c")
RECIPE = """
name = "counts"
data = { modalities = ["t1c"], labels = "brats-gli-2021" }
model = { name = "cnn", channels = [4, 4] }
loss = { name = "bce" }
"""


@pytest.mark.parametrize("count", [count_by_bins, count_by_comparison])
def test_both_ways_of_counting_are_the_same(count: Callable[[Tensor, int], Tensor]) -> None:
    codes = torch.tensor([[0, 3, 3], [2, 2, 2]])
    assert count(codes, 5).tolist() == [[1, 0, 0, 2, 0], [0, 0, 3, 0, 0]]


def test_counts_of_indices_are_those_of_the_evaluation() -> None:
    random = np.random.default_rng(0)
    truth, predicted = (random.integers(0, 4, (3, 7, 8)).astype(np.uint8) for _ in range(2))
    counts = count_jointly(torch.from_numpy(truth), torch.from_numpy(predicted), 4)
    for item in range(3):
        ids = SCHEME.from_indices(truth[item]), SCHEME.from_indices(predicted[item])
        assert counts[item].tolist() == joint_counts(*ids, SCHEME).tolist()


class Told(torch.nn.Module):
    """Answers the logits that stand in the channels of the image."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(()))

    def forward(self, image: Tensor) -> Tensor:
        return image * self.scale


def batches() -> list[Batch]:
    """Return batches of the four cases, the first case in two of them; the patient c has no lesion."""
    torch.manual_seed(0)
    made = []
    for cases in ([0, 1], [2, 0, 3]):
        labels = torch.randint(0, 4, (len(cases), 6, 5), dtype=torch.uint8)
        labels[[place for place, case in enumerate(cases) if case == 3]] = 0
        # So far apart that the largest logit is the class at every threshold.
        made.append(Batch(100 * torch.randn(len(cases), 4, 6, 5), labels, torch.tensor(cases)))
    return made


def expected_counts() -> dict[str, np.ndarray]:
    """Return the joint counts of each patient by the functions of the evaluation."""
    counts = {patient: np.zeros((4, 4), dtype=np.int64) for patient in PATIENTS}
    for batch in batches():
        for image, labels, case in zip(batch.image, batch.labels, batch.case.tolist(), strict=True):
            ids = SCHEME.from_indices(labels.numpy()), SCHEME.from_indices(image.argmax(dim=0).numpy())
            counts[PATIENTS[case]] += joint_counts(*ids, SCHEME)
    return counts


def test_figures_equal_those_of_the_evaluation_and_steps_fetch_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = parse_recipe(RECIPE, where="test")
    task = SegmentationModule(Told(), recipe, patients=PATIENTS, memory_format=torch.contiguous_format)  # type: ignore[arg-type]
    logged: dict[str, float] = {}

    def keep(name: str, value: float | Tensor, **_: object) -> None:
        if not isinstance(value, Tensor):  # the loss of a step
            logged[name] = value

    monkeypatch.setattr(task, "log", keep)
    fetched: list[str] = []
    for name in ("cpu", "numpy", "tolist"):
        real = getattr(torch.Tensor, name)
        monkeypatch.setattr(
            torch.Tensor, name, lambda *given, _name=name, _real=real: (fetched.append(_name), _real(*given))[1]
        )
    given = batches()
    fetched.clear()
    for _ in range(2):  # an epoch begins with nothing
        task.on_train_epoch_start()
        task.on_validation_epoch_start()
        for number, batch in enumerate(given):
            task.training_step(batch, number)
            with torch.no_grad():
                task.validation_step(batch, number)
    assert fetched == []
    task.on_validation_epoch_end()
    assert fetched

    counts = expected_counts()
    total = sum(counts.values())
    for name, metric in (("dice", dice), ("iou", iou)):
        figures = {}
        for patient, joint in (*counts.items(), ("all", total)):
            regions = [region_counts(joint, SCHEME, region) for region in SCHEME.regions]
            found = [metric(region) for region in regions if region.truth]
            if found:
                figures[patient] = float(np.mean(found))
        assert set(figures) == {"a", "b", "all"}
        assert logged[f"val_{name}"] == np.mean([figures["a"], figures["b"]])
        assert logged[f"train_{name}"] == figures["all"]
    assert logged["val_accuracy"] == logged["train_accuracy"] == np.trace(total) / total.sum()
    losses = [float(loss_of(recipe)(batch.image, batch.labels)) for batch in given]
    assert logged["val_loss"] == pytest.approx(np.mean(losses))
