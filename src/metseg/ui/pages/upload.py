"""New study: choose files, confirm their sequences, choose a model and send; or try a sample."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import Any

import streamlit as st

from metseg.errors import MetsegError
from metseg.schemas import BRAIN_MASK, SEQUENCES, Kind, Model, Options, Study
from metseg.sequence_titles import sequence_title
from metseg.ui import error_display, page_settings, session_state
from metseg.ui.api_client import Api, Part
from metseg.ui.display_text import KINDS, plain, size_words
from metseg.ui.error_messages import explain_error
from metseg.ui.pages.model_choice import choose_model, show_card
from metseg.ui.pages.sample_studies import Sample, sample_files, usable_samples
from metseg.ui.upload_selection import (
    ENDINGS,
    NOT_USED,
    ChosenFile,
    choose,
    complaints,
    default_model,
    ending_of,
    needs_sequence,
    parts_of,
    study_kind,
    total_bytes,
    with_sequences,
)

FILES, FOLDER = "Files", "A folder"
#: Number of a series, with the number of its part if it was split; the format of `metseg.schemas.Options`.
_SERIES = re.compile(r"[0-9]{1,9}(\.[0-9]{1,4})?")


def show_upload(api: Api) -> None:
    """Show the page of a new study."""
    models = api.models()
    st.title("New study")
    if not models:
        st.warning("No model is installed. Install one with `metseg models add`.")
        return
    _samples(api, [model for model in models if model.accepted])
    left, right = st.columns([1.25, 1], gap="large")
    with left:
        files = _choose_files()
        files = _confirm_sequences(files)
    with right:
        _choose_and_send(api, models, files)


def _samples(api: Api, models: Sequence[Model]) -> None:
    usable = usable_samples(models)
    if not usable:
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        for sample in usable:
            if st.button(sample.title, key=f"sample-{sample.folder}", icon=":material/science:"):
                _send_sample(api, models, sample)
        st.caption("Simulated images, not from a patient.")


def _send_sample(api: Api, models: Sequence[Model], sample: Sample) -> None:
    files = sample_files(sample)
    model = default_model(models, study_kind(files))
    _send(api, files, [Options(model=None if model is None else model.name)])


def _choose_files() -> tuple[ChosenFile, ...]:
    """Ask for files or for a folder; a browser needs a separate control for folders."""
    st.subheader("1. Images")
    way = st.segmented_control(
        "What to upload", [FILES, FOLDER], default=FILES, required=True, key="way", label_visibility="collapsed"
    )
    several: Any = "directory" if way == FOLDER else True
    given: Any = st.file_uploader(
        "DICOM (files, or one zip), NIfTI (one file per sequence), or pictures (PNG, TIFF, JPEG, WebP, BMP)",
        accept_multiple_files=several,
        key=f"files-{way}-{session_state.upload_round()}",
        help="Images of one examination of one patient. File names stay here; the service gets numbers and sequences.",
    )
    files = choose([(file.name, file.getvalue()) for file in given or ()], page_settings.current().read_names)
    _show_files(files)
    return files


def _show_files(files: Sequence[ChosenFile]) -> None:
    if not files:
        return
    kind = study_kind(files)
    count = "1 file" if len(files) == 1 else f"{len(files)} files"
    named = "several kinds" if kind is None else KINDS[kind]
    st.caption(f"{count}, {size_words(total_bytes(files))}: {named}.")


def _confirm_sequences(files: tuple[ChosenFile, ...]) -> tuple[ChosenFile, ...]:
    """Show the sequence of each file, as read from its name, and let the user correct it."""
    if study_kind(files) != Kind.NIFTI:
        return files
    st.subheader("2. Sequences")
    known = sum(file.sequence is not None for file in files)
    told = "Read from the file names. Correct what is wrong." if known else "Choose the sequence of each file."
    st.caption(told)
    sequences = [_sequence_of(place, file) for place, file in enumerate(files)]
    return with_sequences(files, sequences)


def _sequence_of(place: int, file: ChosenFile) -> str | None:
    options: list[str | None] = [None, *SEQUENCES, BRAIN_MASK, NOT_USED]
    found = st.selectbox(
        plain(file.name),
        options,
        index=options.index(file.sequence) if file.sequence in options else 0,
        format_func=_sequence_option,
        key=f"sequence-{session_state.upload_round()}-{place}-{file.name}",
    )
    if file.reason and found == file.sequence:
        st.caption(plain(f"{file.reason}."))
    return None if found is None else str(found)


def _sequence_option(name: str | None) -> str:
    if name is None:
        return "not known"
    return "do not use" if name == NOT_USED else sequence_title(name)


def _choose_and_send(api: Api, models: Sequence[Model], files: tuple[ChosenFile, ...]) -> None:
    st.subheader("3. Model" if study_kind(files) == Kind.NIFTI else "2. Model")
    kind = study_kind(files)
    model = choose_model(models, kind, label="Model", key=f"model-{kind}")
    if model is None:
        st.warning("No installed model fits these images.")
        return
    show_card(model)
    second = None
    if len(models) > 1:
        label = "Compare with a second model"
        second = choose_model(models, kind, label=label, key=f"second-{kind}", optional=True)
    options, masks = _more_options(kind)
    files = (*files, *masks)
    found = complaints(files, model)
    for text in found:
        st.warning(text)
    names = [model.name] if second is None or second.name == model.name else [model.name, second.name]
    is_accepted = model.accepted and (second is None or second.accepted)
    blocked = not files or kind is None or needs_sequence(files) or not is_accepted
    if st.button("Analyse", type="primary", disabled=blocked, icon=":material/play_arrow:", key="analyse"):
        _send(api, files, [options.model_copy(update={"model": name}) for name in names])


def _more_options(kind: Kind | None) -> tuple[Options, tuple[ChosenFile, ...]]:
    """Ask for rarely used options; return them, and the brain mask if one is added."""
    with st.expander("More options"):
        if kind == Kind.PICTURE:
            return Options(stack=st.checkbox("The pages of a TIFF are slices", key="stack")), ()
        if kind is None:
            st.caption("Choose files first.")
            return Options(), ()
        masks = _choose_brain_mask()
        if kind == Kind.DICOM:
            gaps = st.checkbox(
                "Allow gaps between slices",
                key="gaps",
                help="Missing slices are filled in, and every result says so.",
            )
            st.caption("If the service does not recognise a series, enter its series number (0020,0011) here.")
            return Options(allow_gaps=gaps, series=_series()), masks
        return Options(), masks


def _choose_brain_mask() -> tuple[ChosenFile, ...]:
    """Ask for an optional brain mask; without one, the service segments the brain of images that show the skull."""
    given = st.file_uploader(
        "Brain mask (NIfTI), optional",
        key=f"brain-mask-{session_state.upload_round()}",
        help="Must have the grid of one of the images. Without a mask, metseg segments the brain of images that show"
        " the skull; a mask that you checked is better.",
    )
    if given is None:
        return ()
    if ENDINGS.get(ending_of(given.name)) != Kind.NIFTI:
        st.warning(f"{plain(given.name)} is not a NIfTI file (.nii, .nii.gz) and will not be sent.")
        return ()
    return (ChosenFile(given.name, given.getvalue(), Kind.NIFTI, BRAIN_MASK),)


def _series() -> dict[str, str]:
    columns = st.columns(2)
    given = {
        sequence: columns[place % 2].text_input(sequence_title(sequence), key=f"series-{sequence}", max_chars=14)
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


def content_key(upload: str, parts: Sequence[Part], options: Options) -> str:
    """Return the idempotency key of a request: equal for a repeated request, different for any other content.

    Args:
        upload: random value of the upload, so that the same images can be submitted again on purpose.
        parts: the files.
        options: the options.
    """
    digest = hashlib.sha256(f"{upload} {options.model_dump_json()}".encode())
    for part in parts:
        digest.update(f"{part.field} {part.name} {len(part.content)} ".encode())
        digest.update(part.content)
    return digest.hexdigest()


def _send(api: Api, files: Sequence[ChosenFile], asked: Sequence[Options]) -> None:
    """Submit the files once per model, and open the first study."""
    parts = parts_of(files)
    try:
        with st.spinner(f"Sending {size_words(total_bytes(files))} …"):
            studies: list[Study] = [
                api.hand_in(parts, options, idempotency_key=content_key(session_state.upload_key(), parts, options))
                for options in asked
            ]
    except MetsegError as error:
        error_display.show(explain_error(error))
        return
    session_state.remember_handed(studies[0].id, parts)
    session_state.end_upload()
    session_state.open_study(studies[0].id)
    st.rerun()
