"""Predict on whatever lies under a path; what cannot be read is listed and does not stop the rest."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from metseg.errors import InputError, MetsegError, ResourceError
from metseg.io.cases import find_pictures
from metseg.io.slices import SliceStackSource
from metseg.predict.memory import out_of_memory_is_an_error, require_memory_for
from metseg.predict.outputs import FORMATS, CaseReport
from metseg.predict.predictor import SLICES_IN_MEMORY, Prediction, Predictor
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

    A few pictures at a time are in memory where the recipe prepares each by itself; where it takes statistics over
    the whole case, so are all pictures of the case, and a case that cannot fit is refused beforehand.

    Args:
        inputs: each a picture or a folder; below a folder, relative paths are kept.
        predictor: the model.
        out: the folder to write to.
        formats: names in `FORMATS`; the JSON document of each case is always written.
        quiet: show no progress.
    Raises:
        UsageError: an unknown format.
        InputError: an input where nothing is found, or results that would overwrite one another or an input.
        ResourceError: the disk is full.
    """
    writers = [lookup("format", FORMATS, name) for name in formats]
    sources = [source for path in inputs for source in _find(path, predictor, out)]
    _require_own_names(sources, out, formats)
    outcome = Outcome()
    for part, report, last in track(_pieces(sources, predictor), "Predicting", quiet=quiet):
        _predict_part(part, predictor, report, lambda prediction: [write(prediction, out) for write in writers])
        if last:
            _close(report, out, outcome)
    return outcome


def _find(path: Path, predictor: Predictor, out: Path) -> list[SliceStackSource]:
    """Return the pictures under an input; results of an earlier run in a folder below it are none of them."""
    sources = find_pictures(path, channels=predictor.recipe.data.channels)
    results = out.resolve()
    if not path.is_dir() or path.resolve() not in results.parents:
        return sources
    kept = [
        replace(source, slices=tuple(piece for piece in source.slices if results not in piece.image.resolve().parents))
        for source in sources
    ]
    left = [source for source in kept if source.slices]
    if not left:
        raise InputError("no pictures but the results of an earlier run", where=path, code="input.missing")
    return left


def _pieces(
    sources: Sequence[SliceStackSource], predictor: Predictor
) -> list[tuple[SliceStackSource, CaseReport, bool]]:
    """Return what is read and predicted together, with the report of its case, and whether it is the case's last."""
    pieces = []
    for source in sources:
        report = CaseReport(source.case_id, predictor.recipe.name)
        step = len(source.slices) if predictor.needs_whole_case else SLICES_IN_MEMORY
        for first in range(0, len(source.slices), step):
            part = replace(source, slices=source.slices[first : first + step])
            pieces.append((part, report, first + step >= len(source.slices)))
    return pieces


def _predict_part(
    part: SliceStackSource, predictor: Predictor, report: CaseReport, write: Callable[[Prediction], object]
) -> None:
    """Predict what of a part can be read, write it, and report that and the rest."""
    try:
        for prediction in _predictions(part, predictor, report):
            write(prediction)
            report.add(prediction)
    except (InputError, ResourceError) as error:
        if error.code == "resources.disk":
            raise
        report.failed.append(error)


def _predictions(part: SliceStackSource, predictor: Predictor, report: CaseReport) -> Iterator[Prediction]:
    cure = "close other programs, or give each patient a folder"
    with out_of_memory_is_an_error("memory ran out while predicting", where=f"case {part.case_id}", cure=cure):
        if predictor.needs_whole_case:
            require_memory_for(part, channels=len(predictor.recipe.data.inputs))
        case, errors = part.load_readable()
        # Pictures that are prepared one by one need not be of one type: 8 and 16 bits may lie side by side.
        waiting = () if predictor.needs_whole_case else tuple(filter(_is_of_another_type, errors))
        report.failed.extend(error for error in errors if error not in waiting)
        if case is not None:
            yield from predictor.in_parts(case)
    if waiting:
        paths = {error.where for error in waiting}
        rest = tuple(piece for piece in part.slices if piece.image in paths)
        yield from _predictions(replace(part, slices=rest), predictor, report)


def _is_of_another_type(error: MetsegError) -> bool:
    return error.code == "input.mixed_slices"


def _close(report: CaseReport, out: Path, outcome: Outcome) -> None:
    """Write the document of a case, if anything of it was predicted, and count it."""
    outcome.errors += report.failed
    if report.slice_names:
        outcome.documents.append(report.write(out))
        outcome.pictures += len(report.slice_names)
        outcome.lesions += len(report.lesions)


def _require_own_names(sources: Sequence[SliceStackSource], out: Path, formats: Sequence[str]) -> None:
    """Refuse inputs whose results would overwrite one another, or what lies beside the inputs."""
    seen: dict[Path, Path] = {}
    results = out.resolve()
    for source in sources:
        root = source.root.resolve()
        beside_inputs = root == results or results in root.parents
        for target, picture in _targets(source, out, formats):
            if target in seen:
                raise InputError(
                    "two results would have the same name",
                    where=picture,
                    got=seen[target],
                    cure="predict them with different --out folders",
                    code="input.name_clash",
                )
            seen[target] = picture
            if beside_inputs and target.exists():
                raise InputError(
                    "a result would overwrite a file that is there already",
                    where=target,
                    cure="choose an --out that does not hold the pictures",
                    code="input.name_clash",
                )


def _targets(source: SliceStackSource, out: Path, formats: Sequence[str]) -> Iterator[tuple[Path, Path]]:
    """Yield what will be written for a case, each with the picture it comes from."""
    yield out / f"{source.case_id}.json", source.slices[0].image
    for piece in source.slices:
        for kind in formats:
            yield out / f"{piece.name}_{kind}.png", piece.image
