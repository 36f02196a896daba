"""How well lesions of simulated patients are followed: matches, volume changes, response categories, registration.

    metseg simulate SIM --patients 40 --timepoints 3 --seed 2121 --resolution-mm 2
    python benchmarks/on_data/follow_up.py SIM --store RESULTS
    metseg predict SIM --model mets-sim --out PREDICTED
    python benchmarks/on_data/follow_up.py SIM --predictions PREDICTED --store RESULTS-PREDICTED

SIM was written by ``metseg simulate``: its masks, the identity of every lesion, its planned volume and the pose of the
head are known. Without ``--predictions`` the true masks are followed. The result of each patient is kept in the folder
``--store``, so that an interrupted run continues. Patients without all their predictions are left out, and counted.

Matches: a link joins the pieces of one lesion at two successive examinations. It is right if both pieces are those of
the same true lesion. Intervals are 95 % bootstrap intervals over patients.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import metseg
from metseg.follow_up_document import TimepointRecord
from metseg.longitudinal.follow_up import FollowUp
from metseg.longitudinal.lesion_tracks import LesionState, LesionTrack
from metseg.longitudinal.measured_lesion import MeasuredLesion
from metseg.longitudinal.measurement_error import size_error
from metseg.longitudinal.repeatability import GRID_ONLY
from metseg.longitudinal.response import assess_response
from metseg.longitudinal.response_measures import ResponseMeasures
from metseg.measure import lesion_centres

Results = dict[str, Any]
RESAMPLES, SEED = 2000, 0
#: Distance from the middle of the head of the points at which the error of registration is measured.
POINTS_MM = 60.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--predictions", type=Path)
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--most", type=int, default=None, metavar="N", help="stop after N patients of this run")
    options = parser.parse_args()
    options.store.mkdir(parents=True, exist_ok=True)
    patients = sorted({path.name.rpartition("-")[0] for path in options.data.glob("[!.]*/")})
    left = [name for name in patients if not (options.store / f"{name}.json").exists()]
    for name in left[: options.most]:
        found = score_patient(options.data, name, options.predictions)
        if found is not None:
            (options.store / f"{name}.json").write_text(json.dumps(found), "utf-8")
    results = [json.loads(path.read_text("utf-8")) for path in sorted(options.store.glob("*.json"))]
    print(f"{len(results)} of {len(patients)} patients")
    for line in summary(results):
        print(line)


def score_patient(data: Path, name: str, predictions: Path | None) -> Results | None:
    """Return the results of a patient; None if a prediction is missing."""
    folders = sorted(data.glob(f"{name}-*/"))
    if predictions is not None and not all((predictions / f"{one.name}.json").exists() for one in folders):
        return None
    truths = [json.loads((folder / f"{folder.name}.json").read_text("utf-8")) for folder in folders]
    source: dict[str, Any] = {"labels": "brats-met-2023"} if predictions is None else {"predictions": predictions}
    began = time.process_time()
    follow_up = metseg.follow(folders, **source)
    spent = time.process_time() - began
    exact = follow_up if predictions is None else metseg.follow(folders, labels="brats-met-2023")
    true_ids = [identities(truth, place, exact) for place, truth in enumerate(truths)]
    ids = [on_truth(follow_up, exact, place, true_ids[place]) for place in range(len(folders))]
    return {
        "patient": name,
        **link_counts(follow_up, ids, true_ids),
        "changes": changes(follow_up, ids, truths),
        "categories": [one.imaging.category for one in follow_up.document.response],
        "true_categories": true_categories(exact, true_ids),
        "registration_mm": [
            registration_error(follow_up, place, np.asarray(truth["to_first_mm"]))
            for place, truth in enumerate(truths[1:], start=1)
        ],
        "seconds": [one.registration.seconds for one in follow_up.document.timepoints[1:]],
        "core_seconds": spent / (len(folders) - 1),
    }


def lesions_at(follow_up: FollowUp, place: int) -> list[MeasuredLesion]:
    found = [lesion for track in follow_up.tracks if (lesion := track.lesion_at(place)) is not None]
    return sorted(found, key=lambda lesion: lesion.number)


def identities(truth: Results, place: int, exact: FollowUp) -> dict[int, int]:
    """Return the true identity of the main piece of each lesion: number in the examination to identity."""
    lesions = lesions_at(exact, place)
    found: dict[int, tuple[float, int]] = {}
    for record in truth["lesions"]:
        distances = [np.linalg.norm(lesion.points_mm - record["centre_mm"], axis=1).min() for lesion in lesions]
        nearest = int(np.argmin(distances))
        size = record["netc_mm3"] + record["et_mm3"]
        if distances[nearest] <= max(lesions[nearest].spacing_mm) and size > found.get(nearest, (0.0, 0))[0]:
            found[nearest] = (size, record["lesion_id"])
    return {lesions[place].number: identity for place, (_, identity) in found.items()}


def on_truth(follow_up: FollowUp, exact: FollowUp, place: int, true_ids: dict[int, int]) -> dict[int, int]:
    """Return the true identity of followed lesions: of those that share voxels with it, the one that shares most."""
    if follow_up is exact:
        return true_ids
    shared: dict[int, tuple[int, int]] = {}
    true_voxels = {one.number: voxels(one) for one in lesions_at(exact, place) if one.number in true_ids}
    for lesion in lesions_at(follow_up, place):
        own = voxels(lesion)
        for number, others in true_voxels.items():
            count = len(own & others)
            if count > shared.get(true_ids[number], (0, 0))[0]:
                shared[true_ids[number]] = (count, lesion.number)
    return {number: identity for identity, (_, number) in shared.items()}


def voxels(lesion: MeasuredLesion) -> set[tuple[float, ...]]:
    return set(map(tuple, lesion.points_mm.round(2).tolist()))


def link_counts(follow_up: FollowUp, ids: Sequence[dict[int, int]], true_ids: Sequence[dict[int, int]]) -> Results:
    """Return right, wrong and missed links: of lesions that are there at both examinations, found or not."""
    right = wrong = 0
    for track in follow_up.tracks:
        for place in range(1, len(ids)):
            before, after = track.lesion_at(place - 1), track.lesion_at(place)
            if before is None or after is None:
                continue
            ends = ids[place - 1].get(before.number), ids[place].get(after.number)
            right += ends[0] is not None and ends[0] == ends[1]
            wrong += ends[0] != ends[1]
    pairs = list(pairwise(true_ids))
    found = list(pairwise(ids))
    return {
        "right": right,
        "wrong": wrong,
        "missed": sum(len(set(one.values()) & set(two.values())) for one, two in found) - right,
        "missed_of_all": sum(len(set(one.values()) & set(two.values())) for one, two in pairs) - right,
        "lesions": sum(map(len, true_ids)),
        "found": sum(map(len, ids)),
    }


def planned_ml(truth: Results, identity: int) -> float:
    lesion = next(one for one in truth["lesions"] if one["lesion_id"] == identity)
    return float(np.pi / 6 * lesion["plan"]["diameter_mm"] ** 3 / 1000)


def changes(follow_up: FollowUp, ids: Sequence[dict[int, int]], truths: Sequence[Results]) -> list[Results]:
    """Return measured and planned changes of the lesions that were linked rightly."""
    found = []
    for track in follow_up.tracks:
        for place in range(1, len(ids)):
            before, after = track.lesion_at(place - 1), track.lesion_at(place)
            state = follow_up.document.state(track.identity, follow_up.timepoints[place].name)
            if before is None or after is None or state is None or state.since_previous is None:
                continue
            identity = ids[place].get(after.number)
            if identity is None or ids[place - 1].get(before.number) != identity:
                continue
            change = state.since_previous
            planned = [planned_ml(truths[at], identity) for at in (place - 1, place)]
            limits = np.log1p(np.asarray(change.volume_limits_percent) / 100)
            measured = np.log(after.volume_ml / before.volume_ml)
            found.append(
                {
                    "planned_ml": planned,
                    "measured_ml": [before.volume_ml, after.volume_ml],
                    "longest_mm": [before.longest_axial_mm, after.longest_axial_mm],
                    "inside": bool(limits[0] <= measured - np.log(planned[1] / planned[0]) <= limits[1]),
                    "verdict": change.volume,
                    "grid_sd": [size_error(one, GRID_ONLY).log_volume_sd for one in (before, after)],
                }
            )
    return found


def true_categories(exact: FollowUp, true_ids: Sequence[dict[int, int]]) -> list[str]:
    """Return the response categories from the true masks and the known identities, without any matching."""
    order = sorted({identity for ids in true_ids for identity in ids.values()})
    tracks = []
    for identity in order:
        seen = [next((number for number, other in ids.items() if other == identity), None) for ids in true_ids]
        first = next(place for place, number in enumerate(seen) if number is not None)
        states = []
        for place in range(first, len(seen)):
            number = seen[place]
            lesion = None if number is None else next(
                one for one in lesions_at(exact, place) if one.number == number
            )  # fmt: skip
            event = "vanished" if lesion is None else "continued" if place > first else "new" if first else "first"
            states.append(LesionState(place, event, lesion))  # type: ignore[arg-type]
        tracks.append(LesionTrack(identity, states, None))  # type: ignore[arg-type]
    records: Sequence[TimepointRecord] = exact.document.timepoints
    response = assess_response(ResponseMeasures(tuple(tracks), GRID_ONLY), records, (), ())
    return [one.imaging.category for one in response]


def registration_error(follow_up: FollowUp, place: int, to_first_mm: npt.NDArray[np.float64]) -> float:
    """Return the mean distance, mm, of points about the middle of the head from where they belong."""
    image = follow_up.timepoints[0].image
    assert image is not None
    assert image.affine is not None
    head = (np.asarray(image.data) > np.percentile(image.data, 60)).astype(np.uint8)
    middle = lesion_centres(head, image.affine)[0]
    points = middle + POINTS_MM * np.array([[x, y, z] for x in (-1, 0, 1) for y in (-1, 0, 1) for z in (-1, 0, 1)])
    known = np.linalg.inv(to_first_mm)
    found = follow_up.registrations[place].to_later_mm
    moved = [points @ matrix[:3, :3].T + matrix[:3, 3] for matrix in (known, found)]
    return float(np.linalg.norm(moved[0] - moved[1], axis=1).mean())


def summary(results: Sequence[Results]) -> list[str]:
    def interval(figure: Callable[[Sequence[Results]], float], digits: int = 3) -> str:
        rng = np.random.default_rng(SEED)
        draws = [figure([results[at] for at in rng.integers(0, len(results), len(results))]) for _ in range(RESAMPLES)]
        low, high = np.nanpercentile(draws, [2.5, 97.5])
        return f"{figure(results):.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"

    def f1(missed: str) -> Callable[[Sequence[Results]], float]:
        def figure(chosen: Sequence[Results]) -> float:
            right, wrong, lost = (sum(one[key] for one in chosen) for key in ("right", "wrong", missed))
            return 2 * right / max(1, 2 * right + wrong + lost)

        return figure

    totals = {key: sum(one[key] for one in results) for key in ("right", "wrong", "missed", "missed_of_all")}
    lines = [
        f"lesions: {sum(one['found'] for one in results)} of {sum(one['lesions'] for one in results)} found",
        f"links: {totals}",
        f"F1 of links between lesions that were found: {interval(f1('missed'))}",
        f"F1 of links between all lesions: {interval(f1('missed_of_all'))}",
        f"response categories equal: {interval(_agreement)} of {sum(len(one['categories']) for one in results)}",
        f"registration error, mm: {interval(lambda chosen: float(np.mean(_all(chosen, 'registration_mm'))))},"
        f" largest {max(_all(results, 'registration_mm')):.3f}",
        f"processor seconds of a pair, reading included: mean {np.mean([one['core_seconds'] for one in results]):.1f},"
        f" largest {max(one['core_seconds'] for one in results):.1f}",
    ]
    for name, low, high in (("all", 0, np.inf), ("below 10 mm", 0, 10), ("10 mm and more", 10, np.inf)):
        lines += _change_lines(results, name, low, high, interval)
    return lines


def _all(results: Sequence[Results], key: str) -> list[float]:
    return [value for one in results for value in one[key]]


def _agreement(results: Sequence[Results]) -> float:
    pairs = [pair for one in results for pair in zip(one["categories"], one["true_categories"], strict=True)]
    return float(np.mean([first == second for first, second in pairs]))


def _change_lines(
    results: Sequence[Results], name: str, low: float, high: float, interval: Callable[..., str]
) -> list[str]:
    """Return bias and limits of agreement of volume changes, for lesions of a planned diameter at the earlier one."""

    def chosen(some: Sequence[Results]) -> list[Results]:
        diameters = (
            (change, 2 * np.cbrt(change["planned_ml"][0] * 750 / np.pi)) for one in some for change in one["changes"]
        )
        return [change for change, diameter in diameters if low <= diameter < high]

    def errors(some: Sequence[Results]) -> npt.NDArray[np.float64]:
        ratios = [
            np.log(change["measured_ml"][1] / change["measured_ml"][0])
            - np.log(change["planned_ml"][1] / change["planned_ml"][0])
            for change in chosen(some)
        ]
        return np.asarray(ratios)

    def radius_errors(some: Sequence[Results]) -> npt.NDArray[np.float64]:
        radii = [
            [np.cbrt(np.asarray(change[key]) * 750 / np.pi) for key in ("measured_ml", "planned_ml")]
            for change in chosen(some)
        ]
        return np.asarray([(measured[1] - measured[0]) - (planned[1] - planned[0]) for measured, planned in radii])

    if len(chosen(results)) < 2:
        return [f"{name}: fewer than two changes"]
    spread = float(errors(results).std(ddof=1))
    return [
        f"{name}: {len(chosen(results))} changes; measured / true ratio of volumes {np.exp(errors(results).mean()):.3f}"
        f", limits of agreement {100 * np.expm1(errors(results).mean() - 1.96 * spread):+.0f} % to "
        f"{100 * np.expm1(errors(results).mean() + 1.96 * spread):+.0f} %; "
        f"SD of the logarithm {interval(lambda some: float(errors(some).std()))}",
        f"{name}: SD of the change of the radius, mm: {interval(lambda some: float(radius_errors(some).std()))}; "
        f"within the stated error: {interval(lambda some: float(np.mean([one['inside'] for one in chosen(some)])))}",
    ]


if __name__ == "__main__":
    main()
