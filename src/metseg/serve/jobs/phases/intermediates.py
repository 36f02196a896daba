"""Intermediate results of the phases on disk: the de-identified case, and the mask with its probabilities.

Sequences are stored as NIfTI with only the geometry in the header; pictures, which have no geometry, as NumPy arrays.
Folders are written atomically.
"""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from metseg.inference.outputs.volume_outputs import PROBABILITY_SCALE, write_nifti
from metseg.inference.uncertainty import Spread
from metseg.io.volumes.nifti import read_volume
from metseg.runtime.atomic_io import atomic_folder
from metseg.serve.http.problem_details import public_text
from metseg.serve.jobs.phases.job import Segmentation
from metseg.volume import BRAIN_MASK, Array, BrainMaskRecord, Case, SequenceRecord, Volume

FACTS = "case.json"

#: Compression level: speed over size, because these files are read once or twice and then removed.
FAST = 1


def anonymous(case: Case, study_id: str) -> Case:
    """Return a de-identified case: without pseudonym, timepoint and file names."""
    names = tuple(f"{number:04d}" for number in range(1, len(case.slice_names) + 1))
    return replace(
        case,
        case_id=study_id,
        patient=study_id,
        timepoint=None,
        attributes={},
        slice_names=names,
        warnings=tuple(map(public_text, case.warnings)),
        sequence_records=tuple(
            replace(record, source=public_text(record.source), reason=public_text(record.reason))
            for record in case.sequence_records
        ),
    )


def save_case(case: Case, folder: Path) -> None:
    """Write the images of a case and the warnings of reading it."""
    facts = {
        "case": case.case_id,
        "slices": list(case.slice_names),
        "slice_gaps": list(case.slice_gaps),
        "warnings": list(case.warnings),
        "sequence_records": [asdict(record) for record in case.sequence_records],
        # With full precision: NIfTI stores seven digits, and the mask must have exactly the affine of the image.
        "affines": {
            name: None if image.affine is None else image.affine.tolist() for name, image in case.images.items()
        },
    }
    with atomic_folder(folder) as partial:
        for name, image in case.images.items():
            if image.affine is None:
                np.save(partial / f"{name}.npy", image.data)
            else:
                write_nifti(storable(image.data), image.affine, partial / f"{name}.nii.gz", compression=FAST)
        (partial / FACTS).write_text(json.dumps(facts), "utf-8")


def load_case(folder: Path) -> Case:
    """Return the case that `save_case` wrote, with the same order and values of images."""
    facts = json.loads((folder / FACTS).read_text("utf-8"))
    images = {name: _kept_image(folder, name, affine) for name, affine in facts["affines"].items()}
    return Case(
        facts["case"],
        facts["case"],
        images,
        slice_names=tuple(facts["slices"]),
        # 0.1.0 stored neither gaps nor records, and a study may be in work during an upgrade of the service.
        slice_gaps=tuple(facts.get("slice_gaps", ())),
        warnings=tuple(facts["warnings"]),
        sequence_records=tuple(SequenceRecord(**record) for record in facts.get("sequence_records", ())),
    )


def save_brain_mask(case: Case, folder: Path) -> None:
    """Write the brain mask of a case, its record, and all warnings so far."""
    assert case.brain_mask_record is not None
    facts = {"record": asdict(case.brain_mask_record), "warnings": list(case.warnings)}
    with atomic_folder(folder) as partial:
        np.save(partial / "mask.npy", case.images[BRAIN_MASK].data)
        (partial / FACTS).write_text(json.dumps(facts), "utf-8")


def load_brain_mask(case: Case, folder: Path) -> Case:
    """Return a case with the mask that `save_brain_mask` wrote; the unchanged case if there is none."""
    if not folder.is_dir():
        return case
    facts = json.loads((folder / FACTS).read_text("utf-8"))
    record = BrainMaskRecord(**facts["record"])
    mask = Volume(np.load(folder / "mask.npy", allow_pickle=False), case.images[record.sequence].affine)
    images = {**case.images, BRAIN_MASK: mask}
    return replace(case, images=images, warnings=tuple(facts["warnings"]), brain_mask_record=record)


def _kept_image(folder: Path, name: str, affine: list[list[float]] | None) -> Volume:
    if affine is None:
        return Volume(np.load(folder / f"{name}.npy", allow_pickle=False))
    image, _ = read_volume(folder / f"{name}.nii.gz")
    return Volume(image.data, np.asarray(affine, dtype=np.float64))


def storable(data: Array) -> Array:
    """Return data as a type that all NIfTI readers support; 64-bit integers are not."""
    if data.dtype.kind == "b":
        return data.astype(np.uint8)
    if data.dtype.kind in "iu" and data.dtype.itemsize == 8:
        limits = np.iinfo(np.int32)
        if limits.min <= data.min() and data.max() <= limits.max:
            return data.astype(np.int32)
        return data.astype(np.float32)
    return data.astype(np.float32) if data.dtype in (np.float16, np.float64) else data


def save_segmentation(segmentation: Segmentation, folder: Path) -> None:
    """Write class ids, probabilities as 16-bit integers, and the spread of the predictions if it was measured."""
    with atomic_folder(folder) as partial:
        np.save(partial / "labels.npy", segmentation.labels)
        np.save(partial / "probability.npy", segmentation.stored)
        if segmentation.spread is not None:
            np.save(partial / "deviation.npy", segmentation.spread.deviation)
            np.save(partial / "masks.npy", np.packbits(np.stack(segmentation.spread.masks), axis=-1))


def load_segmentation(folder: Path) -> Segmentation:
    """Return the segmentation that `save_segmentation` wrote."""
    labels: npt.NDArray[np.uint8] = np.load(folder / "labels.npy", allow_pickle=False)
    stored: npt.NDArray[np.uint16] = np.load(folder / "probability.npy", allow_pickle=False)
    return Segmentation(labels, stored, _load_spread(folder, labels.shape[-1]))


def _load_spread(folder: Path, depth: int) -> Spread | None:
    if not (folder / "masks.npy").is_file():
        return None
    packed: npt.NDArray[np.uint8] = np.load(folder / "masks.npy", allow_pickle=False)
    deviation: npt.NDArray[np.float32] = np.load(folder / "deviation.npy", allow_pickle=False)
    return Spread(deviation, tuple(np.unpackbits(packed, axis=-1, count=depth).astype(np.bool_)))


def to_16_bits(probability: npt.NDArray[np.float32]) -> npt.NDArray[np.uint16]:
    """Return probabilities 0 to 1 as 0 to 65535."""
    return np.rint(np.clip(probability, 0, 1) * PROBABILITY_SCALE).astype(np.uint16)
