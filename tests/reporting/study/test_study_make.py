"""From a document to a report: figures, places, sentences."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from typing import Any, Literal

import numpy as np
import pytest

from metseg.class_styles import class_styles
from metseg.inference.input_fit import ON_A_VOLUME
from metseg.inference.lesion_table import find_lesions
from metseg.inference.outputs.case_document import CaseReport
from metseg.inference.prediction import Prediction
from metseg.io.images.channel_names import MEANINGLESS_OTHERWISE
from metseg.labels import LABEL_SCHEMES
from metseg.picture_style import COLOUR_NAMES
from metseg.preprocess import STEPS
from metseg.reporting.study.document_reader import MaskFacts, parse_document
from metseg.reporting.study.html_writer import study_html
from metseg.reporting.study.key_images import VolumePixels
from metseg.reporting.study.key_slices import PicturePixels
from metseg.reporting.study.limitations import limits
from metseg.reporting.study.preprocessing_text import describe_steps
from metseg.reporting.study.report_builder import (
    Options,
    Pixels,
    _decisions,
    make_report,
    report_of_prediction,
)
from metseg.reporting.study.study_report import Model, Performance, StudyReport
from metseg.reporting.study.study_tables import class_table, lesion_table, performance_table
from metseg.reporting.study.study_text import study_page
from metseg.volume import Case, Volume

Make = Callable[..., dict[str, Any]]

DAY = date(2026, 11, 20)


def report_of(document: dict[str, Any], pixels: Pixels | None = None, **options: Any) -> StudyReport:
    chosen = Options(made_on=DAY, **{"key_images": 0, **options})
    return make_report(
        parse_document(document, where="test"), Model("known"), pixels=pixels or Pixels(), options=chosen
    )


def volume_pixels(study: Any, image: bool = True) -> Pixels:
    return Pixels(volume=VolumePixels(study.labels, study.affine, study.image if image else None, "t1c"))


def words_of(report: StudyReport) -> str:
    """Return every text of a page, a line each."""
    lines = []
    for section in study_page(report).sections:
        lines += [
            section.title,
            *section.doubts,
            *section.lead,
            *section.caution,
            *section.paragraphs,
            *section.bullets,
        ]
        lines += [f"{what}: {figure}" for figure, what in section.figures]
        lines += [f"{what}: {line}" for what, facts in section.facts for line in facts]
        for table in section.tables:
            lines += [" | ".join(column.title for column in table.columns)]
            lines += [" | ".join(row) for row in (*table.rows, table.total)] + list(table.notes)
        lines += [f"{image.title}: {image.caption}" for image in section.key_images]
    return "\n".join(lines)


def test_the_figures_are_those_worked_out_by_hand(volume_document: Make, study: Any) -> None:
    report = report_of(volume_document(), volume_pixels(study))
    burden = report.burden
    assert burden.volume_ml == pytest.approx(2.96)
    assert (report.headline.lesions, report.headline.specks) == (1, 1)
    assert burden.by_class_ml == {"lesion": pytest.approx(37 * 0.08)}
    assert [lesion.side for lesion in report.lesions] == ["right", "left"]
    assert report.technique.spacing_mm == pytest.approx((4, 4, 5))
    assert report.technique.oblique_degrees == 0


def test_the_table_gives_sizes_places_and_probabilities(volume_document: Make, study: Any) -> None:
    rows = words_of(report_of(volume_document(), volume_pixels(study))).splitlines()
    assert "1 | 2.88 | 25.0 | 20.0 | right | R 42, P 16, S 26 | 0.87" in rows
    assert "2 | 0.08 | 7.5 | 5.7 | left | L 32, A 20, S 41 | > 0.99" in rows
    assert (
        "1 lesion found, and 1 speck below 0.1 mL. The largest, no. 1, right side: 2.88 mL, longest diameter 25.0 mm."
        in rows
    )
    assert "total volume: 2.96 mL" in rows
    assert "longest diameter: 25.0 mm" in rows


def test_the_table_lists_all_lesions_and_the_largest_specks(volume_document: Make) -> None:
    first = volume_document()["lesions"][0]
    sizes = [2.0, 0.1, *(0.09 - number / 1000 for number in range(15))]
    lesions = [{**first, "id": number, "volume_ml": size} for number, size in enumerate(sizes, start=1)]
    report = report_of(volume_document(lesions=lesions))
    rows = words_of(report).splitlines()
    assert [row.split(" |")[0] for row in rows if row.endswith("| 0.87")] == [str(n) for n in range(1, 13)]
    assert "5 smaller specks not listed here; the JSON document lists all lesions." in rows
    assert report.headline.specks == 15


def test_the_technique_is_told(volume_document: Make) -> None:
    words = words_of(report_of(volume_document())).splitlines()
    assert "Images: T1 with contrast (t1c): 40 × 48 × 36 voxels of 4.00 × 4.00 × 5.00 mm" in words
    assert "Preprocessing: The axes were turned to right, anterior and superior; no value was changed." in words
    assert "Mask: A voxel counts as lesion at a probability of 0.40 or more." in words
    assert "Mask: Probabilities are the average over mirror images of the study." in words
    assert "t1c: a voxel was not finite" in words
    assert any("slices lie 5.0 mm apart" in line for line in words)


def test_without_pixels_no_side_is_given(volume_document: Make) -> None:
    report = report_of(volume_document(), Pixels(lacking="Nothing at hand."))
    assert [lesion.side for lesion in report.lesions] == [None, None]
    words = words_of(report)
    assert "Nothing at hand." in words
    assert "| Side |" not in words
    assert "right side" not in words
    assert "| Centre (mm) |" in words  # what the affine says needs no pixels


def test_no_lesion_is_a_finding_and_no_all_clear(volume_document: Make, study: Any) -> None:
    report = report_of(volume_document(lesions=[]), volume_pixels(study), key_images=3)
    words = words_of(report).splitlines()
    assert words[:3] == ["Result", "1 warning: see the section Warnings.", "No lesion found."]
    assert "does not exclude a lesion" in words[3]
    assert "lesions of at least 0.1 mL: 0" in words
    assert "total volume: 0.00 mL" in words
    assert "longest diameter" not in "\n".join(words)
    (image,) = report.key_images
    assert "Nothing is outlined" in image.caption


def test_pictures_have_no_millimetres(picture_document: Make, picture_masks: np.ndarray) -> None:
    pixels = Pixels(pictures={2: PicturePixels(picture_masks[:, :, 1], np.ones((30, 20)))})
    report = report_of(picture_document(), pixels, key_images=3)
    assert (report.burden.volume_ml, report.burden.by_class_ml) == (None, None)
    words = words_of(report)
    assert "1 lesion found in 1 of 2 pictures." in words
    assert "1 | 2 | P1/second | 6 | 11, 6 | 0.70" in words.splitlines()
    assert "mm" not in words.replace("millimetres", "").replace("commonly", "").replace("summ", "")
    assert " mL" not in words
    assert "Side" not in words
    assert "pictures do not state the pixel size" in words
    assert "2 pictures of 30 × 20 pixels" in words


def test_a_lesion_of_two_arms_on_its_picture_has_a_key_image() -> None:
    """The arms of the first picture meet on the second: one lesion, shown where its larger arm lies."""
    labels = np.zeros((20, 16, 2), dtype=np.uint8)
    labels[2:12, 2, 0] = labels[12:18, 6, 0] = 1  # arms of ten and six pixels in the first picture
    labels[11:13, 2:7, 1] = 1  # ten pixels that overlap both
    labels[11, 3:, 1] = 0  # six are left, (12, 2) to (12, 6) and (11, 2)
    probability = np.full(labels.shape, 0.75, dtype=np.float32)
    lesions, instances = find_lesions(labels, probability, None, LABEL_SCHEMES["binary"], slicewise=True)
    image = Volume(np.tile(np.arange(20, dtype=np.uint8)[:, None, None], (1, 16, 2)))
    case = Case("c", "p", {"t2f": image}, slice_names=("a", "b"))
    prediction = Prediction(
        case, labels, probability, lesions, instances, {}, (), model="m", scheme="binary", reference="t2f"
    )
    report = report_of_prediction(prediction, options=Options(made_on=DAY, key_images=3))
    (lesion,), (shown,) = report.lesions, report.key_images
    assert (lesion.voxels, lesion.slice_index, lesion.slices) == (22, 0, (0, 1))
    assert (lesion.slice_voxels, lesion.slice_centre) == (10, (6.5, 2.0))
    assert shown.title == "Lesion 1"


def test_a_pseudonym_hides_the_names(picture_document: Make, picture_masks: np.ndarray) -> None:
    pixels = Pixels(pictures={2: PicturePixels(picture_masks[:, :, 1])})
    document = picture_document(case="Jane_Roe", slices=["Jane_Roe/1", "Jane_Roe/2"])
    report = report_of(document, pixels, key_images=3, pseudonym="A-17")
    page = study_page(report)
    everything = words_of(report) + page.title + page.subject + "".join(page.footer)
    assert "Jane" not in everything
    assert "Study A-17" in page.footer
    assert "Jane" in words_of(report_of(document, pixels, key_images=3))


def test_what_could_not_be_read_is_counted_without_its_name(picture_document: Make) -> None:
    failed = [{"code": "input.truncated", "message": f"/home/Jane/{n}.png: cut"} for n in range(2)]
    words = words_of(report_of(picture_document(failed=failed)))
    assert "2 images could not be read and were not analysed." in words
    assert "2 images could not be read (input.truncated)." in words
    assert "Jane" not in words


def test_several_classes_are_told_apart(volume_document: Make) -> None:
    lesion = {**volume_document()["lesions"][0], "label": "SNFH", "voxels_by_label": {"ET": 10, "SNFH": 26}}
    technique = {**volume_document()["technique"], "labels": "brats-met-2023"}
    words = words_of(report_of(volume_document(lesions=[lesion], technique=technique))).splitlines()
    assert "No. | Core | Oedema | Enhancing | Together" in words
    assert "1 | 0.00 | 2.08 | 0.80 | 2.88" in words
    assert "All | 0.00 | 2.08 | 0.80 | 2.88" in words
    assert any(line.startswith("1 | oedema | 2.88 |") for line in words)
    assert any("enhancing: enhancing tumour" in line for line in words)


def test_specks_that_are_not_listed_have_no_row_of_classes_either(volume_document: Make) -> None:
    first = {**volume_document()["lesions"][0], "label": "ET", "voxels_by_label": {"ET": 10, "SNFH": 26}}
    specks = [{**first, "id": number, "volume_ml": 0.02} for number in range(2, 18)]
    technique = {**volume_document()["technique"], "labels": "brats-met-2023"}
    report = report_of(volume_document(lesions=[first, *specks], technique=technique))
    table = class_table(report)
    assert [row[0] for row in table.rows] == [str(number) for number in range(1, 12)]
    assert table.total[0] == "All, unlisted too"


def test_scores_on_simulated_patients_are_called_so() -> None:
    model = Model("simulated", performance=(Performance("test", "WT", 13, 0.81),), is_simulated=True)
    table = performance_table(model)
    assert table.caption == "Scores on simulated patients, not on real ones"
    assert table.rows[0][0] == "Whole tumour, with oedema"
    assert performance_table(replace(model, is_simulated=False)).caption == "Scores on patients with a known truth"


def test_lesions_of_slices_are_said_to_be_counted_in_each_slice() -> None:
    scored = Performance("test", "lesion", 13, 0.81, found=1, missed=139, false=2)
    note = "Lesions are counted in each slice: a lesion that five slices show counts as five."
    assert note not in performance_table(Model("volumes", performance=(scored,))).notes
    assert note in performance_table(Model("slices", performance=(replace(scored, in_slices=True),))).notes


@pytest.mark.parametrize("part", ["test", "validation"])
def test_scores_on_pictures_of_unknown_patients_do_not_speak_of_patients(part: Literal["test", "validation"]) -> None:
    model = Model("slices", performance=(Performance(part, "lesion", 13, 0.81, unit="pictures"),))
    table = performance_table(model)
    assert [column.title for column in table.columns][1] == "Pictures"
    assert table.rows[0][1] == "13"
    assert "patients" not in " ".join((table.caption, *table.notes))


def test_the_limits_of_a_model_of_simulated_patients_leave_out_its_licence(volume_document: Make) -> None:
    told = "105 simulated patients (metseg simulate); these weights are Apache-2.0"
    report = replace(report_of(volume_document()), model=Model("simulated", trained_on=told, is_simulated=True))
    (limit,) = [text for text in limits(report) if text.startswith("The model was trained on")]
    assert limit.startswith("The model was trained on 105 simulated patients (metseg simulate). How well it finds")
    assert "Apache" not in limit


def test_the_outlines_of_several_classes_are_explained(volume_document: Make, study: Any) -> None:
    technique = {**volume_document()["technique"], "labels": "brats-met-2023"}
    report = report_of(volume_document(technique=technique), volume_pixels(study), key_images=1)
    outlines = "Outlines: non-enhancing core or necrosis light blue, oedema yellow, enhancing tumour orange-red."
    assert outlines in words_of(report)
    assert "Outlines:" not in words_of(report_of(volume_document(), volume_pixels(study), key_images=1))
    assert "Outlines:" not in words_of(replace(report, lesions=()))


def test_every_class_has_a_colour_with_a_name() -> None:
    styles = [style for scheme in LABEL_SCHEMES for style in class_styles(scheme).values()]
    assert {style.colour for style in styles} <= set(COLOUR_NAMES)


def test_old_documents_say_what_they_do_not_know(volume_document: Make) -> None:
    old = volume_document()
    del old["technique"]
    words = words_of(report_of(old))
    assert "Preprocessing: Not recorded with this prediction." in words
    assert "The threshold was not recorded with this prediction." in words
    assert "40 × 48 × 36 voxels of 4.00 × 4.00 × 5.00 mm" in words


def test_the_digest_tells_reports_apart_and_knows_the_same_one_again(volume_document: Make) -> None:
    first = report_of(volume_document()).digest
    assert first == report_of(volume_document()).digest
    assert len(first) == 12
    others = {
        report_of(volume_document(), pseudonym="other").digest,
        report_of(volume_document(warnings=[])).digest,
        report_of(volume_document(lesions=volume_document()["lesions"][:1])).digest,
    }
    assert len(others | {first}) == 4


def test_every_step_has_a_sentence() -> None:
    assert [name for name, spec in STEPS.items() if spec.describe is None] == []


@pytest.mark.parametrize(
    ("record", "sentence"),
    [
        ({"step": "align", "reference": "t1c", "method": "rigid", "moved": {}}, "All sequences were on one grid"),
        (
            {
                "step": "align",
                "reference": "t1c",
                "method": "rigid",
                "moved": {"t2f": {"moved_mm": 1.83, "turned_degrees": 0.6}},
            },
            "t2f was registered rigidly to t1c, by 1.8 mm and 0.6°",
        ),
        (
            {"step": "align", "reference": "t1c", "method": "resample", "moved": {"t2f": {}}},
            "t2f was resampled to the grid of t1c by the scanner's coordinates.",
        ),
        ({"step": "reorient", "order": [0, 1, 2], "flipped": [False] * 3}, "The axes already ran"),
        ({"step": "resample", "from": [4, 5, 6], "size": [8, 5, 6], "steps": [0.5, 1, 1]}, "4 × 5 × 6 to 8 × 5 × 6"),
        ({"step": "resample", "from": [4, 5, 6], "size": [4, 5, 6], "steps": [1, 1, 1]}, "nothing was resampled"),
        ({"step": "brain_mask", "found": "head"}, "including skull and scalp"),
        (
            {"step": "brain_mask", "found": "network", "sequence": "t1c", "volume_ml": 1464.9},
            "The brain was outlined in t1c by the network brain-extraction, 1464.9 mL",
        ),
        (
            {"step": "clip_percentiles", "lower": 0.5, "upper": 99.5, "scope": "slice", "region": "all"},
            "slice by slice",
        ),
        (
            {"step": "rescale", "by": "type", "scope": "case", "region": "all"},
            "the largest value of the files' data type",
        ),
        ({"step": "zscore", "scope": "nonsense", "region": "head"}, "Step: zscore."),
        ({"step": "crop_to_head"}, "Step: crop_to_head."),
        ({}, "Step: unknown."),
    ],
)
def test_a_record_becomes_a_sentence(record: dict[str, Any], sentence: str) -> None:
    (said,) = describe_steps([record])
    assert sentence in said


def test_the_smallest_volume_of_a_lesion_is_said_of_volumes_only() -> None:
    masks = MaskFacts(minimum_mm3=3.0)
    assert _decisions(masks, is_volume=True) == ("Connected pieces of less than 3 mm³ were discarded.",)
    assert _decisions(masks, is_volume=False) == ()


RECORD = {"sequence": "t1c", "source": "P7_T1_GD.nii.gz", "reason": "the name says T1 with contrast agent"}


def test_which_file_was_read_as_which_sequence_and_why(volume_document: Make) -> None:
    said = words_of(report_of(volume_document(sequences=[RECORD])))
    assert "mm, read from P7_T1_GD.nii.gz (the name says T1 with contrast agent)" in said
    assert "read from" not in words_of(report_of(volume_document()))  # a document of before


def test_a_pseudonym_leaves_names_of_files_out(volume_document: Make) -> None:
    said = words_of(report_of(volume_document(sequences=[RECORD]), pseudonym="STUDY-1"))
    assert "P7" not in said
    assert "(the name says T1 with contrast agent)" in said


def test_a_reason_that_is_the_same_for_all_sequences_is_given_once(volume_document: Make) -> None:
    names = ("t1n", "t1c", "t2w", "t2f")
    image = {"shape": [40, 48, 36], "spacing_mm": [4.0, 4.0, 5.0]}
    technique = {**volume_document()["technique"], "images": dict.fromkeys(names, image)}
    records = [{"sequence": name, "source": f"P7-{name}.nii.gz", "reason": "the layout says so"} for name in names]
    words = words_of(report_of(volume_document(technique=technique, sequences=records)))
    assert words.count("the layout says so") == 1
    assert "Images: All sequences: the layout says so." in words.splitlines()
    assert all(f"mm, read from P7-{name}.nii.gz\n" in words for name in names)
    records[0]["reason"] = "the user said so"
    words = words_of(report_of(volume_document(technique=technique, sequences=records)))
    assert words.count("(the layout says so)") == 3


def test_specks_alone_exclude_no_lesion(volume_document: Make) -> None:
    lesions = volume_document()["lesions"]
    report = report_of(volume_document(lesions=[{**lesions[-1], "id": 1}]))
    assert (report.headline.lesions, report.headline.specks) == (0, 1)
    words = words_of(report)
    assert "A speck can be a vessel or noise, and can be a small lesion." in words
    assert "A speck can be" not in words_of(report_of(volume_document()))


@pytest.mark.parametrize("lesions", [None, []])
def test_what_puts_the_result_in_doubt_stands_before_it(volume_document: Make, lesions: list[Any] | None) -> None:
    changes = {} if lesions is None else {"lesions": lesions}
    grey = f"the picture is grey: it was taken for t2f; {MEANINGLESS_OTHERWISE}"
    plain = "t1c: a voxel was not finite"
    report = report_of(volume_document(warnings=[plain, ON_A_VOLUME, grey], **changes))
    lines = words_of(report).splitlines()
    doubts = lines[1:3]
    assert [line.lower() for line in doubts] == [f"{text}.".lower() for text in (ON_A_VOLUME, grey)]
    assert lines[3] == "1 further warning: see the section Warnings."
    assert lines[4].startswith("No lesion found" if lesions == [] else "1 lesion found, and 1 speck")
    page = study_html(report)
    assert page.index(doubts[1]) < page.index(lines[4]) < page.index(f"<li>{plain}</li>")


def test_regions_that_overlap_in_neighbouring_pictures_are_said_to_be_one_lesion(picture_document: Make) -> None:
    words = words_of(report_of(picture_document()))
    assert "Overlapping regions of neighbouring pictures are counted as one lesion" in words
    assert "counted in each" not in words
    single = picture_document(shape=[30, 20, 1], slices=["first"])
    single["lesions"][0] |= {"slice_index": 0, "centre_voxel": [11.0, 5.5, 0.0]}
    assert "neighbouring pictures" not in words_of(report_of(single))


def test_an_origin_in_the_corner_has_no_letters(volume_document: Make, study: Any) -> None:
    """The lesion on the right is at x = -38 of a grid whose first voxel is 0, which would read "L 38"."""
    affine = np.diag([-4.0, 4.0, 5.0, 1.0])
    centred = [[9.5, 21.0, 17.0], [28.0, 30.0, 20.0]]
    document = volume_document(affine=affine.tolist())
    for lesion, voxel in zip(document["lesions"], centred, strict=True):
        lesion["centre_mm"] = (np.diag(affine)[:3] * voxel).tolist()
    pixels = Pixels(volume=VolumePixels(study.labels, affine, study.image, "t1c"))
    report = make_report(parse_document(document, where="test"), Model("known"), pixels=pixels, options=Options())
    table = lesion_table(report)
    assert [lesion.side for lesion in report.lesions] == ["right", "left"]
    titles = [column.title for column in table.columns]
    assert [row[titles.index("Centre (mm)")] for row in table.rows] == ["x -38, y 84, z 85", "x -112, y 120, z 100"]
    assert any("do not tell right from left" in note for note in table.notes)
    assert all(" x " in image.caption and "R " not in image.caption for image in report.key_images)


@pytest.mark.parametrize(
    ("predict", "title", "said"),
    [
        ({"threshold": 0.5}, "Mean probability", "It is not calibrated"),
        ({"threshold": 0.5, "confidence_slope": 1.06, "confidence_intercept": -0.9}, "Confidence", "calibrated on"),
        (None, "Mean probability", "Whether it was calibrated is not recorded"),
    ],
)
def test_calibrated_values_are_called_so(
    volume_document: Make, predict: dict[str, float] | None, title: str, said: str
) -> None:
    document = volume_document()
    document["technique"] = {**document["technique"], "predict": predict}
    parsed = parse_document(document, where="test")
    table = lesion_table(make_report(parsed, Model("known"), pixels=Pixels(), options=Options()))
    assert title in [column.title for column in table.columns]
    (note,) = [note for note in table.notes if "robability over the lesion" in note]
    assert said in note


def test_the_range_of_a_volume_is_shown_with_what_it_is(volume_document: Make) -> None:
    document = volume_document()
    without = lesion_table(
        make_report(parse_document(document, where="test"), Model("known"), pixels=Pixels(), options=Options())
    )
    assert "Volume range (mL)" not in [column.title for column in without.columns]
    document["lesions"][0] |= {"voxels_range": [30, 45], "volume_ml_range": [2.4, 3.6], "range_predictions": 8}
    table = lesion_table(
        make_report(parse_document(document, where="test"), Model("known"), pixels=Pixels(), options=Options())
    )
    place = [column.title for column in table.columns].index("Volume range (mL)")
    assert [row[place] for row in table.rows] == ["2.40 to 3.60", "–"]
    (note,) = [note for note in table.notes if note.startswith("Range:")]
    assert "8 predictions" in note
    assert "not a calibrated confidence interval" in note


def test_clinical_attributes_are_shown_under_the_real_name_only(volume_document: Make) -> None:
    """Age and sex could tell who a pseudonym is; without a table nothing is said."""
    document = volume_document(clinical={"primary tumour": "lung", "age": "61"})
    shown = words_of(report_of(document))
    assert "Patient, from the data set's table: primary tumour: lung" in shown
    assert "no prognosis follows from this report" in shown
    assert "lung" not in words_of(report_of(document, pseudonym="anon"))
    assert "Patient, from" not in words_of(report_of(volume_document()))


def test_a_prediction_notes_the_clinical_attributes_of_its_case(study: Any) -> None:
    case = Case(
        "c", "p", {"t1c": Volume(study.image, study.affine)}, attributes={"Primary_Cancer": "lung", "scanner": "x"}
    )
    prediction = Prediction(
        case=case,
        labels=study.labels,
        probability=study.labels.astype(np.float32),
        lesions=(),
        instances=np.zeros(study.labels.shape, np.uint32),
        timings_s={},
        warnings=(),
        model="known",
        scheme="binary",
    )
    gathered = CaseReport("c", "known")
    gathered.add(prediction)
    assert gathered.document()["clinical"] == {"primary tumour": "lung"}
    assert "clinical" not in CaseReport("c", "known").document()
