"""A running Orthanc for all tests of a module, empty for each test; a small study with text that names a person."""

from __future__ import annotations

import runpy
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def scanner() -> SimpleNamespace:
    """Return the functions that write MR objects."""
    return SimpleNamespace(**runpy.run_path(str(HERE.parent / "io" / "dicom" / "scanner.py")))


@pytest.fixture(scope="session")
def make_orthanc() -> Iterator[Callable[..., Any]]:
    """Return a function that starts an Orthanc in a folder."""
    module = runpy.run_path(str(HERE / "orthanc.py"))
    if reason := module["missing_programs"]():
        pytest.skip(reason)
    made: list[Any] = []

    def make(folder: Path, *options: Any, **settings: Any) -> Any:
        made.append(module["Orthanc"](folder, *options, **settings))
        made[-1].start()
        return made[-1]

    yield make
    for server in made:
        server.kill()


@pytest.fixture(scope="session")
def free_port() -> Callable[[], int]:
    """Return a function that gives a free port."""
    found: Callable[[], int] = runpy.run_path(str(HERE / "orthanc.py"))["free_port"]
    return found


@pytest.fixture(scope="module")
def running_orthanc(make_orthanc: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Any:
    return make_orthanc(tmp_path_factory.mktemp("orthanc"))


@pytest.fixture
def orthanc(running_orthanc: Any) -> Any:
    """Return an empty Orthanc."""
    running_orthanc.clear()
    return running_orthanc


@pytest.fixture(scope="session")
def study(scanner: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a study of two series, one of them compressed."""
    from pydicom.uid import RLELossless

    folder = tmp_path_factory.mktemp("study")
    plain = scanner.slices(scanner.pixels(3), StudyDescription="Brain mets", AccessionNumber="A/17")
    packed = scanner.slices(
        scanner.pixels(2, 1), series="packed", StudyDescription="Brain mets", AccessionNumber="A/17"
    )
    for dataset in packed:
        dataset.compress(RLELossless, generate_instance_uid=False)
    scanner.write(folder / "plain", plain)
    scanner.write(folder / "packed", packed)
    return folder
