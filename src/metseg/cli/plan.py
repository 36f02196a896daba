"""``metseg plan``: measure a data set of volumes and write a recipe for it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from metseg.cli.option_parsing import absolute

if TYPE_CHECKING:
    from metseg.experiment.plan import Plan
    from metseg.recipe import DataPart


def plan(
    root: Annotated[str, typer.Argument(metavar="ROOT", help="The data set: volumes, with or without masks.")],
    out: Annotated[Path, typer.Option("--out", help="The recipe to write (TOML), for `metseg train`.")] = Path(
        "plan.toml"
    ),
    network: Annotated[
        str, typer.Option("--network", help="Network: dynunet (nnU-Net) or resenc_unet (ResEnc).")
    ] = "dynunet",
    memory_gb: Annotated[
        float, typer.Option("--memory", help="GPU memory in GB; determines patch and batch size.", min=0.1)
    ] = 8.0,
    layout: Annotated[str, typer.Option("--layout", help="Layout of the folder.")] = "auto",
    modalities: Annotated[
        str,
        typer.Option(
            "--modalities",
            help="Input sequences of the network, such as t1c,t2f. Defaults to the sequences that every case has.",
        ),
    ] = "",
    labels: Annotated[str | None, typer.Option("--labels", help="Label scheme; defaults to the layout's.")] = None,
    patient_pattern: Annotated[
        str | None, typer.Option("--patient-pattern", help="Regular expression; its group matches the patient.")
    ] = None,
    patients: Annotated[
        Path | None, typer.Option("--patients", help="Table (CSV) with a row per file: its patient, its fold, or both.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Show a data set's fingerprint, and the network, patch and spacing that nnU-Net's rules derive from it."""
    from metseg.experiment.plan import plan_experiment
    from metseg.runtime.atomic_io import write_text

    owners = {"patient_pattern": patient_pattern, "patients": absolute(patients)}
    data = _data(root, layout=layout, modalities=modalities, labels=labels, owners=owners)
    made = plan_experiment(root, data, network=network, memory_gb=memory_gb, name=out.stem, quiet=as_json)
    write_text(out, made.recipe.to_toml())
    if as_json:
        print(json.dumps(made.to_dict()))
    else:
        _print(made, out)


def _data(root: str, *, layout: str, modalities: str, labels: str | None, owners: Mapping[str, str | None]) -> DataPart:
    from metseg.experiment.plan import known_scheme
    from metseg.recipe import DataPart, validated

    given = {
        "layout": layout,
        "modalities": [name for name in modalities.split(",") if name],
        **owners,
    }
    scheme = labels or known_scheme(root, layout=layout, owners=owners)
    return validated(DataPart, {**given, "labels": scheme}, where="plan")


def _print(made: Plan, out: Path) -> None:
    from rich.console import Console
    from rich.table import Table

    from metseg.experiment.plan import plan_rows

    table = Table("what", "value")
    for row in plan_rows(made):
        table.add_row(*row)
    console = Console(highlight=False, markup=False)
    console.print(table)
    for note in made.notes:
        console.print(f"note: {note}")
    console.print(f"recipe: {out}\nnext: metseg train {out} --data ROOT --out RUN")
