"""How repeatable the outlines of a lesion are."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Repeatability:
    """Standard deviations of one measurement of an unchanged lesion.

    Args:
        radius_sd_mm: of the radius of the sphere with the lesion's volume.
        diameter_sd_mm: of the longest axial diameter.
        source: where the numbers come from, a sentence.
    """

    radius_sd_mm: float
    diameter_sd_mm: float
    source: str


#: Where the repeatability of the outlines is not known.
GRID_ONLY = Repeatability(
    0.0,
    0.0,
    "The error is that of the voxel grid alone. Repeated outlining of the same lesion differs by more, so a small "
    "change outside of it can still be an error of measurement.",
)


def given_repeatability(standard_deviation_mm: float) -> Repeatability:
    """Return the repeatability that a user gives: of the radius, and therefore half that of a diameter."""
    return Repeatability(
        standard_deviation_mm,
        2 * standard_deviation_mm,
        f"The error was given: a standard deviation of {standard_deviation_mm:g} mm of the radius.",
    )
