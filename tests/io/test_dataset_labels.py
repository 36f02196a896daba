"""What ``dataset.json`` calls the values of the masks is used or refused, never ignored."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from metseg.errors import InputError, MetsegError
from metseg.experiment.plan import known_scheme
from metseg.io import find_cases, find_inputs
from metseg.io.case_discovery import find
from metseg.io.inspection.volume_inspection import inspect_volumes
from metseg.io.layouts.dataset_json import labels_of_mask
from metseg.labels import LABEL_SCHEMES
from metseg.preprocess.cache.cache_key import read_content

#: Voxels of oedema, of core that does not enhance, and of core that does.
ED, NCR, ET = 1304, 208, 8

#: Labels in dataset.json, and the values that the masks then hold for ED, NCR and ET.
SAME_TISSUES = {
    "regions": ({"background": 0, "WT": [1, 2, 3], "TC": [2, 3], "ET": [3]}, (1, 2, 3)),
    "regions in words": ({"background": 0, "whole tumour": [1, 2, 3], "tumor core": [2, 3], "enhancing": 3}, (1, 2, 3)),
    "regions as values": ({"background": 0, "whole tumor": 1, "tumor core": 2, "enhancing tumor": 3}, (1, 2, 3)),
    "regions in another order": ({"background": 0, "ET": [1], "WT": [1, 2, 4], "TC": [1, 4]}, (2, 4, 1)),
    "class and region": ({"background": 0, "ED": 1, "TC": [2, 3], "ET": [3]}, (1, 2, 3)),
    "classes": ({"background": 0, "ET": 1, "ED": 2, "NCR": 3}, (2, 3, 1)),
    "challenge": (
        {
            "background": 0,
            "peritumoral edematous/invaded tissue": 1,
            "necrotic tumor core": 2,
            "GD-enhancing tumor": 3,
        },
        (1, 2, 3),
    ),
    "challenge with short names": (
        {
            "background": 0,
            "GD-enhancing tumor (ET)": 1,
            "the peritumoral edematous/invaded tissue (ED)": 2,
            "Necrotic Tumor Core (NCR)": 3,
        },
        (2, 3, 1),
    ),
    "metastasis": ({"background": 0, "ET": 1, "NETC": 2, "SNFH": 3}, (3, 2, 1)),
    "decathlon": ({"0": "background", "1": "edema", "2": "non-enhancing tumor", "3": "enhancing tumour"}, (1, 2, 3)),
    "decathlon, two of one name": ({"0": "background", "1": "ED", "2": "NCR", "3": "ET", "5": "NCR"}, (1, 5, 3)),
}

#: What these tissues are in schemes of ours.
SCHEMES = {
    "brats-gli-2021": (2, 1, 4),
    "brats-gli-2023": (2, 1, 3),
    "brats-met-2023": (2, 1, 3),
    "brats-met-2024": (2, 1, 3),
    "decathlon-brain": (1, 2, 3),
    "binary": (1, 1, 1),
}

Make = Callable[..., Path]


@pytest.fixture
def data_set(tmp_path: Path) -> Make:
    """Return a function that writes a data set of nnU-Net with one case, and returns its folder."""

    def make(labels: object, values: tuple[int, ...] = (1, 2, 3)) -> Path:
        mask = np.zeros((20, 20, 10), dtype=np.uint8)
        flat = mask.reshape(-1)
        for value, first, count in zip(values, (0, ED, ED + NCR), (ED, NCR, ET), strict=False):
            flat[first : first + count] = value
        for folder, name, data in (
            ("imagesTr", "c1_0000", np.arange(4000).reshape(mask.shape)),
            ("labelsTr", "c1", mask),
        ):
            (tmp_path / folder).mkdir(exist_ok=True)
            nib.save(nib.Nifti1Image(data.astype(np.int16), np.eye(4)), tmp_path / folder / f"{name}.nii.gz")
        text = json.dumps({"channel_names": {"0": "FLAIR"}, "labels": labels})
        (tmp_path / "dataset.json").write_text(text, "utf-8")
        return tmp_path

    return make


@pytest.mark.parametrize("wanted", SCHEMES)
@pytest.mark.parametrize("said", SAME_TISSUES)
def test_names_decide_what_values_become(data_set: Make, said: str, wanted: str) -> None:
    (source,) = find_cases(data_set(*SAME_TISSUES[said]), labels=wanted)
    labels = source.load().labels
    assert labels is not None
    counts = np.bincount(labels.data.ravel(), minlength=6)
    expected = np.zeros_like(counts)
    for value, voxels in zip(SCHEMES[wanted], (ED, NCR, ET), strict=True):
        expected[value] += voxels
    assert counts[1:].tolist() == expected[1:].tolist()
    if wanted != "binary":
        regions = LABEL_SCHEMES[wanted]
        found = {name: int(regions.region_mask(labels.data, name).sum()) for name in ("WT", "TC", "ET")}
        assert found == {"WT": 1520, "TC": 216, "ET": 8}


@pytest.mark.parametrize("said", SAME_TISSUES)
def test_inspect_counts_tissues_by_their_names(data_set: Make, said: str) -> None:
    root = data_set(*SAME_TISSUES[said])
    (case,) = inspect_volumes(find(root, labels="brats-gli-2023"), quiet=True).case_lines
    by_ml = sorted(round(ml * 1000) for ml in case.class_ml.values())
    assert by_ml == [ET, NCR, ED]


@pytest.mark.parametrize(
    ("labels", "wanted", "said"),
    [
        ({"background": 0, "Anterior": 1, "Posterior": 2}, "brats-gli-2023", "unknown class 'Anterior'"),
        ({"background": 0, "Anterior": 1, "Posterior": 2}, "binary", "unknown class 'Anterior'"),
        ({"background": 0, "ED": 1, "NCR": 2, "ET": 3, "ignore": 4}, "brats-gli-2023", "unknown class 'ignore'"),
        ({"background": 0, "brain": 1}, "binary", "unknown class 'brain'"),
        ({"background": 0, "ED": 1, "ET": 2}, "brats-gli-2023", "have no separate class NCR"),
        ({"background": 0, "WT": [1, 2], "ET": [2]}, "brats-gli-2023", "'WT' is not one of the requested classes"),
        (
            {"background": 0, "ED": 1, "NCR": 2, "ET": 3, "RC": 4},
            "brats-gli-2023",
            "'RC' is not one of the requested classes",
        ),
        ({"background": 0, "ED": [1, 2], "NCR": [2, 3], "ET": 4}, "brats-gli-2023", "contradictory names: ED and NCR"),
        ({"background": 0, "tumor": 1}, "brats-gli-2023", "not one of the requested classes"),
        ({"background": 0, "NCR": 1, "ED": 2, "ET": 3}, "brats-2015", "'NCR' is not one of the requested classes"),
    ],
)
def test_what_cannot_become_the_labels_wanted_is_refused(
    data_set: Make, labels: object, wanted: str, said: str
) -> None:
    with pytest.raises(MetsegError, match=said) as caught:
        find_cases(data_set(labels), labels=wanted)
    assert caught.value.code == "input.labels"
    assert str(caught.value.where).endswith("dataset.json")
    assert "file_labels" in (caught.value.cure or "")


@pytest.mark.parametrize("name", ["lesion", "metastasis", "GTV p1", "whole tumor", "enhancing tumor"])
def test_one_class_is_the_lesion_whatever_it_is_called(data_set: Make, name: str) -> None:
    (source,) = find_cases(data_set({"background": 0, name: 1}, (1,)), labels="binary")
    assert int((source.load().labels.data == 1).sum()) == ED


def test_a_declared_scheme_counts_and_the_contradiction_is_named(data_set: Make) -> None:
    root = data_set({"background": 0, "ET": 1, "ED": 2, "NCR": 3}, (2, 1, 3))
    (source,) = find_cases(root, labels="brats-gli-2023", file_labels="brats-gli-2023")
    case = source.load()
    assert int((case.labels.data == 3).sum()) == ET
    (warning,) = case.warnings
    assert "1 = ET, 2 = ED, 3 = NCR; masks were read as 'brats-gli-2023'" in warning
    (agreeing,) = find_cases(data_set({"background": 0, "NCR": 1, "ED": 2, "ET": 3}), file_labels="brats-gli-2023")
    assert agreeing.load().warnings == ()


def test_a_value_that_the_table_does_not_name_is_refused(data_set: Make) -> None:
    (source,) = find_cases(data_set({"background": 0, "ET": 1, "ED": 2, "NCR": 3}, (2, 4, 1)), labels="brats-gli-2023")
    with pytest.raises(InputError, match="unknown label 4"):
        source.load()


def test_a_prediction_does_not_ask_for_the_labels(data_set: Make) -> None:
    (source,) = find_inputs(data_set({"background": 0, "Anterior": 1, "Posterior": 2}), labels="brats-gli-2023")
    assert source.load().warnings == ()


def test_a_changed_table_is_another_case_for_the_cache(data_set: Make) -> None:
    stamps = set()
    for labels in ({"background": 0, "ED": 1, "NCR": 2, "ET": 3}, {"background": 0, "ET": 1, "ED": 2, "NCR": 3}):
        (source,) = find_cases(data_set(labels), labels="brats-gli-2023")
        stamps.add(read_content(source).content)
    assert len(stamps) == 2


@pytest.mark.parametrize(
    ("labels", "scheme"),
    [
        ({"background": 0, "ET": 1, "ED": 2, "NCR": 3}, "brats-gli-2023"),
        ({"background": 0, "ET": 1, "SNFH": 2, "NETC": 3}, "brats-met-2023"),
        ({"background": 0, "lesion": 1}, "binary"),
    ],
)
def test_a_plan_takes_a_scheme_that_the_labels_can_become(data_set: Make, labels: object, scheme: str) -> None:
    assert known_scheme(data_set(labels)) == scheme


def test_the_table_is_found_beside_masks_and_beside_their_folder(data_set: Make, tmp_path: Path) -> None:
    root = data_set({"background": 0, "ET": 1, "ED": 2, "NCR": 3})
    for mask in (root / "labelsTr" / "c1.nii.gz", root / "c1.nii.gz"):
        named = labels_of_mask(mask)
        assert named is not None
        assert dict(named.tissues) == {1: "ET", 2: "ED", 3: "NCR"}
    assert labels_of_mask(root / "imagesTr" / "c1.nii.gz") is None
