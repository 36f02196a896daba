"""Whether a training that continues on corrected masks raises Dice on patients of the same kind, with its interval.

A small network learns on simulated patients of one scanner. A service then segments patients of other scanners, with
stronger noise and drift. Their masks are corrected by the truth: uploaded to the service, as a reader would upload
them, and fetched by ``metseg corrections export``. The training continues on these (``metseg train --init``), and all
networks are scored on other patients of this kind::

    taskset -c 0 python benchmarks/corrections_gain.py WORK [--corrected 10] [--held-out 30]

The control continues for as many steps, with the same options, on the patients of the first training: what it gains is
not due to the corrections. Finished steps are skipped, so that an interrupted run continues; about 45 minutes on a core
that other work shares. Whether all this runs is seen in two minutes with::

    --first 4 --corrected 3 --held-out 4 --steps 10 --more-steps 10 --resolution-mm 4
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

import metseg
from metseg.inference.outputs.volume_outputs import write_nifti
from metseg.io.volumes.nifti import read_mask_nifti
from metseg.runtime.atomic_io import atomic_folder, write_text
from metseg.runtime.system_info import machine_facts, machine_line

#: The network of `demo-unet` on T1c slices of volumes, and what it finds: the core, which T1c shows.
RECIPE = """
base = "demo-unet"
name = "corrections-gain"

[data]
channels = []
modalities = ["t1c"]
labels = "binary"

[split]
test = 0
validation = 0.2
"""
#: Options of `metseg simulate` for the patients of the first training, and for the others.
FIRST_KIND: Sequence[str] = ()
SECOND_KIND: Sequence[str] = ("--set", "scanners=many", "--set", "noise=0.1", "--set", "bias=0.35")
FIRST_SEED, SECOND_SEED = 101, 202
MODEL = "corrections-start"
#: Values of the simulated masks that are the core: necrosis and enhancing tumour.
CORE = (1, 3)
SERVICE_WAIT_S = 300.0


def main() -> None:
    options = parse_arguments()
    work: Path = options.work
    work.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    first = simulated(work / "first", options.first, FIRST_SEED, FIRST_KIND, options)
    others = simulated(work / "second", options.corrected + options.held_out, SECOND_SEED, SECOND_KIND, options)
    first_set = as_training_set(work / "first-set", first)
    recipe = work / "recipe.toml"
    write_text(recipe, RECIPE)
    start = trained(work / "start", recipe, first_set, options.steps)
    corrected = corrected_set(work, start, others[: options.corrected])
    more = ("--init", str(start), "--set", f"train.learning_rate={options.more_rate}")
    bundles = {
        "corrected": trained(work / "continued", recipe, corrected, options.more_steps, *more),
        "control": trained(work / "control", recipe, first_set, options.more_steps, *more),
        "start": start,
    }
    held_out = as_training_set(work / "held-out-set", others[options.corrected :][: options.held_out])
    for line in summary(work, bundles, held_out):
        print(line)
    print(f"{machine_line(machine_facts())}; this run took {(time.monotonic() - began) / 60:.1f} minutes")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path, help="folder for data, runs and results")
    parser.add_argument("--first", type=int, default=16, help="patients of the first training")
    parser.add_argument("--corrected", type=int, default=10, help="patients with corrected masks")
    parser.add_argument("--held-out", type=int, default=30, help="patients that score the networks")
    parser.add_argument("--steps", type=int, default=320, help="of the first training")
    parser.add_argument("--more-steps", type=int, default=160, help="of the continued trainings")
    parser.add_argument("--more-rate", type=float, default=2e-3, help="their learning rate")
    parser.add_argument("--resolution-mm", type=float, default=2.0)
    return parser.parse_args()


def run(*words: object) -> None:
    """Run a command of metseg."""
    subprocess.run([sys.executable, "-m", "metseg", *map(str, words)], check=True, stdout=subprocess.DEVNULL)


def simulated(folder: Path, count: int, seed: int, kind: Sequence[str], options: argparse.Namespace) -> list[Path]:
    """Return the folders of simulated patients without skull."""
    words = ["--patients", count, "--seed", seed, "--resolution-mm", options.resolution_mm, "--no-skull"]
    if not (folder / "done").exists():
        run("simulate", folder, *words, "--workers", 1, "--resume", *kind)
        write_text(folder / "done", "")
    return sorted(path for path in folder.glob("[!.]*/") if any(path.glob("*-seg.nii.gz")))


def as_training_set(out: Path, patients: Sequence[Path]) -> Path:
    """Write T1c and the core of patients in the layout of nnU-Net, as `metseg corrections export` does."""
    if out.exists():
        return out
    with atomic_folder(out) as folder:
        (folder / "imagesTr").mkdir()
        (folder / "labelsTr").mkdir()
        for patient in patients:
            image = folder / "imagesTr" / f"{patient.name}_0000.nii.gz"
            image.write_bytes((patient / f"{patient.name}-t1c.nii.gz").read_bytes())
            write_core(patient, folder / "labelsTr" / f"{patient.name}.nii.gz")
        table = {
            "channel_names": {"0": "t1c"},
            "labels": {"background": 0, "lesion": 1},
            "numTraining": len(patients),
            "file_ending": ".nii.gz",
        }
        (folder / "dataset.json").write_text(json.dumps(table), "utf-8")
    return out


def write_core(patient: Path, path: Path) -> None:
    """Write the true core of a simulated patient."""
    truth = read_mask_nifti(patient / f"{patient.name}-seg.nii.gz")
    write_nifti(np.isin(truth.data, CORE).astype(np.uint8), truth.affine, path)


def trained(out: Path, recipe: Path, data: Path, steps: int, *more: str) -> Path:
    """Return the bundle of a training."""
    bundle = out / "bundle"
    if not (bundle / "sha256").exists():
        resume = ["--resume"] if out.exists() else []
        run("train", recipe, "--data", data, "--out", out, "--set", f"train.max_steps={steps}", *more, *resume)
    return bundle


def corrected_set(work: Path, bundle: Path, patients: Sequence[Path]) -> Path:
    """Return the training set of corrections: patients segmented by a service, and corrected by the truth."""
    out = work / "corrections"
    if not (out / "corrections.json").exists():
        with service(work, bundle) as url:
            with metseg.Client(url) as client:
                for patient in patients:
                    correct(client, patient, work / "truth.nii.gz")
            run("corrections", "export", "--server", url, "--out", out)
    return out / "binary"


def correct(client: metseg.Client, patient: Path, mask: Path) -> None:
    """Have a patient segmented, and upload the true core as the correction."""
    image = {"t1c": patient / f"{patient.name}-t1c.nii.gz"}
    # The same key gives the same study, so that a repeated run does not add another one.
    study = client.wait(client.submit(sequences=image, model=MODEL, idempotency_key=patient.name))
    if len(client.versions(study)) == 1:
        write_core(patient, mask)
        client.upload_mask(study, mask, note="corrected by the truth of the simulation")


@contextmanager
def service(work: Path, bundle: Path) -> Iterator[str]:
    """Start a service with the network, and give its URL."""
    home = work / "home"
    os.environ["METSEG_HOME"] = str(home)
    os.environ |= {"METSEG_WORKER_THREADS": "1", "METSEG_PREDICT_THREADS": "1", "METSEG_WORKER_NICE": "0"}
    if not (home / "bundles" / MODEL).exists():
        run("models", "add", bundle, "--name", MODEL)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    with (work / "service.log").open("ab") as log:
        command = [sys.executable, "-m", "metseg", "up", "--no-page", "--port", str(port)]
        process = subprocess.Popen(command, stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + SERVICE_WAIT_S
        while not answers(url):
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"the service did not start: see {work / 'service.log'}")
            time.sleep(0.5)
        yield url
    finally:
        process.send_signal(signal.SIGINT)
        process.wait()


def answers(url: str) -> bool:
    """Return whether the service answers."""
    try:
        with metseg.Client(url) as client:
            client.models()
    except metseg.ServiceError:
        return False
    return True


def summary(work: Path, bundles: dict[str, Path], held_out: Path) -> Iterator[str]:
    """Score the networks on the held-out patients, and yield lines of results."""
    for name, bundle in bundles.items():
        out = work / "predictions" / name
        if not (out / "done").exists():
            run("predict", held_out, "--model", bundle, "--out", out, "--format", "mask")
            write_text(out / "done", "")
    named = [f"{name}={work / 'predictions' / name}" for name in bundles]
    scores = work / "scores"
    words = [word for one in named for word in ("--predictions", one)]
    run("evaluate", "--truth", held_out / "labelsTr", *words, "--labels", "binary", "--out", scores, "--no-report")
    yield from lines_of(json.loads((scores / "summary.json").read_text("utf-8")))


def lines_of(document: dict[str, Any]) -> Iterator[str]:
    """Yield the mean Dice of each network, and each difference of two with its paired bootstrap interval."""
    for name, scores in document["models"].items():
        dice = scores["regions"]["lesion"]["metrics"]["dice"]
        yield f"{name}: Dice {dice['mean']:.3f} ({dice['low']:.3f} to {dice['high']:.3f}), {dice['patients']} patients"
    (compared,) = (one for one in document["comparisons"] if one["metric"] == "dice")
    for pair in compared["pairs"]:
        gain = pair["difference"]
        yield (
            f"{pair['first']} minus {pair['second']}: {gain['mean']:+.3f} ({gain['low']:+.3f} to {gain['high']:+.3f}), "
            f"p = {pair['p_holm']:.2g} (Holm); {pair['verdict']}"
        )


if __name__ == "__main__":
    main()
