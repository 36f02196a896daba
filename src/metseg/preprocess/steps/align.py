"""Align every image of a case to the grid of one of them, the reference; results are on that grid."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from metseg.errors import GeometryError, InputError
from metseg.geometry import Affine, same_grid, turn_between, voxel_map
from metseg.preprocess.head_mask import fill_value, head_mask
from metseg.preprocess.interpolation import Method, covered, labels_onto_grid, onto_grid
from metseg.preprocess.prepared_case import Record
from metseg.preprocess.registration import Start, register_rigid
from metseg.preprocess.registration_metrics import Fit, fit
from metseg.preprocess.step_text import Details
from metseg.recipe import Fraction, Frozen
from metseg.volume import BRAIN_MASK, Case, Volume

Mask = npt.NDArray[np.bool_]


class Options(Frozen):
    #: resample: the scanner's coordinates are right; rigid: the patient may have moved between the images.
    method: Literal["resample", "rigid"] = "rigid"
    #: linear: never leaves the range of the values; bspline (cubic): sharper, and may overshoot at edges.
    interpolation: Method = "linear"
    #: Position from which the rigid registration begins. header: where the scanner says the heads are; moments: the
    #: centres of the heads on each other; geometry: the centres of the images on each other; best: the one of these
    #: that leads to the best fit.
    start: Start = "best"
    #: Dice coefficient of the two heads, where both images are, below which the images are refused.
    least_head_overlap: Fraction = 0.8
    #: Normalised mutual information within the head below which they are refused; 1: independent of each other.
    #: Measured in a clinical study of 5.5 mm slices: at least 1.045 registered, at most 1.020 by coordinates that were
    #: wrong by 16 mm. It need not tell another patient's head from the same one, nor need the overlap.
    least_mutual_information: float = 1.03
    #: Share of the reference's head that an image has to show.
    least_coverage: Fraction = 0.5


@dataclass(frozen=True)
class Reference:
    """What the others are brought to.

    Args:
        volume: the image.
        head: where it shows tissue.
        brain: where it shows brain, if the case says so on this grid.
    """

    volume: Volume
    head: Mask
    brain: Mask | None

    @classmethod
    def of(cls, case: Case, name: str) -> Reference:
        volume = case.images[name]
        head = head_mask(volume.data[None])
        mask = case.images.get(BRAIN_MASK)
        given = mask and _exactly(mask, volume)
        return cls(volume, head, None if given is None else given.data.astype(np.float32) > 0.5)


@dataclass(frozen=True)
class Moved:
    """An image on the reference's grid.

    Args:
        volume: the values there.
        world: (4, 4) from points of the reference, mm, to where they were in the image.
        before, after: how well it fits by the scanner's coordinates and now; None where a head was not found.
    """

    volume: Volume
    world: Affine
    before: Fit | None = None
    after: Fit | None = None


def apply(case: Case, options: Options, *, reference: str) -> tuple[Case, Record]:
    """Return the case on one grid.

    Images that are there already stay as they are, bit by bit, and so do those that only have their axes in another
    order. The others are resampled, after a rigid registration if the method says so. Labels and a brain mask go with
    the image on their own grid; labels are resampled class by class. The record and the warnings state how well each
    image fits.

    Raises:
        InputError: the heads do not fit (``input.registration``), by the limits in the options.
        GeometryError: an image on another grid that does not say where it lies.
    """
    target = case.images[reference]
    if all(same_grid(volume.grid, target.grid) for volume in _everything(case).values()):
        return case, Record("align", {"reference": reference, **options.model_dump(mode="json"), "moved": {}})
    _require_places(case, reference)
    worlds: dict[str, Affine] = {}
    images, details, warnings = {}, {}, []
    compared: Reference | None = None
    for name, volume in case.images.items():
        if name == BRAIN_MASK:
            continue
        exact = _exactly(volume, target)
        if exact is None:
            compared = compared or Reference.of(case, reference)
            moved = _move(volume, compared, options)
            _require_fit(moved, options, what=f"{name} and {reference}", where=case.case_id)
            details[name] = _figures(moved)
            warnings.append(_sentence(moved, name, reference))
        else:
            moved = Moved(exact, np.eye(4))
        images[name] = Volume(moved.volume.data, target.affine)
        worlds[name] = moved.world
    if details:  # one type for all, or whole numbers beside resampled ones would be warned of as joined
        images = {name: Volume(each.data.astype(np.float32, copy=False), each.affine) for name, each in images.items()}
    if BRAIN_MASK in case.images:
        images[BRAIN_MASK] = _mask_moved(case, case.images[BRAIN_MASK], target, worlds)
    labels = case.labels and _mask_moved(case, case.labels, target, worlds)
    case = replace(case, images=images, labels=labels, warnings=(*case.warnings, *warnings))
    return case, Record("align", {"reference": reference, **options.model_dump(mode="json"), "moved": details})


def truth_on_reference(case: Case, record: Record) -> Volume:
    """Return the labels of a case, which were left aside when it was aligned, on the grid of the reference.

    Args:
        case: as it was read, with labels.
        record: of `apply`; the labels move like the image on their grid.
    Raises:
        GeometryError: an image or the labels do not say where they lie.
    """
    assert case.labels is not None
    return _on_reference(case, case.labels, record)


def brain_mask_on_reference(case: Case, record: Record) -> Volume:
    """Return the brain mask of a case on the grid of the reference, values 0 to 1; it moves as `truth_on_reference`.

    Raises:
        GeometryError: an image or the mask does not say where it lies.
    """
    mask = case.images[BRAIN_MASK]
    target = case.images[record.details["reference"]]
    return mask if same_grid(mask.grid, target.grid) else _on_reference(case, mask, record)


def _on_reference(case: Case, mask: Volume, record: Record) -> Volume:
    _require_places(case, record.details["reference"])
    moved = record.details["moved"]
    worlds = {
        name: np.asarray(moved[name]["world"]) if name in moved else np.eye(4)
        for name in case.images
        if name != BRAIN_MASK
    }
    return _mask_moved(case, mask, case.images[record.details["reference"]], worlds)


def _everything(case: Case) -> Mapping[str, Volume]:
    return {**case.images, **({} if case.labels is None else {"labels": case.labels})}


def _require_places(case: Case, reference: str) -> None:
    for name, volume in _everything(case).items():
        if volume.affine is None:
            raise GeometryError(
                f"{name} has no affine, and the images are on several grids",
                where=case.case_id,
                expected=f"an affine, or the shape {case.images[reference].shape} for all",
                got=f"{volume.shape} without affine",
                cure="give NIfTI or DICOM files with their affine",
                code="input.no_affine",
            )


def _exactly(volume: Volume, target: Volume) -> Volume | None:
    """Return the volume with its axes in the target's order; None where the grids differ in more than that order."""
    assert volume.affine is not None
    assert target.affine is not None
    turn = turn_between(volume.affine, target.affine)
    turned = Volume(turn(volume.data), turn.affine(volume.affine, volume.shape))
    if not same_grid(turned.grid, target.grid):
        return None
    return volume if turn.is_identity else Volume(np.ascontiguousarray(turned.data), target.affine)


def _move(volume: Volume, reference: Reference, options: Options) -> Moved:
    """Resample an image onto the reference's grid, where the method says the same tissue is."""
    head = head_mask(volume.data[None])
    before = _placed(volume, reference, options, head=head, world=np.eye(4))
    if options.method == "resample":
        return replace(before, before=before.after)
    world = register_rigid(
        reference.volume,
        volume,
        fixed_head=reference.head,
        moving_head=head,
        fixed_brain=reference.brain,
        start=options.start,
    )
    return replace(_placed(volume, reference, options, head=head, world=world), before=before.after)


def _placed(volume: Volume, reference: Reference, options: Options, *, head: Mask, world: Affine) -> Moved:
    """Return the image on the reference's grid, and how well it fits there."""
    target = reference.volume
    assert volume.affine is not None
    assert target.affine is not None
    values = onto_grid(volume, target.grid, world=world, method=options.interpolation, fill=fill_value(volume.data))
    image = Volume(values, target.affine)
    if not head.any() or not reference.head.any():
        return Moved(image, world)
    there = covered(volume.shape, voxel_map(volume.affine, target.affine, world), target.shape)
    placed = onto_grid(Volume(head, volume.affine), target.grid, world=world) >= 0.5
    return Moved(image, world, after=fit(target.data, values, heads=(reference.head, placed), covered=there))


def _mask_moved(case: Case, mask: Volume, target: Volume, worlds: Mapping[str, Affine]) -> Volume:
    """Return labels or a brain mask on the target's grid, moved like the image on their own grid.

    Where that image is not used, the scanner's coordinates give their place.
    """
    exact = _exactly(mask, target)
    if exact is not None:
        return Volume(exact.data, target.affine)
    same = (world for image, world in worlds.items() if same_grid(mask.grid, case.images[image].grid))
    world = next(same, None)
    if mask is not case.labels:
        return Volume(onto_grid(mask, target.grid, world=world), target.affine)
    return Volume(labels_onto_grid(mask, target.grid, world=world), target.affine)


def _require_fit(moved: Moved, options: Options, *, what: str, where: str) -> None:
    """Reject an image that is not aligned: every later result would be wrong and look right."""
    limits = Fit(options.least_mutual_information, options.least_head_overlap, options.least_coverage)
    if moved.after is None or all(value >= limit for value, limit in zip(moved.after, limits, strict=True)):
        return
    cure = (
        'or set method = "rigid" for the step align' if options.method == "resample" else "and leave out the wrong one"
    )
    raise InputError(
        f"{what} are not aligned",
        where=where,
        expected=f"at least: {_words(limits)}",
        got=_words(moved.after),
        cure=f"check that both show the same head, {cure}",
        code="input.registration",
    )


def _words(figures: Fit) -> str:
    return (
        f"normalised mutual information {figures.mutual_information:.3f}, overlap of the heads "
        f"{figures.head_overlap:.2f}, share of the head shown {figures.coverage:.2f}"
    )


def _motion(moved: Moved) -> tuple[float, float]:
    """Return by how many degrees an image was turned, and by how many mm the middle of the grid was moved."""
    assert moved.volume.affine is not None
    cosine = (np.trace(moved.world[:3, :3]) - 1) / 2
    middle = moved.volume.affine @ [*(np.asarray(moved.volume.shape) - 1) / 2, 1]
    shift = float(np.linalg.norm((moved.world @ middle - middle)[:3]))
    return float(np.degrees(np.arccos(np.clip(cosine, -1, 1)))), shift


def _figures(moved: Moved) -> dict[str, Any]:
    """Return what the record says of an image: where it was, and how well it fits."""
    degrees, shift_mm = _motion(moved)
    return {
        "turned_degrees": round(degrees, 3),
        "moved_mm": round(shift_mm, 3),
        "world": [[round(value, 9) for value in row] for row in moved.world.tolist()],
        "before": moved.before and moved.before.to_json(),
        "after": moved.after and moved.after.to_json(),
    }


def _sentence(moved: Moved, name: str, reference: str) -> str:
    """Return how an image was moved, for readers of the result; the record has the figures of the fit."""
    if moved.before is None or moved.after is None:
        return f"{name} was placed on {reference}; how well it fits is unknown, because not both show a head"
    degrees, shift_mm = _motion(moved)
    by = f"moved by {shift_mm:.1f} mm and {degrees:.1f}° to fit" if degrees or shift_mm else "placed on"
    return f"{name} was {by} {reference}; the heads overlap by {100 * moved.after.head_overlap:.0f} %"


def describe(record: Details) -> str:
    """Return what the step did, in a sentence for the report of a study."""
    moved: Mapping[str, Details] = record["moved"]
    if not moved:
        return "All sequences were on one grid; none was moved."
    return " ".join(_moved_text(name, figures, record) for name, figures in moved.items())


def _moved_text(name: str, figures: Details, record: Details) -> str:
    if record["method"] == "resample":
        return f"{name} was resampled to the grid of {record['reference']} by the scanner's coordinates."
    by = f"{float(figures['moved_mm']):.1f} mm and {float(figures['turned_degrees']):.1f}°"
    return f"{name} was registered rigidly to {record['reference']}, by {by}, and resampled to its grid."
