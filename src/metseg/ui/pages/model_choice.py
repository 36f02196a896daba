"""Choose a model and show its card."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import streamlit as st

from metseg.schemas import Kind, Model
from metseg.sequence_titles import sequence_title
from metseg.ui import upload_selection
from metseg.ui.display_text import plain

#: Metrics of a bundle's `metrics.json` that the page shows, and their labels.
_FIGURES: Final[Mapping[str, str]] = {
    "dice": "Dice",
    "sensitivity": "sensitivity",
    "lesionwise_dice": "Dice per lesion",
}

#: Names of the regions of BraTS for people.
_REGIONS: Final[Mapping[str, str]] = {
    "WT": "Whole tumour with oedema",
    "TC": "Tumour core",
    "ET": "Enhancing tumour",
    "RC": "Resection cavity",
}


def choose_model(
    models: Sequence[Model], kind: Kind | None, *, label: str, key: str, optional: bool = False
) -> Model | None:
    """Ask for a model.

    Args:
        models: installed.
        kind: kind of the study; models that do not support it are not offered.
        label: label of the control.
        key: key of the answer in the session.
        optional: offer "none" too, for which None is returned.
    """
    fitting = [model for model in models if kind is None or upload_selection.fits(model, kind)]
    if not fitting:
        return None
    names: list[str | None] = [model.name for model in fitting]
    first = upload_selection.default_model(fitting, kind)
    options = [None, *names] if optional else names
    index = 0 if optional or first is None else names.index(first.name)
    name = st.selectbox(label, options, index=index, key=key, format_func=lambda name: _name(name, first))
    return next((model for model in fitting if model.name == name), None)


def _name(name: str | None, default: Model | None) -> str:
    if name is None:
        return "none"
    return f"{name} (default)" if default is not None and name == default.name else name


def show_card(model: Model) -> None:
    """Show the purpose and the metrics of a model, and its card in an expander."""
    kind = "volumes (3D)" if model.dimensions == 3 else "pictures, and volumes slice by slice (2D)"
    st.caption(f"{plain(model.description)} For {kind}. {_sequences(model)}")
    # A model cannot be trusted on data unlike its training data, so this is always visible.
    st.caption(f"Trained on: {plain(model.data) or 'not stated'}.")
    _show_terms(model)
    figures = known_figures(model.metrics)
    title = "Known performance" + (" on simulated patients, not on real ones" if model.simulated else "")
    if figures:
        st.caption("  \n".join([f"{title}:", *map(plain, figures)]))
    else:
        st.caption("Known performance: not recorded.")
    with st.expander("Model card"):
        st.markdown(without_pictures(model.card))
        st.caption(f"Threshold {model.threshold:g}, labels {plain(model.labels)}, fingerprint {model.fingerprint[:16]}")


def _sequences(model: Model) -> str:
    """Return which sequences a model needs, and which it can use."""
    needed = [sequence_title(name) for name in model.sequences if name not in model.optional]
    needs = f"Needs {', '.join(needed) or 'any one sequence'}."
    also = ", ".join(map(sequence_title, model.optional))
    return f"{needs} Also uses, if given: {also}." if also else needs


def _show_terms(model: Model) -> None:
    """Show that a model is for non-commercial use only, and how its terms are accepted if they have not been yet."""
    if not model.accepted:
        command = f"metseg models accept {model.name}".replace("`", "")
        st.warning(
            f"The model {plain(model.name)} is for non-commercial use only. Its terms have not been accepted yet: run"
            f" `{command}` on the computer of the service, once."
        )
    elif model.non_commercial:
        st.caption("For non-commercial use only.")


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
    return [*lines, f"Mean over {count} {name} patients, with 95% interval" if count > 1 else f"1 {name} patient"]


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
