"""Write the report of a predicted study for people to read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from metseg.argument_checks import (
    optional_path,
    require_file_name,
    require_instance,
    require_path,
    require_texts,
    wrong_type,
)
from metseg.errors import UsageError
from metseg.inference.prediction import Prediction
from metseg.recipe import validated
from metseg.reporting.study.formats import check_request, write_report
from metseg.reporting.study.from_disk import report_of_document
from metseg.reporting.study.model_info import find_model, model_of_folder, require_same_model
from metseg.reporting.study.pdf_writer import DEFAULT_PAPER
from metseg.reporting.study.report_builder import Options, report_of_prediction
from metseg.reporting.study.study_report import StudyReport


def report(
    study: Prediction | str | Path,
    out: str | Path | None = None,
    *,
    formats: Sequence[str] = ("pdf",),
    images: str | Path | None = None,
    model: str | Path | None = None,
    pseudonym: str | None = None,
    key_images: int | None = None,
    paper: str = DEFAULT_PAPER,
) -> list[Path]:
    """Write the report of a predicted study: key images, lesion table, total burden, the model's scores, limits.

    Args:
        study: a prediction, or the path of the document ``<case>.json`` that `metseg.Prediction.save` or
            ``metseg predict`` wrote.
        out: the folder of the report, created if absent; None: the folder of the document. Required for a prediction.
        formats: ``pdf``, ``html``, or both.
        images: for a document: the images of the study, to draw on; None: outlines are drawn on black.
        model: name or folder of the bundle that was used, or the folder of its training; None: searched among those of
            ``metseg models list``.
        pseudonym: name of the study in the report; None: its own.
        key_images: number of lesions shown in full, the largest first, 0 to 100; None: the default of the report.
        paper: ``A4`` or ``Letter``, for PDF.
    Returns:
        the files: ``<case>-report.pdf`` and the like.
    Raises:
        UsageError: an unknown format, paper or model, a missing package (extra ``report``), or an argument of a wrong
            type.
        InputError: no such document, or a mask or images that are not those of the prediction.
        GeometryError: images on another grid than the mask.
        BundleError: the bundle is damaged.

    Examples:
        From memory, and from files::

            metseg.report(prediction, "out", formats=["html"])
            metseg.report("out/case.json", images="patient_folder")
    """
    names = require_texts("formats", formats)
    sheet = check_request(names, paper=require_instance("paper", paper, str, expected="A4 or Letter"))
    if pseudonym is not None:
        require_file_name("pseudonym", pseudonym)
    chosen: dict[str, Any] = {"pseudonym": pseudonym}
    if key_images is not None:
        chosen["key_images"] = key_images
    options = validated(Options, chosen, where="report")
    folder, bundle, seen = optional_path("out", out), _model_name(model), optional_path("images", images)
    if isinstance(study, Prediction):
        made, folder, name = _of_prediction(study, folder, bundle, seen, options)
    elif isinstance(study, str | Path):
        document = require_path("study", study)
        made = report_of_document(document, images=seen, model=bundle, options=options)
        folder, name = folder or document.parent, document.stem
    else:
        raise wrong_type("study", study, expected="a metseg.Prediction, or the path of <case>.json")
    folder.mkdir(parents=True, exist_ok=True)
    return write_report(made, folder / f"{pseudonym or name}-report", names, paper=sheet)


def _model_name(model: object) -> str | Path | None:
    if model is None or isinstance(model, str | Path):
        return model
    raise wrong_type("model", model, expected="the name of a bundle, its folder, or None")


def _of_prediction(
    prediction: Prediction, out: Path | None, model: str | Path | None, images: Path | None, options: Options
) -> tuple[StudyReport, Path, str]:
    """Return the report of a prediction, the folder that receives it, and the name of the study."""
    case_id = prediction.case.case_id
    if out is None:
        raise UsageError(
            "no output folder is given for the prediction", where="out", cure="pass the folder of the report"
        )
    if images is not None:
        raise UsageError(
            "the prediction already holds its images", where="images", cure="leave them out", code="usage.options"
        )
    if model is None:
        known = find_model(prediction.model, prediction.fingerprint)
    else:
        known = require_same_model(model_of_folder(model), prediction.fingerprint, where=case_id)
    return report_of_prediction(prediction, known, options=options), out, case_id
