"""A scanner for tests: writes small MR objects with pydicom, whose pixels and places are known."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from pydicom import Dataset
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import EnhancedMRImageStorage, ExplicitVRLittleEndian, MRImageStorage

#: Read aloud nowhere: no message may hold any of these.
PATIENT_ID, PATIENT_NAME = "4711-SECRET", "Mustermann^Erika"

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
#: Two rotations, by 20 degrees about x and then 10 about z; rows and columns of the product.
OBLIQUE = tuple(
    float(value)
    for value in (
        np.array(
            [
                [np.cos(np.pi / 18), -np.sin(np.pi / 18), 0],
                [np.sin(np.pi / 18), np.cos(np.pi / 18), 0],
                [0, 0, 1],
            ]
        )
        @ np.array(
            [
                [1, 0, 0],
                [0, np.cos(np.pi / 9), -np.sin(np.pi / 9)],
                [0, np.sin(np.pi / 9), np.cos(np.pi / 9)],
            ]
        )
    )[:, :2].T.ravel()
)
ROWS, COLUMNS = 7, 5


def uid(*parts: object) -> str:
    """Return a UID that is always the same for the same parts."""
    return "2.25." + str(int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:15], "big"))


def pixels(count: int, seed: int = 0, *, size: tuple[int, int] = (ROWS, COLUMNS)) -> np.ndarray:
    """Return (count, rows, columns) uint16 of twelve bits."""
    return np.random.default_rng(seed).integers(0, 4096, (count, *size), dtype=np.uint16)


def mr_object(stored: np.ndarray, name: object, **elements: object) -> FileDataset:
    """Return an MR object with these pixels and without a place; elements that are None are left out."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = MRImageStorage
    meta.MediaStorageSOPInstanceUID = uid("object", name)
    dataset = FileDataset(None, {}, file_meta=meta, preamble=bytes(128))
    content = {
        "SOPClassUID": MRImageStorage,
        "SOPInstanceUID": meta.MediaStorageSOPInstanceUID,
        "StudyDate": "20240102",
        "StudyTime": "101500",
        "Modality": "MR",
        "PatientName": PATIENT_NAME,
        "PatientID": PATIENT_ID,
        "PatientBirthDate": "19500607",
        "StudyInstanceUID": uid("study"),
        "SeriesInstanceUID": uid("series"),
        "FrameOfReferenceUID": uid("frame of reference"),
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "Rows": stored.shape[-2],
        "Columns": stored.shape[-1],
        "BitsAllocated": stored.itemsize * 8,
        "BitsStored": stored.itemsize * 8,
        "HighBit": stored.itemsize * 8 - 1,
        "PixelRepresentation": int(stored.dtype.kind == "i"),
        **elements,
    }
    for keyword, value in content.items():
        if value is not None:
            setattr(dataset, keyword, value)
    dataset.PixelData = stored.tobytes()
    return dataset


def slices(
    stored: np.ndarray,
    *,
    places: Sequence[float] | None = None,
    orientation: Sequence[float] = AXIAL,
    spacing: tuple[float, float] = (0.5, 0.4),
    origin: Sequence[float] = (-10.0, -20.0, 30.0),
    step: float = 3.0,
    series: object = "series",
    **elements: object,
) -> list[FileDataset]:
    """Return one object for each of (count, rows, columns), `step` mm apart along the normal, or at `places`."""
    row, column = np.array(orientation[:3]), np.array(orientation[3:])
    normal = np.cross(row, column)
    at = [step * number for number in range(len(stored))] if places is None else places
    return [
        mr_object(
            stored[number],
            (series, number),
            **{
                "SeriesInstanceUID": uid(series),
                "InstanceNumber": number + 1,
                "ImagePositionPatient": [float(value) for value in np.array(origin) + place * normal],
                "ImageOrientationPatient": list(orientation),
                "PixelSpacing": list(spacing),
                "SliceThickness": step,
                **elements,
            },
        )
        for number, place in enumerate(at)
    ]


def enhanced(stored: np.ndarray, *, order: Sequence[int] | None = None, **options: object) -> FileDataset:
    """Return one multi-frame object with the frames of `slices`, in another order."""
    single = slices(stored, **options)  # type: ignore[arg-type]
    order = list(order if order is not None else range(len(stored)))
    whole = mr_object(stored[order], "enhanced", NumberOfFrames=len(stored), SeriesInstanceUID=uid("series"))
    whole.SOPClassUID = whole.file_meta.MediaStorageSOPClassUID = EnhancedMRImageStorage
    first = single[0]
    measures = _item(PixelSpacing=first.PixelSpacing, SliceThickness=first.SliceThickness)
    orientation = _item(ImageOrientationPatient=first.ImageOrientationPatient)
    echo = _item(EffectiveEchoTime=4.0)
    whole.SharedFunctionalGroupsSequence = Items(
        [
            _item(
                PixelMeasuresSequence=Items([measures]),
                PlaneOrientationSequence=Items([orientation]),
                MREchoSequence=Items([echo]),
            )
        ]
    )
    groups = []
    for number in order:
        position = _item(ImagePositionPatient=single[number].ImagePositionPatient)
        values = _item(RescaleSlope=number + 1, RescaleIntercept=-number, RescaleType="US")
        groups.append(_item(PlanePositionSequence=Items([position]), PixelValueTransformationSequence=Items([values])))
    whole.PerFrameFunctionalGroupsSequence = Items(groups)
    return whole


def write(folder: Path, objects: Sequence[Dataset], *, seed: int = 0, ending: str = "") -> list[Path]:
    """Write objects under names in another order than their own; return the paths in the objects' order."""
    folder.mkdir(parents=True, exist_ok=True)
    names = np.random.default_rng(seed).permutation(len(objects))
    paths = []
    for number, item in zip(names, objects, strict=True):
        path = folder / f"{PATIENT_NAME.partition('^')[0]}_{seed}_{number}{ending}"
        item.save_as(path, enforce_file_format=True)
        paths.append(path)
    return paths


def _item(**elements: object) -> Dataset:
    item = Dataset()
    for keyword, value in elements.items():
        setattr(item, keyword, value)
    return item
