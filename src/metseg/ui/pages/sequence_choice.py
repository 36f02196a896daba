"""Sequences of the chosen files: as read from names and DICOM headers, with controls to correct them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence

import streamlit as st

from metseg.schemas import BRAIN_MASK, SEQUENCES, Kind
from metseg.sequence_titles import sequence_title
from metseg.ui import page_settings, session_state
from metseg.ui.display_text import plain, with_sequence_names
from metseg.ui.page_settings import SeriesFromHeader
from metseg.ui.upload_selection import LEFT_OUT, NOT_USED, ChosenFile, images_of, show_one_sequence, study_kind

_SERIES_CACHE = "_series"
#: Number of a series, with the number of its part if it was split; the format of `metseg.schemas.Options`.
_SERIES = re.compile(r"[0-9]{1,9}(\.[0-9]{1,4})?")


def confirm_file_sequences(files: tuple[ChosenFile, ...]) -> tuple[ChosenFile, ...]:
    """Show the sequence of each NIfTI file, as read from its name, and let the user correct it.

    Returns:
        the files with the sequences that the user confirmed; those that are not to be used are marked `NOT_USED`.
    """
    if study_kind(files) != Kind.NIFTI:
        return files
    st.subheader("2. Sequences")
    known = sum(file.sequence is not None for file in files)
    st.caption("Read from the file names. Correct what is wrong." if known else "Choose the sequence of each file.")
    return tuple(file.with_sequence(_sequence_of(place, file)) for place, file in enumerate(files))


def ask_grey_sequence(files: Sequence[ChosenFile]) -> str | None:
    """Ask which sequence grey pictures show, because nothing in them says it.

    Returns:
        the sequence; empty: not answered yet; None: the pictures are in colour, and were not asked about.
    """
    if not show_one_sequence(files):
        return None
    st.subheader("2. Sequences")
    found = st.selectbox(
        "Sequence of the grey pictures",
        SEQUENCES,
        index=None,
        placeholder="Choose one",
        format_func=sequence_title,
        key=f"grey-{session_state.upload_round()}",
    )
    st.caption("A grey picture shows one sequence. A model sees only the sequences that it was trained on.")
    return found or ""


def _sequence_of(place: int, file: ChosenFile) -> str | None:
    options: list[str | None] = [None, *SEQUENCES, BRAIN_MASK, NOT_USED]
    found = st.selectbox(
        plain(file.name),
        options,
        index=options.index(file.sequence) if file.sequence in options else 0,
        format_func=_sequence_option,
        key=f"sequence-{session_state.upload_round()}-{place}-{file.name}",
    )
    if file.reason and found == file.name_says:
        st.caption(plain(f"{file.reason[0].upper()}{file.reason[1:]}."))
    return None if found is None else str(found)


def _sequence_option(name: str | None) -> str:
    if name is None:
        return "not known"
    return "do not use" if name == NOT_USED else sequence_title(name)


def series_of(files: Sequence[ChosenFile]) -> Sequence[SeriesFromHeader]:
    """Return the DICOM series in the files; read once per upload. Empty if the page cannot read them."""
    if study_kind(files) != Kind.DICOM:
        return ()
    files = images_of(files)
    key = (session_state.upload_round(), tuple((file.name, len(file.content)) for file in files))
    known = st.session_state.get(_SERIES_CACHE)
    if known is None or known[0] != key:
        with st.spinner("Reading the headers of the series …"):
            known = (key, tuple(page_settings.current().list_series([file.content for file in files])))
        st.session_state[_SERIES_CACHE] = known
    found: Sequence[SeriesFromHeader] = known[1]
    return found


def assign_series(listed: Sequence[SeriesFromHeader], before: Mapping[str, str]) -> dict[str, str]:
    """Show each series with number, description and reason, and let the user assign it to a sequence.

    Args:
        listed: the series, as read from their headers.
        before: series by sequence that the user assigned before, in the format of `metseg.schemas.Options`.
    Returns:
        the label of the series of each sequence.
    """
    st.subheader("2. Sequences")
    st.caption("Read from the headers of the series. Correct what is wrong.")
    chosen = [(item.label, _sequence_of_series(item, before)) for item in listed]
    twice = [name for name, count in Counter(name for _, name in chosen if name).items() if count > 1]
    for name in twice:
        st.warning(f"More than one series is assigned to {sequence_title(name)}. Only the last one is used.")
    return {name: label for label, name in chosen if name is not None}


def _sequence_of_series(item: SeriesFromHeader, before: Mapping[str, str]) -> str | None:
    options = [NOT_USED, *SEQUENCES]
    by_user = {label: name for name, label in before.items() if label != LEFT_OUT}
    start = by_user.get(item.label, NOT_USED if item.sequence in before else item.sequence)
    images = "1 image" if item.images == 1 else f"{item.images} images"
    found = st.selectbox(
        plain(f"Series {item.label}: {item.description or 'no description'} ({images})"),
        options,
        index=options.index(start) if start in options else 0,
        format_func=_sequence_option,
        key=f"series-{session_state.upload_round()}-{item.label}",
    )
    if item.reason and found == (item.sequence or NOT_USED):
        st.caption(plain(with_sequence_names(item.reason[0].upper() + item.reason[1:])))
    elif item.sequence is not None and found not in (item.sequence, NOT_USED):
        said, chosen = sequence_title(item.sequence), sequence_title(str(found))
        st.warning(f"The header says {said}, not {chosen}. Make sure that your choice is right.")
    return None if found == NOT_USED else str(found)


def series_changes(listed: Sequence[SeriesFromHeader], chosen: Mapping[str, str]) -> dict[str, str]:
    """Return how a choice differs from what the headers say, in the format of `metseg.schemas.Options`.

    >>> listed = [SeriesFromHeader("3", "T1", 9, "t1c", ""), SeriesFromHeader("4", "FLAIR", 9, "t2f", "")]
    >>> series_changes(listed, {"t1c": "3", "t1n": "4"}), series_changes(listed, {"t1c": "3", "t2f": "4"})
    ({'t1n': '4', 't2f': 'none'}, {})
    """
    recognised = {item.sequence: item.label for item in listed if item.sequence is not None}
    assigned = {name: label for name, label in chosen.items() if recognised.get(name) != label}
    return assigned | {name: LEFT_OUT for name in recognised if name not in chosen}


def enter_series_numbers(before: Mapping[str, str]) -> dict[str, str]:
    """Ask for the number of the series of each sequence, where the page cannot list the series."""
    st.caption("If the service does not recognise a series, enter its series number (0020,0011) here.")
    columns = st.columns(2)
    given = {
        sequence: columns[place % 2].text_input(
            sequence_title(sequence), before.get(sequence, ""), key=f"series-{sequence}", max_chars=14
        )
        for place, sequence in enumerate(SEQUENCES)
    }
    labels = {sequence: label.strip() for sequence, label in given.items() if label and label.strip()}
    for label in labels.values():
        if not is_series(label):
            st.warning(f"{plain(label)} is not a series number, such as 301, and will not be used.")
    return {sequence: label for sequence, label in labels.items() if is_series(label)}


def is_series(label: str) -> bool:
    """Return whether a text is the number of a DICOM series, with or without the number of a part.

    >>> is_series("301"), is_series("301.2"), is_series("T1"), is_series("")
    (True, True, False, False)
    """
    return _SERIES.fullmatch(label) is not None
