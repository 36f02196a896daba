"""The header fields that identify a sequence: descriptions by people, and times from the scanner."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self

from pydicom import Dataset

from metseg.io.dicom.elements import Elements

#: Values of the contrast-agent field that mean no agent.
NO_AGENT = frozenset(
    ("", "-", "0", "n", "no", "non", "none", "nil", "na", "n/a", "null", "false", "unknown", "without", "not given")
)
NO_AGENT_STARTS = ("no ", "none ", "without ", "ohne ", "sans ")

#: Administration routes of contrast agent that do not enhance the brain.
OTHER_ROUTES = ("ORAL", "RECTAL", "INTRATHECAL", "ARTICULAR")

#: Pulse sequences of enhanced objects, as classic objects name them.
_ECHO_KINDS = {"SPIN": ("SE",), "GRADIENT": ("GR",), "BOTH": ("SE", "GR")}


@dataclass(frozen=True)
class SequenceHeader:
    """The fields that identify the sequence. Texts are kept out of messages, because descriptions may contain names.

    Args:
        modality: "MR", or another kind of machine or object.
        description: of the series.
        protocol: its name.
        image_type: the words of ImageType or FrameType, in capitals.
        scanning: of SE, GR, IR, EP and RM, those that apply.
        contrast: whether a contrast agent is in the header; None where the header says nothing.
        tr_ms: repetition time.
        te_ms: echo time.
        ti_ms: inversion time.
        flip_degrees: flip angle.
        b_value: of diffusion weighting, s/mm².
        is_3d: whether the acquisition is three-dimensional.
    """

    modality: str = "MR"
    description: str = field(default="", repr=False)
    protocol: str = field(default="", repr=False)
    image_type: tuple[str, ...] = ()
    scanning: tuple[str, ...] = ()
    contrast: bool | None = None
    tr_ms: float | None = None
    te_ms: float | None = None
    ti_ms: float | None = None
    flip_degrees: float | None = None
    b_value: float | None = None
    is_3d: bool = False

    @classmethod
    def of(cls, source: Dataset | Elements) -> Self:
        """Return the fields of a data set; for a multi-frame object, those that all frames share."""
        elements = Elements([source]) if isinstance(source, Dataset) else source
        return cls(
            modality=elements.text("Modality").upper(),
            description=elements.text("SeriesDescription"),
            protocol=elements.text("ProtocolName"),
            image_type=tuple(word.upper() for word in elements.words("FrameType", "ImageType")),
            scanning=_scanning(elements),
            contrast=_contrast(elements),
            tr_ms=_positive(elements, "RepetitionTime"),
            te_ms=_positive(elements, "EffectiveEchoTime", "EchoTime"),
            ti_ms=_positive(elements, "InversionTimes", "InversionTime"),
            flip_degrees=_positive(elements, "FlipAngle"),
            b_value=elements.number("DiffusionBValue"),
            is_3d=elements.text("MRAcquisitionType").upper() == "3D",
        )


def _positive(elements: Elements, *keywords: str) -> float | None:
    """Return a time; scanners write 0 for what does not apply."""
    number = elements.number(*keywords)
    return number if number is not None and number > 0 else None


def _scanning(elements: Elements) -> tuple[str, ...]:
    classic = tuple(word.upper() for word in elements.words("ScanningSequence"))
    if classic:
        return classic
    return (
        *_ECHO_KINDS.get(elements.text("EchoPulseSequence").upper(), ()),
        *(("IR",) if elements.text("InversionRecovery").upper() == "YES" else ()),
        *(("EP",) if elements.text("EchoPlanarPulseSequence").upper() == "YES" else ()),
    )


def _contrast(elements: Elements) -> bool | None:
    """Return whether contrast agent was given intravenously; None if the header does not say."""
    administered = elements.text("ContrastBolusAgentAdministered").upper()
    if administered in ("YES", "NO"):
        return administered == "YES"
    agent, route = elements.text("ContrastBolusAgent").lower(), elements.text("ContrastBolusRoute").upper()
    if any(other in route for other in OTHER_ROUTES):
        return None
    if agent in NO_AGENT or agent.startswith(NO_AGENT_STARTS):
        says_no = bool(agent) and agent not in ("-", "0", "unknown")
        return False if says_no else (True if route or elements.get("ContrastBolusAgentSequence") else None)
    return True
