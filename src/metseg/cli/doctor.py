"""``metseg doctor``: show versions, hardware and bundles, and check the service's settings."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from metseg.serve.diagnostics import Finding

NOT_INSTALLED = "not installed (pip install 'metseg[serve]')"


def doctor(as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False) -> None:
    """Show versions, hardware and bundles, and check the service's settings; the first error sets the exit status."""
    findings = _findings()
    service = {f"service.{finding.name}": finding.text for finding in findings} or {"service": NOT_INSTALLED}
    facts = {**_facts(), **service}
    if as_json:
        print(json.dumps(facts))
    else:
        width = max(map(len, facts))
        for name, value in facts.items():
            print(f"{name:<{width}}  {value}")
    error = next((finding.error for finding in findings if finding.error is not None), None)
    if error is not None:
        raise typer.Exit(error.exit_status)


def _findings() -> Sequence[Finding]:
    """Return the findings on the service; empty if it is not installed."""
    try:
        from metseg.serve.diagnostics import examine
    except ModuleNotFoundError:
        return ()
    return examine()


def _facts() -> dict[str, object]:
    import platform

    import psutil
    import torch

    from metseg.inference.device import choose_compute
    from metseg.model.bundle import list_bundles
    from metseg.version import __version__

    compute = choose_compute()
    return {
        "metseg": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "system": platform.platform(),
        "processors": psutil.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "device": str(compute.device),
        "bfloat16": "fast, used" if compute.bf16 else "not supported in hardware, float32 is used",
        "bundles": ", ".join(list_bundles()) or "none",
    }
