"""Hand in a study: choose files, say what they show, choose a model, send. Or try a sample."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import Any

import streamlit as st

from metseg.errors import MetsegError
from metseg.schemas import BRAIN_MASK, SEQUENCES, Kind, Model, Options, Study
from metseg.ui import error_display, page_settings, session_state
from metseg.ui.api_client import Api, Part
from metseg.ui.error_messages import explain_error
from metseg.ui.labels import KINDS, plain, sequence_name, size_words
from metseg.ui.pages.model_choice import choose_model, show_card
from metseg.ui.pages.sample_studies import Sample, sample_files, usable_samples
from metseg.ui.upload_selection import (
    ENDINGS,
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
#: The number of a series, and a part of it where it is in several; as `metseg.schemas.Options` takes it.
_SERIES = re.compile(r"[0-9]{1,9}(\.[0-9]{1,4})?")


def show_upload(api: Api) -> None:
    """Draw the page of a new study."""
    models = api.models()
    st.title("New study")
    if not models:
        st.warning("No model is installed yet, so nothing can be analysed. Install one with `metseg models add`.")
        return
    _samples(api, models)
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
        st.caption("Simulated images, not of a patient.")


def _send_sample(api: Api, models: Sequence[Model], sample: Sample) -> None:
    files = sample_files(sample)
    model = default_model(models, study_kind(files))
    _send(api, files, [Options(model=None if model is None else model.name)])


def _choose_files() -> tuple[ChosenFile, ...]:
    """Ask for files. A browser gives a folder only to who asks for a folder, so there are two ways."""
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
    """Show which file shows which sequence, as far as names tell, and let it be corrected."""
    if study_kind(files) != Kind.NIFTI:
        return files
    st.subheader("2. Sequences")
    known = sum(file.sequence is not None for file in files)
    told = "Read from the file names; correct what is wrong." if known else "Say what each file shows."
    st.caption(told)
    sequences = [_sequence_of(place, file) for place, file in enumerate(files)]
    return with_sequences(files, sequences)


def _sequence_of(place: int, file: ChosenFile) -> str | None:
    options: list[str | None] = [None, *SEQUENCES, BRAIN_MASK]
    found = st.selectbox(
        plain(file.name),
        options,
        index=options.index(file.sequence) if file.sequence in options else 0,
        format_func=lambda name: "not known" if name is None else sequence_name(name),
        key=f"sequence-{session_state.upload_round()}-{place}-{file.name}",
    )
    if file.reason and found == file.sequence:
        st.caption(plain(f"{file.reason}."))
    return None if found is None else str(found)


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
    blocked = not files or kind is None or needs_sequence(files)
    if st.button("Analyse", type="primary", disabled=blocked, icon=":material/play_arrow:", key="analyse"):
        _send(api, files, [options.model_copy(update={"model": name}) for name in names])


def _more_options(kind: Kind | None) -> tuple[Options, tuple[ChosenFile, ...]]:
    """Ask what few need to be asked; return the options, and the brain mask where one is added."""
    with st.expander("More options"):
        if kind == Kind.PICTURE:
            return Options(stack=st.checkbox("The pages of a TIFF are slices", key="stack")), ()
        if kind is None:
            st.caption("There is nothing more to choose before there are files.")
            return Options(), ()
        masks = _choose_brain_mask()
        if kind == Kind.DICOM:
            gaps = st.checkbox(
                "Allow gaps between slices", key="gaps", help="Missing slices are filled in, and every result says so."
            )
            st.caption("Where the service does not recognise a series, say its number (0020,0011) here.")
            return Options(allow_gaps=gaps, series=_series()), masks
        return Options(), masks


def _choose_brain_mask() -> tuple[ChosenFile, ...]:
    """Ask for a brain mask, for images that show the skull; without one the service finds the brain."""
    given = st.file_uploader(
        "Brain mask (NIfTI), optional",
        key=f"brain-mask-{session_state.upload_round()}",
        help="On the grid of one of the images. Where images show the skull and there is no mask, metseg finds the"
        " brain with a network of its own; a mask that you checked is better.",
    )
    if given is None:
        return ()
    if ENDINGS.get(ending_of(given.name)) != Kind.NIFTI:
        st.warning(f"{plain(given.name)} is no NIfTI file (.nii, .nii.gz); it is left out.")
        return ()
    return (ChosenFile(given.name, given.getvalue(), Kind.NIFTI, BRAIN_MASK),)


def _series() -> dict[str, str]:
    columns = st.columns(2)
    given = {
        sequence: columns[place % 2].text_input(sequence_name(sequence), key=f"series-{sequence}", max_chars=14)
        for place, sequence in enumerate(SEQUENCES)
    }
    labels = {sequence: label.strip() for sequence, label in given.items() if label and label.strip()}
    for label in labels.values():
        if not is_series(label):
            st.warning(f"{plain(label)} is not the number of a series, such as 301; it is left out.")
    return {sequence: label for sequence, label in labels.items() if is_series(label)}


def is_series(label: str) -> bool:
    """Return whether something is the number of a DICOM series, with the part of it where it is in several.

    >>> is_series("301"), is_series("301.2"), is_series("T1"), is_series("")
    (True, True, False, False)
    """
    return _SERIES.fullmatch(label) is not None


def content_key(upload: str, parts: Sequence[Part], options: Options) -> str:
    """Return the idempotency key of one request: the same when it is sent again, another for any other content.

    Args:
        upload: random, new for each upload, so that the same images can be handed in again on purpose.
        parts: files.
        options: what is asked for.
    """
    digest = hashlib.sha256(f"{upload} {options.model_dump_json()}".encode())
    for part in parts:
        digest.update(f"{part.field} {part.name} {len(part.content)} ".encode())
        digest.update(part.content)
    return digest.hexdigest()


def _send(api: Api, files: Sequence[ChosenFile], asked: Sequence[Options]) -> None:
    """Hand in the files once for each model, and open the first study."""
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
