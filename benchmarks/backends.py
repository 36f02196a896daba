"""Torch, ONNX Runtime and OpenVINO on the bundled study, in one run: equal masks, and seconds of each.

Needs a quiet machine and the extras ``onnx`` and ``openvino``::

    python benchmarks/backends.py [--model mets-sim] [--repeat 3]

Each model is exported, and then predicts the sample's study with each backend, the backends taking turns ``--repeat``
times; the median of the seconds in the network is printed, preparation and measuring are left out. Where the processor
has bfloat16, torch and OpenVINO run in it and in float32; ONNX Runtime computes in float32 only. Further models are
given by ``--model``; ``lgg-flair`` needs its terms accepted (``METSEG_ACCEPTED_MODELS=lgg-flair``).

Exits with 1 where a mask does not agree with torch's of the same precision at Dice 0.998, in every class. Speed is no
claim: it depends on the processor.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from metseg.inference.backends.backend_table import BACKENDS, EXPORT_FORMATS, TORCH
from metseg.inference.backends.exported_model import export_bundle
from metseg.inference.device import bf16_is_fast
from metseg.inference.predictor import Predictor
from metseg.io import find_inputs
from metseg.model.bundle import Bundle, load_bundle
from metseg.model_terms import require_accepted
from metseg.runtime.system_info import machine_facts, machine_line
from metseg.sample import STUDY, sample_folder

CLAIM_SAME = 0.998

#: Name of a backend, and precision.
Run = tuple[str, str]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", action="append", help="a bundle; can be repeated")
    parser.add_argument("--repeat", type=int, default=3, help="predictions with each backend")
    options = parser.parse_args()
    print(machine_line(machine_facts()))
    is_same = True
    for name in options.model or ["mets-sim"]:
        require_accepted(name)
        is_same &= compare(load_bundle(name), repeat=options.repeat)
    return 0 if is_same else 1


def compare(bundle: Bundle, *, repeat: int) -> bool:
    """Print a row for each backend and precision; return whether all masks agree with torch's."""
    case = find_inputs(sample_folder(STUDY), bundle.recipe.data)[0].load()
    precisions = ("bf16", "float32") if bf16_is_fast(torch.device("cpu")) else ("float32",)
    # ONNX Runtime has no bfloat16 on a CPU.
    runs = [(name, precision) for precision in precisions for name in BACKENDS if (name, precision) != ("onnx", "bf16")]
    seconds: dict[Run, list[float]] = {run: [] for run in runs}
    masks = {}
    with tempfile.TemporaryDirectory() as scratch:
        for name in EXPORT_FORMATS:
            export_bundle(bundle, name, Path(scratch) / name)
        predictors = {run: predictor_of(bundle, run, Path(scratch)) for run in runs}
        for _ in range(repeat):
            for run, predictor in predictors.items():
                prediction = predictor(case)
                seconds[run].append(prediction.timings_s["predict"])
                masks[run] = prediction.labels
    agreements = {run: dice(mask, masks[TORCH, run[1]]) for run, mask in masks.items()}
    shape = " x ".join(map(str, masks[runs[0]].shape))
    print(f"\n{bundle.name} on {case.case_id}, {shape} voxels, {np.count_nonzero(masks[runs[0]])} of lesion")
    for (name, precision), found in seconds.items():
        middle = statistics.median(found)
        speed = statistics.median(seconds[runs[0]]) / middle
        print(
            f"  {BACKENDS[name].title:<13} {precision:<8} {middle:8.2f} s  {speed:5.2f} times as fast as the first  "
            f"Dice with torch {agreements[name, precision]:.5f}",
            flush=True,
        )
    return min(agreements.values()) >= CLAIM_SAME


def predictor_of(bundle: Bundle, run: Run, exports: Path) -> Predictor:
    """Return the predictor of a backend in a precision."""
    name, precision = run
    train = bundle.recipe.train.model_copy(update={"precision": precision})
    changed = replace(bundle, recipe=bundle.recipe.model_copy(update={"train": train}))
    exported = None if name == TORCH else exports / name
    return Predictor.from_bundle(changed, device="cpu", backend=name, exported=exported)


def dice(one: npt.NDArray[np.uint8], two: npt.NDArray[np.uint8]) -> float:
    """Return the least Dice over the classes of two masks, and over lesion of any class."""
    regions = [(one > 0, two > 0), *((one == value, two == value) for value in np.unique(two[two > 0]))]
    sizes = [int(a.sum()) + int(b.sum()) for a, b in regions]
    shared = [int((a & b).sum()) for a, b in regions]
    return min(1.0 if size == 0 else 2 * both / size for size, both in zip(sizes, shared, strict=True))


if __name__ == "__main__":
    sys.exit(main())
