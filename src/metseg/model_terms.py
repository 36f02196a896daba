"""Terms of models: which bundles are for non-commercial use only, and whether the user has accepted that.

Terms hold for the bundles that are offered by name: shipped or installed ones. The user is not asked about a bundle in
any other folder, such as one of the user's own trainings.
"""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Collection
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from metseg import bundle_folder
from metseg.bundle_folder import METRICS, RECIPE, find_bundle, read_text, user_bundles
from metseg.errors import BundleError, UsageError
from metseg.runtime.atomic_io import write_text

#: File in ``METSEG_HOME`` with the accepted models: the terms of each, and when they were accepted.
ACCEPTED_FILE: Final = "accepted_models.json"
#: Variable with the names of accepted models, separated by commas, for containers and automatic tests.
ACCEPTED_VARIABLE: Final = "METSEG_ACCEPTED_MODELS"

_NON_COMMERCIAL: Final = re.compile(r"non[- ]?commercial|\bCC[- ]BY[- ]NC\b", re.IGNORECASE)


def is_non_commercial(terms: str) -> bool:
    """Return whether a statement on data and their licence permits non-commercial use only.

    >>> [is_non_commercial(terms) for terms in ("CC BY-NC-SA 4.0", "for non-commercial use", "Apache-2.0", "")]
    [True, True, False, False]
    """
    return _NON_COMMERCIAL.search(terms) is not None


def terms_of(folder: Path) -> str:
    """Return the statement of a bundle on its data and their licence, and that of the weights its training began with.

    Raises:
        BundleError: recipe or metrics cannot be read.
        ValueError: they are not valid TOML or JSON.
    """
    recipe = tomllib.loads(read_text(folder / RECIPE))
    began_with = _object(json.loads(read_text(folder / METRICS))).get("began_with")
    stated = (_object(recipe.get("data")).get("licence"), _object(began_with).get("data"))
    return "; ".join(dict.fromkeys(text for text in stated if isinstance(text, str) and text))


def is_accepted(folder: Path, also: Collection[str] = ()) -> bool:
    """Return whether a bundle may be used: it is free, not offered by name, or its present terms were accepted.

    Args:
        folder: folder of the bundle.
        also: names of further accepted models.
    """
    if not _is_offered(folder):
        return True
    try:
        terms = terms_of(folder)
    except (BundleError, ValueError):  # damaged: loading it reports how
        return True
    if not is_non_commercial(terms):
        return True
    name = folder.name
    return name in (*also, *_names_of_variable()) or _object(_accepted().get(name)).get("terms") == terms


def require_accepted(path_or_name: str | Path, also: Collection[str] = ()) -> None:
    """Refuse a bundle for non-commercial use only while its terms have not been accepted.

    Args:
        path_or_name: name of a bundle, or its folder.
        also: names of further accepted models.
    Raises:
        UsageError: ``licence.not_accepted``; there is no such bundle.
    """
    folder = find_bundle(path_or_name)
    if not is_accepted(folder, also):
        raise UsageError(
            "this model is for non-commercial use only, and its terms have not been accepted",
            where=folder.name,
            got=terms_of(folder),
            cure=f"accept them once with metseg models accept {folder.name}, or set {ACCEPTED_VARIABLE}={folder.name}",
            code="licence.not_accepted",
        )


def accept(path_or_name: str | Path) -> str:
    """Store that the terms of a bundle are accepted, and return them; "" for one that is free.

    Raises:
        UsageError: there is no such bundle.
    """
    folder = find_bundle(path_or_name)
    terms = terms_of(folder)
    if not is_non_commercial(terms):
        return ""
    path = _accepted_path()
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    entry = {"terms": terms, "accepted_at": datetime.now(UTC).isoformat(timespec="seconds")}
    write_text(path, json.dumps({**_accepted(), folder.name: entry}, indent=2, ensure_ascii=False) + "\n")
    path.chmod(0o600)
    return terms


def _is_offered(folder: Path) -> bool:
    return folder.resolve().parent in {place.resolve() for place in bundle_folder.bundle_places()}


def _names_of_variable() -> list[str]:
    return [name.strip() for name in os.environ.get(ACCEPTED_VARIABLE, "").split(",")]


def _accepted_path() -> Path:
    return user_bundles().parent / ACCEPTED_FILE


def _accepted() -> dict[str, Any]:
    """Return the accepted models by name; none if the file is missing or damaged, so that the user is asked again."""
    try:
        return _object(json.loads(_accepted_path().read_text("utf-8")))
    except (OSError, ValueError):
        return {}


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
