"""The estimate of memory, against autograd itself, and what happens when it says no."""

from __future__ import annotations

import copy
import errno
from pathlib import Path

import pytest
import torch

from metseg.errors import ResourceError
from metseg.inference.device import Compute
from metseg.inference.windows import memory as predict_memory
from metseg.inference.windows.memory import free_memory, out_of_memory_is_an_error
from metseg.model import MODELS, build_model
from metseg.training import memory_estimate as train_memory
from metseg.training.memory_estimate import MemoryNeed, require_memory, saved_for_backward, training_need

SMALL = {
    "unet": {"channels": (4, 8), "blocks": (1, 1)},
    "attention_unet": {"channels": (4, 8)},
}
CPU = Compute(torch.device("cpu"), bf16=False, channels_last=False)


def kept_by_autograd(network: torch.nn.Module, shape: tuple[int, ...], *, bf16: bool) -> int:
    """Count what a real forward pass keeps, by storage, without the weights."""
    network = copy.deepcopy(network).train()
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        alive.append(tensor)
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    alive: list[torch.Tensor] = []
    hooks = torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor)
    with hooks, torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
        network(torch.zeros(shape))
    own = {value.untyped_storage().data_ptr() for value in (*network.parameters(), *network.buffers())}
    return sum(size for storage, size in kept.items() if storage not in own)


@pytest.mark.parametrize("bf16", [False, True])
@pytest.mark.parametrize("name", SMALL)
def test_what_autograd_keeps_is_known_beforehand(name: str, bf16: bool) -> None:
    network = build_model(name, SMALL[name], in_channels=3, out_channels=1)
    shape = (2, 3, 40, 48)
    estimate = saved_for_backward(network, shape, bf16=bf16)
    assert estimate == pytest.approx(kept_by_autograd(network, shape, bf16=bf16), rel=0.02)


def test_the_network_is_left_alone() -> None:
    network = build_model("unet", SMALL["unet"], in_channels=1, out_channels=1).eval()
    before = copy.deepcopy(network.state_dict())
    saved_for_backward(network, (1, 1, 16, 16), bf16=False)
    assert not network.training
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())


@pytest.mark.parametrize("name", MODELS)
def test_every_architecture_can_be_estimated(name: str) -> None:
    network = build_model(name, SMALL.get(name, {}), in_channels=2, out_channels=1)
    need = training_need(network, (2, 64, 64), bf16=False)
    assert need.per_item > 4 * 2 * 64 * 64  # more than its own input
    assert need.fixed > 4 * train_memory.WEIGHT_COPIES * network.parameter_count()


def test_a_need_grows_with_the_batch() -> None:
    assert MemoryNeed(fixed=100, per_item=7).for_batch(3) == 121


def test_the_message_names_a_batch_that_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    network = build_model("unet", SMALL["unet"], in_channels=1, out_channels=1)
    need = training_need(network, (1, 64, 64), bf16=False)
    monkeypatch.setattr(train_memory, "free_memory", lambda _: need.for_batch(5) + 1)
    assert require_memory(network, (5, 1, 64, 64), CPU) == need.for_batch(5)
    with pytest.raises(ResourceError, match=r"--set train\.batch_size=5 would fit") as raised:
        require_memory(network, (6, 1, 64, 64), CPU)
    assert raised.value.code == "resources.memory"
    monkeypatch.setattr(train_memory, "free_memory", lambda _: need.fixed)
    with pytest.raises(ResourceError, match="use smaller pictures or a smaller network"):
        require_memory(network, (1, 1, 64, 64), CPU)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory: you tried to"),
        RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed. "),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
    ],
)
def test_every_way_of_running_out_is_one_error(error: Exception) -> None:
    with (
        pytest.raises(ResourceError, match="ran out; half") as raised,
        out_of_memory_is_an_error("ran out", where="", cure="half"),
    ):
        raise error
    assert raised.value.exit_status == 5


def test_torch_says_it_as_we_expect() -> None:
    with pytest.raises(ResourceError), out_of_memory_is_an_error("ran out", where="", cure=""):
        torch.empty(1 << 60, dtype=torch.uint8)


@pytest.mark.parametrize("error", [RuntimeError("shapes differ"), OSError(errno.ENOENT, "no"), KeyError("x")])
def test_other_errors_pass(error: Exception) -> None:
    with pytest.raises(type(error)), out_of_memory_is_an_error("ran out", where="", cure=""):
        raise error


def test_limits_of_the_process_and_the_container_count(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    limit, used = tmp_path / "memory.max", tmp_path / "memory.current"
    limit.write_text("1000000\n")
    used.write_text("400000\n")
    monkeypatch.setattr("metseg.runtime.system_info.CGROUPS", ((tmp_path / "absent", used), (limit, used)))
    assert free_memory() == 600_000
    limit.write_text("max\n")
    assert free_memory() > 600_000
    monkeypatch.setattr(predict_memory, "_left_by_limit", lambda: -5)
    assert free_memory() == 0
