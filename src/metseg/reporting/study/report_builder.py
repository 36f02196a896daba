"""Make a study report: of a prediction in memory, or of what ``metseg predict`` wrote to disk."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any

from pydantic import Field

from metseg.geometry import spacing_mm
from metseg.inference.brain_border import made_brain_mask
from metseg.inference.prediction import Prediction
from metseg.labels import LABEL_SCHEMES
from metseg.measure import MM3_PER_ML, voxel_volume_mm3
from metseg.plot.colours import (
    BLUE,
    GREEN,
    ORANGE,
    PURPLE,
    SKY_BLUE,
    VERMILION,
    YELLOW,
    Colour,
    class_colour,
)
from metseg.recipe import Frozen
from metseg.reporting.study.document_reader import Document, FoundLesion, MaskFacts, parse_document
from metseg.reporting.study.key_images import VolumePixels, volume_key_images
from metseg.reporting.study.key_slices import PicturePixels, picture_key_images, shown_pictures
from metseg.reporting.study.lesion_location import letters_hold, oblique_degrees, sides
from metseg.reporting.study.preprocessing_text import describe_steps
from metseg.reporting.study.study_report import KeyImage, Lesion, Model, ReadImage, StudyReport, Technique

#: What people call the colours of the outlines.
COLOURS: Mapping[Colour, str] = {
    ORANGE: "orange",
    SKY_BLUE: "light blue",
    VERMILION: "red",
    PURPLE: "purple",
    YELLOW: "yellow",
    BLUE: "dark blue",
    GREEN: "green",
}


class Options(Frozen):
    """What can be chosen of a report."""

    #: How many lesions are shown, the largest first; the others are in the table.
    key_images: Annotated[int, Field(ge=0, le=100)] = 6
    #: Names the study in place of the case's own name; pictures are then numbered, not named.
    pseudonym: str | None = None
    #: Date of the report; None: today.
    made_on: date | None = None


@dataclass(frozen=True)
class Pixels:
    """What a report shows and measures on.

    Args:
        volume: of a volume; None: key images and sides are left out.
        pictures: of pictures, by number from 1; those that the largest lesions lie in.
        lacking: what was not at hand, a sentence for the reader; empty: nothing.
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
        model: by which it was made, from `metseg.reporting.study.model_info`; None: no more than its name is known.
        options: of the report.
    """
    from metseg.inference.case_document import CaseReport

    known = model or Model(prediction.model)
    gathered = CaseReport(prediction.case.case_id, known.name, known.fingerprint)
    gathered.add(prediction)
    document = parse_document(gathered.document(), where=prediction.case.case_id)
    options = options or Options()
    return make_report(document, known, pixels=_pixels_of(prediction, document, options), options=options)


def _pixels_of(prediction: Prediction, document: Document, options: Options) -> Pixels:
    if document.matrix is not None:
        reference = prediction.reference or next(iter(prediction.case.images))
        image = prediction.reference_image.data
        brain = made_brain_mask(prediction.case, prediction.records)
        return Pixels(volume=VolumePixels(prediction.labels, document.matrix, image, reference, brain))
    image = prediction.case.background.data
    shown = shown_numbers(document, options)
    return Pixels(
        pictures={
            number: PicturePixels(prediction.labels[:, :, number - 1], image[:, :, number - 1]) for number in shown
        }
    )


def shown_numbers(document: Document, options: Options) -> list[int]:
    """Return the numbers, from 1, of the pictures that key images are made of."""
    shown = [_lesion(found, document, side=None) for found in document.lesions[: options.key_images]]
    return shown_pictures(shown, count=document.shape[2])


def make_report(document: Document, model: Model, *, pixels: Pixels, options: Options) -> StudyReport:
    """Return the report of a checked document.

    Raises:
        InputError: a lesion of the document is not in the mask (``input.mask_mismatch``).
    """
    lesions = _lesions(document, pixels.volume)
    names = document.slices if options.pseudonym is None else ()
    return StudyReport(
        pseudonym=options.pseudonym or document.case,
        made_on=options.made_on or date.today(),
        version=document.metseg,
        technique=_technique(document, lesions, names_files=options.pseudonym in (None, document.case)),
        model=model,
        classes=_classes(document),
        colours=_colours(document),
        lesions=lesions,
        key_images=_key_images(lesions, pixels, names=names, most=options.key_images),
        lacking=pixels.lacking,
        picture_names=names,
        unread=dict(sorted(Counter(failure.code for failure in document.failed).items())),
        warnings=document.warnings,
    )


def _key_images(
    lesions: tuple[Lesion, ...], pixels: Pixels, *, names: tuple[str, ...], most: int
) -> tuple[KeyImage, ...]:
    if pixels.volume is not None:
        return volume_key_images(pixels.volume, lesions, most=most)
    if pixels.pictures is not None:
        return picture_key_images(pixels.pictures, lesions, names=names, most=most)
    return ()


def _lesions(document: Document, volume: VolumePixels | None) -> tuple[Lesion, ...]:
    where: tuple[Any, ...] = (None,) * len(document.lesions)
    if volume is not None and volume.image is not None:
        where = sides(volume.image, volume.affine, [lesion.centre_voxel for lesion in document.lesions])
    return tuple(_lesion(found, document, side=side) for found, side in zip(document.lesions, where, strict=True))


def _lesion(found: FoundLesion, document: Document, *, side: Any) -> Lesion:
    affine = document.matrix
    by_class = None
    if affine is not None:
        voxel_ml = voxel_volume_mm3(affine) / MM3_PER_ML
        by_class = {name: count * voxel_ml for name, count in found.voxels_by_label.items()}
    in_picture = found.slice_index if found.slice_index is not None else round(found.centre_voxel[2])
    return Lesion(
        number=found.id,
        label=found.label,
        voxels=found.voxels,
        volume_ml=found.volume_ml,
        volume_by_class_ml=by_class,
        diameter_mm=found.longest_diameter_mm,
        axial_diameter_mm=found.longest_axial_diameter_mm,
        centre_mm=found.centre_mm,
        centre_voxel=found.centre_voxel,
        side=side,
        picture=in_picture + 1 if affine is None else None,
        probability=found.confidence,
        pictures=tuple(index + 1 for index in found.slices),
        picture_voxels=found.slice_voxels,
        picture_centre=found.slice_centre,
    )


def _technique(document: Document, lesions: Sequence[Lesion], *, names_files: bool) -> Technique:
    """Return how the result came about; a file's name is left out where the study goes by a pseudonym."""
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
        decisions=_decisions(facts.predict),
        is_pictures=affine is None,
        is_lettered=_is_lettered(document, lesions),
        is_calibrated=None if facts.predict is None else facts.predict.is_calibrated,
    )


def _is_lettered(document: Document, lesions: Sequence[Lesion]) -> bool:
    """Return whether letters for right and left may stand beside coordinates: they must not contradict a side."""
    affine = document.matrix
    if affine is None:
        return False
    return letters_hold(affine, document.shape, ((lesion.centre_mm, lesion.side) for lesion in lesions))


def _decisions(masks: MaskFacts | None) -> tuple[str, ...]:
    """Return what was decided on the way from probabilities to a mask, beside the threshold."""
    if masks is None:
        return ()
    said = (
        (masks.tta, "Probabilities are the average over mirror images of the study."),
        (masks.minimum_voxels > 0, f"Connected pieces of fewer than {masks.minimum_voxels} voxels were discarded."),
        (masks.fill_holes, "Holes in lesions were filled."),
        (masks.keep_largest, "Only the largest connected piece was kept: others are not reported."),
    )
    return tuple(sentence for holds, sentence in said if holds)


def _colours(document: Document) -> dict[str, str]:
    scheme = LABEL_SCHEMES.get(document.technique.labels or "")
    return {} if scheme is None else {name: COLOURS[class_colour(value)] for value, name in scheme.classes.items()}


def _classes(document: Document) -> tuple[str, ...]:
    scheme = LABEL_SCHEMES.get(document.technique.labels or "")
    if scheme is not None:
        return tuple(scheme.classes.values())
    return tuple(sorted({name for lesion in document.lesions for name in lesion.voxels_by_label}))
