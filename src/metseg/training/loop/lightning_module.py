"""The Lightning module: one training step, and the validation Dice by patient."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import lightning
import numpy as np
import torch
from torch import Tensor

from metseg.dataset import Batch
from metseg.errors import UsageError
from metseg.evaluation.metrics.overlap import Confusion, dice, iou, joint_counts, region_counts
from metseg.inference.device import in_memory_format
from metseg.labels import LABEL_SCHEMES
from metseg.model import SegmentationNetwork
from metseg.model.activation import outputs_of
from metseg.recipe import Recipe
from metseg.training.loop.distributed import all_gather
from metseg.training.losses import deep_supervision_loss, loss_of
from metseg.training.optimizers import build_optimizer


class SegmentationModule(lightning.LightningModule):
    """Trains a network by a recipe.

    Args:
        network: what is trained.
        recipe: loss, optimiser and threshold come from it.
        patients: the patient of each cached case, by case number; validation Dice is per patient.
        memory_format: the layout of weights and images that convolutions like best.
        validation_batches: how many of the validation's batches count here; what follows them is another process's.
    """

    def __init__(
        self,
        network: SegmentationNetwork,
        recipe: Recipe,
        *,
        patients: Sequence[str],
        memory_format: torch.memory_format,
        validation_batches: int | None = None,
    ) -> None:
        super().__init__()
        self.memory_format = memory_format
        self.network = in_memory_format(network, self.memory_format)
        self._recipe = recipe
        self._scheme = LABEL_SCHEMES[recipe.data.labels]
        self._patients = tuple(patients)
        self._outputs = outputs_of(recipe)
        self._loss = loss_of(recipe)
        self._counts: dict[str, np.ndarray] = {}
        self._training_counts = self._no_counts()
        self._validation_losses: list[float] = []
        self._validation_batches = validation_batches

    def on_train_epoch_start(self) -> None:
        self._training_counts = self._no_counts()

    def training_step(self, batch: Batch, _: int) -> Tensor:
        logits = self._logits(batch)
        loss = deep_supervision_loss(self._loss, logits, batch.labels)
        if not torch.isfinite(loss):
            raise diverged(
                "the training loss is not finite",
                where=f"epoch {self.current_epoch}, step {self.global_step}",
                got=float(loss.detach()),
            )
        self.log("train_loss", loss, on_step=True, on_epoch=True, batch_size=len(batch.labels), sync_dist=True)
        self._count_training(logits if isinstance(logits, Tensor) else logits[0], batch.labels)
        return loss

    def optimizer_step(self, *args: Any, **options: Any) -> None:
        """Take a step of the optimiser.

        Raises:
            UsageError: the step is beyond the range of float32, which torch reports as a plain RuntimeError.
        """
        try:
            super().optimizer_step(*args, **options)
        except RuntimeError as error:
            if "without overflow" not in str(error):
                raise
            raise diverged(
                "a step of the optimiser is beyond the range of float32",
                where=f"epoch {self.current_epoch}, step {self.global_step}",
                got=f"a learning rate of {self._recipe.train.learning_rate:g}",
            ) from error

    def on_train_epoch_end(self) -> None:
        """Check that all weights are finite, before they are saved in a checkpoint.

        Raises:
            UsageError: a weight is not finite.
        """
        odd = [name for name, weight in self.network.named_parameters() if not torch.isfinite(weight).all()]
        if odd:
            raise diverged(
                f"{len(odd)} of the network's weight tensors have values that are not finite",
                where=f"epoch {self.current_epoch}, after step {self.global_step}",
                got=odd[0],
            )

    def on_validation_epoch_start(self) -> None:
        self._counts = defaultdict(self._no_counts)
        self._validation_losses = []

    def validation_step(self, batch: Batch, number: int) -> None:
        if self._validation_batches is not None and number >= self._validation_batches:
            return
        logits = self._logits(batch)
        self._validation_losses.append(float(deep_supervision_loss(self._loss, logits, batch.labels)))
        chances = self._outputs.probabilities(logits)
        predicted = self._outputs.class_indices(chances, threshold=self._recipe.predict.threshold).cpu().numpy()
        truth = batch.labels.cpu().numpy()
        for place, case in enumerate(batch.case.tolist()):
            ids = self._scheme.from_indices(truth[place]), self._scheme.from_indices(predicted[place])
            self._counts[self._patients[case]] += joint_counts(*ids, self._scheme)

    def on_validation_epoch_end(self) -> None:
        """Log validation and training figures, and the validation loss.

        On the prepared grid. Validation: Dice and IoU are means over patients with a lesion, accuracy is over all
        voxels. Training: over all voxels of the epoch's batches so far, augmented, with the weights of each step.
        """
        parts = all_gather((dict(self._counts), self._validation_losses, self._training_counts))
        counts: dict[str, np.ndarray] = {}
        for theirs, _, _ in parts:
            for patient, joint in theirs.items():
                counts[patient] = counts.get(patient, 0) + joint
        # In the patients' own order: a mean depends on it in the last digit, and processes see them in another.
        per_patient = [counts[patient] for patient in sorted(counts)]
        self._log_figures("val", per_patient, total=sum(per_patient, start=self._no_counts()))
        trained = sum((joint for _, _, joint in parts), start=self._no_counts())
        self._log_figures("train", [trained], total=trained)
        self.log("val_loss", float(np.mean([loss for _, losses, _ in parts for loss in losses])))

    def _log_figures(self, part: str, joints: Sequence[np.ndarray], *, total: np.ndarray) -> None:
        """Log Dice and IoU as means over the joint counts with a lesion, and the accuracy of all voxels."""
        for name, metric in (("dice", dice), ("iou", iou)):
            values = [value for joint in joints if (value := self._mean_of_regions(joint, metric)) is not None]
            self.log(f"{part}_{name}", float(np.mean(values)) if values else float("nan"))
        self.log(f"{part}_accuracy", float(np.trace(total) / total.sum()) if total.any() else float("nan"))

    def _no_counts(self) -> np.ndarray:
        return np.zeros((len(self._scheme.values),) * 2, dtype=np.int64)

    @torch.no_grad()
    def _count_training(self, logits: Tensor, labels: Tensor) -> None:
        """Add a batch to the joint counts of class indices: row = truth, column = prediction."""
        chances = self._outputs.probabilities(logits.detach())
        predicted = self._outputs.class_indices(chances, threshold=self._recipe.predict.threshold)
        size = len(self._scheme.values)
        codes = labels.flatten().long() * size + predicted.flatten().long()
        joint = torch.bincount(codes, minlength=size * size).reshape(size, size)
        self._training_counts += joint.cpu().numpy()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return build_optimizer(self._recipe.train, self.network)

    def _logits(self, batch: Batch) -> Any:
        return self.network(batch.image.contiguous(memory_format=self.memory_format))

    def _mean_of_regions(self, joint: np.ndarray, metric: Callable[[Confusion], float]) -> float | None:
        """Return a patient's mean over the regions that the truth has; None for a patient without any lesion.

        Where the truth has nothing the Dice is 1 or 0 by a single voxel: a network that marks nothing would be kept.
        """
        counts: list[Confusion] = [region_counts(joint, self._scheme, region) for region in self._scheme.regions]
        figures = [metric(count) for count in counts if count.truth]
        return float(np.mean(figures)) if figures else None


def diverged(what: str, *, where: object, got: object = None) -> UsageError:
    """Return the error of a training that will not recover."""
    return UsageError(
        f"training diverged: {what}",
        where=where,
        got=got,
        cure="start again in another folder with a lower --set train.learning_rate, or --set train.gradient_clip=1.0",
        code="usage.diverged",
    )
