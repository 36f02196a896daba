"""Prepare the studies and the five splits on which the recipe `mets-brain` is trained.

    python benchmarks/on_data/brain_volumes.py BRATS_GLI BRATS_2015 OPEN_MS OUT

BRATS_GLI holds folders of BraTS 2017 to 2021 with T1, T1c, T2, FLAIR and masks; BRATS_2015 folders of BraTS 2013/2015
with z-scored FLAIR and T1c; OPEN_MS the scans of Lesjak et al. 2018; those with contrast agent are used.
OUT gets `real` (every patient, named as in BraTS-METS, classes 1 NETC, 2 SNFH, 3 ET), `inserted` (metastases simulated
in these scans), `phantoms`, and for each fold K `foldK` (links) and `foldK.json`. Then, for each fold::

    metseg train mets-brain --data OUT/foldK --split OUT/foldK.json --out runs/mets-brain/foldK \\
        --set 'data.licence=BraTS glioma patients: research, non-commercial; open_ms: CC BY'

Studies simulated in a scan belong to its patient: those of a test patient are in no training.
"""

from __future__ import annotations

import argparse
import csv
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import nibabel as nib
import numpy as np
import numpy.typing as npt

from metseg.io.splits import Split

Image = npt.NDArray[np.float32]

BRATS = {"t1": "t1n", "t1ce": "t1c", "t2": "t2w", "flair": "t2f"}
BRATS_2015 = {"T1c": "t1c", "Flair": "t2f"}
OPEN_MS = {"T1POST": "t1c", "T1": "t1n", "T2": "t2w", "FLAIR": "t2f"}
#: Classes of BraTS 2013/2015 (1 necrosis, 2 oedema, 3 non-enhancing, 4 enhancing) and of BraTS 2017 to 2021.
CLASSES_2015, CLASSES_2021 = {1: 1, 2: 2, 3: 1, 4: 3}, {1: 1, 2: 2, 4: 3}
#: Test and validation patients of each fold, by the numbers that `write_real` gives.
FOLDS: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...] = (
    ((6, 9, 16, 17, 103, 201), (101, 104)),
    ((1, 5, 10, 13, 202), (11, 103)),
    ((4, 8, 14, 104, 203), (16, 102)),
    ((2, 3, 12, 102), (4, 101)),
    ((7, 11, 15, 101), (5, 9)),
)
PHANTOM_FIRST = 80_000
SEEDS = {"inserted": 7, "phantoms": 2031}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("brats_gli", "brats_2015", "open_ms", "out"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--per-host", type=int, default=5, help="studies with simulated metastases of each scan")
    parser.add_argument("--phantoms", type=int, default=16, help="patients simulated whole")
    options = parser.parse_args()
    write_real(options.brats_gli, options.brats_2015, options.open_ms, options.out / "real")
    simulate(options.out, options.per_host, options.phantoms)
    hosts = studies_of_hosts(options.out / "inserted")
    for number, (test, validation) in enumerate(FOLDS):
        split = link_fold(
            options.out, number, {name_of(one) for one in test}, {name_of(one) for one in validation}, hosts
        )
        print(f"fold {number}: {len(split.train)} train, {len(split.validation)} validation, {len(split.test)} test")


def name_of(number: int) -> str:
    return f"BraTS-MET-{90_000 + number}"


def write_real(brats_gli: Path, brats_2015: Path, open_ms: Path, out: Path) -> None:
    """Write every real patient: from 1 those of `brats_gli`, from 101 of `brats_2015`, from 201 of `open_ms`."""
    for number, folder in enumerate(sorted(brats_gli.iterdir()), start=1):
        case = new_case(out, number)
        for name, sequence in BRATS.items():
            shutil.copy(folder / f"{folder.name}_{name}.nii.gz", path_of(case, sequence))
        write_mask(nib.load(folder / f"{folder.name}_seg.nii.gz"), case, CLASSES_2021)
    for number, folder in enumerate(sorted(brats_2015.iterdir()), start=101):
        case, brain = new_case(out, number), nib.load(folder / "brainmask.nii.gz").get_fdata() > 0.5
        for name, sequence in BRATS_2015.items():
            image = nib.load(folder / f"{name}_subtrMeanDivStd.nii.gz")
            values = image.get_fdata(dtype=np.float32)
            # Z-scores are negative, and what is 0 or less counts as air.
            positive = np.where(brain, 100 * (values - values[brain].min() + 1), 0).astype(np.float32)
            nib.save(nib.Nifti1Image(positive, image.affine), path_of(case, sequence))
        write_mask(nib.load(folder / "OTMultiClass.nii.gz"), case, CLASSES_2015)
    enhanced = sorted({path.parent for path in open_ms.rglob("T1POST*MNI.nii.gz")})
    for number, folder in enumerate(enhanced, start=201):
        case = new_case(out, number)
        for name, sequence in OPEN_MS.items():
            image = nib.load(next(folder.glob(f"{name}_N4*MNI.nii.gz")))
            scaled = in_int16(np.asarray(image.dataobj, dtype=np.float32))
            nib.save(nib.Nifti1Image(scaled, image.affine), path_of(case, sequence))
        nib.save(nib.Nifti1Image(np.zeros(image.shape, np.uint8), image.affine), path_of(case, "seg"))


def new_case(out: Path, number: int) -> Path:
    case = out / f"{name_of(number)}-000"
    case.mkdir(parents=True)
    return case


def path_of(case: Path, kind: str) -> Path:
    return case / f"{case.name}-{kind}.nii.gz"


def write_mask(mask: nib.Nifti1Image, case: Path, classes: Mapping[int, int]) -> None:
    """Write a mask in the classes of BraTS-METS."""
    table = np.zeros(256, np.uint8)
    table[list(classes)] = list(classes.values())
    labels = table[np.rint(np.asarray(mask.dataobj)).astype(np.uint8)]
    nib.save(nib.Nifti1Image(labels, mask.affine), path_of(case, "seg"))


def in_int16(values: Image) -> npt.NDArray[np.int16]:
    scaled = values * 2000 / np.percentile(values[values > 0], 99.5)
    return np.clip(np.rint(scaled), 0, np.iinfo(np.int16).max).astype(np.int16)


def simulate(out: Path, per_host: int, phantoms: int) -> None:
    """Run metseg's simulations; studies that exist are kept."""
    metseg = [sys.executable, "-m", "metseg"]
    inserted = ["simulate-lesions", out / "inserted", "--scans", out / "real", "--per-host", per_host, "--resume"]
    subprocess.run([*map(str, [*metseg, *inserted, "--seed", SEEDS["inserted"]])], check=True)
    if not (out / "phantoms").exists():
        sizes = ("scanners=many", "diameter_median_mm=8", "diameter_log_std=0.9", "diameter_max_mm=45")
        settings = [word for size in sizes for word in ("--set", size)]
        made = ["simulate", out / "phantoms", "--patients", phantoms, "--no-skull", "--seed", SEEDS["phantoms"]]
        subprocess.run([*map(str, [*metseg, *made, *settings])], check=True)


def studies_of_hosts(inserted: Path) -> dict[str, list[Path]]:
    """Return the simulated studies of each patient."""
    with (inserted / "lesions.csv").open(encoding="utf-8") as file:
        hosts = {row["case"]: row["host"].rsplit("-", 1)[0] for row in csv.DictReader(file)}
    found: dict[str, list[Path]] = {}
    for case, patient in sorted(hosts.items()):
        found.setdefault(patient, []).append(inserted / case)
    return found


def link_fold(
    out: Path, number: int, test: set[str], validation: set[str], hosts: Mapping[str, Sequence[Path]]
) -> Split:
    """Link the studies of a fold, one simulated study of each validation patient, and write its split."""
    data = out / f"fold{number}"
    patients = {path.name.rsplit("-", 1)[0]: path for path in sorted((out / "real").iterdir())}
    train = sorted(set(patients) - test - validation)
    for source, case in named_studies(patients, train, validation, hosts):
        link(source, data / case)
    phantoms = []
    for place, source in enumerate(sorted(path for path in (out / "phantoms").iterdir() if path.is_dir())):
        phantoms.append(f"BraTS-MET-{PHANTOM_FIRST + place}")
        link(source, data / f"{phantoms[-1]}-000")
    split = Split(train=(*phantoms, *train), validation=tuple(sorted(validation)), test=tuple(sorted(test)))
    split.save(out / f"fold{number}.json")
    return split


def named_studies(
    patients: Mapping[str, Path], train: Sequence[str], validation: set[str], hosts: Mapping[str, Sequence[Path]]
) -> Iterator[tuple[Path, str]]:
    """Yield each study and its name: the real one of a patient is 000, simulated ones are 101 and on."""
    for patient, folder in patients.items():
        yield folder, f"{patient}-000"
        studies = hosts.get(patient, [])
        seen = studies if patient in train else studies[:1] if patient in validation else []
        yield from ((study, f"{patient}-{place}") for place, study in enumerate(seen, start=101))


def link(source: Path, folder: Path) -> None:
    folder.mkdir(parents=True)
    for path in source.glob("*.nii.gz"):
        (folder / path.name.replace(source.name, folder.name)).symlink_to(path.resolve())


if __name__ == "__main__":
    main()
