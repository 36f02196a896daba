"""Where the service keeps files, below ``METSEG_HOME``; no name on disk comes from a client.

incoming/<random>/            an upload on its way; removed when it is over, whatever became of it
studies/<ab>/<study id>/
    inputs/0001.nii.gz ...    what was uploaded, by its place in the upload
    work/                     what steps leave for later steps; nobody else looks there
    artifacts/                results, each whole or not there
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class StudyFolder:
    """The folder of one study."""

    root: Path

    @property
    def inputs(self) -> Path:
        return self.root / "inputs"

    @property
    def work(self) -> Path:
        return self.root / "work"

    @property
    def artifacts(self) -> Path:
        return self.root / "artifacts"


@dataclass(frozen=True)
class Folders:
    """The folders below a home."""

    home: Path

    @property
    def incoming(self) -> Path:
        return self.home / "incoming"

    @property
    def studies(self) -> Path:
        return self.home / "studies"

    def study(self, study_id: str) -> StudyFolder:
        return StudyFolder(self.studies / study_id[:2] / study_id)

    def make(self) -> None:
        """Make the folders, readable by this user only."""
        for folder in (self.home, self.incoming, self.studies):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def remove(self, study_id: str) -> bool:
        """Remove all files of a study and return whether none is left."""
        root = self.study(study_id).root
        shutil.rmtree(root, ignore_errors=True)
        return not root.exists()
