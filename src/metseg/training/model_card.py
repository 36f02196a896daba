"""Model card of a bundle: architecture, training data, scores and limits of use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from metseg.inference.input_fit import REQUIRED_ONLY
from metseg.model.architectures import first_weights
from metseg.recipe import Recipe
from metseg.runtime.system_info import machine_line

HEADER = ("| patients | region | Dice (mean per patient, 95 % interval) |", "|---|---|---|")

NOTICE = "**Research use only. Not a medical device.** Not for diagnosis, treatment planning or any clinical decision."


#: Why the card's weights are those of their epoch, by `train.keep_weights`.
KEPT_WEIGHTS = {"best": "the best validation Dice", "last": "the last validation"}


def write_card(recipe: Recipe, metrics: Mapping[str, Any]) -> str:
    """Return the Markdown text of a card.

    Args:
        recipe: how the model was made.
        metrics: what `metseg.training.finalize` measured.
    """
    lines = [
        *about_model(recipe, parameters=metrics["parameters"]),
        "## How it was trained",
        "",
        f"- {metrics['patients']['train']} patients for training, {metrics['patients']['validation']} for "
        f"validation, {metrics['patients']['test']} for the test",
        f"- {metrics['steps']} steps, {metrics['minutes']:.1f} minutes; weights of epoch {metrics['best_epoch']}, "
        f"{KEPT_WEIGHTS[recipe.train.keep_weights]}",
        *_beginning(metrics.get("began_with")),
        f"- on {machine_line(metrics['machine'])}",
        "",
        "## How it scored",
        "",
        *([f"**Changed data**: {'; '.join(changed)}.", ""] if (changed := metrics.get("changed_data")) else []),
        *([f"**Other data**: {remark}.", ""] if (remark := metrics.get("other_data")) else []),
        *_score_table(metrics),
        "",
        *_without_optional(recipe, metrics),
        *(line for remark in trivial_remarks(metrics) for line in (f"**Says nothing**: {remark}.", "")),
    ]
    if metrics.get("leaks_patients"):
        lines += [f"**Leaks patients**: {_leaks(metrics)}, so these figures are too good.", ""]
    return "\n".join(lines)


def trivial_remarks(metrics: Mapping[str, Any]) -> list[str]:
    """Return remarks on trivial predictions, one sentence for each part of the data; usually empty.

    Args:
        metrics: what `metseg.training.finalize` measured.
    """
    return [
        f"on the {part} patients {remark}"
        for part in ("validation", "test")
        for remark in metrics.get(part, {}).get("trivial", ())
    ]


def about_model(recipe: Recipe, *, parameters: int) -> list[str]:
    """Return the first lines of every card: description, disclaimer, architecture and training data.

    Args:
        recipe: how the model was made.
        parameters: of all its networks.
    """
    return [
        f"# {recipe.name}",
        "",
        recipe.description,
        "",
        NOTICE,
        "",
        "## What it is",
        "",
        f"- architecture: `{recipe.model.name}`, {parameters / 1e6:.2f} million parameters"
        + (f", encoder from {first}" if (first := first_weights(recipe.model.name, recipe.model.options)) else ""),
        f"- input: {', '.join(recipe.seen)} ({recipe.data.dimensions}D)",
        f"- labels: `{recipe.data.labels}`",
        f"- source: {recipe.source or 'not stated'}",
        f"- data and their licence, which holds for these weights too: {recipe.data.licence or 'not stated'}",
        "",
    ]


def _without_optional(recipe: Recipe, metrics: Mapping[str, Any]) -> list[str]:
    """Return the lines on optional sequences, with the scores without them."""
    optional = ", ".join(recipe.data.optional)
    if not optional:
        return []
    if REQUIRED_ONLY not in metrics:
        return [f"It accepts studies without {optional}; its scores on them were not measured.", ""]
    rows = _rows(f"validation, without {optional}", metrics[REQUIRED_ONLY])
    return [f"It accepts studies without {optional}. Its scores without all of them:", "", *HEADER, *rows, ""]


def _beginning(began_with: Mapping[str, Any] | None) -> list[str]:
    """Return the line on the initial weights and their training."""
    if began_with is None:
        return []
    unknown = "; their training patients are not known" if began_with["seen_before"] is None else ""
    return [
        f"- initial weights: `{began_with['name']}` (trained for {began_with['steps']} steps, "
        f"{began_with['minutes']:.1f} minutes in total{unknown})"
    ]


def _leaks(metrics: Mapping[str, Any]) -> str:
    """Return the ways in which scored patients were part of the training."""
    seen = (metrics.get("began_with") or {}).get("seen_before")
    inherited = f"the initial weights were trained or selected on {seen} of these patients, or others of the same names"
    by_slice = ["the split was by slice"] if metrics["split_by"] == "slice" else []
    return " and ".join([*([inherited] if seen else []), *metrics.get("leaks", by_slice)])


def _score_table(metrics: Mapping[str, Any]) -> list[str]:
    return [*HEADER, *(row for part in ("validation", "test") for row in _rows(part, metrics.get(part, {})))]


def _rows(part: str, summary: Mapping[str, Any]) -> list[str]:
    rows = []
    for region, scores in summary.get("regions", {}).items():
        dice = scores["metrics"]["dice"]
        interval = "" if dice["low"] is None else f" ({dice['low']:.3f} to {dice['high']:.3f})"
        rows.append(f"| {part} ({dice['patients']}) | {region} | {dice['mean']:.3f}{interval} |")
    return rows
