"""The folder of a model bundle: file names, checksums, and the places where bundles are found by name."""

from __future__ import annotations

import hashlib
import os
import re
from functools import cache
from importlib import resources
from importlib.util import find_spec
from pathlib import Path

from metseg.errors import BundleError
from metseg.message_text import examples_text
from metseg.registry import lookup

WEIGHTS_NAME = re.compile(r"model(_\d+)?\.safetensors")
#: The packaged network that finds the brain in heads with skull; it finds no lesions.
BRAIN_EXTRACTION = "brain-extraction"
RECIPE, CARD, METRICS, SPLIT, CHECKSUMS = "recipe.toml", "card.md", "metrics.json", "split.json", "sha256"
#: A prediction that every machine must reproduce; see `metseg.model.reference_prediction`.
REFERENCE = "reference.json"
#: Entry-point group of packages that bring bundles, such as ``packages/metseg-models-nc``.
BUNDLES_GROUP = "metseg.bundles"
#: Inside the folder of a training: its bundle, and the file that says how far it has come.
RUN_BUNDLE, RUN_STATE = "bundle", "run.json"
_PICKLE_SUFFIXES = {".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib", ".bin"}


def find_bundle(path_or_name: str | Path) -> Path:
    """Return the folder of a bundle.

    Args:
        path_or_name: the folder of a bundle; its name in one of the places of `bundle_places`; or the folder of a
            training that has ended, such as ``runs/one``.
    Raises:
        BundleError: the path exists and is none of these: ``model.unfinished``, a training that has not ended;
            ``model.several``, a folder of several trainings.
        UsageError: there is no such folder and no bundle of that name.
    """
    path = Path(path_or_name)
    if is_bundle(path):
        return path
    known = list_bundles()
    is_name = path.name == str(path_or_name)
    if is_name and path.name in known:
        return known[path.name]
    if is_bundle(path / RUN_BUNDLE):
        return path / RUN_BUNDLE
    if path.is_dir():
        _refuse_other_runs(path)
    if path.exists():
        raise BundleError(
            "not a model bundle",
            where=path,
            expected=f"a folder with model.safetensors, {RECIPE}, {CARD}, {METRICS}, {CHECKSUMS}",
            got=describe(path),
            cure="metseg never opens pickles; train with metseg, or convert the weights to safetensors",
            code="model.pickle" if path.suffix in _PICKLE_SUFFIXES else "model.invalid",
        )
    if is_name:
        return lookup("bundle", known, path.name)
    raise BundleError("no such folder", where=path, cure="give a bundle's folder or name", code="model.missing")


def _refuse_other_runs(path: Path) -> None:
    """Refuse the folder of a training that has not ended, and a folder of several trainings.

    Raises:
        BundleError: ``model.unfinished``, ``model.several``.
    """
    if (path / RUN_STATE).is_file():
        raise BundleError(
            "the training in this folder has not ended, so it has no model yet",
            where=path,
            cure="finish it: repeat its metseg train command with --resume",
            code="model.unfinished",
        )
    # A comparison keeps its trainings in OUT/RECIPE/run, or in OUT/RECIPE/fold0, fold1, ...
    runs = [run for run in sorted((*path.glob("*"), *path.glob("*/*"))) if is_bundle(run / RUN_BUNDLE)]
    if runs:
        raise BundleError(
            "not one model, but a folder of several trainings",
            where=path,
            expected="the folder of one of them",
            got=examples_text([str(run) for run in runs]),
            cure=f"give one of them, such as {runs[0]}",
            code="model.several",
        )


def list_bundles() -> dict[str, Path]:
    """Return the folder of every bundle that can be given by name, sorted by name; the first place wins."""
    found: dict[str, Path] = {}
    for place in bundle_places():
        for folder in sorted(place.iterdir()) if place.is_dir() else ():
            if is_bundle(folder) and not folder.name.startswith("."):
                found.setdefault(folder.name, folder)
    return dict(sorted(found.items()))


def model_name(folder: Path, recipe_name: str) -> str:
    """Return the name of a model for people: the one that ``--model`` takes, else the name of its recipe.

    Args:
        folder: of its bundle.
        recipe_name: of the recipe that made it.
    """
    return folder.name if folder.parent in bundle_places() else recipe_name


def read_card(folder: Path, recipe_name: str) -> str:
    """Return the model card of a bundle, with the name of the model as its title; see `model_name`.

    A card is written at the end of a training, when the model has no other name than its recipe.

    Args:
        folder: of the bundle.
        recipe_name: of the recipe that made it.
    Raises:
        BundleError: the card cannot be read.
    """
    card = read_text(folder / CARD)
    title, end, text = card.partition("\n")
    return f"# {model_name(folder, recipe_name)}{end}{text}" if title == f"# {recipe_name}" else card


def bundle_places() -> tuple[Path, ...]:
    """Return where bundles are searched for.

    The package, a checkout it runs from, other installed packages (`packages_with_bundles`), and ``$METSEG_HOME``
    (``~/.metseg``).
    """
    package = Path(str(resources.files("metseg")))
    checkout = package.parents[1]
    in_checkout = (checkout / "bundles",) if (checkout / "pyproject.toml").is_file() else ()
    return (package / "bundles", *in_checkout, *packages_with_bundles(), user_bundles())


@cache
def packages_with_bundles() -> tuple[Path, ...]:
    """Return the folders ``bundles`` of the installed packages that declare an entry point of `BUNDLES_GROUP`.

    The value of the entry point is the name of the package, which is found and not imported: a package of bundles
    brings data, no code.
    """
    from importlib.metadata import entry_points  # takes longer to import than the rest of this file

    found = []
    for point in sorted(entry_points(group=BUNDLES_GROUP), key=lambda point: point.name):
        spec = find_spec(point.value)
        if spec is not None:
            found += [Path(place) / "bundles" for place in spec.submodule_search_locations or ()]
    return tuple(found)


def packaged_bundle(name: str) -> Path:
    """Return the folder of a bundle of the package, ignoring bundles of the same name elsewhere."""
    return Path(str(resources.files("metseg"))) / "bundles" / name


def user_bundles() -> Path:
    """Return the user's folder of bundles."""
    return Path(os.environ.get("METSEG_HOME") or Path.home() / ".metseg") / "bundles"


def is_bundle(folder: Path) -> bool:
    """Return whether a folder looks like a bundle, without reading any of it."""
    return (folder / RECIPE).is_file() and ((folder / CHECKSUMS).is_file() or (folder / METRICS).is_file())


def weights_names(count: int) -> tuple[str, ...]:
    """Return the names of the weight files.

    >>> weights_names(1), weights_names(2)
    (('model.safetensors',), ('model_0.safetensors', 'model_1.safetensors'))
    """
    return ("model.safetensors",) if count == 1 else tuple(f"model_{fold}.safetensors" for fold in range(count))


def checksums(folder: Path) -> str:
    """Return the checksums of a bundle's files in the form of ``sha256sum``: digest, two spaces, name."""
    names = sorted(path.name for path in folder.iterdir() if _belongs(path.name))
    return "".join(f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n" for name in names)


def _belongs(name: str) -> bool:
    return name in (RECIPE, CARD, METRICS, SPLIT, REFERENCE) or WEIGHTS_NAME.fullmatch(name) is not None


def weights_files(folder: Path) -> list[Path]:
    """Return the weight files of a bundle, by fold.

    Raises:
        BundleError: there is none.
    """
    files = [path for path in folder.iterdir() if WEIGHTS_NAME.fullmatch(path.name)]
    if not files:
        raise BundleError(
            "the bundle has no weights",
            where=folder,
            expected="model.safetensors",
            got=describe(folder),
            cure="metseg never opens pickles; convert the weights to safetensors if you trust them",
            code="model.missing",
        )
    return sorted(files, key=lambda path: int("0" + "".join(re.findall(r"\d", path.stem))))


def verify_bundle(folder: str | Path) -> None:
    """Compare every file of a bundle with its checksum.

    Raises:
        BundleError: a file was changed, is missing, or has no checksum; all of them are named.
    """
    folder = Path(folder)
    stated = {name: digest for digest, name in _checksum_lines(folder)}
    actual = {name: digest for digest, name in map(_split_line, checksums(folder).splitlines())}
    wrong = sorted(name for name in stated.keys() | actual.keys() if stated.get(name) != actual.get(name))
    if wrong:
        raise BundleError(
            f"{', '.join(wrong)}: checksum mismatch",
            where=folder,
            cure=f"copy the bundle again; after an intended change, rewrite {CHECKSUMS} with sha256sum",
            code="model.checksum",
        )


def fingerprint_of(folder: Path) -> str:
    """Return the fingerprint of a bundle: a hash over the checksums of all its files.

    Raises:
        BundleError: the checksums are missing or cannot be read.
    """
    return hashlib.sha256(read_text(folder / CHECKSUMS).encode()).hexdigest()[:16]


def read_text(path: Path) -> str:
    """Return the text of a file of a bundle, or raise a BundleError."""
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BundleError(
            "cannot read a file of the bundle",
            where=path,
            got=error,
            cure="check its permissions, or copy the bundle again",
            code="model.missing",
        ) from None


def describe(path: Path) -> str:
    """Describe in a few words what is at a path, for messages."""
    if not path.is_dir():
        return f"a file ({path.suffix or 'no suffix'})"
    return ", ".join(sorted(item.name for item in path.iterdir())[:8]) or "an empty folder"


def _checksum_lines(folder: Path) -> list[tuple[str, str]]:
    return [_split_line(line) for line in read_text(folder / CHECKSUMS).splitlines() if line.strip()]


def _split_line(line: str) -> tuple[str, str]:
    digest, _, name = line.partition(" ")
    return digest, name.lstrip(" *")
