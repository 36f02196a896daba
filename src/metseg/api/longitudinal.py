"""Follow the lesions of a patient over examinations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from metseg.argument_checks import optional_path, require_instance, require_path, require_texts, wrong_type
from metseg.errors import GeometryError, InputError, UsageError
from metseg.geometry import Grid, grid_difference
from metseg.inference.prediction import Prediction
from metseg.io.case_discovery import data_part
from metseg.io.case_source import CaseSource
from metseg.io.prediction_inputs import InputRules, find_inputs
from metseg.io.volumes.nifti import read_mask_nifti
from metseg.labels import LABEL_SCHEMES, check_labels
from metseg.longitudinal.follow_up import FollowUp, FollowUpOptions, follow_timepoints
from metseg.longitudinal.rano_bm import CLINICAL_STATUS, STEROIDS
from metseg.longitudinal.timepoint import Timepoint, registered_sequence
from metseg.registry import lookup
from metseg.reporting.follow_up.follow_up_files import write_follow_up
from metseg.reporting.study.document_reader import read_document
from metseg.reporting.study.formats import check_request
from metseg.reporting.study.pdf_writer import DEFAULT_PAPER
from metseg.volume import BRAIN_MASK, Case, Volume

EXPECTED = "the path of a study, or a metseg.Prediction"


def follow(
    studies: Sequence[Prediction | str | Path] | str | Path,
    *,
    predictions: str | Path | None = None,
    labels: str | None = None,
    dates: Sequence[str | date] = (),
    patient: str | None = None,
    steroids: Sequence[str] = (),
    clinical: Sequence[str] = (),
    repeatability_mm: float | None = None,
    out: str | Path | None = None,
    formats: Sequence[str] = ("pdf", "html"),
    paper: str = DEFAULT_PAPER,
) -> FollowUp:
    """Follow the lesions of a patient over two or more examinations.

    Later examinations are registered to the first one; lesions are matched and keep their number; sizes are compared
    with their error of measurement; the patient is assessed by the imaging part of RANO-BM.

    Args:
        studies: the examinations in order of time: folders or files of images, or predictions. A folder may hold
            several examinations, which are then taken in the order of their names.
        predictions: folder that ``metseg predict`` wrote for these studies; None: masks beside the images.
        labels: label scheme of masks beside the images; not for predictions, which state theirs.
        dates: one per examination, such as ``"2024-05-31"``; empty: taken from names that are such dates, else unknown.
        patient: names the result; None: the name of the patient in the data.
        steroids: ``none``, ``decreased``, ``stable`` or ``increased`` at each examination after the first.
        clinical: ``improved``, ``stable`` or ``worse`` at each examination after the first.
        repeatability_mm: standard deviation of the radius of an unchanged lesion outlined again; None: the
            error of measurement is that of the voxel grid alone.
        out: folder of ``<patient>-follow-up.json``, ``.csv`` and the report; None: nothing is written.
        formats: of the report: ``pdf`` and ``html``; empty: no report.
        paper: ``A4`` or ``Letter``, for PDF.
    Returns:
        a follow-up with its ``document``: examinations, lesions, changes and response.
    Raises:
        UsageError: an argument of a wrong type or value; dates or clinical inputs that do not fit the examinations;
            neither predictions nor labels for paths, or labels beside predictions (``usage.labels``).
        InputError: nothing that can be read, one examination only (``input.one_timepoint``), a study without a mask
            (``input.missing_prediction``, ``input.missing_truth``).
        GeometryError: pictures without a position in space, or a mask that is not on the grid of its document.

    Examples:
        Predict two examinations, then follow::

            first, second = (metseg.predict(folder, "mets-sim") for folder in ("2024-01-10", "2024-04-12"))
            followed = metseg.follow([first, second], dates=["2024-01-10", "2024-04-12"], out="followed")
            followed.document.headline
    """
    given = [studies] if isinstance(studies, str | Path) else list(studies)
    sheet = check_request(require_texts("formats", formats), paper=require_instance("paper", paper, str, expected="A4"))
    options = _options(steroids, clinical, repeatability_mm)
    folder, scheme = optional_path("predictions", predictions), labels
    _require_labels_needed(given, folder, labels)
    found: list[tuple[str, Timepoint]] = []
    for study in given:
        found += _timepoints(study, folder, scheme)
    timepoints = _with_names([timepoint for _, timepoint in found])
    timepoints = _with_days(timepoints, [_day(value) for value in dates])
    followed = follow_timepoints(timepoints, patient or _patient_of([name for name, _ in found]), options)
    if out is not None:
        write_follow_up(followed, require_path("out", out), formats, paper=sheet)
    return followed


def _require_labels_needed(studies: Sequence[Any], predictions: Path | None, labels: str | None) -> None:
    """Refuse a label scheme of masks that are not read; else it would be ignored."""
    if labels is None or (predictions is None and not all(isinstance(study, Prediction) for study in studies)):
        return
    raise UsageError(
        "a label scheme is given beside predictions, which state theirs",
        where="labels",
        got=labels,
        cure="give --predictions without --labels, or --labels alone for masks beside the images",
        code="usage.labels",
    )


def _options(steroids: Sequence[str], clinical: Sequence[str], repeatability_mm: float | None) -> FollowUpOptions:
    for name, values, allowed in (("steroids", steroids, STEROIDS), ("clinical", clinical, CLINICAL_STATUS)):
        for value in require_texts(name, values):
            lookup(f"value of {name}", dict.fromkeys(allowed), value)
    if repeatability_mm is not None and not (isinstance(repeatability_mm, int | float) and repeatability_mm >= 0):
        raise wrong_type("repeatability_mm", repeatability_mm, expected="a number of at least 0, or None")
    chosen: dict[str, Any] = {"steroids": tuple(steroids), "clinical": tuple(clinical)}
    return FollowUpOptions(**chosen, repeatability_mm=repeatability_mm)


def _timepoints(
    study: Prediction | str | Path, predictions: Path | None, labels: str | None
) -> list[tuple[str, Timepoint]]:
    """Return the patient and the examination of each study."""
    if isinstance(study, Prediction):
        return [(study.case.patient, _of_prediction(study))]
    if not isinstance(study, str | Path):
        raise wrong_type("studies", study, expected=EXPECTED)
    path = require_path("studies", study)
    if not path.exists():
        raise InputError("no such file or folder", where=path, cure="check the path", code="input.missing")
    if predictions is None and labels is None:
        raise UsageError(
            "it is not known where the masks are",
            where=path,
            cure="give --predictions, the folder that metseg predict wrote, or --labels, the label scheme of masks "
            "beside the images",
            code="usage.labels",
        )
    data = data_part(None, {"labels": labels or "binary"})
    rules = InputRules(one_per_folder=True, with_masks=predictions is None)
    sources = sorted(find_inputs(path, data, rules=rules), key=lambda source: (source.timepoint or "", source.case_id))
    return [(source.patient, _of_source(source, predictions, labels)) for source in sources]


def _of_prediction(prediction: Prediction) -> Timepoint:
    case = prediction.case
    affine = case.images[prediction.reference or next(iter(case.images))].affine
    return _timepoint(case, Volume(prediction.labels, affine), prediction.scheme, prediction.model)


def _of_source(source: CaseSource, predictions: Path | None, labels: str | None) -> Timepoint:
    case = source.load()
    if predictions is not None:
        return _timepoint(case, *_predicted(case, predictions))
    if case.labels is None:
        raise InputError(
            "the study has no mask",
            where=case.case_id,
            cure="put its mask beside the images, or give --predictions",
            code="input.missing_truth",
        )
    return _timepoint(case, case.labels, labels or "binary", "")


def _predicted(case: Case, folder: Path) -> tuple[Volume, str, str]:
    """Return the predicted mask of a case, its label scheme, and the model that made it.

    Raises:
        InputError: there is no document or no mask (``input.missing_prediction``).
        GeometryError: the mask is not on the grid of the document.
    """
    path, place = folder / f"{case.case_id}.json", folder / f"{case.case_id}-seg.nii.gz"
    for file in (path, place):
        if not file.is_file():
            raise InputError(
                "the study has no prediction",
                where=case.case_id,
                expected=file,
                cure="predict it: metseg predict STUDY --model NAME --out FOLDER",
                code="input.missing_prediction",
            )
    document, mask = read_document(path), read_mask_nifti(place)
    difference = None if document.matrix is None else grid_difference(Grid(document.shape, document.matrix), mask.grid)
    if difference is not None:
        raise GeometryError(
            "the mask is not on the grid of the result", where=place, got=difference, code="input.affine_mismatch"
        )
    scheme = document.technique.labels or "binary"
    values = check_labels(mask.data, lookup("label scheme", LABEL_SCHEMES, scheme), where=place)
    return Volume(values, mask.affine), scheme, document.model


def _timepoint(case: Case, labels: Volume, scheme: str, model: str) -> Timepoint:
    name = registered_sequence([name for name in case.images if name != BRAIN_MASK])
    image = None if name is None else case.images[name]
    if image is not None:
        image = Volume(np.asarray(image.data, dtype=np.float32), image.affine)
    patient = case.patient if case.patient != case.case_id else ""  # its own name: no patient is known
    return Timepoint(case.timepoint or case.case_id, labels, scheme, image, name or "", source=model, patient=patient)


def _with_names(timepoints: Sequence[Timepoint]) -> list[Timepoint]:
    """Return the examinations with unique names: numbered where names repeat."""
    names = [timepoint.name for timepoint in timepoints]
    if len(set(names)) == len(names):
        return list(timepoints)
    return [replace(timepoint, name=f"{number}. {timepoint.name}") for number, timepoint in enumerate(timepoints, 1)]


def _day(value: str | date) -> date:
    if isinstance(value, date):
        return value
    text = require_instance("dates", value, str, expected="a date such as '2024-05-31'")
    found = _date_of_name(text)
    if found is None:
        raise UsageError("not a date", where="dates", expected="such as 2024-05-31", got=text, code="usage.dates")
    return found


def _date_of_name(name: str) -> date | None:
    """Return the date that a name consists of; None for other names.

    >>> _date_of_name("2024-05-31"), _date_of_name("20240531"), _date_of_name("000")
    (datetime.date(2024, 5, 31), datetime.date(2024, 5, 31), None)
    """
    try:
        return date.fromisoformat(name)
    except ValueError:
        return None


def _with_days(timepoints: Sequence[Timepoint], days: Sequence[date]) -> list[Timepoint]:
    """Return the examinations with their dates, given or from names that are all dates."""
    if days and len(days) != len(timepoints):
        raise UsageError(
            "the number of dates is not that of the examinations",
            where="dates",
            expected=f"{len(timepoints)}, one per examination",
            got=len(days),
            code="usage.dates",
        )
    known = days or [day for timepoint in timepoints if (day := _date_of_name(timepoint.name)) is not None]
    if len(known) < len(timepoints):
        return list(timepoints)
    return [replace(timepoint, day=day) for timepoint, day in zip(timepoints, known, strict=True)]


def _patient_of(names: Sequence[str]) -> str:
    """Return the patient of all examinations; that of the first where folders name them differently."""
    return next(iter(names), "patient")
