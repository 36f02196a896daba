"""Results by groups of patients, such as those of one primary tumour, with intervals."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from metseg.evaluation.metrics.metric_table import metrics_shown
from metseg.evaluation.scores import CaseScores
from metseg.evaluation.statistics.confidence_intervals import Interval, bootstrap_intervals, patient_means
from metseg.io.clinical import UNKNOWN

#: Columns of `cases.csv` that are summed for each group. Those that are averaged are `metrics_shown("models")`.
GROUP_COUNTS = ("n_tp", "n_fn", "n_fp")


@dataclass(frozen=True)
class Group:
    """The patients with one value of an attribute.

    Args:
        value: of the attribute.
        patients: how many.
        metrics: region -> column -> mean over patients with its interval; None: no patient has a value.
        lesions: region -> found, missed and false lesions.
    """

    value: str
    patients: int
    metrics: Mapping[str, Mapping[str, Interval | None]]
    lesions: Mapping[str, Mapping[str, int]]

    def to_json(self) -> dict[str, Any]:
        """Return the group as a part of ``summary.json``."""
        metrics = {
            region: {name: None if one is None else asdict(one) for name, one in columns.items()}
            for region, columns in self.metrics.items()
        }
        return {"value": self.value, "patients": self.patients, "metrics": metrics, "lesions": self.lesions}


@dataclass(frozen=True)
class Groups:
    """The groups of one attribute, for each set of predictions.

    Args:
        column: the attribute.
        sets: name of the set -> its groups, the largest first.
    """

    column: str
    sets: Mapping[str, tuple[Group, ...]]

    def to_json(self) -> dict[str, Any]:
        """Return the groups as a part of ``summary.json``."""
        return {
            "column": self.column,
            "sets": {name: [group.to_json() for group in groups] for name, groups in self.sets.items()},
        }


def group_scores(scores: Sequence[CaseScores], values: Mapping[str, str]) -> tuple[Group, ...]:
    """Return the results of each group of patients.

    A difference between groups is no test: some of many groups differ by chance, and small ones have wide intervals.

    Args:
        scores: of all cases.
        values: patient or case -> value of the attribute; the case counts where both are there. Others: `UNKNOWN`.
    """
    members: dict[str, list[CaseScores]] = defaultdict(list)
    for score in scores:
        members[values.get(score.case, values.get(score.patient, UNKNOWN))].append(score)
    groups = [_group(value, chosen) for value, chosen in members.items()]
    return tuple(sorted(groups, key=lambda group: (group.value == UNKNOWN, -group.patients, group.value)))


def _group(value: str, scores: Sequence[CaseScores]) -> Group:
    regions = list(scores[0].regions)
    return Group(
        value=value,
        patients=len({score.patient for score in scores}),
        metrics={region: _intervals(scores, region) for region in regions},
        lesions={
            region: {name: int(sum(score[region].metrics[name] or 0 for score in scores)) for name in GROUP_COUNTS}
            for region in regions
        },
    )


def _intervals(scores: Sequence[CaseScores], region: str) -> dict[str, Interval | None]:
    return bootstrap_intervals(
        {
            name: patient_means((score.patient, score[region].metrics[name]) for score in scores)
            for name in metrics_shown("models")
        }
    )
