"""``metseg doctor``: what this machine has, and whether metseg can use it."""

from __future__ import annotations

import json
from typing import Annotated

import typer


def doctor(as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False) -> None:
    """Show versions, processor, memory and where bundles are looked for."""
    facts = _facts()
    if as_json:
        print(json.dumps(facts))
        return
    width = max(map(len, facts))
    for name, value in facts.items():
        print(f"{name:<{width}}  {value}")


def _facts() -> dict[str, object]:
    import platform

    import psutil
    import torch

    from metseg import __version__
    from metseg.model.bundle import list_bundles
    from metseg.predict.inference import choose_compute

    compute = choose_compute()
    return {
        "metseg": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "system": platform.platform(),
        "processors": psutil.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "device": str(compute.device),
        "bfloat16": "fast, used" if compute.bf16 else "no instructions for it, float32 is used",
        "bundles": ", ".join(list_bundles()) or "none",
    }
