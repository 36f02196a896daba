"""Install a bundle in the user's folder, so that it is available by name."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from metseg.bundle_folder import user_bundles
from metseg.errors import UsageError
from metseg.model.bundle import list_bundles, load_bundle
from metseg.runtime.atomic_io import atomic_folder, make_private

#: What a bundle may be called: the name of a folder on every system, and never taken for a path or hidden.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")


def install_bundle(path: Path, *, name: str | None = None, overwrite: bool = False) -> Path:
    """Copy a bundle into the user's own folder of bundles and return where it is now.

    Args:
        path: the bundle's folder; it is loaded first, so that nothing damaged is installed.
        name: what it is called from now on; None: as its recipe is, for the folder of every run's bundle is ``bundle``.
        overwrite: replace a bundle of this name in the user's folder.
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
    cure = "choose another name with --name, or replace it with --overwrite"
    require_free_name(chosen, overwrite=overwrite, cure=cure, other_name="choose another name with --name")
    target = user_bundles() / chosen
    with atomic_folder(target) as temporary:
        shutil.copytree(bundle.folder, temporary, dirs_exist_ok=True)
    make_private(target)
    target.parent.chmod(0o700)
    return target


def require_free_name(name: str, *, overwrite: bool, cure: str, other_name: str | None = None) -> None:
    """Raise unless a bundle can be installed under a name.

    Args:
        name: of the bundle.
        overwrite: accept a bundle of this name in the user's folder, which will be replaced. One of another place is
            never replaced: it would still be found first.
        cure: of the error for a bundle in the user's folder.
        other_name: how the caller can choose another name; None if it cannot.
    Raises:
        UsageError: ``usage.bundle_exists``.
    """
    target = user_bundles() / name
    there = list_bundles().get(name, target)
    if not there.exists() or (overwrite and there == target):
        return
    # Named with its command: neither `models add` nor `models fetch` has --model.
    ready = f"use the one that is there (metseg predict --model {name}): outside {user_bundles()} none is replaced"
    raise UsageError(
        f"a bundle named '{name}' already exists",
        where=there,
        cure=cure if there == target else "; ".join([*([other_name] if other_name else []), ready]),
        code="usage.bundle_exists",
    )
