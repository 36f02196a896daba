"""Learning rates at points computed by hand, and optimisers that go downhill and decay only what they should."""

from __future__ import annotations

from math import cos, pi

import pytest
import torch
from torch import nn

from metseg.errors import UsageError
from metseg.recipe import TrainPart
from metseg.training.optimizers import OPTIMIZERS, SCHEDULES, build_optimizer, rate_factor

optimizers = pytest.mark.parametrize("name", OPTIMIZERS)


def factor(schedule: str, progress: float, warmup: float = 0.0) -> float:
    return rate_factor(TrainPart(schedule=schedule, warmup=warmup), progress)


@pytest.mark.parametrize(
    ("schedule", "progress", "value"),
    [
        ("constant", 0.0, 1),
        ("constant", 1.0, 1),
        ("plateau", 0.7, 1),
        ("cosine", 0.0, 1),
        ("cosine", 1 / 3, 0.001 + 0.999 * 0.75),  # cos 60 degrees is 1/2
        ("cosine", 0.5, 0.001 + 0.999 * 0.5),
        ("cosine", 1.0, 0.001),
        ("one_cycle", 0.0, 0.04),
        ("one_cycle", 0.1, 0.04 + 0.96 * 0.25),
        ("one_cycle", 0.15, 0.04 + 0.96 * 0.5),
        ("one_cycle", 0.3, 1),
        ("one_cycle", 0.65, 0.001 + 0.999 * 0.5),
        ("one_cycle", 1.0, 0.001),
    ],
)
def test_schedules_by_hand(schedule, progress, value):
    assert factor(schedule, progress) == pytest.approx(value)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_rates_stay_between_zero_and_the_one_given(schedule):
    values = [factor(schedule, step / 200, 0.1) for step in range(201)]
    assert all(0 < value <= 1 for value in values)
    assert max(values) == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("schedule", ["constant", "plateau", "cosine"])
def test_warm_up_is_a_line_and_then_comes_the_whole_schedule(schedule):
    assert factor(schedule, 0.0, 0.2) == 1e-3
    assert factor(schedule, 0.05, 0.2) == pytest.approx(0.25)
    assert factor(schedule, 0.15, 0.2) == pytest.approx(0.75)
    assert factor(schedule, 0.2, 0.2) == pytest.approx(1)
    assert factor(schedule, 0.6, 0.2) == pytest.approx(factor(schedule, 0.5))
    assert factor(schedule, 1.0, 0.2) == pytest.approx(factor(schedule, 1.0))


def test_nothing_but_warm_up():
    assert factor("cosine", 0.5, 1.0) == pytest.approx(0.5)
    assert factor("cosine", 1.0, 1.0) == pytest.approx(0.001)


def test_cosine_falls_all_the_way():
    values = [factor("cosine", step / 100) for step in range(101)]
    assert values == sorted(values, reverse=True)
    assert values[25] == pytest.approx(0.001 + 0.999 * (1 + cos(pi / 4)) / 2)


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.PReLU(), nn.Conv2d(3, 1, 1))


@optimizers
def test_weights_are_decayed_biases_and_normalisation_are_not(name):
    model = network()
    chosen = build_optimizer(TrainPart(optimizer=name, weight_decay=0.05, learning_rate=0.02), model)
    decay = {id(weight): group["weight_decay"] for group in chosen.param_groups for weight in group["params"]}
    assert {key: decay[id(weight)] for key, weight in model.named_parameters()} == {
        "0.weight": 0.05,
        "0.bias": 0,
        "1.weight": 0,
        "1.bias": 0,
        "2.weight": 0,
        "3.weight": 0.05,
        "3.bias": 0,
    }
    assert len(decay) == sum(len(group["params"]) for group in chosen.param_groups)
    assert {group["lr"] for group in chosen.param_groups} == {0.02}


@optimizers
def test_steps_lead_downhill(name):
    model = nn.Linear(3, 2)
    nn.init.constant_(model.weight, 2.0)
    nn.init.constant_(model.bias, -2.0)
    chosen = build_optimizer(TrainPart(optimizer=name, learning_rate=0.05), model)
    sums = []
    for _ in range(60):
        chosen.zero_grad()
        total = (model.weight**2).sum() + (model.bias**2).sum()
        total.backward()
        chosen.step()
        sums.append(float(total.detach()))
    assert sums[1] < sums[0]
    assert sums[-1] < 0.2 * sums[0]


def one_step(name: str, slope: float, **options: float) -> tuple[float, float]:
    """Return a weight of 1 and a bias of 1 after one step along this slope."""
    model = nn.Linear(1, 1)
    nn.init.ones_(model.weight)
    nn.init.ones_(model.bias)
    chosen = build_optimizer(TrainPart(optimizer=name, learning_rate=0.1, **options), model)
    (slope * (model.weight.sum() + model.bias.sum())).backward()
    chosen.step()
    return model.weight.item(), model.bias.item()


@pytest.mark.parametrize(
    ("name", "slope", "options", "weight", "bias"),
    [
        ("sgd", 0.5, {"momentum": 0.0}, 1 - 0.1 * 0.5, 1 - 0.1 * 0.5),
        ("sgd", 0.5, {"momentum": 0.9}, 1 - 0.1 * 0.5 * 1.9, 1 - 0.1 * 0.5 * 1.9),  # Nesterov looks ahead
        ("sgd", 0.0, {"momentum": 0.0, "weight_decay": 0.2}, 1 - 0.1 * 0.2, 1),
        ("adamw", 0.0, {"weight_decay": 0.2}, 1 - 0.1 * 0.2, 1),
        ("adamw", 0.5, {"weight_decay": 0.2}, 1 - 0.1 * 0.2 - 0.1, 1 - 0.1),  # the first step of Adam is the rate
        ("adam", 0.5, {}, 0.9, 0.9),
        ("adam", 0.0, {"weight_decay": 0.2}, 0.9, 1),  # in Adam decay is a slope like any other
    ],
)
def test_one_step_by_hand(name, slope, options, weight, bias):
    assert one_step(name, slope, **options) == pytest.approx((weight, bias), abs=1e-5)


def test_unknown_names_are_refused():
    with pytest.raises(UsageError, match="Did you mean 'adamw'"):
        build_optimizer(TrainPart(optimizer="adamww"), nn.Linear(1, 1))
    with pytest.raises(UsageError, match="Unknown schedule 'cosinus'"):
        factor("cosinus", 0.5)
