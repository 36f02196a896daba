"""How much memory a training on many studies takes, and what is left of a cache whose making was killed.

Simulates studies (or takes a data set), kills a training while it prepares them, begins again, and trains an epoch's
worth of steps. Memory is that of all processes together, looked at every fifth of a second::

    python benchmarks/many_studies.py [--data ROOT] [--studies 100] [--resolution-mm 1] [--recipe mets-3d] [--steps 60]

Exits with 1 where more than 4 GB are taken, a study is prepared a second time, or the training was not killed halfway.
Whether all this runs is seen in a few minutes with little data and a small network::

    --studies 4 --resolution-mm 5 --steps 2 --set train.patch_size=[32,32,32] --set model.channels=[8,8,16]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from metseg.io import find_cases
from metseg.recipe import load_recipe
from metseg.runtime.system_info import machine_facts, machine_line

CLAIM_GB = 4.0
LOOK_S = 0.2


def watched(command: list[str], stop: Callable[[], bool] | None = None) -> tuple[int, float, float]:
    """Run a command; return its status, the most memory in GB (proportional set size) and the seconds it took.

    Args:
        command: what is run.
        stop: asked at each look; when it says so, the process and its children are killed.
    """
    begin, peak = time.monotonic(), 0
    process = psutil.Popen(command)
    while process.poll() is None:
        family = [process, *process.children(recursive=True)]
        if stop is not None and stop():
            for one in family:
                one.kill()
            process.wait()
            break
        peak = max(peak, sum(_memory(one) for one in family))
        time.sleep(LOOK_S)
    return process.returncode, peak / 1e9, time.monotonic() - begin


def _memory(process: psutil.Process) -> int:
    """Return a process's share of memory: pages that several share count once in all."""
    try:
        return int(process.memory_full_info().pss)
    except psutil.Error:  # it has just ended
        return 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--studies", type=int, default=100)
    parser.add_argument("--resolution-mm", type=float, default=1.0)
    parser.add_argument("--recipe", default="mets-3d")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="of the recipe, as in training")
    arguments = parser.parse_args()
    print(machine_line(machine_facts()))
    metseg = [sys.executable, "-m", "metseg"]
    with tempfile.TemporaryDirectory() as folder:
        data = arguments.data or Path(folder) / "studies"
        if arguments.data is None:
            size = ["--patients", str(arguments.studies), "--resolution-mm", str(arguments.resolution_mm)]
            subprocess.run([*metseg, "simulate", str(data), *size, "--no-skull"], check=True)
        cache, run = Path(folder) / "cache", Path(folder) / "run"
        changes = [*_changes(arguments.steps), *arguments.set]
        train = [*metseg, "train", arguments.recipe, "--data", str(data), "--cache", str(cache)]
        train += [word for change in changes for word in ("--set", change)]
        half = len(find_cases(data, load_recipe(arguments.recipe).data)) // 2
        begun, _, _ = watched([*train, "--out", str(run)], stop=lambda: len(prepared(cache)) >= half)
        kept = prepared(cache)
        print(f"killed when {len(kept)} studies were prepared")
        status, peak, seconds = watched([*train, "--out", str(run), "--resume"])
        again = sum(prepared(cache).get(path) != stamp for path, stamp in kept.items())
        print(f"{again} of them were prepared again; exit status {status}")
        print(f"preparing the rest, {arguments.steps} steps, validation and scoring: {seconds / 60:.1f} min")
        print(f"peak memory of all processes {peak:.2f} GB")
    was_killed = begun != 0
    return 0 if was_killed and status == 0 and again == 0 and peak <= CLAIM_GB else 1


def _changes(steps: int) -> list[str]:
    """Return what makes an epoch's worth of steps of the recipe, with as little kept for the test as can be."""
    return ["train.max_minutes=", f"train.max_steps={steps}", f"train.steps_per_epoch={steps}", "split.test=0.02"]


def prepared(cache: Path) -> dict[Path, int]:
    """Return the finished cases of a cache, each with the time at which it was written."""
    return {path: path.stat().st_mtime_ns for path in cache.glob("*/*.json")}


if __name__ == "__main__":
    sys.exit(main())
