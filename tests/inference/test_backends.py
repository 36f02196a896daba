"""Exported networks: equal to torch's, checked when they are written and when they are read."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import metseg
from metseg.errors import BundleError, UsageError
from metseg.inference.backends import backend_table, exported_model
from metseg.inference.backends.backend_table import BACKENDS, EXPORT_FORMATS, Backend, find_backend
from metseg.inference.backends.exported_model import export_bundle, load_exported
from metseg.inference.predictor import Predictor
from metseg.io import find_inputs
from metseg.model import SegmentationNetwork, build_model
from metseg.model.bundle import Bundle, load_bundle, save_bundle
from metseg.recipe import Recipe
from metseg.sample import STUDY, TRUTH, sample_folder
from metseg.volume import Case, Volume

every_format = pytest.mark.parametrize("form", EXPORT_FORMATS)


@pytest.fixture(autouse=True)
def _installed(request: pytest.FixtureRequest) -> None:
    for name in ("onnx", "onnxruntime", "openvino"):
        pytest.importorskip(name)


def small_bundle(folder: Path, *, dimensions: int, folds: int = 1) -> Bundle:
    """Return a bundle of random weights: a slice network, or a 3D network with fixed norms, which are folded."""
    torch.manual_seed(0)
    name, options = {
        2: ("unet", {"channels": (4, 8), "blocks": (1, 1)}),
        3: ("dynunet", {"channels": (8, 8, 8), "norm": "fixed"}),
    }[dimensions]
    channels = {"channels": ["t1n", "t2f", "t1c"], "modalities": ["t1c", "t2f"]}
    data = {"modalities": ["t1c", "t2f"], "dimensions": 3} if dimensions == 3 else channels
    recipe = Recipe.model_validate({
        "name": "small", "data": data, "preprocess": [{"name": "zscore"}],
        "augment": [{"name": "flip", "axes": [0]}],
        "model": {"name": name, **options},
        "train": {"precision": "float32", **({"patch_size": (16, 16, 16)} if dimensions == 3 else {})},
        "predict": {"tta": True, "threshold": 0.5},
    })  # fmt: skip
    networks = [build_model(name, options, in_channels=2, out_channels=1, dimensions=dimensions) for _ in range(folds)]
    save_bundle(folder, networks=networks, recipe=recipe, card="# small", metrics={})
    return load_bundle(folder)


def noise_case(dimensions: int) -> Case:
    rng = np.random.default_rng(0)
    shape = (21, 19, 18) if dimensions == 3 else (37, 26, 3)
    images = {name: rng.normal(100, 20, shape).astype(np.float32) for name in ("t1c", "t2f")}
    if dimensions == 3:
        return Case("case", "p", {name: Volume(image, np.eye(4)) for name, image in images.items()})
    volumes = {name: Volume(image) for name, image in images.items()}
    return Case("case", "p", volumes, slice_names=("a", "b", "c"))


@every_format
@pytest.mark.parametrize(("dimensions", "folds"), [(2, 2), (3, 1)])
def test_an_export_predicts_what_torch_predicts(form: str, dimensions: int, folds: int, tmp_path: Path) -> None:
    bundle, case = small_bundle(tmp_path / "b", dimensions=dimensions, folds=folds), noise_case(dimensions)
    exported = export_bundle(bundle, form, tmp_path / "out")
    assert exported.max_difference < 1e-4 * exported.largest_logit
    document = json.loads((tmp_path / "out" / "export.json").read_text())
    assert document["bundle"] == bundle.fingerprint
    assert set(document["weights"]) == {path.name for path in bundle.folder.glob("*.safetensors")}
    assert [graph["max_difference"] for graph in document["graphs"]] != [0.0] * folds  # the numbers were computed
    assert (tmp_path / "out" / "card.md").read_text() == "# small"
    # Networks of random weights have all probabilities on one side of 0.5.
    threshold = float(np.median(Predictor.from_bundle(bundle, device="cpu")(case).probability))
    ours = Predictor.from_bundle(bundle, device="cpu", threshold=threshold)(case)
    theirs = Predictor.from_bundle(bundle, backend=form, exported=tmp_path / "out", threshold=threshold)(case)
    np.testing.assert_allclose(theirs.probability, ours.probability, atol=2e-3 if dimensions == 3 else 1e-5)
    assert 0 < np.count_nonzero(ours.labels) < ours.labels.size
    assert np.mean(ours.labels == theirs.labels) > 0.998
    assert (ours.backend, theirs.backend) == ("torch", form)


@pytest.mark.slow
@every_format
@pytest.mark.parametrize("name", ["lgg-flair", "mets-sim"])
def test_the_masks_of_the_sample_study_equal_torchs(
    name: str, form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A part of the sample around its largest lesion; benchmarks/backends.py has the whole study."""
    bundle = load_bundle(name)
    train = bundle.recipe.train.model_copy(update={"precision": "float32"})
    bundle = Bundle(**{**vars(bundle), "recipe": bundle.recipe.model_copy(update={"train": train})})
    case = part_of_sample(bundle, half=12 if bundle.recipe.data.dimensions == 3 else 2)
    export_bundle(bundle, form, tmp_path / "out")
    ours = Predictor.from_bundle(bundle, device="cpu", tta=False)(case).labels
    theirs = Predictor.from_bundle(bundle, backend=form, exported=tmp_path / "out", tta=False)(case).labels
    assert np.count_nonzero(ours) > 100
    shared = np.count_nonzero((ours > 0) & (ours == theirs))
    assert 2 * shared / (np.count_nonzero(ours) + np.count_nonzero(theirs)) >= 0.998


def part_of_sample(bundle: Bundle, *, half: int) -> Case:
    """Return the slices of the sample study about its largest lesion, for 3D networks a cube."""
    import nibabel

    case = find_inputs(sample_folder(STUDY), bundle.recipe.data)[0].load()
    truth = np.asarray(nibabel.load(next(sample_folder(TRUTH).glob("*.nii.gz"))).dataobj)
    middle = int(np.argmax(np.count_nonzero(truth, axis=(0, 1))))
    box = [slice(None), slice(None), slice(middle - half, middle + half)]
    if bundle.recipe.data.dimensions == 3:
        places = np.argwhere(truth[:, :, middle] > 0).mean(axis=0).astype(int)
        box[:2] = [slice(max(place - 2 * half, 0), place + 2 * half) for place in places]
    images = {name: Volume(np.asarray(image.data)[tuple(box)], image.affine) for name, image in case.images.items()}
    return Case("part", "p", images)


def test_a_model_without_an_export_says_how_to_export_it(tmp_path: Path) -> None:
    bundle = small_bundle(tmp_path / "b", dimensions=2)
    with pytest.raises(UsageError, match=r"metseg models export b --format onnx") as caught:
        Predictor.from_bundle(bundle, backend="onnx")
    assert caught.value.code == "usage.not_exported"


def test_exports_are_of_one_bundle_and_unchanged(tmp_path: Path) -> None:
    bundle = small_bundle(tmp_path / "b", dimensions=2)
    other = small_bundle(tmp_path / "c", dimensions=2, folds=2)
    folder = export_bundle(bundle, "onnx", tmp_path / "out").folder
    with pytest.raises(BundleError, match="another bundle"):
        load_exported(other, "onnx", folder, bf16=False)
    with pytest.raises(BundleError, match="another bundle, or for another backend"):
        load_exported(bundle, "openvino", folder, bf16=False)
    graph = folder / "model.onnx"
    content = graph.read_bytes()
    graph.write_bytes(content[:-1] + b"x")
    with pytest.raises(BundleError, match=r"model\.onnx: checksum mismatch"):
        load_exported(bundle, "onnx", folder, bf16=False)
    (folder / "export.json").write_text("{}")
    with pytest.raises(BundleError, match="damaged"):
        load_exported(bundle, "onnx", folder, bf16=False)
    other_folder = tmp_path / "mine"
    other_folder.mkdir()
    (other_folder / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="not replaced"):
        export_bundle(bundle, "onnx", other_folder)
    assert (other_folder / "notes.txt").exists()


class _ShapeAtTracing(nn.Module):
    """Multiplies by the size of the image, which tracing turns into a constant: wrong for other sizes."""

    def forward(self, images: Tensor) -> Tensor:
        return images[:, :1] * float(images.shape[-1] + images.shape[-2])


def test_a_graph_that_differs_from_torch_is_not_written(tmp_path: Path) -> None:
    bundle = small_bundle(tmp_path / "b", dimensions=2)
    network = SegmentationNetwork(_ShapeAtTracing(), in_channels=2, out_channels=1)
    wrong = Bundle(**{**vars(bundle), "networks": (network,)})
    with pytest.raises(BundleError, match="does not give torch's outputs") as caught:
        export_bundle(wrong, "onnx", tmp_path / "out")
    assert caught.value.code == "model.export"
    assert not (tmp_path / "out").exists()


@every_format
def test_swin_unetr_is_refused_and_nothing_is_written(form: str, tmp_path: Path) -> None:
    """Sizes of windows are in its graph, so that it differs from torch at another size."""
    options = {"feature_size": 12, "depths": (1, 1, 1, 1), "window_size": 4}
    recipe = Recipe.model_validate({
        "name": "swin", "data": {"modalities": ["t2f"]},
        "model": {"name": "swin_unetr", **options}, "train": {"precision": "float32"},
    })  # fmt: skip
    torch.manual_seed(0)
    network = build_model("swin_unetr", options, in_channels=1, out_channels=1, dimensions=2)
    save_bundle(tmp_path / "bundle", networks=[network], recipe=recipe, card="# swin", metrics={})
    out = tmp_path / "export"
    with pytest.raises(BundleError) as caught:
        export_bundle(load_bundle(tmp_path / "bundle"), form, out)
    assert caught.value.code == "model.export"
    assert not out.exists()


def test_what_does_not_fit_the_backend_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = small_bundle(tmp_path / "b", dimensions=2)
    with pytest.raises(UsageError, match=r"Did you mean 'onnx'\?"):
        metseg.load_model(bundle.folder, backend="onx")
    with pytest.raises(UsageError, match="computes on the CPU only"):
        metseg.load_model(bundle.folder, backend="onnx", device="cuda")
    with pytest.raises(UsageError, match="uses no export"):
        metseg.load_model(bundle.folder, exported=tmp_path)
    absent = Backend("Absent Runtime", ("absent_runtime",), "absent", ".x", "m:convert", "m:open")
    monkeypatch.setattr(backend_table, "BACKENDS", {**BACKENDS, "absent": absent})
    with pytest.raises(UsageError, match=r"pip install 'metseg\[absent\]'"):
        find_backend("absent")


def test_the_default_folder_depends_on_the_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METSEG_HOME", str(tmp_path / "home"))
    one, two = (small_bundle(tmp_path / name, dimensions=2, folds=folds) for name, folds in (("b", 1), ("c", 2)))
    places = [exported_model.default_export_folder(bundle, "onnx") for bundle in (one, two)]
    assert places[0].parent == tmp_path / "home" / "exports"
    assert places[0] != places[1]
    export_bundle(one, "onnx")
    assert metseg.load_model(one.folder, backend="onnx").backend == "onnx"


def test_the_commands_export_and_predict(
    run_metseg: Callable[..., tuple[int, str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("METSEG_HOME", str(tmp_path / "home"))
    bundle = small_bundle(tmp_path / "b", dimensions=2)
    status, out, err = run_metseg("models", "export", bundle.folder, "--format", "onnx", "--json")
    assert status == 0, err
    exported = json.loads(out)
    assert Path(exported["folder"]) == exported_model.default_export_folder(bundle, "onnx")
    assert exported["max_difference"] <= 1e-4 * exported["largest_logit"]
    pixels = np.random.default_rng(0).integers(0, 255, (30, 24, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    words = ["predict", tmp_path / "a.png", "--model", bundle.folder, "--out", tmp_path / "out", "--json"]
    status, out, err = run_metseg(*words, "--backend", "onnx", "--uncertainty")
    assert status == 0, err
    (case,) = json.loads(out)["cases"]
    assert case["technique"]["backend"] == "onnx"
    assert (tmp_path / "out" / "a_uncertainty.png").exists()


def test_openvino_reports_nothing_over_the_internet() -> None:
    """In a process of its own: what is imported once stays imported."""
    code = (
        "from metseg.inference.backends.openvino_session import import_openvino\n"
        "import_openvino()\n"
        "from openvino.tools.ovc import telemetry_utils\n"
        "import sys\n"
        "print(telemetry_utils.tm.__name__, [name for name in sys.modules if name.startswith('openvino_telemetry.')])"
    )
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert found.stdout.strip() == "openvino.tools.ovc.telemetry_stub []"
