"""Remove from a data set what may identify a patient."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, Literal

from pydicom import DataElement, Dataset
from pydicom.datadict import dictionary_has_tag

from metseg.deidentification.profile_actions import Action, action_of
from metseg.io.dicom.pseudonyms import pseudonym, pseudonym_uid
from metseg.io.dicom.series_description import technical_words

#: ``remove`` follows the profile; ``shift`` moves all dates of a patient by the same secret number of days.
Dates = Literal["remove", "shift"]

#: Root of the UIDs that the standard defines: classes, transfer syntaxes, well-known frames of reference.
_STANDARD_UIDS: Final = "1.2.840.10008."
_DUMMIES: Final = {"DA": "19000101", "TM": "000000", "DT": "19000101000000", "AS": "000Y", "DS": "0", "IS": "0"}
_NUMBERS: Final = ("US", "UL", "SS", "SL", "FL", "FD", "SV", "UV")
_DUMMY_TEXT: Final = "ANONYMIZED"
#: Dates that say when the patient was born; they are never shifted.
_BIRTH: Final = ("PatientBirthDate", "PatientBirthTime", "PatientBirthDateInAlternativeCalendar")
#: Largest shift of dates in days: some ten years into the past.
_LONGEST_SHIFT_DAYS: Final = 3650
#: Descriptions that can keep their technical words.
_DESCRIPTIONS: Final = ("SeriesDescription", "ProtocolName")

#: Codes of the method (CID 7050): value and meaning.
_BASIC_PROFILE: Final = ("113100", "Basic Application Confidentiality Profile")
_CLEAN_DESCRIPTORS: Final = ("113105", "Clean Descriptors Option")
_MODIFIED_DATES: Final = ("113107", "Retain Longitudinal Temporal Information Modified Dates Option")


@dataclass(frozen=True)
class CleaningOptions:
    """Options of the profile.

    Args:
        dates: what becomes of dates.
        keep_technical_words: keep the technical words of series descriptions, by which sequences are recognised.
    """

    dates: Dates = "remove"
    keep_technical_words: bool = False


@dataclass
class DatasetCleaner:
    """Cleans the data sets of one patient.

    Args:
        patient: pseudonym of the patient.
        study: pseudonym of the study.
        options: of the profile.
        counts: of removed private elements ("private") and of elements by action.
    """

    patient: str
    study: str
    options: CleaningOptions
    counts: Counter[str] = field(default_factory=Counter)

    def clean(self, dataset: Dataset) -> None:
        """Clean a data set in place, and say in it how."""
        kept = self._technical_descriptions(dataset)
        self._clean_items(dataset)
        for keyword, text in kept.items():
            setattr(dataset, keyword, text)
        dataset.PatientID = f"patient-{self.patient}"
        dataset.PatientName = f"{dataset.PatientID}^"
        dataset.StudyID = self.study
        dataset.PatientIdentityRemoved = "YES"
        self._state_method(dataset)

    def _technical_descriptions(self, dataset: Dataset) -> dict[str, str]:
        if not self.options.keep_technical_words:
            return {}
        found = {keyword: technical_words(str(dataset.get(keyword, ""))) for keyword in _DESCRIPTIONS}
        # Words that are left out are marked by dots, which not every character set has.
        found = {keyword: " ".join(text.replace("…", " ").split()) for keyword, text in found.items()}
        return {keyword: text for keyword, text in found.items() if text}

    def _clean_items(self, dataset: Dataset) -> None:
        for tag in list(dataset.keys()):
            if tag.is_private:
                self.counts["private"] += 1
                del dataset[tag]
            elif not dictionary_has_tag(tag):
                self.counts["unknown"] += 1
                del dataset[tag]
            else:
                self._clean_element(dataset, dataset[tag])

    def _clean_element(self, dataset: Dataset, element: DataElement) -> None:
        action = action_of(int(element.tag), element.VR)
        if element.VR in ("DA", "DT", "TM") and action is not Action.KEEP and self._shifts(element):
            return
        if element.VR == "SQ":
            self._clean_sequence(dataset, element, action)
        elif action is Action.REMOVE:
            self.counts["removed"] += 1
            del dataset[element.tag]
        elif action is Action.EMPTY:
            element.value = None
        elif action is Action.DUMMY:
            element.value = _dummy(element.VR)
        elif action is Action.UID:
            element.value = _replaced_uids(element.value)

    def _clean_sequence(self, dataset: Dataset, element: DataElement, action: Action) -> None:
        """Clean the items of a sequence that stays; there are no dummies of others."""
        if action in (Action.REMOVE, Action.DUMMY):
            self.counts["removed"] += 1
            del dataset[element.tag]
        elif action is Action.EMPTY:
            element.value = []
        else:
            for item in element.value:
                self._clean_items(item)

    def _shifts(self, element: DataElement) -> bool:
        """Shift a date and return whether it was one; times stay as they are beside shifted dates."""
        if self.options.dates != "shift" or element.keyword in _BIRTH:
            return False
        if element.VR == "TM":
            return True
        values = element.value if element.VM > 1 else [element.value] * element.VM
        shifted = [self._shifted(str(value)) for value in values]
        if not all(shifted):
            return False
        element.value = shifted if len(shifted) > 1 else "".join(shifted)
        return True

    def _shifted(self, text: str) -> str:
        """Return a date, or a date with a time behind it, on another day; "" for a text that is none."""
        try:
            day = datetime.strptime(text[:8], "%Y%m%d")
            return f"{day - timedelta(days=self._shift_days()):%Y%m%d}{text[8:]}"
        except (ValueError, OverflowError):
            return ""

    def _shift_days(self) -> int:
        return 1 + int(pseudonym("date shift", self.patient), 16) % _LONGEST_SHIFT_DAYS

    def _state_method(self, dataset: Dataset) -> None:
        codes = [_BASIC_PROFILE]
        codes += [_CLEAN_DESCRIPTORS] if self.options.keep_technical_words else []
        codes += [_MODIFIED_DATES] if self.options.dates == "shift" else []
        dataset.DeidentificationMethod = "metseg deidentify, PS3.15 2026c"
        dataset.DeidentificationMethodCodeSequence = [_code(*code) for code in codes]
        dataset.LongitudinalTemporalInformationModified = "MODIFIED" if self.options.dates == "shift" else "REMOVED"


def _code(value: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "DCM", meaning
    return item


def _dummy(vr: str) -> Any:
    if vr in _NUMBERS:
        return 0
    if vr in _DUMMIES:
        return _DUMMIES[vr]
    return _DUMMY_TEXT if vr in ("LO", "SH", "CS", "AE", "PN", "LT", "ST", "UT", "UC") else None


def _replaced_uids(value: Any) -> Any:
    """Return pseudonyms of UIDs; those of the standard stay."""
    if value is None or value == "":
        return value
    if not isinstance(value, str):
        return [_replaced_uids(one) for one in value]
    return value if value.startswith(_STANDARD_UIDS) else pseudonym_uid(value)
