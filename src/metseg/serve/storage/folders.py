"""Folders of the service below ``METSEG_HOME``. No name on disk comes from a client.

incoming/<random>/            an upload in progress; always removed at its end
studies/<ab>/<study id>/
    inputs/0001.nii.gz ...    uploaded files, by their number in the upload
    work/                     intermediate results of the phases
    artifacts/                results, each written atomically
    deidentified/             copies of the DICOM images that were uploaded, where the operator keeps them
    versions/<random>/        files of a corrected version, moved into place as a whole
follow-ups/<follow-up id>/    files of a follow-up, moved into place as a whole
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path


def keep_files_private() -> None:
    """Let this process and its children create files with mode 0600 and folders with mode 0700 from now on."""
    os.umask(0o077)


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

    @property
    def deidentified(self) -> Path:
        return self.root / "deidentified"

    @property
    def versions(self) -> Path:
        return self.root / "versions"


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

    @property
    def follow_ups(self) -> Path:
        return self.home / "follow-ups"

    def study(self, study_id: str) -> StudyFolder:
        return StudyFolder(self.studies / study_id[:2] / study_id)

    def make(self) -> None:
        """Create the folders, and close them and the databases, which may be older, to other accounts."""
        for folder in (self.home, self.incoming, self.studies, self.follow_ups):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            _restrict(folder, 0o700)
        for path in self.home.glob("*.sqlite*"):
            _restrict(path, 0o600)

    def remove(self, study_id: str) -> bool:
        """Remove all files of a study; return whether none is left."""
        root = self.study(study_id).root
        shutil.rmtree(root, ignore_errors=True)
        return not root.exists()

    def remove_follow_ups(self, ids: Iterable[str]) -> None:
        """Remove all files of follow-ups."""
        for follow_up_id in ids:
            shutil.rmtree(self.follow_ups / follow_up_id, ignore_errors=True)


def sha256_of(path: Path) -> str:
    """Return the SHA-256 checksum of a file in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _restrict(path: Path, mode: int) -> None:
    """Set the mode of a path, where it belongs to this account: a mounted volume may not."""
    with suppress(PermissionError, FileNotFoundError):
        path.chmod(mode)
