"""Simulate patients with exact labels, as data for trials without a download."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from metseg.argument_checks import require_instance, require_path, wrong_type
from metseg.errors import UsageError
from metseg.recipe import validated
from metseg.registry import lookup
from metseg.simulation import (
    BmsrOptions,
    NiftiOptions,
    OutputOptions,
    PhantomOptions,
    SliceOptions,
    difficulty_level,
    simulate_dataset,
)

Kind = Literal["nifti", "ucsf-bmsr", "slices"]

#: Kind of the files to the options class that writes them.
OUTPUTS: Mapping[str, type[NiftiOptions | BmsrOptions | SliceOptions]] = {
    "nifti": NiftiOptions,
    "ucsf-bmsr": BmsrOptions,
    "slices": SliceOptions,
}


def simulate(
    out: str | Path,
    patients: int,
    *,
    timepoints: int = 1,
    seed: int = 0,
    kind: Kind = "nifti",
    challenge: str = "none",
    phantom: Mapping[str, Any] | None = None,
    slices: Mapping[str, Any] | None = None,
    existing: Literal["refuse", "resume", "overwrite"] = "refuse",
    workers: int | None = None,
    quiet: bool = False,
) -> list[dict[str, Any]]:
    """Write a folder of simulated patients: t1n, t1c, t2w, t2f and exact labels.

    Args:
        out: the folder; created if absent.
        patients: number of patients.
        timepoints: examinations of each patient; lesions grow, shrink, appear and vanish between them.
        seed: seed of the patients; the first patients of a seed are the same for any number of patients.
        kind: ``nifti``: volumes as in BraTS-METS; ``ucsf-bmsr``: volumes as in UCSF-BMSR; ``slices``: pictures with
            masks.
        challenge: how difficult the images are: ``none``, ``mild``, ``clinical`` or ``hard``.
        phantom: options of the patients, such as ``{"resolution_mm": 3, "lesions_max": 4, "skull": False}``; the keys
            are those of ``metseg simulate --set``. None: the defaults.
        slices: options of pictures: ``sequence``, ``mask`` and ``slices_per_patient``. None: the defaults.
        existing: if the folder is not empty: ``refuse`` raises; ``resume`` keeps its patients and adds missing ones;
            ``overwrite`` removes an earlier simulation first.
        workers: number of processes; None: as many as cores and memory allow.
        quiet: show no progress.
    Returns:
        one row per patient, as in ``patients.csv``: pass it to ``pandas.DataFrame``.
    Raises:
        UsageError: an option that does not exist or is out of range, a folder that is not empty, ``slices`` for
            volumes, nilearn is not installed (extra ``simulate``), or an argument of a wrong type.
        ResourceError: the disk is full, or a process ran out of memory.

    Examples:
        Simulate two coarse patients in seconds, and read them::

            metseg.simulate("data", 2, phantom={"resolution_mm": 3})
            cases = metseg.load_all("data", labels="brats-met-2023")
    """
    for name, number, least in (("patients", patients, 1), ("timepoints", timepoints, 1), ("seed", seed, 0)):
        _require_count(name, number, least)
    if workers is not None:
        _require_count("workers", workers, 1)
    require_instance("challenge", challenge, str, expected="the name of a level")
    lookup("way to treat an existing folder", dict.fromkeys(("refuse", "resume", "overwrite")), existing)
    return simulate_dataset(
        require_path("out", out),
        patients=patients,
        timepoints=timepoints,
        seed=seed,
        phantom=validated(PhantomOptions, _options("phantom", phantom), where="phantom"),
        challenge=difficulty_level(challenge),
        output=_output(kind, slices),
        existing=existing,
        workers=workers,
        quiet=quiet,
    )


def _require_count(name: str, value: object, least: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool):
        raise wrong_type(name, value, expected="a whole number")
    if value < least:
        raise UsageError("the number is too small", where=name, expected=f"{least} or more", got=value)


def _options(name: str, value: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return options as a dictionary of their own."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise wrong_type(name, value, expected="a mapping from option to value")
    return dict(value)


def _output(kind: str, slices: Mapping[str, Any] | None) -> OutputOptions:
    require_instance("kind", kind, str, expected=f"one of {', '.join(OUTPUTS)}")
    options = lookup("kind of files", OUTPUTS, kind)
    if options is not SliceOptions and slices is not None:
        raise UsageError(
            "options of slices are given for volumes",
            where="slices",
            cure='pass kind="slices", or leave slices out',
            code="usage.options",
        )
    return validated(options, _options("slices", slices), where="slices")
