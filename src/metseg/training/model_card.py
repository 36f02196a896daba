"""The card of a bundle: what the model is, what it was trained on, how it scored, what it must not be used for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from metseg.inference.input_fit import REQUIRED_ONLY
from metseg.recipe import Recipe
from metseg.system_info import machine_line

HEADER = ("| patients | region | Dice (mean per patient, 95 % interval) |", "|---|---|---|")

NOTICE = "**Research use only. Not a medical device.** Not for diagnosis, treatment planning or any clinical decision."


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
        f"- {metrics['patients']['train']} patients for training, {metrics['patients']['validation']} for early "
        f"stopping, {metrics['patients']['test']} for the test",
        f"- {metrics['steps']} steps, {metrics['minutes']:.1f} minutes; best validation Dice at epoch "
        f"{metrics['best_epoch']}",
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
    """Return in which way the model says nothing, one sentence for each part of the data; mostly empty.

    Args:
        metrics: what `metseg.training.finalize` measured.
    """
    return [
        f"on the {part} patients {remark}"
        for part in ("validation", "test")
        for remark in metrics.get(part, {}).get("trivial", ())
    ]


def about_model(recipe: Recipe, *, parameters: int) -> list[str]:
    """Return the lines with which every card begins: what it is, whose data it saw, what it must not be used for.

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
        f"- architecture: `{recipe.model.name}`, {parameters / 1e6:.2f} million parameters",
        f"- input: {', '.join(recipe.seen)} ({recipe.data.dimensions}D)",
        f"- labels: `{recipe.data.labels}`",
        f"- source: {recipe.source or 'not stated'}",
        f"- data and their licence, which holds for these weights too: {recipe.data.licence or 'not stated'}",
        "",
    ]


def _without_optional(recipe: Recipe, metrics: Mapping[str, Any]) -> list[str]:
    """Say that sequences may be missing only with what the network scores then."""
    optional = ", ".join(recipe.data.optional)
    if not optional:
        return []
    if REQUIRED_ONLY not in metrics:
        return [f"It takes studies without {optional}; how it scores on them was not measured.", ""]
    rows = _rows(f"validation, without {optional}", metrics[REQUIRED_ONLY])
    return [f"It takes studies without {optional}. Without all of them it scored:", "", *HEADER, *rows, ""]


def _beginning(began_with: Mapping[str, Any] | None) -> list[str]:
    """Say which weights the training began with, and how much training those had had."""
    if began_with is None:
        return []
    unknown = "; whom they have seen is not known" if began_with["seen_before"] is None else ""
    return [
        f"- began with the weights of `{began_with['name']}` (from trainings of {began_with['steps']} steps, "
        f"{began_with['minutes']:.1f} minutes in all{unknown})"
    ]


def _leaks(metrics: Mapping[str, Any]) -> str:
    """Return by which ways patients who were scored have been learnt from."""
    seen = (metrics.get("began_with") or {}).get("seen_before")
    inherited = f"the weights it began with had seen {seen} of these patients, or others called like them"
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
