"""Create a study report from a prediction in memory or from the output of ``metseg predict``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from pydantic import Field

from metseg.class_styles import class_styles
from metseg.geometry import spacing_mm
from metseg.inference.brain.brain_border import made_brain_mask
from metseg.inference.lesion_sides import oblique_degrees, with_sides
from metseg.inference.prediction import Prediction
from metseg.labels import LABEL_SCHEMES
from metseg.lesion import Lesion
from metseg.picture_style import COLOUR_NAMES, Styles
from metseg.recipe import Frozen
from metseg.reporting.study.document_reader import Document, MaskFacts, parse_document
from metseg.reporting.study.key_images import Shown, VolumePixels, volume_key_images
from metseg.reporting.study.key_slices import PicturePixels, picture_key_images, shown_pictures
from metseg.reporting.study.lesion_location import letters_hold
from metseg.reporting.study.preprocessing_text import describe_steps
from metseg.reporting.study.study_report import KeyImage, Model, ReadImage, StudyReport, Technique
from metseg.volume import Case


class Options(Frozen):
    """Options of a report."""

    #: Number of lesions with key images, the largest first; the others are in the table.
    key_images: Annotated[int, Field(ge=0, le=100)] = 6
    #: Replaces the name of the case; pictures are then numbered, not named.
    pseudonym: str | None = None
    #: Date of the report; None: today.
    made_on: date | None = None


@dataclass(frozen=True)
class Pixels:
    """Image data of a report.

    Args:
        volume: data of a volume; None: no key images and sides.
        pictures: data of pictures, by number from 1; those with the largest lesions.
        lacking: sentence on missing data; empty: nothing is missing.
    """

    volume: VolumePixels | None = None
    pictures: Mapping[int, PicturePixels] | None = None
    lacking: str = ""


def report_of_prediction(
    prediction: Prediction, model: Model | None = None, *, options: Options | None = None
) -> StudyReport:
    """Return the report of a prediction in memory.

    Args:
        prediction: from a `Predictor`.
        model: the model, from `metseg.reporting.study.model_info`; None: only its name is known.
        options: of the report.
    """
    from metseg.inference.outputs.case_document import CaseReport

    known = model or Model(prediction.model)
    gathered = CaseReport(prediction.case.case_id, known.name, known.fingerprint)
    gathered.add(prediction)
    content = gathered.document()
    brain = made_brain_mask(prediction.case, prediction.records)
    return report_of_case(content, prediction.case, prediction.labels, known, options=options or Options(), brain=brain)


def report_of_case(
    content: dict[str, Any],
    case: Case,
    labels: npt.NDArray[np.uint8],
    model: Model,
    *,
    options: Options,
    brain: npt.NDArray[np.bool_] | None = None,
) -> StudyReport:
    """Return the report of a case in memory.

    Args:
        content: its document, from `metseg.inference.outputs.case_document.CaseReport.document`.
        case: its images.
        labels: (X, Y, Z) class ids.
        model: the model that made the prediction.
        options: of the report.
        brain: (X, Y, Z) the brain mask made by metseg, drawn as an outline; None: there is none.
    Raises:
        InputError: an invalid document, or one that does not match the mask.
    """
    document = parse_document(content, where=case.case_id)
    return make_report(document, model, pixels=_pixels_of(case, labels, document, options, brain), options=options)


def _pixels_of(
    case: Case,
    labels: npt.NDArray[np.uint8],
    document: Document,
    options: Options,
    brain: npt.NDArray[np.bool_] | None,
) -> Pixels:
    if document.matrix is not None:
        reference = document.technique.reference
        return Pixels(volume=VolumePixels(labels, document.matrix, case.images[reference].data, reference, brain))
    image = case.background.data
    shown = shown_numbers(document, options)
    return Pixels(
        pictures={number: PicturePixels(labels[:, :, number - 1], image[:, :, number - 1]) for number in shown}
    )


def shown_numbers(document: Document, options: Options) -> list[int]:
    """Return the numbers, from 1, of the pictures for key images."""
    return shown_pictures(document.lesions[: options.key_images], count=document.shape[2])


def make_report(document: Document, model: Model, *, pixels: Pixels, options: Options) -> StudyReport:
    """Return the report of a checked document.

    Raises:
        InputError: a lesion of the document is not in the mask (``input.mask_mismatch``).
    """
    lesions = _lesions(document, pixels.volume)
    names = document.slices if options.pseudonym is None else ()
    is_named = options.pseudonym in (None, document.case)
    shown = Shown(options.pseudonym or document.case, _styles(document))
    return StudyReport(
        pseudonym=shown.case,
        made_on=options.made_on or date.today(),
        version=document.metseg,
        technique=_technique(document, lesions, names_files=is_named),
        # Age and sex could tell who a pseudonym is.
        clinical=document.clinical if is_named else {},
        grade=document.grade,
        model=model,
        classes=_classes(document),
        headline=document.top,
        colours={style.title: COLOUR_NAMES[style.colour] for style in shown.styles.values()},
        lesions=lesions,
        key_images=_key_images(lesions, pixels, shown, names=names, most=options.key_images),
        lacking=pixels.lacking,
        picture_names=names,
        unread=dict(sorted(Counter(failure.code for failure in document.failed).items())),
        warnings=document.warnings,
    )


def _key_images(
    lesions: tuple[Lesion, ...], pixels: Pixels, shown: Shown, *, names: tuple[str, ...], most: int
) -> tuple[KeyImage, ...]:
    if pixels.volume is not None:
        return volume_key_images(pixels.volume, lesions, shown, most=most)
    if pixels.pictures is not None:
        return picture_key_images(pixels.pictures, lesions, shown, names=names, most=most)
    return ()


def _lesions(document: Document, volume: VolumePixels | None) -> tuple[Lesion, ...]:
    """Return the lesions; sides that the document lacks are determined from the image."""
    if document.has_sides or volume is None or volume.image is None:
        return document.lesions
    return with_sides(document.lesions, volume.image, volume.affine)


def _technique(document: Document, lesions: Sequence[Lesion], *, names_files: bool) -> Technique:
    """Return the technique; file names are left out if the study has a pseudonym."""
    facts, affine = document.technique, document.matrix
    known = {record.sequence: record for record in document.sequences}
    return Technique(
        sequences=tuple(
            ReadImage(
                name,
                image.shape,
                image.spacing_mm,
                source=known[name].source if name in known and names_files else "",
                reason=known[name].reason if name in known else "",
            )
            for name, image in facts.images.items()
        ),
        reference=facts.reference,
        shape=document.shape,
        spacing_mm=None if affine is None else spacing_mm(affine),
        oblique_degrees=None if affine is None else oblique_degrees(affine),
        steps=None if facts.preprocess is None else describe_steps(facts.preprocess),
        threshold=None if facts.predict is None else facts.predict.threshold,
        decisions=_decisions(facts.predict, is_volume=affine is not None),
        is_pictures=affine is None,
        is_lettered=_is_lettered(document, lesions),
        is_calibrated=None if facts.predict is None else facts.predict.is_calibrated,
    )


def _is_lettered(document: Document, lesions: Sequence[Lesion]) -> bool:
    """Return whether coordinates may have letters for right and left: they must not contradict a side."""
    affine = document.matrix
    if affine is None:
        return False
    return letters_hold(affine, document.shape, ((lesion.centre_mm, lesion.side) for lesion in lesions))


def _decisions(masks: MaskFacts | None, *, is_volume: bool) -> tuple[str, ...]:
    """Return what was decided on the way from probabilities to a mask, beside the threshold."""
    if masks is None:
        return ()
    smallest_mm3 = masks.minimum_mm3 if is_volume else 0  # pictures have no size in mm
    said = (
        (masks.tta, "Probabilities are the average over mirror images of the study."),
        (masks.minimum_voxels > 0, f"Connected pieces of fewer than {masks.minimum_voxels} voxels were discarded."),
        (smallest_mm3 > 0, f"Connected pieces of less than {smallest_mm3:g} mm³ were discarded."),
        (masks.fill_holes, "Holes in lesions were filled."),
        (masks.keep_largest, "Only the largest connected piece was kept: others are not reported."),
    )
    return tuple(sentence for holds, sentence in said if holds)


def _styles(document: Document) -> Styles:
    return class_styles(document.technique.labels)


def _classes(document: Document) -> tuple[str, ...]:
    scheme = LABEL_SCHEMES.get(document.technique.labels or "")
    if scheme is not None:
        return tuple(scheme.classes.values())
    return tuple(sorted({name for lesion in document.lesions for name in lesion.voxels_by_label}))
