"""Does loading and augmentation keep up with the network? Both are measured in one run, on the same machine.

    python benchmarks/data_pipeline.py [RECIPE ...] [--json]

For each recipe: slices per second out of the cache through the loader that training uses (in the training process, and
in one loader process beside it), and slices per second that the recipe's network takes in a training step. The data
are synthesised in a temporary folder. Required: the loader gives at least four times what the network takes; the exit
status is 1 where it does not.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from metseg.dataset import Batch
from metseg.inference.device import choose_compute, in_memory_format
from metseg.model import build_from_recipe
from metseg.random_fields import smooth_field
from metseg.recipe import Recipe, load_recipe
from metseg.training.data import TrainingData, choose_split, load_training_data, make_loaders, read_sources
from metseg.training.losses import build_loss, deep_supervision_loss
from metseg.training.optimizers import build_optimizer

RECIPES = ("lgg-fast", "assignment-attention-unet")
REQUIRED = 4.0
PATIENTS, SLICES, SIDE = 10, 24, 256
#: Loader and network take turns so often, and the median counts, so that a busy moment of the machine does not.
ROUNDS = 3
LOADED_BATCHES, WARM_BATCHES, TRAINED_STEPS = 40, 4, 3


def synthesise(root: Path) -> None:
    """Write patients of noisy ellipses with a bright lesion in every second slice, as colour pictures with masks."""
    rng = np.random.default_rng(0)
    row, column = np.ogrid[-1 : 1 : SIDE * 1j, -1 : 1 : SIDE * 1j]
    head = (row / 0.8) ** 2 + (column / 0.65) ** 2 < 1
    for patient, z in itertools.product(range(PATIENTS), range(SLICES)):
        folder = root / f"P{patient}"
        folder.mkdir(exist_ok=True)
        at = rng.uniform(-0.35, 0.35, 2)
        lesion = ((row - at[0]) ** 2 + (column - at[1]) ** 2 < 0.02) & (z % 2 == 1)
        channels = [head * (110 + 25 * smooth_field((SIDE, SIDE), scale_voxels=9, rng=rng)) for _ in range(3)]
        picture = np.stack([channel + 60 * lesion for channel in channels], axis=-1)
        picture += rng.normal(0, 5, picture.shape)
        Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8)).save(folder / f"P{patient}_{z}.png")
        Image.fromarray(lesion.astype(np.uint8) * 255).save(folder / f"P{patient}_{z}_mask.png")


def loaded_per_second(data: TrainingData, recipe: Recipe, workers: int) -> float:
    """Return slices per second through the training loader, its start and first batches left out."""
    train = recipe.train.model_copy(update={"workers": workers, "steps_per_epoch": WARM_BATCHES + LOADED_BATCHES})
    loader, *_ = make_loaders(data.train, data.validation, recipe.model_copy(update={"train": train}))
    batches = iter(loader)
    for _ in range(WARM_BATCHES):
        next(batches)
    begin = time.perf_counter()
    slices = sum(len(batch.labels) for batch in batches)
    # The batches that a loader process had ready at the beginning were made before it: they do not count.
    ready = min(slices - 1, loader.prefetch_factor * workers * recipe.train.batch_size if workers else 0)
    return (slices - ready) / (time.perf_counter() - begin)


def training_step(data: TrainingData, recipe: Recipe) -> Callable[[], int]:
    """Return a function that makes one training step on a fixed batch and returns the number of its slices."""
    torch.manual_seed(0)
    compute = choose_compute(precision=recipe.train.precision, channels_last=recipe.train.channels_last)
    memory_format = torch.channels_last if compute.channels_last else torch.contiguous_format
    network = in_memory_format(build_from_recipe(recipe).to(compute.device), memory_format)
    optimizer, loss = build_optimizer(recipe.train, network), build_loss(recipe.loss)
    loader, *_ = make_loaders(
        data.train, data.validation, recipe.model_copy(update={"train": recipe.train.model_copy(update={"workers": 0})})
    )
    batch: Batch = next(iter(loader))
    image = batch.image.to(compute.device).contiguous(memory_format=memory_format)
    labels = batch.labels.to(compute.device)

    def step() -> int:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(compute.device.type, torch.bfloat16, enabled=compute.bf16):
            value = deep_supervision_loss(loss, network(image), labels)
        value.backward()
        optimizer.step()
        value.item()  # waits for a graphics card
        return len(labels)

    step()
    return step


def trained_per_second(step: Callable[[], int]) -> float:
    begin = time.perf_counter()
    return sum(step() for _ in range(TRAINED_STEPS)) / (time.perf_counter() - begin)


def measure(name: str, root: Path, cache: Path) -> dict[str, float | str]:
    """Return the medians of one recipe and their ratios."""
    recipe = load_recipe(name)
    sources = read_sources(recipe, root)
    data = load_training_data(recipe, sources, choose_split(recipe, sources, None), fold=None, cache=cache, quiet=True)
    step = training_step(data, recipe)
    rounds = [
        (loaded_per_second(data, recipe, 0), loaded_per_second(data, recipe, 1), trained_per_second(step))
        for _ in range(ROUNDS)
    ]
    here, beside, network = (statistics.median(values) for values in zip(*rounds, strict=True))
    channels, x, y = data.train.largest_shape()
    return {
        "recipe": name,
        "slice": f"{x} x {y} x {channels}",
        "loaded_per_s_workers_0": round(here, 1),
        "loaded_per_s_workers_1": round(beside, 1),
        "trained_per_s": round(network, 1),
        "ratio_workers_0": round(here / network, 1),
        "ratio_workers_1": round(beside / network, 1),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipes", nargs="*", default=RECIPES, metavar="RECIPE")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root, cache = Path(folder) / "data", Path(folder) / "cache"
        root.mkdir()
        synthesise(root)
        results = [measure(name, root, cache) for name in options.recipes]
    if options.json:
        print(json.dumps(results))
    else:
        for result in results:
            print("\n".join(f"{key:>22}: {value}" for key, value in result.items()) + "\n")
        lowest = min(float(result[key]) for result in results for key in ("ratio_workers_0", "ratio_workers_1"))
        print(f"lowest ratio {lowest}: the data pipeline feeds at least {lowest} times what the network takes")
    kept = all(float(result[f"ratio_workers_{workers}"]) >= REQUIRED for result in results for workers in (0, 1))
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
