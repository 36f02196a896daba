"""The two tables of a data set: a row per patient, and a row per lesion and examination."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from math import pi
from pathlib import Path
from typing import Any

from metseg.runtime.atomic_io import atomic_file
from metseg.simulation.options import BmsrOptions, OutputOptions
from metseg.simulation.output.demographics import clinical_row
from metseg.simulation.output.folder import LESIONS, PATIENTS
from metseg.simulation.output.naming import NAMINGS

#: Columns of the table of lesions. A lesion has one number for life; in the row of the examination that no longer
#: found it, its volumes are 0 and its place is empty.
LESION_COLUMNS = (
    "patient", "lesion_id", "timepoint", "days", "case", "event", "planned_core_mm3", "core_mm3",
    "netc_mm3", "snfh_mm3", "et_mm3", "equivalent_diameter_mm", "x_mm", "y_mm", "z_mm",
)  # fmt: skip


def write_tables(out: Path, output: OutputOptions) -> list[dict[str, Any]]:
    """Write ``patients.csv`` and ``lesions.csv`` from the truths of all examinations; return the rows of patients."""
    pattern = f"{NAMINGS[output.kind].folders}/*.json"
    truths = [json.loads(path.read_text("utf-8")) for path in sorted(out.glob(pattern))]
    examinations = Counter(truth["patient"] for truth in truths)
    first = [truth for truth in truths if truth.get("timepoint", "000") == "000"]
    rows = [_patient_row(truth, examinations[truth["patient"]]) for truth in first]
    if isinstance(output, BmsrOptions):
        rows = [row | clinical_row(row["patient"]) for row in rows]
    write_rows(rows, list(rows[0]) if rows else ["patient"], out / PATIENTS)
    lesions = sorted(
        (row for truth in truths for row in lesion_rows(truth)),
        key=lambda row: (row["patient"], row["lesion_id"], row["timepoint"]),
    )
    write_rows(lesions, LESION_COLUMNS, out / LESIONS)
    return rows


def _patient_row(truth: dict[str, Any], examinations: int) -> dict[str, Any]:
    """Return a patient's row: what the first examination shows."""
    lesions = truth["lesions"]
    diameters = [lesion["equivalent_diameter_mm"] for lesion in lesions]
    row: dict[str, Any] = {
        "patient": truth["patient"],
        "case": truth["case"],
        "lesions": len(lesions),
        "ring_lesions": sum(lesion["kind"] == "ring" for lesion in lesions),
    }
    for label in ("netc", "snfh", "et"):
        row[f"{label}_ml"] = round(sum(lesion[f"{label}_mm3"] for lesion in lesions) / 1000, 4)
    row["largest_diameter_mm"] = max(diameters, default="")
    row["smallest_diameter_mm"] = min(diameters, default="")
    row["examinations"] = examinations
    return row | {key: truth[key] for key in ("slices", "slices_with_lesion") if key in truth}


def lesion_rows(truth: dict[str, Any]) -> Iterable[dict[str, Any]]:
    """Yield the rows of the lesions of one examination, and of those that vanished since the one before."""
    timepoint = truth.get("timepoint", "000")
    common = {"patient": truth["patient"], "timepoint": timepoint, "days": truth.get("days", 0), "case": truth["case"]}
    for lesion in truth["lesions"]:
        x, y, z = lesion["centre_mm"]
        yield common | {
            "lesion_id": lesion["lesion_id"],
            "event": lesion["history"][-1]["event"] if "history" in lesion else "first",
            "planned_core_mm3": round(pi / 6 * lesion["plan"]["diameter_mm"] ** 3, 3),
            "core_mm3": round(lesion["netc_mm3"] + lesion["et_mm3"], 3),
            **{key: lesion[key] for key in ("netc_mm3", "snfh_mm3", "et_mm3", "equivalent_diameter_mm")},
            **{"x_mm": x, "y_mm": y, "z_mm": z},
        }
    for lesion in truth.get("vanished", ()):
        if lesion["history"][-1]["timepoint"] == timepoint:
            volumes = dict.fromkeys(
                ("planned_core_mm3", "core_mm3", "netc_mm3", "snfh_mm3", "et_mm3", "equivalent_diameter_mm"), 0.0
            )
            yield common | volumes | {"lesion_id": lesion["lesion_id"], "event": "vanished"}


def write_rows(rows: Sequence[dict[str, Any]], columns: Sequence[str], path: Path) -> None:
    """Write rows as a CSV file with a header; keys that are not columns are left out."""
    with atomic_file(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=columns, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
