"""One case from arrays to figures: values by hand, empty combinations, label schemes, errors."""

from __future__ import annotations

import inspect
import subprocess
import sys

import numpy as np
import pytest

import metseg.evaluation
from metseg.errors import GeometryError, InputError, UsageError
from metseg.evaluation import METRICS, PROTOCOLS, MaskPair, ScoringConfig, evaluate_case, evaluate_masks
from metseg.evaluation.lesions.lesion_scores import diameter_bin
from metseg.labels import LabelScheme

SHAPE = (20, 12, 10)


def blocks(*places: tuple[int, int], value: int = 1) -> np.ndarray:
    """Return blocks of 3×3 voxels along x from ``start`` to ``stop``."""
    mask = np.zeros(SHAPE, dtype=np.uint8)
    for start, stop in places:
        mask[start:stop, 4:7, 4:7] = value
    return mask


@pytest.mark.parametrize("protocol", ["voxel", "brats-met-2024"])
def test_an_oblique_affine_in_four_bytes_a_number_changes_no_surface_score(protocol: str) -> None:
    """Its columns are 1.00000002 mm long: borders one voxel apart are within 1 mm all the same."""
    a, b = np.radians(10), np.radians(5)
    about_z = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    about_x = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    oblique = np.eye(4)
    oblique[:3, :3] = (about_z @ about_x).astype(np.float32)
    assert (np.linalg.norm(oblique[:3, :3], axis=0) > 1).any()
    truth, prediction = blocks((2, 6), (9, 14), value=3), blocks((3, 7), (9, 15), value=3)
    straight, turned = (
        evaluate_case(truth, prediction, affine=affine, protocol=protocol, scheme="brats-met-2024")["ET"]
        for affine in (np.eye(4), oblique)
    )
    assert 0.2 < straight["nsd_0.5"] < straight["nsd_1.0"] == 1
    for name in ("nsd_0.5", "nsd_1.0", "hd95_mm"):
        assert turned[name] == pytest.approx(straight[name])


def test_figures_by_hand() -> None:
    truth, prediction = blocks((2, 6)), blocks((4, 8))  # 36 voxels each, 18 in common
    found = evaluate_case(truth, prediction, spacing_mm=(0.5, 1.0, 2.0))["lesion"]
    total = int(np.prod(SHAPE))
    assert found["dice"] == pytest.approx(0.5)
    assert found["iou"] == pytest.approx(18 / 54)
    assert found["sensitivity"] == found["precision"] == pytest.approx(0.5)
    assert found["specificity"] == pytest.approx(1 - 18 / (total - 36))
    assert found["accuracy"] == pytest.approx(1 - 36 / total)
    assert found["truth_volume_mm3"] == found["predicted_volume_mm3"] == pytest.approx(36.0)
    assert found["hd95_mm"] == pytest.approx(1.0)  # two voxels of 0.5 mm
    assert (found["n_tp"], found["n_fp"], found["n_fn"]) == (1, 0, 0)
    assert found["lesionwise_dice"] is None  # not defined by this protocol


def test_lesions_by_hand() -> None:
    truth, prediction = blocks((0, 2), (8, 12)), blocks((9, 11), (17, 18))
    found = evaluate_case(truth, prediction, spacing_mm=(1.0, 1.0, 1.0))["lesion"]
    assert (found["n_tp"], found["n_fp"], found["n_fn"]) == (1, 1, 1)
    missed, hit, false = found.lesions
    assert (missed.is_true, missed.detected, missed.joined) == (True, False, ())
    assert missed.figures["dice"] == 0
    assert (hit.is_true, hit.detected, hit.joined) == (True, True, (1,))
    assert hit.figures["dice"] == pytest.approx(2 * 18 / (36 + 18))
    assert (hit.size.voxels, hit.size.volume_mm3) == (36, 36.0)
    assert hit.size.longest_diameter_mm == pytest.approx(np.sqrt(4**2 + 3**2 + 3**2))
    assert hit.size.longest_axial_diameter_mm == pytest.approx(5.0)
    assert hit.centre_voxel == (9.5, 5.0, 5.0)
    assert (false.is_true, false.number, false.centre_voxel) == (False, 2, (17.0, 5.0, 5.0))


def test_an_affine_says_what_a_spacing_does() -> None:
    truth, prediction = blocks((2, 6)), blocks((4, 8))
    by_spacing = evaluate_case(truth, prediction, spacing_mm=(0.5, 1.0, 2.0))["lesion"]
    by_affine = evaluate_case(truth, prediction, affine=np.diag([-0.5, 1.0, -2.0, 1.0]))["lesion"]
    assert by_affine.metrics == by_spacing.metrics


@pytest.mark.parametrize("name", metseg.evaluation.__all__)
def test_no_function_asks_for_more_than_six_things(name: str) -> None:
    public = getattr(metseg.evaluation, name)
    if inspect.isfunction(public):
        assert len(inspect.signature(public).parameters) <= 6


def test_a_manner_that_cannot_be_is_refused_before_any_mask_is_read() -> None:
    with pytest.raises(UsageError, match="Unknown protocol 'voxels'"):
        ScoringConfig("voxels")
    with pytest.raises(UsageError, match="has no region WT"):
        ScoringConfig("brats-met-2023", "binary")


def test_two_neighbouring_regions_and_the_classes_between_them() -> None:
    truth = blocks((2, 5), value=2) + blocks((5, 7), value=3) + blocks((7, 8), value=1)
    prediction = np.where(truth == 1, 3, truth).astype(np.uint8)  # necrosis taken for enhancing
    scores = evaluate_case(truth, prediction, spacing_mm=(1, 1, 1), scheme="brats-met-2023")
    assert scores["WT"]["dice"] == scores["TC"]["dice"] == 1.0
    assert scores["ET"]["dice"] == pytest.approx(2 * 18 / (18 + 27))
    assert scores.joint.sum() == truth.size
    assert scores.joint[1, 3] == 9


EMPTY = {  # (truth, prediction) hold something -> overlap, distance in diagonals, NSD
    (False, False): (1.0, 0.0, 1.0),
    (True, False): (0.0, 1.0, 0.0),
    (False, True): (0.0, 1.0, 0.0),
}


@pytest.mark.parametrize(("in_truth", "in_prediction"), EMPTY)
def test_every_empty_combination(in_truth: bool, in_prediction: bool) -> None:
    full, nothing = blocks((2, 6)), blocks()
    spacing = (0.5, 1.0, 2.0)
    diagonal = float(np.sqrt((20 * 0.5) ** 2 + 12**2 + (10 * 2.0) ** 2))
    found = evaluate_case(full if in_truth else nothing, full if in_prediction else nothing, spacing_mm=spacing)
    share, distance, agreement = EMPTY[in_truth, in_prediction]
    values = found["lesion"]
    assert [values[name] for name in ("dice", "iou", "precision", "sensitivity")] == [share] * 4
    assert values["hd95_mm"] == values["asd_mm"] == pytest.approx(distance * diagonal)
    assert [values[name] for name in ("nsd_0.5", "nsd_1.0", "nsd_2.0")] == [agreement] * 3


def test_nothing_in_mm_without_a_spacing() -> None:
    found = evaluate_case(blocks((2, 6)), blocks((4, 8)))["lesion"]
    in_mm = [name for name in METRICS if "mm" in name or name.startswith("nsd")]
    assert len(in_mm) == 7
    assert [found[name] for name in in_mm] == [None] * 7
    assert found["dice"] == pytest.approx(0.5)
    lesion = found.lesions[0]
    assert lesion.size.voxels == 36
    assert (lesion.size.volume_mm3, lesion.size.longest_diameter_mm) == (None, None)


def test_a_picture_is_a_stack_of_one() -> None:
    truth = blocks((2, 6))[:, :, 5]
    assert evaluate_case(truth, truth)["lesion"]["dice"] == 1.0


@pytest.mark.parametrize("turn", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
@pytest.mark.parametrize("flip", [(), (0,), (1, 2)])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_no_figure_depends_on_axes_or_flips(protocol: str, turn: tuple[int, ...], flip: tuple[int, ...]) -> None:
    generator = np.random.default_rng(11)
    truth = (generator.random((9, 8, 7)) > 0.8).astype(np.uint8) * 3
    prediction = (generator.random((9, 8, 7)) > 0.8).astype(np.uint8) * 3
    spacing = (0.5, 1.0, 3.0)
    scheme = "brats-met-2023" if protocol == "voxel" else None
    plain = evaluate_case(truth, prediction, spacing_mm=spacing, protocol=protocol, scheme=scheme)
    turned = evaluate_case(
        *(np.flip(mask, flip).transpose(turn) for mask in (truth, prediction)),
        spacing_mm=tuple(spacing[axis] for axis in turn),
        protocol=protocol,
        scheme=scheme,
    )
    for region in plain.regions:
        for name, value in plain[region].metrics.items():
            expected = None if value is None else pytest.approx(value, abs=1e-9)
            assert turned[region][name] == expected, (region, name)


def test_booleans_and_0_255_are_binary() -> None:
    truth = blocks((2, 6))
    for other in (truth.astype(bool), truth * 255, truth.astype(np.float32)):
        assert evaluate_case(truth, other)["lesion"]["dice"] == 1.0


def test_own_scheme() -> None:
    scheme = LabelScheme({7: "core"}, {"core": (7,)})
    truth = blocks((2, 6), value=7)
    assert evaluate_case(truth, truth, scheme=scheme)["core"]["dice"] == 1.0


def test_label_4_is_known_to_2023_counted_and_not_scored() -> None:
    truth = blocks((2, 6), value=3) + blocks((10, 12), value=4)
    scores = evaluate_masks(MaskPair(truth, truth, np.eye(4), case="met-7"), ScoringConfig("brats-met-2023"))
    assert scores["WT"].counts.truth == 36
    assert [warning for warning in scores.warnings if "met-7 (truth): label 4" in warning and "18 voxels" in warning]
    with pytest.raises(InputError, match="unknown label 5"):
        evaluate_case(np.where(truth == 4, 5, truth), truth, spacing_mm=(1, 1, 1), protocol="brats-met-2023")


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("numbers", [np.uint8, np.int16, np.float32])
def test_instance_ids_are_recognised(protocol: str, numbers: type[np.generic]) -> None:
    truth = np.zeros((43, 3, 3), dtype=numbers)
    truth[:, 1, 1] = np.arange(43)  # lesions 1..42
    prediction = (truth > 0).astype(np.uint8)
    with pytest.raises(InputError, match="look like lesion numbers") as caught:
        evaluate_case(truth, prediction, spacing_mm=(1, 1, 1), protocol=protocol)
    assert caught.value.code == "input.instances"
    assert caught.value.cure is not None
    assert "binarise the mask" in caught.value.cure


def test_errors_name_the_cause() -> None:
    truth = blocks((2, 6))
    with pytest.raises(GeometryError, match="differ in shape"):
        evaluate_case(truth, truth[:-1])
    with pytest.raises(GeometryError, match="three positive numbers"):
        evaluate_case(truth, truth, spacing_mm=(1.0, 1.0))
    with pytest.raises(GeometryError, match="4x4"):
        evaluate_case(truth, truth, affine=np.eye(3))
    with pytest.raises(GeometryError, match="needs the voxel size"):
        evaluate_case(truth, truth, protocol="brats-met-2024")
    with pytest.raises(UsageError, match="Did you mean 'voxel'"):
        evaluate_case(truth, truth, protocol="voxels")
    with pytest.raises(UsageError, match="no region WT"):
        evaluate_case(truth, truth, protocol="brats-met-2023", scheme="binary", spacing_mm=(1, 1, 1))
    with pytest.raises(UsageError, match="Unknown region"):
        evaluate_case(truth, truth)["leison"]
    with pytest.raises(GeometryError, match="neither a volume nor a slice"):
        evaluate_case(truth[None], truth[None])


def test_diameter_bins_are_half_open() -> None:
    assert [diameter_bin(value) for value in (0.0, 3.0, 5.0, 9.99, 10.0)] == [
        "[0,3)", "[3,5)", "[5,10)", "[5,10)", "[10,inf)",
    ]  # fmt: skip


def test_works_where_torch_cannot_be_imported() -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "import numpy as np\n"
        "from metseg.evaluation import evaluate_case\n"
        "mask = np.ones((3, 3, 3), bool)\n"
        "assert evaluate_case(mask, mask, spacing_mm=(1, 1, 1))['lesion']['hd95_mm'] == 0\n"
        "assert not {'monai', 'lightning', 'matplotlib', 'pandas'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
