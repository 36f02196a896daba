"""Distributed training: several processes on the devices of a machine, or under torchrun or Slurm.

Process 0 leads. Only process 0 reads the data set, writes the run folder and scores; when everything is prepared, it
sends the others their work. Lightning's data-parallel strategy does the training.
"""

from __future__ import annotations

import multiprocessing
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed
from lightning.fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment

from metseg.errors import UsageError
from metseg.runtime.system_info import processors

#: How long the others wait for process 0, which may have thousands of studies to prepare.
WAIT = timedelta(days=1)

Work = TypeVar("Work")


@dataclass(frozen=True)
class Ranks:
    """Which of the processes of a training this one is.

    Args:
        devices: processes on each machine, one for each device.
        nodes: machines.
        rank: number of this process among all.
        address, port: where process 0 listens.
        started_outside: something else than metseg starts the processes.
    """

    devices: int = 1
    nodes: int = 1
    rank: int = 0
    address: str = "127.0.0.1"
    port: int = 0
    started_outside: bool = False

    @property
    def world(self) -> int:
        return self.devices * self.nodes

    @property
    def node(self) -> int:
        return self.rank // self.devices

    @property
    def local(self) -> int:
        return self.rank % self.devices

    @property
    def leads(self) -> bool:
        return self.rank == 0


def find_ranks(devices: int, nodes: int) -> Ranks:
    """Return which process this is.

    Args:
        devices: how many devices each machine trains on.
        nodes: how many machines there are. Without torchrun and Slurm each is started by hand, with ``NODE_RANK``,
            ``MASTER_ADDR`` and ``MASTER_PORT`` in the environment, as Lightning has it.
    Raises:
        UsageError: torchrun or Slurm started another number of processes.
    """
    if devices < 1 or nodes < 1:
        raise UsageError(
            "no device to train on", where="--devices, --nodes", got=f"{devices}, {nodes}", cure="give 1 or more"
        )
    outside = _outside(several=devices * nodes > 1)
    if outside is not None:
        _check_world(devices, nodes, started=outside.world_size())
        place = (outside.global_rank(), outside.main_address, outside.main_port)
        return Ranks(devices, nodes, *place, started_outside=True)
    if nodes == 1:
        return Ranks(devices, nodes, port=_free_port() if devices > 1 else 0)
    try:
        node, address, port = (os.environ[name] for name in ("NODE_RANK", "MASTER_ADDR", "MASTER_PORT"))
    except KeyError as missing:
        raise UsageError(
            "training on several machines needs the address of the first one",
            where="--nodes",
            expected="NODE_RANK, MASTER_ADDR and MASTER_PORT in the environment",
            got=f"no {missing.args[0]}",
            cure="start with torchrun or srun, or set them on each machine",
        ) from None
    return Ranks(devices, nodes, int(node) * devices, address, int(port))


def require_devices(device: torch.device, devices: int) -> None:
    """Check that enough devices exist; a device with a number counts as one.

    Raises:
        UsageError: too many devices.
    """
    there = {"cuda": torch.cuda.device_count(), "cpu": processors()}.get(device.type, 1)
    if devices > there or (devices > 1 and device.index is not None):
        raise UsageError(
            "too many devices",
            where="--devices",
            expected=f"at most {1 if device.index is not None else there} of {device}",
            got=devices,
            cure="give fewer --devices",
        )


def _outside(*, several: bool) -> ClusterEnvironment | None:
    """Return the environment set by torchrun or srun; None where neither started this process as part of a group."""
    if TorchElasticEnvironment.detect() and (several or int(os.environ["WORLD_SIZE"]) > 1):
        return TorchElasticEnvironment()
    if several and int(os.environ.get("SLURM_NTASKS", 1)) > 1 and SLURMEnvironment.detect():
        return SLURMEnvironment(auto_requeue=False)
    return None


def _check_world(devices: int, nodes: int, *, started: int) -> None:
    if started != devices * nodes:
        raise UsageError(
            "the number of processes differs from the number of devices",
            where="--devices, --nodes",
            expected=f"{devices * nodes} processes for {devices} devices on {nodes} machines",
            got=f"{started} processes",
            cure="match --devices and --nodes to the processes and machines given to torchrun or srun",
        )


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextmanager
def process_group(ranks: Ranks, device: str, *, other: Callable[[Ranks, str], None]) -> Iterator[None]:
    """Join the other processes for the duration of the block; on a single machine metseg starts them first.

    Args:
        ranks: which process this is.
        device: its kind, such as ``cpu``.
        other: what the other processes of this machine do; a function of a module, given their ranks and the device.
    """
    if ranks.world == 1:
        yield
        return
    children = [] if ranks.started_outside else _start(ranks, device, other)
    threads = torch.get_num_threads()
    try:
        _join(ranks, device)
        yield
    except BaseException:
        for child in children:  # they wait for what will not come
            child.terminate()
        raise
    finally:
        torch.set_num_threads(threads)
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
        for child in children:
            child.join()


def _start(ranks: Ranks, device: str, other: Callable[[Ranks, str], None]) -> list[multiprocessing.process.BaseProcess]:
    context = multiprocessing.get_context("spawn")
    theirs = (replace(ranks, rank=ranks.rank + local, started_outside=True) for local in range(1, ranks.devices))
    children = [context.Process(target=other, args=(one, device), daemon=False) for one in theirs]
    for child in children:
        child.start()
    return list(children)


def _join(ranks: Ranks, device: str) -> None:
    if device == "cuda":
        torch.cuda.set_device(ranks.local)
    else:
        torch.set_num_threads(max(1, processors() // ranks.devices))
    torch.distributed.init_process_group(
        "nccl" if device == "cuda" else "gloo",
        init_method=f"tcp://{ranks.address}:{ranks.port}",
        rank=ranks.rank,
        world_size=ranks.world,
        timeout=WAIT,
    )


def broadcast(work: Work | None) -> Work:
    """Return the work that process 0 hands to all; the others give None."""
    if not torch.distributed.is_initialized():
        assert work is not None
        return work
    place: list[Work | None] = [work]
    torch.distributed.broadcast_object_list(place, src=0)
    received = place[0]
    assert received is not None
    return received


def all_gather(part: Work) -> list[Work]:
    """Return what every process gives, in the order of their numbers."""
    if not torch.distributed.is_initialized():
        return [part]
    parts: list[Work | None] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(parts, part)
    return [one for one in parts if one is not None]


class RanksEnvironment(ClusterEnvironment):
    """What Lightning asks about the processes."""

    def __init__(self, ranks: Ranks) -> None:
        super().__init__()
        self._ranks = ranks

    @property
    def creates_processes_externally(self) -> bool:
        return True

    @property
    def main_address(self) -> str:
        return self._ranks.address

    @property
    def main_port(self) -> int:
        return self._ranks.port

    @staticmethod
    def detect() -> bool:
        return False

    def world_size(self) -> int:
        return self._ranks.world

    def set_world_size(self, size: int) -> None:
        """Do nothing: how many there are is known."""

    def global_rank(self) -> int:
        return self._ranks.rank

    def set_global_rank(self, rank: int) -> None:
        """Do nothing: which this is is known."""

    def local_rank(self) -> int:
        return self._ranks.local

    def node_rank(self) -> int:
        return self._ranks.node
