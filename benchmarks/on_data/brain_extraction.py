"""How well and how fast brains are found: metseg's network, and deepbet where it is installed.

    python benchmarks/on_data/brain_extraction.py FOLDER [--each N]

FOLDER holds NIfTI images of heads, at any depth. An image is compared with its brain mask: in nnU-Net's layout that of
``labelsTr``, else the one file of its folder called ``..._brain_mask``. A mask on another image's grid is moved with
that image by rigid registration; what no mask fits is compared with deepbet alone. Prints for each image Dice, volume
and seconds, and the means in the end.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from metseg.geometry import same_grid
from metseg.inference.brain.brain_extraction import Brain, extract_brain
from metseg.inference.brain.deepbet_program import installed_version
from metseg.io.mask_names import plain_stem
from metseg.io.sequence_names import is_brain_mask
from metseg.io.volumes.nifti import read_volume
from metseg.preprocess.head_mask import head_mask
from metseg.preprocess.interpolation import onto_grid
from metseg.preprocess.registration import register_rigid
from metseg.volume import Volume

Mask = npt.NDArray[np.bool_]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--each", type=int, default=1, metavar="N", help="every N-th image only")
    options = parser.parse_args()
    methods = ["network", *(["deepbet"] if installed_version() else [])]
    figures: dict[str, list[float]] = defaultdict(list)
    for path in sorted(_images(options.folder))[:: options.each]:
        image, _ = read_volume(path)
        truth = _truth(path, image)
        found = {}
        for method in methods:
            begin = time.perf_counter(), time.process_time()
            found[method] = extract_brain(image, method=method)
            seconds = time.perf_counter() - begin[0], time.process_time() - begin[1]
            figures[f"{method}: seconds"].append(seconds[0])
            spent = f"{seconds[0]:.1f} s ({seconds[1]:.1f} s of a core)"
            print(f"{_short(path)}: {method} {_line(found[method], truth)}, {spent}", flush=True)
            if truth is not None:
                figures[f"{method}: Dice"].append(dice(found[method].mask, truth))
        if len(found) == 2:
            agreement = dice(found["network"].mask, found["deepbet"].mask)
            figures["agreement"].append(agreement)
            print(f"{_short(path)}: agreement {agreement:.3f}")
    for name, values in sorted(figures.items()):
        print(f"{name}: mean {np.mean(values):.3f}, from {min(values):.3f} to {max(values):.3f}, {len(values)} images")


def dice(one: Mask, two: Mask) -> float:
    return float(2 * (one & two).sum() / max(1, one.sum() + two.sum()))


def _line(brain: Brain, truth: Mask | None) -> str:
    score = "" if truth is None else f"Dice {dice(brain.mask, truth):.3f}, "
    return "; ".join([f"{score}{brain.volume_ml:.0f} mL", *brain.warnings])


def _short(path: Path) -> str:
    """Return the end of a long name: sequences stand there."""
    return path.name.removesuffix(".nii.gz").removesuffix(".nii")[-40:]


def _images(folder: Path) -> Iterator[Path]:
    """Yield the images of heads below a folder; no masks."""
    for path in folder.rglob("*.nii*"):
        stem = path.name.removesuffix(".gz").removesuffix(".nii")
        if path.parent.name not in ("labelsTr", "labelsTs") and not is_brain_mask(stem) and plain_stem(stem) is None:
            yield path


def _truth(path: Path, image: Volume) -> Mask | None:
    """Return the brain mask of an image on its own grid; None where there is none."""
    labels = path.parent.with_name(path.parent.name.replace("images", "labels"))
    beside = labels / path.name.replace("_0000.nii", ".nii")
    if path.parent.name.startswith("images") and beside.is_file():
        return np.asarray(read_volume(beside)[0].data) > 0
    masks = [file for file in path.parent.glob("*.nii*") if is_brain_mask(file.name.partition(".nii")[0])]
    if len(masks) != 1:
        return None
    mask, _ = read_volume(masks[0])
    if same_grid(mask.grid, image.grid):
        return np.asarray(mask.data) > 0
    return _moved(mask, image, sorted(_images(path.parent)))


def _moved(mask: Volume, image: Volume, others: Sequence[Path]) -> Mask | None:
    """Return the mask of another image of the study, which is registered to this one."""
    owners = (volume for other in others if same_grid((volume := read_volume(other)[0]).grid, mask.grid))
    owner = next(owners, None)
    if owner is None:
        return None
    brain = np.asarray(mask.data) > 0
    heads = {"fixed_head": head_mask(owner.data[None]), "moving_head": head_mask(image.data[None])}
    world = register_rigid(owner, image, **heads, fixed_brain=brain)
    return onto_grid(Volume(brain.astype(np.uint8), mask.affine), image.grid, world=np.linalg.inv(world)) > 0.5


if __name__ == "__main__":
    main()
