"""Prepare the pictures and the four splits on which the recipe `t1c-slices` is trained.

    python benchmarks/on_data/t1c_slices.py CHENG CHENG.csv OPEN_MS OUT

CHENG holds `images` and `masks` of Cheng et al. 2015 (figshare 1512427, CC BY 4.0), CHENG.csv the columns slice, tumour
and fold. OPEN_MS (CC BY) holds NIfTI scans with skull and without tumour, `raw/patientNN/*.nii.gz`; up to fifteen
slices of each become pictures with empty masks. OUT gets, for each test fold K, the pictures (`foldK/images`,
`foldK/masks`; links), their table `foldK/pictures.csv`, and the split `foldK.json`. Then:

    metseg train t1c-slices --data OUT/fold1 --split OUT/fold1.json --out RUN

The patients of Cheng et al. are not named, and only their folds divide them. Slices of one patient have neighbouring
numbers, so 60 consecutive slices of each tumour type in the next fold validate, and the 12 slices after them are left
out.
"""

from __future__ import annotations

import argparse
import csv
import random
from collections.abc import Iterator
from pathlib import Path

import nibabel as nib
import numpy as np
import numpy.typing as npt
from PIL import Image

from metseg.io.splits import Split

TUMOURS, FOLDS = ("meningioma", "glioma", "pituitary"), (1, 2, 3, 4)
VALIDATION, MARGIN = 60, 12
SLICES_PER_SCAN, SIDE = 15, 512


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("cheng", "table", "open_ms", "out"):
        parser.add_argument(name, type=Path)
    options = parser.parse_args()
    with options.table.open(encoding="utf-8") as file:
        tumours = {row["slice"]: (row["tumour"], int(row["fold"])) for row in csv.DictReader(file)}
    healthy = write_healthy(options.open_ms, options.out / "healthy")
    for fold in FOLDS:
        split = split_of(fold, tumours, healthy)
        for unit in (*split.train, *split.validation, *split.test):
            source = options.out / "healthy" if unit in healthy else options.cheng
            for kind in ("images", "masks"):
                link = options.out / f"fold{fold}" / kind / f"{unit}.png"
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to((source / kind / link.name).resolve())
        split.save(options.out / f"fold{fold}.json")
        write_table(options.out / f"fold{fold}" / "pictures.csv", split)
        print(f"fold {fold}: {len(split.train)} train, {len(split.validation)} validation, {len(split.test)} test")


def split_of(fold: int, tumours: dict[str, tuple[str, int]], healthy: dict[str, int]) -> Split:
    """Return the split that tests one fold; the next fold gives the validation slices."""
    following = fold % len(FOLDS) + 1
    validation, unused = [], []
    for tumour in TUMOURS:
        run = sorted((name for name in tumours if tumours[name] == (tumour, following)), key=int)
        validation += run[:VALIDATION]
        unused += run[VALIDATION : VALIDATION + MARGIN]
    scans = [name for name in healthy if healthy[name] == following]
    validation += scans[: 2 * SLICES_PER_SCAN]
    unused += scans[2 * SLICES_PER_SCAN : 3 * SLICES_PER_SCAN]
    folds = {name: number for name, (_, number) in tumours.items()} | healthy
    test = [name for name in folds if folds[name] == fold]
    train = sorted(set(folds) - {*validation, *unused, *test})
    return Split(train=tuple(train), validation=tuple(sorted(validation)), test=tuple(sorted(test)))


def write_table(path: Path, split: Split) -> None:
    """Write the table of pictures that the recipe names: each is a patient of its own, as patients are not known."""
    units = sorted((*split.train, *split.validation, *split.test))
    rows = ["file,patient", *(f"{unit}.png,{unit}" for unit in units)]
    path.write_text("\n".join(rows) + "\n", "utf-8")


def write_healthy(scans: Path, out: Path) -> dict[str, int]:
    """Write pictures without tumour, and return the fold of each; a patient is in one fold."""
    paths = sorted(path for path in scans.rglob("raw/*/*.nii.gz") if "gt" not in path.name and "mask" not in path.name)
    patients = sorted({path.parent.name for path in paths})
    folds = {patient: FOLDS[index % len(FOLDS)] for index, patient in enumerate(patients)}
    draw, written = random.Random(1), {}
    for kind in ("images", "masks"):
        (out / kind).mkdir(parents=True, exist_ok=True)
    for path in paths:
        for number, picture in enumerate(pictures_of(path, draw)):
            name = f"ms-{path.parent.name}-{path.name.split('.')[0].replace('_', '-')}-{number}"
            picture.save(out / "images" / f"{name}.png")
            Image.new("L", picture.size).save(out / "masks" / f"{name}.png")
            written[name] = folds[path.parent.name]
    return written


def pictures_of(path: Path, draw: random.Random) -> Iterator[Image.Image]:
    """Yield slices of a scan as square pictures: of three planes, or of the acquired one where voxels are long."""
    image = nib.as_closest_canonical(nib.load(path))
    voxels, sizes = np.asanyarray(image.dataobj, dtype=np.float32), image.header.get_zooms()[:3]
    for number in range(SLICES_PER_SCAN):
        axis = number % 3
        if max(size for other, size in enumerate(sizes) if other != axis) > 1.6:
            axis = int(np.argmax(sizes))
        plane = np.rot90(voxels.take(int(voxels.shape[axis] * draw.uniform(0.12, 0.88)), axis))
        low, high = np.percentile(plane, [0.5, 99.5])
        grey = np.clip((plane - low) / max(high - low, 1e-6), 0, 1)
        if (grey > 0.12).mean() >= 0.1:  # a plane through air has no head
            yield square(grey, *_edges(sizes, axis))


def _edges(sizes: tuple[float, ...], axis: int) -> tuple[float, float]:
    """Return the height and width in mm of a pixel of a rotated plane."""
    first, second = (size for other, size in enumerate(sizes) if other != axis)
    return second, first


def square(grey: npt.NDArray[np.float32], height: float, width: float) -> Image.Image:
    """Return a plane as a square picture with square pixels, in the middle of a black one."""
    rows, columns = grey.shape
    scale = SIDE / max(rows * height, columns * width)
    shown = Image.fromarray((grey * 255).astype(np.uint8))
    size = max(1, round(columns * width * scale)), max(1, round(rows * height * scale))
    shown = shown.resize(size, Image.Resampling.BILINEAR)
    canvas = Image.new("L", (SIDE, SIDE))
    canvas.paste(shown, ((SIDE - shown.width) // 2, (SIDE - shown.height) // 2))
    return canvas


if __name__ == "__main__":
    main()
