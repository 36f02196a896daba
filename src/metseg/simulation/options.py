"""Options of the simulation, and the only place of their defaults."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from metseg.recipe import Frozen, Modality

#: The four sequences of a metastasis protocol, in the order of BraTS-METS.
SEQUENCES = ("t1n", "t1c", "t2w", "t2f")


#: Diameters are drawn until they fall within the bounds; with a smaller share of the distribution, this takes too long.
SMALLEST_SHARE = 0.01


class PhantomOptions(Frozen):
    """Options of simulated patients. A lesion's diameter is that of a sphere with the volume of its core."""

    resolution_mm: Annotated[float, Field(ge=0.8, le=5)] = 1.0
    #: False: everything outside the brain is exactly 0, as in skull-stripped data sets.
    skull: bool = True
    #: Standard deviation of the noise as a share of the mean signal of white matter.
    noise: Annotated[float, Field(ge=0, le=0.5)] = 0.035
    #: Standard deviation of the logarithm of the coil's intensity drift.
    bias: Annotated[float, Field(ge=0, le=1)] = 0.08
    #: "one": one scanner and protocol, as within a hospital. "many": tissues and timings vary three times as much, T1
    #: is weighted by spin echo in some patients and by an inversion pulse in others, and the skull is removed more or
    #: less closely: for networks meant for real data.
    scanners: Literal["one", "many"] = "one"
    lesions_min: Annotated[int, Field(ge=0)] = 1
    lesions_max: Annotated[int, Field(ge=0, le=60)] = 12
    #: P(n) is proportional to this to the power of n: 0.82 means 4.3 lesions on average, and one is the most frequent.
    lesions_decay: Annotated[float, Field(gt=0, le=1)] = 0.82
    #: Diameters are log-normal, cut off at both ends: of the default ones 32 % are under 5 mm and 25 % over 10 mm.
    diameter_min_mm: Annotated[float, Field(ge=1)] = 2.0
    diameter_max_mm: Annotated[float, Field(le=45)] = 30.0
    diameter_median_mm: Annotated[float, Field(gt=0)] = 6.5
    diameter_log_std: Annotated[float, Field(ge=0)] = 0.65

    @model_validator(mode="after")
    def _ranges(self) -> Self:
        if self.lesions_min > self.lesions_max:
            raise ValueError("lesions_min is larger than lesions_max")
        if not self.diameter_min_mm <= self.diameter_median_mm <= self.diameter_max_mm:
            raise ValueError("the median diameter lies outside diameter_min_mm to diameter_max_mm")
        if self.diameter_log_std > 0 and self._share_within() < SMALLEST_SHARE:
            raise ValueError(
                "almost no diameter would fall between diameter_min_mm and diameter_max_mm: widen the range, or lower"
                " diameter_log_std (0 gives all lesions the same diameter)"
            )
        return self

    def _share_within(self) -> float:
        """Return the share of the log-normal distribution of diameters that lies within the bounds."""
        spread = NormalDist(math.log(self.diameter_median_mm), self.diameter_log_std)
        return spread.cdf(math.log(self.diameter_max_mm)) - spread.cdf(math.log(self.diameter_min_mm))


class NiftiOptions(Frozen):
    """Volumes in the naming of BraTS-METS."""

    kind: Literal["nifti"] = "nifti"


class BmsrOptions(Frozen):
    """Volumes in the naming of UCSF-BMSR: ``100101A/100101A_T1post.nii.gz``, one letter per examination."""

    kind: Literal["ucsf-bmsr"] = "ucsf-bmsr"


class SliceOptions(Frozen):
    """Pictures with masks, as radiologists see them: the patient's right is left, the nose is up."""

    kind: Literal["slices"] = "slices"
    #: One sequence makes grey pictures; None makes colour ones, red t1n, green t2f, blue t1c, as in the LGG set.
    sequence: Modality | None = None
    #: "whole": lesion with oedema. "core": enhancing and necrotic. "auto": core for t1n and t1c, else whole.
    mask: Literal["auto", "whole", "core"] = "auto"
    #: That many slices at equal distances through the brain; None: every slice that shows brain.
    slices_per_patient: Annotated[int, Field(ge=1)] | None = None

    @model_validator(mode="after")
    def _known_sequence(self) -> Self:
        if self.sequence is not None and self.sequence not in SEQUENCES:
            raise ValueError(f"no sequence '{self.sequence}'; there are {', '.join(SEQUENCES)}")
        return self

    @property
    def region(self) -> str:
        """Return the region of the label scheme that the mask shows: ``WT`` or ``TC``."""
        if self.mask == "auto":
            return "TC" if self.sequence in ("t1n", "t1c") else "WT"
        return {"whole": "WT", "core": "TC"}[self.mask]


OutputOptions = NiftiOptions | BmsrOptions | SliceOptions


class CourseOptions(Frozen):
    """What happens to a patient from one examination to the next."""

    #: Days between two examinations, evenly drawn.
    interval_min_days: Annotated[int, Field(ge=1)] = 60
    interval_max_days: Annotated[int, Field(ge=1)] = 120
    #: Relative frequencies of what lesions do in an interval; `progression.VOLUME_FACTORS` says by how much.
    growing: Annotated[float, Field(ge=0)] = 0.35
    stable: Annotated[float, Field(ge=0)] = 0.30
    shrinking: Annotated[float, Field(ge=0)] = 0.25
    vanished: Annotated[float, Field(ge=0)] = 0.10
    #: Probability that a lesion goes on as in the interval before: what responds to treatment tends to go on so.
    persistence: Annotated[float, Field(ge=0, le=1)] = 0.5
    #: Mean number of new lesions in an interval, and their diameter relative to those of the first examination.
    new_lesions: Annotated[float, Field(ge=0, le=10)] = 0.7
    new_size: Annotated[float, Field(gt=0, le=1)] = 0.6
    #: Standard deviations of how differently the head lies in the scanner, along and about each axis.
    shift_mm: Annotated[float, Field(ge=0, le=5)] = 1.5
    tilt_deg: Annotated[float, Field(ge=0, le=5)] = 2.0

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.interval_min_days > self.interval_max_days:
            raise ValueError("interval_min_days is larger than interval_max_days")
        if self.growing + self.stable + self.shrinking + self.vanished == 0:
            raise ValueError("at least one of growing, stable, shrinking and vanished must be above 0")
        return self
