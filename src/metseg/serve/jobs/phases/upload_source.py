"""Find the case in the files of an upload."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from metseg.errors import InputError
from metseg.inference.input_fit import require_fitting_source
from metseg.io.case_source import CaseSource
from metseg.io.declared_sequences import AGAINST_NAME
from metseg.io.file_index import Pair
from metseg.io.images.channel_names import GreyRule, channel_names
from metseg.io.images.slice_grouping import slice_files
from metseg.io.images.slice_stack import SliceStackSource
from metseg.io.prediction_inputs import LEFT_OUT, find_inputs
from metseg.io.sequence_names import NAMED_BY_USER
from metseg.io.volumes.image_files import ImageFile
from metseg.io.volumes.study_source import study_from_files
from metseg.io.volumes.volume_case import VolumeSource
from metseg.message_text import pluralize
from metseg.preprocess.missing_sequences import grey_sequence
from metseg.recipe import DataPart
from metseg.schemas import BRAIN_MASK, Kind
from metseg.serve.http.upload_validation import study_kind
from metseg.serve.jobs.phases.job import Job
from metseg.serve.storage.job_repository import WorkInput


def find_source(job: Job, data: DataPart) -> CaseSource:
    """Return the source of the case of an upload, without reading pixels.

    Args:
        job: the study.
        data: input requirements of the model.
    Raises:
        InputError: mixed formats, no study, or more than one; a file without a known sequence; two files for one
            sequence; pictures for a model for volumes, or a volume that a model for pictures does not support.
    """
    masks = [upload for upload in job.uploads if upload.sequence == BRAIN_MASK]
    images = replace(job, uploads=tuple(upload for upload in job.uploads if upload not in masks))
    source = _FINDERS[study_kind([upload.kind for upload in images.uploads])](images, data)
    require_fitting_source(source, job.predictor.recipe, where=f"model {job.model}")
    return _with_brain_mask(source, masks[0].path) if masks else source


def _with_brain_mask(source: CaseSource, path: Path) -> CaseSource:
    """Return a source with its brain mask. `require_brain_mask` accepts masks only for volumes."""
    if isinstance(source, VolumeSource):
        return replace(source, brain_mask=path)
    from metseg.io.layouts.dicom_study import AskedStudy  # pydicom only where there is DICOM

    assert isinstance(source, AskedStudy)
    return replace(source, brain_mask=path)


def _pictures(job: Job, data: DataPart) -> CaseSource:
    """Return all pictures as the slices of one patient, in the order of the upload."""
    if data.dimensions == 3:
        raise InputError(
            "the model needs a volume, but the upload contains pictures",
            where=f"model {job.model}",
            cure="choose a model for pictures, or upload the volume",
            code="input.dimensions",
        )
    slices = slice_files([_pair(upload) for upload in job.uploads], stack=job.options.stack)
    gaps = {upload.path for upload in job.uploads if upload.gap_before}
    slices = tuple(replace(piece, gap_before=piece.image in gaps and not piece.page) for piece in slices)
    return SliceStackSource(
        job.study_id,
        job.study_id,
        job.folder.inputs,
        # Names sort by the number of the file, then of its page.
        slices=tuple(sorted(slices, key=lambda piece: piece.name)),
        channels=channel_names(data.channels),
        grey=GreyRule(grey_sequence(job.predictor.recipe)),
    )


def _pair(upload: WorkInput) -> Pair:
    name = PurePosixPath(f"{upload.number:04d}")
    return Pair(name, upload.path, None, name)


def _volumes(job: Job, data: DataPart) -> CaseSource:
    nameless = [upload for upload in job.uploads if upload.sequence is None]
    if nameless and len(job.uploads) == 1 and (data.channels or len(data.inputs) <= 1):
        return _only_volume(job, data)
    if nameless:
        raise InputError(
            "the sequence of this file is not known",
            where=f"file {nameless[0].number}",
            expected=", ".join(data.inputs) or "t1n, t1c, t2w or t2f",
            cure="send it in the field of its sequence, such as t1c",
            code="input.unknown_sequence",
        )
    _require_one_file_each(job.uploads)
    files = {
        str(upload.sequence): ImageFile(upload.path, reason=upload.reason or NAMED_BY_USER) for upload in job.uploads
    }
    source = study_from_files(files, data, case_id=job.study_id)
    marks = tuple(
        f"file {upload.number} is read as {upload.sequence}: {upload.reason}"
        for upload in job.uploads
        if AGAINST_NAME in upload.reason
    )
    return replace(source, notes=(*marks, *source.notes))


def _only_volume(job: Job, data: DataPart) -> CaseSource:
    """Return the source of a single file: the only sequence, or channels that the recipe names."""
    return find_inputs(job.uploads[0].path, data)[0]


def _require_one_file_each(uploads: Sequence[WorkInput]) -> None:
    by_sequence: dict[str, WorkInput] = {}
    for upload in uploads:
        other = by_sequence.setdefault(str(upload.sequence), upload)
        if other is not upload:
            raise InputError(
                f"two files are assigned to {upload.sequence}",
                where=f"file {upload.number}",
                got=f"file {other.number} too",
                cure="correct the sequence of one of them, or remove it",
                code="input.duplicate_sequence",
            )


def _dicom(job: Job, data: DataPart) -> CaseSource:
    from metseg.io.layouts.dicom_study import studies_asked_for  # pydicom only where there is DICOM

    paths = [upload.path for upload in job.uploads]
    asked = data.model_copy(update={"allow_gaps": job.options.allow_gaps})
    overrides = {name: None if label == LEFT_OUT else label for name, label in job.options.series.items()}
    studies = studies_asked_for(paths, asked, overrides=overrides)
    if len(studies) != 1:
        raise InputError(
            "the upload contains more than one study" if studies else "the upload contains no study",
            where="the upload",
            expected="the images of one examination of one patient",
            got=pluralize(len(studies), "study", "studies"),
            cure="upload one study at a time",
            code="input.several_cases" if studies else "input.missing",
        )
    return studies[0]


def patient_id_of(source: CaseSource, uploads: Sequence[WorkInput]) -> str:
    """Return the patient id in the header of a DICOM study; empty if there is none. It is never stored itself.

    Args:
        source: from `find_source`.
        uploads: the files that it was found in.
    Raises:
        InputError: the file cannot be read.
    """
    if not {Kind.DICOM, Kind.ARCHIVE} & {upload.kind for upload in uploads}:
        return ""
    from metseg.io.dicom.dicom_files import DicomReader  # pydicom only where there is DICOM
    from metseg.io.dicom.elements import Elements, read_header
    from metseg.io.layouts.dicom_study import AskedStudy

    assert isinstance(source, AskedStudy)
    place = next(frame.place for series in source.series.values() for frame in series.frames)
    with DicomReader() as reader, reader.open(place) as stream:
        header, _ = read_header(stream, ["PatientID"])
    return Elements([header]).text("PatientID")


Finder = Callable[[Job, DataPart], CaseSource]

_FINDERS: Mapping[Kind, Finder] = {
    Kind.PICTURE: _pictures,
    Kind.NIFTI: _volumes,
    Kind.DICOM: _dicom,
    Kind.ARCHIVE: _dicom,
}
