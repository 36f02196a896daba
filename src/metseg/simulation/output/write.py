"""Write a simulated patient: volumes named like a public data set, or pictures with masks; and the ground truth."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import numpy.typing as npt
from PIL import Image

from metseg.labels import LABEL_SCHEMES
from metseg.simulation.difficulty import REFERENCE
from metseg.simulation.lesions.progression import Examination
from metseg.simulation.options import SEQUENCES, OutputOptions, PhantomOptions, SliceOptions
from metseg.simulation.output.naming import NAMINGS
from metseg.simulation.phantom import SimulatedPatient
from metseg.volume import Volume

SCHEME = LABEL_SCHEMES["brats-met-2023"]


@dataclass(frozen=True)
class VolumeFiles:
    """What a convention writes.

    Args:
        images: sequence to the ending of its file.
        masks: ending to the region it shows as 0 and 1; None: all class ids.
    """

    images: Mapping[str, str]
    masks: Mapping[str, str | None]


#: By the ``kind`` of the options of an output. UCSF-BMSR's T2 is synthetic, hence its name; ``_seg`` is the core.
FILES: Mapping[str, VolumeFiles] = {
    "nifti": VolumeFiles({name: f"-{name}" for name in SEQUENCES}, {"-seg": None}),
    "ucsf-bmsr": VolumeFiles(
        {"t1n": "_T1pre", "t1c": "_T1post", "t2w": "_T2Synth", "t2f": "_FLAIR"}, {"_seg": "TC", "_BraTS-seg": None}
    ),
}

#: The colours of a colour picture, as in the public LGG set: before contrast agent, FLAIR, after contrast agent.
COLOURS = ("t1n", "t2f", "t1c")

#: A slice shows brain if it holds at least this share of what the fullest slice holds.
BRAIN_SHARE = 0.15

#: The brightness of the brain's brightest voxels but these becomes white.
WHITE_PERCENTILE = 99.7


def write_patient(simulated: SimulatedPatient, folder: Path, *, options: PhantomOptions, output: OutputOptions) -> None:
    """Write images, masks and the truth into a folder that exists and is empty."""
    named = _renamed(simulated, output)
    if isinstance(output, SliceOptions):
        counts = write_slices(named, folder, output)
    else:
        counts = write_volumes(named, folder, FILES[output.kind])
    truth = truth_document(named, options) | counts
    (folder / f"{named.case.case_id}.json").write_text(json.dumps(truth, indent=1) + "\n", "utf-8")


def _renamed(simulated: SimulatedPatient, output: OutputOptions) -> SimulatedPatient:
    """Return the patient and the examination under the names of a convention."""
    naming, index = NAMINGS[output.kind], simulated.patient.index
    timepoint = 0 if simulated.examination is None else simulated.examination.timepoint
    case = replace(simulated.case, case_id=naming.case(index, timepoint), patient=naming.patient(index))
    return replace(simulated, case=case)


def write_volumes(simulated: SimulatedPatient, folder: Path, files: VolumeFiles) -> dict[str, int]:
    """Write the sequences (int16) and the masks (uint8), each ``<case><ending>.nii.gz``."""
    case = simulated.case
    for name, volume in case.images.items():
        write_volume(volume, folder / f"{case.case_id}{files.images[name]}.nii.gz")
    assert case.labels is not None
    labels = np.asarray(case.labels.data, dtype=np.uint8)
    for ending, region in files.masks.items():
        mask = labels if region is None else SCHEME.region_mask(labels, region).astype(np.uint8)
        write_volume(Volume(mask, case.labels.affine), folder / f"{case.case_id}{ending}.nii.gz")
    return {}


def write_volume(volume: Volume, path: Path) -> None:
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
        "patient": simulated.case.patient,
        "seed": patient.seed,
        "index": patient.index,
        "resolution_mm": options.resolution_mm,
        "skull": options.skull,
        "labels": {str(value): name for value, name in SCHEME.classes.items()},
        "lesions": [
            measured[number].as_json()
            | {"kind": "ring" if measured[number].netc_mm3 > 0 else "solid", "plan": asdict(lesion)}
            | _history(simulated.examination, number)
            for number, lesion in planned.items()
            if number in measured
        ],
    } | _circumstances(simulated)


def _history(examination: Examination | None, number: int) -> dict[str, object]:
    """Return what a lesion did until a later examination; a first one has nothing to tell."""
    if examination is None or examination.timepoint == 0:
        return {}
    steps = examination.histories[number]
    return {
        "history": [
            {
                "timepoint": f"{step.timepoint:03d}",
                "event": step.event,
                "planned_core_mm3": round(step.planned_core_mm3, 3),
            }
            for step in steps
        ]
    }


def _circumstances(simulated: SimulatedPatient) -> dict[str, object]:
    """Return what is known of a later examination, and of one with a challenge."""
    examination, found = simulated.examination, dict[str, object]()
    if examination is not None and examination.timepoint > 0:
        found = {
            "timepoint": examination.name,
            "days": examination.days,
            "to_first_mm": examination.to_first_mm.round(6).tolist(),
            "vanished": [{"lesion_id": number} | _history(examination, number) for number in examination.vanished],
        }
    if simulated.scans:
        seen = {lesion.lesion_id for lesion in simulated.lesions}
        found |= {
            "reference": REFERENCE,
            "scans": {name: scan.as_json() for name, scan in simulated.scans.items()},
            "missing": [name for name in SEQUENCES if name not in simulated.scans],
            "outside": [lesion.lesion_id for lesion in simulated.patient.lesions if lesion.lesion_id not in seen],
        }
    return found
