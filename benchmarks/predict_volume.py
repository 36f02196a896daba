"""A volume through metseg's predictor, against MONAI's plain sliding windows in float32, with the same weights.

Each side runs in a process of its own, so that its peak memory is its own; all in one run. Needs a quiet machine::

    python benchmarks/predict_volume.py [--model mets-sim | --fresh mets-3d] [--study FOLDER] [--mirror]
        [--window SIDE]

Without a study one is simulated, 240 x 240 x 155 voxels of 1 mm, four sequences. Plain: MONAI's own network with the
same weights, over the whole volume, as it is after the recipe's steps but for cropping, in windows of the same size.
Same windows: metseg's network in the windows that metseg chooses, float32, summed over the whole volume as a textbook
would. Memory is told twice: of the whole process, and what the prediction takes beyond the loaded program, network and
study, which are there before either side begins. Each side is set up as its users have it: metseg as the command line
is (`import_lean`, `give_back_freed_memory`), the others as Python and torch are by themselves.

Exits with 1 where the claims fail: at least three times as fast as plain, at most half its memory beyond what is
loaded, masks that agree with the same windows at Dice 0.999 and with plain ones at 0.99. A network with fresh weights
(``--fresh RECIPE``) has the speed and the memory of a trained one; its mask is noise, and agreement is shown only.
Whether all this runs is seen in a minute or two with a small network on a coarse grid::

    --fresh mets-3d --resolution-mm 4 --set train.patch_size=[32,32,32] --set model.channels=[8,8,16]
    --set "preprocess=[{name='reorient'},{name='crop_to_head',axes='all'},{name='zscore',outside='zero'}]"
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from metseg.evaluation.metrics.overlap import confusion, dice
from metseg.geometry import stepped_affine
from metseg.inference.predictor import Predictor
from metseg.inference.windows.aggregator import Aggregator
from metseg.inference.windows.window_grid import gaussian_weights, place_windows
from metseg.io import find_inputs
from metseg.labels import LABEL_SCHEMES
from metseg.measure import bounding_box
from metseg.model import build_from_recipe
from metseg.model.activation import outputs_of
from metseg.model.bundle import Bundle, load_bundle, save_bundle
from metseg.model.networks import dynunet
from metseg.model.networks.network_options import DynUnetOptions
from metseg.preprocess.pipeline import prepare
from metseg.preprocess.prepared_case import Prepared
from metseg.recipe import Recipe, load_recipe
from metseg.runtime.malloc_tuning import give_back_freed_memory
from metseg.runtime.monai_import_filter import import_lean
from metseg.runtime.system_info import machine_facts, machine_line
from metseg.volume import Case

CLAIM_FASTER, CLAIM_MEMORY, CLAIM_SAME, CLAIM_PLAIN = 3.0, 0.5, 0.999, 0.99

#: A volume of BraTS, in mm.
FIELD_MM = (240, 240, 155)

Labels = npt.NDArray[np.uint8]
#: Seconds in the network and its windows, seconds in all, mask on the study's own grid.
Outcome = tuple[float, float, Labels]


def by_metseg(case: Case, bundle: Bundle, mirror: bool) -> Outcome:
    begin = time.perf_counter()
    prediction = Predictor.from_bundle(bundle, tta=mirror)(case)
    return prediction.timings_s["predict"], time.perf_counter() - begin, prediction.labels


def by_monai(case: Case, bundle: Bundle, mirror: bool) -> Outcome:
    from monai.inferers.utils import sliding_window_inference

    begin = time.perf_counter()
    prepared = prepare(case, _uncropped(bundle.recipe))
    network = _chances(bundle, _monais(bundle), mirror)
    window, overlap = _window(bundle.recipe), bundle.recipe.predict.window_overlap
    middle = time.perf_counter()
    with torch.inference_mode():
        image = torch.from_numpy(prepared.image)[None]
        chances = sliding_window_inference(image, window, 1, network, overlap=overlap, mode="gaussian")
    seconds = time.perf_counter() - middle
    return seconds, time.perf_counter() - begin, _restored(bundle, prepared, torch.as_tensor(chances)[0])


def by_the_same_windows(case: Case, bundle: Bundle, mirror: bool) -> Outcome:
    begin = time.perf_counter()
    prepared = prepare(case, bundle.recipe)
    network = _chances(bundle, bundle.networks[0], mirror)
    head = np.ones(prepared.grid, bool) if prepared.head is None else prepared.head
    sides = tuple(min(side, size) for side, size in zip(_window(bundle.recipe), head.shape, strict=True))
    weights = gaussian_weights(sides, torch.device("cpu"))
    middle = time.perf_counter()
    with torch.inference_mode():
        image = torch.from_numpy(prepared.image)[None]
        sums = torch.zeros((bundle.networks[0].out_channels, *head.shape))
        total = torch.zeros(head.shape)
        for place in place_windows(head, sides, bundle.recipe.predict.window_overlap):
            sums[(slice(None), *place)] += weights * network(image[(slice(None), slice(None), *place)])[0]
            total[place] += weights
        chances = sums / total.clamp_min(torch.finfo().tiny)
    seconds = time.perf_counter() - middle
    return seconds, time.perf_counter() - begin, _restored(bundle, prepared, chances)


SIDES: dict[str, Callable[[Case, Bundle, bool], Outcome]] = {
    "metseg": by_metseg,
    "plain": by_monai,
    "same windows": by_the_same_windows,
}


def _uncropped(recipe: Recipe) -> Recipe:
    steps = tuple(step for step in recipe.preprocess if step.name != "crop_to_head")
    return recipe.model_copy(update={"preprocess": steps})


def _with_window(bundle: Bundle, side: int | None) -> Bundle:
    if side is None:
        return bundle
    predict = bundle.recipe.predict.model_copy(update={"window": (side,) * 3})
    return replace(bundle, recipe=bundle.recipe.model_copy(update={"predict": predict}))


def _window(recipe: Recipe) -> tuple[int, ...]:
    return recipe.predict.window or recipe.train.patch_size


def _monais(bundle: Bundle) -> nn.Module:
    """Return MONAI's own network with a bundle's weights; of another architecture than DynUNet, the bundle's."""
    network, model = bundle.networks[0], bundle.recipe.model
    if model.name != "dynunet":
        return network
    theirs = dynunet.monai_module(
        model.parse(DynUnetOptions),
        in_channels=network.in_channels,
        out_channels=network.out_channels,
        dimensions=network.dimensions,
    )
    loaded = theirs.load_state_dict(network.body.state_dict(), strict=False)
    # MONAI has its blocks a second time, under these names.
    assert all(key.startswith("skip_layers.") for key in loaded.missing_keys)
    assert not loaded.unexpected_keys
    return theirs


def _chances(bundle: Bundle, network: nn.Module, mirror: bool) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return the probabilities of a patch in float32, contiguous; with its mirror image where that is asked for."""
    network, outputs = network.eval(), outputs_of(bundle.recipe)

    def once(patch: torch.Tensor) -> torch.Tensor:
        return outputs.probabilities(torch.as_tensor(network(patch)))

    return (lambda patch: (once(patch) + once(patch.flip(2)).flip(2)) / 2) if mirror else once


def _restored(bundle: Bundle, prepared: Prepared, chances: torch.Tensor) -> Labels:
    recipe = bundle.recipe
    gathered = Aggregator(
        prepared.grid,
        channels=chances.shape[0],
        outputs=outputs_of(recipe),
        records=prepared.records,
        threshold=recipe.predict.threshold,
        dtype=np.float16,
    )
    gathered.put(chances, axis=0, start=0)
    return LABEL_SCHEMES[recipe.data.labels].from_indices(gathered.restored()[0])


def measured(side: str, study: str, model: str, window: int | None, mirror: bool, answer: Any) -> None:
    """Put a side's outcome and the memory that it took beyond the study and the network into a queue."""
    if side == "metseg":
        import_lean()
        give_back_freed_memory()
    bundle = _with_window(load_bundle(model), window)
    case = find_inputs(study, bundle.recipe.data)[0].load()
    before = held_gib("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak is that of what follows
    seconds, total, labels = SIDES[side](case, bundle, mirror)
    answer.put((seconds, total, before, held_gib("VmHWM"), labels))


def held_gib(kind: str) -> float:
    """Return the memory that this process has now (``VmRSS``), or had at most (``VmHWM``).

    Not ``ru_maxrss``, which a new process inherits from the one that started it.
    """
    status = Path("/proc/self/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith(f"{kind}:"))
    return int(line.split()[1]) / 2**20


def simulated(folder: Path, resolution_mm: float) -> Path:
    """Return a simulated patient's study, on a grid as large as that of BraTS."""
    from metseg.simulation import PhantomOptions, simulate_dataset

    phantom = PhantomOptions(skull=False, resolution_mm=resolution_mm)
    simulate_dataset(folder, patients=1, seed=77, phantom=phantom, workers=1, quiet=True)
    study = next(path for path in sorted(folder.iterdir()) if path.is_dir())
    (t1c,) = study.glob("*-t1c.nii.gz")
    box = bounding_box(np.asarray(nib.load(t1c).dataobj) != 0)
    shape = [round(side / resolution_mm) for side in FIELD_MM]
    first = [(side.start + side.stop - size) // 2 for side, size in zip(box, shape, strict=True)]
    for path in study.glob("*.nii.gz"):
        _cut(path, first, shape)
    return study


def _cut(path: Path, first: list[int], shape: list[int]) -> None:
    """Replace a volume by a window of it that begins at a voxel, which may lie outside; there it is 0."""
    image = nib.load(path)
    data = np.asarray(image.dataobj)
    window = np.zeros(shape, data.dtype)
    there = tuple(slice(max(0, at), min(at + n, m)) for at, n, m in zip(first, shape, data.shape, strict=True))
    here = tuple(slice(side.start - at, side.stop - at) for side, at in zip(there, first, strict=True))
    window[here] = data[there]
    nib.save(nib.Nifti1Image(window, stepped_affine(image.affine, start=first)), path)


def fresh(folder: Path, recipe: str, changes: list[str]) -> Path:
    """Return a bundle of a recipe's network with fresh weights."""
    described = load_recipe(recipe, changes=changes)
    torch.manual_seed(0)
    network = build_from_recipe(described, initial_weights=False)
    return save_bundle(folder, networks=[network], recipe=described, card="Fresh weights.\n", metrics={})


def agreement(one: Labels, other: Labels) -> float:
    return dice(confusion(one > 0, other > 0))


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="mets-sim")
    parser.add_argument("--fresh", metavar="RECIPE", help="the network of a recipe with fresh weights, instead")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="of the recipe; with --fresh")
    parser.add_argument("--study", type=Path)
    parser.add_argument("--resolution-mm", type=float, default=1.0, help="of the simulated study")
    parser.add_argument("--window", type=int, help="side of the windows, on all sides; else as the recipe says")
    parser.add_argument("--mirror", action="store_true", help="with mirror images, on all sides")
    arguments = parser.parse_args()
    if arguments.set and not arguments.fresh:
        parser.error("--set changes the recipe of --fresh; a bundle keeps its own")
    return arguments


def outcomes_of(study: Path, model: str, window: int | None, mirror: bool) -> dict[str, Any]:
    """Return what every side puts into its queue, each from a process of its own."""
    context = multiprocessing.get_context("spawn")
    outcomes = {}
    for side in SIDES:
        answer = context.Queue()
        process = context.Process(target=measured, args=(side, str(study), model, window, mirror, answer))
        process.start()
        while process.is_alive() and answer.empty():
            process.join(timeout=0.2)  # a side that fails puts nothing
        if answer.empty():
            sys.exit(f"{side}: failed")
        outcomes[side] = answer.get()
        process.join()
        seconds, total, before, after, labels = outcomes[side]
        print(
            f"{side:13s} {seconds:7.1f} s in windows, {total:7.1f} s in all; peak {after:.2f} GiB, {before:.2f} of"
            f" them before; {int((labels > 0).sum())} lesion voxels of {'x'.join(map(str, labels.shape))}",
            flush=True,
        )
    return outcomes


def main() -> int:
    arguments = options()
    print(machine_line(machine_facts()))
    with tempfile.TemporaryDirectory() as folder:
        study = arguments.study or simulated(Path(folder) / "study", arguments.resolution_mm)
        new = arguments.fresh and fresh(Path(folder) / "fresh", arguments.fresh, arguments.set)
        outcomes = outcomes_of(study, str(new or arguments.model), arguments.window, arguments.mirror)
    ours, plain, same = (outcomes[side] for side in SIDES)
    faster, memory = plain[1] / ours[1], (ours[3] - ours[2]) / (plain[3] - plain[2])
    near_same, near_plain = agreement(ours[4], same[4]), agreement(ours[4], plain[4])
    print(f"{faster:.2f} times as fast as plain, {plain[0] / ours[0]:.2f} in the windows")
    print(f"memory: {memory:.2f} of plain's beyond what is loaded, {ours[3] / plain[3]:.2f} of the whole process's")
    print(f"Dice with the same windows {near_same:.5f}, with plain ones {near_plain:.5f}")
    agrees = bool(arguments.fresh) or (near_same >= CLAIM_SAME and near_plain >= CLAIM_PLAIN)
    return 0 if faster >= CLAIM_FASTER and memory <= CLAIM_MEMORY and agrees else 1


if __name__ == "__main__":
    sys.exit(main())
