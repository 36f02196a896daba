"""Requests and responses of the service, shared by the API, the workers and the page.

No field names a patient or a path: files are identified by their number in the upload, studies by a random id. Errors
are problem documents (RFC 9457) with the ``code`` of a `metseg.errors.MetsegError`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field

from metseg.grade_record import CaseGrade
from metseg.headline import Headline
from metseg.lesion import Lesion

NOTICE: Final = "Research use only: not a medical device."
PROBLEM_MEDIA_TYPE: Final = "application/problem+json"

#: Host names of the local machine: without an API key, the service and its page accept no others.
LOCAL_NAMES: Final = ("localhost", "127.0.0.1", "[::1]")


def is_own_origin(origin: str | None, host: str) -> bool:
    """Return whether a browser sent a request from a page of the server itself, by the headers ``Origin`` and ``Host``.

    Both have the port: other programs of the same machine may serve pages too. Programs other than browsers send no
    ``Origin``; their requests count as own.

    >>> is_own_origin("http://localhost:8501", "localhost:8501"), is_own_origin(None, "localhost:8501")
    (True, True)
    >>> [is_own_origin(origin, "localhost:8501") for origin in ("http://localhost:3000", "null", "", "http://[")]
    [False, False, False, False]
    """
    if origin is None:
        return True
    try:
        return urlsplit(origin).netloc.lower() == host.lower() != ""
    except ValueError:
        return False


def host_of(url: str) -> str:
    """Return the host of a URL, an IPv6 address in brackets; empty if there is none.

    >>> host_of("//[::1]:8000"), host_of("http://Localhost:8501"), host_of("null")
    ('[::1]', 'localhost', '')
    """
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        return ""
    return f"[{host}]" if ":" in host else host


class Wire(BaseModel):
    """Base of the documents: immutable, unknown keys are rejected."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class State(StrEnum):
    """Status of a study; the last three are final."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        return self in FINAL_STATES


FINAL_STATES: Final = frozenset((State.DONE, State.FAILED, State.CANCELLED))


class Phase(StrEnum):
    """Processing phases of a study, in order."""

    RECEIVE = "receive"
    READ = "read"
    PREPROCESS = "preprocess"
    PREDICT = "predict"
    MEASURE = "measure"
    RENDER = "render"


#: Overall progress at the start of each phase; within a phase it moves towards the start of the next one.
PHASE_BEGINS: Final[Mapping[Phase, float]] = {
    Phase.RECEIVE: 0.0,
    Phase.READ: 0.02,
    Phase.PREPROCESS: 0.1,
    Phase.PREDICT: 0.25,
    Phase.MEASURE: 0.85,
    Phase.RENDER: 0.9,
}


def overall_progress(phase: Phase, share: float) -> float:
    """Return the overall progress of a study, 0 to 1, from the progress of a phase.

    >>> overall_progress(Phase.PREDICT, 0.5)
    0.55
    """
    begins = [*PHASE_BEGINS.values(), 1.0]
    place = list(PHASE_BEGINS).index(phase)
    return round(begins[place] + (begins[place + 1] - begins[place]) * min(max(share, 0.0), 1.0), 4)


class Kind(StrEnum):
    """Type of an uploaded file, by its content."""

    PICTURE = "picture"
    NIFTI = "nifti"
    DICOM = "dicom"
    ARCHIVE = "archive"


class Scope(StrEnum):
    """Permissions of an API key."""

    PREDICT = "predict"
    READ = "read"
    WRITE = "write"
    METRICS = "metrics"
    #: Accept the terms of non-commercial models, and reach the PACS of the settings.
    OPERATE = "operate"
    #: Send images to the receiver by STOW-RS.
    STORE = "store"


#: Names of the artifacts of a study. For pictures, those with ``{number}`` exist once per slice; for volumes, those
#: with ``{sequence}`` once per sequence except the reference, which is ``image.nii.gz``. Those with ``{level}`` exist
#: once per attention gate, 1 for the finest.
ARTIFACTS: Final[Mapping[str, str]] = {
    "mask.nii.gz": "application/gzip",
    "probability.nii.gz": "application/gzip",
    "image.nii.gz": "application/gzip",
    "sequence-{sequence}.nii.gz": "application/gzip",
    "uncertainty.nii.gz": "application/gzip",
    "gradcam.nii.gz": "application/gzip",
    "attention-{level}.nii.gz": "application/gzip",
    "prepared.nii.gz": "application/gzip",
    "brain_mask.nii.gz": "application/gzip",
    "lesions.nii.gz": "application/gzip",
    "overlay.png": "image/png",
    "thumbnail.png": "image/png",
    "lesions.csv": "text/csv",
    "lesions.json": "application/json",
    "report.pdf": "application/pdf",
    "report.html": "text/html",
    "seg.dcm": "application/dicom",
    "seg-classes.dcm": "application/dicom",
    "seg-probability.dcm": "application/dicom",
    "rtstruct.dcm": "application/dicom",
    "sr.dcm": "application/dicom",
    "report.dcm": "application/dicom",
    "mask-{number}.png": "image/png",
    "overlay-{number}.png": "image/png",
    "probability-{number}.png": "image/png",
    "image-{number}.png": "image/png",
    "lesions-{number}.png": "image/png",
    "uncertainty-{number}.png": "image/png",
    "gradcam-{number}.png": "image/png",
    "attention-{level}-{number}.png": "image/png",
}

StudyId = Annotated[str, Field(pattern="^[0-9a-f]{32}$", description="Random id of a study, 32 hexadecimal digits.")]
Sequence = Annotated[str, Field(pattern="^[a-z0-9_]{1,32}$")]
#: Longest label of a study.
LABEL_CHARACTERS: Final = 60
#: No colon, slash or quotes: a label is a few words, never a path, a URL or markup.
Label = Annotated[
    str,
    Field(
        max_length=LABEL_CHARACTERS,
        pattern=r"^[\w .,()+#&-]*$",
        description="A few words that the user chose to find the study again. Never the name of a patient.",
    ),
]

#: The sequences that a file can be declared to show, as names of form fields: those of `metseg.volume`, written out,
#: for the page imports this module and nothing below it.
SEQUENCES: Final = ("t1n", "t1c", "t2w", "t2f")

#: The form field of a brain mask, and what its file is declared as; the name of `metseg.volume`, written out too.
BRAIN_MASK: Final = "brain_mask"


class Problem(BaseModel):
    """An error as defined by RFC 9457; more members may be added."""

    model_config = ConfigDict(frozen=True, extra="allow")

    type: str = Field(description="A URI that names the kind of problem: `urn:metseg:problem:` and the code.")
    title: str = Field(description="What is wrong, in general.")
    status: int = Field(ge=400, le=599)
    detail: str = Field(description="What is wrong here, what was expected and found, and the cure.")
    code: str = Field(description="Stable name of the cause, the same everywhere in metseg.")
    where: str | None = Field(default=None, description="The file by its number in the upload, or the field.")
    cure: str | None = Field(default=None, description="How to fix the problem.")
    request: str | None = Field(default=None, description="Id of the request, as in the header X-Request-Id.")


class Failure(Wire):
    """Why a study failed, with the fields of a `Problem`."""

    code: str
    detail: str
    where: str | None = None
    cure: str | None = None
    phase: Phase | None = None


class Warned(Wire):
    """An observation or an automatic correction."""

    phase: Phase
    text: str


class InputFile(Wire):
    """One uploaded file. Its name is not stored."""

    number: int = Field(ge=1, description="Its place in the upload.")
    kind: Kind
    sequence: Sequence | None = Field(
        default=None,
        description="Which sequence it shows, or `brain_mask`: as declared, or else by its name.",
    )
    bytes: int = Field(ge=0)
    sha256: str


class Artifact(Wire):
    """One result file for download."""

    name: str
    media_type: str
    bytes: int
    sha256: str
    url: str


class Options(Wire):
    """Options of an upload."""

    #: Name of a bundle; None: the service's default for this kind of study.
    model: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]{0,99}$")] | None = None
    #: Read the pages of a TIFF as the slices of a stack; otherwise files with several pages are rejected.
    stack: bool = False
    #: Fill missing slices of a DICOM series between their neighbours, and mark every output.
    allow_gaps: bool = False
    #: DICOM series of a sequence, regardless of its header, or "none" to leave the sequence out: ``{"t1c": "3"}``.
    series: dict[Sequence, Annotated[str, Field(pattern=r"^([0-9]{1,9}(\.[0-9]{1,4})?|none)$")]] = {}
    #: Measure how far the predictions of mirror images and folds differ: a map, and a range of each lesion's size.
    uncertainty: bool = False
    #: Make a map of Grad-CAM: where the features of the network raised the score of the predicted lesions; and of each
    #: attention gate of the network, if it has any.
    explanation: bool = False


class StudyChange(Wire):
    """What can be changed in a study."""

    label: Label


class SequenceRecord(Wire):
    """The file or series of the upload that was read as a sequence, and the reason."""

    sequence: Sequence
    source: str = Field(description="The file by its number in the upload, or the DICOM series.")
    reason: str


class Facts(Wire):
    """Details found while a study was processed."""

    model: str | None = None
    fingerprint: str | None = None
    scheme: str | None = None
    reference: Sequence | None = None
    sequences: tuple[Sequence, ...] = ()
    sequence_records: tuple[SequenceRecord, ...] = ()
    slice_gaps: tuple[bool, ...] = Field(
        default=(),
        description="For each uploaded picture, whether slices are missing before it, by the numbers in the file "
        "names; empty: none are missing.",
    )
    shape: tuple[int, ...] | None = None
    spacing_mm: tuple[float, float, float] | None = None
    affine: tuple[tuple[float, ...], ...] | None = None
    threshold: float | None = None
    slices: int = Field(default=0, description="How many pictures; 0: a volume.")
    timings_s: dict[str, float] = {}
    fitness: str = Field(default="", description="What the model was trained on, and what this study is.")
    model_reason: str = Field(
        default="", description="Why the model was chosen, one sentence; empty if the request named it."
    )
    grade: CaseGrade | None = Field(default=None, description="Grade of the glioma, if it may be shown.")
    no_grade: str = Field(
        default="", description="Why the result has no grade, one clause; empty if it has one, or if that is not known."
    )


class Study(Wire):
    """A study and its progress."""

    id: StudyId
    state: State
    phase: Phase
    progress: float = Field(ge=0, le=1)
    kind: Kind
    label: Label = ""
    created_at: datetime
    updated_at: datetime
    finished_at: datetime | None = None
    expires_at: datetime | None = Field(default=None, description="When the study and its files are removed.")
    options: Options
    inputs: tuple[InputFile, ...]
    facts: Facts = Facts()
    headline: Headline | None = Field(default=None, description="What to read first; null before the study is done.")
    warnings: tuple[Warned, ...] = ()
    lesions: tuple[Lesion, ...] = ()
    failure: Failure | None = None
    artifacts: tuple[Artifact, ...] = ()
    notice: str = NOTICE


class StudySummary(Wire):
    """A study in a list."""

    id: StudyId
    state: State
    phase: Phase
    progress: float = Field(ge=0, le=1)
    kind: Kind
    label: Label = ""
    thumbnail: str | None = Field(
        default=None, description="URL of a small picture of the key image; null before the study is done."
    )
    created_at: datetime
    updated_at: datetime
    lesions: int | None = Field(default=None, description="How many were found; null before the study is done.")
    model: str | None = None
    failure: Failure | None = None


class StudyList(Wire):
    """A page of studies, newest first, and the key of the next page."""

    studies: tuple[StudySummary, ...]
    next: str | None = Field(
        default=None, description="Pass this as `after` to get the next page; null on the last page."
    )


class Answer(Wire):
    """Response of `POST /predict/` for one picture."""

    segmentation: list[list[int]] = Field(description="Class ids, rows from the top, columns from the left.")
    probabilities: list[list[float]] | None = Field(
        default=None,
        description="Probability of any lesion class, 0 to 1, rows and columns as in `segmentation`; null unless the "
        "request has `probabilities=true`.",
    )
    rows: int
    columns: int
    classes: dict[str, int] = Field(description="Name of each class and its id.")
    lesions: tuple[Lesion, ...]
    model: str
    model_reason: str = Field(
        default="", description="Why the model was chosen, one sentence; empty if the request named it."
    )
    fingerprint: str
    warnings: tuple[str, ...] = ()
    timings_s: dict[str, float] = {}
    notice: str = NOTICE


class Model(Wire):
    """A bundle that can be selected by name."""

    name: str
    recipe: str
    description: str
    dimensions: int
    sequences: tuple[str, ...]
    optional: tuple[str, ...] = ()
    grey_sequence: Sequence | None = Field(
        default=None,
        description="Sequence that a grey picture is taken for, where the model needs several; null: it takes none.",
    )
    labels: str
    threshold: float
    default_for: tuple[str, ...] = Field(default=(), description='"pictures", "volumes", or nothing.')
    data: str = Field(default="", description="Training data and their licence; empty if unknown.")
    simulated: bool = Field(default=False, description="Whether all patients, scored ones too, are simulated.")
    non_commercial: bool = Field(default=False, description="Whether its terms permit non-commercial use only.")
    terms: str = Field(default="", description="Statement on the training data and their licence, as it is accepted.")
    accepted: bool = Field(
        default=True, description="Whether the operator has accepted these terms; else it is refused."
    )
    predictions: int = Field(
        default=1,
        ge=1,
        description="Number of predictions of its networks and their mirror images; the uncertainty needs at least 2.",
    )
    gates: int = Field(
        default=0,
        ge=0,
        description="Number of attention gates of its network; with `explanation` a study has a map of each.",
    )
    card: str = Field(description="Markdown.")
    metrics: dict[str, Any] = {}
    fingerprint: str


class ModelList(Wire):
    """The installed models, and whether the caller may accept the terms of one."""

    models: tuple[Model, ...]
    may_accept: bool = Field(
        default=False,
        description="Whether the caller may accept the terms of non-commercial models: there is no key and the call "
        "comes from this machine, or the key has the scope `operate`.",
    )


class ModelMisfit(Wire):
    """Why a model is not used for an input."""

    model: str
    reason: str = Field(description="A clause.")
    cure: str = Field(description="What makes it usable, an imperative clause.")
    is_waiting: bool = Field(
        default=False, description="Whether it fits, and only its non-commercial terms have not been accepted."
    )


class ModelChoice(Wire):
    """The model that fits an input best, and why; null if none fits."""

    model: str | None = None
    reason: str = Field(default="", description="Which model was chosen and why, one sentence; empty if none fits.")
    better: str = Field(
        default="", description="A sentence on a model that would fit better once its terms are accepted; or empty."
    )
    misfits: tuple[ModelMisfit, ...] = Field(default=(), description="The models that are not used, and why.")

    @property
    def text(self) -> str:
        """Return why the model was chosen and which would fit better; empty if it was not chosen but named."""
        return " ".join(filter(None, (self.reason, self.better)))


class Health(Wire):
    """The process is alive."""

    status: str = "ok"
    version: str


class Readiness(Wire):
    """Whether the service accepts studies now, with the facts behind it."""

    ready: bool
    checks: dict[str, bool]
    queued: int
    running: int
    workers: int = Field(description="Number of workers with a recent heartbeat.")
