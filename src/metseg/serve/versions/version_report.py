"""The document and the reports of a version, made like those of the model's result; both say that it was corrected."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from metseg.geometry import Grid, same_grid
from metseg.grade_record import OUTLINES_CORRECTED
from metseg.headline import Headline
from metseg.io.volumes.nifti import read_mask_nifti
from metseg.message_text import pluralize
from metseg.reporting.study.document_reader import Document, parse_document
from metseg.reporting.study.html_writer import write_study_html
from metseg.reporting.study.key_images import VolumePixels
from metseg.reporting.study.key_slices import PicturePixels
from metseg.reporting.study.model_info import find_model
from metseg.reporting.study.pdf_writer import write_study_pdf
from metseg.reporting.study.report_builder import Options, Pixels, make_report, shown_numbers
from metseg.runtime.atomic_io import write_text
from metseg.serve.versions.findings import Findings, StudyPixels


@dataclass(frozen=True)
class VersionText:
    """What the document of a version says of it.

    Args:
        study_id: id of the study.
        number: of the version.
        parent: number of the version that was corrected.
        source: ``edits`` or ``mask``.
        author: as the client stated it; may be empty.
        headline: of the lesions that count.
    """

    study_id: str
    number: int
    parent: int
    source: str
    author: str
    headline: Headline

    def warning(self, rejected: int) -> str:
        """Return the sentence that leads the warnings of the document and the report."""
        how = "an uploaded mask" if self.source == "mask" else "edits"
        who = f" by {self.author}" if self.author else ""
        left_out = f"; {pluralize(rejected, 'rejected finding')} left out" if rejected else ""
        return f"corrected{who}: version {self.number}, made from version {self.parent} by {how}{left_out}"


def write_documents(artifacts: Path, folder: Path, findings: Findings, pixels: StudyPixels, text: VersionText) -> None:
    """Write ``lesions.json``, ``report.html`` and ``report.pdf`` of a version.

    Args:
        artifacts: folder of the study's results.
        folder: folder of the version.
        findings: of the version.
        pixels: of the study.
        text: of the version.
    """
    original = json.loads((artifacts / "lesions.json").read_text("utf-8"))
    content = _document(original, findings, text)
    write_text(folder / "lesions.json", json.dumps(content, indent=2))
    document = parse_document(content, where="lesions.json")
    options = Options(pseudonym=text.study_id)
    model = find_model(document.model, document.bundle)
    shown = _pixels(artifacts, document, findings, pixels, options)
    report = make_report(document, model, pixels=shown, options=options)
    write_study_html(report, folder / "report.html")
    write_study_pdf(report, folder / "report.pdf")


def _document(original: dict[str, Any], findings: Findings, text: VersionText) -> dict[str, Any]:
    rejected = findings.table[len(findings.counted) :]
    # The grade is that of the original outlines.
    kept = {key: value for key, value in original.items() if key != "grade"}
    if "grade" in original:
        kept["no_grade"] = OUTLINES_CORRECTED
    return {
        **kept,
        "version": text.number,
        "headline": text.headline.model_dump(mode="json"),
        "lesions": [lesion.model_dump(mode="json") for lesion in findings.counted],
        "rejected": [lesion.model_dump(mode="json") for lesion in rejected],
        "warnings": [text.warning(len(rejected)), *_without_lesion_numbers(original["warnings"])],
    }


def _without_lesion_numbers(warnings: list[str]) -> list[str]:
    """Return the warnings that do not refer to the numbers of the model's lesions, which the version may not have."""
    return [warning for warning in warnings if not warning.startswith(("lesion ", "lesions "))]


def _pixels(artifacts: Path, document: Document, findings: Findings, pixels: StudyPixels, options: Options) -> Pixels:
    labels = findings.mask
    if pixels.affine is None:
        numbers = shown_numbers(document, options)
        image = pixels.image
        return Pixels(
            pictures={number: PicturePixels(labels[:, :, number - 1], image[:, :, number - 1]) for number in numbers}
        )
    brain = _brain(artifacts, pixels)
    reference = document.technique.reference
    return Pixels(volume=VolumePixels(labels, pixels.affine, pixels.image, reference, brain))


def _brain(artifacts: Path, pixels: StudyPixels) -> npt.NDArray[np.bool_] | None:
    """Return the brain mask that metseg made, where it lies on the grid of the result."""
    path = artifacts / "brain_mask.nii.gz"
    if not path.is_file():
        return None
    mask = read_mask_nifti(path)
    return (
        np.asarray(mask.data, dtype=np.float32) > 0 if same_grid(mask.grid, Grid(pixels.shape, pixels.affine)) else None
    )
