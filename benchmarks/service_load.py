"""How fast a picture is answered, and what the API does under load: `/health` while a volume is being predicted, and
many large uploads at once.

Starts the whole service in a folder of its own, with a 3D network whose weights are random and a volume of noise, so
that the worker has enough to do. Wants a quiet machine::

    python benchmarks/service_load.py [--clients 32] [--rate 2] [--seconds 20] [--uploads 32] [--megabytes 20]

Exits with 1 where a claim fails: `/predict/` answers a picture of 256 x 256 pixels within 2 s, by the model that the
service takes for pictures (that of this checkout), loaded before; `/health` answers 99 of 100 requests within 100 ms,
counted from when each was due, with 32 clients of 2 requests a second; of 32 uploads of 20 MB at once each is answered
202, or 503 with Retry-After, and the API's memory grows by at most 200 MB.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import nibabel
import numpy as np
import psutil
from PIL import Image

from metseg.inference.device import choose_compute
from metseg.recipe import parse_recipe
from metseg.runtime.system_info import machine_line
from metseg.training.machine import describe_machine

CLAIM_PICTURE_S, CLAIM_P99_MS, CLAIM_GROWTH_MB = 2.0, 100.0, 200.0
#: Pictures that are answered one after another, beside a first one.
PICTURES = 10
ALLOWED = {202, 503}
PATIENCE_S = 300.0

#: A network of ordinary size whose lesions are none: what is measured is how it computes, not what it finds.
RECIPE = """
name = "load"
data = { modalities = ["t1c"], dimensions = 3 }
preprocess = [{ name = "zscore" }]
model = { name = "unet", channels = [16, 32, 64], blocks = [1, 1, 1] }
train = { patch_size = [64, 64, 64] }
predict = { threshold = 0.999999, minimum_voxels = 1000000 }
"""
#: Voxels along each side of the volume that is predicted: some hundred windows of the network above.
SIDE = 224


def save_bundle_for_load(folder: Path) -> None:
    import torch

    from metseg.model import build_from_recipe
    from metseg.model.bundle import save_bundle

    torch.manual_seed(0)
    recipe = parse_recipe(RECIPE, where="service_load")
    save_bundle(folder, networks=[build_from_recipe(recipe)], recipe=recipe, card="# load\n", metrics={})


def noise(side: int, depth: int) -> bytes:
    """Return a NIfTI file, not packed, of (side, side, depth) random voxels of two bytes."""
    data = np.random.default_rng(0).integers(0, 1000, (side, side, depth), dtype=np.int16)
    image = nibabel.Nifti1Image(data, np.eye(4))
    image.header.set_xyzt_units("mm")
    return bytes(image.to_bytes())


@contextmanager
def service(home: Path) -> Iterator[tuple[str, psutil.Process]]:
    """Start API and worker, give the address and the API's process when they are ready, and end them."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "metseg", "up", "--no-page", "--port", str(port)]
    environment = {**os.environ, "METSEG_HOME": str(home), "METSEG_VOLUME_MODEL": "load"}
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        wait_for(lambda: workers(f"http://127.0.0.1:{port}") >= 1, process, home / "log")
        children = psutil.Process(process.pid).children()
        yield f"http://127.0.0.1:{port}", next(child for child in children if "serve" in child.cmdline())
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(PATIENCE_S)


def workers(url: str) -> int:
    with suppress(httpx.HTTPError):
        return int(httpx.get(f"{url}/ready", timeout=10).json()["workers"])
    return 0


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        if process.poll() is not None or time.monotonic() > deadline:
            raise SystemExit(f"the service did not get so far:\n{log.read_text(errors='replace')}")
        time.sleep(0.2)


def measure_pictures(url: str) -> bool:
    """Have pictures answered one after another, print what came of it, and return whether the claim holds."""
    pixels = np.random.default_rng(0).integers(0, 256, (256, 256, 3), dtype=np.uint8)
    picture = io.BytesIO()
    Image.fromarray(pixels).save(picture, format="PNG")
    taken = []
    for _ in range(PICTURES + 1):
        begin = time.perf_counter()
        answer = httpx.post(f"{url}/predict/", files={"file": picture.getvalue()}, timeout=PATIENCE_S)
        taken.append(time.perf_counter() - begin)
        answer.raise_for_status()
    first, *others = taken
    print(
        f"/predict/ of 256 x 256 pixels by {answer.json()['model']}: the first, which waits for the model, "
        f"{first:.2f} s; {PICTURES} more, median {np.median(others):.2f} s, longest {max(others):.2f} s"
    )
    return max(others) <= CLAIM_PICTURE_S


def phase(url: str, study: str) -> str:
    found = httpx.get(f"{url}{study}", timeout=PATIENCE_S).json()
    if found["state"] in ("failed", "cancelled"):
        raise SystemExit(f"the study is {found['state']}: {found['failure']}")
    return str(found["phase"]) if found["state"] == "running" else str(found["state"])


async def health_ms(url: str, arguments: argparse.Namespace) -> list[float]:
    """Return how long after it was due each request was answered, in ms; one that fails counts as endless."""
    taken: list[float] = []
    limits = httpx.Limits(max_connections=arguments.clients, max_keepalive_connections=arguments.clients)
    async with httpx.AsyncClient(base_url=url, limits=limits, timeout=60.0) as client:
        begin = time.perf_counter() + 1.0

        async def ask(number: int) -> None:
            for request in range(round(arguments.seconds * arguments.rate)):
                # Each client has its own moment: together they ask evenly.
                due = begin + (request + number / arguments.clients) / arguments.rate
                await asyncio.sleep(due - time.perf_counter())
                try:
                    answer = await client.get("/health")
                    late = time.perf_counter() - due if answer.status_code == 200 else float("inf")
                except httpx.HTTPError:
                    late = float("inf")
                taken.append(1000 * late)

        await asyncio.gather(*map(ask, range(arguments.clients)))
    return taken


def measure_health(url: str, arguments: argparse.Namespace) -> bool:
    """Ask while a volume is predicted, print what came of it, and return whether the claim holds."""
    answer = httpx.post(f"{url}/studies", files={"t1c": ("a.nii", noise(SIDE, SIDE))}, timeout=PATIENCE_S)
    study = answer.raise_for_status().headers["location"]
    deadline = time.monotonic() + PATIENCE_S
    while (now := phase(url, study)) != "predict":
        if now == "done" or time.monotonic() > deadline:
            raise SystemExit("the worker does not get to predicting")
        time.sleep(0.2)
    taken = asyncio.run(health_ms(url, arguments))
    if phase(url, study) != "predict":
        raise SystemExit("the volume was done before the measurement was: take fewer --seconds")
    httpx.delete(f"{url}{study}", timeout=PATIENCE_S)
    median, p99, worst = np.percentile(taken, [50, 99, 100], method="higher")
    print(
        f"/health while a volume is predicted, {arguments.clients} clients of {arguments.rate:g} requests a second: "
        f"{len(taken)} requests, median {median:.1f} ms, p99 {p99:.1f} ms, longest {worst:.1f} ms"
    )
    return bool(p99 <= CLAIM_P99_MS)


class Memory:
    """Watches the memory of a process.

    Args:
        process: which.
    """

    def __init__(self, process: psutil.Process) -> None:
        self.before = self.most = process.memory_info().rss / 1e6
        self._process = process
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Memory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(0.02):
            self.most = max(self.most, self._process.memory_info().rss / 1e6)


def measure_uploads(url: str, api: psutil.Process, arguments: argparse.Namespace) -> bool:
    """Upload many at once, print what came of it, and return whether the claim holds."""
    side = 256
    content = noise(side, round(arguments.megabytes * 1e6 / 2 / side**2))
    start = threading.Barrier(arguments.uploads)

    def upload(_number: int) -> httpx.Response:
        start.wait()
        return httpx.post(f"{url}/studies", files={"t1c": ("a.nii", content)}, timeout=PATIENCE_S)

    begin = time.perf_counter()
    with Memory(api) as memory, ThreadPoolExecutor(arguments.uploads) as pool:
        answers = list(pool.map(upload, range(arguments.uploads)))
    elapsed_s = time.perf_counter() - begin
    statuses = Counter(answer.status_code for answer in answers)
    silent = sum(answer.status_code == 503 and "retry-after" not in answer.headers for answer in answers)
    growth = memory.most - memory.before
    print(
        f"{arguments.uploads} uploads of {len(content) / 1e6:.0f} MB at once, {elapsed_s:.1f} s: "
        + ", ".join(f"{count} x {status}" for status, count in sorted(statuses.items()))
        + f"; {silent} of them without Retry-After; memory of the API {memory.before:.0f} MB, grown by {growth:.0f} MB"
    )
    return set(statuses) <= ALLOWED and not silent and growth <= CLAIM_GROWTH_MB


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--rate", type=float, default=2.0)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--uploads", type=int, default=32)
    parser.add_argument("--megabytes", type=float, default=20.0)
    arguments = parser.parse_args()

    print(machine_line(describe_machine(choose_compute())))
    with tempfile.TemporaryDirectory(prefix="metseg-load-") as folder:
        home = Path(folder)
        save_bundle_for_load(home / "bundles" / "load")
        with service(home) as (url, api):
            held = [measure_pictures(url), measure_health(url, arguments), measure_uploads(url, api, arguments)]
    if not all(held):
        print(
            f"below the claim: a picture in {CLAIM_PICTURE_S:g} s, p99 of /health {CLAIM_P99_MS:g} ms, "
            f"only 202 and 503 (with Retry-After), memory grown by at most {CLAIM_GROWTH_MB:g} MB",
            file=sys.stderr,
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
