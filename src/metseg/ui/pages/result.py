"""Show a finished study in sections. Only the selected section is built."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

import streamlit as st

from metseg.grade_record import NO_GLIOMAS
from metseg.headline import Headline
from metseg.schemas import State, Study
from metseg.sequence_titles import sequence_title
from metseg.ui import error_display, session_state, theme
from metseg.ui.api_client import Api
from metseg.ui.display_text import (
    KINDS,
    ago,
    duration_words,
    plain,
    reason_words,
    source_name,
    warning_words,
    with_sequence_names,
)
from metseg.ui.error_messages import explain_failure
from metseg.ui.pages.corrections import open_version, show_corrections
from metseg.ui.pages.downloads import show_downloads, show_report
from metseg.ui.pages.model_choice import show_card
from metseg.ui.pages.model_comparison import show_comparison
from metseg.ui.pages.preparation import show_preparation
from metseg.ui.viewer.slice_view import show_slices
from metseg.ui.viewer.volume_viewer import show_volume


def show_result(api: Api, study: Study) -> None:
    """Show the result of a study that is done: its latest version, or the one that the user has chosen."""
    shown = open_version(api, study)
    _head(shown.api, shown.study)
    chosen = st.segmented_control(
        "Section",
        list(SECTIONS),
        default=IMAGES,
        required=True,
        key=f"section-{study.id}",
        label_visibility="collapsed",
    )
    with error_display.told():
        if chosen in UNCORRECTED:
            SECTIONS[str(chosen)](api, study)
        else:
            SECTIONS[str(chosen or IMAGES)](shown.api, shown.study)
    if chosen == IMAGES:
        show_corrections(shown)


def _head(api: Api, study: Study) -> None:
    headline = study.headline or Headline(finding="", lesions=len(study.lesions))
    # What the model is fit for, and warnings, come before the numbers that they qualify.
    if headline.fitness:
        st.caption(plain(headline.fitness))
    show_warnings(study)
    with st.container(key=theme.HEAD):
        title, button = st.columns([4, 1], vertical_alignment="center")
        title.title(plain(headline.finding.rstrip(".")))
        with button:
            show_report(api, study)
    # Outside of the headline's container, where the first column has a line of its own on narrow screens.
    for column, figure in zip(st.columns(max(len(headline.figures), 1)), headline.figures, strict=False):
        column.metric(f"{figure.name[0].upper()}{figure.name[1:]}", figure.text)
    st.caption(plain(subtitle(study)))
    origin = [*sequence_lines(study), *filter(None, [model_line(study), grade_line(study)])]
    if origin:
        with st.expander("Why these sequences and this model"):
            st.caption("  \n".join(map(plain, origin)))
    offer_another_run(study)


def show_warnings(study: Study) -> None:
    """Show the warnings of a study in one box."""
    texts = [plain(warning_words(warning.text)) for warning in study.warnings]
    if texts:
        st.warning(texts[0] if len(texts) == 1 else "\n".join(f"- {text}" for text in texts), icon=":material/info:")


def model_line(study: Study) -> str:
    """Return why the model was chosen; empty if the user or the request named it."""
    return with_sequence_names(study.facts.model_reason)


def grade_line(study: Study) -> str:
    """Return the grade of the glioma, or why there is none; empty if neither is known, or for other tumours.

    >>> from metseg.schemas import Facts
    >>> grade_line(Study.model_construct(facts=Facts(no_grade="no tumour was found")))
    'Tumour grade: not available, because no tumour was found.'
    """
    grade = study.facts.grade
    if grade is None:
        reason = study.facts.no_grade
        return f"Tumour grade: not available, because {reason}." if reason and reason != NO_GLIOMAS else ""
    return (
        f"Tumour grade, an estimate for research: {grade.grade} rather than {grade.other}, "
        f"probability {grade.probability:.2f}; {grade.auc_text}."
    )


#: Help of the button that explains a result.
EXPLAIN: Final = (
    "Opens a new study of the same files with an explanation chosen. The service deletes uploaded files when the "
    "analysis ends, so all of it runs again, and takes a few times as long."
)


def offer_another_run(study: Study) -> None:
    """Offer to analyse the same files with other sequences, another model or an explanation.

    Only while this session has the files: the service deletes them when the analysis ends.
    """
    handed = session_state.handed(study.id)
    if handed is None:
        return
    again, explain = st.columns(2)
    label = "Change sequences or model and run again"
    if again.button(label, key=f"run-again-{study.id}", icon=":material/replay:"):
        session_state.restore(handed)
        st.rerun()
    if study.state != State.DONE or study.options.explanation:
        return
    if explain.button(
        "Explain with a second analysis", key=f"explain-{study.id}", icon=":material/search:", help=EXPLAIN
    ):
        session_state.restore(replace(handed, options=handed.options.model_copy(update={"explanation": True})))
        st.rerun()


def subtitle(study: Study) -> str:
    """Return label, kind, model, duration and age of the result in one line."""
    facts = study.facts
    seen = ", ".join(sequence_title(name) for name in facts.sequences)
    took = duration_words(sum(facts.timings_s.values())) if facts.timings_s else None
    parts = [
        *([study.label] if study.label else []),
        f"{KINDS[study.kind]} ({seen})" if seen else KINDS[study.kind],
        f"model {facts.model or study.options.model}",
        *([f"computed in {took}"] if took else []),
        ago(study.finished_at or study.updated_at),
        f"study {study.id[:8]}",
    ]
    return "; ".join(parts)


def sequence_lines(study: Study) -> list[str]:
    """Return one line per sequence: the file or series that it was read from, and why.

    >>> from metseg.schemas import Facts, SequenceRecord
    >>> record = SequenceRecord(sequence="t1c", source="series 5", reason="the description says T1 with contrast agent")
    >>> sequence_lines(Study.model_construct(facts=Facts(sequence_records=(record,))))
    ['T1 with contrast: read from series 5 (the description says T1 with contrast agent)']
    """
    records = study.facts.sequence_records
    return [
        f"{sequence_title(item.sequence)}: read from {source_name(item.source)} ({reason_words(item.reason)})"
        for item in records
    ]


def _images(api: Api, study: Study) -> None:
    show_slices(api, study) if study.facts.slices else show_volume(api, study)


def _report(api: Api, study: Study) -> None:
    show_downloads(api, study)
    model = next((model for model in api.models() if model.fingerprint == study.facts.fingerprint), None)
    if model is not None:
        st.subheader(f"Model {plain(model.name)}")
        show_card(api, model)


IMAGES: Final = "Images"
#: Sections about the models, which show the result of the model and no corrected version.
UNCORRECTED: Final = ("Two models", "Preprocessing")
#: Sections of the page; only the selected one is built.
SECTIONS: Final[Mapping[str, Callable[[Api, Study], None]]] = {
    IMAGES: _images,
    "Two models": show_comparison,
    "Preprocessing": show_preparation,
    "Report and files": _report,
}


def show_end(study: Study) -> None:
    """Show a study that ended without a result, and offer to start a new one."""
    if study.state == State.CANCELLED:
        st.title("Cancelled")
        st.info("This study was cancelled. It has no results.")
    else:
        st.title("This study could not be analysed")
        if study.failure is not None:
            error_display.show(explain_failure(study.failure))
        show_warnings(study)
    offer_another_run(study)
    if st.button("New study", key="begin-again", icon=":material/add:", type="primary"):
        session_state.open_study(None)
        st.rerun()
