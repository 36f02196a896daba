"""Check that a case resembles the training data of a network; differences are reported with every result."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from metseg.errors import InputError
from metseg.io.case_source import CaseSource
from metseg.io.images.channel_names import EQUAL_CHANNELS, MEANINGLESS_OTHERWISE
from metseg.io.images.slice_stack import SliceStackSource
from metseg.io.prediction_inputs import made_for_pictures
from metseg.preprocess import check_steps
from metseg.preprocess.missing_sequences import grey_sequence
from metseg.recipe import PredictPart, Recipe
from metseg.volume import BRAIN_MASK, Case

ON_A_VOLUME = (
    "the model was trained on pictures, not on volumes: it sees each slice along the third axis of the file alone and"
    " ignores orientation and pixel size; its accuracy on volumes was not measured"
)
ON_PICTURES = (
    "the model was trained on slices of volumes, not on pictures; pictures lack orientation, pixel size and the"
    " scanner's intensity values; its accuracy on pictures was not measured"
)
UNMEASURED = "the accuracy of the model without"
CHANGED_POINT = "so the model's scores do not apply to this result"
#: What a warning says where the model's scores do not hold, because of the input or of options: the number of lesions
#: is then in doubt.
MISFIT_TEXTS = (CHANGED_POINT, ON_A_VOLUME, ON_PICTURES, UNMEASURED, MEANINGLESS_OTHERWISE, EQUAL_CHANNELS)
#: Entry of a bundle's metrics: the scores on cases that lack every sequence that may be missing.
REQUIRED_ONLY = "validation_required_only"
UNUSED_MASK = "the brain mask is ignored: the model uses the whole images"


def require_dimensions(case: Case, recipe: Recipe) -> None:
    """Refuse pictures for a network of volumes, and volumes that lack what a network of pictures needs.

    Raises:
        InputError: ``input.dimensions``.
    """
    if case.is_slice_stack:
        _require_pictures_fit(recipe, where=case.case_id)
    else:
        require_channels(case.images, recipe, where=case.case_id)


def _require_pictures_fit(recipe: Recipe, *, where: object) -> None:
    if recipe.data.dimensions == 3:
        raise InputError(
            "the model needs a volume, but pictures were given",
            where=where,
            cure="choose a model for pictures, or give the volume as NIfTI or DICOM",
            code="input.dimensions",
        )


def require_voxel_size(case: Case, part: PredictPart, own: PredictPart) -> None:
    """Refuse a smallest volume that was asked for where the images have no voxel size.

    Args:
        case: as it was read.
        part: how masks are made.
        own: the same as the model's recipe says; pictures ignore a smallest volume that comes from there.
    Raises:
        InputError: ``input.no_spacing``.
    """
    is_asked_for = part.minimum_mm3 not in (own.minimum_mm3, 0)
    if is_asked_for and all(image.affine is None for image in case.images.values()):
        raise InputError(
            "the images have no voxel size, so a smallest volume in mm³ cannot be applied",
            where=case.case_id,
            cure="give NIfTI or DICOM images, or leave --min-volume out",
            code="input.no_spacing",
        )


def operating_point_warnings(part: PredictPart, own: PredictPart) -> tuple[str, ...]:
    """Return a sentence if masks are made with another threshold or smallest volume than the model's own.

    Args:
        part: how masks are made.
        own: the same as the model's recipe says.

    >>> operating_point_warnings(PredictPart(threshold=0.3), PredictPart())
    ("threshold 0.3 instead of the model's 0.5, so the model's scores do not apply to this result",)
    """
    changes = []
    if part.threshold != own.threshold:
        changes.append(f"threshold {part.threshold:g} instead of the model's {own.threshold:g}")
    if part.minimum_mm3 != own.minimum_mm3:
        changes.append(f"smallest volume {part.minimum_mm3:g} mm³ instead of the model's {own.minimum_mm3:g} mm³")
    return (f"{' and '.join(changes)}, {CHANGED_POINT}",) if changes else ()


def require_channels(sequences: Collection[str], recipe: Recipe, *, where: object) -> None:
    """Refuse a volume that lacks what a network of pictures needs.

    Args:
        sequences: of the volume.
        recipe: of the network.
        where: the case, for the message.
    Raises:
        InputError: ``input.dimensions``.
    """
    lacking = [name for name in recipe.data.inputs if name not in (*sequences, *recipe.data.optional)]
    if lacking and trained_on_pictures(recipe):
        got = f"a volume without {', '.join(lacking)}"
        raise made_for_pictures(recipe.data, where=where, got=got, grey=grey_sequence(recipe))


def require_fitting_source(source: CaseSource, recipe: Recipe, *, where: object) -> None:
    """Refuse a volume that a network of pictures cannot see, and pictures for a network of volumes, by their files.

    Raises:
        InputError: ``input.dimensions``.
    """
    if isinstance(source, SliceStackSource):
        _require_pictures_fit(recipe, where=where)
    else:
        require_channels(source.modalities, recipe, where=where)


def unmeasured_without(case: Case, recipe: Recipe, metrics: Mapping[str, Any]) -> tuple[str, ...]:
    """Return a sentence if a case lacks sequences and the scores without them were not measured."""
    lacking = [name for name in recipe.data.optional if name not in case.images]
    if not lacking or REQUIRED_ONLY in metrics:
        return ()
    return (f"{UNMEASURED} {', '.join(lacking)} was not measured",)


def trained_on_pictures(recipe: Recipe) -> bool:
    """Return whether a recipe is for pictures: it names what their channels are, in the order of the files."""
    return recipe.data.dimensions == 2 and bool(recipe.data.channels)


def fit_warnings(case: Case, recipe: Recipe) -> tuple[str, ...]:
    """Return in what a case differs in kind from what a network was trained on, a sentence each."""
    uses_mask = any(step.spec.kind == "region" for step in check_steps(recipe.preprocess))
    remarks = {
        ON_A_VOLUME: trained_on_pictures(recipe) and not case.is_slice_stack,
        ON_PICTURES: recipe.data.dimensions == 2 and not trained_on_pictures(recipe) and case.is_slice_stack,
        UNUSED_MASK: BRAIN_MASK in case.images and not uses_mask,
    }
    return tuple(text for text, holds in remarks.items() if holds)


def misfit_warnings(warnings: Iterable[str]) -> tuple[str, ...]:
    """Return those warnings by which the model's scores do not hold for a result.

    They are known by their text, since documents of 0.1.0 hold no more than that.

    >>> misfit_warnings(["t1c: a voxel was not finite", "the accuracy of the model without t1n was not measured"])
    ('the accuracy of the model without t1n was not measured',)
    """
    return tuple(warning for warning in warnings if any(text in warning for text in MISFIT_TEXTS))
