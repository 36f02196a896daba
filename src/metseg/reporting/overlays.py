"""Overlays of the worst cases: the slice with the most errors, with truth and prediction outlined."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from metseg.errors import GeometryError, InputError, MetsegError
from metseg.evaluation import METRICS, CaseScores, ScoringConfig
from metseg.evaluation.files.case_files import CasePair
from metseg.evaluation.files.mask_io import read_pair
from metseg.geometry import grid_difference, spacing_mm, turn_to_ras
from metseg.io.images.images_2d import luminance, read_picture
from metseg.io.volumes.nifti import read_volume
from metseg.plot.images.outlines import Panel
from metseg.reporting.formatting import figure_text
from metseg.reporting.image_lookup import Images
from metseg.reporting.report_data import Overlay
from metseg.reporting.worst_cases import Worst, leading_figure, worst_cases
from metseg.volume import Array, Volume

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Drawn:
    """The overlays of the worst cases, and the reasons for those that are missing."""

    overlays: tuple[Overlay, ...] = ()
    problems: tuple[str, ...] = ()


def draw_worst(scores: Sequence[CaseScores], pairs: Sequence[CasePair], manner: ScoringConfig, images: Images) -> Drawn:
    """Draw the worst cases on their images. Cases that cannot be drawn are listed with the reason.

    Args:
        scores: of all cases.
        pairs: the files of all cases.
        manner: settings of the scoring.
        images: lookup of the images.
    """
    # Masks may be in the folder of the images and have the same names.
    masks = {path.resolve() for pair in pairs for path in (*pair.truth, *pair.prediction) if path is not None}
    find = partial(_image_of, images=images, masks=masks)
    by_case = {pair.case: pair for pair in pairs}
    overlays, problems = [], []
    column = leading_figure(scores)
    for worst in worst_cases(scores):
        case = worst.scores.case
        try:
            panel, where = _panel(worst, by_case[case], manner, find)
        except MetsegError as error:  # `where` is a path, which a shared report must not reveal
            problems.append(f"{case}: {error.what}")
            continue
        region = f"{worst.region}, " if len(worst.scores.regions) > 1 else ""
        value = f"{METRICS[column].title} {figure_text(worst.value)}"
        overlays.append(Overlay(f"{case} ({region}{where}): {value}", panel))
    return Drawn(tuple(overlays), tuple(problems))


def _image_of(mask: Path, *, images: Images, masks: Collection[Path]) -> Path:
    path = images.of(mask, masks=masks)
    if path is None:
        raise InputError("no image, or more than one, matches the mask by name", where=mask)
    return path


def _panel(worst: Worst, pair: CasePair, manner: ScoringConfig, find: Callable[[Path], Path]) -> tuple[Panel, str]:
    """Return the panel and the name of its slice.

    Raises:
        InputError, GeometryError: the image is missing, cannot be read, or does not fit the masks.
    """
    masks = read_pair(replace(pair, probability=()), manner)
    truth, prediction = (_region(mask, manner, worst.region) for mask in (masks.truth, masks.prediction))
    if pair.is_slices:
        return _of_slices(pair, truth, prediction, find)
    image, _ = read_volume(find(pair.truth[0]), channel=0)
    if difference := grid_difference(image.grid, Volume(masks.truth, masks.affine).grid):
        raise GeometryError(f"the image and the masks are on different grids: {difference}")
    return _of_volume(image, truth, prediction)


def _region(mask: Array, manner: ScoringConfig, region: str) -> Mask:
    """Return the boolean mask of a region from a mask as read; scoring has already checked its values."""
    scheme = manner.labels
    ids = np.rint(np.asarray(mask)).astype(np.int64)
    # A mask of one class may contain 255 instead of 1.
    return ids > 0 if len(scheme.classes) == 1 else scheme.region_mask(ids, region)


def _of_slices(pair: CasePair, truth: Mask, prediction: Mask, find: Callable[[Path], Path]) -> tuple[Panel, str]:
    z = _worst_slice(truth, prediction)
    pixels = read_picture(find(pair.truth[z])).pixels
    picture = luminance(pixels) if pixels.shape[2] == 3 else pixels[..., 0]
    if picture.T.shape != truth.shape[:2]:
        raise GeometryError("the image and the masks differ in size")
    return Panel(picture.T, truth[:, :, z], prediction[:, :, z], ""), f"slice {z + 1} of {truth.shape[2]}"


def _of_volume(image: Volume, truth: Mask, prediction: Mask) -> tuple[Panel, str]:
    assert image.affine is not None  # volumes come from files that have one
    turn = turn_to_ras(image.affine)
    planes = [turn(part) for part in (image.data, truth, prediction)]
    z = _worst_slice(planes[1], planes[2])
    x_mm, y_mm, _ = spacing_mm(turn.affine(image.affine, image.shape))
    # Radiological convention: the patient's right is on the left, the nose is up.
    picture, true, predicted = (plane[::-1, ::-1, z] for plane in planes)
    return Panel(picture, true, predicted, "", aspect=y_mm / x_mm), f"axial slice {z + 1} of {planes[0].shape[2]}"


def _worst_slice(truth: Mask, prediction: Mask) -> int:
    """Return the first slice with the most wrong voxels."""
    return int(np.count_nonzero(truth != prediction, axis=(0, 1)).argmax())
