"""The public Python API: what the command line does, as functions for scripts and notebooks.

Every function here is also ``metseg.<name>``. Arrays are (X, Y, Z): for pictures column, row, slice.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import overload

import numpy as np
import numpy.typing as npt

from metseg.errors import InputError
from metseg.evaluation import CaseScores, evaluate_case
from metseg.experiment.compare import Plan
from metseg.experiment.compare import compare as run_comparison
from metseg.experiment.comparison_files import write_results
from metseg.experiment.comparison_result import Comparison
from metseg.inference.image_outputs import background
from metseg.inference.prediction import Prediction
from metseg.inference.predictor import Predictor
from metseg.io.case_discovery import DataOptions, data_part, find_cases
from metseg.io.case_source import CaseSource
from metseg.io.prediction_inputs import InputRules, find_inputs
from metseg.io.splits import Split
from metseg.model.bundle import load_bundle
from metseg.plot.overlay import TRUTH_COLOUR, draw_labels, draw_outline, grey
from metseg.recipe import Recipe, load_recipe, refuse_split_changes
from metseg.training.run import Run, train_run
from metseg.training.scoring import score_case
from metseg.volume import Case

__all__ = [
    "Cases",
    "compare",
    "evaluate_case",
    "load",
    "load_all",
    "load_model",
    "overlay",
    "predict",
    "score",
    "train",
]


class Cases(Sequence[Case]):
    """The cases of a data set, in order of their ids; a case is read when it is asked for, and not kept.

    Args:
        sources: where they lie.
    """

    def __init__(self, sources: Sequence[CaseSource]) -> None:
        self.sources = tuple(sources)

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(source.case_id for source in self.sources)

    @property
    def patients(self) -> tuple[str, ...]:
        return tuple(source.patient for source in self.sources)

    def __len__(self) -> int:
        return len(self.sources)

    @overload
    def __getitem__(self, which: int) -> Case: ...

    @overload
    def __getitem__(self, which: slice) -> Cases: ...

    def __getitem__(self, which: int | slice) -> Case | Cases:
        if isinstance(which, slice):
            return Cases(self.sources[which])
        return self.sources[which].load()

    def __iter__(self) -> Iterator[Case]:
        return (source.load() for source in self.sources)

    def __repr__(self) -> str:
        return f"<{len(self)} cases of {len(set(self.patients))} patients>"


def load(path: str | Path, *, channels: Sequence[str] = (), labels: str = "binary") -> Case:
    """Return one examination: a picture, or a folder with the slices of one patient.

    Args:
        path: where it lies.
        channels: what the channels of the pictures are, in file order, such as ``("t1n", "t2f", "t1c")``.
        labels: label scheme of the masks, which are read where they lie in the same folder.
    Raises:
        InputError: nothing that can be read, or more than one case.
    """
    return _only_source(path, channels, labels, with_masks=True).load()


def load_all(
    root: str | Path,
    *,
    layout: str = "auto",
    channels: Sequence[str] = (),
    patient_pattern: str | None = None,
    patients: str | Path | None = None,
    labels: str = "binary",
) -> Cases:
    """Return the cases of a data set, with their truth.

    Args:
        root: the folder; ``IMAGES::MASKS`` where masks lie under a root of their own.
        layout: a name in `metseg.io.LAYOUTS`, or "auto".
        channels: what the channels of the pictures are, in file order.
        patient_pattern: regular expression whose group is the patient; None: the folder is.
        patients: table (CSV) with a row for each file and its patient, its fold, or both, instead of folders.
        labels: label scheme of the masks.
    Raises:
        InputError: no such folder, no known layout, or nothing that says whose picture is whose.
    """
    table = None if patients is None else str(patients)
    options: DataOptions = {"layout": layout, "channels": channels, "labels": labels}
    options |= {"patient_pattern": patient_pattern, "patients": table}
    return Cases(find_cases(root, **options))


def load_model(name_or_path: str | Path, *, device: str = "auto", tta: bool | None = None) -> Predictor:
    """Return a trained model, ready to be called with a `Case`.

    Args:
        name_or_path: a bundle's name (``metseg models list``) or its folder.
        device: such as ``auto``, ``cpu``, ``cuda``.
        tta: average over mirror images; None: as the bundle says.
    Raises:
        BundleError: not a bundle, or a damaged one.
        UsageError: no bundle of that name.
    """
    return Predictor.from_bundle(load_bundle(name_or_path), device=device, tta=tta)


def predict(what: Case | str | Path, model: Predictor | str | Path) -> Prediction:
    """Return what a model says of a case.

    Args:
        what: a case, or a picture or folder of one patient's slices; a truth that lies beside it does not matter.
        model: from `load_model`, or what `load_model` takes; load it once where there are many cases.
    Returns:
        ``labels`` (X, Y, Z) uint8 on the case's own grid, ``probability``, ``lesions``, timings and warnings.
    Raises:
        InputError: the case cannot be read, or lacks a sequence that the model needs.
        BundleError: the model cannot be loaded.
    """
    predictor = model if isinstance(model, Predictor) else load_model(model)
    if not isinstance(what, Case):
        data = predictor.recipe.data
        what = _only_source(what, data.channels, data.labels, with_masks=False).load()
    return predictor(what)


def score(prediction: Prediction) -> CaseScores:
    """Return the scores of a prediction against its case's own truth, under the protocol ``voxel``.

    Raises:
        InputError: the case has no truth.

    For two arrays, and for other protocols, there is `evaluate_case`.
    """
    return score_case(prediction)


def overlay(prediction: Prediction, z: int | None = None, *, truth: bool = False) -> npt.NDArray[np.uint8]:
    """Return a slice in grey with the lesions found on it, ready for ``matplotlib.pyplot.imshow``.

    Args:
        prediction: from `predict`.
        z: which slice; None: the one with the most lesion.
        truth: draw the outline of the truth too, in green.
    Returns:
        (rows, columns, 3) uint8.
    Raises:
        InputError: there is no such slice, or no truth where it is asked for.
    """
    labels = prediction.labels
    if z is None:
        z = int(np.count_nonzero(labels, axis=(0, 1)).argmax())
    if not 0 <= z < labels.shape[2]:
        raise InputError(
            "no such slice",
            where=prediction.case.case_id,
            expected=f"0 to {labels.shape[2] - 1}",
            got=z,
            cure="count slices from 0",
        )
    drawn = draw_labels(grey(background(prediction)[:, :, z]), labels[:, :, z])
    if truth:
        known = prediction.truth
        if known is None:
            raise InputError(
                "the case has no truth to draw",
                where=prediction.case.case_id,
                cure="draw the prediction alone, or read the case with its masks",
                code="input.no_truth",
            )
        drawn = draw_outline(drawn, known.data[:, :, z] != 0, TRUTH_COLOUR)
    return drawn.transpose(1, 0, 2)


def train(
    recipe: Recipe | str | Path,
    data: str | Path,
    out: str | Path,
    *,
    changes: Sequence[str] = (),
    split: str | Path | None = None,
    resume: bool = False,
    allow_changed_data: bool = False,
    device: str = "auto",
) -> Path:
    """Train a network and return the folder of its bundle, which `load_model` takes.

    Args:
        recipe: a recipe, its file, or the name of a shipped one.
        data: images with masks.
        out: the run folder.
        changes: such as ``"train.max_minutes=20"``, for a recipe given by file or name.
        split: from ``metseg split``; None: the split that the recipe describes.
        resume: go on with the run in ``out``.
        allow_changed_data: with `resume`, go on even where images or masks changed since the run began.
        device: such as ``auto``, ``cpu``, ``cuda``.
    Raises:
        UsageError: a wrong recipe, a run folder that holds another run, or changed data, and `allow_changed_data`
            without `resume`.
        InputError: data that cannot be used.

    Folds, initial weights and a cache of one's own: `metseg.training.run.train_run`.
    """
    refuse_split_changes(changes, split)
    run = Run(
        Path(data),
        Path(out),
        split_file=_path(split),
        resume=resume,
        allow_changed_data=allow_changed_data,
        device=device,
    )
    return train_run(_recipe(recipe, changes), run)


def compare(
    recipes: Sequence[Recipe | str | Path],
    data: str | Path,
    out: str | Path,
    *,
    changes: Sequence[str] = (),
    folds: int = 0,
    split: str | Path | None = None,
    device: str = "auto",
    overwrite: bool = False,
    allow_changed_data: bool = False,
) -> Comparison:
    """Train several recipes on the same patients; write `report.html`, `results.md`, `results.json` and figures.

    Args:
        recipes: each a recipe, its file, or the name of a shipped one.
        data: images with masks.
        out: where runs, tables and figures go; finished runs there are not repeated.
        changes: such as ``"train.max_minutes=20"``, for every recipe given by file or name.
        folds: cross-validate on so many folds, all patients; a recipe that keeps some back for a test is refused
            (``"split.test=0"``). 0: one split.
        split: from ``metseg split``; None: the split that the first recipe describes.
        device: such as ``auto``, ``cpu``, ``cuda``.
        overwrite: replace the results of an earlier comparison in ``out``; its finished runs are kept.
        allow_changed_data: go on with its runs even where images or masks changed since they began.
    Raises:
        UsageError: a wrong recipe, folds beside ``split.test``, results that would be replaced, changed data, or
            `allow_changed_data` where no run was begun.
    """
    folded = split is not None and Split.load(Path(split)).folds
    # Of the patients outside a fold, the recipe says how many are validated on.
    refuse_split_changes(changes, split, used=("split.validation",) if folded else ())
    chosen = tuple(_recipe(recipe, changes) for recipe in recipes)
    comparison = run_comparison(
        Plan(
            chosen,
            Path(data),
            Path(out),
            folds=folds,
            split_file=_path(split),
            device=device,
            overwrite=overwrite,
            allow_changed_data=allow_changed_data,
        )
    )
    write_results(comparison, Path(out))
    return comparison


def _only_source(path: str | Path, channels: Sequence[str], labels: str, *, with_masks: bool) -> CaseSource:
    data = data_part(None, {"channels": channels, "labels": labels})
    found = find_inputs(path, data, rules=InputRules(one_per_folder=True, with_masks=with_masks))
    if len(found) > 1:
        raise InputError(
            "there is more than one case",
            where=path,
            expected="one study, a picture, or one folder of pictures of one size",
            got=f"{len(found)}, the first {found[0].case_id}",
            cure="load a data set with metseg.load_all",
            code="input.several_cases",
        )
    return found[0]


def _recipe(recipe: Recipe | str | Path, changes: Sequence[str]) -> Recipe:
    return recipe if isinstance(recipe, Recipe) else load_recipe(recipe, changes)


def _path(path: str | Path | None) -> Path | None:
    return None if path is None else Path(path)
