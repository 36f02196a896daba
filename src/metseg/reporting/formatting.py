"""Format values as text, the same way in every table."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from metseg.evaluation import Interval, Metric
from metseg.evaluation.statistics.confidence_intervals import LEVEL
from metseg.plot.error_bars import ErrorBounds
from metseg.reporting.blocks import NOTHING

#: Labels for intervals beside means, and for bars and bands.
INTERVAL, OVER_PATIENTS, BOOTSTRAP = (
    f"{LEVEL:.0%} interval",
    f"{LEVEL:.0%} interval over patients",
    f"{LEVEL:.0%} bootstrap intervals over patients",
)

#: Unit to number format; values without a unit are shares or counts.
FORMATS: Mapping[str, str] = {"": ".3f", "mm": ".2f", "mm³": ",.0f", "mL": ".3g", "%": ".1f"}

#: Number format of any other unit, for metrics of other packages.
OTHER_UNITS = ".3g"


def figure_text(value: float | None, unit: str = "", number_format: str = "") -> str:
    """Format a value without its unit, which is in the title.

    A share just below 1, such as the accuracy for small lesions, is not rounded to 1.

    Args:
        value: None: not defined.
        unit: determines the digits.
        number_format: format specification that overrides them.

    >>> figure_text(0.66667), figure_text(12345.6, "mm³"), figure_text(None)
    ('0.667', '12,346', '–')
    >>> figure_text(0.9997), figure_text(0.99998), figure_text(1.0)
    ('0.9997', '0.9999', '1.000')
    """
    if value is None:
        return NOTHING
    if number_format:
        return format(value, number_format)
    if not unit and 0.9995 <= value < 1:
        return f"{min(value, 0.9999):.4f}"
    return format(value, FORMATS.get(unit, OTHER_UNITS))


def interval_text(interval: Interval | None, unit: str = "", *, number_format: str = "", nothing: str = NOTHING) -> str:
    """Format a mean with its interval, and the number of patients if some have no value.

    >>> interval_text(Interval(0.5, 0.25, 0.75, 8)), interval_text(Interval(0.5, None, None, 1, undefined=2))
    ('0.500 (0.250 to 0.750)', '0.500, 1 of 3 patients')
    """
    if interval is None:
        return nothing
    write = partial(figure_text, unit=unit, number_format=number_format)
    known = interval.low is not None and interval.high is not None
    ends = f" ({write(interval.low)} to {write(interval.high)})" if known else ""
    total = interval.patients + interval.undefined
    part = f", {interval.patients} of {total} patients" if interval.undefined else ""
    return f"{write(interval.mean)}{ends}{part}"


def metric_text(metric: Metric, interval: Interval | None, *, nothing: str = NOTHING) -> str:
    """Format the mean of a metric with its interval; see `interval_text`."""
    return interval_text(interval, metric.unit, number_format=metric.number_format, nothing=nothing)


def titled(title: str, unit: str) -> str:
    """Return a title with its unit.

    >>> titled("HD95", "mm"), titled("Dice", "")
    ('HD95 (mm)', 'Dice')
    """
    return f"{title} ({unit})" if unit else title


def bounds_of(interval: Interval) -> ErrorBounds:
    """Return an interval as error bounds for figures."""
    return ErrorBounds(interval.mean, interval.low, interval.high)
