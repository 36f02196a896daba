"""``metseg simulate-lesions``: simulated metastases in real or painted scans, for training and detection tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from metseg.message_text import pluralize

if TYPE_CHECKING:
    from metseg.simulation.output.folder import Existing

#: Label scheme of what is written.
SCHEME = "brats-met-2023"

#: Where a wrong option is reported to be.
COMMAND = "metseg simulate-lesions"


def simulate_lesions(
    out: Annotated[Path, typer.Argument(help="Folder to create, named as in BraTS-METS.", show_default=False)],
    scans: Annotated[
        Path | None,
        typer.Option(
            help="Real scans: skull-stripped or with a brain mask, t1c among the sequences, all on one grid of cubic "
            "voxels.",
            show_default=False,
        ),
    ] = None,
    label_maps: Annotated[
        Path | None,
        typer.Option(
            help="Instead of --scans: folder of whole-head label maps (NIfTI, FreeSurfer ids, and ids from 165 on "
            "outside the brain). Brains are deformed and painted in four sequences; no image of a person is needed.",
            show_default=False,
        ),
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(
            help=f"Label scheme of the scans' own masks; default: that of their layout, else {SCHEME}.",
            show_default=False,
        ),
    ] = None,
    per_host: Annotated[int, typer.Option(help="Studies to make of each scan or label map.", min=1, max=1000)] = 3,
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
            help="Change an option of the lesions, such as --set lesions_max=4 or --set diameter_median_mm=9; with "
            "--label-maps also one of the painting, such as --set badly_stripped=0.",
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Keep existing studies and create the missing ones.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier simulation.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Add simulated metastases to real scans, or to brains painted from label maps, with exact labels."""
    from metseg.errors import UsageError
    from metseg.recipe import apply_change

    if resume and overwrite:
        raise UsageError("--resume and --overwrite cannot be combined", cure="choose one of them", code="usage.options")
    existing: Existing = "resume" if resume else "overwrite" if overwrite else "refuse"
    wanted: dict[str, Any] = {}
    for change in changes or ():
        apply_change(wanted, change)
    if scans is not None and label_maps is None:
        rows = _in_scans(out, scans, labels, wanted, per_host, seed, healthy_only=healthy_only, existing=existing)
    elif label_maps is not None and scans is None:
        _refuse_options_of_scans(labels, healthy_only=healthy_only)
        rows = _in_label_maps(out, label_maps, wanted, per_host, seed, existing)
    else:
        raise UsageError(
            "--scans and --label-maps cannot be combined" if scans else "the hosts of the lesions are not given",
            expected="exactly one of --scans and --label-maps",
            cure="give real scans with --scans, or label maps of heads with --label-maps",
            code="usage.options",
        )
    kind = "scan" if label_maps is None else "label map"
    hosts, lesions = len({row["host"] for row in rows}), sum(row["lesions"] for row in rows)
    text = (
        f"{out}: {pluralize(len(rows), 'study', 'studies')} of {pluralize(hosts, kind)}, "
        f"{pluralize(lesions, 'simulated lesion')}. Not for clinical use."
    )
    print(json.dumps({"out": str(out), "studies": rows}) if as_json else text)


def _in_scans(
    out: Path,
    scans: Path,
    labels: str | None,
    wanted: dict[str, Any],
    per_host: int,
    seed: int,
    *,
    healthy_only: bool,
    existing: Existing,
) -> list[dict[str, Any]]:
    from metseg.io.case_discovery import find_cases
    from metseg.recipe import validated
    from metseg.simulation.hosts.host_dataset import simulate_in_hosts
    from metseg.simulation.hosts.insertion import InsertionOptions

    options = validated(InsertionOptions, wanted, where=COMMAND)
    return simulate_in_hosts(
        out,
        find_cases(scans, labels=SCHEME, file_labels=_file_labels(labels)),
        per_host=per_host,
        seed=seed,
        options=options,
        healthy_only=healthy_only,
        existing=existing,
    )


def _in_label_maps(
    out: Path, label_maps: Path, wanted: dict[str, Any], per_host: int, seed: int, existing: Existing
) -> list[dict[str, Any]]:
    from metseg.recipe import validated
    from metseg.simulation.hosts.host_dataset import simulate_in_label_maps
    from metseg.simulation.hosts.host_sources import PaintedStudyOptions

    options = validated(PaintedStudyOptions, wanted, where=COMMAND)
    return simulate_in_label_maps(out, label_maps, per_host=per_host, seed=seed, options=options, existing=existing)


def _refuse_options_of_scans(labels: str | None, *, healthy_only: bool) -> None:
    """Refuse options that concern tumours of real scans: label maps have none."""
    from metseg.errors import UsageError

    given = [name for name, there in (("--labels", labels is not None), ("--healthy-only", healthy_only)) if there]
    if given:
        raise UsageError(
            f"{given[0]} cannot be combined with --label-maps: label maps show no tumour",
            cure=f"leave {given[0]} out, or give real scans with --scans",
            code="usage.options",
        )


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
