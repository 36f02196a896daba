"""Every file of both sides is paired, or named on its own side; what prediction writes pairs with the data set."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from metseg.errors import InputError, MetsegError, UsageError
from metseg.evaluation import ScoringConfig, evaluate_folders, evaluate_pairs
from metseg.evaluation.files.file_matching import match_files
from metseg.inference.input_options import InputOptions
from metseg.io import find_cases
from metseg.io.splits import PartOfSplit, Split
from metseg.recipe import DataPart

Run = Callable[..., tuple[int, str, str]]

MASK = np.zeros((8, 8, 8), dtype=np.uint8)
MASK[2:5, 2:5, 2:5] = 1
EMPTY = np.zeros_like(MASK)

#: As people have them: some with the ending of masks, some without.
MIXED = ("P01", "P02", "P03", "P04_seg", "P05_seg")


def save(path: Path, data: np.ndarray = MASK) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(data, np.eye(4)), path)
    return path


def draw(path: Path, pixels: np.ndarray | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    grey = np.zeros((20, 30), dtype=np.uint8)
    grey[5:9, 3:7] = 255
    Image.fromarray(grey if pixels is None else pixels).save(path)
    return path


@pytest.fixture
def sides(tmp_path: Path) -> tuple[Path, Path]:
    """Five truths and as many predictions, the first three predicted empty."""
    for number, name in enumerate(MIXED):
        save(tmp_path / "truth" / f"{name}.nii.gz")
        save(tmp_path / "predictions" / f"{name}.nii.gz", EMPTY if number < 3 else MASK)
    return tmp_path / "predictions", tmp_path / "truth"


def test_names_with_and_without_the_ending_of_masks_all_count(sides: tuple[Path, Path], tmp_path: Path) -> None:
    summary = evaluate_folders(*sides, out=tmp_path / "out", quiet=True)
    assert summary.cases == 5
    assert summary.regions["lesion"].metrics["dice"].mean == pytest.approx(0.4)
    assert summary.warnings == ()


@pytest.mark.parametrize(
    ("truth", "prediction"),
    [
        ("GOLD_STANDARD_P1", "P1-seg"),
        ("manual_P1", "P1"),
        ("P1_truth", "P1-pred"),
        ("P1_ground_truth", "P1_seg"),
        ("P1-roi", "P1-seg"),
        ("gt/P1", "P1-seg"),
        ("mask_P1", "mask_P1-pred"),
        ("label_P1", "label_P1"),
    ],
)
def test_what_a_mask_is_called_in_front_and_behind(tmp_path: Path, truth: str, prediction: str) -> None:
    save(tmp_path / "truth" / f"{truth}.nii.gz")
    save(tmp_path / "predictions" / f"{prediction}.nii.gz")
    draw(tmp_path / "pictures" / "A" / f"{truth}.png")
    draw(tmp_path / "of pictures" / "A" / f"{prediction}.png")
    assert [pair.case for pair in match_files(tmp_path / "predictions", tmp_path / "truth").cases] == ["P1"]
    assert [pair.case for pair in match_files(tmp_path / "of pictures", tmp_path / "pictures").cases] == ["A"]


def test_a_word_for_masks_may_be_part_of_a_patients_name(tmp_path: Path) -> None:
    volumes(tmp_path / "data", studies("manual_1/", "gold_1/"))
    for case in ("manual_1-seg", "gold_1"):
        save(tmp_path / "P" / f"{case}.nii.gz")
    pairs = match_files(tmp_path / "P", tmp_path / "data")
    assert [pair.case for pair in pairs.cases] == ["gold_1", "manual_1"]


def test_what_only_one_side_has_is_named_on_its_side(sides: tuple[Path, Path]) -> None:
    predictions, truth = sides
    (predictions / "P02.nii.gz").rename(predictions / "P2.nii.gz")
    with pytest.raises(InputError) as caught:
        match_files(predictions, truth)
    assert "no prediction for 1 of 5 truths: P02" in caught.value.what
    assert "no truth for 1 of 5 predictions: P2" in caught.value.what
    assert caught.value.code == "input.missing_prediction"
    (truth / "P02.nii.gz").unlink()
    with pytest.raises(InputError, match="no truth for 1 of 5 predictions: P2") as caught:
        match_files(predictions, truth)
    assert caught.value.code == "input.missing_truth"


@pytest.mark.parametrize(("missing", "cases", "dice"), [("empty", 5, 0.2), ("skip", 4, 0.25)])
def test_what_is_done_about_it(sides: tuple[Path, Path], tmp_path: Path, missing: str, cases: int, dice: float) -> None:
    predictions, truth = sides
    (predictions / "P05_seg.nii.gz").rename(predictions / "P5_seg.nii.gz")
    pairs = match_files(predictions, truth, missing=missing)
    assert any("P05" in warning and "without a prediction" in warning for warning in pairs.warnings)
    assert any("1 prediction without a truth left out: P5" in warning for warning in pairs.warnings)
    summary = evaluate_pairs(pairs, ScoringConfig(), out=tmp_path / "out", quiet=True)
    assert (summary.cases, summary.regions["lesion"].metrics["dice"].mean) == (cases, pytest.approx(dice))


def test_no_other_way() -> None:
    with pytest.raises(UsageError, match="unknown way to handle missing files"):
        match_files(Path(), Path(), missing="ignore")


def test_the_command(sides: tuple[Path, Path], tmp_path: Path, run_metseg: Run) -> None:
    predictions, truth = sides
    (predictions / "P02.nii.gz").unlink()
    command = ("evaluate", "--predictions", predictions, "--truth", truth, "--out", tmp_path / "out", "--no-report")
    status, _, err = run_metseg(*command, "--json")
    assert (status, "P02" in err, "--missing empty" in err) == (3, True, True)
    assert run_metseg(*command, "--missing", "nothing")[0] == 2
    status, out, _ = run_metseg(*command, "--json", "--missing", "skip")
    assert (status, json.loads(out)["cases"]) == (0, 4)


@pytest.mark.parametrize(
    "image", ["P04.nii.gz", "P04-t1c.nii.gz", "P04_0000.nii.gz", "images/P04.nii.gz", "flair.nii.gz"]
)
def test_images_among_masks_are_none(sides: tuple[Path, Path], image: str) -> None:
    predictions, truth = sides
    for name in MIXED[:3]:
        (truth / f"{name}.nii.gz").rename(truth / f"{name}-seg.nii.gz")
    save(truth / image, EMPTY)
    pairs = match_files(predictions, truth)
    assert [pair.case for pair in pairs.cases] == ["P01", "P02", "P03", "P04", "P05"]
    assert all("seg" in pair.truth[0].name for pair in pairs.cases)


def test_where_images_lie_beside_masks_a_file_without_a_mask_is_an_image(sides: tuple[Path, Path]) -> None:
    predictions, truth = sides
    save(truth / "P04.nii.gz", EMPTY)
    with pytest.raises(InputError, match=r"no truth for 3 of 5 predictions: P01, P02, P03"):
        match_files(predictions, truth)
    pairs = match_files(predictions, truth, missing="skip")
    assert any("3 files without a matching mask, read as images: P01" in warning for warning in pairs.warnings)


def test_numbered_cases_are_cases(tmp_path: Path) -> None:
    for side in ("truth", "predictions"):
        save(tmp_path / side / "P1_seg.nii.gz")
        save(tmp_path / side / "P1_2.nii.gz")
    pairs = match_files(tmp_path / "predictions", tmp_path / "truth")
    assert [pair.case for pair in pairs.cases] == ["P1", "P1_2"]


def test_what_is_not_read_is_named(sides: tuple[Path, Path]) -> None:
    predictions, truth = sides
    for folder in sides:
        for ending in (".nrrd", ".mnc", ".npz"):
            (folder / f"P06{ending}").write_bytes(b"")
        draw(folder / "preview.png")
    draw(predictions / "P01-overlay.png")
    warnings = " ".join(match_files(predictions, truth).warnings)
    assert (
        warnings.count("P06.nrrd")
        == warnings.count("P06.mnc")
        == warnings.count("P06.npz")
        == warnings.count("preview.png")
        == 2
    )
    assert "overlay" not in warnings
    draw(truth / "P07_mask.png")
    with pytest.raises(InputError, match=r"volumes and pictures.*P07_mask.png"):
        match_files(predictions, truth)


def test_results_inside_the_data_set_are_no_truth(tmp_path: Path) -> None:
    for number in (1, 2):
        draw(tmp_path / "A" / f"{number}.png")
        draw(tmp_path / "A" / f"{number}_mask.png")
        draw(tmp_path / "results" / "A" / f"{number}_mask.png")
    (pair,) = match_files(tmp_path / "results", tmp_path).cases
    assert [path.parent.parent.name for path in pair.prediction if path] == ["results", "results"]


# --- data sets and predictions of them


def volumes(root: Path, files: dict[str, str]) -> None:
    """Write files that are images or masks by their names; a mask has one voxel more for each file."""
    for number, (place, kind) in enumerate(files.items()):
        data = MASK.copy() if kind == "mask" else np.full(MASK.shape, 7, dtype=np.int16)
        if kind == "mask":
            data[7, 7, : number % 7] = 1
        save(root / place, data)


def studies(*folders: str) -> dict[str, str]:
    """Return folders, or beginnings of names in them, with one image and its mask each."""
    return {f"{start}{name}.nii.gz": kind for start in folders for name, kind in (("t1c", "image"), ("seg", "mask"))}


DATA_SETS = {
    "study below sites": studies("siteA/p1/", "siteB/p1/", "siteB/p2/"),
    "study dated": studies("P01_20190101/", "P01_20200203/", "P02_20190101/"),
    "study dates in names": studies("P01/P01_2019_", "P01/P01_2020_", "P02/"),
    "study": {
        f"{folder}/{name}.nii.gz": kind
        for folder in ("ann/2019", "ann/2020", "ben")
        for name, kind in (("T1_AX_POST_GAD", "image"), ("ax_flair", "image"), ("adc", "image"), ("tumour_seg", "mask"))
    },
    "brats_2015": {
        f"brats_x_pat{n}_1/{name}.nii.gz": kind
        for n in (1, 2)
        for name, kind in (("T1c_subtrMeanDivStd", "image"), ("OTMultiClass", "mask"), ("brainmask", "image"))
    },
    "brats_2018": {
        "HGG/BraTS20_Training_355/BraTS20_Training_355_t1ce.nii.gz": "image",
        "HGG/BraTS20_Training_355/W39_1998.09.19_Segm.nii.gz": "mask",
        "HGG/BraTS20_Training_001/BraTS20_Training_001_t1ce.nii.gz": "image",
        "HGG/BraTS20_Training_001/BraTS20_Training_001_seg.nii.gz": "mask",
    },
    "bids": {
        place: kind
        for s in ("sub-01", "sub-02")
        for place, kind in (
            (f"{s}/ses-1/anat/{s}_ses-1_FLAIR.nii.gz", "image"),
            (f"derivatives/x/{s}/ses-1/anat/{s}_ses-1_label-lesion_mask.nii.gz", "mask"),
        )
    },
    "nnunet": {
        place: kind
        for case in ("c1", "c2")
        for place, kind in ((f"imagesTr/{case}_0000.nii.gz", "image"), (f"labelsTr/{case}.nii.gz", "mask"))
    },
    "decathlon": {
        place: kind
        for case in ("BRATS_001", "BRATS_002")
        for place, kind in ((f"imagesTr/{case}.nii.gz", "image"), (f"labelsTr/{case}.nii.gz", "mask"))
    },
}


@pytest.mark.parametrize("layout", DATA_SETS)
def test_a_data_set_pairs_with_what_is_called_as_prediction_calls_it(layout: str, tmp_path: Path) -> None:
    root, results = tmp_path / "data", tmp_path / "P"
    volumes(root, DATA_SETS[layout])
    sources = find_cases(root, channels=("t2f",))
    for source in sources:
        save(results / f"{source.case_id}-seg.nii.gz", np.asarray(nib.load(source.mask).dataobj))
    pairs = match_files(results, root)
    assert [(pair.case, pair.patient) for pair in pairs.cases] == [(s.case_id, s.patient) for s in sources]
    assert [pair.truth for pair in pairs.cases] == [(source.mask,) for source in sources]
    summary = evaluate_pairs(pairs, ScoringConfig(), out=tmp_path / "out", quiet=True)
    assert summary.regions["lesion"].metrics["dice"].mean == 1.0


def test_dates_in_names_of_masks_alone_are_one_patients(tmp_path: Path) -> None:
    for side in ("truth", "predictions"):
        for case in ("P01_20190101", "P01_20200203", "P02_20190101"):
            save(tmp_path / side / f"{case}-seg.nii.gz")
    pairs = match_files(
        tmp_path / "predictions", tmp_path / "truth", part=part("test", Split(train=("P02",), test=("P01",)))
    )
    assert [(pair.case, pair.patient) for pair in pairs.cases] == [("P01_20190101", "P01"), ("P01_20200203", "P01")]
    assert any("P01_20190101, P01_20200203 are 'P01'" in warning for warning in pairs.warnings)


def test_patients_are_called_alike_beside_a_study_without_a_mask_and_one_without_names(tmp_path: Path) -> None:
    """The names of all folders count, not of those with masks alone; one odd folder changes nothing."""
    volumes(tmp_path / "data", studies("siteA/p1/", "siteB/p1/"))
    (tmp_path / "data" / "siteB" / "p1" / "seg.nii.gz").unlink()
    save(tmp_path / "P" / "siteA_p1-seg.nii.gz")
    assert [pair.patient for pair in match_files(tmp_path / "P", tmp_path / "data").cases] == ["siteA_p1"]
    for name in ("x1", "x2", "x3_mask"):
        save(tmp_path / "data" / "odd" / f"{name}.nii.gz")
    pairs = match_files(tmp_path / "P", tmp_path / "data", missing="skip")
    assert [pair.patient for pair in pairs.cases] == ["siteA_p1"]


def test_studies_of_which_nobody_says_whose_they_are(tmp_path: Path) -> None:
    """Training asks; here each counts as a patient, with a warning, and a pattern says better."""
    volumes(tmp_path / "data", studies("ann/left/", "ann/right/", "ben/left/"))
    for case in ("ann_left", "ann_right", "ben_left"):
        save(tmp_path / "P" / f"{case}-seg.nii.gz")
    sides = tmp_path / "P", tmp_path / "data"
    pairs = match_files(*sides)
    assert len({pair.patient for pair in pairs.cases}) == 3
    assert any("the patients of the studies are not known" in warning for warning in pairs.warnings)
    pairs = match_files(*sides, patient_pattern="^([^/]+)/")
    assert [pair.patient for pair in pairs.cases] == ["ann", "ann", "ben"]
    assert pairs.warnings == ()


def test_cases_that_a_data_set_keeps_without_masks_are_no_error(tmp_path: Path) -> None:
    volumes(tmp_path / "data", DATA_SETS["nnunet"] | {"imagesTs/new_0000.nii.gz": "image"})
    for case in ("c1", "c2", "new"):
        save(tmp_path / "P" / f"{case}-seg.nii.gz")
    pairs = match_files(tmp_path / "P", tmp_path / "data")
    assert [pair.case for pair in pairs.cases] == ["c1", "c2"]
    assert any(
        "1 prediction of cases without a mask in the data set left out: new" in warning for warning in pairs.warnings
    )


@pytest.fixture
def slices(tmp_path: Path) -> Path:
    """Return a data set of two patients with two slices each, their truth all that is bright."""
    for patient in ("A", "B"):
        for number in (1, 2):
            pixels = np.zeros((20, 30), dtype=np.uint8)
            pixels[4 : 8 + number, 4:9] = 200
            draw(tmp_path / "data" / patient / f"{number}.png", pixels)
            draw(tmp_path / "data" / patient / f"{number}_mask.png", np.where(pixels > 0, 255, 0).astype(np.uint8))
    return tmp_path / "data"


def test_images_and_masks_in_two_folders(tmp_path: Path) -> None:
    for patient in ("A", "B"):
        for number in (1, 2):
            draw(tmp_path / "data" / "images" / patient / f"{number}.png")
            draw(tmp_path / "data" / "masks" / patient / f"{number}.png")
            draw(tmp_path / "P" / "images" / patient / f"{number}_mask.png")
    pairs = match_files(tmp_path / "P", tmp_path / "data")
    assert [(pair.case, pair.patient, len(pair.truth)) for pair in pairs.cases] == [("A", "A", 2), ("B", "B", 2)]
    assert all("masks" in str(path) for pair in pairs.cases for path in pair.truth)


# --- parts of a split

FLAIR = DataPart(channels=("t2f",))


def part(name: str, split: Split, fold: int | None = None) -> PartOfSplit:
    return PartOfSplit(split, name, fold, Path("split.json"))


SPLIT = Split(train=("P01", "P02"), validation=("P03",), test=("P04", "P05"))


def test_a_part_is_scored_alone(sides: tuple[Path, Path], tmp_path: Path) -> None:
    pairs = match_files(*sides, part=part("test", SPLIT))
    assert [pair.case for pair in pairs.cases] == ["P04", "P05"]
    assert pairs.warnings == ("scored: part 'test' of split.json: 2 patients; left out: 3 masks of others",)
    predictions, truth = sides
    (predictions / "P01.nii.gz").unlink()  # of another part: not missed
    (truth / "P02.nii.gz").unlink()
    assert len(match_files(*sides, part=part("test", SPLIT)).cases) == 2
    (predictions / "P05_seg.nii.gz").unlink()
    with pytest.raises(InputError, match="no prediction for 1 of 2 truths: P05"):
        match_files(*sides, part=part("test", SPLIT))
    (truth / "P05_seg.nii.gz").unlink()
    with pytest.raises(InputError, match="no truth for 1 of 2 patients of the part 'test'") as caught:
        match_files(*sides, part=part("test", SPLIT))
    assert caught.value.code == "input.split"
    assert len(match_files(*sides, part=part("test", SPLIT), missing="skip").cases) == 1


def test_folds_and_wrong_parts(sides: tuple[Path, Path]) -> None:
    folded = Split(train=("P01", "P02", "P03"), test=("P04", "P05"), folds=(("P01",), ("P02", "P03")))
    assert [pair.case for pair in match_files(*sides, part=part("validation", folded, 1)).cases] == ["P02", "P03"]
    assert [pair.case for pair in match_files(*sides, part=part("train", folded, 1)).cases] == ["P01"]
    assert [pair.case for pair in match_files(*sides, part=part("test", folded)).cases] == ["P04", "P05"]
    for wrong in (("validation", folded, None), ("tset", folded, None), ("train", folded, 2)):
        with pytest.raises(UsageError):
            part(wrong[0], wrong[1], wrong[2])
    with pytest.raises(InputError, match="the part 'test' is empty"):
        part("test", Split(train=("P01",)))


def test_a_part_of_a_split_by_slice(slices: Path, tmp_path: Path) -> None:
    split = Split(by="slice", train=("A/1", "B/1"), test=("A/2", "B/2"))
    pairs = match_files(slices, slices, part=part("test", split))
    assert [[path.name for path in pair.truth] for pair in pairs.cases] == [["2_mask.png"], ["2_mask.png"]]
    sources = InputOptions(part=part("test", split)).sources([slices], FLAIR, tmp_path / "P")
    assert [name for source in sources for name in source.slice_names] == ["A/2", "B/2"]


def test_prediction_of_a_part_pairs_with_the_part(slices: Path, tmp_path: Path) -> None:
    told: list[str] = []
    split = Split(train=("A",), test=("B", "C"))
    sources = InputOptions(part=part("test", split), tell=told.append).sources([slices], FLAIR, tmp_path)
    assert [(source.case_id, source.patient) for source in sources] == [("B", "B")]
    assert told == [
        "predicted on: part 'test' of split.json: 2 patients",
        "not under the inputs: 1 of its 2 patients: C",
    ]
    with pytest.raises(InputError, match="the inputs hold no patient of the part"):
        InputOptions(part=part("test", Split(train=("A",), test=("C",)))).sources([slices], FLAIR, tmp_path)
    with pytest.raises(UsageError, match="the input is a file"):
        InputOptions(part=part("test", split)).sources([slices / "B" / "1.png"], FLAIR, tmp_path)


@pytest.mark.parametrize("kind", ["pictures", "studies in one folder", "studies below sites"])
def test_a_table_of_patients_leads_from_split_to_evaluation(tmp_path: Path, run_metseg: Run, kind: str) -> None:
    """Files say nothing of patients: the table alone has ann and ben, each of two files."""
    root, table, results = tmp_path / "data", tmp_path / "table.csv", tmp_path / "P"
    whose = {"1": "ann", "2": "ben", "3": "ann", "4": "ben"}
    if kind == "pictures":
        for number in whose:
            draw(root / f"{number}.png")
            draw(root / f"{number}_mask.png")
    elif kind == "studies in one folder":
        whose = {f"x{number}": patient for number, patient in whose.items()}
        volumes(root, studies(*(f"{study}_" for study in whose)))
    else:
        whose = {f"{site}/x{number}": patient for site, (number, patient) in zip("ABCD", whose.items(), strict=True)}
        volumes(root, studies(*(f"{study}/" for study in whose)))
    table.write_text("\n".join(["file,patient", *(f"{name},{patient}" for name, patient in whose.items())]), "utf-8")
    status, _, err = run_metseg(
        "split", root, "--patients", table, "--out", tmp_path / "s.json", "--test", 0.5, "--validation", 0
    )
    assert status == 0, err
    split = Split.load(tmp_path / "s.json")
    assert {*split.train, *split.test} == {"ann", "ben"}
    (tested,) = split.test
    test = PartOfSplit(split, "test", path=tmp_path / "s.json")
    trained_on = DataPart(channels=("t1c",), patients=str(table))
    sources = InputOptions(part=test).sources([root], trained_on, results)
    assert {source.patient for source in sources} == {tested}
    told = InputOptions(part=test, patients=str(table)).sources([root], DataPart(channels=("t1c",)), results)
    assert [source.case_id for source in told] == [source.case_id for source in sources]
    if kind == "pictures":
        names = [name for source in sources for name in source.slice_names]
        for name in names:
            draw(results / f"{name}_mask.png")
    else:
        names = [source.case_id for source in sources]
        for name in names:
            save(results / f"{name}-seg.nii.gz")
    assert len(names) == 2
    command = ("evaluate", "--predictions", results, "--truth", root, "--split", tmp_path / "s.json", "--part", "test")
    status, out, err = run_metseg(
        *command, "--patients", table, "--out", tmp_path / "out", "--no-report", "--json", "--jobs", 1
    )
    assert status == 0, err
    assert json.loads(out)["patients"] == 1
    status, _, err = run_metseg(*command, "--out", tmp_path / "out", "--no-report")
    assert status == 3
    with pytest.raises(UsageError, match="both a pattern and a table"):
        match_files(results, root, patients=str(table), patient_pattern="(.)")


@pytest.mark.parametrize("pattern", [None, "^([^/]+)", "([^/]+)$"])
@pytest.mark.parametrize(
    ("layout", "folders"),
    [
        ("study", ("ann", "ben")),
        ("study below sites", ("siteA", "siteB")),
        ("study below sites", ("siteA/p1", "siteB/p1", "siteB/p2")),
        ("study dated", ("P01_20190101", "P01_20200203", "P02_20190101")),
        ("study dates in names", ("P01", "P02")),
    ],
)
def test_studies_given_one_by_one_are_called_as_in_the_whole(
    tmp_path: Path, layout: str, folders: tuple[str, ...], pattern: str | None
) -> None:
    volumes(tmp_path / "data", DATA_SETS[layout])
    reading = InputOptions(pattern)
    whole = reading.sources([tmp_path / "data"], FLAIR, tmp_path / "P")
    parts = reading.sources([tmp_path / "data" / folder for folder in folders], FLAIR, tmp_path / "P")
    assert [(s.case_id, s.patient) for s in parts] == [(s.case_id, s.patient) for s in whole]
    if layout == "study below sites" and pattern is None:
        assert [(s.case_id, s.patient) for s in parts][-1] == ("siteB_p2", "p2")
    test = part("test", Split(train=("somebody",), test=(whole[-1].patient,)))
    (*_, last) = InputOptions(pattern, part=test).sources(
        [tmp_path / "data" / folder for folder in folders], FLAIR, tmp_path / "P"
    )
    assert last.case_id == whole[-1].case_id


def test_a_pattern_sees_the_folders_of_pictures_given_one_by_one(slices: Path, tmp_path: Path) -> None:
    sources = InputOptions("^([^/]+)/").sources([slices / "A", slices / "B"], FLAIR, tmp_path / "P")
    assert [(source.case_id, source.patient) for source in sources] == [("A", "A"), ("B", "B")]


# --- labels that a table beside the masks names


@pytest.mark.parametrize(
    ("labels", "values"),
    [
        ({"background": 0, "WT": [1, 2, 3], "TC": [2, 3], "ET": [3]}, (1, 2, 3)),
        ({"background": 0, "ET": 1, "ED": 2, "NCR": 3}, (2, 3, 1)),
        (
            {
                "background": 0,
                "peritumoral edematous/invaded tissue": 1,
                "necrotic tumor core": 2,
                "GD-enhancing tumor": 3,
            },
            (1, 2, 3),
        ),
    ],
)
@pytest.mark.parametrize("side", ["truth", "predictions"])
def test_a_table_beside_masks_names_their_labels(
    tmp_path: Path, labels: dict[str, object], values: tuple[int, int, int], side: str
) -> None:
    """WT 1520, TC 216 and ET 8 voxels on both sides, in the numbers of the table on one of them."""
    for folder, numbers in (("truth", values), ("predictions", (2, 1, 3))):
        if side == "predictions":
            numbers = values if folder == side else (2, 1, 3)
        mask = np.zeros(4000, dtype=np.uint8)
        for value, first, last in zip(numbers, (0, 1304, 1512), (1304, 1512, 1520), strict=True):
            mask[first:last] = value
        save(tmp_path / folder / "c1.nii.gz", mask.reshape(20, 20, 10))
    (tmp_path / side / "dataset.json").write_text(json.dumps({"labels": labels}), "utf-8")
    summary = evaluate_folders(
        tmp_path / "predictions",
        tmp_path / "truth",
        out=tmp_path / "out",
        manner=ScoringConfig("voxel", "brats-gli-2023"),
        quiet=True,
    )
    for region, voxels in (("WT", 1520), ("TC", 216), ("ET", 8)):
        metrics = summary.regions[region].metrics
        assert metrics["dice"].mean == 1.0
        assert metrics["truth_volume_mm3"].mean == metrics["predicted_volume_mm3"].mean == pytest.approx(voxels)


def test_a_table_that_contradicts_is_refused_or_named(tmp_path: Path) -> None:
    for folder in ("truth", "predictions"):
        save(tmp_path / folder / "c1.nii.gz", np.minimum(MASK, 1))
    (tmp_path / "truth" / "dataset.json").write_text('{"labels": {"background": 0, "Anterior": 1, "Post": 2}}', "utf-8")
    sides = tmp_path / "predictions", tmp_path / "truth"
    with pytest.raises(MetsegError, match="unknown class 'Anterior'"):
        evaluate_folders(*sides, out=tmp_path / "out", manner=ScoringConfig("voxel", "brats-gli-2023"), quiet=True)
    manner = ScoringConfig("voxel", "brats-gli-2023", truth_labels="brats-gli-2023")
    summary = evaluate_folders(*sides, out=tmp_path / "out", manner=manner, quiet=True)
    assert any("Anterior" in warning for warning in summary.warnings)


def document(path: Path, labels: str, slices: tuple[str, ...] = ()) -> None:
    """Write what of a prediction's document says which labels its masks have."""
    path.write_text(
        json.dumps({"case": path.stem, "model": "m", "slices": slices, "technique": {"labels": labels}}), "utf-8"
    )


def test_masks_are_scored_by_the_labels_that_their_document_states(tmp_path: Path) -> None:
    """The same tissue everywhere, numbered by BraTS 2021 in the predictions and by BraTS 2023 in the truth."""
    for folder, enhancing in (("truth", 3), ("predictions", 4)):
        save(tmp_path / folder / "c1-seg.nii.gz", np.minimum(MASK, 1) * np.uint8(enhancing))
    sides = tmp_path / "predictions", tmp_path / "truth"
    document(tmp_path / "predictions" / "c1.json", "brats-gli-2021")
    summary = evaluate_folders(
        *sides, out=tmp_path / "out", manner=ScoringConfig("voxel", "brats-gli-2023"), quiet=True
    )
    assert summary.regions["ET"].metrics["dice"].mean == 1.0
    pair = match_files(sides[0] / "c1-seg.nii.gz", sides[1] / "c1-seg.nii.gz").cases[0]
    assert pair.prediction_labels is not None
    assert (pair.prediction_labels.schemes(), pair.truth_labels) == (("brats-gli-2021",), None)


def test_a_prediction_of_fewer_classes_than_are_scored_is_refused(tmp_path: Path) -> None:
    for folder in ("truth", "predictions"):
        save(tmp_path / folder / "c1-seg.nii.gz", np.minimum(MASK, 1))
    sides = tmp_path / "predictions", tmp_path / "truth"
    document(tmp_path / "predictions" / "c1.json", "binary")
    (tmp_path / "predictions" / "notes.json").write_text("[1", "utf-8")  # another file is none of our documents
    with pytest.raises(MetsegError, match=r"c1\.json: 'lesion' is not one of the requested classes"):
        evaluate_folders(*sides, out=tmp_path / "out", manner=ScoringConfig("voxel", "brats-gli-2023"), quiet=True)
    summary = evaluate_folders(*sides, out=tmp_path / "out", quiet=True)
    assert summary.regions["lesion"].metrics["dice"].mean == 1.0


def test_the_document_of_pictures_lies_in_the_root(tmp_path: Path) -> None:
    for folder in ("truth", "predictions"):
        for name in ("1", "2"):
            draw(tmp_path / folder / "A" / f"{name}_mask.png")
    document(tmp_path / "predictions" / "A.json", "brats-met-2023", ("A/1", "A/2"))
    (pair,) = match_files(tmp_path / "predictions", tmp_path / "truth").cases
    assert pair.prediction_labels is not None
    assert pair.prediction_labels.schemes() == ("brats-met-2023", "brats-gli-2023")
