"""Finished studies of one patient are compared by the service: results, owners, deletion, and wrong requests."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

import metseg
from metseg.client.study_client import Client
from metseg.errors import UsageError
from metseg.follow_up_schemas import MAX_EXAMINATIONS, StoredFollowUp
from metseg.schemas import Scope
from metseg.serve.follow_up import follow_up_service
from metseg.serve.service_context import Service
from metseg.serve.storage.api_keys import Keys
from metseg.serve.storage.db_models import FollowUpRecord, StudyRecord
from metseg.serve.storage.retention import Sweeper

from .finished_study import finish, finished

#: Voxels of 2 mm, and a head that registration recognises.
SHAPE, AFFINE = (48, 48, 24), np.diag([2.0, 2.0, 2.0, 1.0])
GROWING, NEW = (18, 20, 12), (32, 26, 12)
UNKNOWN = "0" * 32
DAYS = ("2024-01-10", "2024-04-12")


def head(*lesions: tuple[tuple[int, int, int], float]) -> np.ndarray:
    """Return a head (X, Y, Z) with spheres that are brighter than 200."""
    places = np.indices(SHAPE)
    x, y, z = places
    inside = ((x - 24) / 20) ** 2 + ((y - 23) / 21) ** 2 + ((z - 12) / 14) ** 2 <= 1
    image = np.where(inside, 60 + 20 * np.sin(x / 3) * np.cos(y / 4) + 15 * np.sin(z / 2), 0).astype(np.int16)
    for centre, radius in lesions:
        image[sum((axis - at) ** 2 for axis, at in zip(places, centre, strict=True)) <= radius**2] = 300
    return image


Examine = Callable[..., str]


@pytest.fixture
def examine(client: TestClient, service: Service, make: SimpleNamespace) -> Examine:
    """Return a function that uploads an image, stores the result of a model, and returns the study's id."""

    def run(image: np.ndarray, scheme: str = "binary", **headers: str) -> str:
        files = {"t1c": ("a.nii.gz", make.nifti(image, AFFINE))}
        answer = client.post("/studies", files=files, data={"model": "bright-t1c"}, headers=headers)
        study = str(answer.json()["id"])
        finish(service, study, image, AFFINE, ("t1c",), scheme=scheme)
        return study

    return run


@pytest.fixture
def quick_reports(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the reports out, which take seconds; two tests make real ones."""
    monkeypatch.setattr(follow_up_service, "write_page", lambda *_, **__: [])


@pytest.fixture
def studies(examine: Examine) -> tuple[str, str]:
    """Return two studies of a head: a lesion grows, and another one is new."""
    return examine(head((GROWING, 3))), examine(head((GROWING, 5), (NEW, 3)))


def follow(client: TestClient, *studies: str | dict[str, Any], **more: Any) -> Any:
    examinations = [one if isinstance(one, dict) else {"study": one} for one in studies]
    headers = more.pop("headers", {})
    return client.post("/follow-ups", json={"examinations": examinations, **more}, headers=headers)


def test_two_studies_are_compared_and_the_result_is_stored(
    client: TestClient, service: Service, studies: tuple[str, str], audited: Callable[..., list[str]]
) -> None:
    first, second = ({"study": study, "day": day} for study, day in zip(studies, DAYS, strict=True))
    answer = follow(client, first, {**second, "steroids": "stable", "clinical": "stable"}, label="patient 7")
    assert answer.status_code == 201, answer.text
    found = answer.json()
    assert answer.headers["Location"] == f"/follow-ups/{found['id']}"
    assert client.get(f"/follow-ups/{found['id']}").json() == found
    assert found["headline"][0] == "From 2024-01-10 to 2024-04-12: 1 new lesion, 1 lesion larger."
    assert [(change["lesion"], change["kind"]) for change in found["changes"]] == [(2, "new"), (1, "larger")]
    document = StoredFollowUp.model_validate(found).document
    assert (document.patient, document.timepoints[1].days, document.timepoints[0].model) == (
        "patient 7", 93, "bright-t1c",
    )  # fmt: skip
    assert document.timepoints[1].registration.doubts == ()
    assert document.response[0].complete is not None
    assert document.response[0].complete.category == "PD"
    (listed,) = client.get("/follow-ups").json()["follow_ups"]
    assert listed == {name: found[name] for name in listed}
    assert "local follow_up.created" in audited(service)


def test_the_files_of_a_follow_up(client: TestClient, service: Service, studies: tuple[str, str]) -> None:
    found = follow(client, *studies).json()
    names = ["report.pdf", "report.html", "follow-up.json", "follow-up.csv", "lesion-1.png", "lesion-2.png"]
    assert [artifact["name"] for artifact in found["artifacts"]] == names
    content = {}
    for artifact in found["artifacts"]:
        answer = client.get(artifact["url"])
        assert (answer.status_code, len(answer.content)) == (200, artifact["bytes"])
        assert answer.headers["Content-Type"].startswith(artifact["media_type"])
        content[artifact["name"]] = answer.content
    assert content["report.pdf"].startswith(b"%PDF")
    assert b"1 new lesion, 1 lesion larger" in content["report.html"]
    assert len(content["follow-up.csv"].decode().splitlines()) == 4
    width, height = Image.open(io.BytesIO(content["lesion-2.png"])).size
    assert width > 3 * height  # both dates side by side, whole and magnified
    assert found["changes"][0]["picture"] == "lesion-2.png"
    assert client.get(f"/follow-ups/{found['id']}/artifacts/mask.nii.gz").status_code == 404
    assert list(service.folders.incoming.iterdir()) == []


@pytest.mark.usefixtures("quick_reports")
def test_the_same_results_as_in_python(client: TestClient, studies: tuple[str, str]) -> None:
    """The service adds names and a place to what `metseg.follow` computes, and nothing else."""
    document = StoredFollowUp.model_validate(follow(client, *studies).json()).document
    cases = []
    for name, lesions in (("examination 1", [(GROWING, 3)]), ("examination 2", [(GROWING, 5), (NEW, 3)])):
        image = head(*lesions)
        case = metseg.Case.from_arrays({"t1c": image.astype(np.float32)}, AFFINE, case_id=name, patient="P")
        mask = (image > 200).astype(np.uint8)
        none = np.zeros(image.shape, np.float32)
        prediction = metseg.Prediction(case, mask, none, (), mask.astype(np.uint32), {}, (), "m", "binary", "t1c")
        cases.append(prediction)
    here = metseg.follow(cases).document
    assert document.lesions == here.lesions
    assert document.response == here.response


@pytest.mark.usefixtures("quick_reports")
def test_a_corrected_version_is_followed_by_default(client: TestClient, studies: tuple[str, str]) -> None:
    first, second = studies
    edits = [{"action": "reject", "lesion": 2}]
    assert client.post(f"/studies/{second}/versions", json={"parent": 0, "edits": edits}).status_code == 201
    latest = follow(client, first, second).json()
    assert [change["kind"] for change in latest["changes"]] == ["larger"]
    assert [one["version"] for one in latest["examinations"]] == [0, 1]
    assert "bright-t1c, corrected (version 1)" in latest["document"]["doubts"][0]
    of_model = follow(client, first, {"study": second, "version": 0}).json()
    assert [change["kind"] for change in of_model["changes"]] == ["new", "larger"]
    answer = follow(client, first, {"study": second, "version": 7})
    assert (answer.status_code, answer.json()["where"]) == (404, "examinations.1")


@pytest.mark.usefixtures("quick_reports")
def test_images_of_another_head_are_doubted_first(client: TestClient, examine: Examine) -> None:
    noise = np.random.default_rng(0).integers(0, 90, SHAPE).astype(np.int16)
    noise[2:6, 2:6, 2:6] = 300
    found = follow(client, examine(head((GROWING, 3))), examine(noise)).json()
    assert found["document"]["doubts"][0].startswith("The registration of examination 2 is doubtful")


def test_a_follow_up_goes_with_a_study(client: TestClient, service: Service, studies: tuple[str, str]) -> None:
    """Reports show the images of both studies, so no report stays when a study is deleted."""
    found = follow(client, *studies).json()
    folder = service.folders.follow_ups / found["id"]
    assert folder.is_dir()
    assert client.delete(f"/studies/{studies[0]}").status_code == 204
    assert client.get(f"/follow-ups/{found['id']}").status_code == 404
    assert client.get(f"/follow-ups/{found['id']}/artifacts/report.pdf").status_code == 404
    assert not folder.exists()
    assert client.get("/follow-ups").json() == {"follow_ups": [], "next": None}
    assert client.get(f"/studies/{studies[1]}").status_code == 200


@pytest.mark.usefixtures("quick_reports")
def test_a_follow_up_expires_with_the_first_of_its_studies(
    client: TestClient, service: Service, studies: tuple[str, str]
) -> None:
    found = follow(client, *studies).json()
    ends = [client.get(f"/studies/{study}").json()["expires_at"] for study in studies]
    assert found["expires_at"] == min(ends)
    later = StoredFollowUp.model_validate(found).expires_at
    Sweeper(service.database, service.settings, clock=lambda: later).expire()  # type: ignore[arg-type, return-value]
    assert client.get(f"/follow-ups/{found['id']}").status_code == 404
    assert list(service.folders.follow_ups.iterdir()) == []


@pytest.mark.usefixtures("quick_reports")
def test_deletion_leaves_the_studies(client: TestClient, service: Service, studies: tuple[str, str]) -> None:
    first, second = (follow(client, *studies).json()["id"] for _ in range(2))
    assert client.get("/follow-ups", params={"limit": 1}).json()["next"] == second
    (rest,) = client.get("/follow-ups", params={"after": second}).json()["follow_ups"]
    assert rest["id"] == first
    assert client.delete(f"/follow-ups/{first}").status_code == 204
    assert client.delete(f"/follow-ups/{first}").status_code == 404
    assert [path.name for path in service.folders.follow_ups.iterdir()] == [second]
    assert len(client.get("/studies").json()["studies"]) == 2


def test_files_without_a_row_are_removed_later(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    left = service.folders.follow_ups / UNKNOWN
    left.mkdir()
    monkeypatch.setattr("metseg.serve.storage.retention.ORPHAN_AGE_S", -1.0)
    Sweeper(service.database, service.settings).remove_orphans()
    assert not left.exists()


@pytest.mark.usefixtures("quick_reports")
def test_nothing_is_stored_if_a_study_is_deleted_meanwhile(
    client: TestClient, service: Service, studies: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write = follow_up_service._write

    def write_and_delete(*given: Any) -> None:
        write(*given)
        client.delete(f"/studies/{studies[1]}")

    monkeypatch.setattr(follow_up_service, "_write", write_and_delete)
    assert follow(client, *studies).status_code == 404
    assert list(service.folders.follow_ups.iterdir()) == []
    assert list(service.folders.incoming.iterdir()) == []


def test_the_studies_of_another_key_are_out_of_reach(client: TestClient, service: Service, examine: Examine) -> None:
    keys = Keys(service.database)
    scopes = (Scope.READ, Scope.WRITE)
    owner, other, reader = (
        {"Authorization": f"Bearer {keys.add(name, allowed)}"}
        for name, allowed in (("one", scopes), ("two", scopes), ("one", (Scope.READ,)))
    )
    mine = [examine(head((GROWING, radius)), **owner) for radius in (3, 4)]
    theirs = examine(head((GROWING, 3)), **other)
    answer = follow(client, mine[0], theirs, headers=owner)
    assert (answer.status_code, answer.json()["code"]) == (404, "request.unknown")
    missing = follow(client, mine[0], UNKNOWN, headers=owner)
    assert answer.json()["detail"] == missing.json()["detail"]  # no way to learn whether it exists
    found = follow(client, *mine, headers=owner).json()["id"]
    for path in (f"/follow-ups/{found}", f"/follow-ups/{found}/artifacts/report.pdf"):
        assert client.get(path, headers=owner).status_code == 200
        assert client.get(path, headers=reader).status_code == 200  # another key of the same owner
        assert client.get(path, headers=other).status_code == 404
        assert client.get(path).status_code == 401
    assert client.delete(f"/follow-ups/{found}", headers=other).status_code == 404
    assert client.get("/follow-ups", headers=other).json()["follow_ups"] == []
    assert client.get("/follow-ups", params={"after": found}, headers=other).status_code == 404
    for refused in (follow(client, *mine, headers=reader), client.delete(f"/follow-ups/{found}", headers=reader)):
        assert (refused.status_code, refused.json()["code"]) == (403, "request.forbidden")


@pytest.mark.usefixtures("quick_reports")
def test_wrong_examinations_are_refused_and_leave_nothing(
    client: TestClient, service: Service, studies: tuple[str, str], examine: Examine, make: SimpleNamespace
) -> None:
    first, second = studies
    waiting = client.post("/studies", files={"t1c": ("a.nii.gz", make.nifti())}).json()["id"]
    picture = finished(client, service, make)
    with service.database.write() as session:
        record = session.get_one(StudyRecord, picture)
        record.facts = {**record.facts, "affine": None, "slices": 10}
    other_scheme = examine(head((GROWING, 3)), scheme="brats-met-2023")
    days = [{"study": one, "day": day} for one, day in zip(studies, DAYS[::-1], strict=True)]
    wrong: list[tuple[Any, int, str]] = [
        ((first,), 422, "request.invalid"),
        ((), 422, "request.invalid"),
        ((first, first), 422, "request.invalid"),
        ((first, UNKNOWN), 404, "request.unknown"),
        ((first, "../../etc/passwd"), 400, "request.url"),
        ((first, "x"), 422, "request.invalid"),
        ((first, waiting), 409, "request.state"),
        ((first, picture), 422, "input.no_affine"),
        ((first, other_scheme), 422, "input.label_schemes"),
        (days, 422, "usage.dates"),
        ((first, {"study": second, "day": "2024-04-12"}), 422, "usage.dates"),
        ((first, {"study": second, "day": "yesterday"}), 422, "request.invalid"),
        ((first, {"study": second, "day": 0}), 422, "request.invalid"),
        ((first, {"study": second, "steroids": "many"}), 422, "request.invalid"),
        (({"study": first, "steroids": "none"}, second), 422, "request.invalid"),
        ((first, second, {"study": other_scheme, "clinical": "worse"}), 422, "input.label_schemes"),
        ((first, {"study": second, "version": -1}), 422, "request.invalid"),
        ((first, {"study": second, "patient": "Doe"}), 422, "request.invalid"),
        ([first] * (MAX_EXAMINATIONS + 1), 422, "request.invalid"),
    ]
    for examinations, status, code in wrong:
        answer = follow(client, *examinations)
        assert (answer.status_code, answer.json()["code"]) == (status, code), (examinations, answer.text)
    for content, code in ((b"{", "request.invalid"), (b"[]", "request.invalid"), (b"x" * 10**6, "request.too_large")):
        headers = {"Content-Type": "application/json"}
        assert client.post("/follow-ups", content=content, headers=headers).json()["code"] == code
    assert follow(client, first, second, repeatability_mm=-1).status_code == 422
    assert follow(client, first, second, label="<b>").status_code == 422
    assert client.get("/follow-ups").json()["follow_ups"] == []
    assert list(service.folders.follow_ups.iterdir()) == []
    with service.database.read() as session:
        assert session.query(FollowUpRecord).count() == 0


@pytest.mark.usefixtures("quick_reports")
def test_a_clinical_input_is_needed_for_all_later_examinations(
    client: TestClient, studies: tuple[str, str], examine: Examine
) -> None:
    third = examine(head((GROWING, 5)))
    answer = follow(client, *studies, {"study": third, "clinical": "worse"})
    assert (answer.status_code, answer.json()["code"]) == (422, "usage.clinical_inputs")


def test_too_many_at_once_are_told_to_come_back(client: TestClient, service: Service) -> None:
    service.following.inside = service.following.limit
    answer = follow(client, UNKNOWN, "1" * 32)
    assert (answer.status_code, answer.json()["code"]) == (503, "service.busy")
    assert answer.headers["Retry-After"]


@pytest.mark.usefixtures("quick_reports")
def test_from_a_script(client: TestClient, studies: tuple[str, str], tmp_path: Path) -> None:
    with Client("http://127.0.0.1:8000", transport=client._transport) as script:
        followed = script.follow(studies, dates=["2024-01-10", "2024-04-12"], label="patient 7")
        assert followed.document.lesions[0].states[1].since_previous is not None
        (listed,) = script.follow_ups()
        assert script.follow_up(listed) == followed
        paths = script.save_follow_up(followed, tmp_path / "out")
        assert {path.name for path in paths} == {artifact.name for artifact in followed.artifacts}
        assert script.save_follow_up(followed, tmp_path / "one", ["follow-up.csv"])[0].read_bytes()
        with pytest.raises(UsageError, match="no such artifact"):
            script.save_follow_up(followed, tmp_path, ["mask.nii.gz"])
        with pytest.raises(UsageError, match="number of dates"):
            script.follow(studies, dates=["2024-01-10"])
        with pytest.raises(UsageError, match="not a date"):
            script.follow(studies, dates=["2024-01-10", "soon"])
        with pytest.raises(UsageError, match="at least 2"):
            script.follow(studies[:1])
        script.delete_follow_up(followed)
        assert script.follow_ups() == ()
