"""What the service is deployed with: Dockerfile, compose.yaml, manifests, proxy and their page say what is true."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from metseg import __version__
from metseg.cli import app as command_line
from metseg.serve.diagnostics import OTHER_VARIABLES
from metseg.serve.routes import ROUTERS
from metseg.serve.settings import Settings, load_settings

ROOT = Path(__file__).parents[2]
MANIFESTS = ROOT / "deploy" / "kubernetes"
OURS = ("api", "worker", "page")
#: Paths that are for machines inside: the proxies do not pass them on.
INSIDE = {"/metrics"}
PAGE_HEALTH = "/_stcore/health"
#: A setting, whole: never a part of another word, nor a mask such as ``METSEG_*``.
VARIABLE = re.compile(r"\bMETSEG_[A-Z_]*[A-Z]\b")


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8"))
    return found


@pytest.fixture(scope="module")
def manifests() -> list[dict[str, Any]]:
    files = sorted(path for path in MANIFESTS.glob("*.yaml") if path.name != "kustomization.yaml")
    return [document for path in files for document in yaml.safe_load_all(path.read_text("utf-8"))]


@pytest.fixture(scope="module")
def pods(manifests: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return what pods are like, by the name of what makes them, without ``metseg-``."""
    kinds = ("Deployment", "StatefulSet")
    return {
        document["metadata"]["name"].removeprefix("metseg-"): document["spec"]["template"]["spec"]
        for document in manifests
        if document["kind"] in kinds
    }


def container(pod: dict[str, Any]) -> dict[str, Any]:
    (found,) = pod["containers"]
    assert isinstance(found, dict)
    return found


def plain_variables(pod: dict[str, Any], settings: dict[str, str]) -> dict[str, str]:
    """Return the variables of a pod whose values are in the manifests."""
    only = container(pod)
    shared = settings if "envFrom" in only else {}
    return {**shared, **{item["name"]: item["value"] for item in only["env"] if "value" in item}}


@pytest.fixture(scope="module")
def environments(
    compose: dict[str, Any], manifests: list[dict[str, Any]], pods: dict[str, dict[str, Any]]
) -> dict[str, dict[str, str]]:
    """Return the variables of each of our containers."""
    (shared,) = (document["data"] for document in manifests if document["kind"] == "ConfigMap")
    found = {f"compose {name}": compose["services"][name]["environment"] for name in OURS}
    return {**found, **{f"pod {name}": plain_variables(pods[name], shared) for name in OURS}}


def test_every_variable_is_a_setting_that_exists() -> None:
    files = [ROOT / "Dockerfile", ROOT / "compose.yaml", ROOT / "docs" / "deploy.md", *MANIFESTS.glob("*.yaml")]
    named = {name for path in files for name in VARIABLE.findall(path.read_text("utf-8"))}
    known = {f"METSEG_{name.upper()}" for name in (*Settings.model_fields, *OTHER_VARIABLES)}
    assert named - known == set()
    assert len(named) >= len(Settings.model_fields)


def test_variables_that_are_no_settings_are_read_by_somebody() -> None:
    files = [ROOT / "Makefile", *(ROOT / "src").rglob("*.py"), *(ROOT / "tests").rglob("*.py")]
    read = {name for path in files if path.name != "checkup.py" for name in VARIABLE.findall(path.read_text("utf-8"))}
    assert {f"METSEG_{name}" for name in OTHER_VARIABLES} <= read


def test_the_settings_take_these_values(
    environments: dict[str, dict[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = tmp_path / "password"
    secret.write_text("hush")
    for variables in environments.values():
        with monkeypatch.context() as patched:
            for name, value in variables.items():
                assert isinstance(value, str), f"{name}: a variable is text, quote it"
                patched.setenv(name, str(secret) if name.endswith("_FILE") else value)
            settings = load_settings()
            for name in {name.removeprefix("METSEG_").lower() for name in variables} & {"port", "host", "home"}:
                assert str(getattr(settings, name)) == variables[f"METSEG_{name.upper()}"]


def test_threads_and_memory_are_within_the_limits(
    compose: dict[str, Any], pods: dict[str, dict[str, Any]], environments: dict[str, dict[str, str]]
) -> None:
    """Nobody in a container sees its limits: a worker would compute with all processors of the machine."""
    units = {"g": 2**30, "Gi": 2**30}
    for part, kind in (("api", "PREDICT"), ("worker", "WORKER")):
        limits = {
            f"compose {part}": compose["services"][part]["deploy"]["resources"]["limits"],
            f"pod {part}": container(pods[part])["resources"]["limits"],
        }
        for name, limit in limits.items():
            variables = environments[name]
            assert variables[f"METSEG_{kind}_THREADS"] == str(limit.get("cpus", limit.get("cpu")))
            number, unit = re.fullmatch(r"(\d+)(\D+)", limit["memory"]).groups()  # type: ignore[union-attr]
            assert int(variables[f"METSEG_{kind}_MEMORY_BYTES"]) + 2**30 <= int(number) * units[unit]


def test_no_secret_stands_here(environments: dict[str, dict[str, str]], compose: dict[str, Any]) -> None:
    variables = {**environments, "database": compose["services"]["database"]["environment"]}
    for where, found in variables.items():
        for name, value in found.items():
            assert not re.search(r"://[^/@]*:[^/@]*@", value), (where, name)
            if re.search("PASSWORD|SECRET|TOKEN|API_KEY|PSEUDONYM", name):
                assert name.endswith("_FILE"), (where, name)
                assert value.startswith("/run/secrets/"), (where, name)
    assert compose["secrets"] == {"database_password": {"file": "./secrets/database_password"}}
    assert "secrets/" in (ROOT / ".gitignore").read_text("utf-8").splitlines()


def test_pods_are_given_the_database_as_a_secret(pods: dict[str, dict[str, Any]]) -> None:
    for name in ("api", "worker"):
        sources = {item["name"]: item.get("valueFrom") for item in container(pods[name])["env"]}
        assert sources["METSEG_DATABASE_URL"] == {"secretKeyRef": {"name": "metseg-database", "key": "url"}}
    assert "METSEG_DATABASE_URL" not in str(pods["page"])


def test_images_are_pinned(compose: dict[str, Any], pods: dict[str, dict[str, Any]]) -> None:
    for name, service in compose["services"].items():
        assert re.fullmatch(r"[a-z]+:\d+\.\d+(\.\d+)?(-[a-z]+)?", service["image"]), name
    for name in OURS:
        assert compose["services"][name]["image"] == container(pods[name])["image"] == f"metseg:{__version__}"
    kustomization = yaml.safe_load((MANIFESTS / "kustomization.yaml").read_text("utf-8"))
    assert [str(image["newTag"]) for image in kustomization["images"]] == [__version__]
    dockerfile = (ROOT / "Dockerfile").read_text("utf-8")
    assert re.search(r"^ARG PYTHON=3\.\d+\.\d+-slim-bookworm$", dockerfile, re.MULTILINE)
    stages = re.findall(r"^FROM (\S+)(?: AS (\S+))?$", dockerfile, re.MULTILINE)
    assert all(image in ("python:${PYTHON}", *(name for _, name in stages)) for image, _ in stages)


def test_the_page_says_how_to_pin_every_image_by_its_digest(compose: dict[str, Any]) -> None:
    page = (ROOT / "docs" / "deploy.md").read_text("utf-8")
    (python,) = re.findall(r"^ARG PYTHON=(\S+)$", (ROOT / "Dockerfile").read_text("utf-8"), re.MULTILINE)
    (frontend,) = re.findall(r"^# syntax=(\S+)$", (ROOT / "Dockerfile").read_text("utf-8"), re.MULTILINE)
    assert re.fullmatch(r"docker/dockerfile:\d+\.\d+\.\d+", frontend)
    foreign = {service["image"] for name, service in compose["services"].items() if name not in OURS}
    assert len(foreign) == 2
    (command,) = re.findall(r"^ {4}for image in (.*); do$", page, re.MULTILINE)
    assert set(command.split()) == {*foreign, f"python:{python}", frontend}
    assert "docker buildx imagetools inspect" in page


def test_the_proxy_adds_headers_to_what_it_answers_itself() -> None:
    caddy = (ROOT / "deploy" / "Caddyfile").read_text("utf-8")
    added = dict(re.findall(r"^\t\t\?(\S+) \"(.*)\"$", caddy, re.MULTILINE))
    assert set(added) == {"Content-Security-Policy", "X-Content-Type-Options", "Referrer-Policy", "X-Frame-Options"}
    assert "frame-ancestors 'none'" in added["Content-Security-Policy"]


def test_the_page_has_a_share_of_its_containers_memory(
    compose: dict[str, Any], pods: dict[str, dict[str, Any]], environments: dict[str, dict[str, str]]
) -> None:
    for name in ("compose page", "pod page"):
        assert int(environments[name]["METSEG_PAGE_MEMORY_BYTES"]) * 2 == 4 * 2**30
    assert compose["services"]["page"]["deploy"]["resources"]["limits"]["memory"] == "4g"
    assert container(pods["page"])["resources"]["limits"]["memory"] == "4Gi"


def test_the_image_takes_every_version_from_the_constraints() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text("utf-8").replace("\\\n", " ")
    installs = re.findall(r"pip (?:install|wheel) [^&\n]*", dockerfile)
    assert len(installs) == 3
    assert all("-c constraints.txt" in command or "--no-deps" in command for command in installs)
    assert re.findall(r"^USER (\S+)$", dockerfile, re.MULTILINE) == ["10001:10001"]


def test_the_image_is_made_of_what_may_come_in() -> None:
    ignored = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    allowed = {line[1:] for line in ignored if line.startswith("!")}
    assert "*" in ignored
    dockerfile = (ROOT / "Dockerfile").read_text("utf-8")
    for line in re.findall(r"^COPY (?!--from)(.*) \S+$", dockerfile, re.MULTILINE):
        for source in line.split():
            assert (ROOT / source).exists(), source
            assert source.split("/")[0] in allowed, source


def test_containers_are_hardened(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert {"cpus", "memory", "pids"} <= set(service["deploy"]["resources"]["limits"]), name
        assert name == "proxy" or service["user"] not in ("0:0", "root"), name
    added = {name: service["cap_add"] for name, service in compose["services"].items() if "cap_add" in service}
    assert added == {"proxy": ["NET_BIND_SERVICE"]}


def test_only_the_proxy_is_reached_from_outside(compose: dict[str, Any]) -> None:
    services = compose["services"]
    assert [name for name, service in services.items() if "ports" in service] == ["proxy"]
    open_networks = {name for name, network in compose["networks"].items() if not (network or {}).get("internal")}
    assert [name for name, service in services.items() if open_networks & set(service["networks"])] == ["proxy"]
    with_database = {name for name, service in services.items() if "back" in service["networks"]}
    assert with_database == {"api", "worker", "database"}


def test_pods_are_hardened(pods: dict[str, dict[str, Any]]) -> None:
    assert set(pods) == set(OURS)
    for name, pod in pods.items():
        only = container(pod)
        assert pod["securityContext"]["runAsNonRoot"] is True, name
        assert pod["securityContext"]["runAsUser"] == 10001, name
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert pod["automountServiceAccountToken"] is False, name
        # A service that is called "metseg" would otherwise set METSEG_PORT to "tcp://...".
        assert pod["enableServiceLinks"] is False, name
        assert only["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }, name
        assert set(only["resources"]) == {"requests", "limits"}, name
        assert {mount["mountPath"] for mount in only["volumeMounts"]} == {"/tmp", "/var/lib/metseg"}, name
        assert {mount["name"] for mount in only["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}, name


def test_workers_keep_their_names_and_share_one_folder_with_the_api(
    manifests: list[dict[str, Any]], pods: dict[str, dict[str, Any]]
) -> None:
    (workers,) = (document for document in manifests if document["kind"] == "StatefulSet")
    assert workers["metadata"]["name"] == "metseg-worker"
    names = {item["name"]: item.get("valueFrom") for item in container(pods["worker"])["env"]}
    assert names["METSEG_WORKER_ID"] == {"fieldRef": {"fieldPath": "metadata.name"}}
    (claim,) = (document for document in manifests if document["kind"] == "PersistentVolumeClaim")
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    for name in ("api", "worker"):
        volumes = {volume["name"]: volume for volume in pods[name]["volumes"]}
        assert volumes["data"]["persistentVolumeClaim"] == {"claimName": claim["metadata"]["name"]}
    assert "persistentVolumeClaim" not in str(pods["page"])


def command_lines(compose: dict[str, Any], pods: dict[str, dict[str, Any]]) -> Iterator[list[str]]:
    yield from (compose["services"][name]["command"] for name in OURS)
    yield from (container(pods[name])["args"] for name in OURS)


def test_commands_and_options_exist(compose: dict[str, Any], pods: dict[str, dict[str, Any]]) -> None:
    commands = typer.main.get_command(command_line).commands  # type: ignore[attr-defined]
    for name, *words in command_lines(compose, pods):
        options = {option for parameter in commands[name].params for option in parameter.opts}
        assert {word for word in words if word.startswith("-")} <= options, name


def routes() -> set[str]:
    """Return the paths of the API as proxies name them: with ``*`` for what follows."""
    found = {route.path for router in ROUTERS for route in router.routes}  # type: ignore[attr-defined]
    named = {re.sub(r"\{.*", "*", path) for path in found} | {"/openapi.json"}
    ways = [path[:-1] for path in named if path.endswith("/*")]
    return {path for path in named if path.endswith("/*") or not any(path.startswith(way) for way in ways)}


def test_probes_ask_what_exists(compose: dict[str, Any], pods: dict[str, dict[str, Any]]) -> None:
    for name, ready in (("api", "/ready"), ("page", PAGE_HEALTH)):
        probes = {key: value for key, value in container(pods[name]).items() if key.endswith("Probe")}
        assert set(probes) == {"startupProbe", "livenessProbe", "readinessProbe"}
        assert probes["readinessProbe"]["httpGet"]["path"] == ready
        assert {probe["httpGet"]["port"] for probe in probes.values()} == {"http"}
    alive = {container(pods["api"])[probe]["httpGet"]["path"] for probe in ("startupProbe", "livenessProbe")}
    # Not /ready: who restarts every API because the database is away makes it worse.
    assert alive == {"/health"}
    assert {"/health", "/ready"} <= routes()
    assert "/health" in (ROOT / "Dockerfile").read_text("utf-8")
    assert PAGE_HEALTH in str(compose["services"]["page"]["healthcheck"]["test"])
    assert compose["services"]["worker"]["healthcheck"] == {"disable": True}


def test_proxies_pass_on_all_of_the_api_but_what_is_for_inside(manifests: list[dict[str, Any]]) -> None:
    caddy = (ROOT / "deploy" / "Caddyfile").read_text("utf-8")
    (paths,) = re.findall(r"@api path (.*)", caddy)
    assert set(paths.split()) == routes() - INSIDE
    assert re.search(r"handle /metrics \{\s*respond 404", caddy)
    (ingress,) = (document for document in manifests if document["kind"] == "Ingress")
    (rule,) = ingress["spec"]["rules"]
    ways = {(way["path"], way["pathType"]): way["backend"]["service"]["name"] for way in rule["http"]["paths"]}
    assert ways.pop(("/", "Prefix")) == "metseg-page"
    assert set(ways.values()) == {"metseg-api"}
    # A prefix of Kubernetes is that path and what follows behind a slash.
    named = {path for path, _ in ways} | {f"{path}/*" for path, kind in ways if kind == "Prefix"}
    assert named == routes() - INSIDE


def test_nobody_talks_to_anybody_unless_it_is_said(
    manifests: list[dict[str, Any]], pods: dict[str, dict[str, Any]]
) -> None:
    policies = {item["metadata"]["name"]: item["spec"] for item in manifests if item["kind"] == "NetworkPolicy"}
    assert policies["nobody"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    for name in ("api", "page"):
        ports = {port["port"] for rule in policies[name]["ingress"] for port in rule["ports"]}
        assert ports == {port["containerPort"] for port in container(pods[name])["ports"]}
    services = {item["metadata"]["name"]: item["spec"] for item in manifests if item["kind"] == "Service"}
    environment = {item["name"]: item["value"] for item in container(pods["page"])["env"]}
    assert environment["METSEG_API_URL"] == f"http://metseg-api:{services['metseg-api']['ports'][0]['port']}"


def test_every_manifest_is_applied() -> None:
    kustomization = yaml.safe_load((MANIFESTS / "kustomization.yaml").read_text("utf-8"))
    files = {path.name for path in MANIFESTS.glob("*.yaml")} - {"kustomization.yaml"}
    assert set(kustomization["resources"]) == files


def shown(value: object) -> str:
    """Return a default as the page shows it."""
    if value is None:
        return "none"
    if isinstance(value, tuple):
        return f"`{','.join(value)}`" if value else "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def test_the_page_lists_every_setting_with_its_default() -> None:
    page = (ROOT / "docs" / "deploy.md").read_text("utf-8")
    rows = re.findall(r"^\| `METSEG_(\w+)` \| (\S+) \| (.+) \|$", page, re.MULTILINE)
    defaults = {name: shown(field.default) for name, field in Settings.model_fields.items()}
    defaults["home"] = "`~/.metseg`"
    assert {name.lower(): default for name, default, _ in rows} == defaults
    assert [name.lower() for name, _, _ in rows] == list(Settings.model_fields)


def test_a_setting_can_be_taken_away(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("METSEG_HOME", str(tmp_path))
    assert load_settings().retention_days == 30
    monkeypatch.setenv("METSEG_RETENTION_DAYS", "none")
    assert load_settings().retention_days is None


def test_the_page_names_files_and_commands_that_exist() -> None:
    page = (ROOT / "docs" / "deploy.md").read_text("utf-8")
    for path in re.findall(r"`((?:deploy|docs)/[\w./]+|compose\.yaml)`", page):
        assert (ROOT / path).exists(), path
    for path in re.findall(r"`(\w[\w-]*\.yaml)`", page):
        assert (ROOT / path).exists() or (MANIFESTS / path).exists(), path
    commands = typer.main.get_command(command_line).commands  # type: ignore[attr-defined]
    for name in re.findall(r"(?:^ {4}|-- |run --rm (?:-T )?api )(?:metseg )?(up|serve|models|doctor)\b", page, re.M):
        assert name in commands, name


def test_the_clinic_file_is_hardened_and_its_commands_exist() -> None:
    clinic = yaml.safe_load((ROOT / "deploy" / "clinic.yaml").read_text("utf-8"))
    services = clinic["services"]
    load_settings(**{name.removeprefix("METSEG_").lower(): value
                     for name, value in services["worker"]["environment"].items()})  # fmt: skip
    for name in ("orthanc", "receiver"):
        service = services[name]
        assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert {"cpus", "memory", "pids"} <= set(service["deploy"]["resources"]["limits"])
        for mount in service["volumes"]:
            source = mount.split(":")[0]
            assert source in clinic["volumes"] or (ROOT / source).is_file(), mount
    assert re.fullmatch(r"[a-z/-]+:\d+\.\d+\.\d+", services["orthanc"]["image"])
    assert services["receiver"]["image"] == f"metseg:{__version__}"
    assert services["receiver"]["user"] == "10001:10001"
    words = services["receiver"]["command"]
    command = typer.main.get_command(command_line)
    for word in words[:2]:
        command = command.commands[word]  # type: ignore[attr-defined]
    assert {word for word in words if word.startswith("--")} <= {name for one in command.params for name in one.opts}
