"""The Lightning module: one training step, and the validation Dice by patient."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import lightning
import numpy as np
import torch
from torch import Tensor

from metseg.dataset import Batch
from metseg.errors import UsageError
from metseg.evaluation.metrics.overlap import Confusion, dice, iou, region_counts
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
        # Sums on the device: fetching them in each step would let the device wait for the processor.
        self._case_counts = self._no_counts(len(self._patients))
        self._training_counts = self._no_counts(1)
        self._validation_losses: list[Tensor] = []
        self._validation_batches = validation_batches

    def on_train_epoch_start(self) -> None:
        self._training_counts = self._no_counts(1)

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
        finest = logits if isinstance(logits, Tensor) else logits[0]
        self._training_counts += self._joint_counts(finest, batch.labels).sum(dim=0)
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
        self._case_counts = self._no_counts(len(self._patients))
        self._validation_losses = []

    def validation_step(self, batch: Batch, number: int) -> None:
        if self._validation_batches is not None and number >= self._validation_batches:
            return
        logits = self._logits(batch)
        self._validation_losses.append(deep_supervision_loss(self._loss, logits, batch.labels).detach())
        counts = self._joint_counts(logits, batch.labels)
        self._case_counts.index_add_(0, batch.case.to(counts.device), counts)

    def on_validation_epoch_end(self) -> None:
        """Log validation and training figures, and the validation loss.

        On the prepared grid. Validation: Dice and IoU are means over patients with a lesion, accuracy is over all
        voxels. Training: over all voxels of the epoch's batches so far, augmented, with the weights of each step.
        """
        losses = torch.stack(self._validation_losses).tolist() if self._validation_losses else []
        parts = all_gather((self._case_counts.cpu().numpy(), losses, self._training_counts[0].cpu().numpy()))
        counts: dict[str, np.ndarray] = {}
        of_cases = np.sum([theirs for theirs, _, _ in parts], axis=0)
        for patient, joint in zip(self._patients, of_cases, strict=True):
            if joint.any():  # a case of the validation
                counts[patient] = counts.get(patient, 0) + joint
        # In the patients' own order: a mean depends on it in the last digit, and processes see them in another.
        per_patient = [counts[patient] for patient in sorted(counts)]
        self._log_figures("val", per_patient, total=sum(per_patient, start=np.zeros_like(parts[0][2])))
        trained = np.sum([joint for _, _, joint in parts], axis=0)
        self._log_figures("train", [trained], total=trained)
        self.log("val_loss", float(np.mean([loss for _, losses, _ in parts for loss in losses])))

    def _log_figures(self, part: str, joints: Sequence[np.ndarray], *, total: np.ndarray) -> None:
        """Log Dice and IoU as means over the joint counts with a lesion, and the accuracy of all voxels."""
        for name, metric in (("dice", dice), ("iou", iou)):
            values = [value for joint in joints if (value := self._mean_of_regions(joint, metric)) is not None]
            self.log(f"{part}_{name}", float(np.mean(values)) if values else float("nan"))
        self.log(f"{part}_accuracy", float(np.trace(total) / total.sum()) if total.any() else float("nan"))

    def _no_counts(self, cases: int) -> Tensor:
        """Return joint counts (cases, K, K) of nothing, on the device of the network."""
        size = len(self._scheme.values)
        return torch.zeros((cases, size, size), dtype=torch.int64, device=self.device)

    @torch.no_grad()
    def _joint_counts(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return joint counts (N, K, K) of each item of a batch."""
        chances = self._outputs.probabilities(logits.detach())
        predicted = self._outputs.class_indices(chances, threshold=self._recipe.predict.threshold)
        return count_jointly(labels, predicted, len(self._scheme.values))

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


def count_jointly(truth: Tensor, predicted: Tensor, size: int) -> Tensor:
    """Return joint counts (N, K, K) int64 of class indices: row = truth, column = prediction; on their device.

    Args:
        truth: (N, ...) class indices, below ``size``.
        predicted: the same shape.
        size: K, the number of classes with the background.
    """
    codes = (truth.long() * size + predicted.long()).flatten(start_dim=1)
    # torch.bincount waits for a GPU: the size of its result depends on the values.
    count = count_by_bins if codes.device.type == "cpu" else count_by_comparison
    return count(codes, size**2).reshape(-1, size, size)


def count_by_bins(codes: Tensor, size: int) -> Tensor:
    """Return (N, size) int64, how often each number below ``size`` is in each row of codes (N, M)."""
    rows = torch.arange(len(codes), device=codes.device)[:, None] * size
    return torch.bincount((codes + rows).flatten(), minlength=len(codes) * size).reshape(-1, size)


def count_by_comparison(codes: Tensor, size: int) -> Tensor:
    """Return the same as `count_by_bins` in ``size`` passes over the codes, without waiting for the device."""
    return torch.stack([(codes == code).sum(dim=1) for code in range(size)], dim=1)


def diverged(what: str, *, where: object, got: object = None) -> UsageError:
    """Return the error of a training that will not recover."""
    return UsageError(
        f"training diverged: {what}",
        where=where,
        got=got,
        cure="start again in another folder with a lower --set train.learning_rate, or --set train.gradient_clip=1.0",
        code="usage.diverged",
    )
