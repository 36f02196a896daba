"""The tests' own scanner, as a fixture."""

from __future__ import annotations

import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest


@pytest.fixture(scope="session")
def scanner() -> SimpleNamespace:
    """Return the functions of `scanner.py`."""
    return SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("scanner.py"))))
