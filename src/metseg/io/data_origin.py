"""Determine a data set's origin and licence from the data themselves."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from metseg.io.layouts.dataset_json import FILE as CONTENTS
from metseg.registry import lookup

#: Files that `metseg simulate` and `metseg simulate-lesions --label-maps` write: the settings, and a row per patient.
SIMULATION, SIMULATED_PATIENTS = "simulation.json", "patients.csv"
#: The statement on simulated patients.
SIMULATED = "simulated patients only (metseg simulate)"
#: The statement on simulated patients without any image of a person, made by `metseg simulate-lesions --label-maps`.
PAINTED = "simulated patients only, painted from label maps (metseg simulate-lesions): licence of the label maps"
#: Key of the settings of such a simulation.
PAINTING = "painting"
#: How these begin, and how it began in bundles and recipes of 0.1.0.
_SIMULATED_BEGINNINGS = ("simulated patients", "none: simulated patients")
#: How statements introduce the data of the weights that a training began with; the second in bundles of 0.1.0.
_INHERITED: Final = re.compile(r"(?:initial weights|the weights it began with): ")
#: Part of a statement on simulated patients in bundles of 0.1.0 that says the same again.
_REDUNDANT: Final = ", images of nobody"
#: Words of licences.
_LICENCE: Final = re.compile(
    r"\b(?:CC[- ](?:BY|0)|non-commercial|research only|licen[cs]ed?|public domain|PDDL|Apache|MIT)\b", re.IGNORECASE
)
#: Of BIDS.
DESCRIPTION = "dataset_description.json"

#: Entries for the name and the licence in the files that describe a data set; case does not matter.
_NAMES, _LICENCES = ("name",), ("licence", "license")


@dataclass(frozen=True)
class KnownDataSet:
    """A public data set, recognised by its patient names.

    Args:
        statement: description and licence.
        patients: pattern that every patient name matches.
    """

    statement: str
    patients: re.Pattern[str]


KNOWN: Mapping[str, KnownDataSet] = {
    "tcga-lgg": KnownDataSet(
        "TCGA-LGG slices (Buda et al. 2019): low-grade glioma, not metastases; CC BY-NC-SA 4.0, non-commercial",
        re.compile(r"TCGA_(CS|DU|EZ|FG|HT)_[A-Z0-9]{4}(_\d{8})?"),
    ),
}


def data_statement(stated: str, root: Path, patients: Collection[str]) -> str:
    """Return the origin and licence of the images that a training read.

    Args:
        stated: the recipe's statement (``data.licence``). It is ignored if it names a known data set and the data are
            not recognised as that data set.
        root: of the data set; or ``IMAGES::MASKS``.
        patients: of the cases that were read.
    Returns:
        One clause; it says so if origin and licence are unknown.
    """
    folder = Path(str(root).partition("::")[0])
    recognised = _recognised(folder, patients)
    if stated and not _is_of_a_known_data_set(stated):
        return stated
    if recognised is not None:
        # The recipe may say more about the same data set, such as the licence of the weights.
        is_same = is_simulated(stated) if is_simulated(recognised) else stated.startswith(recognised)
        return stated if is_same else recognised
    unknown = "its origin and licence are not stated"
    return f"the data set in the folder '{folder.resolve().name}'; {unknown}"


def is_simulated(statement: str) -> bool:
    """Return whether a statement describes simulated patients.

    >>> is_simulated(SIMULATED), is_simulated("none: simulated patients (metseg simulate)"), is_simulated("")
    (True, True, False)
    """
    return statement.startswith(_SIMULATED_BEGINNINGS)


def readable_statement(statement: str) -> str:
    """Return a statement on data for readers: no clause twice, and the data of the initial weights apart.

    The statement of a bundle repeats those of all bundles that its weights come from.

    >>> readable_statement("A: CC BY; B; initial weights: A: CC BY; the weights it began with: C; A: CC BY")
    'A: CC BY; B; initial weights: C'
    >>> readable_statement("A; initial weights: none: simulated patients (metseg simulate), images of nobody")
    'A; initial weights: simulated patients (metseg simulate)'
    """
    own, inherited = _clauses(statement)
    return "; ".join([*own, *(["initial weights: " + "; ".join(inherited)] if inherited else [])])


def named_data(statement: str) -> str:
    """Return the data that a statement names, without their licences and without those of the initial weights.

    >>> named_data("BraTS gliomas: research, non-commercial; open_ms (Ljubljana): CC BY; initial weights: C")
    'BraTS gliomas, open_ms (Ljubljana)'
    >>> named_data("TCGA-LGG slices (Buda et al. 2019): low-grade glioma; CC BY-NC-SA 4.0")
    'TCGA-LGG slices (Buda et al. 2019): low-grade glioma'
    """
    own, _ = _clauses(statement)
    return ", ".join(filter(None, map(_without_licence, own)))


def _clauses(statement: str) -> tuple[list[str], list[str]]:
    """Return the clauses on the data of a training, and further ones on those of its initial weights."""
    own: dict[str, None] = {}
    inherited: dict[str, None] = {}
    found = own
    for clause in filter(None, map(str.strip, statement.split(";"))):
        if _INHERITED.match(clause):
            found = inherited
        # "none" means that there is no licence, but would read as if there were no data.
        text = _INHERITED.sub("", clause).replace(_REDUNDANT, "").removeprefix("none: ")
        found.setdefault(text)
    # What the other bundle says of the licence of its weights does not hold for these.
    return list(own), [clause for clause in inherited if clause not in own and not clause.startswith("these weights")]


def _without_licence(clause: str) -> str:
    """Return a clause without its part on the licence; empty if it is about the licence only."""
    parts = clause.split(": ")
    while parts and _LICENCE.search(parts[-1]):
        parts.pop()
    return ": ".join(parts)


def other_data(written_for: str, patients: Collection[str]) -> str | None:
    """Return a warning if the patients are not from the data set that a recipe was written for, else None.

    Args:
        written_for: a name in `KNOWN`, or nothing.
        patients: of the cases that were read.
    Raises:
        UsageError: no data set of that name.
    """
    if not written_for:
        return None
    known = lookup("data set", KNOWN, written_for)
    if _holds_only(known, patients):
        return None
    name = known.statement.partition(" (")[0]
    return f"the recipe was written for {name}, but these data are not recognised as {name}: check data.channels"


def _is_of_a_known_data_set(stated: str) -> bool:
    return is_simulated(stated) or stated.startswith(
        tuple(data.statement.partition(" (")[0] for data in KNOWN.values())
    )


def _recognised(folder: Path, patients: Collection[str]) -> str | None:
    if _is_simulation(folder, patients):
        return PAINTED if _is_painted(folder) else SIMULATED
    for known in KNOWN.values():
        if _holds_only(known, patients):
            return known.statement
    return _described(folder)


def _holds_only(known: KnownDataSet, patients: Collection[str]) -> bool:
    return bool(patients) and all(known.patients.fullmatch(patient) for patient in patients)


def _is_simulation(folder: Path, patients: Collection[str]) -> bool:
    """Return whether a folder is a simulation and holds no other patients."""
    if not (folder / SIMULATION).is_file():
        return False
    try:
        with (folder / SIMULATED_PATIENTS).open(encoding="utf-8", newline="") as file:
            simulated = {row["patient"] for row in csv.DictReader(file)}
    except (OSError, ValueError, KeyError, csv.Error):
        return False
    return bool(patients) and set(patients) <= simulated


def _is_painted(folder: Path) -> bool:
    try:
        return PAINTING in json.loads((folder / SIMULATION).read_text("utf-8"))
    except (OSError, ValueError, TypeError):
        return False


def _described(folder: Path) -> str | None:
    """Return what a ``dataset_description.json`` (BIDS) or a ``dataset.json`` (nnU-Net) says; None: nothing."""
    for file in (folder / DESCRIPTION, folder / CONTENTS):
        try:
            raw = json.loads(file.read_text("utf-8-sig"))
        except (OSError, ValueError):
            continue
        facts = {str(key).lower(): value for key, value in raw.items()} if isinstance(raw, Mapping) else {}
        name, licence = (_text(facts, keys) for keys in (_NAMES, _LICENCES))
        if name:
            return f"{name}; {licence or 'its licence is not stated'}"
    return None


def _text(facts: Mapping[str, object], keys: Collection[str]) -> str:
    found = [value for key in keys if isinstance(value := facts.get(key), str)]
    return " ".join(found[0].split()) if found else ""
