"""Read and validate the JSON document that ``metseg predict`` wrote for a case."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Self

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from metseg.errors import GeometryError, InputError
from metseg.grade_record import CaseGrade
from metseg.headline import Headline, headline_of
from metseg.lesion import Count, Finite, Lesion, Size
from metseg.measure import MM3_PER_ML, voxel_volume_mm3
from metseg.measure.confidence import IDENTITY, ConfidenceMap
from metseg.volume import Volume


class _Part(BaseModel):
    """Base of the parts: unknown keys of later versions are accepted, values of the wrong type are not."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class ImageFacts(_Part):
    """An entry of ``technique.images``."""

    shape: tuple[Count, Count, Count]
    spacing_mm: tuple[Size, Size, Size] | None = None


class SequenceFacts(_Part):
    """An entry of ``sequences``; see `metseg.volume.SequenceRecord`."""

    sequence: str
    source: str
    reason: str


class MaskFacts(_Part):
    """The part ``technique.predict``; see `metseg.recipe.PredictPart`."""

    threshold: Annotated[float, Field(ge=0, le=1)] | None = None
    minimum_voxels: Count = 0
    minimum_mm3: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    fill_holes: bool = False
    keep_largest: bool = False
    tta: bool = False
    confidence_slope: Finite = IDENTITY.slope
    confidence_intercept: Finite = IDENTITY.intercept

    @property
    def is_calibrated(self) -> bool:
        """Return whether the confidence of a lesion differs from its mean probability."""
        return ConfidenceMap(self.confidence_slope, self.confidence_intercept) != IDENTITY


class TechniqueFacts(_Part):
    """The part ``technique``; older documents lack it."""

    labels: str | None = None
    reference: str = ""
    images: dict[str, ImageFacts] = {}
    preprocess: list[dict[str, Any]] | None = None
    predict: MaskFacts | None = None


class Failure(_Part):
    """An entry of ``failed``. Its message may name a file and is not read."""

    code: str


class Document(_Part):
    """The document ``<case>.json``; see `metseg.inference.outputs.case_document.CaseReport`."""

    case: str
    metseg: str
    model: str
    bundle: str = ""
    shape: tuple[Count, Count, Count]
    affine: list[list[Finite]] | None = None
    slices: tuple[str, ...] = ()
    sequences: tuple[SequenceFacts, ...] = ()
    clinical: dict[str, str] = {}
    technique: TechniqueFacts = TechniqueFacts()
    headline: Headline | None = None
    grade: CaseGrade | None = None
    no_grade: str = ""
    lesions: tuple[Lesion, ...] = ()
    warnings: tuple[str, ...] = ()
    failed: tuple[Failure, ...] = ()

    @property
    def matrix(self) -> npt.NDArray[np.float64] | None:
        """Return the affine as (4, 4), or None for pictures."""
        return None if self.affine is None else np.asarray(self.affine, dtype=np.float64)

    @property
    def has_sides(self) -> bool:
        """Return whether prediction determined the side of each lesion; 0.1.0 left that to the report."""
        return all("side" in lesion.model_fields_set for lesion in self.lesions)

    def completed(self) -> Self:
        """Return the document with the lesion fields that 0.1.0 did not write, derived from the others."""
        return self.model_copy(update={"lesions": tuple(map(self._completed, self.lesions))})

    @property
    def top(self) -> Headline:
        """Return the headline; for documents of 0.1.0 it is made of the lesions."""
        pictures = self.shape[2] if self.matrix is None else None
        return self.headline or headline_of(self.lesions, labels=self.technique.labels, pictures=pictures)

    def _completed(self, lesion: Lesion) -> Lesion:
        if self.matrix is None:
            slice_index = round(lesion.centre_voxel[2]) if lesion.slice_index is None else lesion.slice_index
            return lesion.model_copy(update={"slice_index": slice_index, "slices": lesion.slices or (slice_index,)})
        if lesion.volume_ml_by_label:
            return lesion
        voxel_ml = voxel_volume_mm3(self.matrix) / MM3_PER_ML
        volumes = {name: count * voxel_ml for name, count in lesion.voxels_by_label.items()}
        return lesion.model_copy(update={"volume_ml_by_label": volumes})


def parse_document(content: Any, *, where: object) -> Document:
    """Return a validated document from JSON values.

    Raises:
        InputError: it is invalid (``input.document``); the message names the first wrong key.
    """
    try:
        document = Document.model_validate(content)
        # Creating a volume of one voxel validates the affine as for images.
        Volume(np.zeros((1, 1, 1)), document.matrix)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(piece) for piece in first["loc"]) or "the whole"
        raise _no_document(f"'{key}': {first['msg']}", where) from None
    except (GeometryError, ValueError) as error:
        raise _no_document(f"'affine': {error}", where) from None
    return document.completed()


def read_document(path: Path) -> Document:
    """Read the document in a file.

    Raises:
        InputError: there is no such file (``input.missing``), or it is no such document (``input.document``).
    """
    try:
        content = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        cure = "give the <case>.json that metseg predict wrote"
        raise InputError("no such file", where=path, cure=cure, code="input.missing") from None
    except IsADirectoryError:
        raise _no_document("a folder", path) from None
    except (UnicodeDecodeError, ValueError):  # json raises ValueError, also for numbers with too many digits
        raise _no_document("not JSON", path) from None
    return parse_document(content, where=path)


def _no_document(got: str, where: object) -> InputError:
    return InputError(
        "not a document of a prediction",
        where=where,
        got=got,
        cure="give the <case>.json that metseg predict wrote",
        code="input.document",
    )
