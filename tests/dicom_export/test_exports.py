"""What exports write, refuse and leave out."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import nibabel
import numpy as np
import pydicom
import pytest

import metseg
from metseg.dicom_export import EXPORTS, ExportOptions, ResultContent, read_source_headers
from metseg.dicom_export.contours import plane_contours
from metseg.dicom_export.export_request import ExportRequest
from metseg.dicom_export.margins import with_margin
from metseg.errors import GeometryError, InputError, MetsegError, UsageError
from metseg.io.dicom.series_scan import scan


def filled(contours: list[np.ndarray], shape: tuple[int, int]) -> np.ndarray:
    """Fill contours by the centres of pixels, as other programs do."""
    from matplotlib.path import Path as Outline

    centres = np.indices(shape).reshape(2, -1).T
    inside = np.zeros(shape, dtype=int)
    for contour in contours:
        inside += Outline(np.vstack([contour, contour[:1]])).contains_points(centres).reshape(shape)
    return inside


@pytest.mark.parametrize("smoothness", [0.0, 0.7, 1.3])
def test_contours_enclose_exactly_their_mask(smoothness: float) -> None:
    """Random masks: holes, islands in holes, pixels that touch at corners, pixels at the edge of the plane."""
    from scipy import ndimage

    rng = np.random.default_rng(3)
    for _ in range(40):
        noise = ndimage.gaussian_filter(rng.random((13, 16)), smoothness)
        mask = noise > np.quantile(noise, rng.random())
        contours = plane_contours(mask)
        np.testing.assert_array_equal(filled(contours, mask.shape), mask.astype(int))
        following = [(one, np.roll(one, -1, axis=0)) for one in contours]
        area = sum((one[:, 0] * two[:, 1] - one[:, 1] * two[:, 0]).sum() / 2 for one, two in following)
        assert area == pytest.approx(mask.sum())


def test_a_margin_is_measured_from_the_surface_of_the_voxels() -> None:
    mask = np.zeros((41, 41, 21), dtype=bool)
    mask[18:23, 20, 10] = True
    spacing = (0.5, 0.8, 3.0)
    enlarged = with_margin(mask, 4.0, spacing)
    places = np.indices(mask.shape).reshape(3, -1).T
    for voxel in places[::37]:
        gaps = np.maximum(np.abs(voxel - np.argwhere(mask)) - 0.5, 0) * spacing
        assert enlarged[tuple(voxel)] == (np.linalg.norm(gaps, axis=1).min() <= 4.0)
    assert (enlarged & ~mask).any()


def test_equal_results_have_equal_bytes_and_uids(simulated_case, tmp_path: Path) -> None:
    names = ("seg", "rtstruct", "sr")
    one, two = (
        metseg.export(simulated_case.saved, simulated_case.folder, tmp_path / name, formats=names) for name in "ab"
    )
    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in two]
    other = tmp_path / "other"
    other.mkdir()
    for path in simulated_case.saved.parent.iterdir():
        (other / path.name).write_bytes(path.read_bytes())
    document = other / simulated_case.saved.name
    os.utime(document, (1_700_000_000, 1_700_000_000))
    (later,) = metseg.export(document, simulated_case.folder, formats=["rtstruct"])
    uids = [str(pydicom.dcmread(path).SOPInstanceUID) for path in (*one, later)]
    assert len(set(uids)) == len(names) + 1


def test_the_headers_of_a_source_are_read_once_for_several_documents(
    simulated_case, run_metseg: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scans: list[object] = []

    def counted(roots: object) -> object:
        scans.append(roots)
        return scan(roots)

    monkeypatch.setattr("metseg.dicom_export.source_series.scan", counted)
    document = simulated_case.saved
    answer = run_metseg("export", document, document, "--source", simulated_case.folder, "--out", tmp_path / "out")
    assert answer.status == 0, answer.err
    assert len(scans) == 1


def test_files_of_documents_before_an_error_are_listed(simulated_case, tmp_path: Path, run_metseg) -> None:
    documents = simulated_case.saved, tmp_path / "absent.json"
    words = ("--source", simulated_case.folder, "--out", tmp_path / "out")
    answer = run_metseg("export", *documents, *words)
    assert answer.status != 0
    assert "absent.json" in answer.err
    (written,) = (tmp_path / "out").iterdir()
    assert answer.out.split() == [str(written)]
    assert "Traceback" not in answer.err
    failed = run_metseg("export", documents[1], *words)
    assert (failed.out, failed.status) == ("", answer.status)


def test_one_lesion_has_one_tracking_uid_in_segments_and_report(simulated_case, tmp_path: Path) -> None:
    seg, sr = metseg.export(simulated_case.saved, simulated_case.folder, tmp_path, formats=["sr"])
    segments = {item.TrackingUID for item in pydicom.dcmread(seg).SegmentSequence}
    tracked: set[str] = set()

    def collect(_: pydicom.Dataset, element: pydicom.DataElement) -> None:
        if element.keyword == "UID":
            tracked.add(str(element.value))

    pydicom.dcmread(sr).walk(collect)
    assert segments <= tracked
    assert len(segments) == len(pydicom.dcmread(seg).SegmentSequence)


def test_structures_of_a_case_with_a_long_name_have_names_of_their_own(simulated_case) -> None:
    content = ResultContent(
        "c" * 80,
        simulated_case.prediction.labels,
        simulated_case.prediction.instances,
        np.eye(4),
        simulated_case.prediction.scheme,
        (),
        "m" * 80,
        datetime(2026, 11, 30, tzinfo=UTC),
    )
    request = ExportRequest(
        content, read_source_headers(scan(simulated_case.folder).series[0]), ExportOptions(), lambda *_: []
    )
    names = [request.tracking_id(label) for label in ("Lesion 1", "Lesion 12", "resection cavity")]
    assert [name.lstrip("c") for name in names] == [" Lesion 1", " Lesion 12", " resection cavity"]
    assert {len(name) for name in (*names, request.algorithm_name)} == {64}


def test_segments_have_colours_algorithm_and_every_picture(simulated_case, tmp_path: Path) -> None:
    (path,) = metseg.export(simulated_case.saved, simulated_case.folder, tmp_path, formats=["seg-classes"])
    made = pydicom.dcmread(path)
    assert [item.SegmentLabel for item in made.SegmentSequence][:1] == ["non-enhancing core or necrosis"]
    for item in made.SegmentSequence:
        assert len(item.RecommendedDisplayCIELabValue) == 3
        assert item.SegmentationAlgorithmIdentificationSequence[0].AlgorithmName == "metseg drawn"
    pictures = made.ReferencedSeriesSequence[0].ReferencedInstanceSequence
    assert len(pictures) == simulated_case.prediction.labels.shape[2]


def test_probabilities_are_stored_in_255_steps(simulated_case, tmp_path: Path) -> None:
    import highdicom

    (path,) = metseg.export(simulated_case.saved, simulated_case.folder, tmp_path, formats=["seg-probability"])
    made = highdicom.seg.segread(path)
    stored = made.get_volume(rescale_fractional=True, combine_segments=False).array[..., 0]
    expected = simulated_case.prediction.probability
    planes = np.flatnonzero((expected.transpose(2, 1, 0) * 255 >= 0.5).any(axis=(1, 2)))
    assert stored.max() == pytest.approx(expected.max(), abs=1 / 255)
    assert len(stored) == planes[-1] - planes[0] + 1


def test_margins_are_structures_of_their_own(simulated_case, tmp_path: Path) -> None:
    options = {"formats": ["rtstruct"], "margin_mm": 3.0, "margin_kind": "control"}
    (path,) = metseg.export(simulated_case.saved, simulated_case.folder, tmp_path, **options)
    made = pydicom.dcmread(path)
    kinds = {item.ReferencedROINumber: item.RTROIInterpretedType for item in made.RTROIObservationsSequence}
    names = {item.ROIName: kinds[item.ROINumber] for item in made.StructureSetROISequence}
    lesions = [name for name in names if name.startswith("GTV_")]
    assert len(lesions) >= 5
    assert all(names[name] == "GTV" for name in lesions)
    assert all(names[name.replace("GTV", "CONTROL")] == "CONTROL" for name in lesions)
    assert names["oedema"] == ""


def test_without_lesions_the_report_says_so_and_the_rest_is_left_out(
    without_lesions, run_metseg: Callable, tmp_path: Path
) -> None:
    words = ("--format", "seg,rtstruct,sr", "--out", tmp_path)
    answer = run_metseg("export", without_lesions.saved, "--source", without_lesions.folder, *words)
    assert answer.status == 0, answer.err
    assert "holds no lesion, so these are not written: seg, rtstruct" in answer.err
    (path,) = tmp_path.iterdir()
    assert b"No lesion was found." in path.read_bytes()


def test_an_enhanced_multi_frame_source(scanner: SimpleNamespace, make_dicom_case, tmp_path: Path) -> None:
    frames = scanner.pixels(6, size=(30, 24))
    whole = scanner.enhanced(frames, order=[3, 0, 5, 1, 4, 2], orientation=scanner.OBLIQUE)
    whole.update({"PatientSex": "F", "SeriesNumber": 3})
    scanner.write(tmp_path / "study", [whole])
    labels = np.zeros((24, 30, 6), dtype=np.uint8)
    labels[5:12, 8:15, 1:4] = 3
    labels[8, 10, 2] = 0
    case = make_dicom_case(tmp_path, labels)
    seg, rtstruct = metseg.export(case.saved, case.folder, formats=["seg", "rtstruct"], identity="keep")
    import highdicom

    made = highdicom.seg.segread(seg)
    volume = made.get_volume(combine_segments=True)
    places = np.argwhere(volume.array > 0)
    lps = places @ volume.affine[:3, :3].T + volume.affine[:3, 3]
    expected = nibabel.affines.apply_affine(case.prediction.reference_image.affine, np.argwhere(labels > 0))
    np.testing.assert_allclose(
        sorted(map(tuple, np.round(lps, 2))), sorted(map(tuple, np.round(expected * (-1, -1, 1), 2))), atol=0.02
    )
    contours = pydicom.dcmread(rtstruct).ROIContourSequence[0].ContourSequence
    assert {int(item.ContourImageSequence[0].ReferencedFrameNumber) for item in contours} == {4, 6, 1}


def test_a_result_of_a_converted_file_needs_the_series(simulated_case, run_metseg: Callable, tmp_path: Path) -> None:
    """A converter turns the axes; the objects are the same as those of the series itself."""
    prediction = simulated_case.prediction
    turned = replace(
        prediction,
        case=replace(
            prediction.case,
            case_id="converted",
            sequence_records=(),
            images={"t1c": nifti_of(prediction.reference_image)},
        ),
        labels=prediction.labels[:, ::-1],
        instances=prediction.instances[:, ::-1],
        probability=prediction.probability[:, ::-1],
    )
    *_, document = turned.save(tmp_path)
    answer = run_metseg("export", document, "--source", simulated_case.folder)
    assert (answer.status, "--series NUMBER" in answer.err) == (2, True)
    words = ("--source", simulated_case.folder, "--series", "7")
    assert run_metseg("export", document, *words, "--format", "seg-classes").status == 0
    (own,) = metseg.export(simulated_case.saved, simulated_case.folder, tmp_path / "own", formats=["seg-classes"])
    one, two = (pydicom.dcmread(path) for path in (tmp_path / "converted-seg-classes.dcm", own))
    assert one.PixelData == two.PixelData
    assert run_metseg("export", document, "--source", simulated_case.folder, "--series", "8").status == 2


def nifti_of(image):
    """Return an image with its rows in the other direction."""
    from metseg.volume import Volume

    turn = np.diag([1.0, -1, 1, 1])
    turn[1, 3] = image.shape[1] - 1
    return Volume(image.data[:, ::-1], image.affine @ turn)


def test_what_cannot_be_exported_is_refused(
    simulated_case, scanner: SimpleNamespace, tmp_path: Path, run_metseg: Callable
) -> None:
    other = tmp_path / "other"
    scanner.write(other, scanner.slices(scanner.pixels(5), StudyInstanceUID=scanner.uid("other study")))
    with pytest.raises(InputError) as wrong_study:
        metseg.export(simulated_case.saved, other)
    assert wrong_study.value.code == "export.other_study"
    with pytest.raises(UsageError) as unknown:
        metseg.export(simulated_case.saved, simulated_case.folder, formats=["segg"])
    assert "Did you mean 'seg'" in str(unknown.value)
    with pytest.raises(MetsegError, match="margin"):
        metseg.export(simulated_case.saved, simulated_case.folder, margin_mm=-1)
    for given in ({"margin_mm": 2.0}, {"margin_kind": "control"}):
        with pytest.raises(UsageError) as no_effect:
            metseg.export(simulated_case.saved, simulated_case.folder, tmp_path / "none", **given)
        assert no_effect.value.code == "usage.options"
    assert not (tmp_path / "none").exists()
    mask = tmp_path / "edited" / f"{simulated_case.saved.stem}-seg.nii.gz"
    mask.parent.mkdir()
    document = mask.with_name(simulated_case.saved.name)
    document.write_bytes(simulated_case.saved.read_bytes())
    with pytest.raises(InputError, match="missing"):
        metseg.export(document, simulated_case.folder)
    nibabel.save(
        nibabel.Nifti1Image(
            np.zeros(simulated_case.prediction.labels.shape, np.uint8), simulated_case.prediction.reference_image.affine
        ),
        mask,
    )
    with pytest.raises(InputError) as edited:
        metseg.export(document, simulated_case.folder)
    assert edited.value.code == "input.mask_mismatch"


def test_another_grid_and_interpolated_slices_are_refused(
    simulated_case, scanner: SimpleNamespace, tmp_path: Path
) -> None:
    (series,) = scan(simulated_case.folder).series
    with pytest.raises(InputError) as gaps:
        read_source_headers(
            replace(series, frames=tuple(frame for frame in series.frames if frame.sequence_number != 9))
        )
    assert gaps.value.code == "export.interpolated"
    objects = scanner.slices(scanner.pixels(4), SeriesNumber=9, StudyInstanceUID=scanner.uid("study"))
    scanner.write(tmp_path, objects)
    with pytest.raises(GeometryError) as grid:
        metseg.export(simulated_case.saved, tmp_path, series=9)
    assert grid.value.code == "export.grid"


def test_other_packages_can_add_an_export(simulated_case, tmp_path: Path) -> None:
    from metseg.dicom_export import Export

    EXPORTS.register("own", Export("own", "-own.dcm", lambda request: []))
    try:
        assert metseg.export(simulated_case.saved, simulated_case.folder, tmp_path, formats=["own"]) == []
    finally:
        EXPORTS.unregister("own")
