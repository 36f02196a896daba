"""``metseg inspect``: summarise a data set of slices or volumes before training."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from metseg.cli.option_parsing import absolute
from metseg.cli.output import SHOWN, Shown, counts, names
from metseg.message_text import pluralize

if TYPE_CHECKING:
    from metseg.errors import InputError
    from metseg.io.case_discovery import FoundCases
    from metseg.io.inspection.slice_inspection import Inspection
    from metseg.plot.images.contact_sheet import Tile
    from metseg.recipe import DataPart, Recipe


def inspect(
    root: Annotated[
        str,
        typer.Argument(
            metavar="ROOT",
            help="The data set; IMAGES::MASKS if masks are under another root. Or a zip archive with DICOM, or "
            "one image.",
        ),
    ],
    layout: Annotated[str | None, typer.Option("--layout", help="Layout of the folder; detected by default.")] = None,
    channels: Annotated[
        str, typer.Option("--channels", help="Sequences of the channels, in file order: t1n,t2f,t1c.")
    ] = "",
    labels: Annotated[
        str | None, typer.Option("--labels", help="Label scheme of the masks; defaults to binary.")
    ] = None,
    file_labels: Annotated[
        str | None, typer.Option("--file-labels", help="Label scheme of the files; defaults to --labels.")
    ] = None,
    masks: Annotated[
        Path | None, typer.Option("--masks", help="Root of the masks; defaults to the root of the data set.")
    ] = None,
    patient_pattern: Annotated[
        str | None, typer.Option("--patient-pattern", help="Regular expression; its group matches the patient.")
    ] = None,
    patients: Annotated[
        Path | None, typer.Option("--patients", help="Table (CSV) with a row per file: its patient, its fold, or both.")
    ] = None,
    stack: Annotated[bool, typer.Option("--stack", help="Read multi-page TIFFs as stacks of slices.")] = False,
    out: Annotated[
        Path | None, typer.Option("--contact-sheet", "--out", help="Write one slice per patient as a picture (PNG).")
    ] = None,
    recipe: Annotated[
        str | None, typer.Option("--recipe", help="Recipe for --augment-preview; the data are read with its settings.")
    ] = None,
    preview: Annotated[
        Path | None,
        typer.Option("--augment-preview", help="Write a picture (PNG) of slices as read, preprocessed and augmented."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Show a data set's counts, sizes, sequences, grids, labels, lesions, orphans, duplicates and bad files."""
    from metseg.io.images.slice_stack import SliceStackSource
    from metseg.recipe import DataPart

    previewed = _previewed_recipe(recipe, preview)
    named = [name for name in channels.split(",") if name]
    data = previewed.data if previewed is not None else DataPart()
    data = _changed(
        data,
        layout=layout,
        channels=named,
        labels=labels,
        file_labels=file_labels,
        patient_pattern=patient_pattern,
        patients=absolute(patients),
        stack=stack,
    )
    for_folders = {
        "--layout": layout,
        "--labels": labels,
        "--file-labels": file_labels,
        "--masks": masks,
        "--patients": patients,
    }
    found = _found(root, data, masks, for_folders=[name for name, value in for_folders.items() if value is not None])
    if previewed is not None and preview is not None:
        from metseg.experiment.recipe_preview import preview_augmentation

        preview_augmentation(found.sources, previewed.model_copy(update={"data": data}), preview)
    written = {"contact sheet": out, "augmentation": preview}
    of_slices = isinstance(found.sources[0], SliceStackSource)
    shown, all_wrong = _slices(found, out, quiet=as_json) if of_slices else _volumes(found, out, quiet=as_json)
    if as_json:
        print(json.dumps(shown.document))
    else:
        shown.print([(what, str(path)) for what, path in written.items() if path is not None])
    if all_wrong:
        raise _nothing_usable(root, len(found.sources))


def _found(root: str, data: DataPart, masks: Path | None, *, for_folders: Sequence[str]) -> FoundCases:
    """Return the cases of a data set, or of a single file.

    Args:
        root: as given.
        data: how it is read.
        masks: root of the masks.
        for_folders: the given options that a single file has no use for.
    Raises:
        UsageError: ``usage.options``, such an option is given for a single file.
    """
    from metseg.errors import UsageError
    from metseg.io.case_discovery import find
    from metseg.io.prediction_inputs import find_in_file

    if not Path(root).is_file():
        return find(root, data, masks=masks)
    if for_folders:
        raise UsageError(
            f"{' and '.join(for_folders)} cannot be used with a single file",
            where=root,
            expected="the folder of a data set",
            cure="give the folder, or leave the option out",
            code="usage.options",
        )
    return find_in_file(Path(root), data)


def _nothing_usable(root: str, cases: int) -> InputError:
    from metseg.errors import InputError

    return InputError(
        "no case is usable",
        where=root,
        got=f"{pluralize(cases, 'case')} of {cases:,} with errors",
        cure="repair or remove the files named above",
        code="input.no_cases",
    )


def _slices(found: FoundCases, sheet: Path | None, *, quiet: bool) -> tuple[Shown, bool]:
    """Return the output for slices, and whether every case has an error; write the contact sheet."""
    from metseg.io.inspection.contact_sheet_selection import showcase
    from metseg.io.inspection.slice_inspection import inspect_cases

    inspection = inspect_cases(found, quiet=quiet)
    if sheet is not None:
        write_contact_sheet(
            showcase(found.sources, inspection.largest_lesion), sheet, inspection.root, counted_slices(inspection)
        )
    return Shown(inspection.to_dict(), _lines(inspection)), inspection.all_wrong


def _volumes(found: FoundCases, sheet: Path | None, *, quiet: bool) -> tuple[Shown, bool]:
    """Return the output for volumes, and whether every study has an error; write the contact sheet."""
    from metseg.cli.inspect_volumes import case_table, counted_volumes, volume_lines
    from metseg.io.inspection.contact_sheet_volumes import showcase_volumes
    from metseg.io.inspection.volume_inspection import inspect_volumes

    inspection = inspect_volumes(found, quiet=quiet)
    if sheet is not None:
        tiles = showcase_volumes(found.sources, inspection.case_lines)
        write_contact_sheet(tiles, sheet, inspection.root, counted_volumes(inspection))
    return Shown(inspection.to_dict(), volume_lines(inspection), case_table(inspection)), inspection.all_wrong


def _previewed_recipe(name: str | None, preview: Path | None) -> Recipe | None:
    """Return the recipe of a preview; raise `UsageError` for one option without the other."""
    from metseg.errors import UsageError
    from metseg.recipe import load_recipe

    if (name is None) != (preview is None):
        raise UsageError(
            "--augment-preview requires --recipe" if name is None else "--recipe requires --augment-preview",
            where="--augment-preview" if name is None else "--recipe",
            cure="give both --recipe RECIPE and --augment-preview FILE.png, or neither",
            code="usage.options",
        )
    return None if name is None else load_recipe(name)


def _changed(data: DataPart, **given: object) -> DataPart:
    """Return the data part with the given options applied and validated as keys of a recipe."""
    from metseg.recipe import DataPart, validated

    changes = {key: value for key, value in given.items() if value}
    return validated(DataPart, {**data.model_dump(), **changes}, where="options")


def write_contact_sheet(tiles: Sequence[Tile], path: Path, root: str, size: str) -> None:
    """Write a contact sheet: one slice per patient, with the lesion outlined.

    Raises:
        InputError: no slice can be read.
    """
    from metseg.errors import InputError
    from metseg.plot.images.contact_sheet import contact_sheet

    if not tiles:
        raise InputError(
            "no slice can be read for the contact sheet",
            where=root,
            cure="repair or remove the files that `metseg inspect` names",
        )
    contact_sheet(tiles, path, heading=f"{Path(root).resolve().name}: {size}")


def counted_slices(inspection: Inspection) -> str:
    """Return the counts of patients and slices as text."""
    patients, slices = pluralize(inspection.patients, "patient"), pluralize(inspection.slices, "slice")
    return f"{patients}, {slices}, {inspection.lesion_slices} with lesion"


def _lines(inspection: Inspection) -> list[tuple[str, str]]:
    """Return the printed facts: sizes always, faults only where there are any."""
    facts = [
        ("data set", f"{inspection.root} ({inspection.layout})"),
        ("holds", f"{counted_slices(inspection)}, {pluralize(inspection.cases, 'case')}"),
        ("sizes", counts(inspection.sizes)),
        ("types", counts(inspection.dtypes)),
        ("channels", counts(inspection.channels)),
        ("labels", counts(inspection.label_values) or "none"),
        ("empty masks", str(inspection.empty_masks)),
        *((f"column {column}", counts(values)) for column, values in inspection.attributes.items()),
    ]
    faults = [
        *(("bad file", f"{problem.file}: {problem.message}") for problem in inspection.problems[:SHOWN]),
        ("more bad files", str(max(0, len(inspection.problems) - SHOWN) or "")),
        ("no lesion", names(inspection.patients_without_lesion, "patient")),
        *(("copies", f"{pair} in {names(who, 'patient')}") for pair, who in inspection.channel_copies.items()),
        ("constant", names(inspection.constant_pictures, "picture")),
        ("without mask", str(inspection.slices_without_mask or "")),
        ("image, no mask", names(inspection.orphan_images, "picture")),
        ("mask, no image", names(inspection.orphan_masks, "mask")),
        *(("left out", note) for note in inspection.left_out),
        *(("duplicates", " = ".join(group)) for group in inspection.duplicates[:SHOWN]),
        ("more duplicates", str(max(0, len(inspection.duplicates) - SHOWN) or "")),
        *(("note", f"{note} ({pluralize(count, 'slice')})") for note, count in inspection.notes.items()),
        ("other files", counts(inspection.other_files)),
    ]
    return facts + [(name, value) for name, value in faults if value]
