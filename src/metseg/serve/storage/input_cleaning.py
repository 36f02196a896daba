"""Replace the uploads of an ended study by de-identified copies, where the operator keeps them."""

from __future__ import annotations

import logging
import os
import shutil
from pathlib import Path
from typing import Final

from metseg.errors import InputError
from metseg.runtime.atomic_io import flush_renames
from metseg.serve.storage.folders import StudyFolder

#: Copies that are not complete: a killed process may leave them.
_UNFINISHED: Final = "deidentified.part"

_log = logging.getLogger(__name__)


def deidentify_inputs(folder: StudyFolder) -> None:
    """Write de-identified copies of the DICOM images of a study, and remove all that was uploaded.

    Uploads that are no DICOM images are removed without a copy: NIfTI headers and pictures have no profile. Safe to
    repeat: without uploads nothing is done.

    Raises:
        ResourceError: ``resources.disk``; the uploads are still there.
    """
    if not folder.inputs.is_dir():
        return
    unfinished = folder.root / _UNFINISHED
    shutil.rmtree(unfinished, ignore_errors=True)
    copies = _copies(folder.inputs, unfinished)
    if copies:
        shutil.rmtree(folder.deidentified, ignore_errors=True)  # of a process that was killed before the last line
        os.replace(unfinished, folder.deidentified)
        flush_renames(folder.root)
    _log.info("study %s: %d de-identified images kept", folder.root.name, copies)
    shutil.rmtree(folder.inputs, ignore_errors=True)


def _copies(inputs: Path, out: Path) -> int:
    """Write the copies, and return their number."""
    from metseg.deidentification.dataset_cleaner import CleaningOptions
    from metseg.deidentification.study_files import deidentify_files

    try:
        return len(deidentify_files([inputs], out, CleaningOptions(keep_technical_words=True)).written)
    except InputError:  # no DICOM
        return 0
