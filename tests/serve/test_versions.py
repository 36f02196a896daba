"""Corrections of finished studies: edits, uploaded masks, versions, and attacks on them."""

from __future__ import annotations

import gzip
import io
import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import nibabel
import numpy as np
import pytest
from fastapi.testclient import TestClient

from metseg.schemas import Scope
from metseg.serve.service_context import Service
from metseg.serve.storage import version_repository
from metseg.serve.storage.api_keys import Keys
from metseg.serve.storage.retention import Sweeper
from metseg.serve.versions import version_report

from .finished_study import INSIDE_MISSED, LARGE, MISSED, SMALL, finished, scan


@pytest.fixture
def quick_reports(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace the reports, which take seconds, by short files; three tests make real ones."""
    for name in ("write_study_html", "write_study_pdf"):
        monkeypatch.setattr(version_report, name, lambda _report, path: path.write_text("report"))


@pytest.fixture
def study(client: TestClient, service: Service, make: SimpleNamespace, quick_reports: None) -> str:
    """Return a finished study with two lesions, of 27 and 8 voxels; no network runs."""
    return finished(client, service, make)


@pytest.fixture
def reported_study(client: TestClient, service: Service, make: SimpleNamespace) -> str:
    """Return the same study, with real reports of its versions."""
    return finished(client, service, make)


def correct(client: TestClient, study: str, *edits: dict[str, Any], parent: int = 0, **more: Any) -> Any:
    return client.post(f"/studies/{study}/versions", json={"parent": parent, "edits": list(edits), **more})


def accept(lesion: int) -> dict[str, Any]:
    return {"action": "accept", "lesion": lesion}


def reject(lesion: int) -> dict[str, Any]:
    return {"action": "reject", "lesion": lesion}


def remove(lesion: int) -> dict[str, Any]:
    return {"action": "remove", "lesion": lesion}


def add(**place: Any) -> dict[str, Any]:
    return {"action": "add", **place}


def file_of(client: TestClient, study: str, version: int, name: str) -> bytes:
    answer = client.get(f"/studies/{study}/versions/{version}/artifacts/{name}")
    assert answer.status_code == 200, answer.text
    return bytes(answer.content)


def array(content: bytes) -> np.ndarray:
    return np.asanyarray(nibabel.Nifti1Image.from_bytes(gzip.decompress(content)).dataobj)


def upload(client: TestClient, study: str, content: bytes, parent: int = 0, **fields: str) -> Any:
    data = {"parent": str(parent), **fields}
    return client.post(f"/studies/{study}/masks", files={"file": ("any.nii.gz", content)}, data=data)


def test_version_0_is_the_result_of_the_model(client: TestClient, study: str) -> None:
    (first,) = client.get(f"/studies/{study}/versions").json()["versions"]
    assert (first["number"], first["source"], first["lesions"], first["unreviewed"]) == (0, "model", 2, 2)
    version = client.get(f"/studies/{study}/versions/0").json()
    assert [lesion["state"] for lesion in version["table"]] == ["unreviewed", "unreviewed"]
    assert version["artifacts"] == client.get(f"/studies/{study}").json()["artifacts"]
    mask = client.get(f"/studies/{study}/artifacts/mask.nii.gz").content
    assert file_of(client, study, 0, "mask.nii.gz") == mask


def test_edits_make_a_version_and_leave_the_result_alone(
    client: TestClient, service: Service, study: str, audited: Callable[..., list[str]]
) -> None:
    before = client.get(f"/studies/{study}").json()
    answer = correct(
        client, study, accept(1), reject(2), add(voxel=INSIDE_MISSED), note="left: a vessel", author="reader 1"
    )
    assert answer.status_code == 201, answer.text
    version = answer.json()
    assert answer.headers["Location"] == f"/studies/{study}/versions/1"
    assert version == client.get(f"/studies/{study}/versions/1").json()
    found = [(row["id"], row["voxels"], row["state"], row["was"], row["changed"]) for row in version["table"]]
    assert found == [
        (1, 27, "accepted", [1], False),
        (2, 8, "added", [], True),
        (3, 8, "rejected", [2], False),
    ]
    (grown,) = version["grown"]
    assert (grown["edit"], grown["voxel"], grown["voxels"]) == (2, INSIDE_MISSED, 8)
    assert grown["threshold"] == pytest.approx(grown["probability"] / 2, abs=1e-5)
    assert version["comparison"] == {
        **version["comparison"],
        "lesions_before": 2, "lesions": 2, "voxels_before": 35, "voxels": 35, "gone": [2], "new": [2],
        "dice": pytest.approx(2 * 27 / 70, abs=1e-6), "volume_ml": pytest.approx(0.07),
    }  # fmt: skip
    assert (version["note"], version["author"], version["actor"]) == ("left: a vessel", "reader 1", "local")
    assert version["headline"]["specks"] + version["headline"]["lesions"] == 2
    assert client.get(f"/studies/{study}").json() == before
    assert "local version.created" in audited(service)


def test_the_files_of_a_version_agree_with_its_table(
    client: TestClient, reported_study: str, make: SimpleNamespace
) -> None:
    study = reported_study
    correct(client, study, reject(2), add(voxel=INSIDE_MISSED))
    mask, instances = (array(file_of(client, study, 1, name)) for name in ("mask.nii.gz", "lesions.nii.gz"))
    expected = np.zeros(mask.shape, np.uint8)
    expected[LARGE] = expected[MISSED] = 1
    np.testing.assert_array_equal(mask, expected)
    assert {number: np.count_nonzero(instances == number) for number in (1, 2, 3)} == {1: 27, 2: 8, 3: 8}
    assert (instances[SMALL] == 3).all()
    assert np.count_nonzero(array(file_of(client, study, 1, "findings.nii.gz"))) == 43
    rows = file_of(client, study, 1, "lesions.csv").decode().splitlines()
    assert [row.rpartition(",")[2] for row in rows] == ["state", "unreviewed", "added", "rejected"]
    document = json.loads(file_of(client, study, 1, "lesions.json"))
    assert (document["version"], len(document["lesions"]), len(document["rejected"])) == (1, 2, 1)
    assert document["warnings"][0].startswith("corrected: version 1, made from version 0 by edits; 1 rejected finding")
    assert "version 1" in file_of(client, study, 1, "report.html").decode()
    assert file_of(client, study, 1, "report.pdf").startswith(b"%PDF")
    header = nibabel.Nifti1Image.from_bytes(gzip.decompress(file_of(client, study, 1, "mask.nii.gz")))
    np.testing.assert_allclose(header.affine, make.affine)


def test_a_study_that_a_worker_finished_can_be_corrected(
    client: TestClient, service: Service, make: SimpleNamespace, work_off: Callable[..., None]
) -> None:
    """The lesion that stays is measured as for the prediction, and the report can be made of the worker's files."""
    files = {"t1c": ("a.nii.gz", make.nifti(scan(make)))}
    study = client.post("/studies", files=files, data={"model": "bright-t1c"}).json()["id"]
    work_off(service, study)
    before = client.get(f"/studies/{study}").json()["lesions"][0]
    after = correct(client, study, remove(2)).json()["table"][0]
    assert {name: after[name] for name in before} == before
    assert "bright-t1c" in file_of(client, study, 1, "report.html").decode()


def test_versions_follow_one_another(client: TestClient, study: str) -> None:
    """A rejected finding can be accepted again; a removed one is gone."""
    correct(client, study, reject(1))
    table = client.get(f"/studies/{study}/versions/1").json()["table"]
    assert [(row["id"], row["voxels"], row["state"]) for row in table] == [(1, 8, "unreviewed"), (2, 27, "rejected")]
    again = correct(client, study, accept(2), remove(1), parent=1).json()
    assert [(row["id"], row["voxels"], row["state"], row["was"]) for row in again["table"]] == [
        (1, 27, "accepted", [2])
    ]
    assert again["comparison"]["gone"] == [1]
    assert again["comparison"]["new"] == [1]
    assert [item["number"] for item in client.get(f"/studies/{study}/versions").json()["versions"]] == [0, 1, 2]
    assert np.count_nonzero(array(file_of(client, study, 1, "mask.nii.gz"))) == 8


def test_all_lesions_can_be_removed(client: TestClient, study: str) -> None:
    version = correct(client, study, remove(1), remove(2)).json()
    assert (version["table"], version["comparison"]["dice"]) == ([], 0.0)
    assert version["headline"]["finding"] == "No lesion found."


def test_a_point_in_mm_is_that_of_the_voxel(client: TestClient, study: str, make: SimpleNamespace) -> None:
    place = make.affine[:3, :3] @ INSIDE_MISSED + make.affine[:3, 3]
    version = correct(client, study, add(point_mm=[float(value) + 0.3 for value in place])).json()
    assert version["grown"][0]["voxel"] == INSIDE_MISSED


def test_a_removed_lesion_can_be_added_again(client: TestClient, study: str) -> None:
    correct(client, study, remove(2))
    version = correct(client, study, add(voxel=[12, 14, 5], threshold=0.9), parent=1).json()
    found = [(row["voxels"], row["state"], row["was"]) for row in version["table"]]
    assert found == [(27, "unreviewed", [1]), (8, "added", [])]
    assert version["grown"][0]["joined"] == []


@pytest.mark.parametrize(
    ("edit", "code", "status"),
    [
        (accept(3), "usage.lesion", 422),
        (add(voxel=[0, 0, 0]), "input.no_probability", 422),
        (add(voxel=INSIDE_MISSED, threshold=0.9), "input.no_probability", 422),
        (add(voxel=INSIDE_MISSED, max_ml=0.004), "input.region_size", 422),
        (add(voxel=[20, 0, 0]), "usage.point", 422),
        (add(voxel=[-1, 0, 0]), "usage.point", 422),
        (add(point_mm=[1e30, 0, 0]), "usage.point", 422),
        (add(point_mm=[1.7e308, 1.7e308, -1.7e308]), "usage.point", 422),
        (add(voxel=[10**400, 0, 0]), "request.invalid", 422),
        (add(voxel=[5, 6, 4]), "usage.point", 422),
        (add(voxel=INSIDE_MISSED, label="ET"), "usage.unknown_name", 422),
        (add(), "request.invalid", 422),
        (add(voxel=[1, 2, 3], point_mm=[1, 2, 3]), "request.invalid", 422),
        (add(voxel=INSIDE_MISSED, max_ml=1e9), "request.invalid", 422),
        ({"action": "erase", "lesion": 1}, "request.invalid", 422),
        ({"action": "accept", "lesion": 1, "path": "../../etc"}, "request.url", 400),
        ({"action": "accept", "lesion": 1, "more": "x"}, "request.invalid", 422),
        ({"action": "file:///etc/passwd", "lesion": 1}, "request.invalid", 422),
    ],
)
def test_wrong_edits_are_refused_and_change_nothing(
    client: TestClient, service: Service, study: str, edit: dict[str, Any], code: str, status: int
) -> None:
    answer = correct(client, study, edit)
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert len(client.get(f"/studies/{study}/versions").json()["versions"]) == 1
    assert not service.folders.study(study).versions.exists()
    assert list(service.folders.incoming.iterdir()) == []


def test_an_edit_of_a_removed_lesion_is_refused(client: TestClient, study: str) -> None:
    answer = correct(client, study, remove(1), accept(1))
    assert (answer.status_code, answer.json()["where"]) == (422, "edits.1")


@pytest.mark.parametrize(
    "body",
    [b"", b"no json", b"[]", b'{"parent": 0, "edits": []}', b'{"parent": -1, "edits": [{"action": "accept"}]}'],
)
def test_bodies_that_are_no_correction_are_refused(client: TestClient, study: str, body: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    answer = client.post(f"/studies/{study}/versions", content=body, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (422, "request.invalid")


def test_bodies_of_another_type_or_size_are_refused(client: TestClient, study: str) -> None:
    where = f"/studies/{study}/versions"
    assert client.post(where, content=b"{}", headers={"Content-Type": "text/plain"}).status_code == 415
    large = b'{"note": "' + b"a" * 300_000 + b'"}'
    assert client.post(where, content=large, headers={"Content-Type": "application/json"}).status_code == 413
    assert correct(client, study, accept(1), note="n" * 501).status_code == 422
    assert correct(client, study, accept(1), note="a\x00b").status_code == 422
    assert correct(client, study, *[accept(1)] * 201).status_code == 422


def test_another_parent_is_a_conflict(client: TestClient, study: str) -> None:
    assert correct(client, study, accept(1)).status_code == 201
    late = correct(client, study, accept(2))
    assert (late.status_code, late.json()["code"]) == (409, "request.conflict")
    assert late.json()["cure"] == "read version 1, and correct that one"
    assert correct(client, study, accept(2), parent=7).status_code == 409


def test_of_two_writers_one_wins(client: TestClient, service: Service, study: str) -> None:
    """Both have read version 0 and computed their correction before either stores it."""
    both = threading.Barrier(2, timeout=60)
    store = service.versions.add

    def add_together(*arguments: Any) -> Any:
        both.wait()
        return store(*arguments)

    object.__setattr__(service.corrections.versions, "add", add_together)
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda number: correct(client, study, accept(number)), (1, 2)))
    assert sorted(answer.status_code for answer in answers) == [201, 409]
    assert len(client.get(f"/studies/{study}/versions").json()["versions"]) == 2
    assert len(list(service.folders.study(study).versions.iterdir())) == 1


def test_more_corrections_at_once_than_the_process_computes_are_refused(
    client: TestClient, service: Service, study: str
) -> None:
    service.correcting.inside = service.correcting.limit
    assert correct(client, study, accept(1)).status_code == 503


def test_the_number_of_versions_is_limited(client: TestClient, study: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(version_repository, "MAX_VERSIONS", 1)
    assert correct(client, study, accept(1)).status_code == 201
    assert correct(client, study, accept(1), parent=1).status_code == 413


def test_a_failed_commit_leaves_no_files(
    client: TestClient, service: Service, study: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_arguments: object, **_named: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(version_repository.audit, "append", fail)
    assert correct(client, study, accept(1)).status_code == 500
    monkeypatch.undo()
    assert list(service.folders.study(study).versions.iterdir()) == []
    assert correct(client, study, accept(1)).status_code == 201


def test_38_a_correction_on_a_full_disk_leaves_no_folder(
    client: TestClient, service: Service, study: str, make_client: Callable[..., TestClient]
) -> None:
    answer = correct(make_client(disk_reserve_bytes=2**60), study, accept(1))
    assert (answer.status_code, answer.json()["code"]) == (507, "resources.disk")
    assert not any(service.folders.incoming.iterdir())
    assert correct(client, study, accept(1)).status_code == 201


def test_an_unfinished_study_has_no_versions(client: TestClient, make: SimpleNamespace) -> None:
    study = client.post("/studies", files={"t1c": ("a.nii.gz", make.nifti())}).json()["id"]
    for answer in (
        client.get(f"/studies/{study}/versions"),
        client.get(f"/studies/{study}/versions/0"),
        correct(client, study, accept(1)),
        upload(client, study, make.nifti()),
    ):
        assert (answer.status_code, answer.json()["code"]) == (409, "request.state")


def test_other_owners_and_scopes_see_and_change_nothing(
    client: TestClient, service: Service, make: SimpleNamespace
) -> None:
    keys = Keys(service.database)
    scopes = list(Scope)
    mine, other, reader = (
        {"Authorization": f"Bearer {keys.add(owner, given)}"}
        for owner, given in (("me", scopes), ("them", scopes), ("me", [Scope.READ]))
    )
    study = finished(client, service, make, **mine)
    body = {"parent": 0, "edits": [accept(1)]}
    where = f"/studies/{study}/versions"
    for path in (where, f"{where}/0", f"{where}/0/artifacts/mask.nii.gz"):
        assert client.get(path).status_code == 401
        assert client.get(path, headers=other).status_code == 404
        assert client.get(path, headers=reader).status_code == 200
    assert client.post(where, json=body, headers=other).status_code == 404
    assert client.post(where, json=body, headers=reader).status_code == 403
    masks = f"/studies/{study}/masks"
    files = {"file": ("m.nii.gz", make.nifti())}
    assert client.post(masks, files=files, data={"parent": "0"}, headers=other).status_code == 404
    assert client.post(masks, files=files, data={"parent": "0"}, headers=reader).status_code == 403
    made = client.post(where, json=body, headers=mine)
    assert made.status_code == 201
    assert made.json()["actor"] == keys.holder(mine["Authorization"].partition(" ")[2]).actor


@pytest.mark.parametrize("name", ["..%2Flesions.csv", "report.exe", "image.nii.gz", "mask-0.png"])
def test_names_that_are_no_file_of_a_version_are_unknown(client: TestClient, study: str, name: str) -> None:
    correct(client, study, accept(1))
    answer = client.get(f"/studies/{study}/versions/1/artifacts/{name}")
    assert answer.status_code == 404


def test_versions_that_do_not_exist_are_unknown(client: TestClient, study: str) -> None:
    assert client.get(f"/studies/{study}/versions/1").status_code == 404
    assert client.get(f"/studies/{study}/versions/1/artifacts/mask.nii.gz").status_code == 404
    assert client.get(f"/studies/{study}/versions/x").status_code == 422


def test_files_of_versions_are_sent_like_results(client: TestClient, study: str) -> None:
    artifact = correct(client, study, accept(1)).json()["artifacts"][0]
    assert artifact["url"] == f"/studies/{study}/versions/1/artifacts/mask.nii.gz"
    etag = f'"{artifact["sha256"]}"'
    assert client.get(artifact["url"], headers={"If-None-Match": etag}).status_code == 304
    assert client.get(artifact["url"], headers={"Range": "bytes=0-9"}).status_code == 206
    assert int(client.head(artifact["url"]).headers["content-length"]) == artifact["bytes"]


def test_the_end_of_a_study_is_that_of_its_versions(client: TestClient, service: Service, study: str) -> None:
    from datetime import UTC, datetime, timedelta

    import sqlalchemy as sa

    from metseg.serve.storage.db_models import VersionRecord

    correct(client, study, accept(1))
    assert client.delete(f"/studies/{study}").status_code == 204
    assert client.get(f"/studies/{study}/versions").status_code == 404
    assert not service.folders.study(study).root.exists()
    later = Sweeper(service.database, service.settings, clock=lambda: datetime.now(UTC) + timedelta(hours=3))
    later.sweep()
    with service.database.read() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(VersionRecord)) == 0


# --- uploaded masks


def drawn(make: SimpleNamespace) -> np.ndarray:
    """Return a mask with the large lesion as it is, without the small one, and with a new one."""
    mask = np.zeros(make.volume().shape, np.uint8)
    mask[LARGE] = mask[MISSED] = 1
    return mask


def test_an_uploaded_mask_becomes_a_version(
    client: TestClient, study: str, make: SimpleNamespace, service: Service
) -> None:
    content = make.nifti(drawn(make))
    answer = upload(client, study, content, note="note: by hand", author="reader 2")
    assert answer.status_code == 201, answer.text
    version = answer.json()
    assert (version["source"], version["note"], version["edits"]) == ("mask", "note: by hand", [])
    assert [(row["voxels"], row["state"], row["was"]) for row in version["table"]] == [
        (27, "unreviewed", [1]),
        (8, "added", []),
    ]
    assert (version["comparison"]["gone"], version["comparison"]["new"]) == ([2], [2])
    np.testing.assert_array_equal(array(file_of(client, study, 1, "mask.nii.gz")), drawn(make))
    assert list(service.folders.incoming.iterdir()) == []


def test_a_lesion_that_is_drawn_anew_is_accepted(client: TestClient, study: str, make: SimpleNamespace) -> None:
    correct(client, study, reject(2), reject(1))
    mask = np.zeros(make.volume().shape, np.float32)
    mask[4:7, 5:8, 3:5] = 0.9999999
    table = upload(client, study, make.nifti(mask), parent=1).json()["table"]
    assert [(row["voxels"], row["state"], row["changed"]) for row in table] == [
        (18, "accepted", True),
        (8, "rejected", False),
    ]


def other_masks(make: SimpleNamespace) -> dict[str, tuple[bytes, str, int]]:
    mask = drawn(make)
    strange = mask.copy()
    strange[0, 0, 0] = 7
    half = mask.astype(np.float32)
    half[0, 0, 0] = 0.5
    nan = mask.astype(np.float32)
    nan[0, 0, 0] = np.nan
    moved = make.affine.copy()
    moved[0, 3] += 1
    four = np.stack([mask, mask], axis=-1)
    return {
        "shape": (make.nifti(mask[:-1]), "input.mask_grid", 422),
        "position": (make.nifti(mask, moved), "input.mask_grid", 422),
        "flipped": (make.nifti(mask[::-1], np.diag([1.0, 1, 2, 1])), "input.mask_grid", 422),
        "class": (make.nifti(strange), "input.labels", 422),
        "fraction": (make.nifti(half), "input.labels", 422),
        "NaN": (make.nifti(nan), "input.labels", 422),
        "channels": (make.nifti(four), "input.mask_grid", 422),
        "cut off": (make.nifti(mask)[:-30], "input.truncated", 422),
        "huge": (make.nifti(mask, dim=[3, 30000, 30000, 30000, 1, 1, 1, 1]), "input.too_large", 413),
        "large": (make.nifti(mask, dim=[3, 900, 900, 900, 1, 1, 1, 1]), "input.mask_grid", 422),
        "picture": (make.png(make.square()), "request.media_type", 415),
        "zip bomb": (gzip.compress(b"\0" * 10_000_000), "input.format", 415),
        "empty": (b"", "input.format", 415),
    }


@pytest.mark.parametrize(
    "kind",
    ["shape", "position", "flipped", "class", "fraction", "NaN", "channels", "cut off", "huge", "large", "picture",
     "zip bomb", "empty"],
)  # fmt: skip
def test_masks_that_do_not_fit_are_refused(
    client: TestClient, service: Service, study: str, make: SimpleNamespace, kind: str
) -> None:
    content, code, status = other_masks(make)[kind]
    answer = upload(client, study, content)
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert "incoming" not in answer.text
    assert len(client.get(f"/studies/{study}/versions").json()["versions"]) == 1
    assert list(service.folders.incoming.iterdir()) == []


def test_forms_that_are_no_mask_are_refused(client: TestClient, study: str, make: SimpleNamespace) -> None:
    where, content = f"/studies/{study}/masks", make.nifti(drawn(make))
    file = ("m.nii.gz", io.BytesIO(content))
    assert client.post(where, data={"parent": "0"}, files={"file": ("", b"")}).status_code in (400, 422)
    assert client.post(where, files={"file": file}).status_code == 422
    assert upload(client, study, content, model="bright-t1c").status_code == 422
    assert upload(client, study, content, parent=3).status_code == 409
    two = [("file", ("a.nii.gz", content)), ("file", ("b.nii.gz", content))]
    assert client.post(where, files=two, data={"parent": "0"}).status_code == 413


# --- pictures


def test_a_study_of_pictures_can_be_corrected(
    client: TestClient, service: Service, make: SimpleNamespace, work_off: Callable[..., None]
) -> None:
    dim = make.square()
    dim[20:23, 30:33] = 190
    files = [("files", (f"s_{number}.png", make.png(dim))) for number in (1, 2)]
    study = client.post("/studies", files=files, data={"model": "bright-pictures"}).json()["id"]
    work_off(service, study)
    assert [row["slices"] for row in client.get(f"/studies/{study}").json()["lesions"]] == [[0, 1]]
    answer = correct(client, study, reject(1), add(voxel=[31, 21, 1]))
    assert answer.status_code == 201, answer.text
    table = answer.json()["table"]
    assert [(row["state"], row["slices"]) for row in table] == [("added", [1]), ("rejected", [0, 1])]
    assert answer.json()["grown"][0]["voxels"] == 9
    from PIL import Image

    second = np.asarray(Image.open(io.BytesIO(file_of(client, study, 1, "mask-2.png"))))
    assert (np.count_nonzero(second), second[21, 31]) == (9, 255)
    assert not np.asarray(Image.open(io.BytesIO(file_of(client, study, 1, "mask-1.png")))).any()
    assert correct(client, study, add(point_mm=[1, 1, 1]), parent=1).json()["code"] == "usage.point"
    mask = np.zeros((40, 32, 2), np.uint8)
    mask[5:8, 5:8, 0] = 1
    drawn_again = upload(client, study, make.nifti(mask), parent=1)
    assert [(row["state"], row["slices"]) for row in drawn_again.json()["table"]] == [
        ("added", [0]),
        ("rejected", [0, 1]),
    ]
