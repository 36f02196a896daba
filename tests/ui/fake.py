"""A service that is not there: its contract over HTTP, answered from memory, with results that are known exactly."""

from __future__ import annotations

import gzip
import hashlib
import io
import itertools
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.message import Message
from email.parser import BytesParser
from typing import Any

import httpx
import nibabel
import numpy as np
from PIL import Image

from metseg.follow_up_schemas import FollowUpList, FollowUpSummary, NewFollowUp, StoredFollowUp
from metseg.headline import Headline, headline_of
from metseg.lesion import Lesion
from metseg.pacs_schemas import PacsList, PacsSent, PacsStudy, PacsStudyList
from metseg.schemas import (
    Artifact,
    Facts,
    Failure,
    InputFile,
    Kind,
    Model,
    ModelChoice,
    ModelList,
    Options,
    Phase,
    Problem,
    Readiness,
    SequenceRecord,
    State,
    Study,
    StudyList,
    StudySummary,
    Warned,
)
from metseg.version_schemas import (
    AddEdit,
    Comparison,
    Grown,
    LesionState,
    NewVersion,
    Version,
    VersionLesion,
    VersionList,
    VersionSummary,
)

from . import fake_follow_up

Array = np.ndarray[Any, Any]

#: x to the left of the patient, so that turning to RAS+ turns it round; voxels of 2 x 2 x 3 mm.
AFFINE = np.array([[-2.0, 0, 0, 30], [0, 2, 0, -40], [0, 0, 3, 10], [0, 0, 0, 1]])
SHAPE = (20, 24, 16)
#: Two lesions, in indices of the file: 100 voxels and 8.
BOXES = (np.s_[3:8, 4:9, 5:9], np.s_[14:16, 18:20, 2:4])
NOW = datetime.now(UTC)

_counter = itertools.count(1)


def new_id() -> str:
    """Return an id that no other test has: what the page keeps, it keeps by id."""
    return f"{next(_counter):032x}"


def nifti(data: Array, affine: Array | None = AFFINE, slope: float | None = None) -> bytes:
    image = nibabel.Nifti1Image(data, affine)
    if affine is not None:
        image.set_sform(affine, code=1)
    if slope is not None:
        image.header.set_slope_inter(slope, 0.0)
    return gzip.compress(image.to_bytes(), compresslevel=1)


def png(pixels: Array) -> bytes:
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, format="PNG")
    return content.getvalue()


def volume_arrays() -> tuple[Array, Array, Array]:
    """Return image, mask, and probability of a volume, as the files hold them."""
    image = np.random.default_rng(0).integers(100, 400, SHAPE).astype(np.int16)
    mask = np.zeros(SHAPE, dtype=np.uint8)
    chance = np.zeros(SHAPE)
    chance[2:9, 3:10, 4:10] = 0.3  # a rim around the larger lesion: 7 x 7 x 6 voxels with it
    for box, value in zip(BOXES, (0.9, 0.7), strict=True):
        mask[box], chance[box] = 1, value
    return image, mask, np.rint(chance * 65535).astype(np.uint16)


def volume_files() -> dict[str, bytes]:
    image, mask, chance = volume_arrays()
    lesions = np.zeros(SHAPE, dtype=np.uint16)
    for lesion_id, box in enumerate(BOXES, start=1):
        lesions[box] = lesion_id
    return {
        "image.nii.gz": nifti(image),
        "mask.nii.gz": nifti(mask),
        "lesions.nii.gz": nifti(lesions),
        "probability.nii.gz": nifti(chance, slope=1 / 65535),
        "prepared.nii.gz": nifti(image[:, :, ::-1].astype(np.int16), slope=0.01),
        "lesions.json": b'{"technique": {"preprocess": [{"step": "zscore", "scope": "case"}]}}',
        "lesions.csv": b"id,label\n1,lesion\n2,lesion\n",
        "report.pdf": b"%PDF-1.7 report",
    }


def volume_lesions() -> tuple[Lesion, ...]:
    common = {"label": "lesion", "centre_mm": (0.0, 0.0, 0.0)}
    return (
        Lesion(
            id=1,
            voxels=100,
            volume_ml=1.2,
            longest_diameter_mm=15.6,
            centre_voxel=(5, 6, 6.5),
            confidence=0.9,
            side="left",
            **common,
        ),
        Lesion(
            id=2,
            voxels=8,
            volume_ml=0.096,
            longest_diameter_mm=4.1,
            centre_voxel=(14.5, 18.5, 2.5),
            confidence=0.7,
            side="right",
            **common,
        ),
    )


def picture_files() -> dict[str, bytes]:
    """Return the results of two slices of 30 rows and 40 columns; the second has a lesion of 6 x 8 pixels."""
    files: dict[str, bytes] = {"report.pdf": b"%PDF-1.7 report"}
    for number in (1, 2):
        mask = np.zeros((30, 40), dtype=np.uint8)
        if number == 2:
            mask[10:16, 20:28] = 255
        picture = np.full((30, 40, 3), 40 * number, dtype=np.uint8)
        files |= {
            f"image-{number}.png": png(picture),
            f"mask-{number}.png": png(mask),
            f"lesions-{number}.png": png((mask > 0).astype(np.uint16)),
            f"probability-{number}.png": png(np.where(mask > 0, 60000, 20000).astype(np.uint16)),
        }
    stack = np.zeros((40, 30, 2), dtype=np.float32)
    stack[35, 5, :] = 1.0  # column 35 of row 5: right of the middle, above it
    files["prepared.nii.gz"] = nifti(stack, None)
    files["image.nii.gz"] = nifti(stack, None)
    return files


PICTURE_LESION = Lesion(
    id=1, label="lesion", voxels=48, centre_voxel=(23.5, 12.5, 1.0), confidence=0.92, slice_index=1, slices=(1,)
)


def lgg(name: str = "lgg-flair", *, dimensions: int = 2, default_for: tuple[str, ...] = ("pictures",)) -> Model:
    return Model(
        name=name,
        recipe=name,
        description="Gliomas of low grade.",
        dimensions=dimensions,
        sequences=("t1c",),
        labels="binary",
        threshold=0.5,
        default_for=default_for,
        data="Slices of *low-grade* glioma",
        card="# Card\n\n![curve](https://example.org/a.png) Research use only.",
        metrics={"dice": 0.84},
        fingerprint=hashlib.sha256(name.encode()).hexdigest()[:16],
    )


MODELS = (
    lgg(),
    lgg("mets-3d", dimensions=3, default_for=("volumes",)),
    lgg("mets-large", dimensions=3, default_for=()),
)


@dataclass
class FakeApi:
    """The service: what it holds, and what it was asked.

    Args:
        studies: by id.
        files: results, by study and name.
        models: installed.
        key: that is wanted; None: none is.
        down: whether nothing answers.
        refusal: with what every hand-in and correction is refused.
        versions: corrected versions, by study.
        corrections: every correction that was sent.
        has_versions: whether the service knows versions; older ones do not.
        asked: method and path of every request, in order.
        handed: fields of every upload: name, file name, content.
        may_accept: whether the caller may accept the terms of models.
        choice: the model for any images; None: the default of their kind.
        choices: kind and sequences of every choice that was asked for.
        searches: conditions of every list that was asked for.
        pacs: names of the PACS that the caller may search.
        in_pacs: studies that every search finds.
        asked_pacs: name, action and body of every request to a PACS.
        followed: every follow-up that was asked for.
        follow_ups: that exist, by id.
    """

    studies: dict[str, Study] = field(default_factory=dict)
    files: dict[str, dict[str, bytes]] = field(default_factory=dict)
    models: tuple[Model, ...] = MODELS
    key: str | None = None
    down: bool = False
    workers: int = 1
    refusal: Problem | None = None
    asked: list[str] = field(default_factory=list)
    handed: list[list[tuple[str, str | None, bytes]]] = field(default_factory=list)
    keys_of_uploads: list[str] = field(default_factory=list)
    versions: dict[str, list[Version]] = field(default_factory=dict)
    corrections: list[NewVersion] = field(default_factory=list)
    has_versions: bool = True
    not_modified: int = 0
    may_accept: bool = False
    choice: ModelChoice | None = None
    choices: list[tuple[str, ...]] = field(default_factory=list)
    searches: list[dict[str, str]] = field(default_factory=list)
    pacs: tuple[str, ...] = ()
    in_pacs: tuple[PacsStudy, ...] = ()
    asked_pacs: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)
    followed: list[NewFollowUp] = field(default_factory=list)
    follow_ups: dict[str, StoredFollowUp] = field(default_factory=dict)

    def add(self, study: Study, files: dict[str, bytes] | None = None) -> Study:
        files = files or {}
        artifacts = tuple(
            Artifact(
                name=name,
                media_type="application/octet-stream",
                bytes=len(content),
                sha256=hashlib.sha256(content).hexdigest(),
                url=f"/studies/{study.id}/artifacts/{name}",
            )
            for name, content in files.items()
        )
        self.studies[study.id] = study.model_copy(update={"artifacts": artifacts})
        self.files[study.id] = files
        return self.studies[study.id]

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        self.asked.append(f"{request.method} {path}")
        if self.down:
            raise httpx.ConnectError("refused", request=request)
        if path == "/ready":
            ready = Readiness(ready=True, checks={"database": True}, queued=0, running=0, workers=self.workers)
            return answer(ready)
        if self.key is not None and request.headers.get("Authorization") != f"Bearer {self.key}":
            return problem("request.unauthorised", 401, "an API key is required")
        if path == "/models":
            return answer(ModelList(models=self.models, may_accept=self.may_accept))
        if path == "/models/choice":
            return answer(self._choice(request))
        if path.endswith("/accept"):
            return self._accept(path.split("/")[2])
        if path.startswith("/pacs"):
            return self._pacs(request, *path.split("/")[2:])
        if path.startswith("/follow-ups"):
            return self._follow_up(request, *path.split("/")[2:])
        if path == "/studies":
            return self._hand_in(request) if request.method == "POST" else self._list(request)
        return self._one(request, *path.split("/")[2:])

    def _choice(self, request: httpx.Request) -> ModelChoice:
        """Return what `choice` says, else the default model of the kind."""
        query = request.url.params
        self.choices.append((query["kind"], *query.get_list("sequences")))
        return self._choice_for(query["kind"])

    def _choice_for(self, kind: str) -> ModelChoice:
        use = "pictures" if kind == "picture" else "volumes"
        default = next((model.name for model in self.models if use in model.default_for), None)
        reason = "" if default is None else f"Model {default} was chosen: it is for {use}."
        return self.choice or ModelChoice(model=default, reason=reason)

    def _accept(self, name: str) -> httpx.Response:
        self.models = tuple(
            model.model_copy(update={"accepted": True}) if model.name == name else model for model in self.models
        )
        return answer(next(model for model in self.models if model.name == name))

    def _list(self, request: httpx.Request) -> httpx.Response:
        self.searches.append({name: value for name, value in request.url.params.items() if name != "limit"})
        label = request.url.params.get("label", "").lower()
        state = request.url.params.get("state") or None
        matching = [
            study
            for study in self.studies.values()
            if label in study.label.lower() and (state is None or study.state == state)
        ]
        newest = sorted(matching, key=lambda study: study.created_at, reverse=True)
        summaries = (
            StudySummary(
                **{
                    name: getattr(study, name)
                    for name in ("id", "state", "phase", "progress", "kind", "failure", "label")
                },
                created_at=study.created_at,
                updated_at=study.updated_at,
                lesions=len(study.lesions) if study.state == State.DONE else None,
                model=study.options.model,
                thumbnail=f"/studies/{study.id}/artifacts/thumbnail.png"
                if "thumbnail.png" in self.files.get(study.id, {})
                else None,
            )
            for study in newest
        )
        return answer(StudyList(studies=tuple(summaries)))

    def _hand_in(self, request: httpx.Request) -> httpx.Response:
        if self.refusal is not None:
            return httpx.Response(self.refusal.status, content=self.refusal.model_dump_json())
        parts = form_parts(request)
        self.handed.append(parts)
        self.keys_of_uploads.append(request.headers["Idempotency-Key"])
        fields = {name: content.decode() for name, file_name, content in parts if file_name is None}
        chosen = ModelChoice(model=fields.get("model"))
        if chosen.model is None:
            kind = "picture" if any((name or "").endswith(".png") for _, name, _ in parts) else "nifti"
            chosen = self._choice_for(kind)
        options, facts = Options(model=chosen.model), Facts(model_reason=chosen.reason)
        study = queued_study(options=options, facts=facts, label=fields.get("label", ""))
        return answer(self.add(study), 202, etag='"1"')

    def _one(self, request: httpx.Request, study_id: str, *rest: str) -> httpx.Response:
        study = self.studies.get(study_id)
        if study is None:
            return problem("request.unknown", 404, "the study does not exist")
        if rest[:1] in (("versions",), ("masks",)):
            return self._versions(request, study, *rest)
        if rest[:1] == ("artifacts",):
            return httpx.Response(200, content=self.files[study_id][rest[1]])
        if request.method == "DELETE":
            del self.studies[study_id]
            return httpx.Response(204)
        if request.method == "PATCH":
            study = self.studies[study_id] = study.model_copy(update=json.loads(request.content))
        if rest == ("cancel",):
            study = self.studies[study_id] = study.model_copy(update={"state": State.CANCELLED})
        etag = f'"{hashlib.sha256(study.model_dump_json().encode()).hexdigest()}"'
        if request.headers.get("If-None-Match") == etag:
            self.not_modified += 1
            return httpx.Response(304, headers={"ETag": etag})
        return answer(study, etag=etag)

    def _pacs(self, request: httpx.Request, name: str = "", action: str = "") -> httpx.Response:
        """Answer for the PACS: a search finds `in_pacs`, and a study that is taken is a new one."""
        if not name:
            return answer(PacsList(pacs=self.pacs))
        self.asked_pacs.append((name, action, json.loads(request.content)))
        if self.refusal is not None:
            return httpx.Response(self.refusal.status, content=self.refusal.model_dump_json())
        if action == "search":
            return answer(PacsStudyList(studies=self.in_pacs))
        if action == "send":
            return answer(PacsSent(stored=("seg.dcm",), present=("sr.dcm",)))
        return answer(self.add(queued_study(label=json.loads(request.content)["label"])), 202, etag='"1"')

    def _follow_up(self, request: httpx.Request, follow_up_id: str = "", *rest: str) -> httpx.Response:
        """Answer for follow-ups; each new one has the result of `fake_follow_up.stored`."""
        if request.method == "POST":
            if self.refusal is not None:
                return httpx.Response(self.refusal.status, content=self.refusal.model_dump_json())
            self.followed.append(NewFollowUp.model_validate_json(request.content))
            made = fake_follow_up.stored(new_id(), self.followed[-1])
            self.follow_ups[made.id] = made
            return answer(made, 201)
        if not follow_up_id:
            fields = FollowUpSummary.model_fields
            known = [{name: getattr(one, name) for name in fields} for one in self.follow_ups.values()]
            return answer(FollowUpList(follow_ups=tuple(FollowUpSummary(**one) for one in known)))
        if follow_up_id not in self.follow_ups:
            return problem("request.unknown", 404, "the follow-up does not exist")
        if request.method == "DELETE":
            del self.follow_ups[follow_up_id]
            return httpx.Response(204)
        return httpx.Response(200, content=fake_follow_up.PICTURE) if rest else answer(self.follow_ups[follow_up_id])

    def _versions(self, request: httpx.Request, study: Study, kind: str, *rest: str) -> httpx.Response:
        """Answer for the versions of a study; a correction sets states, and removes and adds lesions of 8 voxels."""
        if not self.has_versions:
            return problem("request.unknown", 404, "this path does not exist")
        known = [model_version(study), *self.versions.setdefault(study.id, [])]
        if request.method == "POST":
            if self.refusal is not None:
                return httpx.Response(self.refusal.status, content=self.refusal.model_dump_json())
            if kind == "masks":
                self.handed.append(form_parts(request))
                made = next_version(known[-1], source="mask")
            else:
                self.corrections.append(NewVersion.model_validate_json(request.content))
                made = next_version(known[-1], self.corrections[-1])
            self.versions[study.id].append(made)
            self.files[study.id] |= {f"{made.number}/{name}": content for name, content in version_files().items()}
            return answer(made, 201)
        if not rest:
            fields = VersionSummary.model_fields
            summaries = (VersionSummary(**{name: getattr(item, name) for name in fields}) for item in known)
            return answer(VersionList(study=study.id, versions=tuple(summaries)))
        if len(rest) == 3:
            return httpx.Response(200, content=self.files[study.id][f"{rest[0]}/{rest[2]}"])
        return answer(known[int(rest[0])])


def model_version(study: Study) -> Version:
    table = tuple(VersionLesion(**item.model_dump(), state=LesionState.UNREVIEWED) for item in study.lesions)
    return Version(
        number=0, source="model", created_at=study.updated_at, lesions=len(table), unreviewed=len(table),
        study=study.id, headline=_headline(study), table=table, artifacts=study.artifacts,
    )  # fmt: skip


def version_files() -> dict[str, bytes]:
    """Return mask and instance map of a version without the smaller lesion."""
    mask = np.zeros(SHAPE, dtype=np.uint8)
    mask[BOXES[0]] = 1
    return {"mask.nii.gz": nifti(mask), "lesions.nii.gz": nifti(mask.astype(np.uint16)), "report.pdf": b"%PDF-1.7 two"}


def next_version(parent: Version, new: NewVersion | None = None, source: str = "edits") -> Version:
    """Return the version that the service would make of a correction."""
    states = {"accept": LesionState.ACCEPTED, "reject": LesionState.REJECTED}
    table = {lesion.id: lesion for lesion in parent.table}
    grown = []
    for place, edit in enumerate(new.edits if new is not None else ()):
        if isinstance(edit, AddEdit):
            grown.append(Grown(edit=place, voxel=(1, 1, 1), probability=0.4, threshold=0.2, voxels=8, label="lesion"))
        elif edit.action == "remove":
            del table[edit.lesion]
        else:
            table[edit.lesion] = table[edit.lesion].model_copy(update={"state": states[edit.action]})
    counted = [lesion for lesion in table.values() if lesion.state != LesionState.REJECTED]
    number = parent.number + 1
    artifacts = tuple(
        Artifact(
            name=name, media_type="x/y", bytes=len(content), sha256=hashlib.sha256(content + b"2").hexdigest(),
            url=f"/studies/{parent.study}/versions/{number}/artifacts/{name}",
        )
        for name, content in version_files().items()
    )  # fmt: skip
    return Version(
        number=number, parent=parent.number, source=source, created_at=NOW, actor="local",
        author="" if new is None else new.author, note="" if new is None else new.note, lesions=len(counted),
        unreviewed=sum(lesion.state == LesionState.UNREVIEWED for lesion in counted), study=parent.study,
        edits=() if new is None else new.edits, grown=tuple(grown), headline=headline_of(counted, labels="binary"),
        table=tuple(table.values()), artifacts=artifacts,
        comparison=Comparison(
            lesions_before=parent.lesions, lesions=len(counted), voxels_before=108, voxels=100,
            volume_ml_before=1.296, volume_ml=1.2, dice=0.96,
        ),
    )  # fmt: skip


def answer(content: Any, status: int = 200, *, etag: str | None = None) -> httpx.Response:
    headers = {"Content-Type": "application/json", **({"ETag": etag} if etag else {})}
    return httpx.Response(status, content=content.model_dump_json(), headers=headers)


def problem(code: str, status: int, detail: str) -> httpx.Response:
    said = Problem(
        type=f"urn:metseg:problem:{code}", title="No", status=status, detail=detail, code=code, request="ab12"
    )
    return httpx.Response(status, content=said.model_dump_json(), headers={"Content-Type": "application/problem+json"})


def form_parts(request: httpx.Request) -> list[tuple[str, str | None, bytes]]:
    """Return name, file name and content of each part of a form, by the standard library's reader of mail."""
    head = f"Content-Type: {request.headers['Content-Type']}\r\n\r\n".encode()
    whole: Message = BytesParser().parsebytes(head + request.content)
    found = []
    for part in whole.get_payload():
        name = part.get_param("name", header="content-disposition")
        content = part.get_payload(decode=True)
        found.append((str(name), part.get_filename(), bytes(content)))
    return found


def queued_study(**changes: Any) -> Study:
    base: dict[str, Any] = {
        "id": new_id(),
        "state": State.QUEUED,
        "phase": Phase.RECEIVE,
        "progress": 0.0,
        "kind": Kind.NIFTI,
        "created_at": NOW - timedelta(seconds=30),
        "updated_at": NOW,
        "options": Options(model="mets-3d"),
        "inputs": (InputFile(number=1, kind=Kind.NIFTI, sequence="t1c", bytes=10, sha256="a" * 64),),
    }
    study = Study(**{**base, **changes})
    return study if study.state != State.DONE else study.model_copy(update={"headline": _headline(study)})


def _headline(study: Study) -> Headline:
    """Return the headline as the service makes it."""
    facts = study.facts
    return headline_of(study.lesions, labels=facts.scheme, pictures=facts.slices or None, fitness=facts.fitness)


def done_volume(**changes: Any) -> Study:
    facts = Facts(
        model="mets-3d",
        fingerprint=MODELS[1].fingerprint,
        scheme="binary",
        reference="t1c",
        sequences=("t1c",),
        sequence_records=(SequenceRecord(sequence="t1c", source="file 1", reason="the form declares it (t1c)"),),
        shape=SHAPE,
        spacing_mm=(2.0, 2.0, 3.0),
        threshold=0.5,
        timings_s={"predict": 41.0},
        fitness="The model was trained on 9 patients; this study: T1 with contrast.",
    )
    base = {"state": State.DONE, "phase": Phase.RENDER, "progress": 1.0, "facts": facts, "lesions": volume_lesions()}
    return queued_study(**{**base, **changes})


def done_pictures(**changes: Any) -> Study:
    facts = Facts(model="lgg-flair", threshold=0.5, slices=2, shape=(40, 30, 2))
    base = {
        "state": State.DONE,
        "phase": Phase.RENDER,
        "progress": 1.0,
        "kind": Kind.PICTURE,
        "facts": facts,
        "lesions": (PICTURE_LESION,),
        "options": Options(model="lgg-flair"),
    }
    return queued_study(**{**base, **changes})


def failed_study(code: str = "input.truncated") -> Study:
    failure = Failure(code=code, detail="the gzip stream ends early", where="file 1", phase=Phase.READ)
    warning = Warned(phase=Phase.READ, text="12 voxels of $x$ were set to 0")
    return queued_study(state=State.FAILED, phase=Phase.READ, failure=failure, warnings=(warning,))
