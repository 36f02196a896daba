"""The headline of a result: the same figures in the same order on the terminal, in JSON, on the page and in reports.

What matters most comes first: enhancing tumour and tumour core, then the number of lesions, then the longest diameter
of the enhancing part. Oedema is counted apart, because its volume hides that of the tumour. Small pieces are counted
apart too: most false positives are small.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from metseg.labels import LABEL_SCHEMES, tissues_of
from metseg.lesion import Lesion, Size
from metseg.message_text import pluralize

#: A lesion below this volume is a speck; a sphere of 0.1 mL has a diameter of 5.8 mm.
SPECK_ML: Final = 0.1

#: Tissues, by the names of `metseg.labels.TISSUES`, that belong to the tumour core.
ENHANCING: Final = "ET"
CORE_TISSUES: Final = (ENHANCING, "non-enhancing", "NCR", "necrosis")

#: Name of the figure that stands apart from the others.
OEDEMA: Final = "oedema"

Unit = Literal["mL", "mm", "pixels", ""]


class Figure(BaseModel):
    """One number of the headline."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: str
    value: Size
    unit: Unit = Field(description="mL, mm, pixels; empty for a count.")

    @property
    def text(self) -> str:
        """Return the number with its unit; a small positive volume is not rounded to 0.

        >>> Figure(name="oedema", value=3.456, unit="mL").text, Figure(name="oedema", value=0.003, unit="mL").text
        ('3.46 mL', '< 0.01 mL')
        """
        if self.unit in ("", "pixels"):
            return f"{self.value:.0f} {self.unit}".strip()
        digits = 2 if self.unit == "mL" else 1
        least = 10.0**-digits
        return f"< {least} {self.unit}" if 0 < self.value < least / 2 else f"{self.value:.{digits}f} {self.unit}"


class Headline(BaseModel):
    """What a reader has to know of a result before anything else."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    fitness: str = Field(default="", description="What the model was trained on, and what this study is; a sentence.")
    finding: str = Field(description="The number of lesions, small pieces apart; a sentence.")
    lesions: int = Field(ge=0, description="Number of lesions of at least `speck_ml`; of pictures, of all.")
    specks: int = Field(default=0, ge=0, description="Number of lesions below `speck_ml`; 0 for pictures.")
    speck_ml: Size = SPECK_ML
    figures: tuple[Figure, ...] = ()


def headline_of(
    lesions: Sequence[Lesion], *, labels: str | None, pictures: int | None = None, fitness: str = ""
) -> Headline:
    """Return the headline of a result.

    Args:
        lesions: all lesions of the case.
        labels: label scheme of the model; None: not known, only totals are given.
        pictures: number of pictures of the case; None: it is a volume.
        fitness: see `Headline`.

    >>> headline_of([], labels="binary").finding
    'No lesion found.'
    """
    if pictures is not None:
        return _of_pictures(lesions, pictures, fitness)
    specks = sum((lesion.volume_ml or 0.0) < SPECK_ML for lesion in lesions)
    count = len(lesions) - specks
    figures = _by_tissue(lesions, labels) if labels and _has_core(labels) else _totals(lesions)
    volumes = [figure for figure in figures if figure.unit == "mL" and figure.name != OEDEMA]
    return Headline(
        fitness=fitness,
        finding=_finding(count, specks),
        lesions=count,
        specks=specks,
        figures=(
            *volumes,
            Figure(name=f"lesions of at least {SPECK_ML} mL", value=count, unit=""),
            *(figure for figure in figures if figure not in volumes),
        ),
    )


def _of_pictures(lesions: Sequence[Lesion], pictures: int, fitness: str) -> Headline:
    shown = len({index for lesion in lesions for index in lesion.slices})
    where = f" in {shown} of {pluralize(pictures, 'picture')}{_extent(lesions)}" if lesions else ""
    return Headline(
        fitness=fitness,
        finding=f"{pluralize(len(lesions), 'lesion') if lesions else 'No lesion'} found{where}.",
        lesions=len(lesions),
        figures=(
            Figure(name="lesions", value=len(lesions), unit=""),
            Figure(name="pictures with a lesion", value=shown, unit=""),
            Figure(name="lesion area", value=sum(lesion.voxels for lesion in lesions), unit="pixels"),
        ),
    )


def _extent(lesions: Sequence[Lesion]) -> str:
    """Return how many lesions continue through several pictures, which says what is counted as one lesion.

    Nothing if all are in the same picture.
    """
    if len({lesion.slices for lesion in lesions}) < 2 and all(len(lesion.slices) < 2 for lesion in lesions):
        return ""
    several = sum(len(lesion.slices) > 1 for lesion in lesions)
    if several == 0:
        return ", each in one picture"
    return f", {several} of them in several pictures" if len(lesions) > 1 else ", one lesion through several pictures"


def _finding(count: int, specks: int) -> str:
    """Return the number of lesions as a sentence.

    >>> _finding(2, 28), _finding(1, 0)
    ('2 lesions found, and 28 specks below 0.1 mL.', '1 lesion found.')
    >>> _finding(0, 0), _finding(0, 1)  # a small metastasis is a speck: the sentence must not begin like an all-clear
    ('No lesion found.', '1 speck below 0.1 mL found, and no larger lesion.')
    """
    small = f"{pluralize(specks, 'speck')} below {SPECK_ML} mL"
    if not count:
        return f"{small} found, and no larger lesion." if specks else "No lesion found."
    return f"{pluralize(count, 'lesion')} found" + (f", and {small}." if specks else ".")


def _has_core(labels: str) -> bool:
    scheme = LABEL_SCHEMES.get(labels)
    return scheme is not None and "ED" in tissues_of(scheme).values()


def _by_tissue(lesions: Sequence[Lesion], labels: str) -> tuple[Figure, ...]:
    """Return volumes of enhancing tumour and core, the longest enhancing diameter, and oedema."""
    scheme = LABEL_SCHEMES[labels]
    tissues = tissues_of(scheme)

    def classes(*wanted: str) -> list[str]:
        return [scheme.classes[value] for value, tissue in tissues.items() if tissue in wanted]

    enhancing, core, oedema = classes(ENHANCING), classes(*CORE_TISSUES), classes("ED")
    diameters = [lesion.longest_diameter_mm_by_label.get(name, 0.0) for lesion in lesions for name in enhancing]
    return (
        Figure(name="enhancing tumour", value=_volume(lesions, enhancing), unit="mL"),
        Figure(name="tumour core", value=_volume(lesions, core), unit="mL"),
        *_longest("longest diameter of the enhancing part", diameters),
        Figure(name=OEDEMA, value=_volume(lesions, oedema), unit="mL"),
    )


def _volume(lesions: Iterable[Lesion], names: Sequence[str]) -> float:
    return round(sum(lesion.volume_ml_by_label.get(name, 0.0) for lesion in lesions for name in names), 4)


def _totals(lesions: Sequence[Lesion]) -> tuple[Figure, ...]:
    volume = sum(lesion.volume_ml or 0.0 for lesion in lesions)
    diameters = [lesion.longest_diameter_mm or 0.0 for lesion in lesions]
    return (
        Figure(name="total volume", value=round(volume, 4), unit="mL"),
        *_longest("longest diameter", diameters),
    )


def _longest(name: str, diameters: Sequence[float]) -> tuple[Figure, ...]:
    """Return the longest diameter, or nothing if there is none."""
    longest = max(diameters, default=0.0)
    return (Figure(name=name, value=longest, unit="mm"),) if longest > 0 else ()
