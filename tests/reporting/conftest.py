"""Small evaluations to report on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from metseg.evaluation import CaseScores, MaskPair, ScoringConfig, evaluate_masks, summarize
from metseg.evaluation.files.folder_scoring import FolderScores
from metseg.evaluation.files.multi_model import Evaluation, PredictionSets
from metseg.evaluation.statistics.model_comparison import compare_sets
from metseg.reporting.evaluation_report import evaluation_contents
from metseg.reporting.report_data import Contents

#: Enough for intervals that exist; how wide they are is tested where they are made.
RESAMPLES = 50

SHAPE = (16, 16, 8)

MakeContents = Callable[..., Contents]


def box_mask(x: int, size: int, label: int = 1) -> np.ndarray:
    """Return a mask with one cube, or an empty one for size 0."""
    mask = np.zeros(SHAPE, np.uint8)
    mask[x : x + size, 2 : 2 + size, 2 : 2 + size] = label
    return mask


@pytest.fixture(scope="session")
def make_contents() -> MakeContents:
    """Return a function from names and a few facts of the data to the contents of a report.

    Of four cases the first is found exactly, the second half, the third missed; the fourth is empty but for a false
    lesion in the last set of predictions.
    """

    def make(
        *names: str,
        protocol: str = "voxel",
        spacing_mm: float | None = 1.0,
        probability: bool = False,
        slices: bool = False,
        cases: Sequence[str] = ("c1", "c2", "c3", "c4"),
    ) -> Contents:
        manner = ScoringConfig(protocol)
        label = 3 if protocol.startswith("brats") else 1
        affine = None if spacing_mm is None or slices else np.diag([spacing_mm] * 3 + [1.0])
        sets = {}
        for place, name in enumerate(names):
            scores = []
            for number, case in enumerate(cases):
                truth = box_mask(2, (4, 4, 2, 0)[number % 4], label)
                last = place == len(names) - 1
                found = (truth, box_mask(4, 4, label), truth * 0, box_mask(8, 3 if last else 0, label))[number % 4]
                chance = np.where(found > 0, np.float32(0.8), np.float32(0.02)) if probability else None
                pair = MaskPair(truth, found, affine, case=case, stack_of_slices=slices, probability=chance)
                scores.append(evaluate_masks(pair, manner))
            sets[name] = FolderScores(summarize(scores, resamples=RESAMPLES), tuple(scores))
        evaluation = Evaluation(
            sets, compare_sets({name: one.scores for name, one in sets.items()}, resamples=RESAMPLES)
        )
        places = {name: Path("/private/place") / name for name in names}
        return evaluation_contents(evaluation, PredictionSets(places, Path("/private/place/truth")), manner)

    return make


@pytest.fixture(scope="session")
def make_scores() -> Callable[..., CaseScores]:
    """Return a function from a case and two masks to its scores, 1 mm voxels."""

    def make(case: str, truth: np.ndarray, prediction: np.ndarray, protocol: str = "voxel") -> CaseScores:
        return evaluate_masks(MaskPair(truth, prediction, np.eye(4), case=case), ScoringConfig(protocol))

    return make


class Outline(HTMLParser):
    """What of a page can be checked without a browser: that tags are balanced, ids, links, sources, words."""

    VOID = frozenset(("meta", "img", "br", "link", "input", "hr"))

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.sources: list[str] = []
        self.alts: list[str] = []
        self.tags: list[str] = []
        self.words: list[str] = []
        self.cells: list[list[str]] = []
        self.feed(html)
        self.close()
        assert self.open == [], "every tag is closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = {name: value or "" for name, value in attrs}
        self.tags.append(tag)
        if tag not in self.VOID:
            self.open.append(tag)
        if "id" in known:
            self.ids.append(known["id"])
        if "href" in known:
            self.links.append(known["href"])
        if "src" in known:
            self.sources.append(known["src"])
        if tag == "img":
            self.alts.append(known.get("alt", ""))
        if tag == "tr":
            self.cells.append([])
        if tag in ("td", "th"):
            self.cells[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, "tags are closed in order"

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("script", "style"):
            return
        self.words.append(data)
        if self.open and self.open[-1] in ("td", "th"):
            self.cells[-1][-1] += data

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


@pytest.fixture(scope="session")
def outline() -> Callable[[str], Outline]:
    """Return a function that reads a page."""
    return Outline
