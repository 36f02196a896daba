"""``metseg simulate-lesions``: add simulated metastases to real scans, for training and detection tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from metseg.message_text import pluralize

#: Label scheme of what is written.
SCHEME = "brats-met-2023"


def simulate_lesions(
    out: Annotated[Path, typer.Argument(help="Folder to create, named as in BraTS-METS.", show_default=False)],
    scans: Annotated[
        Path,
        typer.Option(
            help="Real scans: skull-stripped or with a brain mask, t1c among the sequences, all on one grid of cubic "
            "voxels.",
            show_default=False,
        ),
    ],
    labels: Annotated[
        str | None,
        typer.Option(
            help=f"Label scheme of the scans' own masks; default: that of their layout, else {SCHEME}.",
            show_default=False,
        ),
    ] = None,
    per_host: Annotated[int, typer.Option(help="Studies to make of each scan.", min=1, max=1000)] = 3,
    healthy_only: Annotated[
        bool,
        typer.Option(
            "--healthy-only",
            help="Replace a hemisphere with tumour by the mirror image of the other one; scans with "
            "tumour in both hemispheres are left out. Scans without a mask count as free of tumour; a warning "
            "names them.",
        ),
    ] = False,
    seed: Annotated[int, typer.Option(help="Random seed; the same seed gives the same lesions.", min=0)] = 0,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Change an option of the lesions, such as --set lesions_max=4 or --set diameter_median_mm=9.",
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
        raise UsageError("--resume and --overwrite cannot be combined", cure="choose one of them", code="usage.options")
    wanted: dict[str, Any] = {}
    for change in changes or ():
        apply_change(wanted, change)
    rows = simulate_in_hosts(
        out,
        find_cases(scans, labels=SCHEME, file_labels=_file_labels(labels)),
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


def _file_labels(name: str | None) -> str | None:
    """Return the label scheme of the scans' masks.

    Raises:
        UsageError: it is unknown, or its classes are not those of BraTS-METS.
    """
    from metseg.errors import UsageError
    from metseg.labels import LABEL_MAPS

    possible = (SCHEME, *(files for files, wanted in LABEL_MAPS if wanted == SCHEME))
    if name is not None and name not in possible:
        raise UsageError(
            f"masks of this label scheme cannot become {SCHEME}",
            where="--labels",
            expected=", ".join(possible),
            got=name,
            cure="name the scheme that the masks have, or give scans without masks",
            code="usage.labels",
        )
    return name
