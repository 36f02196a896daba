"""Create a study report from the output of ``metseg predict``: JSON document, masks and, if given, the images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePath
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from metseg.errors import GeometryError, InputError
from metseg.geometry import Grid, grid_difference, same_grid
from metseg.io.case_source import CaseSource
from metseg.io.images.images_2d import read_mask
from metseg.io.images.slice_stack import SliceStackSource
from metseg.io.prediction_inputs import find_inputs
from metseg.io.volumes.nifti import read_mask_nifti
from metseg.io.volumes.nifti_file import NIFTI_ENDINGS
from metseg.io.volumes.study_source import study_from_files
from metseg.labels import LABEL_SCHEMES, check_labels
from metseg.recipe import DataPart
from metseg.registry import lookup
from metseg.reporting.study.document_reader import Document, read_document
from metseg.reporting.study.key_images import Labels, VolumePixels
from metseg.reporting.study.key_slices import PicturePixels
from metseg.reporting.study.model_info import find_model, model_of_folder, require_same_model
from metseg.reporting.study.report_builder import Options, Pixels, make_report, shown_numbers
from metseg.reporting.study.study_report import StudyReport
from metseg.volume import BRAIN_MASK, Volume

Source = TypeVar("Source", bound=CaseSource)

NO_MASK = "No mask was found beside the document, so there are no key images."
NO_IMAGES = "No images were given, so outlines are drawn on black."
#: Text if neither the document nor the images contain the sides.
NO_SIDES = "The side of a lesion is not known."


def report_of_document(
    path: Path, *, images: Path | Volume | None = None, model: str | Path | None = None, options: Options | None = None
) -> StudyReport:
    """Return the report of a case that ``metseg predict`` wrote.

    Args:
        path: the document ``<case>.json``; masks are expected beside it.
        images: the study, a file or a folder as passed to ``metseg predict``; of a volume also its reference image
            itself; None: outlines on black.
        model: name or folder of the bundle that made the prediction; None: it is searched by its fingerprint.
        options: of the report.
    Raises:
        InputError: no such document, or a mask or images that do not belong to the prediction.
        GeometryError: images on another grid than the mask.
        UsageError: another model, or an unknown name.
        BundleError: the bundle is damaged.
    """
    options = options or Options()
    document = read_document(path)
    if model is None:
        known = find_model(document.model, document.bundle)
    else:
        known = require_same_model(model_of_folder(model), document.bundle, where=path)
    if document.affine:
        pixels = _volume(document, path, images)
    else:
        assert not isinstance(images, Volume)
        pixels = _pictures(document, path, images, options)
    return make_report(document, known, pixels=pixels, options=options)


def _volume(document: Document, path: Path, images: Path | Volume | None) -> Pixels:
    """Return mask and reference image of a volume."""
    place = path.with_name(f"{path.stem}-seg.nii.gz")
    if not place.is_file():
        return Pixels(lacking=_lacking(NO_MASK, document))
    mask = read_mask_nifti(place)
    affine = document.matrix
    assert affine is not None
    _require_grid(Grid(document.shape, affine), mask.grid, what="the mask", where=place)
    labels = _checked(mask, document, place)
    if images is None:
        volume = VolumePixels(labels, affine, brain=_brain(document, path, mask))
        return Pixels(volume=volume, lacking=_lacking(NO_IMAGES, document))
    if isinstance(images, Volume):
        name, image, where = document.technique.reference, images, path
    else:
        (name, image), where = _reference_image(document, images), images
    _require_grid(mask.grid, image.grid, what="the image", where=where)
    return Pixels(volume=VolumePixels(labels, affine, image.data, name, _brain(document, path, mask)))


def _brain(document: Document, path: Path, mask: Volume) -> npt.NDArray[np.bool_] | None:
    """Return the brain mask that metseg made, where ``--format brain-mask`` wrote it on the grid of the result."""
    made = any(step.get("step") == "brain_mask" and "method" in step for step in document.technique.preprocess or ())
    place = path.with_name(f"{path.stem}-brain_mask.nii.gz")
    if not made or not place.is_file():
        return None
    brain = read_mask_nifti(place)
    return np.asarray(brain.data, dtype=np.uint8) > 0 if same_grid(brain.grid, mask.grid) else None


def _lacking(what: str, document: Document) -> str:
    """Return the text on missing data, with a note on sides for documents of 0.1.0, which lack them."""
    return what if document.has_sides else f"{what} {NO_SIDES}"


def _checked(mask: Volume, document: Document, place: Path) -> Labels:
    """Return class ids; where the document does not name their scheme, all values of the mask."""
    scheme = LABEL_SCHEMES.get(document.technique.labels or "")
    if scheme is None:
        return np.asarray(mask.data, dtype=np.uint8)
    return check_labels(mask.data, scheme, where=place)


def _reference_image(document: Document, images: Path) -> tuple[str, Volume]:
    """Return the image that defines the grid of the result, and its name."""
    names = tuple(name for name in document.technique.images if name != BRAIN_MASK)
    reference = document.technique.reference or next(iter(names), "")
    recorded = _recorded_file(document, reference, images)
    if recorded is not None:
        return reference, study_from_files({reference: recorded}).load().images[reference]
    data = DataPart(modalities=names, reference=reference or None)
    case = _only(find_inputs(images, data), document, images).load()
    name = reference or next(iter(case.images))
    return name, case.images[name]


def _recorded_file(document: Document, sequence: str, images: Path) -> Path | None:
    """Return the file that was read as a sequence according to the document; None if it is missing."""
    source = next((record.source for record in document.sequences if record.sequence == sequence), None)
    if source is None or PurePath(source).name != source:
        return None
    place = images if images.is_file() else images / source
    return place if place.name == source and place.is_file() and source.lower().endswith(NIFTI_ENDINGS) else None


def _require_grid(expected: Grid, got: Grid, *, what: str, where: Path) -> None:
    difference = grid_difference(expected, got)
    if difference is not None:
        raise GeometryError(
            f"{what} is not on the grid of the result",
            where=where,
            got=difference,
            cure="give the document, the mask and the images of the same prediction",
            code="input.affine_mismatch" if expected.shape == got.shape else "input.shape_mismatch",
        )


def _pictures(document: Document, path: Path, images: Path | None, options: Options) -> Pixels:
    """Return the pictures to show, each with its mask."""
    numbers = [number for number in shown_numbers(document, options) if number <= len(document.slices)]
    names = [document.slices[number - 1] for number in numbers]
    places = [_mask_place(path, name) for name in names]
    if not places or not all(place.is_file() for place in places):
        return Pixels(lacking=NO_MASK)
    scheme = lookup("label scheme", LABEL_SCHEMES, document.technique.labels or "binary")
    masks = [np.asarray(read_mask(place, scheme).labels, dtype=np.uint8).T for place in places]
    if images is None:
        found = (PicturePixels(mask) for mask in masks)
        return Pixels(pictures=dict(zip(numbers, found, strict=True)), lacking=NO_IMAGES)
    stack = _named_pictures(document, images, names)
    for place, mask in zip(places, masks, strict=True):
        one = Grid((mask.shape[0], mask.shape[1], 1), None)
        _require_grid(one, Grid((stack.shape[0], stack.shape[1], 1), None), what="the picture", where=place)
    pictures = (PicturePixels(mask, stack.data[:, :, place]) for place, mask in enumerate(masks))
    return Pixels(pictures=dict(zip(numbers, pictures, strict=True)))


def _mask_place(path: Path, name: str) -> Path:
    """Return the path of the mask of a picture, which is always in the document's folder or below it.

    Raises:
        InputError: the name points outside of that folder.
    """
    place = path.parent / f"{name}_mask.png"
    if not place.resolve().is_relative_to(path.parent.resolve()):
        raise InputError("the document names a picture outside its folder", where=path, code="input.document")
    return place


def _named_pictures(document: Document, images: Path, names: Sequence[str]) -> Volume:
    """Return pictures by name, as a stack in this order; of several sequences, the one for drawing results.

    By name, of any patient: an option of the prediction may have named the patients, and the document does not.
    """
    found = find_inputs(images, channels=tuple(document.technique.images))
    stacks = [stack for stack in found if isinstance(stack, SliceStackSource)]
    by_name = {piece.name: piece for stack in stacks for piece in stack.slices}
    missing = [name for name in names if name not in by_name]
    if missing:
        raise InputError(
            "a picture that the prediction used is missing",
            where=images,
            expected=missing[0],
            cure="give the folder that was predicted on, with all its pictures",
            code="input.missing",
        )
    return replace(stacks[0], slices=tuple(by_name[name] for name in names)).load().background


def _only(sources: Sequence[Source], document: Document, images: Path) -> Source:
    """Return the study of the document: the one with its name, or the only one."""
    chosen = [source for source in sources if source.case_id == document.case] or list(sources)
    if len(chosen) == 1:
        return chosen[0]
    raise InputError(
        "no study, or more than one, matches the document",
        where=images,
        expected=f"one study, or one called {document.case}",
        got=f"{len(chosen)} studies",
        cure="give the file or folder of this study only",
        code="input.several_cases",
    )
