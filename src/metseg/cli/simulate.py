"""``metseg simulate``: write a folder of simulated patients."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from metseg.message_text import pluralize

if TYPE_CHECKING:
    from metseg.simulation import BmsrOptions, NiftiOptions


class Output(StrEnum):
    nifti = "nifti"
    ucsf_bmsr = "ucsf-bmsr"
    slices = "slices"


def simulate(
    out: Annotated[Path, typer.Argument(help="Folder to create.", show_default=False)],
    patients: Annotated[int, typer.Option(help="Number of patients.", min=1)] = 10,
    timepoints: Annotated[
        int, typer.Option(help="Examinations per patient; lesions grow, shrink, appear and disappear.", min=1)
    ] = 1,
    seed: Annotated[int, typer.Option(help="Random seed; the same seed gives the same patients.", min=0)] = 0,
    as_: Annotated[
        Output, typer.Option("--as", help="Volumes as in BraTS-METS or UCSF-BMSR, or pictures with masks.")
    ] = Output.nifti,
    challenge: Annotated[
        str,
        typer.Option(
            help="Difficulty of the images: 0 none, 1 mild, 2 clinical, 3 hard: thick slices on different grids, "
            "head motion, bias field and noise; from level 2 on a sequence may be missing."
        ),
    ] = "none",
    resolution_mm: Annotated[float | None, typer.Option(help="Edge length of a voxel in mm. (default: 1.0)")] = None,
    skull: Annotated[
        bool | None, typer.Option("--skull/--no-skull", help="Keep the skull, or strip it. (default: skull)")
    ] = None,
    sequence: Annotated[
        str | None,
        typer.Option(help="Slices: grey pictures of t1n, t1c, t2w or t2f. (default: colour, t1n t2f t1c)"),
    ] = None,
    mask: Annotated[
        str | None,
        typer.Option(help="Slices: whole, core, or auto (core for t1n and t1c, else whole). (default: auto)"),
    ] = None,
    slices_per_patient: Annotated[
        int | None, typer.Option(help="Slices: number per patient, evenly spaced. (default: all)")
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Any other option of the phantom, such as --set lesions_max=4, --set diameter_median_mm=9 or "
            "--set scanners=many (tissue contrast and scanners vary as among many hospitals).",
        ),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(help="Number of processes. (default: as many as cores and memory allow)", min=1)
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Keep existing patients and create the missing ones.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier simulation.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the patient table as JSON.")] = False,
) -> None:
    """Simulate brain MRI with metastases: t1n, t1c, t2w and t2f with exact labels. Needs no download."""
    from metseg.errors import UsageError
    from metseg.recipe import apply_change, validated
    from metseg.simulation import PhantomOptions, SliceOptions, difficulty_level, simulate_dataset

    if resume and overwrite:
        raise UsageError("--resume and --overwrite cannot be combined", cure="choose one of them", code="usage.options")
    wanted = _given(resolution_mm=resolution_mm, skull=skull)
    for change in changes or ():
        key = change.partition("=")[0].strip()
        if key in wanted:
            raise UsageError(f"'{key}' is given twice", where="--set", cure="give it once", code="usage.options")
        apply_change(wanted, change)
    phantom = validated(PhantomOptions, wanted, where="metseg simulate")
    chosen = _given(sequence=sequence, mask=mask, slices_per_patient=slices_per_patient)
    output = validated(SliceOptions, chosen, where="metseg simulate") if as_ is Output.slices else _volumes(as_)
    if as_ is not Output.slices and chosen:
        name = "--" + next(iter(chosen)).replace("_", "-")
        raise UsageError(
            f"{name} requires --as slices", cure="add --as slices, or remove the option", code="usage.options"
        )
    rows = simulate_dataset(
        out,
        patients=patients,
        timepoints=timepoints,
        seed=seed,
        phantom=phantom,
        challenge=difficulty_level(challenge),
        output=output,
        existing="resume" if resume else "overwrite" if overwrite else "refuse",
        workers=workers,
    )
    print(json.dumps({"out": str(out), "patients": rows}) if as_json else _summary(rows, out))


def _volumes(kind: Output) -> BmsrOptions | NiftiOptions:
    from metseg.simulation import BmsrOptions, NiftiOptions

    return BmsrOptions() if kind is Output.ucsf_bmsr else NiftiOptions()


def _given(**options: Any) -> dict[str, Any]:
    """Return the options that the user gave; the others keep the defaults of their options class."""
    return {name: value for name, value in options.items() if value is not None}


def _summary(rows: list[dict[str, Any]], out: Path) -> str:
    lesions = sum(row["lesions"] for row in rows)
    slices, examinations = (sum(row.get(key, 0) for row in rows) for key in ("slices", "examinations"))
    with_lesion = sum(row.get("slices_with_lesion", 0) for row in rows)
    extra = f", {pluralize(slices, 'slice')}, {with_lesion} of them with lesion" if slices else ""
    if examinations > len(rows):
        extra = f" at first, {pluralize(examinations, 'examination')}"
    sizes = f"{pluralize(len(rows), 'patient')}, {pluralize(lesions, 'lesion')}"
    return f"{out}: {sizes}{extra}. Simulated: not patients, and not for clinical use."
