"""De-identify the DICOM files of a folder or archive into another folder."""

from __future__ import annotations

import io
import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pydicom import Dataset, dcmwrite
from pydicom.dataset import FileMetaDataset
from pydicom.uid import UID

from metseg.deidentification.dataset_cleaner import CleaningOptions, DatasetCleaner
from metseg.errors import InputError, UsageError
from metseg.io.dicom.dicom_files import DicomLocation, DicomReader, find_dicom_files
from metseg.io.dicom.elements import damage_named, read_file_meta, read_whole
from metseg.io.dicom.pseudonyms import KEY_VARIABLE, pseudonym
from metseg.runtime.atomic_io import write_bytes

#: Classes of screenshots and scans of paper; their pixels may show a name.
_SECONDARY_CAPTURE: Final = "1.2.840.10008.5.1.4.1.1.7"
_SCREENSHOTS: Final = frozenset(("SCREENSAVE", "SCREEN SAVE", "SCREENSHOT", "SCREEN SHOT", "SNAPSHOT"))
#: Kinds of machines that write names into the picture.
_WRITES_INTO_PIXELS: Final = frozenset(("US", "ES", "XC", "OT", "DOC"))
_PIXELS: Final = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")

NO_IMAGE = "no image: reports, plans and documents may name the patient anywhere"
BURNED_IN = "text may be burned into the pixels"
DIRECTORY = "DICOMDIR, which refers to the original files"
REPEATED = "another file has the same SOP instance UID"


@dataclass
class Deidentified:
    """What became of the files.

    Args:
        written: the new files.
        set_aside: reason to the number of files that were not written.
        removed: what was removed, by kind, with counts: "private", "unknown" and "removed" elements.
        studies: pseudonyms of the studies.
    """

    written: list[Path] = field(default_factory=list)
    set_aside: Counter[str] = field(default_factory=Counter)
    removed: Counter[str] = field(default_factory=Counter)
    studies: set[str] = field(default_factory=set)


def deidentify_files(
    roots: Sequence[Path],
    out: Path,
    options: CleaningOptions | None = None,
    *,
    keep_burned_in: bool = False,
    track: Callable[[Sequence[DicomLocation]], Iterable[DicomLocation]] = tuple,
) -> Deidentified:
    """Write de-identified copies of all DICOM images.

    Names of files and folders are made of pseudonyms. The same patient, study and UID get the same pseudonyms in every
    run with the same `METSEG_PSEUDONYM_KEY`.

    Args:
        roots: folders, zip archives and files.
        out: a folder that is empty or absent.
        options: of the profile.
        keep_burned_in: also write pictures with pixels that may show a name.
        track: shows progress over the files.
    Raises:
        UsageError: ``usage.pseudonym_key``, there is no secret key; ``usage.output_folder``, the folder is not empty.
        InputError: ``input.not_dicom``; else as `find_dicom_files`.
        ResourceError: the disk is full.
    """
    if not os.environ.get(KEY_VARIABLE):
        raise UsageError(
            "no secret key is set, so pseudonyms could be traced by trying all patient ids",
            where=KEY_VARIABLE,
            cure=f"set {KEY_VARIABLE} to a long random text and keep it secret; the same key gives the same pseudonyms",
            code="usage.pseudonym_key",
        )
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(
            "the output folder is not empty",
            where=out,
            cure="choose a new folder, so that it holds nothing but de-identified files",
            code="usage.output_folder",
        )
    places, _ = find_dicom_files(roots)
    if not places:
        raise InputError("no DICOM files found", where=roots[0], cure="give DICOM files", code="input.not_dicom")
    done = Deidentified()
    with DicomReader() as reader:
        for place in track(places):
            _copy(place, reader, out, options or CleaningOptions(), keep_burned_in, done)
    return done


def _copy(
    place: DicomLocation,
    reader: DicomReader,
    out: Path,
    options: CleaningOptions,
    keep_burned_in: bool,
    done: Deidentified,
) -> None:
    """Write the copy of one file, or count why there is none."""
    try:
        with reader.open(place) as stream:
            meta = read_file_meta(stream)
            if meta.is_directory:
                done.set_aside[DIRECTORY] += 1
                return
            dataset = read_whole(stream)
        with damage_named():
            reason = _doubt(dataset, keep_burned_in=keep_burned_in)
            if reason is not None:
                done.set_aside[reason] += 1
                return
            name, content = _cleaned(dataset, meta.syntax, options, done)
    except InputError as error:
        done.set_aside[error.what] += 1
        return
    if (out / name).exists():  # the folder was empty: an earlier file of this run
        done.set_aside[REPEATED] += 1
        return
    write_bytes(out / name, content)
    done.written.append(out / name)


def _doubt(dataset: Dataset, *, keep_burned_in: bool) -> str | None:
    """Return why a file is not written; None for an image without doubt."""
    if not any(keyword in dataset for keyword in _PIXELS):
        return NO_IMAGE
    if keep_burned_in:
        return None
    kinds = {str(word).upper() for word in dataset.get("ImageType") or ()}
    shows_text = (
        str(dataset.get("BurnedInAnnotation", "")).upper() == "YES"
        or str(dataset.get("SOPClassUID", "")).startswith(_SECONDARY_CAPTURE)
        or str(dataset.get("Modality", "")).upper() in _WRITES_INTO_PIXELS
        or bool(kinds & _SCREENSHOTS)
    )
    return BURNED_IN if shows_text else None


def _cleaned(dataset: Dataset, syntax: str, options: CleaningOptions, done: Deidentified) -> tuple[Path, bytes]:
    """Return the name and the content of the copy of an image."""
    study_uid, patient_id = str(dataset.get("StudyInstanceUID", "")), str(dataset.get("PatientID", "") or "")
    identity = ("patient", patient_id, str(dataset.get("IssuerOfPatientID", "") or ""))
    patient = pseudonym(*identity) if patient_id.strip() else pseudonym("no patient", study_uid)
    study = pseudonym("study", study_uid)
    series = pseudonym("series", str(dataset.get("SeriesInstanceUID", "")))
    cleaner = DatasetCleaner(patient, study, options, done.removed)
    cleaner.clean(dataset)
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = UID(syntax)
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.file_meta = meta
    dataset.preamble = bytes(128)
    content = io.BytesIO()
    dcmwrite(content, dataset, enforce_file_format=True)
    done.studies.add(study)
    return Path(f"study-{study}", f"series-{series}", f"{dataset.SOPInstanceUID}.dcm"), content.getvalue()
