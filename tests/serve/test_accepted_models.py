"""The service lists models for non-commercial use only, and uses them once their terms have been accepted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
from fastapi.testclient import TestClient

from metseg.bundle_folder import checksums
from metseg.model_terms import accept

MakeClient = Callable[..., TestClient]


@pytest.fixture
def restricted(home: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Put non-commercial terms into a model for volumes, and return its name."""
    monkeypatch.delenv("METSEG_ACCEPTED_MODELS", raising=False)
    folder = home / "bundles" / "bright-t1c"
    text = (folder / "recipe.toml").read_text("utf-8")
    assert 'licence = ""' in text
    (folder / "recipe.toml").write_text(text.replace('licence = ""', 'licence = "Images; CC BY-NC 4.0"'), "utf-8")
    (folder / "sha256").write_text(checksums(folder))
    return folder.name


def submit(client: TestClient, make: SimpleNamespace, **data: str) -> httpx.Response:
    answer: httpx.Response = client.post("/studies", files={"t1c": ("a.nii.gz", make.nifti())}, data=data)
    return answer


def test_a_model_is_refused_until_its_terms_are_accepted(
    restricted: str, client: TestClient, make: SimpleNamespace
) -> None:
    def shown() -> tuple[bool, bool]:
        models = {model["name"]: model for model in client.get("/models").json()["models"]}
        return models[restricted]["non_commercial"], models[restricted]["accepted"]

    assert shown() == (True, False)
    refused = submit(client, make, model=restricted)
    assert (refused.status_code, refused.json()["code"]) == (403, "licence.not_accepted")
    accept(restricted)
    assert shown() == (True, True)
    assert submit(client, make, model=restricted).status_code == 202


def test_a_setting_accepts_too(restricted: str, make_client: MakeClient, make: SimpleNamespace) -> None:
    assert submit(make_client(accepted_models="other"), make, model=restricted).status_code == 403
    assert submit(make_client(accepted_models=f"other, {restricted}"), make, model=restricted).status_code == 202


def test_a_default_is_rather_one_that_may_be_used(restricted: str, client: TestClient, make: SimpleNamespace) -> None:
    def default() -> str:
        models = client.get("/models").json()["models"]
        return next(str(model["name"]) for model in models if "volumes" in model["default_for"])

    assert default() == "bright-two"
    accept(restricted)
    assert default() == restricted
