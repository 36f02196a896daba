"""A simulated patient on disk: volumes in the naming of BraTS-METS, or pictures with masks; the truth beside them."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import numpy.typing as npt
from PIL import Image

from metseg.labels import LABEL_SCHEMES
from metseg.simulate.options import NiftiOptions, PhantomOptions, SliceOptions
from metseg.simulate.phantom import SimulatedPatient
from metseg.volume import Volume

SCHEME = LABEL_SCHEMES["brats-met-2023"]

#: The colours of a colour picture, as in the public LGG set: before contrast agent, FLAIR, after contrast agent.
COLOURS = ("t1n", "t2f", "t1c")

#: A slice shows brain if it holds at least this share of what the fullest slice holds.
BRAIN_SHARE = 0.15

#: The brightness of the brain's brightest voxels but these becomes white.
WHITE_PERCENTILE = 99.7


def folder_name(patient: str, output: NiftiOptions | SliceOptions) -> str:
    """Return the folder of a patient: of the examination for volumes, of the patient for pictures.

    >>> folder_name("BraTS-MET-00001", NiftiOptions()), folder_name("BraTS-MET-00001", SliceOptions())
    ('BraTS-MET-00001-000', 'BraTS-MET-00001')
    """
    return f"{patient}-000" if isinstance(output, NiftiOptions) else patient


def write_patient(
    simulated: SimulatedPatient, folder: Path, *, options: PhantomOptions, output: NiftiOptions | SliceOptions
) -> None:
    """Write images, masks and the truth into a folder that exists and is empty."""
    if isinstance(output, NiftiOptions):
        counts = write_volumes(simulated, folder)
    else:
        counts = write_slices(simulated, folder, output)
    truth = truth_document(simulated, options) | counts
    (folder / f"{simulated.case.case_id}.json").write_text(json.dumps(truth, indent=1) + "\n", "utf-8")


def write_volumes(simulated: SimulatedPatient, folder: Path) -> dict[str, int]:
    """Write ``<case>-<sequence>.nii.gz`` (int16) and ``<case>-seg.nii.gz`` (uint8)."""
    case = simulated.case
    for name, volume in case.images.items():
        _write_nifti(volume, folder / f"{case.case_id}-{name}.nii.gz")
    assert case.labels is not None
    _write_nifti(case.labels, folder / f"{case.case_id}-seg.nii.gz")
    return {}


def _write_nifti(volume: Volume, path: Path) -> None:
    kind: Any = nibabel.Nifti1Image  # nibabel's classes have no types
    image = kind(volume.data, volume.affine)
    image.header.set_xyzt_units("mm")
    image.set_qform(volume.affine, code="scanner")
    image.set_sform(volume.affine, code="scanner")
    nibabel.save(image, path)


def write_slices(simulated: SimulatedPatient, folder: Path, output: SliceOptions) -> dict[str, int]:
    """Write ``<case>_<slice>.png`` and ``<case>_<slice>_mask.png`` (0 and 255) for slices that show brain.

    Returns:
        How many slices there are, and how many show a lesion.
    """
    case = simulated.case
    assert case.labels is not None
    mask = SCHEME.region_mask(np.asarray(case.labels.data, dtype=np.uint8), output.region)
    names = COLOURS if output.sequence is None else (output.sequence,)
    channels = [as_bytes(np.asarray(case.images[name].data, dtype=np.int16), simulated.brain) for name in names]
    chosen = brain_slices(simulated.brain, output.slices_per_patient)
    for z in chosen:
        picture = np.stack([as_picture(channel[:, :, z]) for channel in channels], axis=-1)
        stem = f"{case.case_id}_{z:03d}"
        Image.fromarray(picture if len(names) == 3 else picture[..., 0]).save(folder / f"{stem}.png")
        shown = as_picture(mask[:, :, z]).astype(np.uint8) * np.uint8(255)
        Image.fromarray(shown).save(folder / f"{stem}_mask.png")
    return {"slices": len(chosen), "slices_with_lesion": int(mask[:, :, chosen].any(axis=(0, 1)).sum())}


def brain_slices(brain: npt.NDArray[np.bool_], wanted: int | None) -> list[int]:
    """Return the axial slices that show brain, or ``wanted`` of them at equal distances.

    >>> brain = np.zeros((2, 2, 6), dtype=bool); brain[:, :, 1:] = True
    >>> brain_slices(brain, None), brain_slices(brain, 2)
    ([1, 2, 3, 4, 5], [2, 4])
    """
    area = brain.sum(axis=(0, 1))
    shown = np.flatnonzero(area >= max(1.0, BRAIN_SHARE * area.max()))
    if wanted is None or wanted >= len(shown):
        return [int(z) for z in shown]
    return [int(shown[int((i + 0.5) * len(shown) / wanted)]) for i in range(wanted)]


def as_picture(plane: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
    """Return an axial (X, Y) plane in RAS+ as rows and columns: the patient's right is left, the front is up.

    >>> as_picture(np.array([["left back", "left front"], ["right back", "right front"]]))
    array([['right front', 'left front'],
           ['right back', 'left back']], dtype='<U11')
    """
    return np.ascontiguousarray(plane[::-1, ::-1].T)


def as_bytes(image: npt.NDArray[np.number[Any]], brain: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint8]:
    """Return an image as 0..255, by one scale for the whole volume; what is brighter than the brain becomes white."""
    white = float(np.percentile(image[brain], WHITE_PERCENTILE))
    return np.asarray(
        np.clip(np.rint(image.astype(np.float32) * np.float32(255 / max(white, 1.0))), 0, 255), dtype=np.uint8
    )


def truth_document(simulated: SimulatedPatient, options: PhantomOptions) -> dict[str, object]:
    """Return what is known of a patient, ready for JSON: what was asked for and what lies in the voxels."""
    patient = simulated.patient
    measured = {lesion.lesion_id: lesion for lesion in simulated.lesions}
    planned = {lesion.lesion_id: lesion for lesion in patient.lesions}
    return {
        "case": simulated.case.case_id,
        "patient": patient.name,
        "seed": patient.seed,
        "index": patient.index,
        "resolution_mm": options.resolution_mm,
        "skull": options.skull,
        "labels": {str(value): name for value, name in SCHEME.classes.items()},
        "lesions": [
            measured[number].as_json()
            | {"kind": "ring" if measured[number].netc_mm3 > 0 else "solid", "plan": asdict(lesion)}
            for number, lesion in planned.items()
        ],
    }
