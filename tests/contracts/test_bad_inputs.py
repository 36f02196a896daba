"""Bad inputs, the whole way: what a user types, the exit status, and the one line that says what, where and the cure.

The numbers are those of the list of bad inputs the project keeps; what concerns the service is tested with it. Number
39 (SIGKILL in the middle of an epoch) is `tests/train/test_resume.py`.
"""

from __future__ import annotations

import errno
import io
import json
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image

from metseg.bundle_folder import checksums
from metseg.model import build_from_recipe
from metseg.model.bundle import save_bundle
from metseg.recipe import Recipe
from metseg.training import memory_estimate as train_memory

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def grey_bundle(tmp_path_factory: pytest.TempPathFactory, make_tiny_recipe: Callable[..., Recipe]) -> Path:
    """Return a model of one grey channel that normalises each picture by itself; untrained."""
    recipe = make_tiny_recipe(
        'data.channels=["t2f"]', 'preprocess=[{ name = "zscore", scope = "slice", region = "all" }]'
    )
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("grey") / "bundle"
    return save_bundle(folder, networks=[build_from_recipe(recipe)], recipe=recipe, card="", metrics={})


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    return folder


@pytest.fixture
def predict(run_metseg: Run, tmp_path: Path, tiny_bundle: Path) -> Callable[..., tuple[int, str, str]]:
    def run(*inputs: object, model: Path = tiny_bundle, more: tuple[str, ...] = ()) -> tuple[int, str, str]:
        return run_metseg("predict", *inputs, "--model", model, "--out", tmp_path / "out", "--device", "cpu", *more)

    return run


def colour(seed: int = 0, shape: tuple[int, ...] = (24, 24, 3)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, shape, dtype=np.uint8)


def save(path: Path, pixels: np.ndarray, **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)
    return path


def one_line(err: str, *parts: str) -> None:
    """Check that a message is one line that says all of this."""
    assert err.startswith("metseg: ")
    assert err.count("\n") == 1, err
    assert not [part for part in parts if part not in err], err


def document(out: Path, case: str) -> dict[str, object]:
    return json.loads((out / f"{case}.json").read_text())


# 4. Empty file, wrong magic


@pytest.mark.parametrize("content", [b"", b"not a picture at all", b"%PDF-1.7 and so on"])
def test_4_empty_file_or_wrong_magic(predict: Run, pictures: Path, content: bytes) -> None:
    bad = pictures / "a.png"
    bad.write_bytes(content)
    status, _, err = predict(bad)
    assert status == 3
    one_line(err, str(bad), "PNG")
    assert not list(pictures.parent.glob("out/**/*.png"))


def test_4_bad_pictures_do_not_stop_the_good_ones(predict: Run, pictures: Path) -> None:
    for number in range(6):
        save(pictures / f"s_{number}.png", colour(number))
    (pictures / "s_6.png").write_bytes(b"")
    (pictures / "s_7.png").write_bytes((pictures / "s_1.png").read_bytes()[:200])
    save(pictures / "s_8.png", colour()[..., 0])  # one grey channel for a model that needs three
    status, out, err = predict(pictures)
    assert status == 3
    assert "6 pictures" in out
    assert len(err.splitlines()) == 3
    assert all(f"s_{number}.png" in err for number in (6, 7, 8))
    results = pictures.parent / "out"
    assert sorted(path.name for path in results.glob("*_mask.png")) == [f"s_{n}_mask.png" for n in range(6)]
    written = document(results, "pictures")
    assert written["slices"] == [f"s_{n}" for n in range(6)]
    assert [failure["code"] for failure in written["failed"]] == [
        "input.format",
        "input.truncated",
        "input.missing_sequence",
    ]


def test_4_a_thousand_with_some_bad_are_all_looked_at(predict: Run, pictures: Path) -> None:
    encoded = io.BytesIO()
    Image.fromarray(colour(shape=(8, 8, 3))).save(encoded, format="PNG")
    for number in range(300):
        (pictures / f"{number}.png").write_bytes(b"bad" if number % 20 == 7 else encoded.getvalue())
    status, out, err = predict(pictures, more=("--format", "mask"))
    assert status == 3
    assert "285 pictures" in out
    assert err.splitlines()[-1] == "metseg: and 5 more could not be read"
    assert len(err.splitlines()) == 11
    assert len(document(pictures.parent / "out", "pictures")["failed"]) == 15


# 13 to 18: kinds of pictures


def test_13_over_25_megapixels(predict: Run, pictures: Path) -> None:
    big = save(pictures / "big.png", np.zeros((5001, 5000), dtype=np.uint8))
    status, _, err = predict(big)
    assert status == 3
    one_line(err, str(big), "megapixel", "5000 x 5001")


def test_14_sixteen_bits_keep_their_range(predict: Run, pictures: Path) -> None:
    pixels = colour()
    save(pictures / "eight.png", pixels)
    # 257 times as much of 65535 as of 255: the same picture, had nothing been cut off.
    cv2.imwrite(str(pictures / "sixteen.png"), pixels[..., ::-1].astype(np.uint16) * 257)  # OpenCV: blue first
    for name in ("eight", "sixteen"):
        assert predict(pictures / f"{name}.png", more=("--format", "probability"))[0] == 0
    results = [cv2.imread(str(pictures.parent / "out" / f"{n}_probability.png"), -1) for n in ("eight", "sixteen")]
    assert np.ptp(results[0]) > 100
    assert np.abs(results[0].astype(int) - results[1].astype(int)).max() <= 1


def test_15_palette_and_alpha_become_grey_and_are_recorded(
    predict: Run, pictures: Path, grey_bundle: Path, run_metseg: Run
) -> None:
    image = Image.fromarray(colour())
    image.quantize(32).save(pictures / "palette.png")
    see_through = image.convert("RGBA")
    see_through.putalpha(Image.fromarray(np.where(np.asarray(image)[..., 0] > 100, 255, 40).astype(np.uint8)))
    see_through.save(pictures / "alpha.png")
    for name, word in (("palette", "palette"), ("alpha", "alpha")):
        assert predict(pictures / f"{name}.png", model=grey_bundle)[0] == 0
        (warning,) = document(pictures.parent / "out", name)["warnings"]
        assert word in warning
        assert "grey" in warning
    # A palette mask gives its indices: index 1 is shown in bright green here, and is class 1 all the same.
    mask = Image.fromarray(np.eye(24, dtype=np.uint8))
    mask.putpalette([0, 0, 0, 0, 255, 0])
    root = pictures.parent / "data"
    save(root / "P" / "P_1.png", colour())
    mask.save(root / "P" / "P_1_mask.png")
    _, out, _ = run_metseg("inspect", root, "--json")
    assert json.loads(out)["label_values"] == {"1": 1}


def test_16_other_formats_are_refused_by_content(predict: Run, pictures: Path) -> None:
    Image.fromarray(colour()).convert("CMYK").save(pictures / "cmyk.jpg")
    Image.fromarray(colour()).save(pictures / "gif.png", format="GIF")
    (pictures / "svg.png").write_text('<svg xmlns="http://www.w3.org/2000/svg"/>')
    for name, word in (("cmyk.jpg", "CMYK"), ("gif.png", "GIF"), ("svg.png", "SVG")):
        status, _, err = predict(pictures / name)
        assert status == 3
        one_line(err, name, word)


def test_17_several_pages_only_as_a_stack(predict: Run, pictures: Path, run_metseg: Run) -> None:
    pages = [Image.fromarray(colour(n)) for n in range(3)]
    folder = pictures / "P"
    folder.mkdir()
    pages[0].save(folder / "P.tif", save_all=True, append_images=pages[1:])
    status, _, err = predict(folder / "P.tif")
    assert status == 3
    one_line(err, "P.tif", "3 pages", "stack")
    status, out, _ = run_metseg("inspect", pictures, "--stack", "--json")
    assert json.loads(out)["slices"] == 3
    dot = Image.fromarray(np.zeros((1, 1), dtype=np.uint8))
    dot.save(folder / "P.tif", save_all=True, append_images=[dot] * 1000)
    _, out, _ = run_metseg("inspect", pictures, "--stack", "--json")
    assert "too many pages" in json.dumps(json.loads(out)["problems"])


def test_18_a_float_tiff_with_nan(predict: Run, pictures: Path, grey_bundle: Path) -> None:
    pixels = np.random.default_rng(0).random((20, 20), dtype=np.float32)
    pixels[0, :4] = np.nan, np.inf, np.nan, -np.inf  # 1 %
    save(pictures / "few.tif", pixels)
    pixels[1, 0] = np.nan
    save(pictures / "many.tif", pixels)
    assert predict(pictures / "few.tif", model=grey_bundle)[0] == 0
    (warning,) = document(pictures.parent / "out", "few")["warnings"]
    assert "4 NaN or infinite pixels of 400 were set to 0" in warning
    status, _, err = predict(pictures / "many.tif", model=grey_bundle)
    assert status == 3
    one_line(err, "many.tif", "NaN", "5 of 400")


# 20 to 22: masks, constants, nothing


@pytest.fixture
def train(
    run_metseg: Run, tmp_path: Path, make_tiny_recipe: Callable[..., Recipe], tiny_slices: Path, tiny_cache: Path
) -> Callable[..., tuple[int, str, str]]:
    def run(
        *changes: str, data: Path = tiny_slices, cache: Path = tiny_cache, more: tuple[object, ...] = ()
    ) -> tuple[int, str, str]:
        recipe = tmp_path / "recipe.toml"
        recipe.write_text(make_tiny_recipe("train.max_steps=4", *changes).to_toml(), "utf-8")
        paths = ("--data", data, "--out", tmp_path / "run", "--cache", cache)
        return run_metseg("train", recipe, *paths, "--device", "cpu", *more)

    return run


def three_patients(root: Path, mask: np.ndarray, **options: object) -> Path:
    """Write three patients of one slice; all have this mask."""
    for name in "ABC":
        save(root / name / f"{name}_1.tif", colour(ord(name)))
        save(root / name / f"{name}_1_mask.tif", mask, **options)
    return root


SPLIT_IN_THREE = ("split.validation=0.34", "split.test=0.33")


def square(value: float, dtype: type) -> np.ndarray:
    mask = np.zeros((24, 24), dtype=dtype)
    mask[4:12, 4:12] = value
    return mask


@pytest.mark.parametrize("mask", [square(255, np.uint8), square(1, np.uint8), square(0.99999997, np.float32)])
def test_20_masks_that_mean_zero_and_one(train: Run, tmp_path: Path, mask: np.ndarray) -> None:
    status, _, err = train(*SPLIT_IN_THREE, data=three_patients(tmp_path / "data", mask), cache=tmp_path / "cache")
    assert status == 0, err
    assert json.loads((tmp_path / "run" / "bundle" / "metrics.json").read_text())["steps"] == 4


@pytest.mark.parametrize(
    ("mask", "words"),
    [
        (square(7, np.uint8), ("7",)),
        (square(0.4, np.float32), ("0.4",)),
        (
            np.arange(576, dtype=np.uint8).reshape(24, 24) % 43,
            ("unknown label 2 and 40 more", "lesion numbers (instances), not classes"),
        ),
    ],
)
def test_20_masks_that_mean_something_else(
    train: Run, tmp_path: Path, mask: np.ndarray, words: tuple[str, ...]
) -> None:
    data = three_patients(tmp_path / "data", mask)
    status, _, err = train(*SPLIT_IN_THREE, data=data, cache=tmp_path / "cache")
    assert status == 3
    one_line(err, "_1_mask.tif", *words)
    assert not (tmp_path / "run" / "bundle").exists()


def test_21_a_constant_picture(predict: Run, pictures: Path, grey_bundle: Path) -> None:
    save(pictures / "flat.png", np.full((20, 20), 77, dtype=np.uint8))
    status, _, err = predict(pictures / "flat.png", model=grey_bundle, more=("--format", "probability"))
    assert (status, err.count("\n")) == (0, 1)
    written = document(pictures.parent / "out", "flat")
    (warning,) = written["warnings"]
    assert err == f"note (1 case): {warning}\n"
    assert "zscore" in warning
    assert "set to zero" in warning
    assert "NaN" not in json.dumps(written)
    assert np.asarray(Image.open(pictures.parent / "out" / "flat_probability.png")).shape == (20, 20)


def test_22_nothing_in_the_truth_and_nothing_found(
    train: Run, predict: Run, tmp_path: Path, run_metseg: Run, make_tiny_recipe: Callable[..., Recipe]
) -> None:
    data = three_patients(tmp_path / "data", square(0, np.uint8))
    status, _, err = train(*SPLIT_IN_THREE, data=data, cache=tmp_path / "cache")
    assert status == 3
    one_line(err, "lesion")  # there is nothing to learn from
    recipe = make_tiny_recipe("predict.threshold=0.999999")  # nobody finds anything at that
    bundle = tmp_path / "blind"
    save_bundle(bundle, networks=[build_from_recipe(recipe)], recipe=recipe, card="", metrics={})
    status, out, _ = predict(data, model=bundle, more=("--format", "mask"))
    assert status == 0
    assert "3 pictures, 0 lesions" in out
    assert document(tmp_path / "out", "A")["lesions"] == []
    assert not np.asarray(Image.open(tmp_path / "out" / "A" / "A_1_mask.png")).any()
    status, _, err = run_metseg(
        "evaluate", "--predictions", tmp_path / "out", "--truth", data, "--out", tmp_path / "scores"
    )
    assert status == 0, err


# 35 to 37: models and checkpoints


class Trap:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __reduce__(self) -> tuple[Callable[..., None], tuple[str]]:
        return os.mkdir, (str(self._folder),)


def test_35_a_pickle_is_no_model(predict: Run, tmp_path: Path, tiny_bundle: Path, pictures: Path) -> None:
    bundle = shutil.copytree(tiny_bundle, tmp_path / "evil")
    (bundle / "model.safetensors").write_bytes(pickle.dumps(Trap(tmp_path / "run by the pickle")))
    (bundle / "sha256").write_text(checksums(bundle))
    picture = save(pictures / "a.png", colour())
    status, out, err = predict(picture, model=bundle)
    assert (status, out) == (4, "")
    one_line(err, "model.safetensors", "pickle", "it was not loaded", "safetensors")
    assert not (tmp_path / "run by the pickle").exists()


def test_35_nor_a_checkpoint_to_resume_from(train: Run, tmp_path: Path) -> None:
    assert train("train.max_steps=8")[0] == 0
    run = tmp_path / "run"
    shutil.rmtree(run / "bundle")
    for name in ("last.ckpt", "previous.ckpt"):
        (run / "checkpoints" / name).write_bytes(pickle.dumps(Trap(tmp_path / "run by the pickle")))
    status, _, err = train("train.max_steps=8", more=("--resume",))
    assert status == 4
    assert "cannot read any checkpoint of this run" in err
    assert not (tmp_path / "run by the pickle").exists()


def test_36_weights_of_another_architecture(
    predict: Run, train: Run, tmp_path: Path, tiny_bundle: Path, pictures: Path, make_tiny_recipe: Callable[..., Recipe]
) -> None:
    other = build_from_recipe(make_tiny_recipe('model={ name = "cnn" }'))
    bundle = shutil.copytree(tiny_bundle, tmp_path / "other")
    safetensors.torch.save_file(other.state_dict(), bundle / "model.safetensors")
    (bundle / "sha256").write_text(checksums(bundle))
    status, _, err = predict(save(pictures / "a.png", colour()), model=bundle)
    assert status == 4
    own = list(safetensors.torch.load_file(tiny_bundle / "model.safetensors"))
    one_line(err, "another architecture", "expected unet", "more", "use them with the recipe")
    assert sum(f"{key} missing" in err for key in own) == 5

    status, _, err = train('model={ name = "cnn" }', more=("--init", tiny_bundle))
    assert status == 4
    assert "the bundle has another architecture" in err
    assert "and change it with --set" in err


def test_37_a_truncated_checkpoint(train: Run, tmp_path: Path) -> None:
    changes = ("train.max_steps=8",)
    assert train(*changes)[0] == 0
    run = tmp_path / "run"
    whole = (run / "steps.csv").read_text()
    shutil.rmtree(run / "bundle")
    last, previous = run / "checkpoints" / "last.ckpt", run / "checkpoints" / "previous.ckpt"
    last.write_bytes(last.read_bytes()[:1000])

    status, _, err = train(*changes, more=("--resume",))
    assert status == 0
    warnings = [line for line in err.splitlines() if "warning" in line]
    assert sum("ckpt" in line for line in warnings) == 1
    assert all(part in warnings[0] for part in (str(last), "cannot read", "resuming from previous.ckpt"))
    repeated = (run / "steps.csv").read_text().removeprefix(whole).splitlines()
    losses = {line.split(",")[1]: line.split(",")[2] for line in whole.splitlines()}
    assert [line.split(",")[1] for line in repeated] == ["5", "6", "7", "8"]  # the second epoch again
    assert all(losses[line.split(",")[1]] == line.split(",")[2] for line in repeated)

    shutil.rmtree(run / "bundle")
    before = (run / "steps.csv").read_text()
    for path in (last, previous):
        path.write_bytes(path.read_bytes()[:1000])
    status, _, err = train(*changes, more=("--resume",))
    assert status == 4
    one_line(err, str(run / "checkpoints"), "cannot read any checkpoint of this run", "start again in another folder")
    assert (run / "steps.csv").read_text() == before


def test_37_a_truncated_bundle(predict: Run, tmp_path: Path, tiny_bundle: Path, pictures: Path) -> None:
    bundle = shutil.copytree(tiny_bundle, tmp_path / "cut")
    weights = bundle / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    status, _, err = predict(save(pictures / "a.png", colour()), model=bundle)
    assert status == 4
    one_line(err, str(weights), "truncated", "copy it again")


# 38: the disk is full


def full_from(monkeypatch: pytest.MonkeyPatch, path_part: str, *, after: int = 0) -> None:
    """Let the disk be full whenever a file of such a name is brought to the disk, after some that fitted."""
    original, seen = os.fsync, []

    def fsync(descriptor: int) -> None:
        if path_part in os.readlink(f"/proc/self/fd/{descriptor}"):
            seen.append(1)
            if len(seen) > after:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        original(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)


def no_leftovers(folder: Path) -> None:
    assert [path.name for path in folder.rglob(".*") if path.name != ".lock"] == []


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="the fault is injected by file name through /proc")
@pytest.mark.parametrize("what", ["next.ckpt", "best.safetensors", "bundle"])
def test_38_a_full_disk_while_training(train: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    changes = ("train.max_steps=12",)
    with monkeypatch.context() as patch:
        full_from(patch, what, after=0 if what == "bundle" else 1)
        status, _, err = train(*changes)
    assert status == 5
    one_line("metseg: " + err.split("metseg: ")[-1], what, "the disk is full")
    run = tmp_path / "run"
    no_leftovers(run)
    assert torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["epoch"] >= 0
    assert train(*changes, more=("--resume",))[0] == 0  # space was made
    assert json.loads((run / "bundle" / "metrics.json").read_text())["steps"] == 12


def test_38_a_full_disk_under_the_log_of_steps(train: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original, rows = Path.open, []

    def limited(self: Path, *arguments: object, **named: object) -> object:
        if self.name == "steps.csv" and "a" in arguments:
            rows.append(1)
            if len(rows) == 7:  # half a row still fitted
                with original(self, "a") as file:
                    file.write("1,6,0.5")
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return original(self, *arguments, **named)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", limited)
        status, _, err = train("train.max_steps=8")
    assert status == 5
    one_line("metseg: " + err.split("metseg: ")[-1], "steps.csv", "the disk is full", "--resume")
    assert train("train.max_steps=8", more=("--resume",))[0] == 0
    rows = (tmp_path / "run" / "steps.csv").read_text().splitlines()
    assert {row.count(",") for row in rows} == {4}  # the half row is gone


def test_38_a_full_disk_while_predicting(
    predict: Run, tmp_path: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        save(pictures / f"{number}.png", colour(number))
    replace, done = os.replace, []

    def full(source: Path, target: Path) -> None:
        if len(done) == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        done.append(target)
        replace(source, target)

    monkeypatch.setattr(os, "replace", full)
    status, out, err = predict(pictures, more=("--format", "mask"))
    assert (status, out) == (5, "")
    one_line(err, "2_mask.png", "the disk is full", "MB free", "free some space")
    assert sorted(path.name for path in (tmp_path / "out").rglob("*")) == ["0_mask.png", "1_mask.png"]


# 40, 41: others, and memory


def test_40_two_trainers_on_one_folder(train: Run, tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from metseg.training.run_folder import RunFolder\n"
        "with RunFolder(Path(sys.argv[1])).locked(): print('held', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path / "run")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdin is not None
    assert holder.stdout is not None
    try:
        assert holder.stdout.readline() == b"held\n"
        status, _, err = train()
        assert status == 6
        one_line(err, str(tmp_path / "run"), f"process {holder.pid}", "choose another --out")
    finally:
        holder.kill()
        holder.wait()
    assert train()[0] == 0  # the lock falls with its process, however it ends


def test_41_too_little_memory_is_said_beforehand(
    train: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_tiny_recipe: Callable[..., Recipe]
) -> None:
    need = train_memory.training_need(build_from_recipe(make_tiny_recipe()), (3, 24, 24), bf16=False)
    monkeypatch.setattr(train_memory, "free_memory", lambda _: need.for_batch(3) - 1)
    status, _, err = train()
    assert status == 5
    one_line(err, "batch of 4, 3 x 24 x 24", "more memory than is free", "--set train.batch_size=2 would fit")
    assert not (tmp_path / "run" / "run.json").exists()  # nothing to resume
    assert train("train.batch_size=2")[0] == 0


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")]
)
def test_41_memory_that_runs_out_while_training(train: Run, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def exhausted(*_: object) -> None:
        raise error

    monkeypatch.setattr("metseg.training.loop.lightning_module.SegmentationModule.training_step", exhausted)
    status, _, err = train()
    assert status == 5
    one_line(err, "memory ran out while training", "batch of 4", "--set train.batch_size=2")


def test_41_memory_that_runs_out_while_predicting(
    predict: Run, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def exhausted(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr("metseg.inference.network_predictor.NetworkPredictor._gather", exhausted)
    status, _, err = predict(save(pictures / "a.png", colour()))
    assert status == 5
    one_line(err, "memory ran out while predicting")
