"""``metseg extract-brain``: write the brain mask of one head image."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer


def extract_brain(
    image: Annotated[
        Path,
        typer.Argument(help="A NIfTI file, or a folder with one DICOM study; any contrast.", show_default=False),
    ],
    out: Annotated[Path, typer.Option("--out", help="Mask file to write, .nii.gz.")] = Path("brain_mask.nii.gz"),
    method: Annotated[
        str,
        typer.Option(
            help="Method: network (metseg's own model) or deepbet (T1 and T1c only; requires metseg[deepbet])."
        ),
    ] = "network",
    device: Annotated[str, typer.Option("--device", help="Device: auto, cpu, cuda, cuda:1 or mps.")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Segment the brain in a head image; writes a mask on the image's grid, for --modality brain_mask=FILE."""
    from metseg.inference.brain.brain_mask_file import extract_brain_of_file

    brain = extract_brain_of_file(image, out, method=method, device=device)
    if as_json:
        print(json.dumps({"mask": str(out), "volume_ml": round(brain.volume_ml, 1), "warnings": list(brain.warnings)}))
        return
    for text in brain.warnings:
        typer.echo(f"note: {text}", err=True)
    print(f"{out}: brain volume {brain.volume_ml:.0f} mL. Research use only: check the mask before you use it.")
