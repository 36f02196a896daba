"""What ``metseg predict`` wrote of a case, read again: the JSON document, checked before anything is made of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from metseg.errors import GeometryError, InputError
from metseg.measure.confidence import IDENTITY, ConfidenceMap
from metseg.volume import Volume

Count = Annotated[int, Field(ge=0)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Length = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Triple = tuple[Finite, Finite, Finite]


class _Part(BaseModel):
    """Keys that a later version adds are no reason to refuse a document; values of another kind are."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class FoundLesion(_Part):
    """An entry of ``lesions``; see `metseg.inference.lesion_table.Lesion`."""

    id: Annotated[int, Field(ge=1)]
    label: str
    voxels: Annotated[int, Field(ge=1)]
    voxels_by_label: dict[str, Count] = {}
    volume_ml: Length | None = None
    longest_diameter_mm: Length | None = None
    longest_axial_diameter_mm: Length | None = None
    centre_voxel: Triple
    centre_mm: Triple | None = None
    confidence: Annotated[float, Field(ge=0, le=1)]
    slice_index: Count | None = None
    slices: tuple[Count, ...] = ()
    slice_voxels: Count | None = None
    slice_centre: tuple[float, float] | None = None


class ImageFacts(_Part):
    """An entry of ``technique.images``."""

    shape: tuple[Count, Count, Count]
    spacing_mm: tuple[Length, Length, Length] | None = None


class SequenceFacts(_Part):
    """An entry of ``sequences``; see `metseg.volume.SequenceRecord`."""

    sequence: str
    source: str
    reason: str


class MaskFacts(_Part):
    """The part ``technique.predict``; see `metseg.recipe.PredictPart`."""

    threshold: Annotated[float, Field(ge=0, le=1)] | None = None
    minimum_voxels: Count = 0
    fill_holes: bool = False
    keep_largest: bool = False
    tta: bool = False
    confidence_slope: Finite = IDENTITY.slope
    confidence_intercept: Finite = IDENTITY.intercept

    @property
    def is_calibrated(self) -> bool:
        """Return whether a lesion's confidence is another number than its mean probability."""
        return ConfidenceMap(self.confidence_slope, self.confidence_intercept) != IDENTITY


class TechniqueFacts(_Part):
    """The part ``technique``; documents from before it existed say nothing of it."""

    labels: str | None = None
    reference: str = ""
    images: dict[str, ImageFacts] = {}
    preprocess: list[dict[str, Any]] | None = None
    predict: MaskFacts | None = None


class Failure(_Part):
    """An entry of ``failed``. Its message may name a file and is left where it is."""

    code: str


class Document(_Part):
    """The document ``<case>.json``; see `metseg.inference.case_document.CaseReport`."""

    case: str
    metseg: str
    model: str
    bundle: str = ""
    shape: tuple[Count, Count, Count]
    affine: list[list[Finite]] | None = None
    slices: tuple[str, ...] = ()
    sequences: tuple[SequenceFacts, ...] = ()
    technique: TechniqueFacts = TechniqueFacts()
    lesions: tuple[FoundLesion, ...] = ()
    warnings: tuple[str, ...] = ()
    failed: tuple[Failure, ...] = ()

    @property
    def matrix(self) -> npt.NDArray[np.float64] | None:
        """Return the affine as (4, 4), or None for pictures."""
        return None if self.affine is None else np.asarray(self.affine, dtype=np.float64)


def parse_document(content: Any, *, where: object) -> Document:
    """Return a document as JSON holds it, checked.

    Raises:
        InputError: it is none (``input.document``); the message names the first key that is wrong.
    """
    try:
        document = Document.model_validate(content)
        # A volume of one voxel tries the affine as every reader of images does.
        Volume(np.zeros((1, 1, 1)), document.matrix)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(piece) for piece in first["loc"]) or "the whole"
        raise _no_document(f"'{key}': {first['msg']}", where) from None
    except (GeometryError, ValueError) as error:
        raise _no_document(f"'affine': {error}", where) from None
    return document


def read_document(path: Path) -> Document:
    """Return the document in a file.

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
    except (UnicodeDecodeError, ValueError):  # ValueError: what json raises, and for numbers of too many digits
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
