"""Folders of the service below ``METSEG_HOME``. No name on disk comes from a client.

incoming/<random>/            an upload in progress; always removed at its end
studies/<ab>/<study id>/
    inputs/0001.nii.gz ...    uploaded files, by their number in the upload
    work/                     intermediate results of the phases
    artifacts/                results, each written atomically
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
    """The folders below the home folder."""

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
        """Create the folders, readable by this user only."""
        for folder in (self.home, self.incoming, self.studies):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def remove(self, study_id: str) -> bool:
        """Remove all files of a study; return whether none is left."""
        root = self.study(study_id).root
        shutil.rmtree(root, ignore_errors=True)
        return not root.exists()
