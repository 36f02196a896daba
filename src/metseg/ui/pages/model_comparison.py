"""Compare the results of two models on the same images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import streamlit as st

from metseg.picture_style import ClassStyle
from metseg.schemas import Options, State, Study
from metseg.ui import error_display, result_cache, session_state
from metseg.ui.api_client import Api
from metseg.ui.display_text import STATES, finding_words, plain
from metseg.ui.pages.agreement import (
    Agreement,
    compare_masks,
    difference_layers,
    most_different,
    same_images,
    worth_asking,
)
from metseg.ui.pages.model_choice import choose_model
from metseg.ui.theme import BOTH, FIRST_ONLY, SECOND_ONLY
from metseg.ui.viewer import plane_drawing
from metseg.ui.viewer.components import Mask
from metseg.ui.viewer.display_controls import style_control
from metseg.ui.viewer.legend import show_legend
from metseg.ui.viewer.plane_drawing import Frame, Layer, Style
from metseg.ui.viewer.scene import PLANES, Plane, cut, pixel_spacing, same_grid

_SIDE = 420


@dataclass(frozen=True)
class Pair:
    """Two results in a plane.

    Args:
        picture: (rows, columns, 3).
        first: mask (rows, columns).
        second: mask (rows, columns).
        frame: frame of all three pictures.
    """

    picture: npt.NDArray[np.uint8]
    first: Mask
    second: Mask
    frame: Frame


@st.fragment
def show_comparison(api: Api, study: Study) -> None:
    """Show the results of two models side by side, or offer to run a second model."""
    with error_display.told():
        _draw(api, study)


def _draw(api: Api, study: Study) -> None:
    partners = partners_of(api, study)
    if not partners:
        st.info("No other model has analysed these images yet.")
    else:
        names = {partner.id: _name(partner) for partner in partners}
        chosen = st.selectbox("Compare with", list(names), format_func=names.__getitem__, key=f"partner-{study.id}")
        other = next(partner for partner in partners if partner.id == chosen)
        if study.facts.slices:
            _compare_slices(api, study, other)
        else:
            _compare_volumes(api, study, other)
    _offer_second(api, study)


def partners_of(api: Api, study: Study) -> list[Study]:
    """Return the studies of the same files by other models."""
    asked = (api.study(study_id) for study_id in worth_asking(study, api.studies(limit=100).studies))
    return [other for other in asked if same_images(study, other)]


def _name(study: Study) -> str:
    found = finding_words(len(study.lesions)) if study.lesions else "no finding"
    return f"{study.facts.model or study.options.model}: {found}"


def _compare_volumes(api: Api, study: Study, other: Study) -> None:
    with st.spinner("Fetching both results …"):
        first, second = result_cache.scene(api, study), result_cache.scene(api, other)
    if not same_grid(first, second):
        st.warning("The two results have different voxel grids, so they cannot be compared voxel by voxel.")
        return
    masks = first.mask(None), second.mask(None)
    _show_agreement(compare_masks(*masks), (_name(study), _name(other)), first.voxel_ml)
    left, right = st.columns([1, 2])
    with left:
        plane = PLANES[_plane_control(study)]
    with right:
        index = _slice_control(study, masks, plane)
    pair = Pair(
        plane_drawing.grey(cut(first.image.data, plane, index), first.window),
        cut(masks[0], plane, index),
        cut(masks[1], plane, index),
        Frame(pixel_spacing(first.spacing_mm, plane), marks=plane.marks, has_bar=True, side=_SIDE),
    )
    _show_with_style(pair, (study, other))


def _compare_slices(api: Api, study: Study, other: Study) -> None:
    number = st.slider("Slice", 1, study.facts.slices, key=f"compared-{study.id}") if study.facts.slices > 1 else 1
    first, second = result_cache.slice_of(api, study, number - 1), result_cache.slice_of(api, other, number - 1)
    masks = first.mask(None), second.mask(None)
    _show_agreement(compare_masks(*masks), (_name(study), _name(other)), None)
    _show_with_style(Pair(first.picture, *masks, Frame(side=_SIDE)), (study, other))


def _show_with_style(pair: Pair, studies: tuple[Study, Study]) -> None:
    """Show the pictures, and below them the controls of their style."""
    place = st.container()
    style = style_control(studies[0])
    with place:
        _show_pair(pair, style, studies)


def _plane_control(study: Study) -> str:
    titles = {name: plane.title for name, plane in PLANES.items()}
    chosen = st.segmented_control(
        "Plane", list(titles), default="axial", required=True, format_func=titles.__getitem__, key=f"cut-{study.id}"
    )
    return str(chosen or "axial")


def _slice_control(study: Study, masks: tuple[Mask, Mask], plane: Plane) -> int:
    size = masks[0].shape[plane.axis]
    if size == 1:
        return 0
    start = most_different(*masks, plane.axis) + 1
    key = f"compared-{study.id}-{plane.axis}"
    return int(st.slider("Slice (starts where they differ most)", 1, size, start, key=key)) - 1


def _show_agreement(found: Agreement, names: Sequence[str], voxel_ml: float | None) -> None:
    columns = st.columns(4)
    columns[0].metric("Dice between results", "both empty" if found.dice is None else f"{found.dice:.3f}")
    columns[1].metric("In both", amount_words(found.both, voxel_ml))
    columns[2].metric("Only in the first", amount_words(found.first_only, voxel_ml), help=names[0])
    columns[3].metric("Only in the second", amount_words(found.second_only, voxel_ml), help=names[1])
    st.caption(f"{unshared_words(found)} Agreement does not show which model is right.")


def unshared_words(found: Agreement) -> str:
    """Return how many findings of each result do not overlap the other result, in a sentence.

    >>> unshared_words(Agreement(0.8, 9, 1, 1, 0, 0))
    'Every finding of each model overlaps one of the other.'
    >>> unshared_words(Agreement(0.8, 9, 1, 1, 2, 1))
    'Without overlap with the other model: 2 findings of the first, 1 finding of the second.'
    """
    if not found.lesions_first and not found.lesions_second:
        return "Every finding of each model overlaps one of the other."
    first, second = finding_words(found.lesions_first), finding_words(found.lesions_second)
    return f"Without overlap with the other model: {first} of the first, {second} of the second."


def amount_words(elements: int, voxel_ml: float | None) -> str:
    """Return a number of voxels or pixels with its unit.

    >>> amount_words(1500, 0.001), amount_words(1500, None)
    ('1.50 mL', '1500 pixels')
    """
    return f"{elements} pixels" if voxel_ml is None else f"{elements * voxel_ml:.2f} mL"


def _show_pair(pair: Pair, style: Style, studies: tuple[Study, Study]) -> None:
    """Show the findings of each model, and where they differ."""
    views: list[tuple[str, list[Layer], Style]] = [
        (_name(studies[0]), [Layer(pair.first, FIRST_ONLY)], style),
        (_name(studies[1]), [Layer(pair.second, SECOND_ONLY)], style),
        # Always filled: of two outlines at the same place, only one would be visible.
        ("Where they differ", difference_layers(pair.first, pair.second), Style(False, style.opacity)),
    ]
    for column, (title, layers, drawn) in zip(st.columns(3), views, strict=True):
        picture: Any = plane_drawing.draw(pair.picture, layers, drawn, pair.frame)
        column.image(picture, caption=title, width="stretch", alt=title)
    signs = (("both", BOTH), ("first alone", FIRST_ONLY), ("second alone", SECOND_ONLY))
    show_legend([ClassStyle(title, colour) for title, colour in signs])


def _offer_second(api: Api, study: Study) -> None:
    """Offer to run another model, as long as this session still has the files."""
    files = session_state.handed(study.id)
    if files is None:
        st.caption("To compare, upload the images again and choose a second model; this session no longer has them.")
        return
    others = [model for model in api.models() if model.name != (study.facts.model or study.options.model)]
    model = choose_model(others, study.kind, label="Analyse with another model", key=f"another-{study.id}")
    if model is None:
        st.caption("No other installed model fits these images.")
    elif st.button("Analyse", key=f"again-{study.id}", icon=":material/play_arrow:"):
        again: Options = study.options.model_copy(update={"model": model.name})
        made = api.hand_in(files.parts, again, idempotency_key=f"{study.id}-{model.fingerprint[:16]}")
        words = "is ready" if made.state == State.DONE else STATES[made.state]
        st.success(f"{plain(model.name)}: {words}. When it is done, you can choose it here.")
