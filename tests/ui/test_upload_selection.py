"""What was chosen for upload: kinds, sequences, what does not fit, and that no name leaves the page."""

from __future__ import annotations

import io
from collections.abc import Sequence

import pytest
from PIL import Image

from metseg.schemas import BRAIN_MASK, Kind, Options
from metseg.ui.page_settings import SequenceFromName, read_no_names
from metseg.ui.pages.upload import content_key
from metseg.ui.upload_selection import (
    ChosenFile,
    choose,
    complaints,
    default_model,
    ending_of,
    fits,
    grey_misfit,
    parts_of,
    show_one_sequence,
    study_kind,
)

from .fake import MODELS, lgg

SLICES, VOLUMES, _ = MODELS


def nifti(sequence: str | None, name: str = "scan.nii.gz") -> ChosenFile:
    return ChosenFile(name, b"", Kind.NIFTI, sequence)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("A.NII", Kind.NIFTI),
        ("a.b.nii.gz", Kind.NIFTI),
        ("slice.TIFF", Kind.PICTURE),
        ("photo.jpeg", Kind.PICTURE),
        ("study.zip", Kind.ARCHIVE),
        ("IM0001", Kind.DICOM),
        ("1.2.840.113619", Kind.DICOM),
    ],
)
def test_kinds_by_name(name: str, kind: Kind) -> None:
    (chosen,) = choose([(name, b"x")], read_no_names)
    assert chosen.kind == kind


def test_pictures_are_sent_in_the_order_of_their_numbers_and_with_them() -> None:
    names = ["MILLER_19560107_110.png", "MILLER_19560107_11.png", "MILLER_19560107_9.png"]
    chosen = choose([(name, name.encode()) for name in names], read_no_names)
    assert [part.name for part in parts_of(chosen)] == ["file-1.png", "file-3.png", "file-102.png"]
    assert [part.content.decode() for part in parts_of(chosen)] == [names[2], names[1], names[0]]
    others = choose([("b.png", b""), ("a.png", b""), ("c_9.png", b"")], read_no_names)
    assert [file.name for file in others] == ["b.png", "a.png", "c_9.png"]
    assert [part.name for part in parts_of(others)] == ["file-1.png", "file-2.png", "file-3.png"]


def test_only_volumes_have_sequences_in_their_names() -> None:
    asked: list[str] = []

    def read_names(stems: Sequence[str]) -> list[SequenceFromName]:
        asked.extend(stems)
        return [SequenceFromName("t1c", "the name says so") for _ in stems]

    found = choose([("T2_study/P7_T1.nii.gz", b""), ("P7_T1.png", b""), ("P7_T1", b"")], read_names)
    assert asked == ["P7_T1"]
    assert [file.sequence for file in found] == ["t1c", None, None]


def test_what_systems_leave_in_folders_is_left_out() -> None:
    names = ["s/.DS_Store", "s/IM1", "s/Thumbs.db", "s\\.hidden"]
    assert [file.name for file in choose([(name, b"") for name in names], read_no_names)] == ["s/IM1"]


def test_dicom_files_and_an_archive_are_one_kind() -> None:
    files = [ChosenFile("a.dcm", b"", Kind.DICOM), ChosenFile("b.zip", b"", Kind.ARCHIVE)]
    assert study_kind(files) == Kind.DICOM
    assert study_kind([*files, nifti("t1c")]) is None
    assert study_kind([]) is None


def test_a_study_that_fits_has_no_complaint() -> None:
    assert complaints([nifti("t1c"), nifti("t2f")], VOLUMES) == []
    assert complaints([nifti(None)], VOLUMES) == []  # one file: the service takes it for what the model needs
    assert complaints([], VOLUMES) == []


def test_complaints_name_what_is_wrong() -> None:
    assert complaints([nifti("t2f")], VOLUMES) == ["The model mets-3d also needs T1 with contrast."]
    assert complaints([nifti("t1c"), nifti("t1c")], VOLUMES) == ["More than one file is assigned to T1 with contrast."]
    assert complaints([nifti("t1c"), nifti(None)], VOLUMES) == [
        "Choose the sequence of each file, or 'do not use' where it shows none of these."
    ]
    picture = ChosenFile("a.png", b"", Kind.PICTURE)
    assert complaints([picture], VOLUMES) == ["The model mets-3d is for volumes, not for pictures."]
    (mixed,) = complaints([picture, nifti("t1c")], None)
    assert "pictures, volume" in mixed


def test_a_sequence_that_may_be_missing_is_not_missed() -> None:
    model = VOLUMES.model_copy(update={"sequences": ("t1c", "t2f"), "optional": ("t2f",)})
    assert complaints([nifti("t1c")], model) == []


def test_a_brain_mask_may_be_beside_volumes_and_dicom() -> None:
    mask, dicom = nifti("brain_mask"), ChosenFile("a.dcm", b"", Kind.DICOM)
    assert study_kind([dicom, mask]) == Kind.DICOM
    assert study_kind([nifti("t1c"), mask]) == study_kind([mask]) == Kind.NIFTI
    assert complaints([nifti("t1c"), nifti("t2f"), mask], VOLUMES) == []
    assert complaints([nifti(None), mask], VOLUMES) == []
    assert complaints([dicom, mask], VOLUMES) == []
    assert complaints([nifti("t1c"), mask, mask], VOLUMES) == ["There is more than one brain mask. Remove all but one."]
    assert "Choose the images too" in complaints([mask], VOLUMES)[0]
    picture = ChosenFile("a.png", b"", Kind.PICTURE)
    assert complaints([picture, mask], SLICES) == ["Brain masks cannot be used with pictures. Remove the mask."]
    assert [part.field for part in parts_of([dicom, mask])] == ["files", "brain_mask"]


def test_corrections_replace_what_names_say() -> None:
    assert [nifti("t1c").with_sequence(name).sequence for name in ("t1n", None)] == ["t1n", None]


def test_texts_and_tables_are_not_chosen() -> None:
    names = ("P1/P1-t1c.nii.gz", "P1/P1.json", "P1/notes.TXT", "P1/.DS_Store", "P1/IM1")
    chosen = choose([(name, b"") for name in names], read_no_names)
    assert [file.name for file in chosen] == ["P1/P1-t1c.nii.gz", "P1/IM1"]


def test_names_are_not_sent() -> None:
    files = [ChosenFile("MILLER_ERIKA.nii.gz", b"1", Kind.NIFTI, "t1c"), ChosenFile("MILLER", b"2", Kind.DICOM)]
    parts = parts_of(files)
    assert [(part.field, part.name, part.content) for part in parts] == [
        ("t1c", "file-1.nii.gz", b"1"),
        ("files", "file-2", b"2"),
    ]


def test_of_a_name_its_sequence_is_sent_and_nothing_else() -> None:
    """So that the service says, with the result, what the name says."""
    agrees = ChosenFile("MILLER_ERIKA_T1_Gd.nii.gz", b"1", Kind.NIFTI, "t1c", name_says="t1c")
    corrected = ChosenFile("MILLER_ERIKA_T1.nii.gz", b"1", Kind.NIFTI, "t1c", name_says="t1n")
    mask = ChosenFile("MILLER_brain_mask.nii.gz", b"", Kind.NIFTI, BRAIN_MASK, name_says=BRAIN_MASK)
    parts = parts_of([agrees, corrected, mask])
    assert [(part.field, part.name) for part in parts] == [
        ("t1c", "file-1-t1c.nii.gz"),
        ("t1c", "file-2-t1n.nii.gz"),
        (BRAIN_MASK, "file-3.nii.gz"),
    ]


def test_slice_networks_take_both_and_3d_networks_volumes_only() -> None:
    assert fits(SLICES, Kind.PICTURE)
    assert fits(SLICES, Kind.NIFTI)
    assert not fits(VOLUMES, Kind.PICTURE)
    assert fits(VOLUMES, Kind.DICOM)


def test_the_services_own_choice() -> None:
    assert default_model(MODELS, Kind.PICTURE) == SLICES
    assert default_model(MODELS, Kind.ARCHIVE) == VOLUMES
    assert default_model([lgg("x", default_for=())], Kind.PICTURE) is None


def test_the_key_of_an_upload_is_that_of_its_content() -> None:
    parts = parts_of([nifti("t1c")])
    first = content_key("round", parts, Options(model="a"))
    assert content_key("round", parts, Options(model="a")) == first
    others = {
        content_key("round", parts, Options(model="b")),
        content_key("another", parts, Options(model="a")),
        content_key("round", parts_of([nifti("t2f")]), Options(model="a")),
        content_key("round", parts_of([ChosenFile("scan.nii.gz", b"x", Kind.NIFTI, "t1c")]), Options(model="a")),
    }
    assert len(others | {first}) == 5
    assert len(first) == 64  # the longest that the service takes


def test_endings_that_are_none() -> None:
    assert ending_of("a.gz") == ""
    assert ending_of("png") == ""


def picture(mode: str, *, colourful: bool = False) -> ChosenFile:
    image = Image.new(mode, (8, 8))
    if colourful:
        image.putpixel((3, 4), (9, 9, 8))
    stored = io.BytesIO()
    image.save(stored, "PNG")
    return ChosenFile("1.png", stored.getvalue(), Kind.PICTURE)


@pytest.mark.parametrize("mode", ["L", "I;16", "RGB", "P"])
def test_pictures_of_one_channel_or_equal_ones_show_one_sequence(mode: str) -> None:
    assert show_one_sequence([picture(mode)])
    assert not show_one_sequence([picture("RGB", colourful=True)])
    assert not show_one_sequence([ChosenFile("1.png", b"no picture", Kind.PICTURE)])
    assert not show_one_sequence([nifti("t1c")])
    assert not show_one_sequence([])


def test_a_model_gets_no_grey_picture_of_a_sequence_that_it_never_saw() -> None:
    three = lgg().model_copy(update={"sequences": ("t1n", "t2f", "t1c"), "grey_sequence": "t2f"})
    assert grey_misfit("t2f", three) is None
    assert grey_misfit("", three) is None
    assert "takes grey pictures for FLAIR, and these show T1 with contrast." in str(grey_misfit("t1c", three))
    none = three.model_copy(update={"grey_sequence": None})
    assert "needs T1 without contrast and FLAIR and T1 with contrast" in str(grey_misfit("t2f", none))
    one = three.model_copy(update={"sequences": ("t1c",), "grey_sequence": None})
    assert grey_misfit("t1c", one) is None
    assert grey_misfit("t2f", one) is not None
    assert grey_misfit("t2f", three.model_copy(update={"sequences": ()})) is None
