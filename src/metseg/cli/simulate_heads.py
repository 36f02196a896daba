"""``metseg simulate-heads``: synthesise heads from label maps, for training a brain-extraction network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from metseg.message_text import pluralize


def simulate_heads(
    out: Annotated[Path, typer.Argument(help="Folder to create, in nnU-Net's layout.", show_default=False)],
    label_maps: Annotated[
        Path,
        typer.Option(
            help="Folder of whole-head label maps (NIfTI): FreeSurfer ids, and ids from 165 on outside the brain.",
            show_default=False,
        ),
    ],
    heads: Annotated[int, typer.Option(help="Number of heads, divided over the label maps.", min=1)] = 200,
    seed: Annotated[int, typer.Option(help="Random seed; the same seed gives the same heads.", min=0)] = 0,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Change an option of the variation, such as --set spacing_mm=1.5 or --set lesions=0.",
        ),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Keep existing heads and create the missing ones.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Simulate heads with skull in random contrasts, with exact brain masks, from label maps of real people."""
    from metseg.recipe import apply_change, validated
    from metseg.simulation.heads.head_dataset import simulate_heads as write_heads
    from metseg.simulation.heads.label_map_head import HeadOptions

    wanted: dict[str, Any] = {}
    for change in changes or ():
        apply_change(wanted, change)
    options = validated(HeadOptions, wanted, where="metseg simulate-heads")
    rows = write_heads(out, label_maps, heads=heads, seed=seed, options=options, resume=resume)
    people = len({row["label_map"] for row in rows})
    text = f"{out}: {pluralize(len(rows), 'head')} of {pluralize(people, 'label map')}. Simulated: not patients."
    print(json.dumps({"out": str(out), "heads": rows}) if as_json else text)
