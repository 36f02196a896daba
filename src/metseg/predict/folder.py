"""Predict on whatever lies under a path; what cannot be read is listed and does not stop the rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from metseg.errors import InputError, MetsegError
from metseg.io.cases import find_pictures
from metseg.io.slices import SliceStackSource
from metseg.predict.outputs import FORMATS, write_document
from metseg.predict.predictor import Prediction, Predictor
from metseg.progress import track
from metseg.tables import lookup


@dataclass
class Outcome:
    """What became of a batch.

    Args:
        documents: the JSON file of each case that was predicted.
        pictures: how many pictures were predicted.
        lesions: how many lesions were found in all.
        errors: one for each picture or case that could not be read.
    """

    documents: list[Path] = field(default_factory=list)
    pictures: int = 0
    lesions: int = 0
    errors: list[MetsegError] = field(default_factory=list)


def predict_paths(
    inputs: Sequence[Path], predictor: Predictor, out: Path, *, formats: Sequence[str] = ("mask",), quiet: bool = False
) -> Outcome:
    """Predict on pictures and folders of pictures and write the results under ``out``.

    Args:
        inputs: each a picture or a folder; below a folder, relative paths are kept.
        predictor: the model.
        out: the folder to write to.
        formats: names in `FORMATS`; the JSON document of each case is always written.
        quiet: show no progress.
    Raises:
        UsageError: an unknown format.
        InputError: an input where nothing is found, or two inputs whose results would have one name.
    """
    writers = [lookup("format", FORMATS, name) for name in formats]
    sources = [source for path in inputs for source in find_pictures(path, channels=predictor.recipe.data.channels)]
    _require_own_names(sources, out)
    outcome = Outcome()
    for source in track(sources, "Predicting", quiet=quiet):
        prediction = _predict_source(source, predictor, outcome)
        if prediction is None:
            continue
        for write in writers:
            write(prediction, out)
        failed = [error for error in outcome.errors if str(error.where or "").startswith(str(source.root))]
        outcome.documents.append(write_document(prediction, out, failed))
        outcome.pictures += prediction.labels.shape[2]
        outcome.lesions += len(prediction.lesions)
    return outcome


def _predict_source(source: SliceStackSource, predictor: Predictor, outcome: Outcome) -> Prediction | None:
    """Return the prediction of what of a case can be read; note the rest."""
    case, errors = source.load_readable()
    outcome.errors.extend(errors)
    if case is None:
        return None
    try:
        return predictor(case)
    except MetsegError as error:
        outcome.errors.append(error)
        return None


def _require_own_names(sources: Sequence[SliceStackSource], out: Path) -> None:
    """Refuse inputs whose results would overwrite one another, or the inputs themselves."""
    seen: dict[str, Path] = {}
    for source in sources:
        for piece in source.slices:
            target = out / f"{piece.name}_mask.png"
            if piece.name in seen or target.resolve() == piece.image.resolve():
                raise InputError(
                    "two results would have the same name",
                    where=piece.image,
                    got=seen.get(piece.name, piece.image),
                    cure="predict them with different --out folders",
                    code="input.name_clash",
                )
            seen[piece.name] = piece.image
