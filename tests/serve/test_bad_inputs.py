"""BAD_INPUTS over HTTP: what the head of a file tells is answered at once, the rest ends the accepted study.

Numbers are those of that page. Masks of truth (19 of masks, 20), models as files (35 to 37) and training (39, 40)
have no way in over HTTP. 41 is in `jobs/test_worker_process.py`, 42 in `test_studies.py`, 43 and 44 are in
`test_server.py`.
"""

from __future__ import annotations

import errno
import gzip
import io
import os
import struct
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nibabel
import numpy as np
import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient
from PIL import Image
from pydicom.encaps import encapsulate
from pydicom.uid import DeflatedExplicitVRLittleEndian, MediaStorageDirectoryStorage

from metseg.inference.brain import brain_extraction
from metseg.io.prediction_inputs import find_inputs
from metseg.recipe import parse_recipe
from metseg.schemas import PROBLEM_MEDIA_TYPE, Study
from metseg.serve.jobs.phases.job import JobCache
from metseg.serve.service_context import Service
from metseg.volume import Volume

pytestmark = pytest.mark.usefixtures("bright")

WorkOff = Callable[[Service, str], None]
Files = list[tuple[str, tuple[str, bytes]]]


@dataclass(frozen=True)
class Case:
    """One bad input.

    Args:
        code: of the problem, or of the failure.
        status: of the answer; 202: the study is accepted, and fails with the code.
        content: makes the file, or the files of DICOM, from the functions that make files.
        name: of the file.
        data: other fields.
    """

    code: str
    status: int
    content: Callable[[SimpleNamespace], bytes]
    name: str = "a.nii.gz"
    data: dict[str, Any] = field(default_factory=dict)


def at(header_field: str, value: Any) -> Callable[[SimpleNamespace], bytes]:
    """Return what makes a volume whose header says something else."""
    return lambda make: make.nifti(packed=False, **{header_field: value})


def dims(*shape: int) -> Callable[[SimpleNamespace], bytes]:
    return at("dim", [len(shape), *shape, *[1] * (7 - len(shape))])


def with_checksum_off(make: SimpleNamespace) -> bytes:
    content = bytearray(make.nifti())
    content[-8] ^= 0xFF
    return bytes(content)


def bomb(make: SimpleNamespace) -> bytes:
    """Return 100 MB of zeros behind a small volume."""
    packed = io.BytesIO()
    with gzip.open(packed, "wb") as file:
        file.write(make.nifti(packed=False))
        for _ in range(100):
            file.write(bytes(2**20))
    return packed.getvalue()


def with_nan(share: float) -> Callable[[SimpleNamespace], bytes]:
    def make_one(make: SimpleNamespace) -> bytes:
        data = make.volume(np.float32)
        data.ravel()[: int(share * data.size)] = np.nan
        return bytes(make.nifti(data))

    return make_one


def saved(pixels: np.ndarray | Image.Image, kind: str, **options: Any) -> Callable[[SimpleNamespace], bytes]:
    def make_one(_make: SimpleNamespace) -> bytes:
        encoded = io.BytesIO()
        picture = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
        picture.save(encoded, format=kind, **options)
        return encoded.getvalue()

    return make_one


def rings(*labels: int) -> np.ndarray:
    """Return a label map of rings, one within the other, the first label outermost."""
    plane = np.zeros((32, 40), dtype=np.uint8)
    for number, label in enumerate(labels, 1):
        plane[number * 3 : -number * 3, number * 3 : -number * 3] = label
    return plane


def pages(count: int) -> Callable[[SimpleNamespace], bytes]:
    more = [Image.fromarray(np.full((32, 40), 60, dtype=np.uint8)) for _ in range(count - 1)]
    first = Image.fromarray(np.full((32, 40), 60, dtype=np.uint8))
    return saved(first, "TIFF", save_all=True, append_images=more)


def cut_short(make: SimpleNamespace) -> bytes:
    noise = np.random.default_rng(0).integers(0, 255, (32, 40), dtype=np.uint8)
    return bytes(make.png(noise)[:-200])


def affine_off(**rows: list[float]) -> Callable[[SimpleNamespace], bytes]:
    return lambda make: make.nifti(packed=False, sform_code=1, **rows)


NIFTI: dict[str, Case] = {
    "1 truncated": Case("input.truncated", 202, lambda make: make.nifti()[:-20]),
    "1 truncated in the header": Case("input.truncated", 422, lambda make: make.nifti()[:40]),
    "2 wrong checksum": Case("input.checksum", 202, with_checksum_off),
    "3 bomb": Case("input.trailing_data", 202, bomb),
    "3 trailing data": Case("input.trailing_data", 413, lambda make: make.nifti(packed=False) + b"x", "a.nii"),
    "4 empty": Case("input.format", 415, lambda make: b""),
    "4 wrong magic": Case("input.format", 415, lambda make: b"not an image at all" * 30),
    "4 gzip of something else": Case("input.format", 415, lambda make: gzip.compress(b"text" * 200)),
    "5 too many NaN": Case("input.not_finite", 202, with_nan(0.05)),
    "6 zero dimension": Case("input.axes", 422, dims(20, 0, 10)),
    "6 negative dimension": Case("input.axes", 422, dims(20, -3, 10)),
    "7 four axes": Case("input.axes", 202, lambda make: make.nifti(np.stack([make.volume()] * 3, axis=-1))),
    "7 five axes": Case("input.axes", 422, lambda make: make.nifti(np.zeros((4, 4, 4, 2, 2), dtype=np.int16))),
    "8 over the cap": Case("input.too_large", 413, dims(30000, 30000, 30000)),
    "9 body shorter": Case("input.truncated", 422, lambda make: make.nifti(packed=False)[:-1], "a.nii"),
    "10 slope NaN": Case("input.scaling", 422, at("scl_slope", np.nan)),
    "10 slope infinite": Case("input.scaling", 422, at("scl_slope", np.inf)),
    "10 overflow": Case("input.scaling", 202, at("scl_slope", 3e38)),
    "11 singular": Case("input.geometry", 422, affine_off(srow_x=[0.0] * 4)),
    "11 NaN": Case("input.geometry", 422, affine_off(srow_y=[np.nan] * 4)),
    "48 voxels of a metre": Case("input.geometry", 422, at("xyzt_units", 1)),
    "51 DICM and zeros": Case("input.truncated", 422, lambda make: bytes(128) + b"DICM" + bytes(2**20), "a.dcm"),
    "23 another sequence": Case("input.missing_sequence", 202, lambda make: make.nifti(), data={"model": "bright-two"}),
}

PICTURES: dict[str, Case] = {
    "4 empty": Case("input.format", 415, lambda make: b"", "a.png"),
    "4 wrong magic": Case("input.format", 415, lambda make: b"picture", "a.png"),
    "13 over 25 megapixels": Case("input.too_large", 413, saved(Image.new("1", (6000, 6000)), "PNG"), "a.png"),
    "16 CMYK": Case("input.format", 415, saved(Image.new("CMYK", (40, 32)), "JPEG"), "a.jpg"),
    "16 GIF": Case("input.format", 415, saved(Image.new("L", (40, 32)), "GIF"), "a.png"),
    "16 SVG": Case("input.format", 415, lambda make: b"<svg xmlns='http://www.w3.org/2000/svg'/>", "a.png"),
    "17 several pages": Case("input.multi_page", 202, pages(3), "a.tif"),
    "18 too many NaN": Case("input.not_finite", 202, saved(np.full((32, 40), np.nan, np.float32), "TIFF"), "a.tif"),
    "damaged": Case("input.truncated", 202, cut_short, "a.png"),
    "label map": Case("input.label_map", 202, saved(rings(1, 2, 4), "PNG"), "a.png"),
}


def refused(response: Any, case: Case, home: Path) -> None:
    """Check the answer to an upload that is refused at once."""
    assert response.status_code == case.status, response.text
    problem = response.json()
    assert problem["code"] == case.code
    assert response.headers["content-type"] == PROBLEM_MEDIA_TYPE
    assert str(home) not in response.text
    assert list((home / "incoming").iterdir()) == []
    assert list((home / "studies").iterdir()) == []


def fails(client: TestClient, service: Service, work_off: WorkOff, response: Any, code: str) -> Study:
    """Check that an accepted study fails with a code, and that nothing is left of its work."""
    assert response.status_code == 202, response.text
    study_id = response.json()["id"]
    work_off(service, study_id)
    study = Study.model_validate(client.get(f"/studies/{study_id}").json())
    assert study.failure is not None, study.state
    assert study.failure.code == code, study.failure
    assert str(service.settings.home) not in study.model_dump_json()
    assert study.artifacts == ()
    assert not service.folders.study(study_id).inputs.exists()
    return study


def done(client: TestClient, service: Service, work_off: WorkOff, response: Any) -> Study:
    assert response.status_code == 202, response.text
    work_off(service, response.json()["id"])
    study = Study.model_validate(client.get(f"/studies/{response.json()['id']}").json())
    assert study.state == "done", study.failure
    return study


@pytest.mark.parametrize("name", NIFTI)
def test_volumes(
    client: TestClient, service: Service, make: SimpleNamespace, work_off: WorkOff, home: Path, name: str
) -> None:
    case = NIFTI[name]
    files = {"t1c": (case.name, case.content(make))}
    response = client.post("/studies", files=files, data={"model": "bright-t1c", **case.data})
    if case.status == 202:
        fails(client, service, work_off, response, case.code)
    else:
        refused(response, case, home)


@pytest.mark.parametrize("name", PICTURES)
def test_pictures_as_studies(
    client: TestClient, service: Service, make: SimpleNamespace, work_off: WorkOff, home: Path, name: str
) -> None:
    case = PICTURES[name]
    files = {"files": (case.name, case.content(make))}
    response = client.post("/studies", files=files, data={"model": "bright-pictures"})
    if case.status == 202:
        fails(client, service, work_off, response, case.code)
    else:
        refused(response, case, home)


@pytest.mark.parametrize("name", PICTURES)
def test_pictures_answered_at_once(client: TestClient, make: SimpleNamespace, home: Path, name: str) -> None:
    case = PICTURES[name]
    response = client.post("/predict/", files={"file": (case.name, case.content(make))})
    at_once = Case(case.code, 422 if case.status == 202 else case.status, case.content)
    refused(response, at_once, home)


def test_5_some_nan_become_zero(client: TestClient, service: Service, make: SimpleNamespace, work_off: WorkOff) -> None:
    files = {"t1c": ("a.nii.gz", with_nan(0.005)(make))}
    study = done(client, service, work_off, client.post("/studies", files=files, data={"model": "bright-t1c"}))
    assert any("24 NaN or infinite voxels of 4800 were set to 0" in warning.text for warning in study.warnings)


def test_7_a_fourth_axis_of_one(client: TestClient, service: Service, make: SimpleNamespace, work_off: WorkOff) -> None:
    files = {"t1c": ("a.nii.gz", make.nifti(make.volume()[..., None]))}
    study = done(client, service, work_off, client.post("/studies", files=files, data={"model": "bright-t1c"}))
    assert study.facts.shape == (20, 24, 10)


def test_11_sheared_voxels_are_said_to_be(
    client: TestClient, service: Service, make: SimpleNamespace, work_off: WorkOff
) -> None:
    sheared = make.affine.copy()
    sheared[0, 1] = 0.3
    files = {"t1c": ("a.nii.gz", make.nifti(affine=sheared))}
    study = done(client, service, work_off, client.post("/studies", files=files, data={"model": "bright-t1c"}))
    assert any("sheared" in warning.text for warning in study.warnings)
    assert [lesion.voxels for lesion in study.lesions] == [27]


@pytest.mark.parametrize("flip", [1.0, -1.0])
def test_12_any_handedness_comes_back_as_it_came(
    client: TestClient, service: Service, make: SimpleNamespace, work_off: WorkOff, flip: float
) -> None:
    affine = make.affine @ np.diag([flip, 1, 1, 1])
    files = {"t1c": ("a.nii.gz", make.nifti(affine=affine))}
    study = done(client, service, work_off, client.post("/studies", files=files, data={"model": "bright-t1c"}))
    mask = nibabel.Nifti1Image.from_bytes(
        gzip.decompress(client.get(f"/studies/{study.id}/artifacts/mask.nii.gz").content)
    )
    np.testing.assert_array_equal(mask.affine, affine)
    np.testing.assert_array_equal(np.asarray(mask.dataobj), make.volume() == 300)


def test_14_sixteen_bits(client: TestClient, make: SimpleNamespace) -> None:
    """Only the low byte, or eight bits of sixteen, would leave nothing bright."""
    picture = make.square(bright=256 + 100, dtype=np.uint16)
    response = client.post("/predict/", files={"file": ("a.png", make.png(picture))})
    assert np.sum(response.json()["segmentation"]) == 9


@pytest.mark.parametrize(("mode", "word"), [("P", "palette"), ("LA", "alpha")])
def test_15_palette_and_alpha(client: TestClient, make: SimpleNamespace, mode: str, word: str) -> None:
    picture = Image.fromarray(make.square()).convert(mode)
    if mode == "LA":
        picture.putalpha(128)
    response = client.post("/predict/", files={"file": ("a.png", saved(picture, "PNG")(make))})
    assert response.status_code == 200
    assert np.sum(response.json()["segmentation"]) == 9
    assert any(word in warning for warning in response.json()["warnings"])


def test_48_micrometres_become_millimetres(
    client: TestClient, service: Service, make: SimpleNamespace, work_off: WorkOff
) -> None:
    micrometres = np.diag([1000.0, 1000, 1000, 1]) @ make.affine
    content = bytearray(make.nifti(affine=micrometres, packed=False))
    content[123] = 3
    files = {"t1c": ("a.nii", bytes(content))}
    study = done(client, service, work_off, client.post("/studies", files=files, data={"model": "bright-t1c"}))
    spacing = np.linalg.norm(make.affine[:3, :3], axis=0)
    np.testing.assert_allclose(study.facts.spacing_mm, spacing, rtol=1e-5)
    (lesion,) = study.lesions
    assert lesion.volume_ml == pytest.approx(27 * spacing.prod() / 1000, abs=1e-4)
    assert any("micrometres" in warning.text for warning in study.warnings)


def test_49_a_picture_is_turned_upright(client: TestClient, make: SimpleNamespace) -> None:
    picture = make.square()
    exif = Image.Exif()
    exif[0x0112] = 6  # stored on its side
    encoded = io.BytesIO()
    Image.fromarray(np.rot90(picture)).save(encoded, "PNG", exif=exif)
    upright = client.post("/predict/", files={"file": ("a.png", make.png(picture))}).json()
    turned = client.post("/predict/", files={"file": ("a.png", encoded.getvalue())}).json()
    assert turned["segmentation"] == upright["segmentation"]
    assert any("turned upright" in warning for warning in turned["warnings"])


def test_lesions_go_on_from_picture_to_picture(
    client: TestClient, service: Service, make: SimpleNamespace, work_off: WorkOff
) -> None:
    files = [("files", (f"{number}.png", make.png(make.square()))) for number in range(2)]
    study = done(client, service, work_off, client.post("/studies", files=files, data={"model": "bright-pictures"}))
    (lesion,) = study.lesions
    assert (lesion.voxels, lesion.slice_index, lesion.slices, lesion.side) == (18, 0, (0, 1), None)


@pytest.mark.parametrize(
    ("names", "slices"),
    [
        (("P7_1", "P7_2", "P7_4"), [(0, 1), (2,)]),
        (("P7_5", "P7_10", "P7_15"), [(0, 1, 2)]),  # exported in steps of 5
        (("P7_1", "P7_10", "P7_2"), [(0,), (1,), (2,)]),  # as a shell sorts names: no neighbours
        (("P7_10", "P7_3", "P7_2"), [(1, 2), (0,)]),
        (("P7_1", "P8_3", "P9_9"), [(0, 1, 2)]),
    ],
)
def test_numbers_in_names_tell_of_missing_slices(
    client: TestClient,
    service: Service,
    make: SimpleNamespace,
    work_off: WorkOff,
    names: tuple[str, ...],
    slices: list[tuple[int, ...]],
) -> None:
    files = [("files", (f"{name}.png", make.png(make.square()))) for name in names]
    study = done(client, service, work_off, client.post("/studies", files=files, data={"model": "bright-pictures"}))
    assert [lesion.slices for lesion in study.lesions] == slices
    assert any(study.facts.slice_gaps) == (len(slices) > 1)


def test_17_pages_as_a_stack(client: TestClient, service: Service, make: SimpleNamespace, work_off: WorkOff) -> None:
    files = {"files": ("a.tif", pages(3)(make))}
    data = {"model": "bright-pictures", "stack": "true"}
    study = done(client, service, work_off, client.post("/studies", files=files, data=data))
    assert study.facts.slices == 3


def test_19_sequences_on_different_grids(
    client: TestClient, service: Service, make: SimpleNamespace, work_off: WorkOff
) -> None:
    files = {"t1c": ("a.nii.gz", make.nifti()), "t2f": ("b.nii.gz", make.nifti(make.volume()[:-1]))}
    response = client.post("/studies", files=files, data={"model": "bright-two"})
    study = fails(client, service, work_off, response, "input.shape_mismatch")
    assert study.failure is not None
    assert "t2f" in study.failure.detail or "t2f" in str(study.failure.where)


def test_a_label_map_is_no_picture(client: TestClient, make: SimpleNamespace) -> None:
    response = client.post("/predict/", files={"file": ("a.png", make.png(rings(1, 2, 4)))})
    assert response.status_code == 422
    assert response.json()["code"] == "input.label_map"


def test_21_a_constant_picture(client: TestClient, make: SimpleNamespace) -> None:
    response = client.post("/predict/", files={"file": ("a.png", make.png(np.full((32, 40), 7, dtype=np.uint8)))})
    assert response.status_code == 200
    assert "NaN" not in response.text


def test_22_nothing_found(client: TestClient, service: Service, make: SimpleNamespace, work_off: WorkOff) -> None:
    files = {
        "t1c": ("a.nii.gz", make.nifti(np.minimum(make.volume(), 100) + np.arange(20, dtype=np.int16)[:, None, None]))
    }
    study = done(client, service, work_off, client.post("/studies", files=files, data={"model": "bright-t1c"}))
    assert study.lesions == ()
    assert "no lesion found" in client.get(f"/studies/{study.id}/artifacts/report.html").text.lower()


def dicom(objects: Any, folder: Path, scanner: SimpleNamespace) -> Files:
    """Return DICOM objects as files to upload."""
    return [("files", (path.name, path.read_bytes())) for path in scanner.write(folder, objects)]


def series(scanner: SimpleNamespace, **options: Any) -> Any:
    return scanner.slices(scanner.pixels(6, size=(16, 14)), SeriesDescription="T1 post", **options)


def two_patients(scanner: SimpleNamespace) -> Any:
    return [*series(scanner)[:3], *series(scanner, PatientID="4712", PatientName="Musterfrau^Max")[3:]]


def two_frames_of_reference(scanner: SimpleNamespace) -> Any:
    return [*series(scanner)[:3], *series(scanner, FrameOfReferenceUID=scanner.uid("other"))[3:]]


def two_pictures_at_one_place(scanner: SimpleNamespace) -> Any:
    return series(scanner, places=[0.0, 3.0, 6.0, 9.0, 9.0, 12.0])


def without_pixels(scanner: SimpleNamespace) -> Any:
    objects = series(scanner)
    for item in objects:
        del item.PixelData, item.Rows, item.Columns
    return objects


def compressed_unknown(scanner: SimpleNamespace) -> Any:
    objects = series(scanner)
    for item in objects:
        item.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.100"  # MPEG-2: no decoder of ours
        item.PixelData = encapsulate([item.PixelData])
        item["PixelData"].VR = "OB"
    return objects


def announced_huge(scanner: SimpleNamespace) -> Any:
    return series(scanner, Rows=65535, Columns=65535)


#: DICOM objects that make a study fail, with the series named by hand.
DICOM: dict[str, tuple[str, Callable[[SimpleNamespace], Any]]] = {
    "24 two patients": ("input.mixed_series", two_patients),
    "24 two frames of reference": ("input.mixed_series", two_frames_of_reference),
    "25 a slice is missing": ("input.missing_slices", lambda scanner: [*series(scanner)[:2], *series(scanner)[3:]]),
    "25 uneven": ("input.uneven_slices", lambda scanner: series(scanner, places=[0, 3, 6, 10.7, 13, 16])),
    "26 two pictures at one place": ("input.duplicate_slice", two_pictures_at_one_place),
    "28 too many pixels": ("input.too_large", announced_huge),
    "28 no decoder": ("input.transfer_syntax", compressed_unknown),
    "29 not MR": ("input.not_mr", lambda scanner: series(scanner, Modality="CT")),
    "29 no pixels": ("input.no_pixels", without_pixels),
    "29 no position": ("input.no_geometry", lambda scanner: series(scanner, ImagePositionPatient=None)),
}


@pytest.mark.parametrize("name", DICOM)
def test_dicom(
    client: TestClient, service: Service, scanner: SimpleNamespace, work_off: WorkOff, tmp_path: Path, name: str
) -> None:
    code, objects = DICOM[name]
    files = dicom(objects(scanner), tmp_path / "dicom", scanner)
    response = client.post("/studies", files=files, data={"model": "bright-t1c", "series": "t1c=1"})
    study = fails(client, service, work_off, response, code)
    for secret in (scanner.PATIENT_ID, "Muster"):
        assert secret not in study.model_dump_json()


def test_25_gaps_may_be_allowed_and_mark_the_result(
    client: TestClient, service: Service, scanner: SimpleNamespace, work_off: WorkOff, tmp_path: Path
) -> None:
    files = dicom([*series(scanner)[:2], *series(scanner)[3:]], tmp_path / "dicom", scanner)
    data = {"model": "bright-t1c", "series": "t1c=1", "allow_gaps": "true"}
    study = done(client, service, work_off, client.post("/studies", files=files, data=data))
    assert any("1 of 6 slices are missing and were interpolated linearly" in warning.text for warning in study.warnings)
    assert study.facts.shape == (14, 16, 6)


def test_26_identical_copies_are_one_picture(
    client: TestClient, service: Service, scanner: SimpleNamespace, work_off: WorkOff, tmp_path: Path
) -> None:
    files = dicom(series(scanner), tmp_path / "dicom", scanner)
    data = {"model": "bright-t1c", "series": "t1c=1"}
    study = done(client, service, work_off, client.post("/studies", files=[*files, files[0]], data=data))
    assert study.facts.shape == (14, 16, 6)
    assert any("twice" in warning.text for warning in study.warnings)


def packed(members: dict[str, bytes], **changes: Any) -> bytes:
    """Return a zip archive."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in members.items():
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_DEFLATED
            for key, value in changes.items():
                setattr(info, key, value)
            file.writestr(info, data)
    return content.getvalue()


def object_bytes(scanner: SimpleNamespace, folder: Path) -> bytes:
    return bytes(scanner.write(folder, series(scanner)[:1])[0].read_bytes())


def deflated(scanner: SimpleNamespace, folder: Path) -> bytes:
    item = series(scanner)[0]
    item.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    return bytes(scanner.write(folder, [item])[0].read_bytes())


def test_27_deflated_at_once(client: TestClient, scanner: SimpleNamespace, tmp_path: Path, home: Path) -> None:
    content = deflated(scanner, tmp_path / "dicom")
    case = Case("input.transfer_syntax", 415, lambda make: b"")
    for name, upload in (("a.dcm", content), ("a.zip", packed({"a": content}))):
        response = client.post("/studies", files={"files": (name, upload)}, data={"model": "bright-t1c"})
        refused(response, case, home)


def test_30_a_dicomdir_is_ignored(
    client: TestClient, service: Service, scanner: SimpleNamespace, work_off: WorkOff, tmp_path: Path
) -> None:
    directory = scanner.mr_object(scanner.pixels(1)[0], "directory")
    directory.file_meta.MediaStorageSOPClassUID = directory.SOPClassUID = MediaStorageDirectoryStorage
    directory.ReferencedFileID = ["..", "..", "etc", "passwd"]
    members = {
        f"IM{number}": data for number, (_, (_, data)) in enumerate(dicom(series(scanner), tmp_path / "a", scanner))
    }
    members["DICOMDIR"] = scanner.write(tmp_path / "b", [directory])[0].read_bytes()
    files = {"files": ("a.zip", packed(members))}
    data = {"model": "bright-t1c", "series": "t1c=1"}
    study = done(client, service, work_off, client.post("/studies", files=files, data=data))
    assert study.facts.shape == (14, 16, 6)


def archives(inside: bytes) -> dict[str, tuple[str, int, bytes]]:
    link = {"external_attr": (0o120777 << 16), "create_system": 3}
    return {
        "31 climbs": ("input.archive_path", 400, packed({"../a.dcm": inside})),
        "31 absolute": ("input.archive_path", 400, packed({"/a.dcm": inside})),
        "31 drive": ("input.archive_path", 400, packed({"C:\\a.dcm": inside})),
        "31 link": ("input.archive_path", 400, packed({"a.dcm": b"/etc/passwd"}, **link)),
        "32 nested": ("input.archive_nested", 413, packed({"b.zip": packed({"a": inside}), "a": inside})),
        "32 too many members": ("input.too_large", 413, packed({f"{number}": b"" for number in range(5001)})),
        "nothing that is read": ("input.not_dicom", 415, packed({"a.txt": b"text"})),
        "damaged": ("input.archive_damaged", 422, packed({"a": inside})[:-30]),
        "51 DICM and zeros": ("input.truncated", 422, packed({"a.dcm": bytes(128) + b"DICM" + bytes(2**20)})),
    }


@pytest.mark.parametrize("name", archives(b""))
def test_archives(client: TestClient, scanner: SimpleNamespace, tmp_path: Path, home: Path, name: str) -> None:
    code, status, content = archives(object_bytes(scanner, tmp_path / "dicom"))[name]
    before = sorted(tmp_path.rglob("*"))
    response = client.post("/studies", files={"files": ("a.zip", content)}, data={"model": "bright-t1c"})
    refused(response, Case(code, status, lambda make: b""), home)
    assert [path for path in sorted(tmp_path.rglob("*")) if path not in before and "sqlite" not in path.name] == []


def test_32_forged_sizes(
    client: TestClient, service: Service, scanner: SimpleNamespace, work_off: WorkOff, tmp_path: Path
) -> None:
    """The list of members says 100 bytes; the real bytes are counted."""
    content = bytearray(packed({"a": object_bytes(scanner, tmp_path / "dicom")}))
    entry = content.rfind(b"PK\x01\x02")
    struct.pack_into("<L", content, entry + 24, 300)
    files = {"files": ("a.zip", bytes(content))}
    response = client.post("/studies", files=files, data={"model": "bright-t1c"})
    fails(client, service, work_off, response, "input.archive_forged")


@pytest.mark.parametrize(
    "name", ["../../x.nii.gz", "a\x00b.nii.gz", "a\r\nX-Evil: 1.nii.gz", "x" * 10_000, "/etc/passwd"]
)
def test_33_names_of_files(client: TestClient, make: SimpleNamespace, home: Path, tmp_path: Path, name: str) -> None:
    response = client.post("/studies", files={"t1c": (name, make.nifti())}, data={"model": "bright-t1c"})
    assert response.status_code == 202, response.text
    assert "x-evil" not in response.headers
    stored = [path for path in (home / "studies").rglob("*") if path.is_file()]
    assert [path.name for path in stored] == ["0001.nii.gz"]
    assert list(tmp_path.iterdir()) == [home]


def test_33_as_a_browser_would_never_send_it(client: TestClient, make: SimpleNamespace, home: Path) -> None:
    start = b'--x\r\nContent-Disposition: form-data; name="t1c"; filename="'
    body = start + b"../a\x00b" + b'"\r\n\r\n' + make.nifti() + b"\r\n--x--\r\n"
    response = client.post("/studies", content=body, headers={"Content-Type": "multipart/form-data; boundary=x"})
    assert response.status_code in (202, 400)
    assert {path.name for path in (home / "studies").rglob("*") if path.is_file()} <= {"0001.nii.gz"}


PLACES = (
    "http://127.0.0.1:1/a.png",
    "file:///etc/passwd",
    "/etc/passwd",
    "\\\\server\\share",
    "../../a",
    "C:\\a",
    "~/a",
)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", ["files", "file", "model", "series", "stack", "anything"])
def test_34_a_place_in_any_field(client: TestClient, home: Path, make: SimpleNamespace, name: str, place: str) -> None:
    refusal = Case("request.url", 400, lambda make: b"")
    for path in ("/studies", "/predict/"):
        files = [("files", ("a.png", make.png(make.square()))), (name, (None, place))]
        refused(client.post(path, files=files), refusal, home)


@pytest.mark.parametrize("place", PLACES)
def test_34_a_place_in_a_query_or_header(client: TestClient, home: Path, place: str) -> None:
    refusal = Case("request.url", 400, lambda make: b"")
    refused(client.get("/studies", params={"after": place}), refusal, home)
    refused(client.get("/studies", params={"state": place}), refusal, home)
    refused(client.post("/predict/", params={"model": place}), refusal, home)
    refused(client.post("/studies", headers={"Idempotency-Key": place}), refusal, home)


def full_disk(monkeypatch: pytest.MonkeyPatch, part: str) -> None:
    """Let the disk be full under every folder whose path holds a word, when it comes to the last byte."""
    original = os.fsync

    def fsync(descriptor: int) -> None:
        if part in os.readlink(f"/proc/self/fd/{descriptor}"):
            raise OSError(errno.ENOSPC, "No space left on device")
        original(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)


def test_38_a_full_disk_for_an_upload(
    client: TestClient, make: SimpleNamespace, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full_disk(monkeypatch, "/incoming/")
    response = client.post("/studies", files={"t1c": ("a.nii.gz", make.nifti())}, data={"model": "bright-t1c"})
    refused(response, Case("resources.disk", 507, lambda make: b""), home)
    assert client.get("/studies").json()["studies"] == []


def test_38_a_full_disk_where_studies_stay(
    client: TestClient, make: SimpleNamespace, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full_disk(monkeypatch, "/studies")
    response = client.post("/studies", files={"t1c": ("a.nii.gz", make.nifti())}, data={"model": "bright-t1c"})
    assert (response.status_code, response.json()["code"]) == (507, "resources.disk")
    assert [path for path in (home / "studies").rglob("*") if path.is_file()] == []
    assert client.get("/studies").json()["studies"] == []


def test_38_no_room_is_left(make_client: Callable[..., TestClient], make: SimpleNamespace, home: Path) -> None:
    client = make_client(disk_reserve_bytes=2**60)
    response = client.post("/studies", files={"t1c": ("a.nii.gz", make.nifti())}, data={"model": "bright-t1c"})
    refused(response, Case("resources.disk", 507, lambda make: b""), home)
    assert client.get("/ready").json()["checks"]["disk"] is False


def test_38_a_full_disk_of_the_database(client: TestClient, service: Service, make: SimpleNamespace) -> None:
    """SQLite says so in its own way; a page limit makes it say so without a full disk."""
    study = client.post("/studies", files={"t1c": ("a.nii.gz", make.nifti())}).json()["id"]
    with service.database.read() as session:
        pages = session.execute(sa.text("PRAGMA page_count")).scalar_one()
    labels = [f"visit {number}" for number in range(1000)]
    limit = f"PRAGMA max_page_count={pages}"
    sa.event.listen(service.database.engine, "begin", lambda connection: connection.exec_driver_sql(limit))
    answers = (client.patch(f"/studies/{study}", json={"label": label}) for label in labels)
    answer = next(answer for answer in answers if answer.status_code != 200)
    assert (answer.status_code, answer.json()["code"]) == (507, "resources.disk")
    assert client.get(f"/studies/{study}").status_code == 200  # reading goes on


def test_38_a_full_disk_for_a_worker(
    client: TestClient,
    service: Service,
    make: SimpleNamespace,
    work_off: WorkOff,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    files = {"t1c": ("a.nii.gz", make.nifti())}
    response = client.post("/studies", files=files, data={"model": "bright-t1c"})
    full_disk(monkeypatch, "/work")
    fails(client, service, work_off, response, "resources.disk")


BRAINS = """
name = "bright-brain"
data = { modalities = ["t1c"], dimensions = 3 }
preprocess = [{ name = "brain_mask", zero_outside = true }]
model = { name = "cnn", channels = [1, 1] }
train = { precision = "float32", patch_size = [12, 12, 12] }
"""


@pytest.fixture
def brain_model(bright: Path, make: SimpleNamespace) -> str:
    """Install a model of skull-stripped images, and return its name."""
    make.save_bundle(bright / "bundles" / "bright-brain", parse_recipe(BRAINS, where="test"))
    return "bright-brain"


def with_skull() -> np.ndarray:
    """Return a head (20, 24, 10) in noisy air, with two lesions: 27 voxels in the brain, and 8 outside it."""
    data = np.random.default_rng(0).integers(1, 20, (20, 24, 10)).astype(np.int16)
    data[2:18, 2:22, 1:9] = 100
    data[4:7, 5:8, 3:6] = 300
    data[14:16, 18:20, 6:8] = 300
    return data


def brain_of() -> np.ndarray:
    mask = np.zeros((20, 24, 10), np.uint8)
    mask[3:13, 3:17, 2:8] = 1
    return mask


def test_52_a_head_in_which_no_brain_is_found_is_refused_until_a_brain_mask_comes_with_it(
    client: TestClient, service: Service, make: SimpleNamespace, work_off: WorkOff, brain_model: str
) -> None:
    """It has 8 mL, and a brain has at least 100."""
    image = ("t1c", ("t1c.nii.gz", make.nifti(with_skull())))
    response = client.post("/studies", files=[image], data={"model": brain_model})
    failed = fails(client, service, work_off, response, "input.brain_mask")
    assert "no brain was found" in str(failed.failure)
    assert "field brain_mask" in str(failed.failure)
    assert "--modality" not in failed.model_dump_json()
    for mask in (
        ("brain_mask", ("m.nii.gz", make.nifti(brain_of()))),
        ("files", ("t1c_brain_mask.nii.gz", make.nifti(brain_of()))),
    ):
        study = done(
            client, service, work_off, client.post("/studies", files=[image, mask], data={"model": brain_model})
        )
        assert [lesion.voxels for lesion in study.lesions] == [27]
        assert [item.sequence for item in study.inputs] == ["t1c", "brain_mask"]


def test_52_the_brain_of_a_head_with_skull_is_found(
    client: TestClient,
    service: Service,
    make: SimpleNamespace,
    work_off: WorkOff,
    brain_model: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By a stand-in for the network; each phase goes on from disk, as in another process."""

    def forget(cache: JobCache, study_id: str) -> JobCache:
        cache.clear()
        cache.study_id = study_id
        return cache

    def find(_image: Volume, _device: str, on_share: Callable[[float], None]) -> np.ndarray:
        on_share(0.5)
        return brain_of() > 0

    monkeypatch.setattr(JobCache, "for_study", forget)
    monkeypatch.setitem(brain_extraction.METHODS, "network", find)  # type: ignore[index]
    affine = np.diag([6.0, 6.0, 12.0, 1.0])  # 363 mL of brain
    image = ("t1c", ("t1c.nii.gz", make.nifti(with_skull(), affine)))
    study = done(client, service, work_off, client.post("/studies", files=[image], data={"model": brain_model}))
    assert [lesion.voxels for lesion in study.lesions] == [27]
    texts = [warning.text for warning in study.warnings]
    assert any("the network brain-extraction outlined the brain in t1c" in text for text in texts)
    assert any("700 to 2000 mL is usual" in text for text in texts)
    content = client.get(f"/studies/{study.id}/artifacts/brain_mask.nii.gz").content
    mask = nibabel.Nifti1Image.from_bytes(gzip.decompress(content))
    assert np.array_equal(np.asanyarray(mask.dataobj), brain_of())
    report = client.get(f"/studies/{study.id}/artifacts/report.html").text
    assert "Green line: border of the brain mask" in report
    assert "by the network brain-extraction" in report


def test_52_a_brain_mask_comes_with_dicom_too(
    client: TestClient,
    service: Service,
    make: SimpleNamespace,
    scanner: SimpleNamespace,
    work_off: WorkOff,
    tmp_path: Path,
    brain_model: str,
) -> None:
    """The axes of the mask run as a converter to NIfTI leaves them: rows upwards."""
    pixels = np.random.default_rng(0).integers(1, 20, (10, 24, 20)).astype(np.uint16)
    pixels[1:9, 2:22, 2:18] = 100
    pixels[3:6, 5:8, 4:7] = 300
    pixels[6:8, 18:20, 14:16] = 300
    files = dicom(scanner.slices(pixels, SeriesDescription="T1 post"), tmp_path / "dicom", scanner)
    data = {"model": brain_model, "series": "t1c=1"}
    fails(client, service, work_off, client.post("/studies", files=files, data=data), "input.brain_mask")
    (source,) = find_inputs(tmp_path / "dicom", modalities=["t1c"], named={"t1c": "1"})
    volume = source.load().images["t1c"]
    brain = np.zeros(volume.shape, np.uint8)
    brain[3:13, 3:17, 2:8] = 1
    flip = np.diag([1.0, -1, 1, 1])
    flip[1, 3] = volume.shape[1] - 1
    mask = ("brain_mask", ("m.nii.gz", make.nifti(brain[:, ::-1], volume.affine @ flip)))
    study = done(client, service, work_off, client.post("/studies", files=[*files, mask], data=data))
    assert [lesion.voxels for lesion in study.lesions] == [27]
    elsewhere = ("brain_mask", ("m.nii.gz", make.nifti(brain, volume.affine @ np.diag([2.0, 1, 1, 1]))))
    response = client.post("/studies", files=[*files, elsewhere], data=data)
    fails(client, service, work_off, response, "input.affine_mismatch")


@pytest.mark.parametrize(
    ("code", "cure", "build"),
    [
        (
            "input.missing",
            "send the images of the study too",
            lambda make: [("brain_mask", ("m.nii", make.nifti(brain_of(), packed=False)))],
        ),
        (
            "input.duplicate_brain_mask",
            "remove one of them, or send it in the field of its sequence",
            lambda make: [("t1c", ("a.nii.gz", make.nifti())), *[("brain_mask", ("m.nii.gz", make.nifti()))] * 2],
        ),
        (
            "input.brain_mask_kind",
            "send the mask as .nii or .nii.gz",
            lambda make: [("t1c", ("a.nii.gz", make.nifti())), ("brain_mask", ("m.png", make.png(make.square())))],
        ),
        (
            "input.brain_mask_of_pictures",
            "remove it, or send the study as NIfTI or DICOM",
            lambda make: [("files", ("a.png", make.png(make.square()))), ("brain_mask", ("m.nii.gz", make.nifti()))],
        ),
    ],
)
def test_52_brain_masks_that_no_study_can_have(
    client: TestClient, make: SimpleNamespace, code: str, cure: str, build: Callable[[SimpleNamespace], Files]
) -> None:
    response = client.post("/studies", files=build(make), data={"model": "bright-t1c"})
    problem = response.json()
    assert (response.status_code, problem["code"], problem["cure"]) == (422, code, cure)


def test_52_an_empty_brain_mask(
    client: TestClient, service: Service, make: SimpleNamespace, work_off: WorkOff, brain_model: str
) -> None:
    files = [
        ("t1c", ("t1c.nii.gz", make.nifti(with_skull()))),
        ("brain_mask", ("m.nii.gz", make.nifti(np.zeros_like(brain_of())))),
    ]
    response = client.post("/studies", files=files, data={"model": brain_model})
    failed = fails(client, service, work_off, response, "input.empty_brain_mask")
    assert failed.failure is not None
    assert failed.failure.cure == "give a mask that covers the brain"
