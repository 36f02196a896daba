"""Every layout of volumes finds its studies on a tiny tree, with patients, timepoints, sequences and labels."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from metseg.errors import InputError, UsageError
from metseg.io import LAYOUTS, InputRules, VolumeSource, find_cases, find_inputs, make_split
from metseg.io.case_discovery import find
from metseg.io.layouts import slice_layouts
from metseg.recipe import SplitPart, load_recipe
from metseg.training.data import read_sources
from metseg.volume import BRAIN_MASK

#: What every voxel of a sequence holds, so that a file taken for another is seen.
CODES = {"t1n": 1, "t1c": 2, "t2w": 3, "t2f": 4, "subtraction": 5}
SHAPE = (4, 5, 3)


@dataclass(frozen=True)
class Tree:
    """A tiny data set.

    Args:
        files: relative path to a sequence, several joined by "+", "brain", or the values of a mask.
        found: case id to patient and timepoint.
        labels: wanted scheme to what the first mask's values become.
        texts: further files.
        sequences: what every case has; a case may lack its mask.
    """

    files: Mapping[str, str | tuple[int, ...]]
    found: Mapping[str, tuple[str, str | None]]
    labels: Mapping[str, tuple[int, ...]]
    texts: Mapping[str, str] = field(default_factory=dict)
    sequences: tuple[str, ...] = ("t1c", "t2f")


def brats(case: str, place: str, names: Mapping[str, str | tuple[int, ...]]) -> dict[str, str | tuple[int, ...]]:
    return {f"{place}/{case}/{case}{name}.nii.gz".lstrip("/"): what for name, what in names.items()}


def old_brats(case: str, place: str = "") -> dict[str, str | tuple[int, ...]]:
    return brats(case, place, {"_t1ce": "t1c", "_flair": "t2f", "_seg": (1, 2, 4)})


def new_brats(case: str) -> dict[str, str | tuple[int, ...]]:
    return brats(case, "train", {"-t1c": "t1c", "-t2f": "t2f", "-seg": (1, 2, 3)})


def patch_2015(case: str) -> dict[str, str | tuple[int, ...]]:
    return {
        f"{case}/Flair_subtrMeanDivStd.nii.gz": "t2f",
        f"{case}/T1c_subtrMeanDivStd.nii.gz": "t1c",
        f"{case}/OTMultiClass.nii.gz": (1, 2, 3, 4),
        f"{case}/brainmask.nii.gz": "brain",
    }


def ucsf(case: str) -> dict[str, str | tuple[int, ...]]:
    names = {"_T1post": "t1c", "_FLAIR": "t2f", "_seg": (1,), "_BraTS-seg": (1, 2, 3)}
    return brats(case, "", names)


def nnunet(case: str) -> dict[str, str | tuple[int, ...]]:
    channels = {f"imagesTr/{case}_0000.nii.gz": "t2f", f"imagesTr/{case}_0001.nii.gz": "t1c"}
    return {**channels, f"labelsTr/{case}.nii.gz": (1, 2, 3)}


def bids(subject: str, session: str) -> dict[str, str | tuple[int, ...]]:
    start = f"{subject}_{session}"
    return {
        f"{subject}/{session}/anat/{start}_ce-gadolinium_T1w.nii.gz": "t1c",
        f"{subject}/{session}/anat/{start}_FLAIR.nii.gz": "t2f",
        f"{subject}/{session}/perf/{start}_asl.nii.gz": "t1n",
        f"derivatives/manual/{subject}/{session}/anat/{start}_label-lesion_mask.nii.gz": (1,),
        f"derivatives/manual/{subject}/{session}/anat/{start}_desc-preproc_T1w.nii.gz": "t1n",
    }


DECATHLON_JSON = {
    "modality": {"0": "FLAIR", "1": "t1gd"},
    "labels": {"0": "background", "1": "edema", "2": "non-enhancing tumor", "3": "enhancing tumour"},
}
NNUNET_JSON = {
    "channel_names": {"0": "FLAIR", "1": "T1 post-contrast"},
    "labels": {"background": 0, "whole tumor": [1, 2, 3], "tumor core": [2, 3], "enhancing tumor": 3},
    "regions_class_order": [1, 2, 3],
}

TREES: dict[str, Tree] = {
    "brats_2015": Tree(
        {**patch_2015("brats_2013_pat0003_1"), **patch_2015("brats_2013_pat0003_2"), **patch_2015("brats_x_pat7_1")},
        {
            "brats_2013_pat0003_1": ("brats_2013_pat0003", "1"),
            "brats_2013_pat0003_2": ("brats_2013_pat0003", "2"),
            "brats_x_pat7_1": ("brats_x_pat7", "1"),
        },
        {
            "brats-gli-2023": (1, 2, 1, 3),
            "binary": (1, 1, 1, 1),
            "brats-2015": (1, 2, 3, 4),
            "brats-met-2023": (1, 2, 1, 3),
        },
    ),
    "brats_mixed": Tree(
        {**old_brats("BraTS19_CBICA_ASK_1"), **old_brats("BraTS2021_00005"), **old_brats("Brats17_2013_27_1")}
        | new_brats("BraTS-GLI-00001-000"),
        {
            "BraTS-GLI-00001-000": ("BraTS-GLI-00001", "000"),
            "BraTS19_CBICA_ASK_1": ("BraTS19_CBICA_ASK", "1"),
            "BraTS2021_00005": ("BraTS2021_00005", None),
            "Brats17_2013_27_1": ("Brats17_2013_27", "1"),
        },
        {"brats-gli-2023": (1, 2, 3), "binary": (1, 1, 1)},
    ),
    "brats_2018": Tree(
        {**old_brats("Brats18_TCIA01_147_1", "HGG"), **old_brats("Brats18_2013_0_1", "LGG")}
        | {"HGG/BraTS20_Training_355/BraTS20_Training_355_t1ce.nii.gz": "t1c"}
        | {"HGG/BraTS20_Training_355/BraTS20_Training_355_flair.nii.gz": "t2f"}
        | {"HGG/BraTS20_Training_355/W39_1998.09.19_Segm.nii.gz": (1, 2, 4)},
        {
            "BraTS20_Training_355": ("BraTS20_Training_355", None),
            "Brats18_2013_0_1": ("Brats18_2013_0", "1"),
            "Brats18_TCIA01_147_1": ("Brats18_TCIA01_147", "1"),
        },
        {"brats-gli-2023": (1, 2, 3), "binary": (1, 1, 1), "brats-gli-2021": (1, 2, 4), "brats-met-2023": (1, 2, 3)},
    ),
    "brats_2021": Tree(
        {**old_brats("BraTS2021_00000"), **old_brats("BraTS2021_00002")},
        {"BraTS2021_00000": ("BraTS2021_00000", None), "BraTS2021_00002": ("BraTS2021_00002", None)},
        {"brats-gli-2023": (1, 2, 3), "binary": (1, 1, 1), "brats-met-2023": (1, 2, 3)},
    ),
    "brats_2023": Tree(
        {
            **new_brats("BraTS-MET-00001-000"),
            **new_brats("BraTS-MET-00001-001"),
            **new_brats("BraTS-MET-00009-000"),
        },
        {
            "BraTS-MET-00001-000": ("BraTS-MET-00001", "000"),
            "BraTS-MET-00001-001": ("BraTS-MET-00001", "001"),
            "BraTS-MET-00009-000": ("BraTS-MET-00009", "000"),
        },
        {"brats-met-2023": (1, 2, 3), "brats-met-2024": (1, 2, 3), "binary": (1, 1, 1)},
    ),
    "ucsf_bmsr": Tree(
        {**ucsf("100101A"), **ucsf("100101B"), **ucsf("100102A")},
        {"100101A": ("100101", "A"), "100101B": ("100101", "B"), "100102A": ("100102", "A")},
        {"binary": (1,), "brats-met-2023": (1, 2, 3)},
    ),
    "nnunet": Tree(
        {
            **nnunet("BraTS-GLI-00001-000"),
            **nnunet("BraTS-GLI-00001-001"),
            **nnunet("other_07"),
            **nnunet("sub-01_ses-2"),
            **nnunet("BraTS19_TCIA_X_1"),
        }
        | {"imagesTs/unseen_0000.nii.gz": "t2f", "imagesTs/unseen_0001.nii.gz": "t1c"},
        {
            "BraTS-GLI-00001-000": ("BraTS-GLI-00001", "000"),
            "BraTS-GLI-00001-001": ("BraTS-GLI-00001", "001"),
            "BraTS19_TCIA_X_1": ("BraTS19_TCIA_X", "1"),
            "other_07": ("other_07", None),
            "sub-01_ses-2": ("sub-01", "ses-2"),
        },
        {"brats-gli-2023": (2, 1, 3), "binary": (1, 1, 1), "brats-met-2023": (2, 1, 3)},
        {"dataset.json": json.dumps(NNUNET_JSON)},
    ),
    "decathlon": Tree(
        {
            f"{kind}/BRATS_00{n}.nii.gz": what
            for n in (1, 2)
            for kind, what in (("imagesTr", "t2f+t1c"), ("labelsTr", (1, 2, 3)))
        },
        {"BRATS_001": ("BRATS_001", None), "BRATS_002": ("BRATS_002", None)},
        {"brats-gli-2023": (2, 1, 3), "brats-gli-2021": (2, 1, 4), "binary": (1, 1, 1), "brats-met-2023": (2, 1, 3)},
        {"dataset.json": json.dumps(DECATHLON_JSON)},
    ),
    "bids": Tree(
        {**bids("sub-01", "ses-1"), **bids("sub-01", "ses-2"), **bids("sub-02", "ses-1")},
        {
            "sub-01_ses-1": ("sub-01", "ses-1"),
            "sub-01_ses-2": ("sub-01", "ses-2"),
            "sub-02_ses-1": ("sub-02", "ses-1"),
        },
        {"binary": (1,)},
    ),
    "study": Tree(
        {
            f"{folder}/{name}.nii.gz": what
            for folder in ("ann/2019", "ann/2020", "train/ben")
            for name, what in (("T1_AX_POST_GAD", "t1c"), ("ax_flair", "t2f"), ("tumour_seg", (1,)))
        },
        {"ann_2019": ("ann", "2019"), "ann_2020": ("ann", "2020"), "ben": ("ben", None)},
        {"binary": (1,)},
    ),
}
NAMES = tuple(TREES)
#: Their files are DICOM objects, tested where those are.
ELSEWHERE = {"dicom"}


def write(path: Path, what: str | tuple[int, ...]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    data = np.zeros(SHAPE, dtype=np.int16)
    if isinstance(what, tuple):
        data[: len(what), 1, 1] = what
    elif what == "brain":
        data[1:] = 1
    elif "+" in what:
        data = np.stack([data + CODES[name] for name in what.split("+")], axis=-1)
    else:
        data += CODES[what]
    nib.save(nib.Nifti1Image(data, np.diag([-1.0, -1.0, 2.0, 1.0])), path)


@pytest.fixture
def build(tmp_path: Path) -> Callable[[str], Path]:
    def build_tree(name: str) -> Path:
        root = tmp_path / "data_set"
        for place, what in TREES[name].files.items():
            write(root / place, what)
        for place, text in TREES[name].texts.items():
            (root / place).write_text(text)
        return root

    return build_tree


def test_every_layout_of_volumes_has_a_tree_here():
    assert set(TREES) == set(LAYOUTS) - set(slice_layouts()) - ELSEWHERE


@pytest.mark.parametrize("name", NAMES)
def test_cases_patients_and_timepoints(build, name):
    root = build(name)
    found = find(root)
    assert found.layout == name
    assert found.orphan_masks == ()
    assert {s.case_id: (s.patient, s.timepoint) for s in found.sources} == TREES[name].found
    assert [s.case_id for s in found.sources] == sorted(TREES[name].found)
    assert [s.case_id for s in find_cases(root, layout=name)] == sorted(TREES[name].found)
    part_of_it = {"brats_2018", "brats_2021", "brats_2023"} if name == "brats_mixed" else set()
    for other in set(NAMES) - {name, "study"} - part_of_it:
        with pytest.raises(InputError, match=other):
            find_cases(root, layout=other)


@pytest.mark.parametrize("name", NAMES)
def test_every_file_is_what_its_name_says(build, name):
    for source in find_cases(build(name), modalities=("t1c", "t2f")):
        case = pickle.loads(pickle.dumps(source)).load()
        images = {key: image for key, image in case.images.items() if key != BRAIN_MASK}
        assert tuple(images) == TREES[name].sequences
        for modality, image in images.items():
            assert image.shape == SHAPE
            assert np.unique(image.data).tolist() == [CODES[modality]]
            assert image.affine.tolist() == np.diag([-1.0, -1.0, 2.0, 1.0]).tolist()
        assert case.labels is not None
        assert (BRAIN_MASK in case.images) == (name == "brats_2015")
        assert set(source.files) >= {s.path for s in source.images.values() if "t1n" not in s.path.name}
        assert case.warnings == ()


@pytest.mark.parametrize(("name", "wanted"), [(name, wanted) for name, tree in TREES.items() for wanted in tree.labels])
def test_labels_become_those_wanted(build, name, wanted):
    labels = find_cases(build(name), labels=wanted)[-1].load().labels
    assert labels is not None
    assert labels.data.dtype == np.uint8
    expected = TREES[name].labels[wanted]
    assert labels.data[: len(expected), 1, 1].tolist() == list(expected)
    assert np.count_nonzero(labels.data) == len(expected)


@pytest.mark.parametrize("name", NAMES)
def test_timepoints_of_a_patient_never_part(build, name):
    sources = find_cases(build(name))
    split = make_split(sources, SplitPart(validation=0, test=0.5))
    parts = split.select(sources)
    patients = [{chosen.source.patient for chosen in part} for part in parts]
    assert patients[0]
    assert not patients[0] & patients[2]
    assert sum(len(part) for part in parts) == len(sources)


@pytest.mark.parametrize("name", NAMES)
def test_without_masks_there_is_no_truth(build, name):
    root = build(name)
    for place, what in TREES[name].files.items():
        if isinstance(what, tuple):
            (root / place).unlink()
    assert all(source.load().labels is None for source in find_cases(root))


@pytest.mark.parametrize("name", NAMES)
def test_masks_without_images_are_orphans_or_nothing(build, name):
    root = build(name)
    first = next(iter(TREES[name].found))
    kept = {p.path for s in find_cases(root) if s.case_id != first for p in s.images.values()}
    for place, what in TREES[name].files.items():
        if not isinstance(what, tuple) and root / place not in kept and "imagesTs" not in place:
            (root / place).unlink()
    assert first not in {source.case_id for source in find_cases(root)}


@pytest.mark.parametrize("name", NAMES)
def test_a_prediction_leaves_masks_aside(build, name):
    sources = find_inputs(build(name), modalities=("t2f",))
    assert {source.case_id for source in sources} - {"unseen"} == set(TREES[name].found)
    case = sources[0].load()
    assert case.labels is None
    assert "t1c" not in case.images


def test_grade_stands_in_the_folder(build):
    grades = {source.case_id: source.attributes.get("grade") for source in find_cases(build("brats_2018"))}
    assert grades == {"BraTS20_Training_355": "HGG", "Brats18_2013_0_1": "LGG", "Brats18_TCIA01_147_1": "HGG"}


def test_a_region_is_the_lesion(build):
    root = build("brats_2018")
    source = find_cases(root, labels="binary", file_labels="brats-gli-2021", region="ET")[0]
    assert source.load().labels.data[:3, 1, 1].tolist() == [0, 0, 1]


def test_labels_that_cannot_be_had_are_refused_before_reading(build):
    root = build("brats_2023")
    with pytest.raises(UsageError, match="cannot convert labels 'brats-met-2023' to 'brats-2015'") as caught:
        find_cases(root, labels="brats-2015")
    assert caught.value.code == "usage.labels"


def test_test_cases_without_masks_are_left_out_of_training_and_predicted_on(build):
    found = find(build("nnunet"))
    note = "left out: 1 case without masks, first unseen"
    assert found.notes == (note,)
    assert "unseen" not in {source.case_id for source in find_cases(found.tree.root)}
    (unseen,) = find_inputs(found.tree.root / "imagesTs")
    assert (unseen.case_id, tuple(unseen.images)) == ("unseen", ("t2f", "t1c"))
    told: list[str] = []
    assert "unseen" in {source.case_id for source in find_inputs(found.tree.root, tell=told.append)}
    assert told == []
    find_inputs(found.tree.root, rules=InputRules(with_masks=True), tell=told.append)
    assert told == [note]
    for channel in ("0000", "0001"):
        write(found.tree.root / "imagesTs" / f"other_07_{channel}.nii.gz", "t1c")
    with pytest.raises(InputError, match=r"two cases have the name 'other_07'.*give one of these folders"):
        find_inputs(found.tree.root)


def test_the_folder_of_training_images_alone_is_predicted_on(build):
    """The masks lie beside it."""
    sources = find_inputs(build("nnunet") / "imagesTr")
    assert {source.case_id for source in sources} == set(TREES["nnunet"].found)
    assert all(tuple(source.images) == ("t2f", "t1c") for source in sources)


def test_training_says_once_what_it_leaves_out(build, capsys):
    root = build("nnunet")
    recipe = load_recipe("mets-3d", changes=['data.labels="brats-gli-2023"', 'data.optional=["t1n", "t2w"]'])
    assert len(read_sources(recipe, root)) == len(read_sources(recipe, root)) == len(TREES["nnunet"].found)
    assert capsys.readouterr().err == f"metseg: {root}: left out: 1 case without masks, first unseen\n"


@pytest.mark.parametrize("name", NAMES)
def test_files_that_fit_no_name_are_told_of(build, name):
    root = build(name)
    by_folder = name in ("nnunet", "decathlon", "bids")
    folder = root / "a" if by_folder else next(path for path in sorted(root.rglob("*.nii.gz"))).parent
    write(folder / "P-2 FOO.nii.gz", "t1c")
    found = find(root)
    notes = (*found.notes, *(note for source in found.sources for note in source.notes))
    assert len([note for note in notes if "P-2 FOO.nii.gz" in note]) == 1


def test_a_synthetic_t2_stands_in_where_there_is_none(build):
    root = build("ucsf_bmsr")
    write(root / "100101A" / "100101A_T2Synth.nii.gz", "t2w")
    write(root / "100101B" / "100101B_T2Synth.nii.gz", "t2w")
    write(root / "100101B" / "100101B_T2.nii.gz", "t2w")
    one, two, _ = find_cases(root, modalities=("t2w",), optional=("t2w",))
    assert one.images["t2w"].path.name == "100101A_T2Synth.nii.gz"
    assert "synthetic" in one.load().warnings[0]
    assert two.images["t2w"].path.name == "100101B_T2.nii.gz"
    assert two.load().warnings == ()


@pytest.mark.parametrize(
    ("labels", "read", "left", "values"),
    [
        ("binary", "_seg", "_BraTS-seg", [0, 1]),
        ("brats-met-2023", "_BraTS-seg", "_seg", [0, 1, 2, 3]),
        ("brats-met-2024", "_BraTS-seg", "_seg", [0, 1, 2, 3]),  # what 2023 holds becomes labels of 2024
    ],
)
def test_of_two_masks_the_one_of_the_labels_asked_for_is_read(build, labels, read, left, values):
    found = find(build("ucsf_bmsr"), labels=labels)
    assert [source.mask.name for source in found.sources] == [
        f"{source.case_id}{read}.nii.gz" for source in found.sources
    ]
    assert np.unique(found.sources[0].load().labels.data).tolist() == values
    (note,) = found.notes
    assert note == f"*{left}.nii.gz (3 cases): masks of labels '{labels}' were read from *{read}.nii.gz (3 cases)"


def test_a_case_that_has_the_other_mask_alone_is_named_among_those_read(build):
    root = build("ucsf_bmsr")
    (root / "100101B" / "100101B_seg.nii.gz").unlink()
    found = find(root, labels="binary")
    assert found.sources[1].mask.name == "100101B_BraTS-seg.nii.gz"
    assert found.notes[0].endswith("*_BraTS-seg.nii.gz (1 case), *_seg.nii.gz (2 cases)")


def test_of_two_masks_none_is_read_where_neither_can_have_the_labels(build):
    found = find(build("ucsf_bmsr"), labels="brats-gli-2021")
    assert all(source.mask is None for source in found.sources)
    assert "100101A_BraTS-seg.nii.gz, 100101A_seg.nii.gz" in found.sources[0].notes[0]
    assert found.notes == ()


def test_one_case_twice_is_refused(build):
    root = build("brats_2023")
    case = "BraTS-MET-00009-000"
    write(root / "copy" / case / f"{case}-t1c.nii.gz", "t1c")
    with pytest.raises(InputError, match=case) as caught:
        find_cases(root)
    assert caught.value.code == "input.duplicate_case"


def test_a_pattern_says_whose_studies_lie_in_one_folder(tmp_path):
    for patient in ("p1", "p2"):
        for year in ("2019", "2020"):
            write(tmp_path / f"{patient}_{year}_t1c.nii.gz", "t1c")
            write(tmp_path / f"{patient}_{year}_seg.nii.gz", (1,))
    with pytest.raises(InputError, match="finds 2 patients") as caught:
        find_cases(tmp_path)
    assert caught.value.code == "input.no_patient"
    sources = find_cases(tmp_path, patient_pattern=r"^(.*)_\d+$")
    assert [(s.case_id, s.patient) for s in sources] == [
        ("p1_2019", "p1"),
        ("p1_2020", "p1"),
        ("p2_2019", "p2"),
        ("p2_2020", "p2"),
    ]


def test_a_table_beside_the_data_gives_attributes(build):
    root = build("ucsf_bmsr")
    (root / "patients.csv").write_text("patient,primary\n100101,lung\n100102,breast\n")
    assert [s.attributes["primary"] for s in find_cases(root)] == ["lung", "lung", "breast"]


def test_a_file_is_no_data_set(tmp_path):
    write(tmp_path / "t1c.nii.gz", "t1c")
    with pytest.raises(InputError, match="the path is a file, not a folder") as caught:
        find_cases(tmp_path / "t1c.nii.gz")
    assert caught.value.code == "input.not_a_folder"


def test_names_that_tell_nothing_are_refused(tmp_path):
    for name in ("scan1", "scan2"):
        write(tmp_path / f"{name}.nii.gz", "t1c")
    with pytest.raises(InputError, match=r"scan1\.nii\.gz.*scan2\.nii\.gz.*--modality"):
        find_cases(tmp_path)


def test_one_nameless_file_is_the_only_sequence_or_the_channels(tmp_path):
    write(tmp_path / "a" / "scan.nii.gz", "t2f+t1c")
    (source,) = find_cases(tmp_path, channels=("flair", "t1ce"))
    assert isinstance(source, VolumeSource)
    assert {name: int(image.data[0, 0, 0]) for name, image in source.load().images.items()} == {"t2f": 4, "t1c": 2}
    (one,) = find_inputs(tmp_path / "a" / "scan.nii.gz", channels=("flair", "t1ce"))
    assert one.load().modalities == ("t2f", "t1c")
