"""The phases as plain functions over a folder: what they find, what they leave, and that they may be cut short."""

from __future__ import annotations

import gzip
import json
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nibabel
import numpy as np
import pytest
from PIL import Image

from metseg.errors import BundleError, InputError, MetsegError, ResourceError
from metseg.inference import lesion_sides, network_predictor
from metseg.inference.lesion_table import find_lesions
from metseg.inference.outputs.case_document import CaseReport
from metseg.labels import LABEL_SCHEMES
from metseg.lesion import Lesion
from metseg.preprocess.prepared_case import Record
from metseg.schemas import Facts, Phase
from metseg.serve.jobs.attempts import noted
from metseg.serve.jobs.phases import phase_table as phases_module
from metseg.serve.jobs.phases import predict_phase, preprocess_phase
from metseg.serve.jobs.phases.intermediates import anonymous, load_case, save_case
from metseg.serve.jobs.phases.job import Job, JobCache, Outcome
from metseg.serve.jobs.phases.model_cache import Models
from metseg.serve.jobs.phases.phase_table import PHASES, run_phase
from metseg.ui.viewer.lesion_table import place_words
from metseg.volume import Case, Volume

STUDY = "0123456789abcdef0123456789abcdef"


def run_all(job: Job, *, anew: bool = False) -> dict[Phase, Outcome]:
    """Run every phase; with `anew`, each as a process would that knows nothing of those before."""
    outcomes = {}
    for phase in Phase:
        if anew:
            job = replace(job, cache=JobCache(), models=Models(kept=1, device="cpu"))
        outcomes[phase] = run_phase(phase, job)
    return outcomes


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_the_table_has_the_phases_in_their_order() -> None:
    assert list(PHASES) == list(Phase)


def test_a_volume(make_job: Callable[..., Job], volume_files: list[Any], given: Any) -> None:
    job = make_job(volume_files, "bright-two")
    outcomes = run_all(job)

    results = {"mask.nii.gz", "probability.nii.gz", "image.nii.gz", "prepared.nii.gz", "overlay.png"}
    assert names(job.folder.artifacts) == results | {
        *("thumbnail.png", "lesions.csv", "lesions.json", "lesions.nii.gz", "report.pdf", "report.html"),
        "sequence-t2f.nii.gz",
    }
    t1c, t2f = given.volume_arrays()
    other = nibabel.load(job.folder.artifacts / "sequence-t2f.nii.gz")
    np.testing.assert_array_equal(np.asanyarray(other.dataobj), t2f)
    mask = nibabel.load(job.folder.artifacts / "mask.nii.gz")
    np.testing.assert_array_equal(np.asanyarray(mask.dataobj), t1c > 200)
    np.testing.assert_array_equal(mask.affine, given.affine)
    image = nibabel.load(job.folder.artifacts / "image.nii.gz")
    np.testing.assert_array_equal(np.asanyarray(image.dataobj), t1c)
    probability = nibabel.load(job.folder.artifacts / "probability.nii.gz").get_fdata()
    # The logit is a tenth of what a voxel is brighter than 200; half precision keeps three digits.
    np.testing.assert_allclose(probability, 1 / (1 + np.exp(-0.1 * (t1c - 200.0))), atol=1e-3)

    lesions = [Lesion.model_validate(lesion) for lesion in outcomes[Phase.MEASURE].lesions or ()]
    assert [lesion.voxels for lesion in lesions] == [27, 8]
    assert [lesion.volume_ml for lesion in lesions] == [0.054, 0.016]  # voxels of 1 x 1 x 2 mm
    assert lesions[0].centre_voxel == (5, 6, 4)
    assert lesions[0].centre_mm == (5, -6, 13)
    marked = nibabel.load(job.folder.artifacts / "lesions.nii.gz")
    np.testing.assert_array_equal(marked.affine, given.affine)
    instances = np.asanyarray(marked.dataobj)
    assert instances.dtype == np.uint16
    np.testing.assert_array_equal(instances > 0, t1c > 200)
    assert np.bincount(instances.ravel())[1:].tolist() == [27, 8]  # the ids of the table
    facts = Facts.model_validate(outcomes[Phase.READ].facts)
    assert (facts.model, facts.reference, facts.sequences) == ("bright-two", "t1c", ("t1c", "t2f"))
    assert (facts.shape, facts.spacing_mm, facts.slices) == ((20, 24, 10), (1, 1, 2), 0)
    assert (job.folder.artifacts / "report.pdf").read_bytes().startswith(b"%PDF-")
    page = (job.folder.artifacts / "report.html").read_text()
    assert STUDY in page
    assert "No lesion found." not in page


def test_a_registered_sequence_lies_where_the_registration_says(
    make_job: Callable[..., Job], volume_files: list[Any], given: Any
) -> None:
    job = make_job(volume_files, "bright-two")
    run_phase(Phase.READ, job)
    world = np.eye(4)
    world[:3, 3] = (0, 0, 5)  # what lies at z in the reference was at z + 5 mm in the other image
    record = Record("align", {"reference": "t1c", "moved": {"t2f": {"world": world.tolist()}}})
    preprocess_phase._give_sequences(job, SimpleNamespace(records=[record]))  # type: ignore[arg-type]
    placed = nibabel.load(job.folder.artifacts / "sequence-t2f.nii.gz")
    np.testing.assert_array_equal(np.asanyarray(placed.dataobj), given.volume_arrays()[1])
    np.testing.assert_allclose(placed.affine[:3, 3], np.asarray(given.affine)[:3, 3] - (0, 0, 5))


@pytest.mark.parametrize("anew", [False, True])
def test_which_file_is_which_sequence_is_in_facts_document_and_report(
    make_job: Callable[..., Job], volume_files: list[Any], anew: bool
) -> None:
    job = make_job(volume_files, "bright-two")
    outcomes = run_all(job, anew=anew)
    expected = [
        {"sequence": "t1c", "source": "file 1", "reason": "reason 1"},
        {"sequence": "t2f", "source": "file 2", "reason": "reason 2"},
    ]
    assert outcomes[Phase.READ].facts["sequence_records"] == expected
    assert json.loads((job.folder.artifacts / "lesions.json").read_text())["sequences"] == expected
    assert "read from file 1 (reason 1)" in (job.folder.artifacts / "report.html").read_text()


def test_what_the_network_saw_can_be_looked_at(make_job: Callable[..., Job], volume_files: list[Any]) -> None:
    job = make_job(volume_files, "bright-two")
    run_all(job)
    prepared = nibabel.load(job.folder.artifacts / "prepared.nii.gz")
    seen = nibabel.as_closest_canonical(nibabel.load(job.folder.artifacts / "image.nii.gz"))
    np.testing.assert_allclose(prepared.get_fdata(), seen.get_fdata(), atol=300 / 32767)
    np.testing.assert_allclose(prepared.affine, seen.affine)


def test_the_table_of_lesions(make_job: Callable[..., Job], volume_files: list[Any]) -> None:
    job = make_job(volume_files, "bright-two")
    run_all(job)
    header, first, second = (job.folder.artifacts / "lesions.csv").read_text().splitlines()
    row = dict(zip(header.split(","), first.split(","), strict=True))
    assert (row["id"], row["voxels"], row["volume_ml"]) == ("1", "27", "0.054")
    assert (row["centre_mm_x"], row["centre_mm_y"], row["centre_mm_z"]) == ("5.0", "-6.0", "13.0")
    assert row["slice_index"] == ""
    assert second.startswith("2,")
    document = json.loads((job.folder.artifacts / "lesions.json").read_text())
    assert [lesion["voxels"] for lesion in document["lesions"]] == [27, 8]
    assert document["case"] == STUDY


@pytest.mark.parametrize("count", [1, 3])
def test_pictures(
    make_job: Callable[..., Job], picture_files: Callable[[int], list[Any]], given: Any, count: int
) -> None:
    job = make_job(picture_files(count), "bright-pictures")
    outcomes = run_all(job)
    for number in range(1, count + 1):
        mask = np.asarray(Image.open(job.folder.artifacts / f"mask-{number}.png"))
        np.testing.assert_array_equal(mask, np.where(given.picture_array(number) > given.bright, 255, 0))
        shown = Image.open(job.folder.artifacts / f"image-{number}.png")
        assert shown.size == (40, 32)
        overlay = np.asarray(Image.open(job.folder.artifacts / f"overlay-{number}.png")).astype(int)
        np.testing.assert_array_equal(np.ptp(overlay[:32, :40], axis=-1) > 0, mask > 0)  # coloured where lesion is
        assert (overlay[32:].min(axis=-1) > 200).sum() > 100  # id and disclaimer below the picture
        probability = np.asarray(Image.open(job.folder.artifacts / f"probability-{number}.png"))
        assert probability.dtype == np.uint16
        np.testing.assert_array_equal(probability > 32767, mask > 0)
    lesions = outcomes[Phase.MEASURE].lesions or ()
    # The squares of neighbouring pictures overlap, so they are one lesion; a picture's square has the side of its
    # number and one.
    assert [lesion["voxels"] for lesion in lesions] == [sum((n + 1) ** 2 for n in range(1, count + 1))]
    assert [(lesion["slice_index"], lesion["slices"]) for lesion in lesions] == [(count - 1, list(range(count)))]
    for number in range(1, count + 1):
        marked = np.asarray(Image.open(job.folder.artifacts / f"lesions-{number}.png"))
        np.testing.assert_array_equal(marked, given.picture_array(number) > given.bright)  # lesion 1 and background
    assert {lesion["volume_ml"] for lesion in lesions} == {None}
    assert {"overlay.png", "report.pdf", "report.html", "lesions.csv"} <= names(job.folder.artifacts)


def test_where_pictures_are_missing_is_kept_without_their_names(tmp_path: Path) -> None:
    images = {"t2f": Volume(np.arange(24, dtype=np.uint8).reshape(4, 3, 2))}
    case = Case("case", "patient", images, slice_names=("P_3", "P_9"), slice_gaps=(False, True))
    save_case(anonymous(case, STUDY), tmp_path / "case")
    kept = load_case(tmp_path / "case")
    assert (kept.slice_names, kept.slice_gaps) == (("0001", "0002"), (False, True))


def test_the_page_is_given_the_slice_of_the_largest_region() -> None:
    """Two arms of six and four pixels in slice 0 meet in slice 1, where one region has seven."""
    labels = np.zeros((12, 8, 2), dtype=np.uint8)
    labels[0:6, 2, 0] = labels[2:6, 5, 0] = 1
    labels[2, 2:6, 1] = labels[3:6, 2, 1] = 1
    probability = np.full(labels.shape, 0.75, dtype=np.float32)
    (lesion,), _ = find_lesions(labels, probability, None, LABEL_SCHEMES["binary"], slicewise=True)
    assert (lesion.voxels, lesion.slice_index, lesion.slices) == (17, 1, (0, 1))
    assert place_words(lesion, 2) == "picture 2, in 2 of 2 slices"


def test_nifti_made_of_pictures_has_no_place(
    make_job: Callable[..., Job], picture_files: Callable[[int], list[Any]], given: Any
) -> None:
    job = make_job(picture_files(2), "bright-pictures")
    run_all(job)
    for name in ("mask.nii.gz", "probability.nii.gz", "image.nii.gz", "prepared.nii.gz"):
        header = nibabel.load(job.folder.artifacts / name).header
        assert header.get_data_shape() == (40, 32, 2)
        assert (int(header["sform_code"]), int(header["qform_code"])) == (0, 0)
        assert header.get_xyzt_units()[0] == "unknown"
    mask = np.asanyarray(nibabel.load(job.folder.artifacts / "mask.nii.gz").dataobj)
    np.testing.assert_array_equal(mask[:, :, 1].T, given.picture_array(2) > given.bright)


def test_no_lesion_is_a_result(
    make_job: Callable[..., Job], volume_files: list[Any], given: Any, tmp_path: Path
) -> None:
    dark = np.full((8, 9, 7), 50, dtype=np.int16)
    files = [
        file._replace(path=given.write_volume(tmp_path / f"{file.sequence}.nii.gz", dark)) for file in volume_files
    ]
    job = make_job(files, "bright-two")
    outcomes = run_all(job)
    assert outcomes[Phase.MEASURE].lesions == ()
    assert len((job.folder.artifacts / "lesions.csv").read_text().splitlines()) == 1
    assert "No lesion found." in (job.folder.artifacts / "report.html").read_text()


def test_each_phase_goes_on_from_disk(make_job: Callable[..., Job], volume_files: list[Any], tmp_path: Path) -> None:
    """Another process for every phase, which has nothing in memory, leaves the same."""
    at_once = make_job(volume_files, "bright-two")
    expected = run_all(at_once)
    at_once.folder.root.rename(tmp_path / "at_once")
    in_turn = make_job(volume_files, "bright-two")
    got = run_all(in_turn, anew=True)
    for phase in Phase:
        assert replace(got[phase], elapsed_s=0, kept={}) == replace(expected[phase], elapsed_s=0, kept={})
    results = [f"{name}.nii.gz" for name in ("mask", "probability", "image", "prepared", "lesions")]
    for name in (*results, "overlay.png", "lesions.csv"):
        assert (in_turn.folder.artifacts / name).read_bytes() == (tmp_path / "at_once/artifacts" / name).read_bytes()


def test_what_one_phase_made_the_next_is_handed(
    make_job: Callable[..., Job], volume_files: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within one process the mask is read from disk by no phase, and lesions, sides and document are made once."""
    made: Counter[str] = Counter()

    def count(module: Any, name: str) -> None:
        function = getattr(module, name)

        def counted(*args: Any, **options: Any) -> Any:
            made[name] += 1
            return function(*args, **options)

        monkeypatch.setattr(module, name, counted)

    count(predict_phase, "load_segmentation")
    count(network_predictor, "find_lesions")
    count(lesion_sides, "sides")
    count(CaseReport, "document")
    run_all(make_job(volume_files, "bright-two"))
    assert made == {"find_lesions": 1, "sides": 1, "document": 1}


def test_a_study_of_0_1_0_that_was_measured_is_rendered(make_job: Callable[..., Job], volume_files: list[Any]) -> None:
    """The service may be upgraded between two phases: the document then lacks sides and sizes by class."""
    job = make_job(volume_files, "bright-two")
    run_all(job)
    path = job.folder.artifacts / "lesions.json"
    document = json.loads(path.read_text())
    new = [name for name in document["lesions"][0] if name == "side" or name.endswith("mm_by_label") or "ml_by" in name]
    assert len(new) == 4
    for lesion in document["lesions"]:
        for name in new:
            del lesion[name]
    path.write_text(json.dumps(document))
    (job.folder.work / "render.json").unlink()
    report = job.folder.artifacts / "report.html"
    expected = report.read_text()
    report.unlink()
    run_phase(Phase.RENDER, replace(job, cache=JobCache()))
    digest = re.compile("report [0-9a-f]{12}")  # over all that is known of a lesion
    assert digest.sub("", report.read_text()) == digest.sub("", expected)


def test_what_is_done_is_not_done_again(
    make_job: Callable[..., Job], volume_files: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    job = make_job(volume_files, "bright-two")
    outcomes = run_all(job)

    def never(_job: Job) -> Outcome:
        raise AssertionError("done again")

    monkeypatch.setattr(phases_module, "PHASES", dict.fromkeys(Phase, never))
    assert run_all(replace(job, cache=JobCache())) == outcomes


def test_a_phase_that_was_cut_short_is_done_again(
    make_job: Callable[..., Job], volume_files: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its artifacts are in place, its outcome is not: what a process leaves that is killed just then."""
    job = make_job(volume_files, "bright-two")
    run_all(job)
    mask = (job.folder.artifacts / "mask.nii.gz").read_bytes()
    (job.folder.artifacts / "mask.nii.gz").write_bytes(b"half of it")
    shutil.rmtree(job.folder.work / "segmentation")
    (job.folder.work / "predict.json").unlink()
    run_phase(Phase.PREDICT, replace(job, cache=JobCache()))
    assert (job.folder.artifacts / "mask.nii.gz").read_bytes() == mask


def test_the_share_that_is_done_grows(make_job: Callable[..., Job], volume_files: list[Any]) -> None:
    shares: list[float] = []
    job = replace(make_job(volume_files, "bright-two"), on_share=shares.append)
    for phase in (Phase.RECEIVE, Phase.READ, Phase.PREPROCESS):
        run_phase(phase, job)
    shares.clear()
    run_phase(Phase.PREDICT, job)
    assert len(shares) > 2
    assert shares == sorted(shares)
    assert 0 < shares[0] < shares[-1] <= 1


def test_whoever_watches_can_end_a_phase(make_job: Callable[..., Job], volume_files: list[Any]) -> None:
    job = make_job(volume_files, "bright-two")
    for phase in (Phase.RECEIVE, Phase.READ, Phase.PREPROCESS):
        run_phase(phase, job)

    class Ended(BaseException):
        pass

    def end(share: float) -> None:
        raise Ended

    with pytest.raises(Ended):
        run_phase(Phase.PREDICT, replace(job, on_share=end))
    assert not (job.folder.work / "predict.attempts").exists()  # ended, not died
    assert not (job.folder.work / "predict.json").exists()
    run_phase(Phase.PREDICT, job)


@pytest.mark.parametrize("damage", ["changed", "shorter", "missing"])
def test_a_file_that_is_not_as_received(make_job: Callable[..., Job], volume_files: list[Any], damage: str) -> None:
    job = make_job(volume_files, "bright-two")
    path = job.uploads[1].path
    content = path.read_bytes()
    path.unlink()
    if damage != "missing":
        path.write_bytes(content[:-1] + (bytes([content[-1] ^ 1]) if damage == "changed" else b""))
    with pytest.raises(ResourceError, match="file 2: a received file is missing or damaged") as caught:
        run_phase(Phase.RECEIVE, job)
    assert caught.value.code == "resources.storage"


def failing(job: Job) -> MetsegError:
    run_phase(Phase.RECEIVE, job)
    with pytest.raises(MetsegError) as caught:
        run_phase(Phase.READ, job)
    return caught.value


def test_a_missing_sequence_is_named(make_job: Callable[..., Job], volume_files: list[Any]) -> None:
    error = failing(make_job(volume_files[:1], "bright-two"))
    assert (error.code, error.what) == ("input.missing_sequence", "the case lacks t2f")


def test_files_of_which_nobody_knows_what_they_show(make_job: Callable[..., Job], volume_files: list[Any]) -> None:
    nameless = [volume_files[0], volume_files[1]._replace(sequence=None)]
    error = failing(make_job(nameless, "bright-two"))
    assert (error.code, error.where) == ("input.unknown_sequence", "file 2")


def test_two_files_for_one_sequence(make_job: Callable[..., Job], volume_files: list[Any]) -> None:
    error = failing(make_job([*volume_files, volume_files[0]], "bright-two"))
    assert (error.code, error.where, error.got) == ("input.duplicate_sequence", "file 3", "file 1 too")


def test_pictures_for_a_model_of_volumes(
    make_job: Callable[..., Job], picture_files: Callable[[int], list[Any]]
) -> None:
    assert failing(make_job(picture_files(1), "bright-two")).code == "input.dimensions"


def test_a_truncated_file_fails_when_it_is_decoded(make_job: Callable[..., Job], volume_files: list[Any]) -> None:
    path = volume_files[0].path
    path.write_bytes(path.read_bytes()[:-40])
    assert failing(make_job(volume_files, "bright-two")).code == "input.truncated"


def test_a_model_that_was_replaced_meanwhile(make_job: Callable[..., Job], volume_files: list[Any], home: Path) -> None:
    from metseg.model.bundle import load_bundle, save_bundle

    job = make_job(volume_files, "bright-two")
    for phase in (Phase.RECEIVE, Phase.READ, Phase.PREPROCESS):
        run_phase(phase, job)
    folder = home / "bundles" / "bright-two"
    old = load_bundle(folder)
    save_bundle(folder, networks=old.networks, recipe=old.recipe, card="another", metrics={})
    with pytest.raises(BundleError, match="replaced by another of the same name"):
        run_phase(Phase.PREDICT, job)


def test_memory_that_does_not_suffice_is_freed_first(
    make_job: Callable[..., Job], volume_files: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    job = make_job(volume_files, "bright-two")
    job.models.get("bright-two")
    seen: list[tuple[str, ...]] = []

    def hungry(job: Job) -> Outcome:
        seen.append(job.models.names)
        if len(seen) < 3:
            raise MemoryError
        return Outcome()

    monkeypatch.setattr(phases_module, "PHASES", {Phase.PREDICT: hungry})
    run_phase(Phase.PREDICT, job, attempts=3)
    assert seen == [("bright-two",), (), ()]


def test_memory_that_never_suffices_fails_the_study(
    make_job: Callable[..., Job], volume_files: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[Phase] = []

    def hungry(job: Job) -> Outcome:
        calls.append(Phase.PREDICT)
        raise RuntimeError("[enforce fail at alloc_cpu.cpp:114] DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(phases_module, "PHASES", {Phase.PREDICT: hungry})
    with pytest.raises(ResourceError) as caught:
        run_phase(Phase.PREDICT, make_job(volume_files, "bright-two"), attempts=3)
    assert caught.value.code == "resources.memory"
    assert len(calls) == 3


def test_a_study_that_kills_its_worker_is_not_begun_for_ever(
    make_job: Callable[..., Job], volume_files: list[Any]
) -> None:
    job = make_job(volume_files, "bright-two")
    note = job.folder.work / "receive.attempts"
    code = (
        "import os\nfrom pathlib import Path\nfrom metseg.serve.jobs.attempts import noted\n"
        f"with noted(Path({str(note)!r}), limit=3): os._exit(9)"
    )
    for _ in range(3):
        assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 9
    with pytest.raises(ResourceError, match="died 3 times") as caught:
        run_phase(Phase.RECEIVE, job, attempts=3)
    assert caught.value.code == "resources.memory"
    assert note.read_text() == "3"


def test_a_note_is_taken_back_whatever_came_of_the_attempt(tmp_path: Path) -> None:
    note = tmp_path / "note"
    note.write_text("1")
    with noted(note, limit=3):
        assert note.read_text() == "2"
    assert note.read_text() == "1"
    note.unlink()
    with pytest.raises(InputError), noted(note, limit=3):
        raise InputError("wrong")
    assert not note.exists()


def test_nothing_tells_who_it_was(make_job: Callable[..., Job], volume_files: list[Any], given: Any) -> None:
    """The name that stands in the headers and was that of the files is in no file that is left."""
    job = make_job(volume_files, "bright-two")
    run_all(job)
    needles = (given.patient.encode(), *given.patient.encode().split(b"^"))
    left = [path for folder in (job.folder.work, job.folder.artifacts) for path in folder.rglob("*") if path.is_file()]
    assert len(left) > 15
    for path in left:
        content = path.read_bytes()
        content = gzip.decompress(content) if path.suffix == ".gz" else content
        assert not [needle for needle in needles if needle in content], path.name
    assert any(given.patient.encode() in gzip.decompress(upload.path.read_bytes()) for upload in job.uploads)
