"""compose.yaml and deploy/clinic.yaml: valid by the Compose Specification, and together what the code can run."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import jsonschema
import pytest
import typer
import yaml

from metseg.cli import app as command_line
from metseg.pacs.routing_rules import read_rules
from metseg.pacs.server_address import DEFAULT_TITLE, DimseAddress, parse_server
from metseg.serve.diagnostics import OTHER_VARIABLES
from metseg.serve.settings import Settings, load_settings

ROOT = Path(__file__).parents[2]
#: In the order of the command that starts them.
FILES = ("compose.yaml", "deploy/clinic.yaml")
#: Lists that Compose replaces instead of joining them.
REPLACED = ("command", "entrypoint", "test")


def read(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / name).read_text("utf-8"))
    return found


def merged(first: Any, second: Any, key: str = "") -> Any:
    """Return two documents as Compose merges its files: mappings are joined, lists appended, the rest replaced."""
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        both = {name: merged(first[name], second[name], name) for name in first.keys() & second.keys()}
        return {**first, **second, **both}
    if isinstance(first, list) and isinstance(second, list) and key not in REPLACED:
        return [*first, *second]
    return second


@pytest.fixture(scope="module")
def validator() -> Any:
    """Return a validator of the Compose Specification by the schema in check-jsonschema."""
    pytest.importorskip("check_jsonschema", reason="check-jsonschema is absent (pip install 'metseg[dev]')")
    place = resources.files("check_jsonschema") / "builtin_schemas" / "vendor" / "compose-spec.json"
    schema = json.loads(place.read_text("utf-8"))
    return jsonschema.validators.validator_for(schema)(schema)


@pytest.fixture(scope="module")
def together() -> dict[str, Any]:
    return cast(dict[str, Any], merged(read(FILES[0]), read(FILES[1])))


@pytest.fixture
def receiver(together: dict[str, Any]) -> dict[str, Any]:
    """Return the parameters of ``metseg pacs receive``, parsed as the command line does."""
    first, second, *words = together["services"]["receiver"]["command"]
    command: Any = typer.main.get_command(command_line)
    context = command.commands[first].commands[second].make_context(second, list(words))
    return dict(context.params)


@pytest.mark.parametrize("name", FILES)
def test_each_file_is_valid(validator: Any, name: str) -> None:
    assert [error.message for error in validator.iter_errors(read(name))] == []


def test_both_files_together_are_valid(validator: Any, together: dict[str, Any]) -> None:
    assert [error.message for error in validator.iter_errors(together)] == []


def test_a_misspelt_key_is_found(validator: Any) -> None:
    wrong = copy.deepcopy(read("deploy/clinic.yaml"))
    wrong["services"]["receiver"]["heathcheck"] = wrong["services"]["receiver"].pop("healthcheck")
    assert any("heathcheck" in error.message for error in validator.iter_errors(wrong))


def test_variables_are_settings_with_values_that_are_accepted(
    together: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    known = {f"METSEG_{name.upper()}" for name in (*Settings.model_fields, *OTHER_VARIABLES)}
    for name in FILES:
        assert set(re.findall(r"\bMETSEG_[A-Z_]*[A-Z]\b", (ROOT / name).read_text("utf-8"))) <= known, name
    secret = tmp_path / "password"
    secret.write_text("hush")
    for name in ("api", "worker"):
        with monkeypatch.context() as patched:
            for variable, value in together["services"][name]["environment"].items():
                patched.setenv(variable, str(secret) if variable.endswith("_FILE") else value)
            settings = load_settings()
        assert (settings.dicom_identity == "keep") is (name == "worker")  # the worker writes the results
    assert set(together["services"]["receiver"]["environment"]) == {"METSEG_API_KEY"}


def test_commands_parse(together: dict[str, Any]) -> None:
    command: Any = typer.main.get_command(command_line)
    for name in ("api", "worker", "page", "receiver"):
        part, words = command, list(together["services"][name]["command"])
        while hasattr(part, "commands") and words and words[0] in part.commands:
            part = part.commands[words.pop(0)]
        part.make_context(name, words)  # raises for an unknown option or a wrong value
        assert part is not command


def test_the_receiver_reaches_service_and_archive(together: dict[str, Any], receiver: dict[str, Any]) -> None:
    services = together["services"]
    networks = {name: set(service["networks"]) for name, service in services.items()}
    archive = parse_server(receiver["server"])
    assert isinstance(archive, DimseAddress)
    orthanc = json.loads((ROOT / "deploy" / "orthanc.json").read_text("utf-8"))
    assert (archive.called, archive.port) == (orthanc["DicomAet"], orthanc["DicomPort"])
    assert archive.calling == receiver["aet"] == DEFAULT_TITLE
    assert networks["receiver"] & networks[archive.host]
    service = urlsplit(receiver["service"])
    assert networks["receiver"] & networks[str(service.hostname)]
    assert str(service.port) == services[str(service.hostname)]["environment"]["METSEG_PORT"]
    (known,) = orthanc["DicomModalities"].values()
    assert (known["AET"], known["Host"], known["Port"]) == (receiver["aet"], "receiver", receiver["port"])
    assert receiver["allow"] == [orthanc["DicomAet"]]
    assert services["orthanc"]["ports"] == [f"{orthanc['DicomPort']}:{orthanc['DicomPort']}"]
    # What comes from the DICOM network does not reach the service but through the receiver.
    assert not networks["orthanc"] & (networks["api"] | networks["worker"] | networks["database"])


def test_files_that_containers_read_are_mounted(together: dict[str, Any], receiver: dict[str, Any]) -> None:
    services = together["services"]
    mounts = {
        name: {target: source for source, target, *_ in (mount.split(":") for mount in services[name]["volumes"])}
        for name in ("orthanc", "receiver")
    }
    rules = ROOT / mounts["receiver"][str(receiver["rules"])]
    assert [rule.modality for rule in read_rules(rules).rule] == ["MR", "MR"]
    assert str(receiver["folder"]).startswith("/var/lib/metseg/")
    assert mounts["receiver"]["/var/lib/metseg"] in together["volumes"]
    orthanc = json.loads((ROOT / "deploy" / "orthanc.json").read_text("utf-8"))
    (settings,) = services["orthanc"]["command"]
    assert (ROOT / mounts["orthanc"][settings]) == ROOT / "deploy" / "orthanc.json"
    for path in (*orthanc["LuaScripts"], orthanc["StorageDirectory"], orthanc["IndexDirectory"]):
        assert path in mounts["orthanc"]
