"""Table of lesions; clicking a row shows the lesion."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import pandas as pd
import streamlit as st

from metseg.class_styles import SHORT_TITLES
from metseg.lesion import Lesion
from metseg.schemas import Study
from metseg.ui import session_state
from metseg.ui.display_text import plain
from metseg.ui.viewer import crosshair

RANGE = "Range"
NUMBER, VOLUME, DIAMETER, PIXELS, PLACE, CONFIDENCE, LABEL = (
    "No.",
    "Volume (mL)",
    "Longest diameter (mm)",
    "Pixels",
    "Place",
    "Confidence",
    "Kind",
)
_ROW_PIXELS, _MOST_ROWS = 35, 11
#: Width of each column in pixels, and of the column with the boxes and the border.
_WIDTHS: Final = {
    NUMBER: 36,
    VOLUME: 58,
    DIAMETER: 50,
    PIXELS: 70,
    RANGE: 84,
    PLACE: 72,
    LABEL: 72,
    CONFIDENCE: 48,
}
_BOXES = 46


def table_of(study: Study) -> pd.DataFrame:
    """Return the lesion table of a study: sizes in mL and mm if the images have a voxel size, else in pixels."""
    lesions = study.lesions
    measured = any(lesion.volume_ml is not None for lesion in lesions)
    rows = [_row(lesion, measured, study.facts.slices) for lesion in lesions]
    table = pd.DataFrame(rows, columns=list(rows[0]) if rows else [NUMBER])
    kinds = {lesion.label for lesion in lesions}
    return table.drop(columns=[LABEL]) if len(kinds) == 1 else table


def table_width(study: Study) -> int:
    """Return the width in pixels at which no column of the lesion table is cut off."""
    return _BOXES + sum(_WIDTHS[str(name)] for name in table_of(study))


def _row(lesion: Lesion, measured: bool, slices: int) -> dict[str, Any]:
    size: dict[str, Any] = (
        {VOLUME: lesion.volume_ml, DIAMETER: lesion.longest_diameter_mm} if measured else {PIXELS: lesion.voxels}
    )
    spread = range_words(lesion)
    return {
        NUMBER: lesion.id,
        LABEL: kind_words(lesion),
        **size,
        **({RANGE: spread} if spread else {}),
        PLACE: place_words(lesion, slices) or "not known",
        CONFIDENCE: lesion.confidence,
    }


def show_table(study: Study, on_row: Callable[[int], None]) -> None:
    """Show the table.

    Args:
        study: a study that is done.
        on_row: called with the number of a clicked lesion, before the page is redrawn.
    """
    if not study.lesions:
        # No green tick: a model that finds nothing gives no all-clear.
        st.info("The model found nothing above its threshold. It can miss lesions, especially small ones.")
        return
    numbers = [lesion.id for lesion in study.lesions]
    key = crosshair.table_key(study.id)

    def clicked() -> None:
        number = row_of(st.session_state.get(key), numbers)
        session_state.select_lesion(study.id, number)
        if number is not None:
            on_row(number)

    st.dataframe(
        table_of(study),
        key=key,
        on_select=clicked,
        selection_mode="single-row",
        hide_index=True,
        height=min(len(numbers) + 1, _MOST_ROWS) * _ROW_PIXELS + 3,
        column_config=_columns(),
        placeholder="-",
    )
    _show_selected(study)


def row_of(event: Any, numbers: Sequence[int]) -> int | None:
    """Return the lesion number of the selected row; None without selection.

    >>> row_of({"selection": {"rows": [1]}}, [7, 9]), row_of({"selection": {"rows": []}}, [7, 9])
    (9, None)
    """
    rows = event["selection"]["rows"] if event else []
    return numbers[rows[0]] if rows and rows[0] < len(numbers) else None


def place_words(lesion: Lesion, slices: int) -> str | None:
    """Return the location of a lesion as a text; None if it is not known.

    Args:
        lesion: the lesion.
        slices: number of pictures of the study; 0 for a volume.

    >>> place_words(Lesion.model_construct(side=None, slice_index=2, slices=(1, 2)), 5)
    'picture 3, in 2 of 5 slices'
    """
    if not slices or lesion.slice_index is None:
        return lesion.side
    picture = f"picture {lesion.slice_index + 1}"
    return picture if len(lesion.slices) < 2 else f"{picture}, in {len(lesion.slices)} of {slices} slices"


def range_words(lesion: Lesion) -> str:
    """Return the range of the volume in mL, or of the area in pixels, over the predictions; empty if not measured.

    >>> range_words(Lesion.model_construct(volume_ml_range=(0.51, 1.234), voxels_range=(510, 1234)))
    '0.51 to 1.23'
    """
    if lesion.volume_ml_range is not None:
        return " to ".join(f"{end:.3g}" for end in lesion.volume_ml_range)
    return "" if lesion.voxels_range is None else " to ".join(map(str, lesion.voxels_range))


def kind_words(lesion: Lesion) -> str:
    """Return the kind of a lesion in words of a table.

    >>> kind_words(Lesion.model_construct(label="ET")), kind_words(Lesion.model_construct(label="SNFH"))
    ('enhancing', 'oedema')
    """
    return SHORT_TITLES.get(lesion.label, lesion.label)


def lesion_words(lesion: Lesion, slices: int) -> str:
    """Return size, location and confidence of a lesion as a text; ``slices`` as in `place_words`."""
    facts = [f"{lesion.voxels} pixels" if lesion.volume_ml is None else f"{lesion.volume_ml:.3g} mL"]
    if lesion.longest_diameter_mm is not None:
        facts.append(f"longest diameter {lesion.longest_diameter_mm:.1f} mm")
    place = place_words(lesion, slices)
    if place:
        facts.append(place)
    facts.append(f"confidence {lesion.confidence:.0%}")
    return f"Lesion {lesion.id}: {', '.join(facts)}"


def _show_selected(study: Study) -> None:
    number = session_state.selected_lesion(study.id)
    chosen = next((lesion for lesion in study.lesions if lesion.id == number), None)
    if chosen is None:
        st.caption("Click a row to show the lesion, or click a lesion in the image to select its row.")
    else:
        st.markdown(f"**{plain(lesion_words(chosen, study.facts.slices))}**")


def _columns() -> dict[str, Any]:
    config = st.column_config
    return {
        NUMBER: config.NumberColumn(width=_WIDTHS[NUMBER]),
        VOLUME: config.NumberColumn(
            "mL", format="%.3f", width=_WIDTHS[VOLUME], help="Volume of all classes of the lesion, oedema included."
        ),
        DIAMETER: config.NumberColumn(
            "mm",
            format="%.1f",
            width=_WIDTHS[DIAMETER],
            help="Longest diameter of all classes, in any direction; the headline has that of the enhancing part.",
        ),
        PIXELS: config.NumberColumn(format="%d", width=_WIDTHS[PIXELS]),
        RANGE: config.TextColumn(
            width=_WIDTHS[RANGE],
            help="Smallest and largest size (mL; of pictures, pixels) in the predictions of mirror images and folds: "
            "their spread, no confidence interval. The true size can be outside.",
        ),
        PLACE: config.TextColumn(width=_WIDTHS[PLACE]),
        LABEL: config.TextColumn(width=_WIDTHS[LABEL]),
        CONFIDENCE: config.NumberColumn(
            "Conf.",
            format="%.2f",
            width=_WIDTHS[CONFIDENCE],
            help="Confidence: mean probability over the lesion, calibrated on validation patients if the model has an "
            "operating point.",
        ),
    }
