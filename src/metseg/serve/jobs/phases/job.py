"""Input and outcome of a phase: values that are JSON or can be recomputed from the study's folder."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt

from metseg.inference.outputs.volume_outputs import PROBABILITY_SCALE
from metseg.inference.predictor import Predictor
from metseg.inference.uncertainty import Spread
from metseg.preprocess.prepared_case import Prepared
from metseg.runtime.atomic_io import atomic_file, write_text
from metseg.runtime.progress import OnShare, no_progress
from metseg.schemas import Options, Phase
from metseg.serve.jobs.phases.model_cache import Loaded, Models
from metseg.serve.storage.artifact_names import media_type_of
from metseg.serve.storage.folders import StudyFolder
from metseg.serve.storage.job_repository import WorkInput
from metseg.volume import Case


@dataclass(frozen=True)
class Outcome:
    """Outcome of a phase.

    Args:
        facts: entries of `metseg.schemas.Facts`.
        warnings: warnings, one sentence each.
        lesions: lesions in the format of `metseg.lesion.Lesion`; None if the phase does not measure lesions.
        patient_hash: keyed hash of the patient id; empty: the phase does not read it, or there is none.
        kept: values for later phases.
        elapsed_s: duration in seconds.
    """

    facts: dict[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    lesions: tuple[dict[str, Any], ...] | None = None
    patient_hash: str = ""
    kept: dict[str, Any] = field(default_factory=dict)
    elapsed_s: float = 0.0

    def write(self, path: Path) -> None:
        """Write the outcome as JSON, atomically."""
        write_text(path, json.dumps(asdict(self), allow_nan=False))

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """Return the outcome that `write` wrote; None if there is none."""
        try:
            content = json.loads(path.read_text("utf-8"))
        except FileNotFoundError:
            return None
        lesions = content["lesions"]
        content |= {"warnings": tuple(content["warnings"]), "lesions": None if lesions is None else tuple(lesions)}
        return cls(**content)


def stamp(folder: StudyFolder, phase: Phase) -> Path:
    """Return the path of a phase's outcome, which is written after all other files of the phase."""
    return folder.work / f"{phase}.json"


@dataclass(frozen=True)
class Segmentation:
    """Output of the network, as stored.

    Args:
        labels: (X, Y, Z) class ids.
        stored: (X, Y, Z) lesion probability, 0 to 1 stored as 0 to 65535. It is rounded once, so that results do not
            depend on whether a later phase runs in the same process.
        spread: of the predictions of networks and mirror images; None: not measured.
    """

    labels: npt.NDArray[np.uint8]
    stored: npt.NDArray[np.uint16]
    spread: Spread | None = None

    @property
    def probability(self) -> npt.NDArray[np.float32]:
        """Return (X, Y, Z) probabilities with a rounding error of at most 1/131070."""
        return self.stored.astype(np.float32) / np.float32(PROBABILITY_SCALE)


@dataclass
class JobCache:
    """In-memory cache between the phases of one study; all of it can be recomputed from the study's folder.

    The preprocessed images stay in memory because on disk they would be by far the largest files: float32 for every
    sequence, gigabytes for a study of high resolution, read only once. A worker that takes over a study preprocesses it
    again. The cache holds one study at a time.
    """

    study_id: str = ""
    case: Case | None = None
    prepared: Prepared | None = None
    segmentation: Segmentation | None = None
    document: dict[str, Any] | None = None

    def for_study(self, study_id: str) -> Self:
        """Return the cache, cleared of any other study."""
        if self.study_id != study_id:
            self.clear()
            self.study_id = study_id
        return self

    def clear(self) -> None:
        self.study_id, self.case, self.prepared, self.segmentation, self.document = "", None, None, None, None


#: Context manager that yields a path for an artifact and moves the file into place if the block succeeds.
Artifacts = Callable[[str], AbstractContextManager[Path]]


def artifacts_in(folder: Path) -> Artifacts:
    """Return artifacts that are plain files in a folder; the service uses `Store.artifact` instead."""

    @contextmanager
    def artifact(name: str) -> Iterator[Path]:
        media_type_of(name)  # raises for unknown names
        with atomic_file(folder / name) as temporary:
            yield temporary

    return artifact


@dataclass(frozen=True)
class Job:
    """A study in work.

    Args:
        study_id: id of the case in all results.
        folder: folder of the study.
        uploads: uploaded files by number.
        model: name of the bundle.
        options: options of the request.
        models: cache of loaded models.
        cache: intermediates shared by the phases of a study.
        artifact: provides the path of a result.
        hash_patient: returns the keyed hash of a patient id.
        on_share: called with the progress of the phase, 0 to 1; its exceptions end the phase.
        model_reason: why the model was chosen; empty if the request named it.
        dicom_exports: exports of `metseg.dicom_export.EXPORTS` that DICOM studies get.
        dicom_identity: whom these objects name.
    """

    study_id: str
    folder: StudyFolder
    uploads: tuple[WorkInput, ...]
    model: str
    options: Options
    models: Models
    cache: JobCache
    artifact: Artifacts
    hash_patient: Callable[[str], str]
    on_share: OnShare = no_progress
    model_reason: str = ""
    dicom_exports: tuple[str, ...] = ()
    dicom_identity: Literal["pseudonym", "keep"] = "pseudonym"

    @property
    def loaded(self) -> Loaded:
        """Return the model."""
        return self.models.get(self.model, uncertainty=self.options.uncertainty)

    @property
    def predictor(self) -> Predictor:
        return self.loaded.predictor

    def outcome(self, phase: Phase) -> Outcome:
        """Return the outcome of a phase before this one."""
        outcome = Outcome.read(stamp(self.folder, phase))
        if outcome is None:
            raise FileNotFoundError(f"phase {phase} has no outcome yet")
        return outcome


PhaseFunction = Callable[[Job], Outcome]
