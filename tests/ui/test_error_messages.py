"""Words: every cause that the service can tell has its own, and none of them is the language of programs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import metseg
from metseg.client.service_errors import Refusal
from metseg.errors import InputError
from metseg.schemas import Failure, Kind, Phase, Problem, State
from metseg.serve.http.problem_details import STATUS
from metseg.ui.display_text import KINDS, PHASES, STATE_ICONS, STATES
from metseg.ui.error_messages import FAMILIES, WORDS, explain_error, explain_failure, words_for

SOURCE = Path(str(metseg.__file__)).parent
#: Codes that no upload can come to: they are about data sets with truth, splits, training, or options of a command.
NOT_FROM_UPLOADS = {
    "input.cache",
    "input.column",
    "input.duplicate_case",
    "input.labels",
    "input.layout",
    "input.left_out",
    "input.name_clash",
    "input.no_patient",
    "input.no_spacing",
    "input.no_truth",
    "input.not_a_folder",
    "input.orphan",
    "input.split",
    "input.split_leak",
    "input.table",
    "input.too_few",
}


def input_codes() -> list[str]:
    found = {
        code
        for folder in ("io", "preprocess", "inference", "measure", "model", "serve")
        for path in (SOURCE / folder).rglob("*.py")
        for code in re.findall(r'"(input\.[a-z_]+)"', path.read_text("utf-8"))
    }
    return sorted(found - NOT_FROM_UPLOADS)


#: Codes that only commands come to: they train, install, download or pack models, or choose the folder of a training.
NOT_FROM_THE_SERVICE = {
    "model.download",
    "model.encoder_weights",
    "model.export",
    "model.several",
    "model.unfinished",
}


def other_codes() -> list[str]:
    """Return the codes on models, resources, requests and licences in the modules that the service runs."""
    places = [
        path
        for folder in ("io", "preprocess", "inference", "model", "serve")
        for path in (SOURCE / folder).rglob("*.py")
    ]
    places += [SOURCE / "bundle_folder.py", SOURCE / "model_terms.py"]
    pattern = r'code="((?:model|resources|request|service|licence)\.[a-z_]+)"|Refused\(\s*"([a-z_.]+)"'
    found = {code for path in places for pair in re.findall(pattern, path.read_text("utf-8")) for code in pair if code}
    return sorted((found | set(STATUS)) - NOT_FROM_THE_SERVICE)


@pytest.mark.parametrize("code", other_codes())
def test_every_code_that_the_service_can_send_has_an_entry(code: str) -> None:
    assert code in WORDS


def test_the_search_for_codes_finds_them() -> None:
    assert {"service.busy", "resources.storage", "model.checksum", "licence.not_accepted"} <= set(other_codes())


@pytest.mark.parametrize("code", sorted(STATUS))
def test_every_problem_has_words(code: str) -> None:
    assert code in WORDS or code.partition(".")[0] in FAMILIES


@pytest.mark.parametrize("code", [code for code in sorted(STATUS) if code.startswith(("request.", "service."))])
def test_every_refusal_has_words_of_its_own(code: str) -> None:
    assert code in WORDS


@pytest.mark.parametrize("code", input_codes())
def test_whatever_is_wrong_with_images_has_words_of_its_own(code: str) -> None:
    assert code in WORDS


@pytest.mark.parametrize("code", WORDS)
def test_words_are_plain(code: str) -> None:
    words = WORDS[code]
    assert words.title[0].isupper()
    assert not words.title.endswith(".")
    assert words.advice.endswith(".")
    text = f"{words.title} {words.advice}".lower()
    for jargon in ("exception", "http", "json", "affine", "array", "stack trace", "null", "checksum", "header"):
        assert jargon not in text


def test_codes_that_are_new_fall_back_to_their_family() -> None:
    assert words_for("model.something") == FAMILIES["model"]
    assert words_for("nobody.knows") == WORDS["internal"]


def test_what_the_service_said_stands_apart() -> None:
    failure = Failure(code="input.missing_sequence", detail="t1c is missing", cure="add it", phase=Phase.READ)
    told = explain_failure(failure)
    assert told.words == WORDS["input.missing_sequence"]
    assert told.technical == "t1c is missing; add it [while: read]"
    problem = Problem(type="x", title="x", status=415, detail="got a GIF", code="input.format", request="ab12")
    explained = explain_error(Refusal(problem))
    assert explained.technical == "got a GIF [request ab12]"
    assert explain_error(InputError("odd", where="file 3")).where == "file 3"


def test_everything_that_can_be_has_a_name() -> None:
    assert set(PHASES) == set(Phase)
    assert set(STATES) == set(STATE_ICONS) == set(State)
    assert set(KINDS) == set(Kind)


def test_the_id_of_a_study_is_no_place_for_the_user() -> None:
    failed = Failure(code="input.brain_mask", detail="no brain", where="case ac795db498e24014938728cfb1be3cb7")
    assert explain_failure(failed).where is None
    assert explain_error(InputError("no brain", where="ac795db498e24014938728cfb1be3cb7")).where is None


@pytest.mark.parametrize(
    "code",
    ["request.state", "request.results_missing", "request.no_dicom", "request.pseudonym", "request.corrected"],
)
def test_no_refusal_of_a_finished_study_advises_to_delete_it(code: str) -> None:
    assert "delete" not in WORDS[code].advice.lower()
    assert "already finished" not in WORDS[code].advice.lower()
