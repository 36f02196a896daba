"""Grad-CAM and attention gates: equal to MONAI's where it applies, and dependent on the weights."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from metseg.errors import UsageError
from metseg.inference.explanation.explain_case import CaseExplainer, write_explanation
from metseg.inference.explanation.explained_layers import bottleneck_name, find_layer, gates_of
from metseg.inference.explanation.grad_cam import Explainer, lesion_logit, seg_grad_cam
from metseg.io import find_inputs
from metseg.model import MODELS, SegmentationNetwork, build_model
from metseg.model.activation import CLASSES, Outputs
from metseg.model.bundle import load_bundle, save_bundle
from metseg.recipe import Named, Recipe
from metseg.sample import PICTURES, sample_folder
from metseg.volume import Case, Volume

SMALL, WIDE = {"channels": (4, 8, 8, 16)}, {"channels": (8, 8, 16, 16)}


@pytest.fixture(autouse=True)
def _reproducible() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize(("name", "options", "expected"), [
    ("unet", {**SMALL, "blocks": (1, 1, 1, 1)}, "dropout"),
    ("dynunet", WIDE, "bottleneck"),
    ("cnn", {"channels": (4, 8)}, None),
    ("attention_unet", SMALL, None),
])  # fmt: skip
def test_the_default_layer_is_the_bottleneck(name: str, options: dict[str, object], expected: str | None) -> None:
    network = build_model(name, options, in_channels=1, out_channels=1).eval()
    found = bottleneck_name(network)
    assert expected is None or found == expected
    sizes: list[int] = []
    find_layer(network, None)[1].register_forward_hook(lambda _, __, output: sizes.append(output.shape[-1]))
    with torch.no_grad():
        network(torch.zeros(1, 1, 64, 64))
    assert sizes == [64 if name == "cnn" else 8]


def test_a_layer_that_is_not_there_is_refused_with_the_nearest() -> None:
    network = build_model("dynunet", WIDE, in_channels=1, out_channels=1)
    with pytest.raises(UsageError, match="bottleneck"):
        find_layer(network, "botleneck")


@pytest.mark.parametrize("name", ["gates", "up"])  # lists of modules, which the network does not call
def test_a_layer_without_features_is_refused(name: str) -> None:
    network = build_model("gated_unet", {"channels": (4, 8)}, in_channels=1, out_channels=1).eval()
    with pytest.raises(UsageError, match="no features"):
        find_layer(network, name)
    assert find_layer(network, f"{name}.0")[1] is getattr(network.body, name)[0]


@pytest.mark.parametrize(("outputs", "channels"), [(CLASSES, 1), (CLASSES, 4), (Outputs(((1,), (1, 2)), ()), 2)])
def test_the_score_is_the_logit_of_the_probability_of_lesion(outputs: Outputs, channels: int) -> None:
    logits = torch.randn(2, channels, 5, 6)
    expected = outputs.lesion_probability(outputs.probabilities(logits))
    torch.testing.assert_close(torch.sigmoid(lesion_logit(logits, outputs)), expected)


class _Plain(nn.Module):
    """Two convolutions; nothing works in place, as MONAI's hooks need it."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Conv2d(2, 6, 3, stride=2, padding=1)
        self.head = nn.ConvTranspose2d(6, 1, 2, stride=2)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(torch.tanh(self.features(images)))
        return logits


class _Score(nn.Module):
    """The summed logit of all pixels as the only class, which is what MONAI's GradCAM explains."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, images: Tensor) -> Tensor:
        total: Tensor = self.body(images).sum(dim=(2, 3))
        return total


def test_over_the_whole_image_it_equals_monais() -> None:
    from monai.visualize import GradCAM

    body = _Plain().eval()
    images = torch.randn(1, 2, 16, 16)
    network = SegmentationNetwork(body, in_channels=2, out_channels=1)
    ours = seg_grad_cam(network, images, body.features, torch.ones(1, 16, 16, dtype=torch.bool), CLASSES)
    theirs = GradCAM(nn_module=_Score(body), target_layers="body.features")(images, class_idx=0)[0]
    scaled = (ours - ours.min()) / (ours.max() - ours.min())
    assert ours.max() > 0
    # MONAI's maps are scaled to 0..1, some versions of it upside down.
    as_tensor = torch.as_tensor(np.asarray(theirs))[0]
    assert min((scaled[0] - as_tensor).abs().max(), (scaled[0] - (1 - as_tensor)).abs().max()) < 1e-5


def test_with_random_weights_the_map_changes() -> None:
    """The sanity check of Adebayo et al. 2018, arXiv:1810.03292: weights at random from the logits down."""
    bundle = load_bundle("lgg-flair")
    picture = np.asarray(Image.open(sorted(sample_folder(PICTURES).glob("*.png"))[1]), dtype=np.float32)
    images = torch.from_numpy(picture[:160, :160]).permute(2, 1, 0)[None]
    images = (images - images.mean((2, 3), keepdim=True)) / images.std((2, 3), keepdim=True)
    network = bundle.networks[0]
    region = torch.zeros(1, 160, 160, dtype=torch.bool)
    region[:, 60:90, 60:90] = True

    def cam(of: SegmentationNetwork) -> np.ndarray:
        found = seg_grad_cam(of, images, find_layer(of, None)[1], region, CLASSES).flatten().numpy()
        assert found.max() > 0
        return found

    trained = cam(network)
    assert np.corrcoef(trained, cam(copy.deepcopy(network)))[0, 1] == pytest.approx(1)
    randomised = copy.deepcopy(network)
    for module in randomised.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
    assert np.corrcoef(trained, cam(randomised))[0, 1] < 0.5


def test_the_map_depends_on_the_region() -> None:
    network = build_model("unet", {**SMALL, "blocks": (1, 1, 1, 1)}, in_channels=1, out_channels=1).eval()
    images, layer = torch.randn(1, 1, 48, 40), find_layer(network, None)[1]
    first = torch.zeros(1, 48, 40, dtype=torch.bool)
    second = first.clone()
    first[:, :8, :8] = second[:, -8:, -8:] = True
    one, two = (seg_grad_cam(network, images, layer, region, CLASSES) for region in (first, second))
    assert one.shape == (1, 48, 40)
    assert not torch.allclose(one, two)
    assert not seg_grad_cam(network, images, layer, torch.zeros_like(first), CLASSES).any()


@pytest.mark.parametrize(("name", "layer", "dimensions"), [
    ("efficient_unet", "full_size", 2),
    ("efficient_unet", "full_size", 3),
    ("inception_unet", "encoder.Conv2d_1a_3x3", 2),
])  # fmt: skip
def test_maps_of_networks_that_see_upright_slices_have_the_axes_of_the_image(
    name: str, layer: str, dimensions: int
) -> None:
    network = build_model(name, {}, in_channels=1, out_channels=1, dimensions=dimensions, initial_weights=False).eval()
    square = (slice(40, 56), slice(8, 24), slice(3, 5))[:dimensions]
    images = torch.zeros(1, 1, *(64, 96, 8)[:dimensions])
    images[0, 0][square] = 5
    found = seg_grad_cam(network, images, find_layer(network, layer)[1], torch.ones_like(images[:, 0]) > 0, CLASSES)
    differs = (found[0] - found[0].median()).abs()
    border = torch.ones_like(differs, dtype=torch.bool)  # padding changes the features there
    border[4:-4, 4:-4] = False
    places = torch.nonzero((differs > 0.01 * differs.max()) & ~border)
    reach = 4  # of the convolution and the interpolation
    for axis, side in enumerate(square):
        assert side.start - reach <= places[:, axis].min() <= places[:, axis].max() < side.stop + reach


def test_a_network_of_volumes_that_sees_slices_has_the_bottleneck_of_its_slices() -> None:
    flat, volumes = (
        build_model(
            "efficient_unet", {}, in_channels=1, out_channels=1, dimensions=dimensions, initial_weights=False
        ).eval()
        for dimensions in (2, 3)
    )
    assert bottleneck_name(volumes) == bottleneck_name(flat)
    maps = Explainer([volumes], CLASSES, threshold=0.5)(torch.randn(2, 1, 33, 40, 3))
    assert maps.shape == (2, 1, 33, 40, 3)


@pytest.mark.parametrize("name", ["attention_unet", "gated_unet"])
def test_gates_are_shares_with_the_finest_level_first(name: str) -> None:
    network = build_model(name, SMALL, in_channels=1, out_channels=1).eval()
    explainer = Explainer([network], CLASSES, threshold=0.5)
    shapes: list[int] = []
    for gate in gates_of(network):
        gate.register_forward_hook(lambda _, __, output: shapes.append(output.shape[-1]))
    maps = explainer(torch.randn(1, 1, 37, 40))  # 37: padded and cropped
    assert explainer.gates == 3
    assert maps.shape == (1, 4, 37, 40)
    assert 0 < float(maps[:, 1:].min()) <= float(maps[:, 1:].max()) < 1
    # The finest gate varies from pixel to pixel, the coarsest was interpolated.
    steps = [float((maps[0, level, :, 1:] - maps[0, level, :, :-1]).abs().mean()) for level in (1, 3)]
    assert steps[0] != steps[1]
    assert sorted(set(shapes), reverse=True) == [40, 20, 10]


@pytest.mark.parametrize("name", MODELS)
def test_the_table_of_architectures_knows_the_number_of_gates(name: str) -> None:
    """What is said of a model without its network is what the network has."""
    spec = MODELS[name]
    chosen = {"channels": (4, 8, 8, 8)} if spec.gates else {}
    network = build_model(
        name, chosen, in_channels=1, out_channels=1, dimensions=spec.dimensions[0], initial_weights=False
    )
    counted = 0 if spec.gates is None else spec.gates(spec.options(**chosen))
    assert len(gates_of(network)) == counted
    assert (counted == 3) == (name in ("attention_unet", "gated_unet"))


def attention_bundle(folder: Path, *, dimensions: int) -> Path:
    data = {"modalities": ["t1c"], "dimensions": dimensions} if dimensions == 3 else {"channels": ["t1c"]}
    steps = (Named(name="zscore", options={}),)
    train = {"patch_size": (16, 16, 16)}
    recipe = Recipe.model_validate({
        "name": "gates", "data": data, "preprocess": [step.model_dump() for step in steps], "train": train,
        "model": {"name": "attention_unet", "channels": [4, 8, 8]}, "predict": {"threshold": 0.01},
    })  # fmt: skip
    torch.manual_seed(3)  # with some other random weights, all features lower the score, and the map is 0
    network = build_model(
        "attention_unet", {"channels": (4, 8, 8)}, in_channels=1, out_channels=1, dimensions=dimensions
    )
    return save_bundle(folder, networks=[network], recipe=recipe, card="# gates", metrics={})


@pytest.fixture
def square() -> Callable[..., np.ndarray]:
    def make(*shape: int) -> np.ndarray:
        image = np.random.default_rng(0).normal(100, 5, shape).astype(np.float32)
        image[4:9, 5:10] += 80
        return image

    return make


def test_volumes_get_maps_and_overlays(square: Callable[..., np.ndarray], tmp_path: Path) -> None:
    bundle = load_bundle(attention_bundle(tmp_path / "gates", dimensions=3))
    affine = np.diag([1.5, 1.0, 2.0, 1.0])
    case = Case("case", "patient", {"t1c": Volume(square(20, 18, 17), affine)})
    explanation = CaseExplainer(bundle)(case)
    assert list(explanation.maps) == ["gradcam", "attention-1", "attention-2"]
    files = write_explanation(explanation, tmp_path / "out")
    names = [path.name for path in files]
    assert names == [
        "case-gradcam.nii.gz", "case-gradcam.png", "case-attention-1.nii.gz", "case-attention-1.png",
        "case-attention-2.nii.gz", "case-attention-2.png", "case-explanation.json",
    ]  # fmt: skip
    cam = nibabel.load(files[0])
    assert cam.shape == (20, 18, 17)
    np.testing.assert_allclose(cam.affine, affine)
    values = cam.get_fdata()
    assert values.min() >= 0
    assert values.max() == pytest.approx(1, abs=1e-4)
    document = json.loads(files[-1].read_text())
    assert document["layer"] == explanation.layer
    assert "Research use only" in document["notice"]
    assert "does not" in document["caution"]


def test_pictures_get_an_overlay_each(tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from metseg.cli import app

    bundle = attention_bundle(tmp_path / "gates", dimensions=2)
    pictures = tmp_path / "in"
    pictures.mkdir()
    for number in range(2):
        pixels = np.random.default_rng(number).integers(0, 255, (24, 20), dtype=np.uint8)
        Image.fromarray(pixels).save(pictures / f"s{number}.png")
    out = tmp_path / "out"
    result = CliRunner().invoke(app, ["explain", str(bundle), str(pictures), "--out", str(out), "--json"])
    assert result.exit_code == 0, result.output
    names = sorted(Path(file).name for file in json.loads(result.stdout)["files"])
    assert [name for name in names if name.endswith(".png")] == [
        f"s{number}_{kind}.png" for number in range(2) for kind in ("attention-1", "attention-2", "gradcam")
    ]
    assert Image.open(out / "s0_gradcam.png").size[0] > 500
    assert find_inputs(pictures)  # nothing was written among the inputs
