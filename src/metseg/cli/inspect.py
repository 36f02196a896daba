"""``metseg inspect``: what a data set of slices holds, before anybody trains on it."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from metseg.io.cases import Found
    from metseg.io.inspect import Inspection
    from metseg.recipe import DataPart, Recipe

#: Names listed one by one; more are counted.
SHOWN = 6


def inspect(
    root: Annotated[str, typer.Argument(help="The data set; IMAGES::MASKS where masks have a root of their own.")],
    layout: Annotated[
        str | None, typer.Option("--layout", help="How the folder is arranged; found out if not given.")
    ] = None,
    channels: Annotated[
        str, typer.Option("--channels", help="What the channels are, in file order: t1n,t2f,t1c.")
    ] = "",
    labels: Annotated[
        str | None, typer.Option("--labels", help="Label scheme of the masks; binary if not given.")
    ] = None,
    masks: Annotated[Path | None, typer.Option("--masks", help="Root of the masks, where it is another.")] = None,
    patient_pattern: Annotated[
        str | None, typer.Option("--patient-pattern", help="Regular expression; its group is the patient.")
    ] = None,
    stack: Annotated[bool, typer.Option("--stack", help="Read multi-page TIFFs as stacks of slices.")] = False,
    out: Annotated[
        Path | None, typer.Option("--contact-sheet", "--out", help="Write one slice per patient as a picture (PNG).")
    ] = None,
    recipe: Annotated[
        str | None, typer.Option("--recipe", help="Read the data as this recipe does; for --augment-preview.")
    ] = None,
    preview: Annotated[
        Path | None,
        typer.Option("--augment-preview", help="Write slices as read, prepared and augmented as a picture (PNG)."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Show what a data set holds: counts, sizes, copied channels, empty masks, orphans, duplicates, bad files."""
    from metseg.io.cases import find
    from metseg.io.inspect import inspect_cases
    from metseg.recipe import DataPart

    previewed = _previewed_recipe(recipe, preview)
    named = [name for name in channels.split(",") if name]
    data = previewed.data if previewed is not None else DataPart()
    data = _changed(data, layout=layout, channels=named, labels=labels, patient_pattern=patient_pattern)
    found = find(
        root,
        layout=data.layout,
        channels=data.channels,
        patient_pattern=data.patient_pattern,
        labels=data.labels,
        masks=masks,
        stack=stack,
    )
    if previewed is not None and preview is not None:
        from metseg.experiment.preview import preview_augmentation

        preview_augmentation(found.sources, previewed.model_copy(update={"data": data}), preview)
    inspection = inspect_cases(found, quiet=as_json)
    if out is not None:
        write_contact_sheet(found, inspection, out)
    if as_json:
        print(json.dumps(inspection.to_dict()))
    else:
        _print(inspection, {"contact sheet": out, "augmentation": preview})


def _previewed_recipe(name: str | None, preview: Path | None) -> Recipe | None:
    """Return the recipe of a preview; neither goes without the other."""
    from metseg.errors import UsageError
    from metseg.recipe import load_recipe

    if (name is None) != (preview is None):
        raise UsageError(
            "a preview needs a recipe" if name is None else "a recipe is for a preview only",
            where="--augment-preview" if name is None else "--recipe",
            cure="give both --recipe RECIPE and --augment-preview FILE.png, or neither",
            code="usage.options",
        )
    return None if name is None else load_recipe(name)


def _changed(data: DataPart, **given: object) -> DataPart:
    """Return the data part with what the options say instead; the options themselves are checked as a recipe's are."""
    from metseg.recipe import DataPart, validated

    changes = {key: value for key, value in given.items() if value}
    return validated(DataPart, {**data.model_dump(), **changes}, where="options")


def write_contact_sheet(found: Found, inspection: Inspection, path: Path) -> None:
    """Write one slice per patient, lesion outlined, to a picture file.

    Raises:
        InputError: no slice can be read.
    """
    from metseg.errors import InputError
    from metseg.io.showcase import showcase
    from metseg.plot.contact_sheet import contact_sheet

    tiles = showcase(found.sources, inspection.largest_lesion)
    if not tiles:
        raise InputError("no slice can be read, so there is nothing to show", where=inspection.root)
    name = Path(inspection.root).resolve().name
    contact_sheet(tiles, path, heading=f"{name}: {counted(inspection)}")


def counted(inspection: Inspection) -> str:
    """Return the size of a data set in words."""
    patients = "1 patient" if inspection.patients == 1 else f"{inspection.patients} patients"
    return f"{patients}, {inspection.slices} slices, {inspection.lesion_slices} with lesion"


def _print(inspection: Inspection, written: Mapping[str, Path | None]) -> None:
    """Print a table on a terminal, and into a pipe one line per fact, unfolded."""
    lines = _lines(inspection) + [(what, str(path)) for what, path in written.items() if path is not None]
    if not sys.stdout.isatty():
        print("\n".join(f"{name}: {value}" for name, value in lines))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in lines:
        table.add_row(name, value)
    Console(highlight=False, markup=False).print(table)


def _lines(inspection: Inspection) -> list[tuple[str, str]]:
    """Return what is worth a line: sizes always, faults only where there are any."""
    facts = [
        ("data set", f"{inspection.root} ({inspection.layout})"),
        ("holds", f"{counted(inspection)}, {inspection.cases} cases"),
        ("sizes", _counts(inspection.sizes)),
        ("types", _counts(inspection.dtypes)),
        ("channels", _counts(inspection.channels)),
        ("labels", _counts(inspection.label_values) or "none"),
        ("empty masks", str(inspection.empty_masks)),
        *((f"column {column}", _counts(values)) for column, values in inspection.attributes.items()),
    ]
    faults = [
        ("no lesion at all", _names(inspection.patients_without_lesion, "patients")),
        *(("copies", f"{pair} in {_names(who, 'patients')}") for pair, who in inspection.channel_copies.items()),
        ("constant", _names(inspection.constant_pictures, "pictures")),
        ("without mask", str(inspection.slices_without_mask or "")),
        ("image, no mask", _names(inspection.orphan_images, "pictures")),
        ("mask, no image", _names(inspection.orphan_masks, "masks")),
        *(("duplicates", " = ".join(group)) for group in inspection.duplicates[:SHOWN]),
        ("more duplicates", str(max(0, len(inspection.duplicates) - SHOWN) or "")),
        *(("bad file", f"{problem.file}: {problem.message}") for problem in inspection.problems[:SHOWN]),
        ("more bad files", str(max(0, len(inspection.problems) - SHOWN) or "")),
        *(("note", f"{note} ({count} slices)") for note, count in inspection.notes.items()),
        ("other files", _counts(inspection.other_files)),
    ]
    return facts + [(name, value) for name, value in faults if value]


def _counts(values: dict[str, int] | dict[int, int]) -> str:
    return ", ".join(f"{value} ({count})" for value, count in values.items())


def _names(names: list[str], what: str) -> str:
    if not names:
        return ""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{len(names)} {what}: {', '.join(names[:SHOWN])}{more}"
