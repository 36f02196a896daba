"""Choose a model and show its card."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import streamlit as st

from metseg.schemas import Kind, Model, ModelChoice, ModelMisfit
from metseg.sequence_titles import sequence_title
from metseg.ui import error_display, session_state, upload_selection
from metseg.ui.api_client import Api
from metseg.ui.display_text import plain, with_sequence_names

#: Metrics of a bundle's `metrics.json` that the page shows, and their labels.
_FIGURES: Final[Mapping[str, str]] = {
    "dice": "Dice",
    "sensitivity": "sensitivity",
    "lesionwise_dice": "Dice per lesion",
}

#: In place of a model; not None, for which Streamlit shows "Choose an option".
_NO_MODEL: Final = ""

#: Names of the regions of BraTS for people.
_REGIONS: Final[Mapping[str, str]] = {
    "WT": "Whole tumour with oedema",
    "TC": "Tumour core",
    "ET": "Enhancing tumour",
    "RC": "Resection cavity",
}


def recommend_model(key: str, models: Sequence[Model], choice: ModelChoice | None, *, before: str | None) -> None:
    """Preselect the model that fits the images, whenever that changes; the user can then change it.

    Args:
        key: key of the control of `choose_model`.
        models: installed.
        choice: what the service would choose; None: there are no images.
        before: model of the earlier analysis of these images, which is preselected first.
    """
    if choice is None:
        return
    run, name = session_state.upload_round(), f"_recommended-{key}"
    last, best = st.session_state.get(name, (None, None)), recommended_model(choice)
    st.session_state[name] = (run, best)
    wanted = before if before is not None and last[0] != run else best
    if last != (run, best) and wanted in {model.name for model in models}:
        st.session_state[key] = wanted


def show_reason(choice: ModelChoice | None, model: Model | None) -> None:
    """Show why the service would choose its model, or why it would choose none."""
    if choice is None:
        return
    if choice.model is None:
        waiting = [misfit.model for misfit in choice.misfits if misfit.is_waiting]
        if waiting:
            name = model.name if model is not None and model.name in waiting else waiting[0]
            st.info(f"The model {plain(name)} can be used with these images after its terms are accepted.")
        else:
            st.warning("No installed model fits these images as they are.")
        others = [misfit for misfit in choice.misfits if not misfit.is_waiting]
        st.caption("  \n".join(plain(f"{_seen(misfit)}.") for misfit in others))
        return
    chosen = "" if model is None or model.name == choice.model else f"You chose {model.name} yourself. "
    st.caption(plain(with_sequence_names(f"{chosen}{choice.reason}")))
    if choice.better:
        st.info(plain(with_sequence_names(choice.better)), icon=":material/info:")


def recommended_model(choice: ModelChoice | None) -> str | None:
    """Return the name of the model to preselect: the one that fits, else one with terms that can be accepted here."""
    if choice is None or choice.model is not None:
        return None if choice is None else choice.model
    return next((misfit.model for misfit in choice.misfits if misfit.is_waiting), None)


def misfit_of(choice: ModelChoice | None, model: Model | None) -> ModelMisfit | None:
    """Return why the images do not fit a model; None: they do, or only its terms are missing."""
    if choice is None or model is None:
        return None
    return next((item for item in choice.misfits if item.model == model.name and not item.is_waiting), None)


def _seen(misfit: ModelMisfit) -> str:
    return with_sequence_names(f"{misfit.model}: {misfit.reason}; {misfit.cure}")


def choose_model(
    models: Sequence[Model],
    kind: Kind | None,
    *,
    label: str,
    key: str,
    optional: bool = False,
    recommended: str | None = None,
) -> Model | None:
    """Ask for a model.

    Args:
        models: installed.
        kind: kind of the study; models that do not support it are not offered.
        label: label of the control.
        key: key of the answer in the session.
        optional: offer "none" too, for which None is returned.
        recommended: name of the model that fits best; None: the default of the service is preselected.
    """
    fitting = [model for model in models if kind is None or upload_selection.fits(model, kind)]
    if not fitting:
        return None
    names = [model.name for model in fitting]
    first = upload_selection.default_model(fitting, kind)
    options = [_NO_MODEL, *names] if optional else names
    marked = recommended or (None if first is None else first.name)
    # An answer that the session already has must not meet another default.
    index = names.index(marked) if marked in names and not optional and key not in st.session_state else 0
    word = "default" if recommended is None else "recommended"
    name = st.selectbox(label, options, index=index, key=key, format_func=lambda name: _name(name, marked, word))
    return next((model for model in fitting if model.name == name), None)


def _name(name: str, marked: str | None, word: str) -> str:
    if name == _NO_MODEL:
        return "none"
    return f"{name} ({word})" if name == marked else name


def show_card(api: Api, model: Model) -> None:
    """Show what a model is for and how it performed; its technical description and card are in an expander."""
    kind = "volumes (3D)" if model.dimensions == 3 else "pictures, and volumes slice by slice (2D)"
    st.caption(f"For {kind}. {_sequences(model)}")
    # A model cannot be trusted on data unlike its training data, so this is always visible.
    st.caption(f"Trained on: {plain(model.data) or 'not stated'}.")
    _show_terms(api, model)
    figures = known_figures(model.metrics)
    title = "Known performance" + (" on simulated patients, not on real ones" if model.simulated else "")
    if figures:
        st.caption("  \n".join([f"{title}:", *map(plain, figures)]))
    else:
        st.caption("Known performance: not recorded.")
    with st.expander("Technical details of the model"):
        st.markdown(plain(model.description))
        st.markdown(without_pictures(model.card))
        st.caption(f"Threshold {model.threshold:g}, labels {plain(model.labels)}, fingerprint {model.fingerprint[:16]}")


def _sequences(model: Model) -> str:
    """Return which sequences a model needs, and which it can use."""
    needed = [sequence_title(name) for name in model.sequences if name not in model.optional]
    needs = f"Needs {', '.join(needed) or 'any one sequence'}."
    also = ", ".join(map(sequence_title, model.optional))
    return f"{needs} Also uses, if given: {also}." if also else needs


def _show_terms(api: Api, model: Model) -> None:
    """Show the terms of a model for non-commercial use only; if they are not accepted, who can do it, or a button."""
    if model.accepted:
        if model.non_commercial:
            st.caption("For non-commercial use only.")
        return
    st.warning(
        f"The model {plain(model.name)} is for non-commercial use only, and its terms have not been accepted yet."
        f"  \nTerms: {plain(model.terms) or 'see the model card'}."
    )
    if not api.may_accept_terms():
        command = f"metseg models accept {model.name}".replace("`", "")
        st.caption(
            f"An operator of the service can accept them: with a key that has the scope *operate*, or with `{command}`"
            " on the computer of the service."
        )
        return
    st.caption("Accepting them holds for all users of this service, and the audit log records it.")
    if st.button("Accept for non-commercial use", key=f"accept-{model.name}", icon=":material/gavel:"):
        with error_display.told():
            api.accept_terms(model.name)
            st.rerun()


def known_figures(metrics: Mapping[str, Any]) -> list[str]:
    """Return the recorded metrics of a model on held-out patients: one line per region, then the number of patients.

    A bundle of `metseg train` has a summary with intervals for test and validation patients; others have plain numbers.

    >>> known_figures({"dice": 0.84})
    ['Dice 0.84']
    """
    for part in ("test", "validation"):
        found = _summary(metrics.get(part), part)
        if found:
            return found
    plain_figures = ((name, metrics.get(key)) for key, name in _FIGURES.items())
    return [f"{name} {value:.2f}" for name, value in plain_figures if _is_number(value)]


def _summary(part: Any, name: str) -> list[str]:
    regions = part.get("regions") if isinstance(part, Mapping) else None
    if not isinstance(regions, Mapping):
        return []
    lines = []
    for region, content in regions.items():
        words = ", ".join(_figures(content.get("metrics") if isinstance(content, Mapping) else None))
        if words:
            lines.append(f"{_REGIONS.get(region, region)}: {words}" if len(regions) > 1 else words)
    count = part.get("patients")
    if not lines or count is None:
        return lines
    interval = part.get("interval")
    unit = str(interval.get("over") or "patients") if isinstance(interval, Mapping) else "patients"
    return [*lines, f"Mean over {count} {name} {unit}, with 95% interval" if count > 1 else f"1 {name} patient"]


def _figures(metrics: Any) -> Iterator[str]:
    for key, name in _FIGURES.items():
        figure = metrics.get(key) if isinstance(metrics, Mapping) else None
        if not isinstance(figure, Mapping) or not _is_number(figure.get("mean")):
            continue
        low, high = figure.get("low"), figure.get("high")
        interval = f" ({low:.2f} to {high:.2f})" if _is_number(low) and _is_number(high) else ""
        yield f"{name} {figure['mean']:.2f}{interval}"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float)


def without_pictures(card: str) -> str:
    """Return a card without its pictures, which a browser would fetch from other servers.

    >>> without_pictures("see ![curve](https://example.org/a.png)")
    'see [curve](https://example.org/a.png)'
    """
    return card.replace("![", "[")
