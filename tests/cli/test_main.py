"""What holds for every command: help at once, JSON, one line for an error, and the traceback only if asked for."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from typer.main import get_command

from metseg import __version__
from metseg.cli import app
from metseg.errors import InputError, ResourceError

Run = Callable[..., tuple[int, str, str]]

HEAVY = ("torch", "numpy", "pandas", "matplotlib", "scipy", "monai", "lightning", "nibabel", "cv2")


def commands(group: Any = None, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield the words of each command and the command."""
    group = group or get_command(app)
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


def option(command: str, name: str) -> Any:
    found = dict(commands())[(command,)]
    return next(one for one in found.params if name in one.opts)


def test_help_loads_nothing_heavy() -> None:
    """In a process of its own: here, other tests have loaded everything."""
    code = f"""
import contextlib, io, sys
from metseg.cli import main
for words in (["--help"], ["train", "--help"], ["models", "--help"], ["recipes", "--help"], ["evaluate", "--help"]):
    sys.argv = ["metseg", *words]
    with contextlib.redirect_stdout(io.StringIO()) as said, contextlib.suppress(SystemExit):
        main()
    assert "Usage" in said.getvalue(), words
print(*(name for name in {HEAVY!r} if name in sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "", "")


def test_the_version(run_metseg: Run) -> None:
    assert run_metseg("--version") == (0, f"metseg {__version__}\n", "")


#: These run until they are told to end: there is no result to print.
UNTIL_TOLD = {("up",), ("worker",), ("ui",), ("pacs", "receive")}


#: It prints JSON in any case.
ALWAYS_JSON = {("recipes", "schema")}


@pytest.mark.parametrize(
    "words", [words for words, _ in commands() if words not in UNTIL_TOLD | ALWAYS_JSON], ids=" ".join
)
def test_every_command_that_ends_offers_json(words: tuple[str, ...]) -> None:
    assert any("--json" in one.opts for one in dict(commands())[words].params)


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (("tran",), ("'tran'", "see metseg --help")),
        (("train", "lgg-fast"), ("metseg: train: ", "'--data'", "see metseg train --help")),
        (("train",), ("metseg: train: ", "'RECIPE'", "see metseg train --help")),
        (("predict", "a.png", "--modle", "x"), ("metseg: predict: ", "--modle", "--model")),
        (("evaluate", "--jobs", "0"), ("metseg: evaluate: ", "--jobs", "1")),
        (("compare", "a", "--data", "b", "--out", "c", "--folds", "many"), ("metseg: compare: ", "--folds", "integer")),
        (("models", "show"), ("metseg: models show: ", "'NAME'", "see metseg models show --help")),
        (("models", "shwo"), ("metseg: models: ", "'shwo'")),
        (("recipes", "show", "lgg-fst"), ("Did you mean 'lgg-fast'",)),
    ],
    ids=lambda value: " ".join(value)[:30],
)
def test_a_wrong_command_line_is_one_line(run_metseg: Run, words: tuple[str, ...], parts: tuple[str, ...]) -> None:
    status, out, err = run_metseg(*words)
    assert (status, out) == (2, "")
    assert err.startswith("metseg: ")
    assert err.count("\n") == 1, err
    assert not [part for part in parts if part.lower() not in err.lower()], err


@pytest.mark.parametrize("words", [(), ("models",)])
def test_without_a_command_there_is_help(run_metseg: Run, words: tuple[str, ...]) -> None:
    status, out, err = run_metseg(*words)
    assert status == 2
    assert "Usage" in out + err
    assert "Error" not in out + err


@pytest.mark.parametrize("place", [1, 2, 3])
def test_debug_shows_the_traceback_wherever_it_stands(run_metseg: Run, place: int) -> None:
    words = ["recipes", "show", "nothing"]
    status, _, err = run_metseg(*words[:place], "--debug", *words[place:])
    assert status == 2
    assert err.startswith("Traceback")
    assert err.splitlines()[-1].startswith("metseg: Unknown recipe 'nothing'")


def test_the_exit_status_is_that_of_the_error(run_metseg: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise InputError("too dark", where="a.png", cure="light a lamp")

    monkeypatch.setattr("metseg.recipe.shipped_recipes", broken)
    assert run_metseg("recipes") == (3, "", "metseg: a.png: too dark; light a lamp\n")


def test_a_hint_names_options_that_the_command_has(run_metseg: Run, tmp_path: Path) -> None:
    for name in ("scan_a", "scan_b"):
        nib.save(nib.Nifti1Image(np.ones((4, 4, 4), np.int16), np.eye(4)), tmp_path / f"{name}.nii.gz")
    for command in (["inspect"], ["split", "--out", tmp_path / "split.json"]):
        status, _, err = run_metseg(command[0], tmp_path, *command[1:])
        assert (status, "not recognised from the file names" in err) == (3, True)
        assert "--modality" not in err
        assert "name the files as expected" in err


def test_a_hint_of_a_case_that_is_inspected_names_no_option(run_metseg: Run, tmp_path: Path) -> None:
    for name in ("t1c", "t1_post_gad"):
        path = tmp_path / "p1" / f"{name}.nii.gz"
        path.parent.mkdir(exist_ok=True)
        nib.save(nib.Nifti1Image(np.arange(64, dtype=np.int16).reshape(4, 4, 4), np.diag([40, 40, 40, 1])), path)
    _, out, _ = run_metseg("inspect", tmp_path, "--json")
    (problem,) = json.loads(out)["case_lines"][0]["problems"]
    assert problem["code"] == "input.duplicate_sequence"
    assert problem["message"].endswith("move all of them but one away")


def test_a_command_that_has_the_option_names_it(run_metseg: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise InputError("no sequence", cure="name it with --modality", code="input.layout")

    monkeypatch.setattr("metseg.model.bundle.load_bundle", broken)
    _, _, err = run_metseg("predict", "x", "--model", "mets-sim")
    assert err == "metseg: no sequence; name it with --modality\n"


def test_a_cure_for_another_command_is_left_out(run_metseg: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk tells how a training goes on, which is no advice for a prediction."""

    def full(*_: object) -> None:
        raise ResourceError("the disk is full", cure="free some space; resume a training with --resume")

    monkeypatch.setattr("metseg.model.bundle.load_bundle", full)
    assert run_metseg("predict", "x", "--model", "mets-sim")[2] == "metseg: the disk is full; free some space\n"
    monkeypatch.setattr("metseg.recipe.load_recipe", full)
    _, _, err = run_metseg("train", "x", "--data", "d", "--out", "o")
    assert err == "metseg: the disk is full; free some space; resume a training with --resume\n"


def test_a_cure_that_is_a_whole_command_is_kept(run_metseg: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    cure = "predict again: metseg predict --format mask --format probability"

    def lacking(*_: object, **__: object) -> None:
        raise InputError("no probabilities", cure=cure)

    monkeypatch.setattr("metseg.evaluation.evaluate_sets", lacking)
    assert run_metseg("evaluate", "t", "p")[2] == f"metseg: no probabilities; {cure}\n"


def test_the_system_refusing_is_one_line(run_metseg: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise PermissionError(13, os.strerror(13), "secret")

    monkeypatch.setattr("metseg.recipe.shipped_recipes", broken)
    status, _, err = run_metseg("recipes")
    assert status == 5
    assert err == "metseg: secret: operating system error: Permission denied; check the path and its permissions\n"


def test_an_interruption_is_said(run_metseg: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("metseg.recipe.shipped_recipes", interrupted)
    assert run_metseg("recipes") == (130, "", "metseg: interrupted\n")


def test_help_names_all_that_can_be_named() -> None:
    """The help is at hand before the tables are loaded, so it repeats their names."""
    from metseg.evaluation import PROTOCOLS
    from metseg.inference.outputs.output_formats import FORMATS

    for told, table in ((option("evaluate", "--protocol"), PROTOCOLS), (option("predict", "--format"), FORMATS)):
        assert [name for name in table if name not in told.help] == []


@pytest.mark.parametrize(
    "words",
    [
        ("predict", "X", "--model", "mets-sim", "--tta"),
        ("inspect", "X"),
        ("evaluate", "X", "X"),
        ("follow", "X", "--out", "out"),
        ("extract-brain", "X"),
        ("split", "X", "--out", "out.json"),
        ("report", "X"),
        ("train", "demo-unet", "--data", "X", "--out", "out"),
        ("submit", "X"),
        ("compare", "demo-unet", "demo-attention-unet", "--data", "X", "--out", "out"),
    ],
    ids=lambda words: words[0],
)
def test_a_path_that_is_not_there_is_named_first_with_what_to_do(
    run_metseg: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    absent = str(tmp_path / "nowhere.nii.gz")
    status, out, err = run_metseg(*(absent if word == "X" else word for word in words))
    assert status in {3, 4}, err
    assert (out, err.count("\n")) == ("", 1)
    assert re.match(rf"metseg: {re.escape(absent)}: no such (file|folder|file or folder); \w+", err), err
