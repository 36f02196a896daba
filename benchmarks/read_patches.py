"""What a patch of a volume costs: reading it from the cache, in several layouts, and augmenting it.

    python benchmarks/read_patches.py [--patch 96] [--json]

One synthesised volume of four sequences is written in the layout for slices, in the one for patches, and in others;
patches at random places and single slices are read from each. Then a patch is augmented as `mets-3d` does, step by
step. All in processor time of one thread, so that other work on the machine does not count.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from metseg.dataset import Augmenter
from metseg.dataset.augmentation import apply_map
from metseg.preprocess.cache import cache_arrays
from metseg.preprocess.cache.cache_arrays import FORMS, Form, open_array, write_array
from metseg.random_fields import smooth_field
from metseg.recipe import Named

SHAPE = (4, 160, 192, 144)
BLOCKS = ((8, 16, 32), (16, 16, 32), (32, 32, 32), (64, 64, 64))
REPEATS = 5
SPATIAL = ("rotate", "zoom", "flip", "elastic")
INTENSITY = ("brightness", "contrast", "gamma", "bias_field", "noise", "blur", "low_resolution", "missing_sequence")


def milliseconds(action: Callable[[], object]) -> float:
    """Return the median processor time of an action, once it is warm."""
    action()
    times = []
    for _ in range(REPEATS):
        begin = time.process_time()
        action()
        times.append(time.process_time() - begin)
    return round(1000 * statistics.median(times), 1)


def synthesise(rng: np.random.Generator) -> np.ndarray:
    """Return four noisy sequences of a head in air, float16."""
    x, y, z = (np.linspace(-1, 1, size) for size in SHAPE[1:])
    head = (x[:, None, None] ** 2 + y[:, None] ** 2 + z**2 < 1).astype(np.float32)
    image = np.empty(SHAPE, np.float16)
    for channel in image:
        channel[...] = head * (1 + 0.5 * smooth_field(SHAPE[1:], scale_voxels=12, rng=rng))
        channel[...] += head * 0.05 * rng.standard_normal(SHAPE[1:], dtype=np.float32)
    return image


def reading(image: np.ndarray, form: Form, folder: Path, patch: int, rng: np.random.Generator) -> dict[str, float]:
    """Return the milliseconds for a patch and for a slice, and the size of the file."""
    path = folder / "image.b2nd"
    size = write_array(path, image, form, "stamp")
    stored = open_array(path, "stamp")

    def one_patch() -> None:
        starts = [int(rng.integers(side - patch + 1)) for side in SHAPE[1:]]
        x, y, z = ((start, start + patch) for start in starts)
        np.ascontiguousarray(form.take(stored, (x, y, z)), dtype=np.float32)

    def one_slice() -> None:
        z = int(rng.integers(SHAPE[3]))
        np.ascontiguousarray(form.take(stored, ((0, SHAPE[1]), (0, SHAPE[2]), (z, z + 1))), dtype=np.float32)

    return {"patch_ms": milliseconds(one_patch), "slice_ms": milliseconds(one_slice), "megabytes": round(size / 1e6, 1)}


def augmenting(image: np.ndarray, patch: int) -> dict[str, float]:
    """Return the milliseconds of the spatial map as a whole and of each intensity step."""
    voxels = torch.from_numpy(image[:, :patch, :patch, :patch].astype(np.float32))
    labels = torch.zeros(voxels.shape[1:], dtype=torch.uint8)
    rng = np.random.default_rng(0)

    def only(*names: str) -> Augmenter:
        named = [Named(name=name, options={"probability": 1}) for name in names]
        return Augmenter(named, dimensions=3, channels=len(voxels))

    def spatial(*names: str) -> float:
        augmenter = only(*names)
        return milliseconds(lambda: apply_map(voxels, labels, augmenter.draw_map(tuple(labels.shape), rng)))

    def intensity(name: str) -> float:
        augmenter = only(name)
        return milliseconds(lambda: augmenter.change_intensities(voxels, rng))

    results = {"rotate + zoom": spatial("rotate", "zoom"), " + ".join(SPATIAL): spatial(*SPATIAL)}
    return results | {name: intensity(name) for name in INTENSITY}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patch", type=int, default=96)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    image = synthesise(rng)
    results: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        results["slices"] = reading(image, FORMS[2], Path(folder), options.patch, rng)
        for block in BLOCKS:
            cache_arrays.PATCH_BLOCK = block
            results[f"blocks {block}"] = reading(image, FORMS[3], Path(folder), options.patch, rng)
    results[f"augmenting {options.patch}^3, ms"] = augmenting(image, options.patch)
    if options.json:
        print(json.dumps(results))
    else:
        for title, figures in results.items():
            print(title)
            print("\n".join(f"{name:>32}: {value}" for name, value in figures.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
