"""What a phase is given, and what it gives back: values that are JSON, or that can be made again from the folder."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from metseg.atomic_io import atomic_file, write_text
from metseg.inference.outputs.volume_outputs import PROBABILITY_SCALE
from metseg.inference.predictor import Predictor
from metseg.preprocess.prepared_case import Prepared
from metseg.progress import OnShare, no_progress
from metseg.schemas import Options, Phase
from metseg.serve.jobs.phases.model_cache import Loaded, Models
from metseg.serve.storage.artifact_names import media_type_of
from metseg.serve.storage.folders import StudyFolder
from metseg.serve.storage.job_repository import WorkInput
from metseg.volume import Case


@dataclass(frozen=True)
class Outcome:
    """What came of a phase.

    Args:
        facts: entries of `metseg.schemas.Facts`.
        warnings: what was noticed, one sentence each.
        lesions: each as `metseg.lesion.Lesion`; None: the phase does not look for any.
        kept: what later phases need to know.
        elapsed_s: how long it took.
    """

    facts: dict[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    lesions: tuple[dict[str, Any], ...] | None = None
    kept: dict[str, Any] = field(default_factory=dict)
    elapsed_s: float = 0.0

    def write(self, path: Path) -> None:
        """Write the outcome as JSON, whole or not at all."""
        write_text(path, json.dumps(asdict(self), allow_nan=False))

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """Return what `write` wrote; None where there is nothing."""
        try:
            content = json.loads(path.read_text("utf-8"))
        except FileNotFoundError:
            return None
        lesions = content["lesions"]
        content |= {"warnings": tuple(content["warnings"]), "lesions": None if lesions is None else tuple(lesions)}
        return cls(**content)


def stamp(folder: StudyFolder, phase: Phase) -> Path:
    """Return where the outcome of a phase is written, when all else that it writes is in its place."""
    return folder.work / f"{phase}.json"


@dataclass(frozen=True)
class Segmentation:
    """What the network said, as it is kept.

    Args:
        labels: (X, Y, Z) class ids.
        stored: (X, Y, Z) probability of lesion, 0 to 1 as 0 to 65535. It is rounded once, so that results do not depend
            on whether a later phase runs in the process that predicted.
    """

    labels: npt.NDArray[np.uint8]
    stored: npt.NDArray[np.uint16]

    @property
    def probability(self) -> npt.NDArray[np.float32]:
        """Return (X, Y, Z) probabilities, off by at most 1/131070."""
        return self.stored.astype(np.float32) / np.float32(PROBABILITY_SCALE)


@dataclass
class JobCache:
    """What the phases of a study leave for one another in memory; all of it can be made again from the folder.

    Written to disk, what the network sees would be the largest thing by far: float32 for every sequence, gigabytes for
    a fine study, to be read once by the next phase of the same process. So it stays here, and a worker that takes over
    a study prepares it anew. One study lies here at a time.
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


#: Gives a path to write the artifact of a name to; it is put in place when the block ends well.
Artifacts = Callable[[str], AbstractContextManager[Path]]


def artifacts_in(folder: Path) -> Artifacts:
    """Return artifacts that are files in a folder and no more; in the service, `Store.artifact` makes them."""

    @contextmanager
    def artifact(name: str) -> Iterator[Path]:
        media_type_of(name)  # refuses what no artifact is called
        with atomic_file(folder / name) as temporary:
            yield temporary

    return artifact


@dataclass(frozen=True)
class Job:
    """A study to be worked on.

    Args:
        study_id: names the case in all results.
        folder: its files.
        uploads: what was uploaded, by number.
        model: name of the bundle.
        options: what was asked for.
        models: those in memory.
        cache: shared by the phases of a study.
        artifact: gives the path for a result.
        on_share: told which share of a phase is done; what it raises ends the phase.
    """

    study_id: str
    folder: StudyFolder
    uploads: tuple[WorkInput, ...]
    model: str
    options: Options
    models: Models
    cache: JobCache
    artifact: Artifacts
    on_share: OnShare = no_progress

    @property
    def loaded(self) -> Loaded:
        """Return the model."""
        return self.models.get(self.model)

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
