"""Of two masks of one case the one is scored whose labels are asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from metseg.errors import InputError
from metseg.evaluation import PredictionSets, ScoringConfig, evaluate_sets
from metseg.evaluation.files.duplicate_masks import select_one_mask
from metseg.simulation import BmsrOptions, PhantomOptions, simulate_dataset

FOLDERS = [Path("t/100101A"), Path("t/100102A")]
BMSR = [folder / f"{folder.name}_{what}.nii.gz" for folder in FOLDERS for what in ("BraTS-seg", "seg")]


@pytest.mark.parametrize(
    ("labels", "scored", "left"),
    [
        ("binary", "_seg", "_BraTS-seg"),
        ("brats-met-2023", "_BraTS-seg", "_seg"),
        ("brats-met-2024", "_BraTS-seg", "_seg"),
    ],
)
def test_by_the_labels(labels: str, scored: str, left: str) -> None:
    kept, notes = select_one_mask(BMSR, labels)
    assert kept == [folder / f"{folder.name}{scored}.nii.gz" for folder in FOLDERS]
    assert notes == (f"for labels '{labels}' *{scored}.nii.gz were scored; 2 *{left}.nii.gz beside them were not",)


@pytest.mark.parametrize("labels", ["brats-gli-2023", None])
def test_nothing_is_guessed(labels: str | None) -> None:
    assert select_one_mask(BMSR, labels) == (BMSR, ())


@pytest.mark.parametrize("labels", ["binary", "brats-met-2023"])
def test_a_mask_alone_is_scored_whatever_it_is_called(labels: str) -> None:
    assert select_one_mask(BMSR[:1], labels) == (BMSR[:1], ())


def test_names_that_say_nothing_of_labels_are_left_to_the_pairing() -> None:
    twins = [Path("case-seg.nii.gz"), Path("case_seg.nii.gz")]
    assert select_one_mask(twins, "binary") == (twins, ())


def test_equal_names_in_two_folders_are_two_masks_of_one_name_and_stay() -> None:
    copies = [Path("a/100101A_seg.nii.gz"), Path("b/100101A_seg.nii.gz")]
    assert select_one_mask(copies, "binary") == (copies, ())


@pytest.fixture(scope="module")
def bmsr(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return two simulated examinations, each with both masks."""
    root = tmp_path_factory.mktemp("bmsr") / "data"
    simulate_dataset(root, patients=2, phantom=PhantomOptions(resolution_mm=5), output=BmsrOptions(), workers=1)
    return root


@pytest.mark.parametrize(("protocol", "region"), [("voxel", "lesion"), ("brats-met-2024", "WT")])
def test_a_folder_with_both_is_scored_by_the_labels_of_the_protocol(
    bmsr: Path, tmp_path: Path, protocol: str, region: str
) -> None:
    evaluation = evaluate_sets(
        PredictionSets({"itself": bmsr}, bmsr), ScoringConfig(protocol), out=tmp_path, quiet=True
    )
    summary = evaluation.sets["itself"].summary
    assert summary.cases == 2
    assert summary.regions[region].metrics["dice"].mean == 1.0
    (warning,) = summary.warnings
    scored = "*_seg.nii.gz" if protocol == "voxel" else "*_BraTS-seg.nii.gz"
    assert f"{scored} were scored" in warning


def test_a_folder_with_both_is_refused_where_the_labels_have_no_name(bmsr: Path, tmp_path: Path) -> None:
    from metseg.labels import LABEL_SCHEMES

    own = LABEL_SCHEMES["brats-met-2023"]
    with pytest.raises(InputError, match="two cases have the name '100101A'"):
        evaluate_sets(PredictionSets({"itself": bmsr}, bmsr), ScoringConfig("voxel", own), out=tmp_path, quiet=True)
