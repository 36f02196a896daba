"""Figures of a data set and of a study, as papers show them: sequences with mask, planes, split, classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from metseg.class_styles import class_styles, legend_of
from metseg.errors import InputError
from metseg.geometry import same_grid, spacing_mm, turn_to_ras
from metseg.io.case_source import CaseSource
from metseg.io.splits import PARTS, Split
from metseg.labels import LABEL_SCHEMES, check_labels
from metseg.measure import label_instances, typical_voxel
from metseg.picture_style import Styles
from metseg.plot.images.overlay import draw_labels, grey
from metseg.plot.images.panel_grid import Rgb, draw_panel_grid
from metseg.plot.images.planes import Caption, cut_through, draw_planes
from metseg.plot.share_bars import draw_share_bars
from metseg.preprocess.pipeline import prepare
from metseg.recipe import Recipe
from metseg.sequence_titles import SEQUENCE_TITLES, sequence_title
from metseg.volume import BRAIN_MASK, Array, Case, Volume

Labels = npt.NDArray[np.uint8]


def draw_sequences(sources: Sequence[CaseSource], path: Path, *, labels: str) -> None:
    """Write a row per case: each of its sequences in the slice with the most lesion, and the mask by class.

    Args:
        sources: at least one case of volumes, all with the same sequences and a mask.
        path: PNG or SVG.
        labels: name of the label scheme.
    Raises:
        InputError: a case without a mask, or with other sequences than the first.
    """
    styles = class_styles(labels)
    rows: list[tuple[list[Rgb], set[int]]] = []
    titles: tuple[str, ...] = ()
    for source in sources:
        case = source.load()
        names = tuple(sorted((name for name in case.images if name != BRAIN_MASK), key=_place))
        if titles and names != titles:
            raise InputError(
                "the cases have different sequences",
                where=case.case_id,
                expected=", ".join(titles),
                got=", ".join(names),
                cure="name cases with the same sequences (--case)",
                code="input.sequence",
            )
        titles = names
        rows.append(_sequence_row(case, names, styles))
    draw_panel_grid(
        [pictures for pictures, _ in rows],
        path,
        titles=[*(sequence_title(name) for name in titles), "mask"],
        names=[source.case_id for source in sources],
        legend=legend_of(styles, {value for _, values in rows for value in values}),
    )


def draw_prepared_planes(source: CaseSource, recipe: Recipe, path: Path, *, sequence: str) -> None:
    """Write the three planes of a study after the preprocessing of a recipe, through its largest lesion.

    Args:
        source: the case.
        recipe: of the preprocessing.
        path: PNG or SVG.
        sequence: one of the recipe's.
    Raises:
        InputError: ``input.sequence``, the recipe does not read the sequence.
    """
    from metseg.inference.brain.brain_extraction import ensure_brain_mask  # imports torch, which the others do not need

    prepared = prepare(ensure_brain_mask(source.load(), recipe), recipe)
    if sequence not in prepared.modalities:
        raise InputError(
            f"the recipe does not read the sequence {sequence}",
            where=recipe.name,
            expected=", ".join(prepared.modalities),
            cure="choose one of these with --sequence",
            code="input.sequence",
        )
    image = np.asarray(prepared.image[prepared.modalities.index(sequence)])
    labels = np.zeros(image.shape, np.uint8) if prepared.labels is None else prepared.labels
    spacing = (1.0, 1.0, 1.0)
    if prepared.affine is not None:
        turn = turn_to_ras(prepared.affine)
        spacing = spacing_mm(turn.affine(prepared.affine, image.shape))
        image, labels = turn(image), turn(labels)
    centre = _largest_lesion(labels, spacing)
    draw_planes(
        image,
        labels,
        path,
        spacing_mm=spacing,
        cuts=[cut_through(image.shape, centre, sequence_title(sequence))],
        caption=Caption(f"{source.case_id}, prepared as in {recipe.name}", class_styles(recipe.data.labels)),
    )


def draw_classes(case: Case, prediction: Volume, path: Path, *, labels: str, sequence: str) -> None:
    """Write image, truth and prediction of a case side by side, by class, in the slice with the most true lesion.

    Args:
        case: with a mask.
        prediction: on the grid of the mask.
        path: PNG or SVG.
        labels: label scheme of both.
        sequence: background.
    Raises:
        InputError: no mask, no such sequence, or the sequence or the prediction on another grid than the mask.
    """
    truth = _truth(case)
    if sequence not in case.images:
        raise InputError(
            f"the case has no sequence {sequence}",
            where=case.case_id,
            expected=", ".join(name for name in case.images if name != BRAIN_MASK),
            cure="choose one of these with --sequence",
            code="input.sequence",
        )
    for name, volume, cure in (
        ("prediction", prediction, "give the mask that metseg predict wrote for this case"),
        (f"sequence {sequence}", case.images[sequence], "choose a sequence on the grid of the mask with --sequence"),
    ):
        if not same_grid(truth.grid, volume.grid):
            raise InputError(
                f"the {name} and the truth are on different grids",
                where=case.case_id,
                expected=truth.grid,
                got=volume.grid,
                cure=cure,
                code="input.shape_mismatch",
            )
    styles = class_styles(labels)
    predicted = check_labels(prediction.data, LABEL_SCHEMES[labels], where="prediction")
    true, found = _in_ras(Volume(truth.data, truth.affine)), _in_ras(Volume(predicted, prediction.affine))
    z = _fullest_slice(np.asarray(true))
    back = grey(_axial(_in_ras(case.images[sequence]), z, of=true.shape[2]))
    masks = [np.asarray(_axial(mask, z, of=true.shape[2]), dtype=np.uint8) for mask in (true, found)]
    draw_panel_grid(
        [[back, *(draw_labels(back, mask, styles) for mask in masks)]],
        path,
        titles=[sequence_title(sequence), "truth", "prediction"],
        names=[case.case_id],
        legend=legend_of(styles, {int(value) for mask in masks for value in np.unique(mask)}),
    )


def split_counts(split: Split) -> dict[str, int]:
    """Return part, or fold, of a split -> how many patients or slices it holds; empty parts are left out."""
    parts: Mapping[str, Sequence[str]] = (
        {f"fold {place}": units for place, units in enumerate(split.folds)} | {"test": split.test}
        if split.folds
        else {part: getattr(split, part) for part in PARTS}
    )
    return {name: len(units) for name, units in parts.items() if units}


def draw_split(split: Split, path: Path) -> None:
    """Write how many patients or slices each part of a split holds."""
    leak = ": leaks patients" if split.leaks_patients else ""
    draw_share_bars(split_counts(split), path, title=f"Split by {split.by}{leak}", unit=f"{split.by}s")


def _sequence_row(case: Case, names: Sequence[str], styles: Styles) -> tuple[list[Rgb], set[int]]:
    truth = _truth(case)
    mask = np.asarray(_in_ras(truth), dtype=np.uint8)
    z = _fullest_slice(mask)
    shown = np.asarray(_axial(mask, z, of=mask.shape[2]), dtype=np.uint8)
    pictures = [grey(_axial(_in_ras(case.images[name]), z, of=mask.shape[2])) for name in names]
    filled = draw_labels(np.zeros((*shown.shape, 3), np.uint8), shown, styles, opacity=1.0)
    return [*pictures, filled], set(map(int, np.unique(shown)))


def _truth(case: Case) -> Volume:
    if case.labels is None:
        raise InputError(
            "the case has no mask of its lesions",
            where=case.case_id,
            cure="choose a case with a mask (--case)",
            code="input.no_truth",
        )
    return case.labels


def _in_ras(volume: Volume) -> Array:
    return volume.data if volume.affine is None else turn_to_ras(volume.affine)(volume.data)


def _axial(array: Array, z: int, *, of: int) -> Array:
    """Return a slice as a radiologist sees it; of a grid with other slices the one at the same height."""
    return np.asarray(array[::-1, ::-1, min(array.shape[2] - 1, z * array.shape[2] // of)].T)


def _fullest_slice(labels: Labels) -> int:
    """Return the axial slice with the most lesion; without any the middle one."""
    areas = np.count_nonzero(labels, axis=(0, 1))
    return int(areas.argmax()) if areas.any() else labels.shape[2] // 2


def _largest_lesion(labels: Labels, spacing: Sequence[float]) -> tuple[float, float, float]:
    """Return the typical voxel of the largest lesion; without any the middle of the volume."""
    instances, count = label_instances(labels)
    if not count:
        x, y, z = (side / 2 for side in labels.shape)
        return x, y, z
    largest = 1 + int(np.bincount(instances.ravel())[1:].argmax())
    x, y, z = typical_voxel(instances == largest, spacing)
    return x, y, z


def _place(name: str) -> tuple[int, str]:
    """Return the place of a sequence in `SEQUENCE_TITLES`; others come last, by name."""
    known = list(SEQUENCE_TITLES)
    return known.index(name) if name in known else len(known), name
