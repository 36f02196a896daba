"""What the service writes is for its own account alone, independent of the umask."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest

from metseg.serve.storage.folders import Folders

from . import running


@pytest.fixture
def open_umask() -> Iterator[None]:
    old = os.umask(0)
    yield
    os.umask(old)


def modes(home: Path) -> dict[str, int]:
    """Return the modes of the home, and of all below it but the bundles, which were there before."""
    paths = [path for path in (home, *home.rglob("*")) if "bundles" not in path.parts and not path.is_socket()]
    return {f"{path.relative_to(home.parent)}{'/' * path.is_dir()}": path.stat().st_mode & 0o777 for path in paths}


@pytest.mark.slow
def test_a_study_leaves_nothing_that_others_can_read(
    tmp_path: Path, bundle_store: Path, make: SimpleNamespace, open_umask: None
) -> None:
    home = tmp_path / "home"
    shutil.copytree(bundle_store, home / "bundles")
    with running.metseg_up(home) as service:
        sent = {"files": {"t1c": ("a.nii.gz", make.nifti())}, "data": {"model": "bright-t1c"}}
        answer = httpx.post(f"{service.url}/studies", timeout=running.PATIENCE_S, **sent)  # type: ignore[arg-type]
        assert service.wait_until_over(answer.headers["location"])["state"] == "done"
        found = modes(home)  # while it runs: with journals, locks and uploads
    assert any("artifacts" in name for name in found)
    assert any(name.endswith(".sqlite") for name in found)
    wrong = {name: oct(mode) for name, mode in found.items() if mode != (0o700 if name.endswith("/") else 0o600)}
    assert wrong == {}


def test_older_folders_and_databases_are_closed_to_others(tmp_path: Path, open_umask: None) -> None:
    home = tmp_path / "home"
    (home / "studies").mkdir(parents=True)
    (home / "service.sqlite").write_bytes(b"")
    Folders(home).make()
    assert modes(home) == {
        "home/": 0o700,
        "home/incoming/": 0o700,
        "home/studies/": 0o700,
        "home/follow-ups/": 0o700,
        "home/service.sqlite": 0o600,
    }
