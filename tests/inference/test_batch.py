"""From a folder of pictures to masks, overlays and documents, through the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from PIL import Image

from metseg.errors import InputError, ResourceError, UsageError
from metseg.evaluation.files.mask_files import find_masks
from metseg.inference import batch as folder_module
from metseg.inference.batch import predict_paths
from metseg.inference.input_options import InputOptions
from metseg.inference.network_predictor import SLICES_IN_MEMORY
from metseg.inference.predictor import Predictor
from metseg.inference.windows import memory as memory_module
from metseg.picture_style import ORANGE

Run = Callable[..., tuple[int, str, str]]
Make = Callable[..., Predictor]


def save(path: Path, pixels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def picture(x: int, y: int, *, shape: tuple[int, int] = (20, 30), size: int = 4) -> np.ndarray:
    """Return rows x columns of dark shades with a bright square, its corner at column x and row y."""
    pixels = np.indices(shape).sum(axis=0).astype(np.uint8) % 40
    pixels[y : y + size, x : x + size] = 200
    return pixels


@pytest.fixture
def sees_bright(predictor: Make, first_channel: Callable[..., torch.nn.Module]) -> Predictor:
    """Return a predictor for which lesion is what is brighter than 100."""
    return predictor(first_channel(1.0, -100.0))


def read(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


def test_results_lie_where_the_pictures_lay(sees_bright: Predictor, tmp_path: Path) -> None:
    data, out = tmp_path / "data", tmp_path / "out"
    save(data / "A" / "scan_2.png", picture(3, 5))
    save(data / "A" / "scan_10.png", picture(20, 10, size=6))
    save(data / "B" / "deep" / "x.png", picture(0, 0, shape=(7, 9)))
    save(data / "A" / "scan_2_mask.png", picture(0, 0))  # a truth: not predicted on
    outcome = predict_paths([data], sees_bright, out, formats=("mask", "overlay", "probability"), quiet=True)
    assert (outcome.pictures, outcome.lesions, outcome.errors) == (3, 3, [])
    stems, kinds = ("A/scan_2", "A/scan_10", "B/deep/x"), ("mask", "overlay", "probability")
    expected = {f"{stem}_{kind}.png" for stem in stems for kind in kinds} | {"A.json", "B_deep.json", "lesions.csv"}
    assert {str(path.relative_to(out)) for path in out.rglob("*.*")} == expected
    mask = read(out / "A" / "scan_2_mask.png")
    np.testing.assert_array_equal(mask, np.where(picture(3, 5) > 100, 255, 0))
    assert mask.dtype == np.uint8
    captioned = read(out / "A" / "scan_2_overlay.png")
    below = captioned[20:]
    assert (below.min(axis=-1) > 200).sum() > 100  # name and disclaimer
    assert (np.abs(below.astype(int) - ORANGE).max(axis=-1) == 0).sum() >= 100  # the square of the legend
    probability = read(out / "A" / "scan_2_probability.png")
    assert (probability.dtype, probability.max(), probability.min()) == (np.uint16, 65535, 0)
    overlay = read(out / "B" / "deep" / "x_overlay.png").astype(int)
    assert np.ptp(overlay[1, 1]) > 20  # colour in the lesion
    assert np.ptp(overlay[6, 8]) == 0  # grey elsewhere


def test_the_document(sees_bright: Predictor, tmp_path: Path) -> None:
    data, out = tmp_path / "data", tmp_path / "out"
    save(data / "s_1.png", picture(3, 5))
    save(data / "s_2.png", picture(20, 10, size=6))
    bad = save(data / "s_3.png", picture(1, 1))
    bad.write_bytes(bad.read_bytes()[:60])
    outcome = predict_paths([data], sees_bright, out, quiet=True)
    (path,) = outcome.documents
    written = json.loads(path.read_text())
    assert path == out / "data.json"
    assert "Research use only" in written["notice"]
    assert (written["case"], written["model"], written["shape"]) == ("data", "known", [30, 20, 2])
    assert written["slices"] == ["s_1", "s_2"]
    large, small = written["lesions"]
    assert (large["id"], large["voxels"], large["slice_index"], large["label"]) == (1, 36, 1, "lesion")
    assert large["centre_voxel"] == [22.5, 12.5, 1.0]
    assert (small["id"], small["voxels"], small["slice_index"]) == (2, 16, 0)
    assert small["volume_ml"] is small["longest_diameter_mm"] is None  # pictures know nothing of millimetres
    assert large["confidence"] == pytest.approx(1.0)
    assert set(written["timings_s"]) == {"preprocess", "predict", "restore", "measure"}
    (failed,) = written["failed"]
    assert failed["code"] == "input.truncated"
    assert "s_3.png" in failed["message"]
    assert [error.one_line() for error in outcome.errors] == [failed["message"]]


def test_a_failure_stands_in_its_own_case_only(sees_bright: Predictor, tmp_path: Path) -> None:
    for name in ("A", "B", "C"):
        save(tmp_path / "data" / name / "1.png", picture(3, 5))
    (tmp_path / "data" / "A" / "2.png").write_bytes(b"")
    predict_paths([tmp_path / "data"], sees_bright, tmp_path / "out", quiet=True)
    failed = {path.stem: len(json.loads(path.read_text())["failed"]) for path in (tmp_path / "out").glob("*.json")}
    assert failed == {"A": 1, "B": 0, "C": 0}


def test_a_mask_of_several_classes_holds_class_ids(
    tmp_path: Path, predictor: Make, first_channel: Callable[..., torch.nn.Module]
) -> None:
    from metseg.labels import LABEL_SCHEMES
    from metseg.model import SegmentationNetwork
    from metseg.recipe import parse_recipe

    name, scheme = next((name, scheme) for name, scheme in LABEL_SCHEMES.items() if len(scheme.classes) == 3)

    class SecondClass(torch.nn.Module):
        """Finds only the first class, so that no id above 1 occurs."""

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            logits = torch.zeros(len(images), 4, *images.shape[2:])
            logits[:, 0] = 100 - images[:, 0]
            logits[:, 1] = images[:, 0] - 100
            return logits

    text = f'name = "several"\ndata = {{ channels = ["t2f"], labels = "{name}" }}\nmodel = {{ name = "unet" }}'
    network = SegmentationNetwork(SecondClass(), in_channels=1, out_channels=4)
    model = Predictor([network], parse_recipe(text, where="test"))
    predict_paths([save(tmp_path / "a.png", picture(3, 5))], model, tmp_path / "out", quiet=True)
    mask = read(tmp_path / "out" / "a_mask.png")
    np.testing.assert_array_equal(mask, np.where(picture(3, 5) > 100, scheme.values[1], 0))


@pytest.mark.parametrize("count", [2 * SLICES_IN_MEMORY + 3, 3])
def test_a_large_folder_is_read_and_written_in_parts(
    sees_bright: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    for number in range(count):
        save(
            tmp_path / "data" / f"{number:04d}.png",
            picture(number % 20, 1 + 6 * (number % 2), shape=(12, 24), size=2 + number % 3),
        )
    loaded = []
    original = folder_module.SliceStackSource.load_readable

    def load(source: folder_module.SliceStackSource) -> object:
        loaded.append((len(source.slices), len(list((tmp_path / "out").glob("*_mask.png")))))
        return original(source)

    monkeypatch.setattr(folder_module.SliceStackSource, "load_readable", load)
    outcome = predict_paths([tmp_path / "data"], sees_bright, tmp_path / "out", quiet=True)
    sizes = [min(SLICES_IN_MEMORY, count - first) for first in range(0, count, SLICES_IN_MEMORY)]
    # Each part is on the disk before the next is read.
    assert loaded == [(size, place * SLICES_IN_MEMORY) for place, size in enumerate(sizes)]
    written = json.loads(outcome.documents[0].read_text())
    assert written["slices"] == [f"{number:04d}" for number in range(count)]
    assert written["shape"] == [24, 12, count]
    assert [lesion["id"] for lesion in written["lesions"]] == list(range(1, count + 1))
    voxels = [lesion["voxels"] for lesion in written["lesions"]]
    assert voxels == sorted(voxels, reverse=True)
    for lesion in written["lesions"]:
        number, size = lesion["slice_index"], 2 + lesion["slice_index"] % 3
        assert lesion["voxels"] == size**2
        middle = (size - 1) / 2
        assert lesion["centre_voxel"] == [number % 20 + middle, 1 + 6 * (number % 2) + middle, number]


def test_statistics_over_the_case_need_the_whole_case(
    predictor: Make, first_channel: Callable[..., torch.nn.Module], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = SLICES_IN_MEMORY + 6
    for number in range(count):
        save(tmp_path / "data" / f"{number:04d}.png", np.full((6, 6), number, dtype=np.uint8))
    steps = 'preprocess=[{ name = "zscore", scope = "case", region = "all" }]'
    model = predictor(first_channel(), changes=(steps,))
    assert model.needs_whole_case
    outcome = predict_paths([tmp_path / "data"], model, tmp_path / "out", quiet=True)
    # Above the mean of the case: the upper half of the slices, however they were divided.
    found = [read(tmp_path / "out" / f"{number:04d}_mask.png").all() for number in range(count)]
    assert found == [number >= (count - 1) / 2 for number in range(count)]
    (note,) = outcome.warnings
    assert note.startswith(f"{count} pictures were read as slices of one patient")
    assert "--patient-pattern '^([^_]+)_', or a table, --patients FILE" in note

    monkeypatch.setattr(memory_module, "free_memory", lambda: 10_000)
    outcome = predict_paths([tmp_path / "data"], model, tmp_path / "other", quiet=True)
    (error,) = outcome.errors
    assert isinstance(error, ResourceError)
    assert "70 pictures of one folder do not fit" in error.one_line()
    assert error.one_line().endswith("give each patient a folder")
    assert outcome.documents == []


def test_eight_and_sixteen_bits_may_lie_side_by_side(sees_bright: Predictor, tmp_path: Path) -> None:
    save(tmp_path / "data" / "1.png", picture(2, 2).astype(np.uint16) * 100)
    for number in range(2, 5):
        save(tmp_path / "data" / f"{number}.png", picture(number, 2))
    outcome = predict_paths([tmp_path / "data"], sees_bright, tmp_path / "out", quiet=True)
    assert (outcome.pictures, outcome.errors) == (4, [])
    for number in range(2, 5):
        np.testing.assert_array_equal(read(tmp_path / "out" / f"{number}_mask.png") > 0, picture(number, 2) > 100)


def test_results_of_one_name_are_refused(sees_bright: Predictor, tmp_path: Path) -> None:
    inputs = [save(tmp_path / name, picture(1, 1)) for name in ("a/x.png", "b/x.png")]
    with pytest.raises(InputError, match="two inputs would give results of the same name") as raised:
        predict_paths(inputs, sees_bright, tmp_path / "out", quiet=True)
    assert raised.value.code == "input.name_clash"
    assert not (tmp_path / "out").exists()


def test_results_of_several_folders_lie_in_folders_of_their_own(sees_bright: Predictor, tmp_path: Path) -> None:
    inputs = [save(tmp_path / name, picture(1, 1)).parent for name in ("a/scan/x.png", "b/scan/x.png")]
    predict_paths(inputs, sees_bright, tmp_path / "out", quiet=True)
    written = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.*")}
    assert written == {"a/scan/x_mask.png", "b/scan/x_mask.png", "a_scan.json", "b_scan.json", "lesions.csv"}


def test_nothing_beside_the_pictures_is_overwritten(sees_bright: Predictor, tmp_path: Path) -> None:
    save(tmp_path / "1.png", picture(1, 1))
    truth = save(tmp_path / "1_mask.png", picture(5, 5))
    before = truth.read_bytes()
    with pytest.raises(InputError, match="would overwrite an existing file"):
        predict_paths([tmp_path], sees_bright, tmp_path, quiet=True)
    assert truth.read_bytes() == before
    truth.unlink()
    assert predict_paths([tmp_path], sees_bright, tmp_path, quiet=True).pictures == 1
    assert (tmp_path / "1_mask.png").exists()


def test_results_below_the_pictures_are_not_predicted_on(sees_bright: Predictor, tmp_path: Path) -> None:
    save(tmp_path / "1.png", picture(1, 1))
    for _ in range(2):
        outcome = predict_paths([tmp_path], sees_bright, tmp_path / "out", formats=("mask", "overlay"), quiet=True)
        assert outcome.pictures == 1
    assert sorted(path.name for path in tmp_path.rglob("*.png")) == ["1.png", "1_mask.png", "1_overlay.png"]


def test_an_unknown_format_is_refused_before_anything_is_read(sees_bright: Predictor, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Unknown format 'nifty'"):
        predict_paths([tmp_path / "nowhere"], sees_bright, tmp_path, formats=("nifty",))


# The command


def test_json_is_one_document_and_nothing_else(run_metseg: Run, tiny_bundle: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for number in range(2):
        save(tmp_path / "data" / f"{number}.png", rng.integers(0, 255, (97, 131, 3), dtype=np.uint8))
    (tmp_path / "data" / "bad.png").write_bytes(b"")
    status, out, err = run_metseg(
        "predict", tmp_path / "data", "--model", tiny_bundle, "--out", tmp_path / "out", "--json"
    )
    assert (status, err) == (3, "")
    answer = json.loads(out)
    (case,) = answer["cases"]
    assert case["shape"] == [131, 97, 2]
    assert case == json.loads((tmp_path / "out" / "data.json").read_text())
    assert [failure["code"] for failure in answer["failed"]] == ["input.format"]
    assert read(tmp_path / "out" / "1_mask.png").shape == (97, 131)


def test_no_such_input(run_metseg: Run, tiny_bundle: Path, tmp_path: Path) -> None:
    status, out, err = run_metseg("predict", tmp_path / "nowhere", "--model", tiny_bundle, "--out", tmp_path / "out")
    assert (status, out) == (3, "")
    assert err.count("\n") == 1
    assert "nowhere" in err


def test_pictures_of_two_people_do_not_share_a_case(
    predictor: Make, first_channel: Callable[..., torch.nn.Module], tmp_path: Path
) -> None:
    """Of each patient the largest lesion is kept; of all pictures together, Ben would be left without one."""
    model = predictor(first_channel(1.0, -100.0), changes=("predict.keep_largest=true",))
    save(tmp_path / "data" / "ann_1.png", picture(3, 5, size=6))
    save(tmp_path / "data" / "ben_1.png", picture(3, 5, size=4))
    save(tmp_path / "data" / "ben_2.png", picture(12, 5, size=3))
    outcome = predict_paths([tmp_path / "data"], model, tmp_path / "out", quiet=True)
    assert {name: int((read(tmp_path / "out" / f"{name}_mask.png") > 0).sum()) for name in ("ann_1", "ben_1")} == {
        "ann_1": 36,
        "ben_1": 16,
    }
    assert not read(tmp_path / "out" / "ben_2_mask.png").any()
    # That Ben is one person, only names say; Ann is one picture.
    (note,) = outcome.warnings
    assert note.startswith("2 pictures were read as slices of one patient")
    assert note in json.loads((tmp_path / "out" / "ben.json").read_text())["warnings"]
    assert json.loads((tmp_path / "out" / "ann_1.json").read_text())["warnings"] == []


def test_a_pattern_says_whose_a_picture_is(
    predictor: Make, first_channel: Callable[..., torch.nn.Module], tmp_path: Path
) -> None:
    model = predictor(first_channel(1.0, -100.0), changes=("predict.keep_largest=true",))
    for number, size in ((1, 6), (2, 4)):
        save(tmp_path / "data" / f"IMG_{number}.png", picture(3, 5, size=size))
    reading = InputOptions(patient_pattern="^(.*)$")
    outcome = predict_paths([tmp_path / "data"], model, tmp_path / "out", reading=reading, quiet=True)
    assert read(tmp_path / "out" / "IMG_2_mask.png").any()
    assert not outcome.warnings


def test_how_inputs_are_read_is_for_the_command_line_to_say(run_metseg: Run, tiny_bundle: Path, tmp_path: Path) -> None:
    pages = [Image.fromarray(np.dstack([picture(3, 5), picture(4, 5), picture(2, 5)])) for _ in range(2)]
    pages[0].save(tmp_path / "stack.tif", save_all=True, append_images=pages[1:])
    command = ("predict", tmp_path / "stack.tif", "--model", tiny_bundle, "--out", tmp_path / "out")
    status, _, err = run_metseg(*command)
    assert (status, "2 pages" in err) == (3, True)
    status, out, _ = run_metseg(*command, "--stack")
    assert (status, out.splitlines()[-1].split(",")[0]) == (0, "2 pictures")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--modality", "t1c"], "expected t1c=PATH"),
        (["--modality", "t1c=a", "--modality", "t1c=b"], "t1c is given twice"),
        ([], "nothing to predict on"),
    ],
)
def test_sequences_that_are_named_wrongly(run_metseg: Run, tiny_bundle: Path, given: list[str], message: str) -> None:
    status, out, err = run_metseg("predict", "--model", tiny_bundle, *given)
    assert (status, out) == (2, "")
    assert message in err


def test_a_volume_of_one_sequence_is_not_said_to_lack_others_where_the_model_sees_pictures(
    predictor: Make, first_channel: Callable[..., torch.nn.Module], tmp_path: Path
) -> None:
    hides = 'augment=[{name = "missing_sequence", options = {reference = 1}}]'
    model = predictor(first_channel(), channels=("t1n", "t2f", "t1c"), changes=(hides,))
    flair = tmp_path / "p1" / "flair.nii.gz"
    flair.parent.mkdir()
    nib.save(nib.Nifti1Image(np.ones((8, 8, 4), np.int16), np.eye(4)), flair)
    for inputs, named in (([], {"t2f": str(flair)}), ([flair.parent], {})):
        reading = InputOptions(named=named)
        (error,) = predict_paths(inputs, model, tmp_path / "out", reading=reading, quiet=True).errors
        assert (error.code, error.what) == ("input.dimensions", "the model takes 2D images, but the input is a volume")
        assert error.got == "a volume without t1n, t1c"
        assert "give its slices of t2f as grey pictures" in str(error.cure)
    save(tmp_path / "flair.png", picture(3, 5))
    reading = InputOptions(named={"t2f": str(tmp_path / "flair.png")})
    with pytest.raises(UsageError, match=r"the input is 2D images.*without --modality; a grey one is read as t2f"):
        predict_paths([], model, tmp_path / "out", reading=reading, quiet=True)


def test_instance_maps_of_pictures_have_the_ids_of_the_table(
    sees_bright: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two slices at a time: the lesion that runs through both parts is the largest only when both are known."""
    monkeypatch.setattr(folder_module, "SLICES_IN_MEMORY", 2)
    data, out = tmp_path / "data", tmp_path / "out"
    places = {1: [(20, 10, 5)], 2: [(3, 5, 4)], 3: [(3, 5, 4)], 4: [(20, 3, 2)]}
    for number, squares in places.items():
        save(data / f"s_{number}.png", picture(*squares[0][:2], size=squares[0][2]))
    predict_paths([data], sees_bright, out, formats=("mask", "instances"), quiet=True)
    lesions = json.loads((out / "data.json").read_text())["lesions"]
    assert [(lesion["id"], lesion["voxels"], lesion["slices"]) for lesion in lesions] == [
        (1, 32, [1, 2]),
        (2, 25, [0]),
        (3, 4, [3]),
    ]
    for number, lesion_id in {1: 2, 2: 1, 3: 1, 4: 3}.items():
        instances = read(out / f"s_{number}_lesions.png")
        assert instances.dtype == np.uint16
        np.testing.assert_array_equal(instances, np.where(read(out / f"s_{number}_mask.png") > 0, lesion_id, 0))


def test_the_instance_map_of_a_volume_lies_on_its_grid_and_is_no_mask(
    predictor: Make, first_channel: Callable[..., torch.nn.Module], tmp_path: Path
) -> None:
    affine = np.array([[-1.0, 0, 0, 9], [0, 1.5, 0, -8], [0, 0, 2, 3], [0, 0, 0, 1]])
    image = np.random.default_rng(0).normal(50, 5, (16, 14, 10)).astype(np.float32)
    image[2:5, 2:5, 2:5] = image[10:12, 9:11, 6:8] = 250
    nib.save(nib.Nifti1Image(image, affine), tmp_path / "P1.nii.gz")
    changes = ("data.channels=", 'data.modalities=["t2f"]')
    known = predictor(first_channel(1.0, -150.0), changes=changes)
    reading = InputOptions(None, None, None, {"t2f": str(tmp_path / "P1.nii.gz")})
    out = tmp_path / "out"
    outcome = predict_paths([], known, out, formats=("mask", "instances"), reading=reading, quiet=True)
    (document,) = outcome.documents
    case = document.stem
    written = nib.load(out / f"{case}-lesions.nii.gz")
    instances = np.asanyarray(written.dataobj)
    np.testing.assert_array_equal(written.affine, affine)
    assert instances.dtype == np.uint16
    assert np.bincount(instances.ravel())[1:].tolist() == [27, 8]
    assert (instances[3, 3, 3], instances[10, 9, 6]) == (1, 2)
    found = find_masks(out)
    assert [mask.path.name for mask in found.masks] == [f"{case}-seg.nii.gz"]
