"""Write predictions as DICOM objects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from metseg.argument_checks import optional_path, require_instance, require_path, require_texts, wrong_type
from metseg.errors import GeometryError, InputError, UsageError
from metseg.geometry import Grid, grid_difference, turn_onto
from metseg.inference.lesion_table import number_lesions
from metseg.inference.prediction import Prediction
from metseg.io.volumes.nifti import read_mask_nifti, read_volume
from metseg.labels import LABEL_SCHEMES, check_labels
from metseg.recipe import validated
from metseg.registry import lookup
from metseg.reporting.study.document_reader import Document, read_document
from metseg.volume import Volume

if TYPE_CHECKING:
    from metseg.dicom_export import ExportOptions, ResultContent
    from metseg.dicom_export.source_series import SourceStudies
    from metseg.io.dicom import Series

IDENTITIES = ("pseudonym", "keep")


@dataclass(frozen=True)
class Exported:
    """What became of the exports of a result.

    Args:
        files: what was written.
        empty: exports that were not written, because the result holds nothing for them.
        notes: what to know of the objects, clauses.
    """

    files: tuple[Path, ...]
    empty: tuple[str, ...]
    notes: tuple[str, ...] = ()


def export(
    prediction: Prediction | str | Path,
    source: str | Path | Sequence[str | Path],
    out: str | Path | None = None,
    *,
    formats: Sequence[str] = ("seg",),
    series: str | int | None = None,
    identity: str = "pseudonym",
    margin_mm: float | None = None,
    margin_kind: str = "ptv",
    model: str | Path | None = None,
) -> list[Path]:
    """Write a prediction as DICOM objects that belong to the series it was made of.

    Args:
        prediction: a prediction, or the path of the document ``<case>.json`` that `metseg.Prediction.save` or
            ``metseg predict`` wrote, with its mask beside it. Objects of a document have its date and the same UIDs in
            every call; those of a prediction have the date of the call.
        source: the DICOM study: a folder, a zip archive, or files.
        out: the folder of the objects, created if absent; None: the folder of the document. Required for a prediction.
        formats: ``seg`` (a segment per lesion), ``seg-classes``, ``seg-probability``, ``rtstruct``, ``sr``, ``pdf``,
            ``pages``. The report ``sr`` refers to the segments of ``seg``, which is then written too.
        series: the scanner's number of the series, for a prediction of a file that was converted from it; None: the
            series that was predicted on.
        identity: ``pseudonym`` names no person; ``keep`` writes the patient and the UIDs of the source into the
            objects, for the archive that the study came from.
        margin_mm: for ``rtstruct``, a margin around each lesion in mm, as one more structure.
        margin_kind: what that structure is, ``ptv`` or ``control``.
        model: name or folder of the model, for the report; None: searched among those of ``metseg models list``.
    Returns:
        the files. A format for which the prediction holds nothing, such as ``seg`` without any lesion, has no file.
    Raises:
        UsageError: an unknown format, series or model, a margin without ``rtstruct``, a missing package (extra
            ``dicom``), a prediction of pictures or of files without ``series``, or an argument of a wrong type.
        InputError: no such document or mask, or DICOM files of another study.
        GeometryError: the prediction is not on the grid of the series.

    Examples:
        Give the results back to the archive, and to a planning system::

            metseg.export("out/case.json", "dicom_folder", formats=["seg", "sr"], identity="keep")
            metseg.export("out/case.json", "dicom_folder", formats=["rtstruct"], margin_mm=2.0)
    """
    from metseg.dicom_export.source_series import SourceStudies

    number = None if series is None else str(series)
    folder = optional_path("out", out)
    return list(
        export_result(
            prediction,
            SourceStudies(_roots(source)),
            folder,
            formats=require_texts("formats", formats),
            series=number,
            identity=require_instance("identity", identity, str, expected="pseudonym or keep"),
            margin={"margin_mm": margin_mm, "margin_kind": margin_kind},
            model=model,
        ).files
    )


def export_result(
    prediction: Prediction | str | Path,
    source: SourceStudies,
    out: Path | None,
    *,
    formats: Sequence[str],
    series: str | None = None,
    identity: str = "pseudonym",
    margin: dict[str, Any] | None = None,
    model: str | Path | None = None,
) -> Exported:
    """Write a prediction as DICOM objects; see `export`, which checks the types of its arguments.

    Args:
        source: the same for all results of one call, so that its files are read once.
        margin: the fields of `metseg.dicom_export.ExportOptions`.
    """
    from metseg.dicom_export import build_exports, read_source_headers, write_exports
    from metseg.dicom_export.source_series import find_source_series

    options = check_export(formats, identity=identity, margin=margin)
    if isinstance(prediction, Prediction):
        content, recorded = _of_prediction(prediction, model)
        if out is None:
            raise UsageError("no output folder is given", where="out", cure="pass the folder of the objects")
    elif isinstance(prediction, str | Path):
        path = require_path("prediction", prediction)
        content, recorded = _of_document(path)
        out = path.parent if out is None else out
    else:
        raise wrong_type("prediction", prediction, expected="a metseg.Prediction, or the path of <case>.json")
    found = find_source_series(source, case_id=content.case_id, recorded=recorded, series=series)
    if not isinstance(prediction, Prediction):
        content = replace(content, report_pdf=partial(_report_of_document, Path(prediction), found, model, content))
    headers = read_source_headers(found, identity="keep" if identity == "keep" else "pseudonym")
    objects = build_exports(content, headers, formats, options)
    out.mkdir(parents=True, exist_ok=True)
    written = write_exports(objects, content.case_id, out)
    empty = tuple(name for name, made in objects.items() if not made)
    return Exported(tuple(written), empty, _margin_notes(options.margin_mm, headers.step_mm))


def _margin_notes(margin_mm: float | None, step_mm: float) -> tuple[str, ...]:
    """Return that a margin stays within the slices of its lesion: a voxel belongs to it by its centre.

    >>> _margin_notes(2.0, 5.0), _margin_notes(2.0, 3.0)
    (('the margin of 2 mm does not reach the next slice, because slices are 5 mm apart',), ())
    """
    if margin_mm is None or margin_mm >= step_mm / 2:
        return ()
    return (f"the margin of {margin_mm:g} mm does not reach the next slice, because slices are {step_mm:.3g} mm apart",)


def check_export(formats: Sequence[str], *, identity: str, margin: dict[str, Any] | None = None) -> ExportOptions:
    """Return the options of an export, checked before anything is read or computed; arguments as `export_result`.

    Raises:
        UsageError: an unknown format or identity, a value out of range, an option without effect, or a missing package.
    """
    from metseg.dicom_export import ExportOptions, require_exports

    lookup("identity", dict.fromkeys(IDENTITIES), identity)
    options = validated(ExportOptions, margin or {}, where="export")
    require_exports(formats, options)
    return options


def _roots(source: object) -> tuple[Path, ...]:
    if isinstance(source, str | Path):
        return (require_path("source", source),)
    if isinstance(source, Sequence) and source:
        return tuple(require_path("source", one) for one in source)
    raise wrong_type("source", source, expected="the path of a DICOM study, or a list of paths")


def _of_prediction(prediction: Prediction, model: str | Path | None) -> tuple[ResultContent, str]:
    """Return the content of a prediction in memory, and the name of the series of its reference."""
    from metseg.dicom_export import ResultContent

    affine = prediction.reference_image.affine
    if affine is None:
        raise _pictures(prediction.case.case_id)
    now = datetime.now().astimezone()
    reference = prediction.reference or next(iter(prediction.case.images))
    sources = {record.sequence: record.source for record in prediction.case.sequence_records}
    content = ResultContent(
        prediction.case.case_id,
        prediction.labels,
        prediction.instances,
        affine,
        prediction.scheme,
        prediction.lesions,
        prediction.model,
        now,
        prediction.fingerprint,
        prediction.probability,
        partial(_report_of_prediction, prediction, model, now),
    )
    return content, sources.get(reference, "")


def _report_of_prediction(prediction: Prediction, model: str | Path | None, made_at: datetime) -> bytes:
    from metseg.reporting.study.formats import needs_extra
    from metseg.reporting.study.model_info import find_model, model_of_folder, require_same_model
    from metseg.reporting.study.pdf_writer import study_pdf
    from metseg.reporting.study.report_builder import Options, report_of_prediction

    if model is None:
        known = find_model(prediction.model, prediction.fingerprint)
    else:
        where = prediction.case.case_id
        known = require_same_model(model_of_folder(model), prediction.fingerprint, where=where)
    report = report_of_prediction(prediction, known, options=Options(made_on=made_at.date()))
    with needs_extra():
        return study_pdf(report)


def _of_document(path: Path) -> tuple[ResultContent, str]:
    """Return the content of a result in files, without a report, and the name of the series of its reference.

    The objects are dated by the document's time of writing.
    """
    from metseg.dicom_export import ResultContent

    document = read_document(path)
    if document.matrix is None:
        raise _pictures(document.case)
    mask = _read_mask(document, path)
    labels = check_labels(mask.data, lookup("label scheme", LABEL_SCHEMES, _scheme(document)), where=path)
    instances = number_lesions(labels)
    sizes = np.bincount(instances.ravel())[1:]
    if sizes.tolist() != [lesion.voxels for lesion in document.lesions]:
        raise InputError(
            "the mask is not that of the document",
            where=path,
            expected=f"{len(document.lesions)} lesions of the sizes in the document",
            got=f"{len(sizes)} lesions",
            cure="give the mask that was written with the document; predict again if it was edited",
            code="input.mask_mismatch",
        )
    made_at = datetime.fromtimestamp(int(path.stat().st_mtime)).astimezone()
    content = ResultContent(
        document.case,
        labels,
        instances,
        document.matrix,
        _scheme(document),
        document.lesions,
        document.model,
        made_at,
        document.bundle,
        _read_probability(document, path),
    )
    sources = {record.sequence: record.source for record in document.sequences}
    return content, sources.get(document.technique.reference, "")


def _scheme(document: Document) -> str:
    return document.technique.labels or "binary"


def _report_of_document(path: Path, series: Series, model: str | Path | None, content: ResultContent) -> bytes:
    """Return the report of a document, drawn on the series that the objects refer to."""
    from metseg.io.dicom import load_series
    from metseg.reporting.study.formats import needs_extra
    from metseg.reporting.study.from_disk import report_of_document
    from metseg.reporting.study.pdf_writer import study_pdf
    from metseg.reporting.study.report_builder import Options

    image = load_series(series).volume
    assert image.affine is not None
    turned = turn_onto(image.affine, content.affine)(image.data)
    options = Options(made_on=content.made_at.date())
    report = report_of_document(path, images=Volume(turned, content.affine), model=model, options=options)
    with needs_extra():
        return study_pdf(report)


def _read_mask(document: Document, path: Path) -> Volume:
    place = path.with_name(f"{path.stem}-seg.nii.gz")
    if not place.is_file():
        raise InputError(
            "the mask beside the document is missing",
            where=place,
            cure="predict with --format mask",
            code="input.missing",
        )
    return _on_grid(read_mask_nifti(place), document, place)


def _read_probability(document: Document, path: Path) -> Any:
    """Return (X, Y, Z) the probabilities where they were written beside the document, else None."""
    place = path.with_name(f"{path.stem}-probability.nii.gz")
    if not place.is_file():
        return None
    return np.asarray(_on_grid(read_volume(place)[0], document, place).data, dtype=np.float32)


def _on_grid(volume: Volume, document: Document, place: Path) -> Volume:
    difference = grid_difference(Grid(document.shape, document.matrix), volume.grid)
    if difference is None:
        return volume
    raise GeometryError(
        "a file is not on the grid of the result",
        where=place,
        got=difference,
        cure="give the document and the files of the same prediction",
        code="input.affine_mismatch",
    )


def _pictures(case_id: str) -> UsageError:
    return UsageError(
        "the result is one of pictures, which have no place in a patient",
        where=case_id,
        expected="a result of a volume",
        cure="convert pictures with another program, or predict on the DICOM series itself",
        code="export.pictures",
    )
