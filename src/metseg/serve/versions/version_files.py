"""Files of versions: read the pixels of a study and the findings of a version, and write those of a new one.

Every version has a folder of its own, `versions/<random>/` in the folder of its study. No name comes from a client.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from metseg.errors import GeometryError
from metseg.geometry import Grid, grid_difference
from metseg.inference.outputs.image_outputs import small_ids
from metseg.inference.outputs.volume_outputs import PROBABILITY_SCALE, write_instances, write_nifti
from metseg.io.volumes.nifti import read_mask_nifti
from metseg.io.volumes.nifti_affine import affine_of
from metseg.io.volumes.nifti_file import read_nifti, read_nifti_header
from metseg.labels import check_labels
from metseg.lesion import lesions_csv
from metseg.measure import ConfidenceMap
from metseg.reporting.study.document_reader import parse_document
from metseg.runtime.atomic_io import write_text
from metseg.schemas import Facts
from metseg.serve.http.problem_details import Refused
from metseg.serve.storage.folders import sha256_of
from metseg.serve.storage.png_files import write_png
from metseg.serve.versions.findings import Findings, Labels, StudyPixels, number_lesions
from metseg.version_schemas import FINDINGS, VERSION_ARTIFACTS, VersionLesion

#: Results of a study that corrections need.
NEEDED: Final = ("mask.nii.gz", "probability.nii.gz", "image.nii.gz", "lesions.json")
_INSTANCES: Final = "lesions.nii.gz"
_DOCUMENT: Final = "lesions.json"


def read_pixels(artifacts: Path, facts: Facts) -> StudyPixels:
    """Return the pixels of a finished study.

    Args:
        artifacts: folder of its results.
        facts: of the study.
    Raises:
        Refused: ``request.results_missing``, a result that corrections need is missing.
    """
    missing = [name for name in NEEDED if not (artifacts / name).is_file()]
    if missing or facts.scheme is None:
        raise Refused(
            "request.results_missing",
            "the study cannot be corrected, because results are missing",
            expected=", ".join(NEEDED),
            got=f"no {missing[0]}" if missing else "no label scheme",
            cure="upload the study again, and correct that result",
        )
    affine = None if facts.affine is None else np.asarray(facts.affine, dtype=np.float64)
    stored = _samples(artifacts / "probability.nii.gz")
    document = parse_document(json.loads((artifacts / _DOCUMENT).read_text("utf-8")), where=_DOCUMENT)
    predict = document.technique.predict
    return StudyPixels(
        image=_samples(artifacts / "image.nii.gz"),
        probability=stored.astype(np.float32) / np.float32(PROBABILITY_SCALE),
        affine=affine,
        scheme_name=facts.scheme,
        threshold=0.5 if facts.threshold is None else facts.threshold,
        gaps=facts.slice_gaps if len(facts.slice_gaps) == stored.shape[2] else (),
        confidence=ConfidenceMap()
        if predict is None
        else ConfidenceMap(predict.confidence_slope, predict.confidence_intercept),
    )


def read_model_findings(artifacts: Path, table: tuple[VersionLesion, ...], pixels: StudyPixels) -> Findings:
    """Return the findings of version 0 from the results of the model.

    Studies of 0.1.0 have no instance map; it is made again, with the same numbers.
    """
    labels = _samples(artifacts / "mask.nii.gz").astype(np.uint8)
    path = artifacts / _INSTANCES
    return Findings(labels, _samples(path) if path.is_file() else number_lesions(labels, pixels), table)


def read_findings(folder: Path, table: tuple[VersionLesion, ...]) -> Findings:
    """Return the findings of a version from its folder and its table."""
    return Findings(_samples(folder / FINDINGS).astype(np.uint8), _samples(folder / _INSTANCES), table)


def read_uploaded_mask(path: Path, pixels: StudyPixels) -> Labels:
    """Return an uploaded mask as class ids; its header is compared with the grid before a voxel is read.

    Raises:
        GeometryError: ``input.mask_grid``, another grid.
        InputError: ``input.labels``, ``input.instances``, values outside of the scheme; or the file cannot be read.
    """
    header, announced = read_nifti_header(path)
    shape = tuple(size for place, size in enumerate(announced) if place < 3 or size != 1)
    shape = (*shape, 1) if len(shape) == 2 else shape
    affine = None if pixels.affine is None else affine_of(header, announced, path)
    _require_grid(shape, affine, pixels)
    mask = read_mask_nifti(path)
    labels = check_labels(np.asarray(mask.data), pixels.scheme, where="file 1")
    return np.ascontiguousarray(labels.reshape(pixels.shape))


def write_findings(findings: Findings, pixels: StudyPixels, folder: Path) -> None:
    """Write masks, instance map and lesion table of a version."""
    affine, mask = pixels.affine, findings.mask
    write_nifti(mask, affine, folder / "mask.nii.gz")
    write_nifti(findings.labels, affine, folder / FINDINGS)
    write_instances(findings.instances, affine, folder / _INSTANCES)
    classes = tuple(pixels.scheme.classes.values())
    write_text(folder / "lesions.csv", lesions_csv(findings.table, classes, ("state",)))
    if affine is not None:
        return
    one_class = len(classes) == 1
    for z in range(mask.shape[2]):
        plane = mask[:, :, z].T
        write_png(folder / f"mask-{z + 1}.png", plane * np.uint8(255) if one_class else plane)
        write_png(folder / f"lesions-{z + 1}.png", small_ids(findings.instances[:, :, z]).T)


def artifact_entries(folder: Path) -> list[dict[str, Any]]:
    """Return name, media type, size and checksum of the files of a version, in the order of `VERSION_ARTIFACTS`."""
    names = list(VERSION_ARTIFACTS)

    def order(path: Path) -> tuple[int, int, str]:
        return names.index(_pattern(path.name)), len(path.name), path.name

    return [
        {
            "name": path.name,
            "media_type": VERSION_ARTIFACTS[_pattern(path.name)],
            "bytes": path.stat().st_size,
            "sha256": sha256_of(path),
        }
        for path in sorted(folder.iterdir(), key=order)
    ]


def _pattern(name: str) -> str:
    """Return the entry of `VERSION_ARTIFACTS` that a file name is of.

    >>> _pattern("mask-12.png"), _pattern("mask.nii.gz")
    ('mask-{number}.png', 'mask.nii.gz')
    """
    start, dash, rest = name.partition("-")
    return f"{start}-{{number}}.png" if dash and rest.endswith(".png") else name


def _samples(path: Path) -> npt.NDArray[Any]:
    """Return the stored values (X, Y, Z) of a result, without any scaling."""
    samples = read_nifti(path).samples
    return samples.reshape((*samples.shape, 1)) if samples.ndim == 2 else samples


def _require_grid(shape: tuple[int, ...], affine: npt.NDArray[np.float64] | None, pixels: StudyPixels) -> None:
    if len(shape) == 3:
        x, y, z = shape
        difference = grid_difference(Grid(pixels.shape, pixels.affine), Grid((x, y, z), affine))
    else:
        difference = f"shapes {pixels.shape} and {shape}"
    if difference is None:
        return
    raise GeometryError(
        "the mask is not on the grid of the result",
        where="file 1",
        got=difference,
        cure="draw it on the artifact image.nii.gz, or resample it to that grid with nearest neighbours",
        code="input.mask_grid",
    )
