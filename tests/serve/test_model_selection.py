"""A study without a model gets the one that fits its files, and says why; the terms of a model are accepted here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi.testclient import TestClient

from metseg.bundle_folder import checksums
from metseg.schemas import Scope
from metseg.serve.service_context import Service

MakeClient = Callable[..., TestClient]


@pytest.fixture
def restricted(home: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Put non-commercial terms into the model of two sequences, and return its name."""
    monkeypatch.delenv("METSEG_ACCEPTED_MODELS", raising=False)
    folder = home / "bundles" / "bright-two"
    text = (folder / "recipe.toml").read_text("utf-8")
    (folder / "recipe.toml").write_text(text.replace('licence = ""', 'licence = "Images; CC BY-NC 4.0"'), "utf-8")
    (folder / "sha256").write_text(checksums(folder))
    return folder.name


def submit(client: TestClient, make: SimpleNamespace, *fields: str) -> Any:
    return client.post("/studies", files=[(name, (f"{name}.nii.gz", make.nifti())) for name in fields]).json()


def dicom(scanner: SimpleNamespace, folder: Path, *descriptions: str) -> list[tuple[str, tuple[str, bytes]]]:
    """Return the files of a study with a series for each description, numbered from 1."""
    objects = [
        item
        for number, description in enumerate(descriptions, start=1)
        for item in scanner.slices(
            scanner.pixels(4, size=(16, 14)),
            SeriesNumber=number,
            SeriesDescription=description,
            SeriesInstanceUID=scanner.uid("series", number),
        )
    ]
    return [("files", (path.name, path.read_bytes())) for path in scanner.write(folder, objects)]


def test_the_sequences_of_the_files_decide(client: TestClient, make: SimpleNamespace) -> None:
    one, two = submit(client, make, "t1c"), submit(client, make, "t1c", "t2f")
    assert (one["options"]["model"], two["options"]["model"]) == ("bright-t1c", "bright-two")
    assert two["facts"]["model_reason"].startswith("Model bright-two was chosen: it is for volumes, uses t1c and t2f")


def test_a_named_model_has_no_reason(client: TestClient, make: SimpleNamespace) -> None:
    answer = client.post("/studies", files={"t1c": ("a.nii.gz", make.nifti())}, data={"model": "bright-t1c"}).json()
    assert answer["facts"]["model_reason"] == ""


def test_the_headers_of_dicom_decide(client: TestClient, scanner: SimpleNamespace, tmp_path: Path) -> None:
    def model(*descriptions: str, series: str | None = None) -> str:
        folder = tmp_path / f"{len(descriptions)}-{series}"
        data = {} if series is None else {"series": series}
        answer = client.post("/studies", files=dicom(scanner, folder, *descriptions), data=data).json()
        return str(answer["options"]["model"])

    assert model("T1 MPRAGE with contrast") == "bright-t1c"
    assert model("T1 MPRAGE with contrast", "T2 FLAIR") == "bright-two"
    assert model("T1 MPRAGE with contrast", "T2 FLAIR", series="t2f=none") == "bright-t1c"
    assert model("T1 MPRAGE with contrast", "something", series="t2f=2") == "bright-two"


def test_if_none_fits_every_model_has_its_reason(client: TestClient, make: SimpleNamespace) -> None:
    response = client.post("/studies", files={"t1n": ("a.nii.gz", make.nifti())})
    problem = response.json()
    assert (response.status_code, problem["code"]) == (422, "input.no_fitting_model")
    assert "bright-t1c: it needs t1c, and only t1n is declared or recognised" in problem["detail"]
    assert "bright-two: it needs t1c and t2f" in problem["detail"]
    assert "bright-pictures: it needs t2f" in problem["detail"]
    assert problem["cure"] == "add t1c, or name it if it is among the files"


def test_a_picture_without_a_model_for_pictures(make_client: MakeClient, make: SimpleNamespace, home: Path) -> None:
    (home / "bundles" / "bright-pictures" / "recipe.toml").unlink()
    client = make_client(picture_model=None)
    for path in ("/studies", "/predict/"):
        response = client.post(path, files={"file": ("a.png", make.png(make.square()))})
        assert (response.status_code, response.json()["code"]) == (422, "input.no_fitting_model")
        assert "it needs a volume, and pictures were given" in response.json()["detail"]


def test_the_choice_can_be_asked_for(client: TestClient) -> None:
    def choice(**query: Any) -> Any:
        return client.get("/models/choice", params=query).json()

    assert choice(kind="picture")["model"] == "bright-pictures"
    assert choice(kind="nifti", sequences=["t1c", "t2f"])["model"] == "bright-two"
    assert choice(kind="dicom")["model"] == "bright-t1c"
    assert choice(kind="nifti", unnamed=True)["model"] == "bright-t1c"
    refused = choice(kind="nifti", sequences=["t1n"])
    assert (refused["model"], refused["reason"]) == (None, "")
    assert {misfit["model"] for misfit in refused["misfits"]} == {"bright-pictures", "bright-t1c", "bright-two"}
    assert client.get("/models/choice").status_code == 422


def test_a_picture_answered_at_once_says_why(bright: Path, client: TestClient, make: SimpleNamespace) -> None:
    answer = client.post("/predict/", files={"file": ("a.png", make.png(make.square()))}).json()
    assert answer["model_reason"].startswith("Model bright-pictures was chosen: the operator set it for pictures")
    named = client.post("/predict/?model=bright-pictures", files={"file": ("a.png", make.png(make.square()))}).json()
    assert named["model_reason"] == ""


def test_the_reason_is_in_the_document_of_the_result(
    bright: Path, client: TestClient, service: Service, work_off: Any, make: SimpleNamespace
) -> None:
    study = submit(client, make, "t1c")
    work_off(service, study["id"])
    done = client.get(f"/studies/{study['id']}").json()
    document = client.get(f"/studies/{study['id']}/artifacts/lesions.json").json()
    assert document["model_reason"] == done["facts"]["model_reason"] == study["facts"]["model_reason"] != ""


def test_a_model_without_consent_is_named_and_not_used(
    restricted: str, client: TestClient, make: SimpleNamespace
) -> None:
    study = submit(client, make, "t1c", "t2f")
    assert study["options"]["model"] == "bright-t1c"
    assert f"metseg models accept {restricted}" in study["facts"]["model_reason"]


def test_terms_are_accepted_on_this_machine_with_an_entry_in_the_log(
    restricted: str, client: TestClient, service: Service, make: SimpleNamespace, audited: Any
) -> None:
    before = client.get("/models").json()
    entry = next(model for model in before["models"] if model["name"] == restricted)
    assert (before["may_accept"], entry["accepted"], entry["terms"]) == (True, False, "Images; CC BY-NC 4.0")
    assert client.post(f"/models/{restricted}/accept").json()["accepted"]
    assert audited(service) == ["local model.accepted"]
    assert submit(client, make, "t1c", "t2f")["options"]["model"] == restricted
    assert client.post("/models/unknown/accept").json()["code"] == "request.unknown"


def test_a_key_needs_the_scope_to_accept(restricted: str, client: TestClient, service: Service, audited: Any) -> None:
    ward, operator = service.keys.add("ward-7"), service.keys.add("it", [Scope.READ, Scope.OPERATE])

    def asked(key: str) -> tuple[int, bool]:
        headers = {"Authorization": f"Bearer {key}"}
        may = client.get("/models", headers=headers).json()["may_accept"]
        return client.post(f"/models/{restricted}/accept", headers=headers).status_code, may

    assert asked(ward) == (403, False)
    assert not any("model.accepted" in entry for entry in audited(service))
    assert asked(operator) == (200, True)
    assert audited(service)[-1].endswith(" model.accepted")
