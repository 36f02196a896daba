"""Plan an experiment: measure a data set, apply nnU-Net's rules and write the resulting recipe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from metseg.errors import InputError
from metseg.experiment.dataset_fingerprint import Fingerprint, compute_fingerprint
from metseg.experiment.nnunet_planner import (
    ANISOTROPY,
    NETWORKS,
    REFERENCE_MEMORY_GB,
    Topology,
    plan_topology,
    residual_blocks,
)
from metseg.io.case_discovery import find_cases
from metseg.io.volumes.volume_case import VolumeSource
from metseg.labels import LABEL_SCHEMES
from metseg.message_text import pluralize
from metseg.recipe import DataPart, Named, PredictPart, Recipe, TrainPart, validated
from metseg.registry import lookup
from metseg.volume import MODALITY_ALIASES

#: nnU-Net's training: 1000 epochs of 250 steps, a third of the patches on lesion. Its learning rate falls by a
#: polynomial, here by a cosine.
TRAINING: dict[str, Any] = {
    "steps_per_epoch": 250,
    "max_epochs": 1000,
    "optimizer": "sgd",
    "learning_rate": 0.01,
    "momentum": 0.99,
    "weight_decay": 3e-5,
    "schedule": "cosine",
    "gradient_clip": 12.0,
    "lesion_share": 1 / 3,
}


@dataclass(frozen=True)
class Plan:
    """A data set's fingerprint, and the network and recipe derived from it."""

    fingerprint: Fingerprint
    topology: Topology
    recipe: Recipe
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        return {
            "fingerprint": self.fingerprint.to_dict(),
            "topology": asdict(self.topology),
            "recipe": self.recipe.model_dump(mode="json", exclude_none=True),
            "notes": list(self.notes),
        }


def plan_experiment(
    root: str | Path,
    data: DataPart | None = None,
    *,
    network: str = "dynunet",
    memory_gb: float = REFERENCE_MEMORY_GB,
    name: str | None = None,
    quiet: bool = False,
) -> Plan:
    """Measure a data set of volumes and return the plan for it.

    Args:
        root: the data set.
        data: settings for reading; its ``labels`` are kept. None: read everything, with the layout's label scheme.
        network: a name in `NETWORKS`.
        memory_gb: GPU memory, or the memory that a batch may use on a CPU.
        name: of the recipe; None: derived from the folder.
        quiet: show no progress.
    Raises:
        UsageError: an unknown network, or an invalid `data`.
        InputError: no cases, 2D pictures instead of volumes, or no sequence that all cases have.
        ResourceError: the memory is too small.
    """
    rules = lookup("network to plan", NETWORKS, network)
    data = DataPart(labels=known_scheme(root)) if data is None else data
    fingerprint = compute_fingerprint(find_cases(root, data), data, quiet=quiet)
    modalities, notes = _common_sequences(fingerprint, data)
    classes = len(LABEL_SCHEMES[data.labels].classes)
    topology = plan_topology(
        fingerprint.spacings_mm, fingerprint.shapes, network=rules, memory_gb=memory_gb, outputs=classes + 1
    )
    part = validated(
        DataPart, data.model_dump() | {"modalities": modalities, "dimensions": 3}, where="the data part of the plan"
    )
    cases = pluralize(len(fingerprint.cases), "case")
    recipe = Recipe(
        name=name or f"{Path(root).resolve().name}-{network}",
        description=f"Planned from {cases} for {memory_gb:g} GB by nnU-Net's rules.",
        source="arXiv:1809.10486",
        data=part,
        preprocess=_steps(fingerprint, topology),
        augment=_augmentation(topology),
        model=_model(network, topology),
        loss=Named(name="dice_bce"),
        train=TrainPart(patch_size=topology.patch_size, batch_size=topology.batch_size, **TRAINING),
        predict=PredictPart(tta=True),
    )
    return Plan(fingerprint, topology, recipe, (*notes, *_warnings(fingerprint)))


def known_scheme(root: str | Path, *, layout: str = "auto", owners: Mapping[str, str | None] | None = None) -> str:
    """Return the label scheme of the layout that a root has; binary if the layout defines none.

    Args:
        root: the data set.
        layout: see `DataPart`.
        owners: patient pattern or patient table, see `DataPart`.
    """
    sources = find_cases(root, validated(DataPart, {"layout": layout, **(owners or {})}, where="options"))
    return next((source.rule.files for source in sources if isinstance(source, VolumeSource)), DataPart().labels)


def _common_sequences(fingerprint: Fingerprint, data: DataPart) -> tuple[tuple[str, ...], list[str]]:
    """Return the sequences that the network will see, and notes on those that it will not."""
    if data.inputs:
        return data.inputs, []
    counts, cases = fingerprint.sequences, len(fingerprint.cases)
    order = [*MODALITY_ALIASES, *sorted(set(counts) - set(MODALITY_ALIASES))]
    common = tuple(name for name in order if counts[name] == cases)
    if not common:
        raise InputError(
            "no sequence is present in every case",
            got=", ".join(f"{name} in {count} of {cases}" for name, count in counts.items()),
            cure="in a recipe's [data], list the sequences (modalities) and those that may be missing (optional)",
            code="input.missing_sequence",
        )
    rare = {name: count for name, count in counts.items() if name not in common}
    absent = [f"{name} is left out: only {count} of {pluralize(cases, 'case')} have it" for name, count in rare.items()]
    return common, absent


def _steps(fingerprint: Fingerprint, topology: Topology) -> tuple[Named, ...]:
    one_grid = all(case.one_grid for case in fingerprint.cases)
    stripped = all(case.region in ("file", "nonzero") for case in fingerprint.cases)
    steps = [] if one_grid else [Named(name="align")]
    steps += [Named(name="brain_mask")] if stripped else []
    return (
        *steps,
        Named(name="reorient"),
        Named(name="crop_to_head", options={"axes": "all"}),
        Named(name="resample", options={"spacing_mm": list(topology.spacing_mm)}),
        Named(name="zscore", options={"outside": "zero" if stripped else "keep"}),
    )


def _augmentation(topology: Topology) -> tuple[Named, ...]:
    """Return nnU-Net's augmentation; thick slices are rotated by small angles only, to stay near their plane."""
    thick = max(topology.spacing_mm) > ANISOTROPY * min(topology.spacing_mm)
    steps: dict[str, dict[str, Any]] = {
        "rotate": {"probability": 0.2, "degrees": 5 if thick else 30},
        "zoom": {"probability": 0.2, "low": 0.7, "high": 1.4},
        "flip": {"axes": [0, 1, 2]},
        "noise": {"probability": 0.1},
        "blur": {"probability": 0.2},
        "brightness": {"probability": 0.15},
        "contrast": {"probability": 0.15},
        "low_resolution": {"probability": 0.25},
        "gamma": {"probability": 0.3},
    }
    return tuple(Named(name=name, options=options) for name, options in steps.items())


def _model(network: str, topology: Topology) -> Named:
    levels = topology.levels
    options: dict[str, Any] = {
        "channels": list(levels.channels),
        "strides": [list(entry) for entry in levels.strides],
        "kernels": [list(entry) for entry in levels.kernels],
    }
    if network == "resenc_unet":
        options["blocks"] = list(residual_blocks(len(levels.channels)))
    return Named(name=network, options=options)


def _warnings(fingerprint: Fingerprint) -> list[str]:
    notes = [f"{case_id} cannot be read: {reason}" for case_id, reason in fingerprint.problems.items()]
    unlabelled = sum(case.lesions_ml is None for case in fingerprint.cases)
    if unlabelled:
        notes.append(f"{pluralize(unlabelled, 'case')} without a mask: used for planning, not for training")
    heads = sum(case.region == "head" for case in fingerprint.cases)
    if heads:
        notes.append(f"{pluralize(heads, 'case')} with skull: the patches cover the whole head")
    return notes


def plan_rows(plan: Plan) -> list[tuple[str, str]]:
    """Return the summary of a plan as (name, value) rows."""
    facts, topology, train = plan.fingerprint, plan.topology, plan.recipe.train
    classes = LABEL_SCHEMES[plan.recipe.data.labels].classes
    shown = facts.cases_by_class
    lesions = facts.lesions_ml
    rows = [
        ("cases", f"{len(facts.cases)} of {len({case.patient for case in facts.cases})} patients"),
        ("sequences", ", ".join(plan.recipe.data.modalities)),
        ("voxels, mm", _range(facts.spacings_mm)),
        ("shape within the region", _range(facts.shapes)),
    ]
    for name in plan.recipe.data.modalities:
        rows.append((f"{name}, 0.5 to 99.5 %", _intensity_range(facts, name)))
    rows += [
        ("classes", ", ".join(f"{label} in {shown[value]} cases" for value, label in classes.items())),
        ("lesions", _lesion_sizes(lesions, len(facts.cases))),
        ("target spacing, mm", _joined(topology.spacing_mm)),
        ("median shape after resampling", _joined(topology.median_shape)),
        ("network", f"{plan.recipe.model.name}, channels {', '.join(map(str, topology.levels.channels))}"),
        ("strides", "; ".join(_joined(entry) for entry in topology.levels.strides)),
        ("kernels", "; ".join(_joined(entry) for entry in topology.levels.kernels)),
        ("patch", _joined(train.patch_size)),
        ("batch", str(train.batch_size)),
    ]
    return rows


def _joined(values: Sequence[float]) -> str:
    return " x ".join(f"{value:g}" for value in values)


def _range(rows: Sequence[Sequence[float]]) -> str:
    low, middle, high = (np.percentile(np.asarray(rows), share, axis=0) for share in (0, 50, 100))
    same = bool((low == high).all())
    return _joined(middle) if same else f"median {_joined(middle)}, from {_joined(low)} to {_joined(high)}"


def _intensity_range(facts: Fingerprint, name: str) -> str:
    ranges = [case.intensities[name] for case in facts.cases if name in case.intensities]
    low, high = (float(np.median([found[end] for found in ranges])) for end in ("low", "high"))
    return f"{low:.4g} to {high:.4g}, the median over cases"


def _lesion_sizes(volumes_ml: Sequence[float], cases: int) -> str:
    if not volumes_ml:
        return "none"
    low, middle, high = np.percentile(volumes_ml, (5, 50, 95))
    return (
        f"{len(volumes_ml)}, {len(volumes_ml) / cases:.1f} a case; {middle:.3g} mL, 90 % from {low:.3g} to {high:.3g}"
    )
