"""Which averages can give the figures of Table 4 of Kaur and Singh 2024? Computed on predictions.

    python benchmarks/on_data/published_averages.py DATA --comparison COMPARISON
    python benchmarks/on_data/published_averages.py DATA --predictions PREDICTIONS [--labels brats-met-2023]

DATA has a mask per case (any layout that metseg reads). COMPARISON is the folder of ``metseg compare``: its networks
predict their training and validation patients, the two parts of the table. PREDICTIONS has ``<case>-seg.nii.gz``, as
``metseg predict --format mask`` writes them. Prints each figure under every reading and of each class, and in which of
them the claimed values occur.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

import metseg
from metseg.evaluation.metrics.averages import AVERAGED, class_averages
from metseg.evaluation.metrics.overlap import joint_counts
from metseg.io.case_discovery import find_cases
from metseg.io.splits import Split
from metseg.io.volumes.nifti import read_mask_nifti
from metseg.labels import LABEL_SCHEMES, check_labels

#: Accuracy, Dice and IoU of Table 4, training row of the U-Net; the others of Section 6.5.2.
CLAIMED = {
    "accuracy": 0.9975,
    "dice": 0.6449,
    "iou": 0.9681,
    "precision": 0.9975,
    "sensitivity": 0.9970,
    "specificity": 0.9990,
}
TOLERANCE = 0.01


#: Parts of Table 4, by their name in a split.
PARTS = {"train": "training", "validation": "validation"}


def truncated_counts(lesion: np.ndarray, probability: np.ndarray) -> np.ndarray:
    """Return the (2, 2) counts of Keras' ``MeanIoU`` where it is given one-hot truth and probabilities by mistake.

    It compares the values 0 and 1 of all channels (here background and any lesion), and truncates every probability
    below 1 to 0.

    Args:
        lesion: (X, Y, Z) bool, the truth.
        probability: (X, Y, Z) of lesion.
    """
    ones = np.where(lesion, probability >= 1, probability <= 0)  # the channel that is 1 in the truth
    others = np.where(lesion, probability <= 0, probability >= 1)
    right, wrong = int(ones.sum()), int(others.sum())
    return np.array([[lesion.size - wrong, wrong], [lesion.size - right, right]], np.int64)


def truncated_line(title: str, counts: np.ndarray) -> str:
    """Return what ``MeanIoU`` would say of counts from `truncated_counts`, as a line of Markdown."""
    same = np.diag(counts)
    mean = float(np.mean(same / (counts.sum(axis=0) + counts.sum(axis=1) - same)))
    share = counts[1, 1] / counts[1].sum()
    return (
        f"- {title}: `MeanIoU` of one-hot truth and probabilities, background and any lesion: {mean:.4f}; {share:.2%} "
        "of the voxels have a right probability of exactly 1"
    )


def tables_of_run(run: Path, data: str, labels: str) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return the joint counts of all voxels of the training and of the validation patients of a run.

    The second value is the same for the counts of `truncated_counts`. Probabilities of volumes are stored in half
    precision, in which 0 means below 3e-8.
    """
    model, split, scheme = metseg.load_model(run / "bundle"), Split.load(run / "split.json"), LABEL_SCHEMES[labels]
    size = len(scheme.values)
    tables = {title: np.zeros((size, size), np.int64) for title in PARTS.values()}
    truncated = {title: np.zeros((2, 2), np.int64) for title in PARTS.values()}
    for source in find_cases(data, labels=labels):
        title = next((PARTS[part] for part in PARTS if source.patient in getattr(split, part)), None)
        if title is None:
            continue
        prediction = model(source.load())
        assert prediction.truth is not None
        truth = np.asarray(prediction.truth.data, np.uint8)
        tables[title] += joint_counts(truth, prediction.labels, scheme)
        truncated[title] += truncated_counts(truth > 0, prediction.probability)
    return tables, truncated


def joint_tables(predictions: Path, data: str, labels: str) -> dict[str, np.ndarray]:
    """Return the joint counts of all voxels, and of the voxels of slices with lesion in the truth."""
    scheme = LABEL_SCHEMES[labels]
    size = len(scheme.values)
    tables = {name: np.zeros((size, size), np.int64) for name in ("all slices", "slices with lesion")}
    for source in find_cases(data, labels=labels):
        truth = source.load().labels
        path = predictions / f"{source.case_id}-seg.nii.gz"
        if truth is None or not path.is_file():
            continue
        found = check_labels(read_mask_nifti(path).data, scheme, where=path)
        true = np.asarray(truth.data, np.uint8)
        shown = true.any(axis=(0, 1))
        tables["all slices"] += joint_counts(true, found, scheme)
        if shown.any():
            tables["slices with lesion"] += joint_counts(true[:, :, shown], found[:, :, shown], scheme)
    return tables


def report(tables: dict[str, np.ndarray], labels: str) -> str:
    """Return the figures as Markdown, with the claimed values and what comes near them."""
    lines = []
    for name, joint in tables.items():
        found = class_averages(joint, LABEL_SCHEMES[labels])
        share = 1 - joint[0].sum() / joint.sum()
        lines += [f"## {name}: {joint.sum():,} voxels, {share:.4%} lesion", "", f"| reading | {' | '.join(AVERAGED)} |"]
        lines.append("|" + "---|" * (len(AVERAGED) + 1))
        rows = {"claimed (training)": CLAIMED, **found.readings, **{f"class {k}": v for k, v in found.classes.items()}}
        lines += [f"| {title} | {' | '.join(f'{row[one]:.4f}' for one in AVERAGED)} |" for title, row in rows.items()]
        lines.append("")
        for one, value in CLAIMED.items():
            near = found.near(one, value, tolerance=TOLERANCE)
            lines.append(f"- {one} {value}: within {TOLERANCE} in {', '.join(near) or 'no reading'}")
        lines.append("")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    given = parser.add_mutually_exclusive_group(required=True)
    given.add_argument("--comparison", type=Path)
    given.add_argument("--predictions", type=Path)
    parser.add_argument("--labels", default="brats-met-2023")
    options = parser.parse_args()
    if options.predictions is not None:
        print(report(joint_tables(options.predictions, options.data, options.labels), options.labels))
        return
    for run in sorted(options.comparison.glob("*/run")):
        tables, truncated = tables_of_run(run, options.data, options.labels)
        named = {f"{run.parent.name}, {title} patients": joint for title, joint in tables.items()}
        print(report(named, options.labels))
        print("\n".join(truncated_line(title, counts) for title, counts in truncated.items()), "\n")


if __name__ == "__main__":
    main()
