"""Which sequence a header is of: words and times as scanners and people write them."""

from __future__ import annotations

import pytest
from pydicom import Dataset

from metseg.io.dicom import SequenceHeader, recognise_sequence


def of(description: str = "", **facts: object) -> str | None:
    return recognise_sequence(SequenceHeader(description=description, **facts))[0]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("description", "expected"),
    [
        ("AX T1", "t1n"),
        ("anat-T1w", "t1n"),
        ("t1_mprage_sag_p2_iso", "t1n"),
        ("SAG T1 PRE", "t1n"),
        ("AX T1 W/O CONTRAST", "t1n"),
        ("T1 SE tra nativ", "t1n"),
        ("T1 tra ohne KM", "t1n"),
        ("AX T1 PRE CONTRAST", "t1n"),
        ("T1 non-contrast", "t1n"),
        ("sub-01 T1w", "t1n"),
        ("AX T1 FLAIR", "t1n"),
        ("AX T1 POST", None),  # after what?
        ("t1_mprage_tra+C", "t1c"),
        ("AX T1 +GD FS", "t1c"),
        ("T1 tse tra KM", "t1c"),
        ("3D BRAVO POST GAD", "t1c"),
        ("MPRAGE with contrast", "t1c"),
        ("T1CE", "t1c"),
        ("T1 post contrast w/wo", "t1c"),
        ("AX T2", "t2w"),
        ("t2_tse_tra_512", "t2w"),
        ("AX T2 FLAIR", "t2f"),
        ("FLAIR post contrast", "t2f"),
        ("t2_space_dark-fluid_sag_p2", "t2f"),
        ("", None),
        ("AX", None),
        ("T1 T2 fused", None),
        ("T1/T2 3D", None),
        ("localizer", None),
        ("3-plane loc", None),
        ("AAHead_Scout", None),
        ("ep2d_diff_3scan_trace_ADC", None),
        ("DWI b1000", None),
        ("Ax T2* GRE", None),
        ("t2_fl2d_tra_hemo", None),
        ("SWI_Images", None),
        ("mIP_Images(SW)", None),
        ("Pha_Images", None),
        ("T1 perfusion DCE", None),
        ("relCBV", None),
        ("3D TOF MRA", None),
        ("T1 SUB", None),
        ("T1 map MOLLI", None),
        ("PD T2 dual echo", None),
        ("T2 CISS", None),
        ("T1 SAG C-SPINE", None),
        ("STIR COR", None),
        ("t1_mp2rage_UNI_Images", None),
        ("T1 mprage pre and post gad, plain, with KM", None),
    ],
)
def test_words(description: str, expected: str | None) -> None:
    assert of(description) == expected


@pytest.mark.parametrize(
    ("description", "facts", "expected"),
    [
        # The header's contrast agent, and what contradicts it.
        ("AX T1", {"contrast": True}, "t1c"),
        ("AX T1", {"contrast": False}, "t1n"),
        ("AX T1 PRE", {"contrast": True}, None),
        ("AX T1 POST", {"contrast": False}, None),
        ("AX T1 W/WO", {"contrast": True}, "t1c"),
        # Times that agree, and that do not.
        ("T1", {"tr_ms": 500, "te_ms": 12}, "t1n"),
        ("T1", {"te_ms": 90}, None),
        ("T2", {"tr_ms": 4000, "te_ms": 100}, "t2w"),
        ("T2", {"te_ms": 15}, None),
        ("T2", {"te_ms": 100, "scanning": ("GR",)}, None),
        ("t2_tirm_tra", {"tr_ms": 9000, "te_ms": 120, "ti_ms": 2500}, "t2f"),
        ("T2 tra", {"tr_ms": 9000, "te_ms": 120, "ti_ms": 2500}, "t2f"),
        ("FLAIR", {"ti_ms": 160}, None),
        ("AX T1 FLAIR", {"te_ms": 20, "ti_ms": 860, "tr_ms": 2200}, "t1n"),
        ("AX T1 FLAIR", {"ti_ms": 2300}, None),
        # Image type, b-value and scanning sequence beat words.
        ("T1", {"image_type": ("DERIVED", "PRIMARY", "SUB")}, None),
        ("T1 Dixon", {"image_type": ("ORIGINAL", "PRIMARY", "IN_PHASE")}, None),
        ("T1 Dixon", {"image_type": ("ORIGINAL", "PRIMARY", "W")}, "t1n"),
        ("T1", {"image_type": ("DERIVED", "SECONDARY")}, "t1n"),
        ("T2", {"image_type": ("ORIGINAL", "PRIMARY", "P", "ND")}, None),
        ("T2", {"b_value": 1000.0}, None),
        ("T2", {"b_value": 0.0}, "t2w"),
        ("T2", {"scanning": ("EP", "SE")}, None),
        ("T1", {"modality": "CT"}, None),
        # No words at all.
        ("", {"tr_ms": 500, "te_ms": 12, "scanning": ("SE",)}, "t1n"),
        ("", {"tr_ms": 500, "te_ms": 12, "scanning": ("SE",), "contrast": True}, "t1c"),
        ("", {"tr_ms": 4500, "te_ms": 95, "scanning": ("SE",)}, "t2w"),
        ("", {"tr_ms": 9000, "te_ms": 120, "ti_ms": 2500, "scanning": ("SE", "IR")}, "t2f"),
        ("", {"tr_ms": 1900, "te_ms": 2.5, "ti_ms": 900, "scanning": ("GR", "IR")}, "t1n"),
        ("", {"tr_ms": 25, "te_ms": 4, "scanning": ("GR",)}, None),  # may be an angiography
        ("", {"tr_ms": 4500, "te_ms": 95, "scanning": ("SE", "EP")}, None),
        ("", {"tr_ms": 4500, "te_ms": 95}, None),
        ("", {"te_ms": 95, "scanning": ("SE",)}, None),
    ],
)
def test_times_and_headers(description: str, facts: dict[str, object], expected: str | None) -> None:
    assert of(description, **facts) == expected


def test_the_protocol_is_asked_where_the_description_says_nothing() -> None:
    assert of("AX 3 mm", protocol="t2_tse_tra") == "t2w"
    assert of("AX T1 POST", protocol="BRAIN W/WO PERFUSION") == "t1c"
    assert of("AX T1", protocol="BRAIN WITH CONTRAST") == "t1n"  # names the examination, not this series


@pytest.mark.parametrize(
    ("elements", "expected"),
    [
        ({"ContrastBolusAgent": "GADAVIST 7.5 ML"}, True),
        ({"ContrastBolusRoute": "IV"}, True),
        ({"ContrastBolusAgent": "None"}, False),
        ({"ContrastBolusAgent": "no contrast"}, False),
        ({"ContrastBolusAgent": "-"}, None),
        ({"ContrastBolusAgent": "gastrografin", "ContrastBolusRoute": "ORAL"}, None),
        ({}, None),
    ],
)
def test_contrast_agent(elements: dict[str, str], expected: bool | None) -> None:
    dataset = Dataset()
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    assert SequenceHeader.of(dataset).contrast is expected


def test_a_data_set_as_pydicom_gives_it() -> None:
    dataset = Dataset()
    dataset.Modality = "MR"
    dataset.SeriesDescription = "Mustermann Erika T1 4711"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "M"]
    dataset.ScanningSequence = "SE"
    dataset.RepetitionTime, dataset.EchoTime, dataset.InversionTime = "600", "11.5", "0"
    dataset.ContrastBolusAgent = "Dotarem for Mustermann"
    modality, reason = recognise_sequence(dataset)
    assert modality == "t1c"
    assert reason == "the description says T1 and the header names a contrast agent."
    assert "Mustermann" not in repr(SequenceHeader.of(dataset))


def test_every_reason_is_one_sentence_without_the_header() -> None:
    for words in ("T1 Erika", "Erika", "DWI Erika", "T1 T2 Erika", "T2 Erika"):
        for modality in ("MR", "CT", "ERIKA"):
            _, reason = recognise_sequence(SequenceHeader(description=words, modality=modality, te_ms=50))
            assert reason.endswith(".")
            assert reason.count(".") == 1
            assert "erika" not in reason.lower()
