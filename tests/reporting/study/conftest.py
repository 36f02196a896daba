"""A study whose figures can be worked out by hand: two boxes in an ellipsoid, voxels of 4 x 4 x 5 mm."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from metseg.bundle_folder import checksums
from metseg.recipe import parse_recipe

SHAPE = (40, 48, 36)

#: The x axis runs to the patient's left.
AFFINE = np.array([[-4.0, 0, 0, 80], [0, 4, 0, -100], [0, 0, 5, -59], [0, 0, 0, 1]])

#: 4 x 3 x 3 voxels of 80 mm3; 16 x 12 x 15 mm has the diagonal 25 mm, its face 20 mm; 40 mm right of the middle.
LARGE = {
    "id": 1,
    "label": "lesion",
    "voxels": 36,
    "voxels_by_label": {"lesion": 36},
    "volume_ml": 2.88,
    "longest_diameter_mm": 25.0,
    "longest_axial_diameter_mm": 20.0,
    "centre_voxel": [9.5, 21.0, 17.0],
    "centre_mm": [42.0, -16.0, 26.0],
    "confidence": 0.8731,
    "slice_index": None,
}

#: One voxel: its diagonal is the root of 16 + 16 + 25, that of its face the root of 32.
SMALL = {
    "id": 2,
    "label": "lesion",
    "voxels": 1,
    "voxels_by_label": {"lesion": 1},
    "volume_ml": 0.08,
    "longest_diameter_mm": 7.5498,
    "longest_axial_diameter_mm": 5.6569,
    "centre_voxel": [28.0, 30.0, 20.0],
    "centre_mm": [-32.0, 20.0, 41.0],
    "confidence": 0.9999,
    "slice_index": None,
}

STEPS = [
    {"step": "reorient", "order": [0, 1, 2], "flipped": [True, False, False]},
    {"step": "zscore", "scope": "case", "region": "head", "outside": "keep"},
]


class Study(NamedTuple):
    """A volume with its mask."""

    image: np.ndarray
    labels: np.ndarray
    affine: np.ndarray


@pytest.fixture(scope="session")
def study() -> Study:
    """Return the study that `volume_document` describes."""
    x, y, z = np.indices(SHAPE)
    inside = ((x - 19.5) / 17) ** 2 + ((y - 23.5) / 21) ** 2 + ((z - 17.5) / 15) ** 2 < 1
    image = np.where(inside, 100.0 + 0.25 * x, 0.0).astype(np.float32)
    labels = np.zeros(SHAPE, dtype=np.uint8)
    labels[8:12, 20:23, 16:19] = 1
    labels[28, 30, 20] = 1
    image[labels > 0] = 180
    return Study(image, labels, AFFINE)


@pytest.fixture
def volume_document() -> Callable[..., dict[str, Any]]:
    """Return a function that gives the document of `study` as `metseg predict` writes it, with changes by key."""

    def make(**changes: Any) -> dict[str, Any]:
        return {
            "case": "4f1c9a7be0d35528",
            "notice": "Research use only: not a medical device.",
            "metseg": "1.2.3",
            "model": "known",
            "bundle": "",
            "shape": list(SHAPE),
            "affine": AFFINE.tolist(),
            "slices": [],
            "technique": {
                "labels": "binary",
                "reference": "t1c",
                "images": {"t1c": {"shape": list(SHAPE), "spacing_mm": [4.0, 4.0, 5.0]}},
                "preprocess": STEPS,
                "predict": {"threshold": 0.4, "minimum_voxels": 0, "tta": True},
            },
            "lesions": [dict(LARGE), dict(SMALL)],
            "timings_s": {"predict": 1.5},
            "warnings": ["t1c: a voxel was not finite"],
            "failed": [],
            **changes,
        }

    return make


@pytest.fixture
def picture_document() -> Callable[..., dict[str, Any]]:
    """Return a function that gives the document of two pictures, 30 columns by 20 rows, with a lesion on the second."""

    def make(**changes: Any) -> dict[str, Any]:
        lesion = {
            **SMALL,
            "id": 1,
            "voxels": 6,
            "voxels_by_label": {"lesion": 6},
            "volume_ml": None,
            "longest_diameter_mm": None,
            "longest_axial_diameter_mm": None,
            "centre_voxel": [11.0, 5.5, 1.0],
            "centre_mm": None,
            "confidence": 0.7,
            "slice_index": 1,
        }
        return {
            "case": "pictures",
            "metseg": "1.2.3",
            "model": "known",
            "shape": [30, 20, 2],
            "affine": None,
            "slices": ["P1/first", "P1/second"],
            "technique": {
                "labels": "binary",
                "reference": "image",
                "images": {"image": {"shape": [30, 20, 2], "spacing_mm": None}},
                "preprocess": [],
                "predict": {"threshold": 0.5},
            },
            "lesions": [lesion],
            "warnings": [],
            "failed": [],
            **changes,
        }

    return make


@pytest.fixture(scope="session")
def picture_masks() -> np.ndarray:
    """Return the masks (30, 20, 2) that `picture_document` describes: columns 10 to 12, rows 5 and 6."""
    masks = np.zeros((30, 20, 2), dtype=np.uint8)
    masks[10:13, 5:7, 1] = 1
    return masks


RECIPE = """
name = "known"
description = "Finds boxes."
data = { modalities = ["t1c"], dimensions = 3, licence = "Boxes, CC0" }
model = { name = "unet" }
"""

REGION = {
    "metrics": {"dice": {"mean": 0.8126, "low": 0.741, "high": 0.8749, "patients": 21, "undefined": 0}},
    "lesions": {"found": 45, "missed": 15, "false": 7},
}

METRICS = {"patients": {"train": 63, "validation": 12, "test": 21}, "test": {"regions": {"lesion": REGION}}}


def fingerprint_of(folder: Path) -> str:
    """Return what tells a bundle from every other: the beginning of the hash of its checksums."""
    return hashlib.sha256((folder / "sha256").read_bytes()).hexdigest()[:16]


@pytest.fixture
def make_bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Path, str]]:
    """Return a function that writes a bundle with these metrics where bundles are found, and gives its fingerprint.

    Its weights are none: nobody who reports on a model reads them.
    """
    home = tmp_path / "home"
    monkeypatch.setenv("METSEG_HOME", str(home))

    def make(metrics: Any = METRICS, name: str = "boxes") -> tuple[Path, str]:
        folder = home / "bundles" / name
        folder.mkdir(parents=True)
        (folder / "recipe.toml").write_text(parse_recipe(RECIPE, where="test").to_toml(), "utf-8")
        (folder / "card.md").write_text("# known\n", "utf-8")
        (folder / "metrics.json").write_text(json.dumps(metrics), "utf-8")
        (folder / "model.safetensors").write_bytes(b"no weights")
        (folder / "sha256").write_text(checksums(folder), "utf-8")
        return folder, fingerprint_of(folder)

    return make
