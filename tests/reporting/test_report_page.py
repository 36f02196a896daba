"""A report has every section whatever the data lack, and says what is lacking."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from metseg.disclaimer import NOTICE
from metseg.evaluation import Interval
from metseg.evaluation.lesions.detection import Froc, FrocPoint
from metseg.evaluation.statistics.inter_rater import AgainstReaders, compare_with_readers
from metseg.reporting.report_data import Contents
from metseg.reporting.report_page import OURS, write_report
from metseg.reporting.sections.froc import _curve

SECTIONS = [
    "summary",
    "results",
    "tests",
    "distribution",
    "detection",
    "froc",
    "volumes",
    "calibration",
    "worst",
    "cases",
    "method",
]


@pytest.fixture(scope="module")
def full(make_contents: Callable[..., Contents], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a report on two sets of predictions with probabilities, one of them called like a tag."""
    out = tmp_path_factory.mktemp("full")
    contents = make_contents("steady", "swift", protocol="brats-met-2023", probability=True)
    write_report(contents, out)
    return out


@pytest.fixture(scope="module")
def read(full: Path, outline: Callable[[str], Any]) -> Any:
    return outline((full / "report.html").read_text("utf-8"))


def test_every_section_is_there_and_is_led_to(read: Any) -> None:
    assert read.ids == SECTIONS
    assert read.links == [f"#{name}" for name in SECTIONS[1:]]


def test_each_class_has_its_own_dice(full: Path, make_contents: Callable[..., Contents], tmp_path: Path) -> None:
    page = (full / "report.html").read_text("utf-8")
    for text in (
        "each class alone",
        "NETC, Dice",
        "SNFH, IoU",
        "ET, Dice",
        "mean over classes, background included, IoU",
    ):
        assert text in page
    write_report(make_contents("steady", protocol="voxel"), tmp_path)
    assert "each class alone" not in (tmp_path / "report.html").read_text("utf-8")


def test_every_section_is_explained_in_the_docs(full: Path) -> None:
    titles = re.findall("<h2>(.*?)</h2>", (full / "report.html").read_text("utf-8"))
    assert len(titles) == len(SECTIONS) - 1
    explained = (Path(__file__).parents[2] / "docs" / "report.md").read_text("utf-8")
    assert [title for title in titles if f"| {title} |" not in explained] == []


def test_it_needs_nothing_else_and_tells_no_path(full: Path, read: Any) -> None:
    html = (full / "report.html").read_text("utf-8")
    assert all(source.startswith("data:image/svg+xml;base64,") for source in read.sources)
    assert "://" not in html
    assert "/private/place" not in html
    assert NOTICE in read.text


def test_figures_lie_beside_it_as_svg_and_png(full: Path, read: Any) -> None:
    drawn = sorted(path.stem for path in (full / "figures").glob("*.svg"))
    assert len(read.sources) == len(drawn)
    assert {"froc", "bland_altman", "sensitivity_by_size", "reliability_voxels", "reliability_lesions_1"} <= set(drawn)
    assert {"distribution_dice", "distribution_lesionwise_dice", "distribution_hd95_mm"} <= set(drawn)
    assert sorted(path.stem for path in (full / "figures").glob("*.png")) == drawn
    for path in (full / "figures").glob("*.png"):
        with Image.open(path) as picture:
            assert picture.info["dpi"] == pytest.approx((300, 300), abs=1)
    assert all(any(Path(name).match(pattern) for pattern in OURS) for name in drawn), "an old one is known as ours"


def test_names_are_shown_as_they_are_written(read: Any) -> None:
    assert "b" not in read.tags
    assert ["figure", "steady", "swift"] in read.cells


def test_tests_are_told_in_words(read: Any) -> None:
    text = read.text
    assert "steady" in text
    # what is shown of several regions alike is said once
    assert re.search(r"Lesion-wise Dice: (WT, TC, ET: [^.:]*|(\w+(, \w+)?: [^.:]*\. )+\w+: [^.:]*) Lesions found", text)
    assert "called better only where the interval excludes 0" in text


def test_what_the_sets_have_in_common_gives_no_difference(
    make_contents: Callable[..., Contents], outline: Callable[[str], Any], tmp_path: Path
) -> None:
    contents = make_contents("first", "second", cases=("c1", "c2", "c3"))  # the sets differ in the fourth case only
    text = outline(write_report(contents, tmp_path).read_text("utf-8")).text
    assert "lesion, Dice: no difference shown" in text
    assert "is better than" not in text


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "There are no probabilities"),
        ({"spacing_mm": None}, "The data have no voxel size"),
        ({"spacing_mm": None, "slices": True}, "Dice on positive slices"),
        ({"spacing_mm": None, "slices": True}, "lesions are counted in each slice"),
        ({"cases": ("c1",)}, "There is only one set of predictions"),
        ({"protocol": "brats-met-2024", "probability": True}, "at most 2 mm³ are not scored"),
    ],
)
def test_every_combination_can_be_reported(
    make_contents: Callable[..., Contents],
    outline: Callable[[str], Any],
    tmp_path: Path,
    options: dict[str, Any],
    said: str,
) -> None:
    read = outline(write_report(make_contents("one", **options), tmp_path).read_text("utf-8"))
    assert read.ids == SECTIONS
    assert said in read.text
    assert ("lesions are counted in each slice" in read.text) == options.get("slices", False)
    assert "nan" not in re.findall(r"[a-z]+", read.text.lower())


def test_a_set_without_any_lesion_can_be_reported(
    make_scores: Callable[..., Any], outline: Callable[[str], Any], tmp_path: Path
) -> None:
    import numpy as np

    from metseg.evaluation import ScoringConfig, summarize
    from metseg.reporting.report_data import Scored

    nothing = np.zeros((4, 4, 4), np.uint8)
    scores = (make_scores("a", nothing, nothing), make_scores("b", nothing, nothing))
    contents = Contents("t", (), ScoringConfig(), (Scored("one", summarize(scores, resamples=20), scores),))
    read = outline(write_report(contents, tmp_path).read_text("utf-8"))
    assert "No case has an error." in read.text
    assert "the truth has no lesion" in read.text
    assert ["Cases empty in truth and prediction", "2"] in read.cells


def test_two_readers_have_a_section(
    make_contents: Callable[..., Contents], outline: Callable[[str], Any], tmp_path: Path
) -> None:
    contents = make_contents("one")
    scores = contents.scored[0].scores
    # With either reader the model agrees exactly as these agree with each other.
    beside = compare_with_readers(scores, {"one": AgainstReaders(scores, scores)})
    read = outline(write_report(replace(contents, readers=beside), tmp_path).read_text("utf-8"))
    assert read.ids == [*SECTIONS[:8], "readers", *SECTIONS[8:]]
    row = next(row for row in read.cells if row[:3] == ["lesion", "Dice", "one"])
    assert (row[3], row[-1]) == (row[4], "no difference shown (4 patients, at least 6 are needed)")
    assert ["lesion", "2", "1", "1"] in read.cells  # found both times, missed once, false once
    assert "Comparison with human readers" in read.text


def test_figures_of_an_earlier_report_go_and_others_stay(
    make_contents: Callable[..., Contents], tmp_path: Path
) -> None:
    figures = tmp_path / "figures"
    figures.mkdir()
    for name in ("froc.svg", "worst_1_3.png", "mine.png", "froc_notes.svg", "data.csv"):
        (figures / name).write_text("old", "utf-8")
    write_report(make_contents("one"), tmp_path)
    left = {path.name for path in figures.iterdir()}
    assert {"mine.png", "froc_notes.svg", "data.csv", "bland_altman.svg"} <= left
    assert not {"froc.svg", "worst_1_3.png"} & left


def test_the_worst_case_comes_first_in_the_table(
    make_contents: Callable[..., Contents], outline: Callable[[str], Any], tmp_path: Path
) -> None:
    read = outline(write_report(make_contents("one"), tmp_path).read_text("utf-8"))
    titles = next(place for place, row in enumerate(read.cells) if row[:2] == ["case", "region"])
    rows = read.cells[titles + 1 : titles + 5]
    assert [row[0] for row in rows] == ["c3", "c4", "c2", "c1"]  # missed, false, half, exact
    assert rows[0][read.cells[titles].index("Dice")] == "0.000"
    assert rows[3][read.cells[titles].index("Volume, truth (mm³)")] == "64"


@pytest.mark.parametrize(("cases", "told"), [(4, True), (20, False), (1, False)])
def test_few_patients_are_told_of(
    make_contents: Callable[..., Contents], outline: Callable[[str], Any], tmp_path: Path, cases: int, told: bool
) -> None:
    contents = make_contents("one", cases=[f"c{number}" for number in range(cases)])
    read = outline(write_report(contents, tmp_path).read_text("utf-8"))
    assert (f"fewer than 20 patients (here {cases}) are too narrow" in read.text) is told


def test_points_of_the_reliability_curves_are_a_folded_table(full: Path, read: Any) -> None:
    assert read.tags.count("details") == 4  # of voxels, and of the lesions of three regions
    heads = ["predictions", "bin", "voxels", "patients", "mean predicted probability", "observed share of lesion"]
    first = read.cells.index(heads) + 1
    bins = [
        row for row in takewhile(lambda row: row[0] in ("steady", "swift"), read.cells[first:]) if row[0] == "steady"
    ]
    assert [row[1] for row in bins] == ["0.01 to 0.1", "0.8 to 0.9"]  # every voxel has 0.02 or 0.8
    assert sum(int(row[2].replace(",", "")) for row in bins) == 4 * 16 * 16 * 8
    assert [row[3] for row in bins] == ["4", "2"]  # of the third and fourth patient nothing was marked
    assert bins[1][4] == "0.800"
    assert "(" in bins[1][5]


def test_a_region_of_which_there_is_nothing_has_no_volumes(
    make_contents: Callable[..., Contents], outline: Callable[[str], Any], tmp_path: Path
) -> None:
    read = outline(write_report(make_contents("one", protocol="brats-met-2024"), tmp_path).read_text("utf-8"))
    assert "Not shown (empty in every case): RC." in read.text
    titles = read.cells.index(
        ["region", "predictions", "of", "in", "n", "bias", "lower limit", "upper limit", "concordance"]
    )
    rows = [row for row in read.cells[titles + 1 :] if len(row) == 9 and row[2] in ("cases", "found lesions")]
    assert {(row[0], row[2], row[3]) for row in rows} == {
        (region, of, unit) for region in ("WT", "TC", "ET") for of in ("cases", "found lesions") for unit in ("mL", "%")
    }


def test_the_froc_line_has_only_thresholds_that_no_other_beats() -> None:
    """From the lowest threshold on: one flooded piece, all found at many false ones, less for more, the rest."""
    of_points = [(1.0, 0.0), (4.0, 0.9), (3.0, 0.9), (5.0, 0.5), (2.0, 0.7), (0.0, 0.3), (0.0, 0.2)]
    points = tuple(
        FrocPoint(0.1 * place, Interval(share, None, None, 3), Interval(rate, None, None, 3))
        for place, (rate, share) in enumerate(of_points)
    )
    curve = _curve(Froc(10, points, None), None)
    assert curve is not None
    assert list(curve.false_positives) == [0.0, 2.0, 3.0]
    assert [share.value for share in curve.sensitivity] == [0.3, 0.7, 0.9]
