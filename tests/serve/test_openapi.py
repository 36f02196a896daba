"""The OpenAPI document says all that the service does, and its examples are true."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from metseg.follow_up_schemas import FollowUpList, NewFollowUp, StoredFollowUp
from metseg.pacs_schemas import PacsFetch, PacsSearch, PacsSent, PacsStudyList
from metseg.schemas import PROBLEM_MEDIA_TYPE, SEQUENCES, Answer, Model, Problem, Readiness, Study, StudyList
from metseg.serve.http import openapi_examples
from metseg.serve.http.problem_details import make_problem
from metseg.version_schemas import NewVersion, Version, VersionList
from metseg.volume import MODALITY_ALIASES

#: What every call that needs a key can come to.
GUARDED = {"400", "401", "403", "429", "500", "503"}
#: What every upload can come to beside.
UPLOADS = {"408", "413", "415", "422", "507"}
#: What calls can come to besides; `/health` and `/ready` need no key.
MORE: dict[tuple[str, str], set[str]] = {
    ("post", "/predict/"): {"200", "406", *GUARDED, *UPLOADS},
    ("post", "/studies"): {"202", *GUARDED, *UPLOADS},
    ("get", "/studies"): {"200", "404", "422", *GUARDED},
    ("get", "/studies/{study_id}"): {"200", "304", "404", "422", *GUARDED},
    ("post", "/studies/{study_id}/cancel"): {"200", "404", "409", "422", *GUARDED},
    ("delete", "/studies/{study_id}"): {"204", "404", "422", *GUARDED},
    ("get", "/studies/{study_id}/artifacts/{name}"): {"200", "206", "304", "404", "416", "422", *GUARDED},
    ("patch", "/studies/{study_id}"): {"200", "404", "408", "413", "415", "422", *GUARDED},
    ("get", "/studies/{study_id}/versions"): {"200", "404", "409", "422", *GUARDED},
    ("get", "/studies/{study_id}/versions/{number}"): {"200", "404", "409", "422", *GUARDED},
    ("post", "/studies/{study_id}/versions"): {"201", "404", "409", *GUARDED, *UPLOADS},
    ("post", "/studies/{study_id}/masks"): {"201", "404", "409", *GUARDED, *UPLOADS},
    ("get", "/studies/{study_id}/versions/{number}/artifacts/{name}"): {
        *("200", "206", "304", "404", "409", "416", "422"),
        *GUARDED,
    },
    ("post", "/follow-ups"): {"201", "404", "408", "409", "413", "415", "422", "507", *GUARDED},
    ("get", "/follow-ups"): {"200", "404", "422", *GUARDED},
    ("get", "/follow-ups/{follow_up_id}"): {"200", "404", "422", *GUARDED},
    ("delete", "/follow-ups/{follow_up_id}"): {"204", "404", "422", *GUARDED},
    ("get", "/follow-ups/{follow_up_id}/artifacts/{name}"): {"200", "206", "304", "404", "416", "422", *GUARDED},
    ("get", "/pacs"): {"200", *GUARDED},
    ("post", "/pacs/{name}/search"): {"200", "404", "408", "413", "415", "422", "502", *GUARDED},
    ("post", "/pacs/{name}/fetch"): {"202", "404", "502", *GUARDED, *UPLOADS},
    ("post", "/pacs/{name}/send"): {"200", "404", "408", "409", "413", "415", "422", "502", *GUARDED},
    ("post", "/dicom-web/studies"): {"200", "202", "404", "406", "409", *GUARDED, *UPLOADS},
    ("post", "/dicom-web/studies/{study_uid}"): {"200", "202", "404", "406", "409", *GUARDED, *UPLOADS},
    ("get", "/models"): {"200", *GUARDED},
    ("get", "/models/choice"): {"200", "422", *GUARDED},
    ("post", "/models/{name}/accept"): {"200", "404", "422", *GUARDED},
    ("get", "/metrics"): {"200", *GUARDED},
    ("get", "/health"): {"200"},
    ("get", "/ready"): {"200", "503"},
}


@pytest.fixture
def document(client: TestClient) -> dict[str, Any]:
    found: dict[str, Any] = client.get("/openapi.json").json()
    return found


def operations(document: dict[str, Any]) -> Iterator[tuple[tuple[str, str], dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield (method, path), operation


def test_every_call_says_what_it_may_come_to(document: dict[str, Any]) -> None:
    assert {call: set(operation["responses"]) for call, operation in operations(document)} == MORE


def test_operation_ids_are_names_for_generated_clients(document: dict[str, Any]) -> None:
    assert {call: operation["operationId"] for call, operation in operations(document)} == {
        ("post", "/predict/"): "predict_picture",
        ("post", "/studies"): "create_study",
        ("get", "/studies"): "list_studies",
        ("get", "/studies/{study_id}"): "get_study",
        ("post", "/studies/{study_id}/cancel"): "cancel_study",
        ("delete", "/studies/{study_id}"): "delete_study",
        ("get", "/studies/{study_id}/artifacts/{name}"): "get_artifact",
        ("patch", "/studies/{study_id}"): "label_study",
        ("get", "/studies/{study_id}/versions"): "list_versions",
        ("get", "/studies/{study_id}/versions/{number}"): "get_version",
        ("post", "/studies/{study_id}/versions"): "create_version",
        ("post", "/studies/{study_id}/masks"): "upload_version",
        ("get", "/studies/{study_id}/versions/{number}/artifacts/{name}"): "get_version_artifact",
        ("post", "/follow-ups"): "create_follow_up",
        ("get", "/follow-ups"): "list_follow_ups",
        ("get", "/follow-ups/{follow_up_id}"): "get_follow_up",
        ("delete", "/follow-ups/{follow_up_id}"): "delete_follow_up",
        ("get", "/follow-ups/{follow_up_id}/artifacts/{name}"): "get_follow_up_artifact",
        ("get", "/pacs"): "list_pacs",
        ("post", "/pacs/{name}/search"): "search_pacs",
        ("post", "/pacs/{name}/fetch"): "fetch_from_pacs",
        ("post", "/pacs/{name}/send"): "send_to_pacs",
        ("post", "/dicom-web/studies"): "store_objects",
        ("post", "/dicom-web/studies/{study_uid}"): "store_objects_of_study",
        ("get", "/models"): "list_models",
        ("get", "/models/choice"): "choose_model",
        ("post", "/models/{name}/accept"): "accept_model",
        ("get", "/metrics"): "get_metrics",
        ("get", "/health"): "get_health",
        ("get", "/ready"): "get_readiness",
    }


def test_every_call_is_described(document: dict[str, Any]) -> None:
    for call, operation in operations(document):
        assert operation["summary"], call
        assert operation["description"], call
        for parameter in operation.get("parameters", ()):
            assert parameter["description"], (call, parameter["name"])


def test_every_problem_has_examples_of_its_status(document: dict[str, Any]) -> None:
    seen = 0
    for call, operation in operations(document):
        for status, response in operation["responses"].items():
            content = response.get("content", {}).get(PROBLEM_MEDIA_TYPE)
            if content is None:
                continue
            assert content["schema"] == {"$ref": "#/components/schemas/Problem"}
            assert content["examples"], (call, status)
            for code, example in content["examples"].items():
                problem = Problem.model_validate(example["value"])
                assert (str(problem.status), problem.code) == (status, code)
                seen += 1
    assert seen > 50


def test_references_lead_somewhere(document: dict[str, Any]) -> None:
    names = set(re.findall(r"#/components/schemas/([A-Za-z]+)", str(document)))
    assert (
        {"Problem", "Answer", "Study", "NewVersion", "AddEdit", "Version"}
        <= names
        <= set(document["components"]["schemas"])
    )


def test_examples_are_what_they_are_examples_of() -> None:
    Answer.model_validate(openapi_examples.ANSWER)
    Study.model_validate(openapi_examples.STUDY)
    Study.model_validate(openapi_examples.ACCEPTED)
    StudyList.model_validate(openapi_examples.STUDIES)
    NewVersion.model_validate(openapi_examples.EDITS)
    VersionList.model_validate(openapi_examples.VERSIONS)
    Version.model_validate(openapi_examples.CORRECTED)
    # As JSON: the days are strict, and are text in it.
    NewFollowUp.model_validate_json(json.dumps(openapi_examples.EXAMINATIONS))
    FollowUpList.model_validate_json(json.dumps(openapi_examples.FOLLOW_UPS))
    StoredFollowUp.model_validate_json(json.dumps(openapi_examples.FOLLOW_UP))
    PacsSearch.model_validate(openapi_examples.PACS_SEARCH)
    PacsStudyList.model_validate(openapi_examples.PACS_STUDIES)
    PacsFetch.model_validate(openapi_examples.PACS_FETCH)
    PacsSent.model_validate(openapi_examples.PACS_SENT)
    Readiness.model_validate(openapi_examples.READY)
    for model in openapi_examples.MODELS["models"]:
        Model.model_validate(model)
    for code, detail in openapi_examples.PROBLEM_DETAILS.items():
        assert make_problem(code, detail).code == code


def test_sequences_are_those_of_the_package() -> None:
    assert tuple(MODALITY_ALIASES) == SEQUENCES


def test_uploads_are_described(document: dict[str, Any]) -> None:
    form = document["paths"]["/studies"]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]
    files = {"files", "t1n", "t1c", "t2w", "t2f", "brain_mask"}
    options = {"model", "stack", "allow_gaps", "series", "uncertainty", "explanation", "label"}
    assert files | options == set(form["properties"])
    predict = document["paths"]["/predict/"]["post"]
    assert {"multipart/form-data", "image/png"} <= set(predict["requestBody"]["content"])
    assert {"application/json", "image/png"} == set(predict["responses"]["200"]["content"])
    form = predict["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert {"file", "model", "probabilities"} == set(form["properties"])


def test_the_api_is_there_without_torch() -> None:
    """What computes is in other processes; the one that answers stays small."""
    import subprocess
    import sys

    code = "import sys, metseg.serve.app; print([name for name in ('torch', 'monai', 'dbos') if name in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


def test_the_design_names_every_table_and_route(document: dict[str, Any]) -> None:
    from metseg.serve.storage.db_models import Record

    page = (Path(__file__).parents[2] / "docs" / "service.md").read_text("utf-8")
    for table in Record.metadata.tables:
        assert table in page
