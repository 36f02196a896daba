"""New study: choose files, confirm their sequences, choose a model and send; or try a sample."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import streamlit as st

from metseg.client.service_api import Part
from metseg.client.upload_files import is_no_image
from metseg.errors import MetsegError
from metseg.picture_channels import shows_one_image
from metseg.schemas import BRAIN_MASK, LABEL_CHARACTERS, Kind, Model, ModelChoice, Options, Study
from metseg.ui import error_display, page_settings, session_state
from metseg.ui.api_client import Api
from metseg.ui.display_text import KINDS, plain, size_words
from metseg.ui.error_messages import explain_error
from metseg.ui.pages.model_choice import (
    choose_model,
    misfit_of,
    recommend_model,
    recommended_model,
    show_card,
    show_reason,
)
from metseg.ui.pages.sample_studies import Sample, sample_files, usable_samples
from metseg.ui.pages.sequence_choice import (
    ask_grey_sequence,
    assign_series,
    confirm_file_sequences,
    enter_series_numbers,
    series_changes,
    series_of,
)
from metseg.ui.pages.study_label import LABEL_HINT, checked_label
from metseg.ui.session_state import Handed
from metseg.ui.upload_selection import (
    ENDINGS,
    NOT_USED,
    ChosenFile,
    choose,
    complaints,
    ending_of,
    grey_misfit,
    images_of,
    last_part,
    needs_sequence,
    parts_of,
    study_kind,
    total_bytes,
)

FILES, FOLDER = "Files", "A folder"

#: Names of files listed that are not sent; the others are counted.
_LISTED = 6


@dataclass(frozen=True)
class Selection:
    """What the user has chosen of the images.

    Args:
        files: with the sequence of each; files that are not to be used are marked `NOT_USED`.
        kind: of the study; None: no files, or of several kinds.
        series: DICOM series that differ from what the headers say; see `metseg.schemas.Options`.
        sequences: that are there; None: not known.
        lists_series: whether the page could list the DICOM series.
        grey: sequence that grey pictures show; empty: not answered yet; None: they are not grey.
    """

    files: tuple[ChosenFile, ...] = ()
    kind: Kind | None = None
    series: dict[str, str] = field(default_factory=dict)
    sequences: tuple[str, ...] | None = None
    lists_series: bool = False
    grey: str | None = None

    @property
    def used(self) -> tuple[ChosenFile, ...]:
        """Return the files that are to be sent."""
        return tuple(file for file in self.files if file.sequence != NOT_USED)

    @property
    def is_complete(self) -> bool:
        """Return whether there are images of one kind, and every question about them is answered."""
        return bool(self.used) and self.kind is not None and self.grey != "" and not needs_sequence(self.used)

    @property
    def has_sequence_part(self) -> bool:
        """Return whether the user is asked for sequences."""
        return self.kind == Kind.NIFTI or self.lists_series or self.grey is not None

    @property
    def is_unnamed(self) -> bool:
        """Return whether it is one volume of an unknown sequence."""
        images = images_of(self.used)
        return self.kind == Kind.NIFTI and len(images) == 1 and images[0].sequence is None


def show_upload(api: Api) -> None:
    """Show the page of a new study."""
    models = api.models()
    st.title("New study")
    if not models:
        st.warning("No model is installed. Install one with `metseg models add`.")
        return
    restored = session_state.restored()
    if restored is None:
        _samples(api, [model for model in models if model.accepted])
    left, right = st.columns([1.25, 1], gap="large")
    with left:
        files = _choose_files() if restored is None else _restored_files(restored)
        selection = _confirm_sequences(files, restored)
    with right:
        _choose_and_send(api, models, selection, restored)


def _restored_files(restored: Handed) -> tuple[ChosenFile, ...]:
    """Show the files of an earlier study, which need no upload, and offer to choose others."""
    st.subheader("1. Images")
    st.info("These are the files of the earlier study. Change their sequences or the model, and analyse them again.")
    _show_files(restored.files)
    if st.button("Choose other files", key="other-files", icon=":material/upload_file:"):
        session_state.end_upload()
        st.rerun()
    return restored.files


def _confirm_sequences(files: tuple[ChosenFile, ...], restored: Handed | None) -> Selection:
    kind = study_kind(files)
    if kind == Kind.PICTURE:
        grey = ask_grey_sequence(files)
        return Selection(files, kind, sequences=(grey,) if grey else None, grey=grey)
    if kind == Kind.NIFTI:
        files = confirm_file_sequences(files)
        images = [file for file in images_of(files) if file.sequence != NOT_USED]
        named = tuple(file.sequence for file in images if file.sequence is not None)
        return Selection(files, kind, sequences=named if images and len(named) == len(images) else None)
    listed = series_of(files)
    if not listed:
        return Selection(files, kind)
    chosen = assign_series(listed, {} if restored is None else restored.options.series)
    return Selection(files, kind, series_changes(listed, chosen), tuple(chosen) or None, lists_series=True)


def _samples(api: Api, models: Sequence[Model]) -> None:
    usable = usable_samples(models)
    if not usable:
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        for sample in usable:
            if st.button(sample.title, key=f"sample-{sample.folder}", icon=":material/science:"):
                _send_sample(api, sample)
        st.caption("Simulated images, not from a patient.")


def _send_sample(api: Api, sample: Sample) -> None:
    files = sample_files(sample)
    _send(api, Selection(files, study_kind(files)), [Options()])


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
    left_out = [plain(last_part(file.name)) for file in given or () if is_no_image(file.name)]
    if left_out:
        more = f" and {len(left_out) - _LISTED} more" if len(left_out) > _LISTED else ""
        st.caption(f"Not sent, no images: {', '.join(left_out[:_LISTED])}{more}.")
    return files


def _show_files(files: Sequence[ChosenFile]) -> None:
    if not files:
        return
    kind = study_kind(files)
    count = "1 file" if len(files) == 1 else f"{len(files)} files"
    named = "several kinds" if kind is None else KINDS[kind]
    st.caption(f"{count}, {size_words(total_bytes(files))}: {named}.")


def _choose_and_send(api: Api, models: Sequence[Model], selection: Selection, restored: Handed | None) -> None:
    kind = selection.kind
    st.subheader("3. Model" if selection.has_sequence_part else "2. Model")
    place, extras = st.container(), st.container()
    with extras:  # first, because a brain mask counts for the model
        options, masks = _more_options(selection, restored)
    with place:
        choice = _recommended(api, selection, masks)
        model, second = _choose_models(api, models, selection, choice, restored)
        maps = _choose_maps([one for one in (model, second) if one is not None], restored)
        label = _label_field("" if restored is None else restored.label)
    if model is None:
        return
    options = options.model_copy(update=maps)
    files = (*selection.files, *masks)
    for text in complaints((*selection.used, *masks), model):
        st.warning(text)
    misfit = None if selection.grey is None else grey_misfit(selection.grey, model)
    if misfit is not None:
        st.warning(plain(misfit))
    is_accepted = model.accepted and (second is None or second.accepted)
    blocked = not selection.is_complete or not is_accepted or label is None or misfit is not None
    # The service would refuse the study, after the upload and a place in the queue.
    blocked = blocked or misfit_of(choice, model) is not None
    if st.button("Analyse", type="primary", disabled=blocked, icon=":material/play_arrow:", key="analyse"):
        names = _model_names(model, second, choice, selection)
        asked = [options.model_copy(update={"model": name}) for name in names]
        _send(api, Selection(files, kind), asked, label or "")


def _model_names(
    model: Model, second: Model | None, choice: ModelChoice | None, selection: Selection
) -> list[str | None]:
    """Return the model of each study to send; None: the service chooses, and the result says why it took this one."""
    # The service is not sent the sequence of grey pictures, so its choice could be another one.
    is_chosen_by_service = choice is not None and choice.model == model.name and selection.grey is None
    first = None if is_chosen_by_service else model.name
    return [first] if second is None or second.name == model.name else [first, second.name]


def _recommended(api: Api, selection: Selection, masks: Sequence[ChosenFile]) -> ModelChoice | None:
    """Return the model that the service would choose for these images; None if there are none."""
    if selection.kind is None or not selection.used:
        return None
    has_mask = bool(masks) or len(images_of(selection.used)) < len(selection.used)
    return api.choose_model(
        selection.kind,
        selection.sequences,
        is_unnamed=selection.is_unnamed,
        has_brain_mask=has_mask,
        is_grey=shows_one_image(selection.used[0].content) if selection.kind == Kind.PICTURE else None,
    )


def _choose_models(
    api: Api, models: Sequence[Model], selection: Selection, choice: ModelChoice | None, restored: Handed | None
) -> tuple[Model | None, Model | None]:
    """Ask for the model, and for a second one to compare with."""
    kind, key = selection.kind, f"model-{selection.kind}"
    recommend_model(key, models, choice, before=None if restored is None else restored.options.model)
    model = choose_model(models, kind, label="Model", key=key, recommended=recommended_model(choice))
    show_reason(choice, model)
    if model is None:
        st.warning("No installed model fits these images.")
        return None, None
    show_card(api, model)
    second = None
    if len(models) > 1:
        label = "Compare with a second model"
        second = choose_model(models, kind, label=label, key=f"second-{kind}", optional=True)
    return model, second


#: Explains the maps of attention gates, for models that have gates.
GATES_HELP: Final = " Also a map of each attention gate: the share of the features that pass to the decoder."


def _choose_maps(models: Sequence[Model], restored: Handed | None) -> dict[str, bool]:
    """Ask whether to measure the uncertainty and to explain the prediction; return the options of the upload."""
    before = Options() if restored is None else restored.options
    has_several = bool(models) and all(model.predictions > 1 for model in models)
    has_gates = any(model.gates for model in models)
    left, right = st.columns(2)
    uncertainty = left.checkbox(
        "Measure uncertainty",
        before.uncertainty,
        disabled=not has_several,
        key=f"uncertainty-{session_state.upload_round()}",
        help="Compares the predictions of mirror images and folds: a map, and a range of each lesion's size. Takes "
        "longer. The model must have several folds, or be trained with mirror images.",
    )
    explanation = right.checkbox(
        "Explain with Grad-CAM and attention gates" if has_gates else "Explain with Grad-CAM",
        before.explanation,
        key=f"explanation-{session_state.upload_round()}",
        help="A map of where the features of the network raised the score of the lesions. Takes a few times as long."
        + (GATES_HELP if has_gates else ""),
    )
    return {"uncertainty": uncertainty and has_several, "explanation": explanation}


def _label_field(before: str) -> str | None:
    """Ask for a label; return None if it is not valid."""
    given = st.text_input(
        "Label, optional",
        before,
        key=f"label-{session_state.upload_round()}",
        max_chars=LABEL_CHARACTERS,
        help=LABEL_HINT,
    )
    return checked_label(given)


def _more_options(selection: Selection, restored: Handed | None) -> tuple[Options, tuple[ChosenFile, ...]]:
    """Ask for rarely used options; return them, and the brain mask if one is added."""
    before = Options() if restored is None else restored.options
    kind = selection.kind
    with st.expander("More options"):
        if kind == Kind.PICTURE:
            return Options(stack=st.checkbox("The pages of a TIFF are slices", before.stack, key="stack")), ()
        if kind is None:
            st.caption("Choose files first.")
            return Options(), ()
        masks = _choose_brain_mask()
        if kind == Kind.DICOM:
            gaps = st.checkbox(
                "Allow gaps between slices",
                before.allow_gaps,
                key="gaps",
                help="Missing slices are filled in, and every result says so.",
            )
            series = selection.series if selection.lists_series else enter_series_numbers(before.series)
            return Options(allow_gaps=gaps, series=series), masks
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


def content_key(upload: str, parts: Sequence[Part], options: Options, label: str = "") -> str:
    """Return the idempotency key of a request: equal for a repeated request, different for any other content.

    Args:
        upload: random value of the upload, so that the same images can be submitted again on purpose.
        parts: the files.
        options: the options.
        label: of the study.
    """
    digest = hashlib.sha256(f"{upload} {options.model_dump_json()} {label}".encode())
    for part in parts:
        digest.update(f"{part.field} {part.name} {len(part.content)} ".encode())
        digest.update(part.content)
    return digest.hexdigest()


def _send(api: Api, selection: Selection, asked: Sequence[Options], label: str = "") -> None:
    """Submit the files once per model, and open the first study."""
    parts = parts_of(selection.used)
    try:
        with st.spinner(f"Sending {size_words(total_bytes(selection.used))} …"):
            studies: list[Study] = [
                api.hand_in(
                    parts,
                    options,
                    idempotency_key=content_key(session_state.upload_key(), parts, options, label),
                    label=label,
                )
                for options in asked
            ]
    except MetsegError as error:
        error_display.show(explain_error(error))
        return
    ids = tuple(study.id for study in studies)
    session_state.remember_handed(Handed(ids, parts, selection.files, asked[0], label))
    session_state.end_upload()
    session_state.open_study(studies[0].id)
    st.rerun()
