"""Write the scores: `cases.csv`, `lesions.csv`, `slices.csv`, `summary.json`; all of them or none."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from metseg.evaluation.lesions.lesion_scores import LesionScore, diameter_bin
from metseg.evaluation.metrics.metric_table import METRICS, SLICE_METRICS
from metseg.evaluation.protocols import lesion_columns
from metseg.evaluation.scores import CaseScores
from metseg.runtime.atomic_io import atomic_file, write_text

SLICE_COLUMNS = ("case", "region", *SLICE_METRICS, "n_positive_slices", "n_slices")


def lesion_table_columns() -> tuple[str, ...]:
    """Return the columns of `lesions.csv`; metrics that a protocol does not define stay empty."""
    return (
        *("case", "region", "lesion", "kind", "scored", "detected", "joined_predictions"),
        *lesion_columns(),
        *("voxels", "volume_mm3", "predicted_volume_mm3", "confidence"),
        *("longest_diameter_mm", "longest_axial_diameter_mm", "diameter_bin_mm"),
        *("centre_voxel_x", "centre_voxel_y", "centre_voxel_z"),
    )


class Tables:
    """Writer for the tables of one evaluation, row by row, so that memory does not grow with the cases.

    Use it as a context manager: the files appear at the end, or not at all on an error.
    """

    def __init__(self, out: Path, *, with_slices: bool) -> None:
        self._out = out
        self._with_slices = with_slices
        self._open = ExitStack()
        self._writers: dict[str, Any] = {}
        self._lesion_figures = lesion_columns()

    def __enter__(self) -> Self:
        with ExitStack() as opening:
            names = {"cases": ("case", "region", *METRICS), "lesions": lesion_table_columns()}
            if self._with_slices:
                names["slices"] = SLICE_COLUMNS
            for name, columns in names.items():
                writer = opening.enter_context(_csv_writer(self._out / f"{name}.csv"))
                writer.writerow(columns)
                self._writers[name] = writer
            self._open = opening.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.__exit__(kind, error, trace)

    def add(self, scores: CaseScores) -> None:
        """Write the rows of one case."""
        for region, figures in scores.regions.items():
            self._writers["cases"].writerow([scores.case, region, *(_cell(figures.metrics[name]) for name in METRICS)])
            for lesion in figures.lesions:
                self._writers["lesions"].writerow(_lesion_row(scores.case, lesion, self._lesion_figures))
            if self._with_slices and figures.slices is not None:
                of_slices = figures.slices
                row = (getattr(of_slices, name) for name in SLICE_COLUMNS[2:])
                self._writers["slices"].writerow([scores.case, region, *(_cell(value) for value in row)])


def write_summary(document: Mapping[str, Any], path: Path) -> None:
    """Write `summary.json`. A NaN raises an error, because JSON has no value for it."""
    write_text(path, json.dumps(document, indent=2, allow_nan=False) + "\n")


@contextmanager
def _csv_writer(path: Path) -> Iterator[Any]:
    with atomic_file(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        yield csv.writer(file, lineterminator="\n")
        file.flush()


def _lesion_row(case: str, lesion: LesionScore, figures: Sequence[str]) -> list[str]:
    size = lesion.size
    diameter = size.longest_diameter_mm
    return [
        case,
        lesion.region,
        str(lesion.number),
        "truth" if lesion.is_true else "false_positive",
        str(lesion.scored).lower(),
        str(lesion.detected).lower(),
        " ".join(str(number) for number in lesion.joined),
        *(_cell(lesion.figures.get(name)) for name in figures),
        str(size.voxels),
        _cell(size.volume_mm3),
        _cell(lesion.predicted_volume_mm3),
        _cell(lesion.confidence),
        _cell(diameter),
        _cell(size.longest_axial_diameter_mm),
        "" if diameter is None else diameter_bin(diameter),
        *(_cell(centre) for centre in lesion.centre_voxel),
    ]


def _cell(value: float | None) -> str:
    """Return a value with all its digits, a whole number without a decimal point, and an empty text if undefined."""
    if value is None:
        return ""
    return str(int(value)) if float(value).is_integer() else repr(float(value))
