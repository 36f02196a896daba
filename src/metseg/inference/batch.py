"""Predict all cases under a path; unreadable cases are reported and do not stop the others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from metseg.errors import InputError, MetsegError, ResourceError
from metseg.headline import Headline
from metseg.inference.input_fit import require_fitting_source
from metseg.inference.input_options import GUESSED, InputOptions
from metseg.inference.network_predictor import SLICES_IN_MEMORY
from metseg.inference.outputs.case_document import CaseReport
from metseg.inference.outputs.lesions_file import require_own_lesions_file, write_lesions_file
from metseg.inference.outputs.output_formats import (
    Format,
    document_path,
    find_formats,
    need_instances,
    result_paths,
    targets,
)
from metseg.inference.prediction import Prediction
from metseg.inference.predictor import Predictor
from metseg.inference.shards import LOCKS, Shard, claimed, finished
from metseg.inference.windows.memory import out_of_memory_is_an_error, require_memory_for
from metseg.io.case_source import CaseSource
from metseg.io.images.slice_stack import SliceStackSource
from metseg.preprocess.brain_mask_rules import brain_mask_options
from metseg.preprocess.missing_sequences import grey_sequence
from metseg.runtime.atomic_io import require_writable_folder
from metseg.runtime.progress import ShowShare, share_bar, show_no_share, track


@dataclass
class Outcome:
    """What became of a batch.

    Args:
        documents: the JSON file of each case that was predicted.
        pictures: how many pictures were predicted.
        volumes: how many volumes were predicted.
        lesions: how many lesions were found in all.
        headlines: of each case that was predicted.
        skipped: how many cases were finished before, or are being worked on by another process.
        errors: one for each picture or case that could not be read.
        warnings: what was noticed, with the number of cases.
    """

    documents: list[Path] = field(default_factory=list)
    pictures: int = 0
    volumes: int = 0
    lesions: int = 0
    skipped: int = 0
    errors: list[MetsegError] = field(default_factory=list)
    warnings: Counter[str] = field(default_factory=Counter)
    headlines: list[Headline] = field(default_factory=list)


def predict_paths(
    inputs: Sequence[Path],
    predictor: Predictor,
    out: Path,
    *,
    formats: Sequence[str] = ("mask",),
    reading: InputOptions | None = None,
    shard: Shard | None = None,
    quiet: bool = False,
    model_reason: str = "",
    on_first: Callable[[], None] | None = None,
) -> Outcome:
    """Predict on pictures, volumes and folders of them, and write the results under ``out``.

    A few pictures at a time are in memory where the recipe prepares each separately; where it takes statistics over
    the whole case, so are all pictures of the case, and a case that cannot fit is refused beforehand.

    Args:
        inputs: each a file or a folder; below a folder of pictures, relative paths are kept.
        predictor: the model.
        out: the folder to write to.
        formats: names in `FORMATS`; the JSON document of each case and ``lesions.csv`` are always written.
        reading: how the inputs are read, where nothing can be known from themselves.
        shard: predict this part of the cases only, and leave out what is finished or being worked on elsewhere.
        quiet: show no progress.
        model_reason: why the model was chosen, for the documents; empty if the user named it.
        on_first: called once, when the first case has been read and before it is predicted.
    Returns:
        What became of the cases. ``lesions.csv`` in ``out`` has the lesions of all cases with a document there.
    Raises:
        UsageError: an unknown format, a brain mask of a model that uses none, or a folder that cannot be written.
        InputError: an input where nothing is found, or results that would overwrite one another or an input.
        ResourceError: the disk is full.
    """
    recipe = predictor.recipe
    chosen = find_formats(
        formats,
        uses_brain_mask=brain_mask_options(recipe) is not None,
        measures_uncertainty=predictor.measures_uncertainty,
    )
    sources = (reading or InputOptions()).sources(inputs, recipe.data, out, grey=grey_sequence(recipe))
    _require_own_names(sources, out, chosen, expected=shard is not None)
    require_writable_folder(out)
    require_own_lesions_file(out)
    outcome = Outcome()
    if shard is not None:
        sources = shard.select(sources)
    show = show_no_share if quiet else share_bar
    begin = Once(on_first)
    cases = [
        _pieces(source, predictor, out, chosen, show=show, begin=begin, model_reason=model_reason) for source in sources
    ]
    if shard is None:
        for piece in track([piece for pieces in cases for piece in pieces], "Predicting", quiet=quiet):
            piece.predict(predictor, outcome)
    else:
        for pieces in track(cases, "Predicting", quiet=quiet):
            _unless_done(pieces, predictor, outcome)
    if outcome.documents or outcome.skipped:
        write_lesions_file(out, locks=None if shard is None else out / LOCKS)
    return outcome


@dataclass
class Once:
    """Calls a function at the first of several calls only.

    Args:
        function: to call; None: nothing is called.
    """

    function: Callable[[], None] | None

    def __call__(self) -> None:
        function, self.function = self.function, None
        if function is not None:
            function()


@dataclass(frozen=True)
class Piece:
    """What is read and predicted together.

    Args:
        source: a volume, or some of the pictures of a case.
        report: of the whole case.
        last: whether the case ends with this piece.
        formats: what is written of each prediction.
        out: where it and the document of the case go.
        show: shows the progress within a volume.
        begin: called when it has been read.
    """

    source: CaseSource
    report: CaseReport
    last: bool
    formats: Sequence[Format]
    out: Path
    show: ShowShare
    begin: Callable[[], None]

    @property
    def document(self) -> Path:
        return document_path(self.out, self.source.case_id)

    def is_done(self, predictor: Predictor) -> bool:
        """Return whether an earlier run has left what is asked for of the whole case; what failed then is let be."""
        found = finished(self.document, model=predictor.fingerprint, part=predictor.part)
        if found is None:
            return False
        return all(path.exists() for path in result_paths(self.source.case_id, found["slices"], self.out, self.formats))

    def predict(self, predictor: Predictor, outcome: Outcome) -> None:
        """Predict what of it can be read, write it, and report that and the rest."""
        try:
            for prediction in _predictions(self.source, predictor, self.report, self.show, self.begin):
                for form in self.formats:
                    form.write_part(prediction, self.out)
                self.report.add(prediction)
        except (InputError, ResourceError) as error:
            if error.code == "resources.disk":
                raise
            self.report.failed.append(error)
        if self.last:
            self._close(outcome)

    def _close(self, outcome: Outcome) -> None:
        """Write what needs the whole case and then its document, if anything of it was predicted, and count it."""
        report = self.report
        outcome.errors += report.failed
        outcome.warnings.update(report.warnings)
        if report.depth:
            for form in self.formats:
                form.write_case(report, self.out)
            outcome.documents.append(report.write(self.document))
            outcome.pictures += len(report.slice_names)
            outcome.volumes += not report.slice_names
            outcome.lesions += len(report.lesions)
            outcome.headlines.append(report.headline())


def _pieces(
    source: CaseSource,
    predictor: Predictor,
    out: Path,
    formats: Sequence[Format],
    *,
    show: ShowShare,
    begin: Callable[[], None],
    model_reason: str,
) -> list[Piece]:
    """Return a case in pieces: a volume whole, pictures a few at a time where the recipe allows."""
    report = CaseReport(
        source.case_id,
        predictor.name,
        predictor.fingerprint,
        keeps_instances=need_instances(formats),
        model_reason=model_reason,
    )
    if predictor.needs_whole_case and isinstance(source, SliceStackSource) and source.patient_guessed:
        report.warnings.append(GUESSED.format(count=len(source.slices)))
    parts = _parts(source, predictor) if isinstance(source, SliceStackSource) else [source]
    return [Piece(part, report, part is parts[-1], formats, out, show, begin) for part in parts]


def _unless_done(pieces: Sequence[Piece], predictor: Predictor, outcome: Outcome) -> None:
    """Predict a case unless that is done, or being done by another process."""
    first = pieces[0]
    with claimed(first.out, first.source.case_id) as ours:
        if not ours or first.is_done(predictor):
            outcome.skipped += 1
            return
        for piece in pieces:
            piece.predict(predictor, outcome)


def _parts(source: SliceStackSource, predictor: Predictor) -> list[SliceStackSource]:
    step = len(source.slices) if predictor.needs_whole_case else SLICES_IN_MEMORY
    return [replace(source, slices=source.slices[first : first + step]) for first in range(0, len(source.slices), step)]


def _predictions(
    source: CaseSource, predictor: Predictor, report: CaseReport, show: ShowShare, begin: Callable[[], None]
) -> Iterator[Prediction]:
    cure = "close other programs, or give each patient a folder"
    with out_of_memory_is_an_error("memory ran out while predicting", where=f"case {source.case_id}", cure=cure):
        require_fitting_source(source, predictor.recipe, where=f"case {source.case_id}")
        if not isinstance(source, SliceStackSource):
            read = source.load()
            begin()
            yield predictor(read, show=show)
            return
        if predictor.needs_whole_case:
            require_memory_for(source, channels=len(predictor.recipe.data.inputs))
        case, errors = source.load_readable()
        # Pictures that are prepared one by one need not be of one type: 8 and 16 bits may lie side by side.
        waiting = () if predictor.needs_whole_case else tuple(filter(_is_of_another_type, errors))
        report.failed.extend(error for error in errors if error not in waiting)
        if case is not None:
            begin()
            yield from predictor.in_parts(case)
    if waiting:
        paths = {error.where for error in waiting}
        rest = tuple(piece for piece in source.slices if piece.image in paths)
        yield from _predictions(replace(source, slices=rest), predictor, report, show, begin)


def _is_of_another_type(error: MetsegError) -> bool:
    return error.code == "input.mixed_slices"


def _require_own_names(sources: Sequence[CaseSource], out: Path, formats: Sequence[Format], *, expected: bool) -> None:
    """Reject inputs if their results would overwrite one another, or files beside the inputs.

    Args:
        expected: results of an earlier run may lie among the inputs.
    """
    seen: dict[Path, Path] = {}
    results = out.resolve()
    for source in sources:
        root = source.root.resolve()
        beside_inputs = root == results or results in root.parents
        for target, image in targets(source, out, formats):
            if target in seen:
                raise InputError(
                    "two inputs would give results of the same name",
                    where=image,
                    got=seen[target],
                    cure="predict them with different --out folders",
                    code="input.name_clash",
                )
            seen[target] = image
            if beside_inputs and not expected and target.exists():
                raise InputError(
                    "a result would overwrite an existing file",
                    where=target,
                    cure="choose an --out folder without images",
                    code="input.name_clash",
                )
