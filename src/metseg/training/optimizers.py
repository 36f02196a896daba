"""Optimisers and learning-rate schedules.

A schedule is a function of how much of the budget is spent, 0 to 1, whether the budget is in steps, epochs or
minutes; so a cosine ends at the end of the 40 minutes it was given, on any machine.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from metseg.recipe import TrainPart
from metseg.registry import lookup

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer

#: The one-cycle policy rises for this share of the budget (Smith & Topin 2018, arXiv:1708.07120; fast.ai's value).
ONE_CYCLE_RISE = 0.3

#: What remains of the learning rate at the end of cosine and one-cycle.
FINAL_FACTOR = 0.001

Parameters = Iterable[dict[str, object]]


def _adam(groups: Parameters, train: TrainPart) -> Optimizer:
    from torch.optim import Adam

    return Adam(groups, lr=train.learning_rate)


def _adamw(groups: Parameters, train: TrainPart) -> Optimizer:
    from torch.optim import AdamW

    return AdamW(groups, lr=train.learning_rate)


def _sgd(groups: Parameters, train: TrainPart) -> Optimizer:
    from torch.optim import SGD

    return SGD(groups, lr=train.learning_rate, momentum=train.momentum, nesterov=train.momentum > 0)


#: Each imports torch when it is called, so that the names are known without it.
OPTIMIZERS: Mapping[str, Callable[[Parameters, TrainPart], Optimizer]] = {"adam": _adam, "adamw": _adamw, "sgd": _sgd}


def constant(_: float) -> float:
    return 1.0


def cosine(progress: float) -> float:
    """Half a cosine from 1 down (Loshchilov & Hutter 2017, arXiv:1608.03983)."""
    return FINAL_FACTOR + (1 - FINAL_FACTOR) * (1 + math.cos(math.pi * min(progress, 1.0))) / 2


def one_cycle(progress: float) -> float:
    """Cosine up over the first 30 %, cosine down over the rest."""
    if progress < ONE_CYCLE_RISE:
        return 0.04 + 0.96 * (1 - math.cos(math.pi * progress / ONE_CYCLE_RISE)) / 2
    return cosine((progress - ONE_CYCLE_RISE) / (1 - ONE_CYCLE_RISE))


#: Name to the factor on the learning rate at a given progress. "plateau" is constant here and lowered by
#: `metseg.training.loop.callbacks.Schedule` when the validation Dice stops rising.
SCHEDULES: Mapping[str, Callable[[float], float]] = {
    "constant": constant,
    "plateau": constant,
    "cosine": cosine,
    "one_cycle": one_cycle,
}


def rate_factor(train: TrainPart, progress: float) -> float:
    """Return the factor on the learning rate: linear warm-up first, then the schedule over the rest.

    >>> rate_factor(TrainPart(schedule="cosine", warmup=0.1), 0.05)
    0.5
    """
    schedule = lookup("schedule", SCHEDULES, train.schedule)
    if progress < train.warmup:
        return max(progress / train.warmup, 1e-3)
    return schedule((progress - train.warmup) / (1 - train.warmup) if train.warmup < 1 else progress)


def build_optimizer(train: TrainPart, network: nn.Module) -> Optimizer:
    """Return the optimiser; biases and normalisation weights (one axis) are not decayed.

    Raises:
        UsageError: an unknown optimiser.
    """
    decayed = [weight for weight in network.parameters() if weight.ndim > 1]
    plain = [weight for weight in network.parameters() if weight.ndim <= 1]
    groups: list[dict[str, object]] = [
        {"params": decayed, "weight_decay": train.weight_decay},
        {"params": plain, "weight_decay": 0.0},
    ]
    return lookup("optimizer", OPTIMIZERS, train.optimizer)(groups, train)
