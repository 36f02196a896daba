"""Hosts painted from label maps: contrast, mask, acquisition, and what the command writes."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from metseg.errors import InputError, UsageError
from metseg.io import find_cases
from metseg.io.data_origin import PAINTED, data_statement
from metseg.simulation.heads.label_map_head import VEIN, LabelMapHead, load_label_map
from metseg.simulation.hosts.host_dataset import simulate_in_label_maps
from metseg.simulation.hosts.host_scan import HostScan
from metseg.simulation.hosts.host_sources import PaintedStudyOptions
from metseg.simulation.hosts.insertion import InsertionOptions, insert_lesions
from metseg.simulation.hosts.large_vessels import DURA, Midline, with_large_vessels
from metseg.simulation.hosts.painted_host import PaintingOptions, acquired, painted_host
from metseg.simulation.options import SEQUENCES

#: FreeSurfer's ids of what the little head is made of, from the outside.
SKIN, BONE, FLUID, CORTEX, WHITE, VENTRICLE = 507, 515, 24, 42, 41, 4
RADII = {SKIN: 48.0, BONE: 44.0, FLUID: 41.0, CORTEX: 38.0, WHITE: 32.0, VENTRICLE: 9.0}
SHAPE = (110, 106, 104)
CENTRE = np.array([55, 53, 52])

#: Nothing moves, nothing is random, nothing disturbs.
NOTHING = (
    "rotation_degrees", "elastic_mm", "badly_stripped", "eroded", "random_factor", "random_intensity", "texture_max",
    "drift_max", "noise_max", "blur_max_mm", "thick",
)  # fmt: skip
STILL = {"zoom_min": 1.0, "zoom_max": 1.0, **dict.fromkeys(NOTHING, 0.0)}


def write_label_map(path: Path) -> Path:
    """Write a round head of 1 mm voxels with a fissure between its hemispheres, cerebellum and brainstem."""
    x, y, z = np.indices(SHAPE) - CENTRE[:, None, None, None]
    distance = np.sqrt(x**2 + y**2 + z**2)
    labels = np.zeros(SHAPE, dtype=np.int16)
    for label, radius in RADII.items():
        labels[distance < radius] = label
    brain = np.isin(labels, (CORTEX, WHITE))
    labels[brain & (abs(x) < 2) & (z > 12)] = FLUID
    labels[brain & (abs(y) < 2) & (distance > 26)] = FLUID
    labels[brain & (z < -14) & (y < -4)] = 8
    labels[brain & (z < -14) & (abs(x) < 6) & (abs(y) < 5)] = 16
    labels[(abs(x) < 2) & (abs(y) < 3) & (abs(z + 11) < 2)] = 14
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(labels, np.diag([-1.0, -1, 1, 1])), path)
    return path


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> LabelMapHead:
    return load_label_map(write_label_map(tmp_path_factory.mktemp("maps") / "person_1.nii.gz"))


def still_host(head: LabelMapHead, seed: int = 0, **changes: float) -> HostScan:
    options = PaintingOptions(**(STILL | changes))
    return painted_host(head, np.random.default_rng(seed), name="person", options=options)


def test_a_host_is_positive_in_its_brain_and_nowhere_else(head: LabelMapHead) -> None:
    host = still_host(head)
    assert tuple(host.images) == SEQUENCES
    for image in host.images.values():
        assert image.dtype == np.float32
        assert (image[host.brain] > 0).all()
        assert (image[~host.brain] == 0).all()
    np.testing.assert_array_equal(host.canvas.paste(host.brain).sum(), head.brain.sum())
    assert host.labels is None
    assert host.has_mask
    centre = np.argwhere(host.brain).mean(axis=0) @ host.affine[:3, :3].T + host.affine[:3, 3]
    expected = np.argwhere(head.brain).mean(axis=0) @ head.affine[:3, :3].T + head.affine[:3, 3]
    np.testing.assert_allclose(np.abs(centre), np.abs(expected), atol=1.5)  # reflected or not


def test_shares_and_levels_say_what_the_images_show(head: LabelMapHead) -> None:
    host = still_host(head)
    total = sum(host.shares.values())
    assert total.max() <= 1 + 1e-5
    assert np.median(total[host.brain]) > 0.95  # the rest are vessels
    for name, image in host.images.items():
        for tissue, share in host.shares.items():
            pure = share > 0.97
            assert pure.sum() > 200
            assert np.median(image[pure]) == pytest.approx(host.levels[name][tissue], rel=0.2, abs=15)
    t1, t2 = host.levels["t1n"], host.levels["t2w"]
    assert t1["fluid"] < t1["grey"] < t1["white"]
    assert t2["fluid"] > t2["grey"] > t2["white"]
    assert host.levels["t2f"]["fluid"] < host.levels["t2f"]["white"]


def test_vessels_and_dura_are_bright_with_contrast_agent_only(head: LabelMapHead) -> None:
    host = still_host(head, badly_stripped=1.0)
    assert (host.brain & ~host.free).any()  # the rim
    grey = {name: level["grey"] for name, level in host.levels.items()}
    bright = host.images["t1c"] > 1.5 * grey["t1c"]
    assert bright.sum() > 300
    assert host.images["t1n"][bright & host.free].max() < 1.3 * host.levels["t1n"]["white"]
    # They lie in sulci, in the fissure and at the surface, and blood that flows is dark in T2.
    assert host.images["t2w"][bright].mean() < 0.6 * host.levels["t2w"]["fluid"]
    solid = (host.shares["white"] + host.shares["grey"] > 0.95) & host.free
    assert bright[solid].mean() < 0.01


def test_sinuses_and_falx_take_the_place_of_fluid_never_of_tissue(head: LabelMapHead) -> None:
    with_vessels = with_large_vessels(head, np.random.default_rng(0))
    changed = with_vessels.labels != head.labels
    assert set(np.unique(with_vessels.labels[changed])) == {VEIN, DURA}
    tissue = np.isin(head.labels, (2, 3, 7, 8, 16))
    assert not changed[tissue].any()
    midline = Midline(head.brain)
    _, y, z = np.nonzero(with_vessels.labels == DURA)
    x = np.nonzero(with_vessels.labels == DURA)[0]
    assert np.abs(x - midline(y, z)).max() <= 0.6
    # The sagittal sinus runs along the top, the transverse ones to both sides.
    veins = np.argwhere(with_vessels.labels == VEIN) - np.argwhere(head.brain).mean(axis=0)
    assert ((np.abs(veins[:, 0]) < 4) & (veins[:, 2] > 34)).any()
    assert (veins[:, 0] > 25).any()
    assert (veins[:, 0] < -25).any()


def test_stripping_leaves_a_rim_or_takes_some_of_the_surface(head: LabelMapHead) -> None:
    plain = still_host(head).brain.sum()
    assert still_host(head, badly_stripped=1.0, rim_max_mm=8.0).brain.sum() > 1.02 * plain
    apart = LabelMapHead(head.labels, head.brain.copy(), head.affine)
    apart.brain[6:9, 50:53, 50:53] = True  # a speck far from the brain
    assert still_host(apart).brain.sum() == plain
    eroded = still_host(head, eroded=1.0, erosion_mm=2.0)
    assert eroded.brain.sum() < 0.9 * plain
    assert (eroded.brain == eroded.free).all()
    small = np.zeros_like(head.brain)
    small[50:56, 50:56, 50:56] = True
    tiny, options = (
        LabelMapHead(head.labels, small, head.affine),
        PaintingOptions(**STILL | {"eroded": 1, "erosion_mm": 5}),
    )
    with pytest.raises(InputError, match="nothing of the brain") as caught:
        painted_host(tiny, np.random.default_rng(0), name="tiny", options=options)
    assert caught.value.code == "input.brain_mask"


def test_random_intensities_keep_what_enhances_brighter_than_the_brain_in_t1c(head: LabelMapHead) -> None:
    options = InsertionOptions(lesions_min=3, lesions_max=3, diameter_min_mm=7, diameter_max_mm=12, random_contrast=0)
    brighter, levels = [], []
    for seed in range(8):
        host = still_host(head, seed, random_intensity=1.0)
        levels.append([host.levels["t2w"][tissue] for tissue in ("fluid", "grey", "white")])
        made = insert_lesions(host, np.random.default_rng(seed), options=options)
        for item in made.lesions:
            core = (made.instances == item.lesion.lesion_id) & (made.labels == 3)
            if item.kind in ("solid", "ring") and core.sum() > 30:
                brighter.append(np.median(made.images["t1c"][core]) > 1.1 * max(host.levels["t1c"].values()))
    assert len(brighter) > 8
    assert np.mean(brighter) > 0.8
    orders = {tuple(np.argsort(level)) for level in levels}
    assert len(orders) > 2  # other sequences have any contrast


def test_random_factors_move_the_tissues(head: LabelMapHead) -> None:
    plain = still_host(head).levels["t2w"]["white"]
    moved = still_host(head, random_factor=1.0, factor_log_std=0.3).levels["t2w"]["white"]
    assert moved != pytest.approx(plain, rel=0.01)


def roughness(image: np.ndarray, axis: int) -> float:
    """Return the mean squared step from voxel to voxel along an axis, away from the surface."""
    return float((np.diff(image[20:-20, 20:-20, 20:-20], axis=axis) ** 2).mean())


def test_an_acquisition_disturbs_the_images_and_keeps_the_background(head: LabelMapHead) -> None:
    host = still_host(head)
    still = acquired(host.images, host, np.random.default_rng(0), options=PaintingOptions(**STILL))
    for name, image in still.items():
        np.testing.assert_allclose(image, host.images[name], rtol=1e-4)
    white = host.shares["white"] > 0.97
    for key in ("noise_max", "drift_max"):
        changed = acquired(host.images, host, np.random.default_rng(0), options=PaintingOptions(**STILL | {key: 0.3}))
        for name, image in changed.items():
            assert (image[~host.brain] == 0).all()
            assert (image[host.brain] > 0).all()
            assert image[white].std() > 1.5 * host.images[name][white].std()
    thick = PaintingOptions(**STILL | {"thick": 1, "thick_min_mm": 5, "thick_max_mm": 5})
    for name, image in acquired(host.images, host, np.random.default_rng(0), options=thick).items():
        ratios = [roughness(image, axis) / roughness(host.images[name], axis) for axis in range(3)]
        assert min(ratios) < 0.6 * max(ratios)  # smooth across the slices, sharp within
        # The background does not darken the surface.
        surface = host.brain & (host.shares["fluid"] < 0.2)
        assert np.median(image[surface]) == pytest.approx(np.median(host.images[name][surface]), rel=0.15)


def test_other_voxels_than_cubes_are_refused(head: LabelMapHead) -> None:
    flat = LabelMapHead(head.labels, head.brain, np.diag([1.0, 1, 3, 1]))
    with pytest.raises(InputError, match="no cubic voxels") as caught:
        painted_host(flat, np.random.default_rng(0), name="flat")
    assert caught.value.code == "input.geometry"


@pytest.fixture(scope="module")
def label_maps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("label_maps")
    for number in (1, 2):
        write_label_map(folder / f"person_{number}.nii.gz")
    return folder


FEW = {"lesions_min": 1, "lesions_max": 2, "diameter_max_mm": 14.0}


def test_the_command_writes_studies_with_exact_labels_and_one_patient_a_map(
    label_maps: Path, tmp_path: Path, run_metseg
) -> None:
    out = tmp_path / "out"
    arguments = ["simulate-lesions", out, "--label-maps", label_maps, "--per-host", 2, "--json"]
    for key, value in FEW.items():
        arguments += ["--set", f"{key}={value}"]
    result = run_metseg(*arguments, "--set", "noise_max=0.02")
    assert result.status == 0, result.err
    rows = json.loads(result.out)["studies"]
    assert [row["case"] for row in rows] == [f"BraTS-MET-0000{k}-00{n}" for k in (1, 2) for n in (0, 1)]
    assert [row["host"] for row in rows] == [f"label map person_{k}" for k in (1, 1, 2, 2)]
    sources = find_cases(out, labels="brats-met-2023")
    assert [source.patient for source in sources] == [f"BraTS-MET-0000{k}" for k in (1, 1, 2, 2)]
    for source in sources:
        case = source.load()
        assert case.labels is not None
        assert set(case.images) == set(SEQUENCES)
        inside = case.images["t1c"].data > 0
        assert all(((image.data > 0) == inside).all() for image in case.images.values())
        assert inside[case.labels.data > 0].all()
        truth = json.loads((out / source.case_id / f"{source.case_id}.json").read_text())
        assert truth["own_tumour"] is False
        assert np.isin(case.labels.data, (1, 3)).sum() == pytest.approx(
            sum(lesion["netc_mm3"] + lesion["et_mm3"] for lesion in truth["lesions"])
        )
    one, two = (sources[place].load().images["t1c"] for place in (0, 1))
    assert one.data.shape != two.data.shape or not np.array_equal(one.data > 0, two.data > 0)  # deformed anew
    with (out / "lesions.csv").open() as file:
        assert len(list(csv.DictReader(file))) == sum(row["lesions"] for row in rows)
    assert data_statement("", out, {source.patient for source in sources}) == PAINTED
    assert data_statement("", out, {"BraTS-MET-00009"}) != PAINTED  # somebody who was not simulated


def test_studies_are_the_same_for_any_number_of_them(label_maps: Path, tmp_path: Path) -> None:
    few, more = tmp_path / "few", tmp_path / "more"
    options = PaintedStudyOptions(**FEW)
    simulate_in_label_maps(few, label_maps, per_host=1, options=options, quiet=True)
    rows = simulate_in_label_maps(more, label_maps, per_host=2, options=options, quiet=True)
    resumed = simulate_in_label_maps(few, label_maps, per_host=2, options=options, existing="resume", quiet=True)
    assert resumed == rows
    names = [path.relative_to(few) for path in sorted(few.rglob("*")) if path.is_file()]
    assert len(names) == 4 * 6 + 3
    for name in names:
        if name.suffix == ".gz":  # their headers hold the time
            one, two = (np.asarray(nib.load(folder / name).dataobj) for folder in (few, more))
            np.testing.assert_array_equal(one, two)
        else:
            assert (few / name).read_bytes() == (more / name).read_bytes()
    changed = options.model_copy(update={"thick": 1.0})
    with pytest.raises(UsageError, match="another 'painting'"):
        simulate_in_label_maps(few, label_maps, per_host=2, options=changed, existing="resume", quiet=True)


def test_two_label_maps_of_one_name_and_a_folder_without_any_are_refused(tmp_path: Path) -> None:
    (tmp_path / "maps").mkdir()
    with pytest.raises(InputError, match="no label map"):
        simulate_in_label_maps(tmp_path / "out", tmp_path / "maps", per_host=1)
    for name in ("a.nii", "a.nii.gz"):
        (tmp_path / "maps" / name).touch()
    with pytest.raises(InputError, match=r"two label maps have the same name .*got a"):
        simulate_in_label_maps(tmp_path / "out", tmp_path / "maps", per_host=1)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "hosts of the lesions are not given"),
        (("--scans", "S", "--label-maps", "L"), "--scans and --label-maps cannot be combined"),
        (("--label-maps", "L", "--healthy-only"), "--healthy-only cannot be combined with --label-maps"),
        (("--label-maps", "L", "--labels", "binary"), "--labels cannot be combined with --label-maps"),
        (("--label-maps", "L", "--set", "badly_striped=0"), "did you mean badly_stripped?"),
        (("--label-maps", "L", "--set", "badly_stripped=2"), "less than or equal to 1"),
        (("--scans", "S", "--set", "badly_stripped=0"), "unknown key 'badly_stripped'"),
    ],
)
def test_options_that_do_not_fit_are_refused(
    options: tuple[str, ...], message: str, tmp_path: Path, run_metseg
) -> None:
    places = {"S": tmp_path, "L": tmp_path}
    result = run_metseg("simulate-lesions", tmp_path / "out", *(places.get(part, part) for part in options))
    assert result.status == 2
    assert message in " ".join(result.err.split())
    assert not (tmp_path / "out").exists()
