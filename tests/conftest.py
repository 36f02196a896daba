"""Fixtures that the whole suite shares."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

REAL_DATA = Path(os.environ.get("METSEG_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Return the folder of real data, or skip: it is licensed for use beside the project only."""
    if not REAL_DATA.is_dir():
        pytest.skip(f"real data are absent: no folder {REAL_DATA.name} beside the checkout (set METSEG_TEST_DATA)")
    return REAL_DATA


@pytest.fixture(scope="session")
def oracles(real_data: Path) -> Path:
    """Return the folder of reference values made by other people's programs, or skip."""
    folder = real_data.parent / "oracles"
    if not folder.is_dir():
        pytest.skip("the oracles are absent")
    return folder
