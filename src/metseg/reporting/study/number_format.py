"""Format numbers for a report, rounded to their precision and never to false certainty."""

from __future__ import annotations

from collections.abc import Sequence

from metseg.lesion import Lesion


def millilitres(volume_ml: float | None) -> str:
    """Format a volume without its unit; small positive volumes are not rounded to 0.

    >>> millilitres(3.456), millilitres(0.003), millilitres(0), millilitres(None)
    ('3.46', '< 0.01', '0.00', '–')
    """
    if volume_ml is None:
        return "–"
    return "< 0.01" if 0 < volume_ml < 0.005 else f"{volume_ml:.2f}"


def millimetres(length_mm: float | None) -> str:
    """Format a length without its unit, to a tenth.

    >>> millimetres(23.44), millimetres(None)
    ('23.4', '–')
    """
    return "–" if length_mm is None else f"{length_mm:.1f}"


def chance(probability: float) -> str:
    """Format a probability; it is never rounded to 0 or 1.

    >>> chance(0.873), chance(0.9999), chance(0.0001)
    ('0.87', '> 0.99', '< 0.01')
    """
    if probability > 0.99:
        return "> 0.99"
    return "< 0.01" if 0 < probability < 0.01 else f"{probability:.2f}"


def score(value: float, low: float | None, high: float | None) -> str:
    """Format a mean with its interval.

    >>> score(0.8126, 0.74, 0.871), score(0.8, None, None)
    ('0.81 (0.74 to 0.87)', '0.80')
    """
    return f"{value:.2f}" if low is None or high is None else f"{value:.2f} ({low:.2f} to {high:.2f})"


def share(part: int, whole: int) -> str:
    """Format a part of a whole, with a percentage if the whole is at least 10.

    >>> share(45, 60), share(2, 3), share(0, 0)
    ('45 of 60 (75 %)', '2 of 3', '0 of 0')
    """
    return f"{part} of {whole} ({100 * part / whole:.0f} %)" if whole >= 10 else f"{part} of {whole}"


def product(sizes: Sequence[float], *, digits: int = 0) -> str:
    """Format sizes along axes.

    >>> product((240, 240, 155)), product((0.9, 0.9, 5.5), digits=2)
    ('240 × 240 × 155', '0.90 × 0.90 × 5.50')
    """
    return " × ".join(f"{size:.{digits}f}" for size in sizes)


def picture_number(lesion: Lesion) -> int:
    """Return the number, from 1, of the picture with the largest part of a lesion."""
    return (lesion.slice_index or 0) + 1


def sentence(clause: str) -> str:
    """Format a clause as a sentence.

    >>> sentence("the picture is grey"), sentence("moved by 3 mm.")
    ('The picture is grey.', 'Moved by 3 mm.')
    """
    return f"{clause[:1].upper()}{clause[1:].rstrip('.')}."
