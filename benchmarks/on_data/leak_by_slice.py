"""What is a split by slice worth, which puts neighbouring slices of one patient on both sides?

    python benchmarks/on_data/leak_by_slice.py LGG OUT [--recipe assignment-attention-unet] [--set KEY=VALUE ...]

Trains one recipe twice with equal budgets: split by patient, and by slice. Prints, as Markdown, the Dice of each
network on its own test part, and of both on the slices that are in both test parts. The patients of these shared
slices are unknown to the first network, and the second was trained on other slices of them: the difference is the
leak alone. Intervals: bootstrap over patients. An interrupted run goes on when the command is repeated;
``--as-it-is`` scores the best weights of each run so far, on the slices as they were prepared for the network.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from metseg.evaluation.metrics.slice_metrics import slice_scores
from metseg.evaluation.statistics.confidence_intervals import Interval, bootstrap_pooled, ratio
from metseg.inference.brain.brain_extraction import extraction_fingerprint
from metseg.inference.predictor import Predictor
from metseg.io.case_source import CaseSource
from metseg.io.splits import Split
from metseg.io.stratified_sampling import By
from metseg.model import SegmentationNetwork
from metseg.model.activation import outputs_of
from metseg.preprocess.cache import build_cache
from metseg.preprocess.cache.cache_key import recipe_stamp
from metseg.preprocess.cache.cache_reader import Cache
from metseg.recipe import Recipe, load_recipe
from metseg.training.data import read_sources
from metseg.training.finalize import best_network
from metseg.training.run import Run, train_run
from metseg.training.run_folder import RunFolder

Counts = dict[str, npt.NDArray[np.float64]]
Mask = npt.NDArray[np.bool_]
#: Case and indices of slices to truth and result, (X, Y, slices) each.
Segment = Callable[[CaseSource, Sequence[int]], tuple[Mask, Mask]]
SIDES: tuple[By, By] = ("patient", "slice")
FIGURES = ("Dice, all voxels of a part", "mean Dice of positive slices", "mean Dice of all slices")
#: What a patient adds to each figure: numerator and denominator.
COLUMNS = 2 * len(FIGURES)


def slice_sums(truth: npt.NDArray[np.bool_], predicted: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """Return the numerators and denominators of `FIGURES`, (`COLUMNS`,), of one patient's slices (X, Y, Z)."""
    scores = slice_scores(truth, predicted, truth.shape[2])
    positive = scores.n_positive_slices
    return np.array([
        2 * np.count_nonzero(truth & predicted), np.count_nonzero(truth) + np.count_nonzero(predicted),
        (scores.dice_positive_slices or 0.0) * positive, positive,
        scores.dice_all_slices * scores.n_slices, scores.n_slices,
    ], dtype=np.float64)  # fmt: skip


def select_test_slices(split: Split, sources: Sequence[CaseSource]) -> dict[str, tuple[int, ...]]:
    """Return the indices of the test slices of each case."""
    selected = split.select(sources).test
    return {one.source.case_id: one.slices or tuple(range(len(one.source.slice_names))) for one in selected}


def shared_slices(
    first: Mapping[str, Sequence[int]], second: Mapping[str, Sequence[int]]
) -> dict[str, tuple[int, ...]]:
    """Return the slices that both parts have, without cases that share none."""
    both = {case: tuple(sorted({*first[case]} & {*second[case]})) for case in first if case in second}
    return {case: slices for case, slices in both.items() if slices}


def segment_pictures(predictor: Predictor) -> Segment:
    """Return a function that segments a case on its own grid, as `metseg predict` does."""

    def segment(source: CaseSource, slices: Sequence[int]) -> tuple[Mask, Mask]:
        prediction = predictor(source.load())
        assert prediction.truth is not None
        return prediction.truth.data[:, :, slices] > 0, prediction.labels[:, :, slices] > 0

    return segment


def segment_prepared(network: SegmentationNetwork, recipe: Recipe, cached: Cache) -> Segment:
    """Return a function that segments slices of a case on the grid of the network, as validation does."""
    places = {entry.case_id: place for place, entry in enumerate(cached.entries)}
    outputs = outputs_of(recipe)

    def segment(source: CaseSource, slices: Sequence[int]) -> tuple[Mask, Mask]:
        pairs = [cached.read_slice(places[source.case_id], z) for z in slices]
        images = torch.from_numpy(np.stack([image for image, _ in pairs]).astype(np.float32))
        with torch.inference_mode():
            probability = outputs.lesion_probability(outputs.probabilities(network(images)))
        found = (probability >= recipe.predict.threshold).numpy().transpose(1, 2, 0)
        return np.stack([labels for _, labels in pairs], axis=-1) > 0, found

    return segment


def counted(
    segment: Segment, sources: Sequence[CaseSource], parts: Mapping[str, Mapping[str, Sequence[int]]]
) -> dict[str, Counts]:
    """Return for each part and patient the sums of `slice_sums`; each case is segmented once."""
    sums: dict[str, Counts] = {part: {} for part in parts}
    for source in sources:
        wanted = {part: slices[source.case_id] for part, slices in parts.items() if source.case_id in slices}
        every = sorted({z for slices in wanted.values() for z in slices})
        if not every:
            continue
        truth, found = segment(source, every)
        for part, slices in wanted.items():
            chosen = [every.index(z) for z in slices]
            added = slice_sums(truth[:, :, chosen], found[:, :, chosen])
            sums[part][source.patient] = sums[part].get(source.patient, np.zeros(COLUMNS)) + added
    return sums


def figures(counts: Counts) -> list[Interval | None]:
    """Return `FIGURES` of all patients together, with intervals over patients."""
    return bootstrap_pooled(np.stack([counts[patient] for patient in sorted(counts)]), _ratios)


def differences(first: Counts, second: Counts) -> list[Interval | None]:
    """Return second minus first of `FIGURES`, on the same patients and slices; intervals over patients."""
    pairs = np.stack([np.concatenate([first[patient], second[patient]]) for patient in sorted(first)])
    return bootstrap_pooled(pairs, lambda sums: _ratios(sums[:, COLUMNS:]) - _ratios(sums[:, :COLUMNS]))


def _ratios(sums: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return ratio(sums[:, 0::2], sums[:, 1::2])


def table(sums: Mapping[By, Mapping[str, Counts]]) -> str:
    """Return the results as Markdown."""
    by_patient, by_slice = (sums[side] for side in SIDES)
    rows = [
        ("by patient, its test patients", figures(by_patient["own"]), by_patient["own"]),
        ("by slice (**leaks patients**), its test slices", figures(by_slice["own"]), by_slice["own"]),
        ("by patient, the shared slices", figures(by_patient["shared"]), by_patient["shared"]),
        ("by slice (**leaks patients**), the shared slices", figures(by_slice["shared"]), by_slice["shared"]),
        ("the leak alone: difference on the shared slices", differences(*(s["shared"] for s in (by_patient, by_slice))),
         by_slice["shared"]),
    ]  # fmt: skip
    lines = [f"| split | {' | '.join(FIGURES)} | patients | slices |", "|" + "---|" * (len(FIGURES) + 3)]
    for title, values, counts in rows:
        slices = int(sum(count[-1] for count in counts.values()))
        lines.append(f"| {title} | {' | '.join(map(_text, values))} | {len(counts)} | {slices} |")
    return "\n".join(lines)


def _text(interval: Interval | None) -> str:
    if interval is None:
        return "-"
    ends = "" if interval.low is None else f" ({interval.low:.3f} to {interval.high:.3f})"
    return f"{interval.mean:.3f}{ends}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--recipe", default="assignment-attention-unet")
    parser.add_argument("--set", dest="changes", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--as-it-is", action="store_true", help="score the best weights so far, on the prepared slices")
    options = parser.parse_args()
    tests, segments, cache = {}, {}, options.out / "cache"
    for side in SIDES:
        recipe = load_recipe(options.recipe, [*options.changes, f"split.by={side}"])
        sources = read_sources(recipe, options.data)
        folder = RunFolder(options.out / f"by-{side}")
        if options.as_it_is:
            stamp = recipe_stamp(recipe, brain_model=extraction_fingerprint(recipe))
            cached = build_cache(sources, recipe, cache / stamp[:16], brain_model=extraction_fingerprint(recipe))
            segments[side] = segment_prepared(best_network(folder, recipe).eval(), recipe, cached)
        else:
            train_run(recipe, Run(options.data, folder.path, resume=folder.exists, cache=cache, device="cpu"))
            segments[side] = segment_pictures(Predictor([best_network(folder, recipe)], recipe))
        tests[side] = select_test_slices(Split.load(folder.split_file), sources)
    shared = shared_slices(*(tests[side] for side in SIDES))
    sums = {side: counted(segments[side], sources, {"own": tests[side], "shared": shared}) for side in SIDES}
    print(table(sums))


if __name__ == "__main__":
    main()
