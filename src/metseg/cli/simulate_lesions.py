"""``metseg simulate-lesions``: add simulated metastases to real scans, for training and detection tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from metseg.message_text import pluralize


def simulate_lesions(
    out: Annotated[Path, typer.Argument(help="Folder to create, named as in BraTS-METS.", show_default=False)],
    scans: Annotated[
        Path,
        typer.Option(
            help="Real scans: skull-stripped, t1c among the sequences, all on one grid of cubic voxels.",
            show_default=False,
        ),
    ],
    labels: Annotated[
        str, typer.Option(help="Label scheme of the scans' tumour masks, if there are any.")
    ] = "brats-met-2023",
    per_host: Annotated[int, typer.Option(help="Number of studies per scan.", min=1, max=1000)] = 3,
    healthy_only: Annotated[
        bool,
        typer.Option(
            "--healthy-only",
            help="Replace a hemisphere with tumour by the mirror image of the other one; scans with "
            "tumour in both hemispheres are left out.",
        ),
    ] = False,
    seed: Annotated[int, typer.Option(help="Random seed; the same seed gives the same lesions.", min=0)] = 0,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="Change an option of the lesions, such as --set lesions_max=4 or --set diameter_median_mm=9."
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Keep existing studies and create the missing ones.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier simulation.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Add simulated metastases to real scans, with exact labels."""
    from metseg.errors import UsageError
    from metseg.io.case_discovery import find_cases
    from metseg.recipe import apply_change, validated
    from metseg.simulation.hosts.host_dataset import simulate_in_hosts
    from metseg.simulation.hosts.insertion import InsertionOptions

    if resume and overwrite:
        raise UsageError("--resume keeps what --overwrite removes", cure="choose one of them", code="usage.options")
    wanted: dict[str, Any] = {}
    for change in changes or ():
        apply_change(wanted, change)
    rows = simulate_in_hosts(
        out,
        find_cases(scans, labels=labels),
        per_host=per_host,
        seed=seed,
        options=validated(InsertionOptions, wanted, where="metseg simulate-lesions"),
        healthy_only=healthy_only,
        existing="resume" if resume else "overwrite" if overwrite else "refuse",
    )
    hosts, lesions = len({row["host"] for row in rows}), sum(row["lesions"] for row in rows)
    text = (
        f"{out}: {pluralize(len(rows), 'study', 'studies')} of {pluralize(hosts, 'scan')}, "
        f"{pluralize(lesions, 'simulated lesion')}. Not for clinical use."
    )
    print(json.dumps({"out": str(out), "studies": rows}) if as_json else text)
