"""Install a bundle where it is found by name."""

from __future__ import annotations

import shutil
from pathlib import Path

from metseg.errors import UsageError
from metseg.files import atomic_folder
from metseg.model.bundle import load_bundle
from metseg.model.bundle_folder import user_bundles


def install_bundle(path: Path) -> Path:
    """Copy a bundle into the user's own folder of bundles and return where it is now.

    Args:
        path: the bundle's folder; it is loaded first, so that nothing damaged is installed.
    Raises:
        BundleError: not a sound bundle.
        UsageError: a bundle of that name is installed already.
    """
    bundle = load_bundle(path)
    target = user_bundles() / bundle.name
    if target.exists():
        raise UsageError(
            f"a bundle called '{bundle.name}' is installed already",
            where=target,
            cure="remove or rename one of the two",
            code="usage.bundle_exists",
        )
    with atomic_folder(target) as temporary:
        shutil.copytree(bundle.folder, temporary, dirs_exist_ok=True)
    return target
