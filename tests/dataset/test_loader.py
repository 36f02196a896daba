"""Lightning goes through the plan's epochs one after the other, and a resumed training goes on with the right one."""

from __future__ import annotations

import lightning
import numpy as np
import pytest
import torch

from metseg.dataset import Augmenter, BatchPlan, EpochLoader, SliceDataset, SliceItem, collate
from metseg.labels import LABEL_SCHEMES
from metseg.recipe import Named


class Witness(lightning.LightningModule):
    """Learns nothing and remembers the sum of every batch, by epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.seen: dict[int, list[float]] = {}

    def training_step(self, batch, _):
        self.seen.setdefault(self.current_epoch, []).append(float(batch.image.double().sum()))
        return self.weight.sum()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


class SaveEpochs(lightning.Callback):
    """Saves at the end of each epoch."""

    def __init__(self, path) -> None:
        self.path = path

    def on_train_epoch_end(self, trainer, pl_module) -> None:
        trainer.save_checkpoint(self.path)


@pytest.fixture
def dataset(make_cache):
    image = np.random.default_rng(0).integers(0, 255, (8, 6, 12), dtype=np.uint8)
    labels = np.zeros((8, 6, 12), np.uint8)
    labels[2, 2, :5] = 1
    augmenter = Augmenter([Named(name="noise", options={"probability": 1})], dimensions=2)
    items = [SliceItem(0, z) for z in range(12)]
    cache = make_cache({"a": (image, labels)})
    return SliceDataset(cache, items, scheme=LABEL_SCHEMES["binary"], augmenter=augmenter, seed=1)


def train(dataset: SliceDataset, tmp_path, *, epochs: int, workers: int, resume: bool = False) -> Witness:
    plan = BatchPlan(dataset.has_lesion(), batch_size=2, steps=4, lesion_share=0.5, seed=1)
    loader = EpochLoader(
        dataset,
        batch_sampler=plan,
        num_workers=workers,
        collate_fn=collate,
        persistent_workers=workers > 0,
    )
    trainer = lightning.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        callbacks=[SaveEpochs(tmp_path / "last.ckpt")],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )
    witness = Witness()
    trainer.fit(witness, loader, ckpt_path=tmp_path / "last.ckpt" if resume else None, weights_only=resume)
    return witness


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("workers", [0, 1])
def test_epochs_differ_and_go_on_after_an_interruption(dataset, tmp_path, workers):
    whole = train(dataset, tmp_path, epochs=4, workers=workers).seen
    assert [len(sums) for sums in whole.values()] == [4, 4, 4, 4]
    assert len({tuple(sums) for sums in whole.values()}) == 4, "every epoch draws and augments anew"
    first = train(dataset, tmp_path, epochs=2, workers=workers).seen
    rest = train(dataset, tmp_path, epochs=4, workers=workers, resume=True).seen
    assert {**first, **rest} == whole


def test_nothing_is_drawn_before_the_first_batch_is_wanted(dataset):
    plan = BatchPlan(dataset.has_lesion(), batch_size=2, steps=4, lesion_share=None, seed=1)
    loader = EpochLoader(dataset, batch_sampler=plan, collate_fn=collate)
    batches = iter(loader)
    plan.set_epoch(9)
    late = [batch.image for batch in batches]
    assert all(torch.equal(one, other.image) for one, other in zip(late, loader, strict=True))
    assert len(loader) == 4
