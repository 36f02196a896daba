"""Tables of rules that give a patient a response category, and their evaluation; the tables hold all limits."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

#: A number, a text or None for not known.
Value = float | str | None

#: Differences below this are errors of floating point (percent, mm): far below any error of measurement.
TOLERANCE = 1e-6


def at_least(value: float, limit: float) -> bool:
    """Return whether a measure reaches a limit, with a tolerance for floating point.

    >>> 100 * (10.1 * 1.2 / 10.1 - 1) >= 20, at_least(100 * (10.1 * 1.2 / 10.1 - 1), 20), at_least(19.99, 20)
    (False, True, False)
    """
    return value >= limit - TOLERANCE


def at_most(value: float, limit: float) -> bool:
    """Return whether a measure does not exceed a limit, with a tolerance for floating point."""
    return value <= limit + TOLERANCE


#: Name of a relation to its function, of a known value and the limit.
RELATIONS: Mapping[str, Callable[[Any, Any], bool]] = {
    ">=": at_least,
    "<=": at_most,
    "==": operator.eq,
    "in": lambda value, limits: value in limits,
}

#: Measures that the images do not contain: the caller gives them.
CLINICAL_MEASURES = ("steroids", "clinical")

#: Category where no rule of a table applies.
NOT_EVALUABLE = "NE"


@dataclass(frozen=True)
class Condition:
    """A condition on one measure.

    Args:
        measure: its name.
        relation: a name in `RELATIONS`.
        limit: a number, or texts for ``in``.
    """

    measure: str
    relation: str
    limit: float | tuple[str, ...]

    def holds(self, measures: Mapping[str, Value]) -> bool:
        """Return whether the condition holds; a value that is not known fulfils none."""
        value = measures[self.measure]
        return value is not None and RELATIONS[self.relation](value, self.limit)


@dataclass(frozen=True)
class Rule:
    """A rule: all its conditions lead to a category.

    Args:
        category: such as ``PD``.
        conditions: all have to hold.
        text: the rule in words.
    """

    category: str
    conditions: tuple[Condition, ...]
    text: str


class Assessment(NamedTuple):
    """Result of a table of rules.

    Args:
        category: of the first rule that applies, or `NOT_EVALUABLE`.
        reason: text of this rule.
    """

    category: str
    reason: str


def assess(rules: Sequence[Rule], measures: Mapping[str, Value]) -> Assessment:
    """Return the category of the first rule with conditions that all hold.

    >>> rule = Rule("PD", (Condition("new_lesions", ">=", 1),), "a new lesion")
    >>> assess([rule], {"new_lesions": 2.0}).category, assess([rule], {"new_lesions": 0.0}).category
    ('PD', 'NE')
    """
    for rule in rules:
        if all(condition.holds(measures) for condition in rule.conditions):
            return Assessment(rule.category, rule.text)
    return Assessment(NOT_EVALUABLE, "no rule applies")


def imaging_rules(rules: Sequence[Rule]) -> tuple[Rule, ...]:
    """Return the rules without conditions on steroids and clinical status; rules of nothing else are left out."""
    kept = (
        Rule(rule.category, tuple(one for one in rule.conditions if one.measure not in CLINICAL_MEASURES), rule.text)
        for rule in rules
    )
    return tuple(rule for rule in kept if rule.conditions)
