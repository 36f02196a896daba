"""A run from its recipe to its bundle: which patients, which weights to begin with, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from metseg.io.splits import Split
from metseg.model import build_from_recipe
from metseg.model.bundle import load_bundle, save_bundle
from metseg.recipe import Recipe
from metseg.runtime.system_info import machine_line
from metseg.training.finalize import best_network
from metseg.training.run import Run, train_run
from metseg.training.run_folder import RunFolder
from metseg.training.weights.init_provenance import InitProvenance
from metseg.training.weights.initialization import initialise

Train = Callable[..., tuple[int, str, str]]


@pytest.fixture
def train(
    tmp_path: Path, recipe_file: Callable[..., Path], tiny_slices: Path, tiny_cache: Path, run_metseg: Train
) -> Train:
    """Return a function that runs ``metseg train`` for one epoch with changes of the recipe."""

    def run(*changes: str, out: str = "run", more: tuple[object, ...] = ()) -> tuple[int, str, str]:
        paths = ("--data", tiny_slices, "--out", tmp_path / out, "--cache", tiny_cache)
        return run_metseg("train", recipe_file("train.max_steps=4", *changes), *paths, *more)

    return run


@pytest.fixture
def split_file(tmp_path: Path, tiny_slices: Path, run_metseg: Train) -> Callable[..., Path]:
    def make(name: str, *options: str) -> Path:
        path = tmp_path / f"{name}.json"
        assert run_metseg("split", tiny_slices, "--out", path, *options)[0] == 0
        return path

    return make


def test_the_card_names_the_data_that_were_trained_on(train: Train, tmp_path: Path, tiny_slices: Path) -> None:
    """Even where the recipe was written for others; and those of the weights that it began with."""
    claim = "TCGA-LGG slices (Buda et al. 2019): low-grade glioma, not metastases; CC BY-NC-SA 4.0, non-commercial"
    assert train(f"data.licence={claim}")[0] == 0
    bundle = load_bundle(tmp_path / "run" / "bundle")
    assert "TCGA" not in bundle.card
    assert f"the data set in the folder '{tiny_slices.name}'" in bundle.card
    assert bundle.recipe.data.licence in bundle.card
    assert "Other data" not in bundle.card
    status, _, err = train(
        "data.licence=Ours: CC0",
        "data.written_for=tcga-lgg",
        out="second",
        more=("--init", tmp_path / "run" / "bundle"),
    )
    assert status == 0, err
    second = load_bundle(tmp_path / "second" / "bundle")
    assert "the recipe was written for TCGA-LGG slices" in err
    assert second.card.index("**Other data**: the recipe was written for TCGA-LGG") < second.card.index("| patients |")
    assert second.recipe.data.licence == f"Ours: CC0; initial weights: {bundle.recipe.data.licence}"


def test_a_run_ends_in_a_bundle(train: Train, tmp_path: Path) -> None:
    status, out, _ = train("train.max_steps=8")
    run = tmp_path / "run"
    assert status == 0
    assert f"bundle: {run / 'bundle'}\n" in out
    assert sorted(path.name for path in (run / "bundle").iterdir()) == [
        "card.md", "metrics.json", "model.safetensors", "recipe.toml", "reference.json", "sha256", "split.json",
    ]  # fmt: skip
    bundle = load_bundle(run / "bundle")
    metrics = bundle.metrics
    assert metrics["steps"] == 8
    assert metrics["patients"] == {"train": 3, "validation": 2, "test": 3}
    assert metrics["peak_memory_gb"] > 0.1
    assert "core" in metrics["machine"]["processor"]
    assert f"on {machine_line(metrics['machine'])}" in bundle.card
    epochs = pd.read_csv(run / "epochs.csv")
    assert metrics["best_epoch"] == epochs["epoch"][epochs["val_dice"].idxmax()]
    best = load_file(run / "best.safetensors")
    assert all(torch.equal(value, best[key]) for key, value in bundle.networks[0].state_dict().items())
    for part in ("validation", "test"):
        cases = pd.read_csv(run / part / "cases.csv")
        assert set(cases["case"]) == set(bundle.split[part])
        dice = metrics[part]["regions"]["lesion"]["metrics"]["dice"]["mean"]
        assert dice == pytest.approx(cases["dice"].mean())
        assert f"| {part} ({len(cases)}) | lesion | {dice:.3f}" in bundle.card
    assert "Research use only" in bundle.card
    assert (run / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert (run / "metric_curves.png").read_bytes().startswith(b"\x89PNG")
    assert list((run / "tensorboard").glob("events.*"))


def test_the_same_seed_gives_the_same_network_and_another_one_another(train: Train, tmp_path: Path) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        assert train(f"train.seed={seed}", out=name)[0] == 0
    losses = [list(pd.read_csv(tmp_path / name / "steps.csv", dtype=str)["loss"]) for name in "abc"]
    assert losses[0] == losses[1] != losses[2]


def test_epochs_see_other_items(train: Train, tmp_path: Path) -> None:
    # A rate of almost nothing: the loss of a step can change from epoch to epoch only with what it sees.
    assert train("train.learning_rate=1e-12", "train.max_steps=8")[0] == 0
    losses = pd.read_csv(tmp_path / "run" / "steps.csv")["loss"].round(4)
    assert losses[:4].tolist() != losses[4:].tolist()


# What is refused


def test_a_second_run_in_one_folder_is_refused(train: Train, tmp_path: Path) -> None:
    assert train()[0] == 0
    before = (tmp_path / "run" / "steps.csv").read_bytes()
    for more, changes, words in (
        ((), (), "the folder already holds a run"),
        (("--resume",), ("train.learning_rate=0.5",), "the run was started with another recipe"),
        (("--resume", "--fold", 1), (), "the run was started with another fold"),
        (("--resume", "--init", "x"), (), "the run was started with another init"),
    ):
        status, out, err = train(*changes, more=more)
        assert (status, out) == (2, ""), err
        assert err.count("\n") == 1
        assert words in err
        assert "choose another --out" in err
    assert (tmp_path / "run" / "steps.csv").read_bytes() == before


def test_nothing_to_resume(train: Train, tmp_path: Path) -> None:
    status, _, err = train(more=("--resume",))
    assert status == 2
    assert "there is no run to resume" in err
    assert train()[0] == 0


# Splits


def test_a_split_file_is_followed_and_kept(train: Train, split_file: Callable[..., Path], tmp_path: Path) -> None:
    ours, other = split_file("ours", "--seed", "5"), split_file("other", "--seed", "6")
    assert Split.load(ours) != Split.load(other)
    assert train(more=("--split", ours))[0] == 0
    kept = Split.load(tmp_path / "run" / "split.json")
    assert kept == Split.load(ours)
    assert set(pd.read_csv(tmp_path / "run" / "test" / "cases.csv")["case"]) == set(kept.test)
    (tmp_path / "run" / "run.json").unlink()  # as if it had not finished
    status, _, err = train(more=("--resume", "--split", other))
    assert status == 2
    assert "the run was started with another split" in err


def test_a_fold_is_validated_on_and_remembered(
    train: Train, split_file: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = split_file("folds", "--folds", "3", "--test", "0.25")
    status, _, err = train(more=("--split", file))
    assert status == 2
    assert "the validation fold is missing or unknown" in err

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    more = ("--split", file, "--fold", 1)
    with monkeypatch.context() as patch:
        patch.setattr("metseg.training.run.fit", interrupted)
        assert train(out="fold1", more=more)[0] == 130
    assert train(out="fold1", more=("--resume",))[0] == 0  # it knows which fold, and which split
    validated = set(pd.read_csv(tmp_path / "fold1" / "validation" / "cases.csv")["case"])
    assert validated == set(Split.load(file).folds[1])


def test_a_split_by_slice_is_marked(train: Train, tmp_path: Path) -> None:
    assert train('split.by="slice"')[0] == 0
    bundle = load_bundle(tmp_path / "run" / "bundle")
    assert bundle.metrics["leaks_patients"] is True
    assert "**Leaks patients**" in bundle.card
    assert train(out="by_patient")[0] == 0
    bundle = load_bundle(tmp_path / "by_patient" / "bundle")
    assert bundle.metrics["leaks_patients"] is False
    assert "Leaks" not in bundle.card


# Initial weights


def bundle_of(recipe: Recipe, folder: Path) -> Path:
    torch.manual_seed(7)
    return save_bundle(folder, networks=[build_from_recipe(recipe)], recipe=recipe, card="", metrics={})


def test_init_begins_with_the_weights_of_a_bundle(
    train: Train, tmp_path: Path, make_tiny_recipe: Callable[..., Recipe], capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = bundle_of(make_tiny_recipe(), tmp_path / "first")
    given = load_bundle(bundle).networks[0].state_dict()
    assert train("train.learning_rate=1e-12", more=("--init", bundle))[0] == 0
    made = load_bundle(tmp_path / "run" / "bundle")
    data = "those of 'first', not stated"
    assert (
        made.metrics["began_with"]
        == InitProvenance("first", load_bundle(bundle).fingerprint, 0, 0, None, data).to_json()
    )
    assert "- initial weights: `first`" in made.card
    trained = made.networks[0].state_dict()
    weights = [key for key in given if given[key].is_floating_point() and "running" not in key]
    assert all(torch.allclose(given[key], trained[key], atol=1e-6) for key in weights)
    assert train("train.learning_rate=1e-12", out="without")[0] == 0
    other = load_bundle(tmp_path / "without" / "bundle").networks[0].state_dict()
    assert not all(torch.allclose(given[key], other[key], atol=1e-6) for key in weights)


@pytest.mark.parametrize("interrupted_at", ["fit", "finalize"])  # without a checkpoint, and with one
def test_init_after_an_interruption(
    interrupted_at: str,
    train: Train,
    tmp_path: Path,
    make_tiny_recipe: Callable[..., Recipe],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bundle = bundle_of(make_tiny_recipe(), tmp_path / "first")

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    assert train(out="whole", more=("--init", bundle))[0] == 0
    with monkeypatch.context() as patch:
        patch.setattr(f"metseg.training.run.{interrupted_at}", interrupted)
        assert train(more=("--init", bundle))[0] == 130
    status, _, err = train(more=("--resume",))
    assert status == 0
    assert ("it starts again" in err) == (interrupted_at == "fit")
    losses = [list(pd.read_csv(tmp_path / name / "steps.csv", dtype=str)["loss"]) for name in ("run", "whole")]
    assert losses[0] == losses[1]
    origins = [load_bundle(tmp_path / name / "bundle").metrics["began_with"] for name in ("run", "whole")]
    assert (
        origins[0]
        == origins[1]
        == {
            **InitProvenance("first", load_bundle(bundle).fingerprint, 0, 0, None).to_json(),
            "data": "those of 'first', not stated",
        }
    )


def test_test_patients_that_the_first_weights_learnt_from_are_told_of(train: Train, tmp_path: Path) -> None:
    assert train("train.max_steps=2", out="first")[0] == 0
    first = tmp_path / "first" / "bundle"
    status, _, err = train("train.max_steps=2", "split.seed=1", more=("--init", first))
    assert status == 0
    assert f"--split {first / 'split.json'} keeps its split" in err
    made = load_bundle(tmp_path / "run" / "bundle")
    assert "**Leaks patients**: the initial weights were trained or selected on" in made.card
    assert made.metrics["began_with"]["seen_before"] > 0
    assert made.metrics["leaks_patients"] is True
    as_it_was = train("train.max_steps=2", out="same", more=("--init", first, "--split", first / "split.json"))
    assert (as_it_was[0], "keeps its split" in as_it_was[2]) == (0, False)


def test_a_mistyped_init_leaves_no_run_behind(train: Train, tmp_path: Path) -> None:
    assert train(more=("--init", "mets-smi"))[0] == 2
    assert not RunFolder(tmp_path / "run").exists


def test_another_head_or_stem_begins_afresh_and_is_named(
    tmp_path: Path, make_tiny_recipe: Callable[..., Recipe], capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = bundle_of(make_tiny_recipe(), tmp_path / "first")
    given = load_bundle(bundle).networks[0].state_dict()
    network = build_from_recipe(make_tiny_recipe('data.labels="brats-met-2023"', 'data.channels=["t1n", "t2f"]'))
    before = {key: value.clone() for key, value in network.state_dict().items()}
    initialise(network, load_bundle(bundle))
    after = network.state_dict()
    afresh = {key for key in after if given[key].shape != after[key].shape}
    assert afresh == {"body.stem.0.weight", "body.heads.0.weight", "body.heads.0.bias"}
    assert all(torch.equal(after[key], before[key] if key in afresh else given[key]) for key in after)
    note = capsys.readouterr().err
    assert f"{len(list(network.parameters())) - 3} tensors from {bundle}" in note
    assert all(key in note for key in afresh)


def test_fixed_normalisations_are_measured_once_before_training(
    train: Train, tmp_path: Path, make_tiny_recipe: Callable[..., Recipe]
) -> None:
    bundle = bundle_of(make_tiny_recipe('model.norm="instance"'), tmp_path / "first")
    for name, rate in (("slow", "1e-12"), ("fast", "1e-2")):
        changes = (f"train.learning_rate={rate}", 'model.norm="fixed"')
        status, _, err = train(*changes, out=name, more=("--init", bundle))
        assert status == 0
        assert "afresh" not in err
    slow, fast = (load_bundle(tmp_path / name / "bundle").networks[0].state_dict() for name in ("slow", "fast"))
    held = [key for key in slow if "running" in key]
    assert held
    assert all(torch.equal(slow[key], fast[key]) for key in held)
    untouched = [key for key in held if torch.equal(slow[key], torch.full_like(slow[key], float("var" in key)))]
    assert untouched == []
    assert not torch.equal(slow["body.stem.0.weight"], fast["body.stem.0.weight"])

    # What came with all of the weights stays; with another stem it would be of other features.
    assert train('model.norm="fixed"', out="on", more=("--init", tmp_path / "slow" / "bundle"))[0] == 0
    on = load_bundle(tmp_path / "on" / "bundle").networks[0].state_dict()
    assert all(torch.equal(on[key], slow[key]) for key in held)
    network = build_from_recipe(make_tiny_recipe('data.channels=["t1n", "t2f"]', 'model.norm="fixed"'))
    assert not initialise(network, load_bundle(tmp_path / "slow" / "bundle"))
    assert "it is untested with random weights" in train('model.norm="fixed"', out="random")[2]


def test_best_weights_that_are_gone(tmp_path: Path, make_tiny_recipe: Callable[..., Recipe]) -> None:
    from metseg.errors import BundleError

    with pytest.raises(BundleError, match=r"best\.safetensors: the weights of the best epoch are missing"):
        best_network(RunFolder(tmp_path), make_tiny_recipe())


SUPERVISED = "{ name = 'unet', channels = [4, 8, 8], blocks = [1, 1, 1], deep_supervision = true }"


@pytest.mark.parametrize(
    "changes",
    [
        ("train.precision=bf16", "train.channels_last=on"),
        ("train.optimizer=sgd", "train.schedule=one_cycle", "train.gradient_clip=1.0"),
        ("train.batch_size=3", "train.steps_per_epoch=2", "train.workers=2", "train.lesion_share=0.34"),
        ("loss.name=focal_tversky", f"model={SUPERVISED}"),
    ],
)
def test_ways_to_train(
    tmp_path: Path,
    make_tiny_recipe: Callable[..., Recipe],
    tiny_slices: Path,
    tiny_cache: Path,
    changes: tuple[str, ...],
) -> None:
    recipe = make_tiny_recipe("train.max_steps=4", *changes)
    bundle = train_run(recipe, Run(tiny_slices, tmp_path / "run", cache=tiny_cache))
    made = load_bundle(bundle).recipe
    data = recipe.data.model_copy(update={"licence": made.data.licence})
    assert made == recipe.model_copy(update={"data": data})
    assert pd.read_csv(tmp_path / "run" / "steps.csv")["loss"].between(0, 10).all()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no graphics card")
def test_training_on_a_graphics_card(
    tmp_path: Path, make_tiny_recipe: Callable[..., Recipe], tiny_slices: Path, tiny_cache: Path
) -> None:
    recipe = make_tiny_recipe("train.max_steps=4", "train.ema_decay=0.9")
    bundle = train_run(recipe, Run(tiny_slices, tmp_path / "run", cache=tiny_cache, device="cuda"))
    assert load_bundle(bundle).metrics["peak_memory_gb"] > 0
