"""Install a bundle in the user's folder, so that it is available by name."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from metseg.atomic_io import atomic_folder, make_private
from metseg.bundle_folder import user_bundles
from metseg.errors import UsageError
from metseg.model.bundle import list_bundles, load_bundle

#: What a bundle may be called: the name of a folder on every system, and never taken for a path or hidden.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")


def install_bundle(path: Path, *, name: str | None = None) -> Path:
    """Copy a bundle into the user's own folder of bundles and return where it is now.

    Args:
        path: the bundle's folder; it is loaded first, so that nothing damaged is installed.
        name: what it is called from now on; None: as its recipe is, for the folder of every run's bundle is ``bundle``.
    Raises:
        BundleError: not a sound bundle.
        UsageError: a bundle of that name can be called already, or the name is not fit for a folder.
    """
    bundle = load_bundle(path)
    chosen = bundle.recipe.name if name is None else name
    if not NAME.fullmatch(chosen):
        raise UsageError(
            "invalid bundle name",
            expected="letters, digits, . _ + -",
            got=repr(chosen),
            cure="choose another name with --name",
            code="usage.bundle_name",
        )
    target = user_bundles() / chosen
    there = list_bundles().get(chosen, target)
    if there.exists():
        raise UsageError(
            f"a bundle named '{chosen}' already exists",
            where=there,
            cure="choose another name with --name, or remove the existing bundle",
            code="usage.bundle_exists",
        )
    with atomic_folder(target) as temporary:
        shutil.copytree(bundle.folder, temporary, dirs_exist_ok=True)
    make_private(target)
    target.parent.chmod(0o700)
    return target
