"""Recognise folders and names of examinations (dates, sessions, follow-ups) and their patients."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

_MONTH, _DAY = r"(?:0[1-9]|1[0-2])", r"(?:0[1-9]|[12]\d|3[01])"
_DATE = rf"(?:19|20)\d{{2}}(?:{_MONTH}{_DAY}|[-_.]{_MONTH}[-_.]{_DAY})"
#: Written with the year last, as TCIA writes dates too: 01-31-2020, 31.01.2020.
_DAY_FIRST = r"(?:0?[1-9]|[12]\d|3[01])[-_.](?:0?[1-9]|[12]\d|3[01])[-_.](?:19|20)\d{2}"
#: Words around a date that tell nothing of the patient: ``01-02-2020-NA-MRI``, ``MRI_20200101``.
_BEFORE_DATE, _AFTER_DATE = r"(?:MRI?[-_ ]?)?", r"(?:[-_ ](?:NA|MRI?|brain|head|w|wo|wwo|\d+))*"
#: Words for an examination that are never part of a patient's name where a number follows.
_SESSION = r"ses(?:sion)?|visit|time[-_ ]?point|tp|week|baseline|follow[-_ ]?up|fu"
#: Words that say so only as the name of a folder within another.
_FOLDER = rf"{_SESSION}|time|wk|month|day|year|scan|exam(?:ination)?|study|bl|initial|pre|post|pre[-_ ]?op|post[-_ ]?op"

#: A whole name that says when.
TIME = re.compile(
    rf"^(?:{_BEFORE_DATE}(?:{_DATE}|{_DAY_FIRST}){_AFTER_DATE}"
    rf"|(?:(?:19|20)\d{{2}}|(?:{_FOLDER})[-_ ]*\d*)(?:[-_ ]\d+)?)$",
    re.IGNORECASE,
)
#: A date, also one that does not exist, such as 20200100; several of them below a site are not taken for patients.
_LIKE_DATE = re.compile(
    rf"^{_BEFORE_DATE}(?:(?:19|20)\d{{6}}|(?:19|20)\d{{2}}[-_.]\d{{2}}[-_.]\d{{2}}|\d{{1,2}}[-_.]\d{{1,2}}[-_.](?:19|20)\d{{2}})"
    rf"{_AFTER_DATE}$",
    re.IGNORECASE,
)
#: The part of a name that says when, between separators.
_TOKEN = re.compile(rf"(?:^|(?<=[-_. ]))(?P<time>{_DATE}|(?:{_SESSION})[-_ ]?\d+)(?=$|[-_. ])", re.IGNORECASE)

#: What is left of a name without its date and is no patient.
_NO_PATIENT = frozenset(
    ("mri", "mr", "sub", "subject", "scan", "patient", "pat", "img", "image", "images", "brain", "head", "case", "data")
)

#: Folders that gather patients.
GROUP = re.compile(
    r"^(?:sites?|cent(?:er|re)|hospital|clinic|institut\w*|inst|cohort|group|batch|fold|part|set|data ?set|scanner|"
    r"vendor|hgg|lgg|gbm|gliomas?|mets?|metastas[ei]s|meningiomas?|controls?|cases|patients|subjects)"
    r"(?:[-_ ]\w*|\d*|[A-Z]?)$",
    re.IGNORECASE,
)
#: Folders that are called as patients are.
PATIENT = re.compile(
    r"^(?:(?:p|pt|pat|patient(?:[-_ ]?id)?|sub|subj(?:ect)?|case|id|person|proband|volunteer)[-_ ]*\d\w*"
    r"|(?:pat|patient|sub|subject)[-_]\w+|tcga[-_]\w+[-_].+)$",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class PatientFolder:
    """The folder of a patient, and the folders of an examination below it.

    Args:
        patient: the folder named after the patient, relative to the root of what was listed.
        times: folders below it that say when or which examination.
    """

    patient: PurePosixPath
    times: tuple[str, ...] = ()


def without_times(folder: PurePosixPath, *, order: Container[str] = ()) -> PatientFolder:
    """Return a folder without those at its end that only say when, unless no folder would be left.

    Args:
        folder: relative to the root.
        order: names in lower case of folders that are there for order only, such as "train".

    >>> without_times(PurePosixPath("ann/2019"))
    PatientFolder(patient=PurePosixPath('ann'), times=('2019',))
    >>> without_times(PurePosixPath("2019")).times
    ()
    """
    parts = folder.parts
    end = len(parts)
    while (
        end > 1 and TIME.match(parts[end - 1]) and not (GROUP.match(parts[end - 2]) or parts[end - 2].lower() in order)
    ):
        end -= 1
    return PatientFolder(PurePosixPath(*parts[:end]), parts[end:])


def patients_in(folders: Iterable[PurePosixPath]) -> dict[PurePosixPath, PatientFolder] | None:
    """Return the patient of each folder, or None where only the user can know.

    Folders of several patients (``siteA/patient01``) are distinguished from folders of one patient (``patient01/2019``,
    ``siteA/patient01/MR1``) by their names, at any depth. This matters only if a folder contains several studies.

    Args:
        folders: each with a study, relative to the root, without folders such as "train".
    """
    divided = {folder: without_times(folder) for folder in folders}
    below: dict[PurePosixPath, set[PurePosixPath]] = defaultdict(set)
    for item in divided.values():
        for above in (item.patient, *item.patient.parents):
            below[above].add(item.patient)
    found: dict[PurePosixPath, PatientFolder] = {}
    for folder, item in divided.items():
        depth = _patient_depth(item.patient.parts, below)
        if depth is None:
            return None
        found[folder] = PatientFolder(
            PurePosixPath(*item.patient.parts[:depth]), (*item.patient.parts[depth:], *item.times)
        )
    return found


def group_depth(parts: Sequence[str]) -> int:
    """Return how many folders at the beginning gather patients by their names; the last one never does.

    >>> group_depth(("cohort1", "siteA", "ann")), group_depth(("siteA",))
    (2, 0)
    """
    return next((depth for depth, part in enumerate(parts[:-1]) if not GROUP.match(part)), max(0, len(parts) - 1))


def _patient_depth(parts: Sequence[str], below: Mapping[PurePosixPath, set[PurePosixPath]]) -> int | None:
    """Return how many folders lead to the patient's, itself included; None where names do not tell.

    Args:
        parts: the folders of a study without those that say when.
        below: folder to the folders of studies in and below it.
    """
    if len(parts) < 2:
        return len(parts)
    first = group_depth(parts)
    named = [depth for depth in range(first, len(parts)) if PATIENT.match(parts[depth])]
    top = named[0] if named else first
    if len(named) == 1 or len(below[PurePosixPath(*parts[: top + 1])]) == 1:
        is_date = not named and first > 0 and _LIKE_DATE.match(parts[top])
        return None if is_date and len(below[PurePosixPath(*parts[:top])]) > 1 else top + 1
    return None


def names_of(patients: Iterable[PurePosixPath]) -> dict[PurePosixPath, str]:
    """Return what patients are called after their folders: the last one, or all where that is not unique.

    >>> list(names_of([PurePosixPath("A/p1"), PurePosixPath("B/p1"), PurePosixPath("B/p2")]).values())
    ['A_p1', 'B_p1', 'p2']
    """
    unique = dict.fromkeys(patients)
    by_name: dict[str, list[PurePosixPath]] = defaultdict(list)
    for patient in unique:
        by_name[patient.name].append(patient)
    return {patient: patient.name if len(by_name[patient.name]) == 1 else "_".join(patient.parts) for patient in unique}


def same_patients(names: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Return name to patient and time, for names that differ in a date or the number of a session alone.

    >>> same_patients(["TCGA_CS_4943_20000902", "TCGA_CS_4943_20050101", "TCGA_CS_4944_20010208"])
    {'TCGA_CS_4943_20000902': ('TCGA_CS_4943', '20000902'), 'TCGA_CS_4943_20050101': ('TCGA_CS_4943', '20050101')}
    >>> same_patients(["sub-20190101", "sub-20190203"])
    {}
    """
    split = {name: divided for name in dict.fromkeys(names) if (divided := _without_token(name)) is not None}
    by_patient: dict[str, list[str]] = defaultdict(list)
    for name, (patient, _) in split.items():
        by_patient[patient].append(name)
    return {name: split[name] for members in by_patient.values() if len(members) > 1 for name in members}


def same_patients_note(merged: Mapping[str, tuple[str, str]]) -> tuple[str, ...]:
    """Return a note on names that were taken for examinations of one patient."""
    if not merged:
        return ()
    patients: dict[str, Sequence[str]] = defaultdict(list)
    for name, (patient, _) in merged.items():
        patients[patient] = (*patients[patient], name)
    first, members = next(iter(patients.items()))
    more = f", and {len(patients) - 1} more such patients" if len(patients) > 1 else ""
    return (
        f"names that differ only in a date or session are one patient: {', '.join(members[:3])} are '{first}'{more}",
    )


def _without_token(name: str) -> tuple[str, str] | None:
    match = _TOKEN.search(name)
    if match is None:
        return None
    before, after = name[: match.start()].rstrip("-_. "), name[match.end() :].lstrip("-_. ")
    rest = "_".join(part for part in (before, after) if part)
    is_patient = rest.lower() not in _NO_PATIENT and (len(rest) > 2 or any(map(str.isdigit, rest)))
    return (rest, match["time"]) if is_patient else None
