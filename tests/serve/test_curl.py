"""The calls that docs/service.md prints work as they stand there: run by bash, against a service of our own.

Only the address is another, for port 8000 may be taken.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import httpx
import nibabel
import numpy as np
import pytest
from PIL import Image

from metseg.follow_up_schemas import StoredFollowUp
from metseg.schemas import Answer, ModelList, Study, StudyList
from metseg.version_schemas import VersionList

from . import running

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("curl") is None, reason="curl is absent (on Debian: apt install curl)"),
    pytest.mark.skipif(shutil.which("bash") is None, reason="bash is absent"),
]

ROOT = Path(__file__).parents[2]
PRINTED = "http://127.0.0.1:8000"


def blocks(page: str) -> list[str]:
    """Return the blocks of a page that call the service."""
    text = (ROOT / page).read_text("utf-8")
    return [block for block in re.findall(r"^```bash\n(.*?)^```$", text, re.DOTALL | re.MULTILINE) if "curl" in block]


def block(page: str, mark: str) -> str:
    """Return the one block of a page that holds some words."""
    (found,) = (text for text in blocks(page) if mark in text)
    return found


@dataclass(frozen=True)
class Shell:
    """A shell in a folder with the files that the pages speak of."""

    service: running.Running
    folder: Path

    def run(self, script: str, *, succeeds: bool = True) -> str:
        """Run a block as printed, until a line fails, and return what it says.

        Args:
            script: the block.
            succeeds: whether every line is expected to succeed.
        """
        programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        ended = subprocess.run(
            ["bash", "-euc", script.replace(PRINTED, self.service.url)],
            cwd=self.folder,
            env={**os.environ, "PATH": programs, "METSEG_HOME": str(self.service.home)},
            capture_output=True,
            text=True,
            check=False,
            timeout=running.PATIENCE_S,
        )
        assert (ended.returncode == 0) is succeeds, ended.stderr + self.service.said()
        return ended.stdout


@pytest.fixture(scope="module")
def shell(
    tmp_path_factory: pytest.TempPathFactory, bundle_store: Path, make: SimpleNamespace, scanner: SimpleNamespace
) -> Iterator[Shell]:
    folder = tmp_path_factory.mktemp("shell")
    for name in ("slice", "slice_1", "slice_2"):
        (folder / f"{name}.png").write_bytes(make.png(make.square()))
    (folder / "contrast.nii.gz").write_bytes(make.nifti())
    for name in ("january", "april"):
        (folder / f"{name}.nii.gz").write_bytes(make.nifti())
    (folder / "flair.nii.gz").write_bytes(make.nifti(make.volume() * 2))
    (folder / "examination.zip").write_bytes(examination(scanner, folder))
    with serving(tmp_path_factory.mktemp("service"), bundle_store) as service:
        yield Shell(service, folder)


@contextmanager
def serving(folder: Path, bundle_store: Path) -> Iterator[running.Running]:
    shutil.copytree(bundle_store, folder / "home" / "bundles")
    models = {"METSEG_PICTURE_MODEL": "bright-pictures", "METSEG_VOLUME_MODEL": "bright-two"}
    with running.metseg_up(folder / "home", **models) as service:
        yield service


def examination(scanner: SimpleNamespace, folder: Path) -> bytes:
    """Return a DICOM series, number 4, as a zip archive."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for path in scanner.write(folder / "dicom", scanner.slices(scanner.pixels(6, size=(16, 14)), SeriesNumber=4)):
            archive.write(path, path.name)
    return packed.getvalue()


def test_every_block_is_run_by_a_test() -> None:
    """A block that is added to a page needs a test here."""
    assert (len(blocks("README.md")), len(blocks("docs/service.md"))) == (0, 8)
    assert all(PRINTED in text for text in blocks("docs/service.md"))


def test_one_picture_at_once(shell: Shell) -> None:
    said = shell.run(block("docs/service.md", "/predict/"))
    answer = Answer.model_validate_json(said)
    assert np.sum(answer.segmentation) == 9
    mask = np.asarray(Image.open(shell.folder / "mask.png"))
    assert (mask.shape, np.unique(mask).tolist()) == ((32, 40), [0, 255])
    np.testing.assert_array_equal(mask > 0, answer.segmentation)
    assert np.asarray(Image.open(shell.folder / "overlay.png")).shape == (32, 40, 3)
    np.testing.assert_array_equal(np.asarray(Image.open(shell.folder / "probability.png")) > 65535 / 2, mask > 0)
    asked = Answer.model_validate_json((shell.folder / "answer.json").read_bytes())
    np.testing.assert_array_equal(np.array(asked.probabilities) > 0.5, mask > 0)


def test_a_study_of_slices(shell: Shell) -> None:
    shell.run(block("docs/service.md", "slice_2.png"))
    study = Study.model_validate_json((shell.folder / "study.json").read_bytes())
    assert (study.state, len(study.inputs)) == ("done", 2)
    assert (shell.folder / "report.pdf").read_bytes().startswith(b"%PDF-")
    rows = list(csv.DictReader(io.StringIO((shell.folder / "lesions.csv").read_text("utf-8"))))
    assert len(rows) >= 1
    assert httpx.get(f"{shell.service.url}/studies/{study.id}", timeout=running.PATIENCE_S).status_code == 404


def test_a_study_of_nifti_files(shell: Shell, make: SimpleNamespace) -> None:
    shell.run(block("docs/service.md", "contrast.nii.gz"))
    study = Study.model_validate_json((shell.folder / "study.json").read_bytes())
    assert [item.sequence for item in study.inputs] == ["t1c", "t2f"]
    mask = nibabel.load(shell.folder / "mask.nii.gz")
    np.testing.assert_array_equal(np.asanyarray(mask.dataobj), make.volume() == 300)
    assert len(json.loads((shell.folder / "lesions.json").read_text("utf-8"))["lesions"]) == 1


@pytest.mark.parametrize(
    ("mark", "file", "results"),
    [("slice_2.png", "slice_2.png", "report.pdf"), ("contrast.nii.gz", "contrast.nii.gz", "mask.nii.gz")],
)
def test_a_block_fails_where_the_study_fails(
    shell: Shell, make: SimpleNamespace, tmp_path: Path, mark: str, file: str, results: str
) -> None:
    """The file is accepted, and found damaged when its pixels are read."""
    folder = shutil.copytree(shell.folder, tmp_path / "shell", ignore=shutil.ignore_patterns(results, "dicom"))
    noise = np.random.default_rng(0).integers(0, 255, (32, 40), dtype=np.uint8)
    content = make.png(noise) if file.endswith(".png") else make.nifti()
    (folder / file).write_bytes(content[: len(content) * 3 // 4])
    Shell(shell.service, folder).run(block("docs/service.md", mark), succeeds=False)
    study = Study.model_validate_json((folder / "study.json").read_bytes())
    assert (study.state, study.failure is not None) == ("failed", True)
    assert not (folder / results).exists()


def test_a_block_fails_where_the_picture_is_refused(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "slice.png").write_bytes(b"no picture")
    said = Shell(shell.service, tmp_path).run(block("docs/service.md", "/predict/"), succeeds=False)
    assert json.loads(said)["code"] == "input.format"
    assert not (tmp_path / "mask.png").exists()


def test_submit_as_printed(shell: Shell, tmp_path: Path) -> None:
    """The command in a process of its own, against the whole service."""
    (tmp_path / "after.nii.gz").write_bytes((shell.folder / "contrast.nii.gz").read_bytes())
    (tmp_path / "flair.nii.gz").write_bytes((shell.folder / "flair.nii.gz").read_bytes())
    call = f"metseg submit --modality t1c=after.nii.gz --modality t2f=flair.nii.gz --server {PRINTED} --out"
    said = Shell(shell.service, tmp_path).run(f"{call} results")
    assert "results/mask.nii.gz" in said.splitlines()
    assert (tmp_path / "results" / "report.pdf").read_bytes().startswith(b"%PDF-")
    (tmp_path / "after.nii.gz").write_bytes((shell.folder / "contrast.nii.gz").read_bytes()[:-20])
    assert Shell(shell.service, tmp_path).run(f"{call} failed", succeeds=False) == ""
    assert not (tmp_path / "failed").exists()


def test_a_correction_and_a_corrected_mask(shell: Shell) -> None:
    listed = VersionList.model_validate_json(shell.run(block("docs/service.md", '"edits"')))
    assert [(item.number, item.source, item.note) for item in listed.versions] == [
        (0, "model", ""),
        (1, "edits", ""),
        (2, "mask", "drawn again"),
    ]


def test_two_studies_of_a_patient_are_compared(shell: Shell) -> None:
    shell.run(block("docs/service.md", "/follow-ups"))
    followed = StoredFollowUp.model_validate_json((shell.folder / "followed.json").read_bytes())
    assert [str(one.day) for one in followed.examinations] == ["2024-01-10", "2024-04-12"]
    assert [change.kind for change in followed.changes] == ["unchanged"]
    assert (shell.folder / "report.pdf").read_bytes().startswith(b"%PDF-")
    gone = httpx.get(f"{shell.service.url}/follow-ups/{followed.id}", timeout=running.PATIENCE_S)
    assert gone.status_code == 404


def test_a_study_of_dicom(shell: Shell) -> None:
    study = Study.model_validate_json(shell.run(block("docs/service.md", "examination.zip")))
    assert (study.kind, study.options.series) == ("archive", {"t1c": "4"})


def test_twice_under_one_key_and_nothing_new(shell: Shell) -> None:
    said = shell.run(block("docs/service.md", "Idempotency-Key"))
    (status,) = said.split()
    # It may just have been worked on in between.
    assert status in ("200", "304")
    study = Study.model_validate_json((shell.folder / "first.json").read_bytes())
    shell.service.wait_until_over(f"/studies/{study.id}")
    asked_again = block("docs/service.md", "Idempotency-Key").splitlines()[-2:]
    assert shell.run("\n".join([f"study=/studies/{study.id}", *asked_again])).split() == ["304"]


def test_with_a_key(bundle_store: Path, tmp_path: Path) -> None:
    """On a service of its own: from then on, the other calls would need the key too."""
    with serving(tmp_path, bundle_store) as service:
        studies, models = json_documents(Shell(service, tmp_path).run(block("docs/service.md", "keys add")))
        assert httpx.get(f"{service.url}/studies", timeout=running.PATIENCE_S).status_code == 401
    assert StudyList.model_validate(studies).studies == ()
    assert {model.name for model in ModelList.model_validate(models).models} >= {"bright-pictures", "bright-two"}


def json_documents(text: str) -> list[object]:
    """Return the JSON documents that stand one after another."""
    decoder, found = json.JSONDecoder(), []
    while text.strip():
        document, end = decoder.raw_decode(text.lstrip())
        found.append(document)
        text = text.lstrip()[end:]
    return found
