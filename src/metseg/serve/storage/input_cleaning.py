"""Replace the uploads of an ended study by de-identified copies, where the operator keeps them."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from pathlib import Path
from typing import Final

from metseg.errors import InputError
from metseg.runtime.atomic_io import flush_renames
from metseg.serve.storage.folders import StudyFolder

#: Beginning of the names of folders with copies that are not complete: a killed process may leave them.
_UNFINISHED: Final = ".deidentified."

_log = logging.getLogger(__name__)


def deidentify_inputs(folder: StudyFolder) -> None:
    """Write de-identified copies of the DICOM images of a study, and remove all that was uploaded.

    Uploads that are no DICOM images are removed without a copy: NIfTI headers and pictures have no profile. Safe to
    repeat: without uploads nothing is done. Safe in two processes at the same time: the first that has all copies moves
    them into place, and copies that are there are complete and stay.

    Raises:
        ResourceError: ``resources.disk``; the uploads are still there.
        OSError: another process was faster, or the disk fails.
    """
    if not folder.inputs.is_dir():
        return
    if not folder.deidentified.is_dir():
        _keep_copies(folder)
    # A process that is killed here leaves some of the uploads: they must not be copied again.
    shutil.rmtree(folder.inputs, ignore_errors=True)
    for unfinished in folder.root.glob(f"{_UNFINISHED}*"):
        shutil.rmtree(unfinished, ignore_errors=True)


def _keep_copies(folder: StudyFolder) -> None:
    unfinished = Path(tempfile.mkdtemp(dir=folder.root, prefix=_UNFINISHED))
    copies = _copies(folder.inputs, unfinished)
    if copies:
        os.replace(unfinished, folder.deidentified)
        flush_renames(folder.root)
    _log.info("study %s: %d de-identified images kept", folder.root.name, copies)


def _copies(inputs: Path, out: Path) -> int:
    """Write the copies, and return their number."""
    from metseg.deidentification.dataset_cleaner import CleaningOptions
    from metseg.deidentification.study_files import deidentify_files

    try:
        return len(deidentify_files([inputs], out, CleaningOptions(keep_technical_words=True)).written)
    except InputError:  # no DICOM
        return 0
