"""``metseg simulate`` as it is called."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from metseg.cli.simulate import Output, simulate
from metseg.errors import UsageError
from metseg.simulation import CHALLENGES, NAMINGS, PhantomOptions, SliceOptions

app = typer.Typer()
app.command()(simulate)


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, list(arguments))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


def test_slices_by_command(tmp_path: Path) -> None:
    arguments = [
        "--patients",
        "2",
        "--seed",
        "3",
        "--as",
        "slices",
        "--resolution-mm",
        "5",
        "--slices-per-patient",
        "4",
    ]
    text = run(str(tmp_path / "out"), *arguments, "--sequence", "t1c", "--no-skull", "--workers", "1")
    assert "2 patients" in text
    assert "8 slices" in text
    assert len(list((tmp_path / "out").rglob("*_mask.png"))) == 8


def test_json_is_one_document(tmp_path: Path) -> None:
    document = json.loads(run(str(tmp_path / "out"), "--patients", "1", "--resolution-mm", "5", "--json"))
    assert [row["patient"] for row in document["patients"]] == ["BraTS-MET-00001"]


def test_any_option_of_the_phantom_can_be_set(tmp_path: Path) -> None:
    run(str(tmp_path), "--patients", "1", "--resolution-mm", "5", "--set", "scanners=many", "--set", "lesions_max=2")
    phantom = json.loads((tmp_path / "simulation.json").read_text())["phantom"]
    assert (phantom["scanners"], phantom["lesions_max"], phantom["resolution_mm"]) == ("many", 2, 5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--set", "lesions=3"), "unknown key 'lesions'"),
        (("--set", "lesions_max=3", "--set", "lesions_max=4"), "'lesions_max' is given twice"),
        (("--resolution-mm", "5", "--set", "resolution_mm=6"), "'resolution_mm' is given twice"),
        (("--resume", "--overwrite"), "--resume and --overwrite cannot be combined"),
        (("--sequence", "t1c"), "--sequence requires --as slices"),
        (("--slices-per-patient", "3"), "--slices-per-patient requires --as slices"),
        (("--as", "slices", "--sequence", "adc"), "no sequence 'adc'"),
        (("--as", "slices", "--mask", "half"), "'mask'"),
        (("--resolution-mm", "0.1"), "'resolution_mm'"),
        (("--as", "ucsf-bmsr", "--mask", "core"), "--mask requires --as slices"),
        (("--as", "slices", "--timepoints", "2"), "one examination of each patient"),
        (("--as", "slices", "--challenge", "mild"), "needs? one grid"),
        (("--challenge", "4"), "Unknown challenge '4'"),
    ],
)
def test_wrong_options_say_what_is_wrong(tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        run(str(tmp_path / "out"), *arguments)
    assert not (tmp_path / "out").exists()


def test_the_help_tells_the_true_defaults() -> None:
    text = " ".join(run("--help").replace("│", " ").split())
    assert f"(default: {PhantomOptions().resolution_mm})" in text
    assert "(default: skull)" in text
    assert PhantomOptions().skull
    assert f"(default: {SliceOptions().mask})" in text


def test_every_convention_and_level_can_be_asked_for() -> None:
    assert {output.value for output in Output} == set(NAMINGS)
    text = " ".join(run("--help").replace("│", " ").split())
    assert all(f"{number} {name}" in text for number, name in enumerate(CHALLENGES))


def test_the_page_on_volumes_says_what_the_levels_are() -> None:
    page = (Path(__file__).parents[2] / "docs" / "volumes.md").read_text("utf-8")
    for number, (name, level) in enumerate(CHALLENGES.items()):
        (row,) = [line for line in page.splitlines() if line.startswith(f"| `{name}` ({number})")]
        if level is None:
            continue
        stated = [f"{level.oblique_deg:g}°; {level.offset_mm:g} mm, {level.offset_deg:g}°", f"{level.motion_share:.0%}"]
        stated += [f"{level.missing_share:.0%}"] if level.missing_share else []
        stated += [f"{stack.slice_mm:g} mm" for stack in level.stacks.values() if stack.slice_mm is not None]
        # A sign of percent stands behind a blank.
        assert [text for text in stated if text.replace("%", " %") not in row] == [], name


def test_follow_up_by_command(tmp_path: Path) -> None:
    options = ["--patients", "1", "--timepoints", "2", "--resolution-mm", "5", "--challenge", "1", "--as", "ucsf-bmsr"]
    assert "1 patient, " in run(str(tmp_path), *options, "--no-skull", "--workers", "1")
    assert {path.name for path in tmp_path.iterdir() if path.is_dir()} == {"100101A", "100101B"}
    assert {path.name for path in (tmp_path / "100101B").iterdir()} >= {"100101B_T1post.nii.gz", "100101B_seg.nii.gz"}


def test_the_phantom_needs_no_torch() -> None:
    code = "import sys, metseg.simulation; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
