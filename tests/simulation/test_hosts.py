"""Simulated metastases in real scans: truth, intensities, mirrored halves, and what the command writes."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage
from typer.testing import CliRunner

from metseg.cli import app
from metseg.errors import InputError, UsageError
from metseg.io.case_discovery import find_cases
from metseg.recipe import validated
from metseg.simulation.hosts.host_dataset import simulate_in_hosts
from metseg.simulation.hosts.host_scan import HostScan, host_scan, mirrored
from metseg.simulation.hosts.insertion import InsertionOptions, insert_lesions
from metseg.volume import BRAIN_MASK, Case, Volume

#: Intensity of fluid, grey and white matter in the round brain.
LEVELS = {"t1n": (100, 300, 400), "t1c": (110, 320, 420), "t2w": (900, 500, 400), "t2f": (90, 450, 380)}
SHAPE = (72, 76, 64)


def round_brain(*, tumour: tuple[float, float] | None = None, shift: int = 0) -> Case:
    """Return a round brain of white matter in grey matter with a ventricle; a tumour spans ``tumour`` mm along x."""
    rng = np.random.default_rng(3)
    x, y, z = np.indices(SHAPE) - np.array([35 + shift, 37, 31])[:, None, None, None]
    distance = np.sqrt(x**2 + y**2 + z**2)
    tissue = np.select([distance < 10, distance < 22, distance < 29], [1, 3, 2])
    images = {}
    for name, values in LEVELS.items():
        image = np.array([0, *values], dtype=np.float32)[tissue] + (tissue > 0) * rng.normal(0, 6, SHAPE)
        images[name] = Volume(np.maximum(image, 0).astype(np.float32), np.diag([1.0, 1, 1, 1]))
    labels = np.zeros(SHAPE, np.uint8)
    if tumour is not None:
        labels[(distance < 20) & (x >= tumour[0]) & (x <= tumour[1]) & (abs(y) < 5) & (abs(z) < 5)] = 3
        for image in images.values():
            image.data[labels > 0] = 1500
    return Case("host-1", "host-1", images, labels=Volume(labels, np.eye(4)))


@pytest.fixture(scope="module")
def host() -> HostScan:
    return host_scan(round_brain())


def test_the_tissues_of_a_host_and_their_levels_are_found(host: HostScan) -> None:
    assert host.labels is None
    for name, (fluid, grey, white) in LEVELS.items():
        assert host.levels[name]["grey"] == pytest.approx(grey, rel=0.05)
        assert host.levels[name]["white"] == pytest.approx(white, rel=0.05)
        assert host.levels[name]["fluid"] == pytest.approx(fluid, rel=0.2)
    assert sum(host.shares.values())[host.brain] == pytest.approx(1, abs=1e-5)
    x, y, z = np.array([35, 37, 31]) - host.canvas.start
    assert host.shares["white"][x + 15, y, z] > 0.9
    assert host.shares["grey"][x + 26, y, z] > 0.9


def test_a_canvas_puts_the_box_back(host: HostScan) -> None:
    whole = host.canvas.paste(host.brain)
    assert whole.shape == SHAPE
    assert whole.sum() == host.brain.sum()
    assert whole[35, 37, 31]


def test_the_truth_is_where_the_images_changed_and_nowhere_else(host: HostScan) -> None:
    options = InsertionOptions(lesions_min=3, lesions_max=3, diameter_min_mm=5, diameter_max_mm=12, random_contrast=0)
    made = insert_lesions(host, np.random.default_rng(5), options=options)
    assert len(made.lesions) == 3
    assert set(np.unique(made.instances)) == {0, 1, 2, 3}
    assert (made.instances > 0)[made.labels > 0].all()
    far = ndimage.distance_transform_edt(made.labels == 0) > 6
    for name, image in made.images.items():
        np.testing.assert_allclose(image[far], host.images[name][far], rtol=1e-4, atol=0.5)
        assert (image[host.brain] > 0).all()
        assert (image[~host.brain] == 0).all()
    for item in made.lesions:
        core = (made.instances == item.lesion.lesion_id) & (made.labels != 2)
        assert core.sum() == pytest.approx(item.lesion.planned_core_mm3, rel=0.05, abs=2)


@pytest.mark.parametrize(("name", "brighter"), [("t1c", True), ("t1n", False), ("t2w", True), ("t2f", True)])
def test_a_solid_lesion_looks_as_one_in_each_sequence(host: HostScan, name: str, brighter: bool) -> None:
    sizes = {"diameter_min_mm": 4, "diameter_median_mm": 5, "diameter_max_mm": 5.9}
    options = InsertionOptions(lesions_min=4, lesions_max=4, random_contrast=0, **sizes)
    found = []
    for seed in range(6):
        made = insert_lesions(host, np.random.default_rng(seed), options=options)
        for item in made.lesions:
            inside = (made.instances == item.lesion.lesion_id) & (made.labels == 3)
            if item.kind == "solid" and inside.sum() > 20:
                found.append(made.images[name][inside].mean() / host.levels[name]["white"])
    assert len(found) > 8
    assert (np.median(found) > 1.15) if brighter else (np.median(found) < 0.95)


def test_equal_seeds_make_equal_lesions(host: HostScan) -> None:
    one, two = (insert_lesions(host, np.random.default_rng(2)) for _ in range(2))
    np.testing.assert_array_equal(one.labels, two.labels)
    np.testing.assert_array_equal(one.images["t1c"], two.images["t1c"])


def test_the_half_with_a_tumour_becomes_the_mirror_image_of_the_other() -> None:
    host = host_scan(round_brain(tumour=(11, 20)))
    assert host.labels is not None
    healthy = mirrored(host)
    assert healthy is not None
    assert healthy.labels is None
    assert healthy.images["t1c"].max() < 1000
    assert healthy.brain.sum() == pytest.approx(host.brain.sum(), rel=0.03)
    assert mirrored(healthy) is healthy


def test_a_tumour_in_both_halves_leaves_no_healthy_one() -> None:
    assert mirrored(host_scan(round_brain(tumour=(-12, 12)))) is None


def test_lesions_keep_away_from_the_tumour_of_the_host_and_its_labels_stay() -> None:
    host = host_scan(round_brain(tumour=(11, 20)))
    made = insert_lesions(host, np.random.default_rng(0), options=InsertionOptions(lesions_min=4))
    own = host.labels > 0  # type: ignore[operator]
    assert (made.labels[own & (made.instances == 0)] == 3).all()
    assert not (made.instances[own] > 0)[made.labels[own] == 3].all()


def test_scans_that_cannot_be_hosts_are_refused() -> None:
    case = round_brain()
    lacking = Case("a", "a", {name: image for name, image in case.images.items() if name != "t1c"})
    with pytest.raises(InputError, match="lacks t1c"):
        host_scan(lacking)
    thick = {name: Volume(image.data, np.diag([1.0, 1, 5, 1])) for name, image in case.images.items()}
    with pytest.raises(InputError, match="cubic voxels"):
        host_scan(Case("a", "a", thick))
    with pytest.raises(InputError, match="the mask on another grid"):
        host_scan(Case("a", "a", case.images, labels=Volume(np.zeros((9, 9, 9), np.uint8), np.eye(4))))
    everywhere = Volume(np.full(SHAPE, 3, np.uint8), np.eye(4))
    with pytest.raises(InputError, match="no healthy tissue"):
        host_scan(Case("a", "a", case.images, labels=everywhere))


def test_a_head_whose_air_was_erased_is_no_host() -> None:
    coarse = {name: Volume(image.data, np.diag([3.0, 3, 3, 1])) for name, image in round_brain().images.items()}
    with pytest.raises(InputError, match=r"not skull-stripped .*at most 2500 mL.*got 27\d\d mL"):
        host_scan(Case("a", "a", coarse))


def test_a_head_with_a_brain_mask_is_a_host_and_the_mask_no_image() -> None:
    case = round_brain()
    noise = np.random.default_rng(0).uniform(1, 9, SHAPE).astype(np.float32)
    inside = np.asarray(case.images["t1c"].data > 0)
    head = {name: Volume(image.data + noise, image.affine) for name, image in case.images.items()}
    head[BRAIN_MASK] = Volume(inside.astype(np.uint8), np.eye(4))
    host = host_scan(Case("a", "a", head))
    assert set(host.images) == set(LEVELS)
    np.testing.assert_array_equal(host.canvas.paste(host.brain), inside)


def test_options_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(UsageError, match="lesions_min is larger than lesions_max"):
        validated(InsertionOptions, {"lesions_min": 5, "lesions_max": 2}, where="here")
    with pytest.raises(UsageError, match="median diameter"):
        validated(InsertionOptions, {"diameter_median_mm": 100}, where="here")


def test_the_command_converts_the_masks_of_the_scans(tmp_path: Path) -> None:
    hosts = write_hosts(tmp_path / "hosts")
    for path in hosts.rglob("*-seg.nii.gz"):
        image = nib.load(path)
        data = np.asarray(image.dataobj)
        nib.save(nib.Nifti1Image(np.where(data == 3, 4, data).astype(np.uint8), image.affine), path)
    arguments = ["simulate-lesions", str(tmp_path / "out"), "--scans", str(hosts), "--per-host", "1"]
    run = CliRunner().invoke(app, [*arguments, "--labels", "brats-gli-2021"])
    assert run.exit_code == 0, run.output
    case = find_cases(tmp_path / "out", labels="brats-met-2023")[0].load()
    assert case.labels is not None
    assert 3 in np.unique(case.labels.data)
    run = CliRunner().invoke(app, [*arguments, "--labels", "binary", "--overwrite"])
    assert isinstance(run.exception, UsageError)
    assert "cannot become brats-met-2023" in str(run.exception)


def write_hosts(root: Path) -> Path:
    for number, tumour in enumerate([(11.0, 20.0), (-12.0, 12.0)], start=1):
        case = round_brain(tumour=tumour, shift=number)
        name = f"BraTS-MET-0000{number}-000"
        (root / name).mkdir(parents=True)
        for sequence, image in [*case.images.items(), ("seg", case.labels)]:
            assert image is not None
            data = image.data.astype(np.int16 if sequence != "seg" else np.uint8)
            nib.save(nib.Nifti1Image(data, np.diag([-1.0, -1, 1, 1])), root / name / f"{name}-{sequence}.nii.gz")
    return root


def test_the_data_set_reads_back_with_a_host_as_patient(tmp_path: Path) -> None:
    hosts = find_cases(write_hosts(tmp_path / "hosts"), labels="brats-met-2023")
    options = InsertionOptions(lesions_max=2)
    rows = simulate_in_hosts(tmp_path / "out", hosts, per_host=2, options=options, quiet=True)
    assert [row["case"] for row in rows] == [f"BraTS-MET-0000{k}-00{n}" for k in (1, 2) for n in (0, 1)]
    sources = find_cases(tmp_path / "out", labels="brats-met-2023")
    assert sorted({source.patient for source in sources}) == ["BraTS-MET-00001", "BraTS-MET-00002"]
    case = sources[0].load()
    assert case.labels is not None
    assert set(case.images) == set(LEVELS)
    truth = json.loads((tmp_path / "out" / sources[0].case_id / f"{sources[0].case_id}.json").read_text())
    with (tmp_path / "out" / "lesions.csv").open() as file:
        table = list(csv.DictReader(file))
    assert len(table) == sum(row["lesions"] for row in rows)
    first = truth["lesions"][0]
    # The truth says where the lesion lies in the world, and the labels of the file are there.
    voxel = np.rint(np.linalg.inv(case.labels.affine) @ [*first["centre_mm"], 1])[:3].astype(int)
    near = case.labels.data[tuple(slice(v - 3, v + 4) for v in voxel)]
    assert np.isin(near, (1, 3)).any()

    with pytest.raises(UsageError, match="not empty"):
        simulate_in_hosts(tmp_path / "out", hosts, per_host=2, options=options, quiet=True)
    again = simulate_in_hosts(tmp_path / "out", hosts, per_host=2, options=options, existing="resume", quiet=True)
    assert again == rows


def test_two_scans_of_one_patient_stay_one_patient(tmp_path: Path) -> None:
    root = write_hosts(tmp_path / "hosts")
    for path in [*(root / "BraTS-MET-00002-000").iterdir()]:
        name = path.name.replace("BraTS-MET-00002-000", "BraTS-MET-00001-001")
        path.rename(path.with_name(name))
    (root / "BraTS-MET-00002-000").rename(root / "BraTS-MET-00001-001")
    hosts = find_cases(root, labels="brats-met-2023")
    out, options = tmp_path / "out", InsertionOptions(lesions_max=1)
    rows = simulate_in_hosts(out, hosts, per_host=1, options=options, quiet=True)
    assert {row["case"]: row["host"] for row in rows} == {
        "BraTS-MET-00001-000": "BraTS-MET-00001-000",
        "BraTS-MET-00001-001": "BraTS-MET-00001-001",
    }
    more = simulate_in_hosts(out, hosts, per_host=2, options=options, existing="resume", quiet=True)
    assert [row["case"][-3:] for row in more] == ["000", "002", "001", "003"]
    assert {row["case"]: row["host"] for row in more}["BraTS-MET-00001-002"] == "BraTS-MET-00001-000"
    assert {source.patient for source in find_cases(out, labels="brats-met-2023")} == {"BraTS-MET-00001"}


def test_scans_without_a_mask_are_named_before_they_are_used(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = write_hosts(tmp_path / "hosts")
    with_mask, without = (f"BraTS-MET-0000{number}-000" for number in (1, 2))
    (root / without / f"{without}-seg.nii.gz").unlink()
    hosts, options = find_cases(root, labels="brats-met-2023"), InsertionOptions(lesions_max=1)
    simulate_in_hosts(tmp_path / "out", hosts, per_host=1, options=options, quiet=True)
    assert capsys.readouterr().err == f"metseg: warning: 1 scan without a mask counts as free of tumour: {without}\n"
    truths = {path.stem: json.loads(path.read_text())["own_tumour"] for path in (tmp_path / "out").glob("*/*.json")}
    assert truths == {with_mask: True, without: None}
    simulate_in_hosts(tmp_path / "mirrored", hosts[:1], per_host=1, options=options, healthy_only=True, quiet=True)
    assert capsys.readouterr().err == ""
    (document,) = (tmp_path / "mirrored").glob("*/*.json")
    assert json.loads(document.read_text())["own_tumour"] is False


def test_only_hosts_with_a_healthy_half_remain_where_that_is_asked_for(tmp_path: Path) -> None:
    hosts = find_cases(write_hosts(tmp_path / "hosts"), labels="brats-met-2023")
    rows = simulate_in_hosts(tmp_path / "out", hosts, per_host=1, healthy_only=True, quiet=True)
    assert [row["host"] for row in rows] == [hosts[0].case_id]
    with pytest.raises(InputError, match="no scan is usable"):
        simulate_in_hosts(tmp_path / "none", hosts[1:], per_host=1, healthy_only=True, quiet=True)
