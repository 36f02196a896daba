"""The templates for AWS and Google Cloud: cfn-lint and kubernetes-validate find nothing; all say "untried"."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

DEPLOY = Path(__file__).parents[2] / "deploy"
TEMPLATE = DEPLOY / "aws" / "cluster.yaml"
CLOUDS = ("aws", "gcp")
#: Version of the Kubernetes API that the manifests are checked against.
KUBERNETES = "1.34"


def manifests() -> list[Path]:
    files = [path for folder in ("kubernetes", *CLOUDS) for path in sorted((DEPLOY / folder).glob("*.yaml"))]
    return [path for path in files if path.name != "kustomization.yaml" and path != TEMPLATE]


def documents(path: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(path.read_text("utf-8")))


def lint(template: Path) -> subprocess.CompletedProcess[str]:
    pytest.importorskip("cfnlint", reason="cfn-lint is absent (pip install 'metseg[dev]')")
    program = "import sys; from cfnlint.runner import main; sys.exit(main())"  # the package has no __main__
    command = [sys.executable, "-c", program, "--regions", "eu-central-1", "--", str(template)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_cfn_lint_finds_nothing() -> None:
    found = lint(TEMPLATE)
    assert (found.returncode, found.stdout) == (0, ""), found.stdout + found.stderr


def test_cfn_lint_finds_a_property_that_does_not_exist(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(TEMPLATE.read_text("utf-8").replace("StorageEncrypted:", "StorageEncrypt:"), "utf-8")
    assert "StorageEncrypt" in lint(wrong).stdout


@pytest.mark.parametrize("path", manifests(), ids=lambda path: f"{path.parent.name}/{path.name}")
def test_every_manifest_is_valid(path: Path) -> None:
    validator = pytest.importorskip("kubernetes_validate", reason="kubernetes-validate is absent")
    for document in documents(path):
        validator.validate(document, KUBERNETES, strict=True)


def test_a_misspelt_key_of_a_manifest_is_found() -> None:
    validator = pytest.importorskip("kubernetes_validate", reason="kubernetes-validate is absent")
    (claim,) = documents(DEPLOY / "gcp" / "storage-size.yaml")
    claim["spec"]["accessMode"] = claim["spec"].pop("accessModes")
    with pytest.raises(validator.ValidationError):
        validator.validate(claim, KUBERNETES, strict=True)


@pytest.mark.parametrize("cloud", CLOUDS)
def test_an_overlay_gives_the_storage_class_that_the_volume_asks_for(cloud: str) -> None:
    (overlay,) = documents(DEPLOY / cloud / "kustomization.yaml")
    named = {*overlay["resources"], *(patch["path"] for patch in overlay.get("patches", []))}
    assert named == {
        "../kubernetes",
        *(
            path.name
            for path in (DEPLOY / cloud).glob("*.yaml")
            if path.name != "kustomization.yaml" and path != TEMPLATE
        ),
    }
    (claim,) = documents(DEPLOY / "kubernetes" / "storage.yaml")
    (storage,) = documents(DEPLOY / cloud / "storage-class.yaml")
    assert storage["metadata"]["name"] == claim["spec"]["storageClassName"]
    assert storage["reclaimPolicy"] == "Retain"  # patients' images are not removed with a claim


@pytest.mark.parametrize("cloud", CLOUDS)
def test_every_file_says_that_it_is_untried(cloud: str) -> None:
    files = sorted((DEPLOY / cloud).glob("*.yaml"))
    assert files
    for path in files:
        assert path.read_text("utf-8").startswith("# Untried"), path
