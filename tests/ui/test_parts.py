"""Small parts of the page: charts, cards, downloads, the settings, and the command that starts it."""

from __future__ import annotations

import ast
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from streamlit import config

from metseg.runtime.http_protocol import TimedHttpProtocol
from metseg.sample import STUDY, sample_folder
from metseg.schemas import Facts, Failure, Kind, Phase, State, StudySummary
from metseg.ui import app, page_settings
from metseg.ui.pages.history import long_words, outcome_words, short_words
from metseg.ui.pages.model_choice import known_figures
from metseg.ui.pages.preparation import same_slice, steps_of
from metseg.ui.pages.sample_studies import SAMPLES, sample_files, usable_samples
from metseg.ui.pages.study_progress import phase_signs
from metseg.ui.viewer.charts import distribution, threshold_chart, values_chart
from metseg.ui.viewer.components import Burden
from metseg.ui.viewer.display_controls import own_threshold, threshold_words
from metseg.ui.viewer.lesion_table import table_of, table_width
from metseg.ui.viewer.slice_images import first_slice, make_slice
from metseg.ui.viewer.volume_viewer import column_shares

from .fake import (
    MODELS,
    NOW,
    PICTURE_LESION,
    done_pictures,
    done_volume,
    new_id,
    nifti,
    picture_files,
    queued_study,
    volume_lesions,
)

UI = Path(str(app.__file__)).parent


def test_the_page_knows_of_metseg_what_goes_over_the_wire_lesions_and_errors() -> None:
    known = set()
    for path in UI.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module:
                known.add(node.module)
            elif isinstance(node, ast.Import):
                known |= {alias.name for alias in node.names}
    ours = {name for name in known if name.split(".")[0] == "metseg" and not name.startswith("metseg.ui")}
    wire = {
        "metseg.schemas",
        "metseg.version_schemas",
        "metseg.follow_up_schemas",
        "metseg.follow_up_document",
        "metseg.pacs_schemas",
        "metseg.grade_record",
        "metseg.lesion",
        "metseg.headline",
        "metseg.sequence_titles",
        "metseg.errors",
    }
    drawing = {"metseg.class_styles", "metseg.picture_style", "metseg.sample"}
    uploads = {"metseg.client.upload_files", "metseg.picture_channels"}  # which files are sent, and are they grey
    assert ours == wire | drawing | uploads | {"metseg.client.service_api", "metseg.client.service_errors"}


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METSEG_API_URL", "http://10.0.0.7:8000")
    monkeypatch.setenv("METSEG_API_KEY", "secret")
    found = page_settings.settings_from_environment()
    assert (found.api_url, found.api_key) == ("http://10.0.0.7:8000", "secret")
    monkeypatch.delenv("METSEG_API_URL")
    monkeypatch.setenv("METSEG_API_KEY", "")
    monkeypatch.setenv("METSEG_ALLOWED_HOSTS", "Localhost, metseg.ward")
    assert page_settings.settings_from_environment().allowed_hosts == ("localhost", "metseg.ward")
    monkeypatch.delenv("METSEG_ALLOWED_HOSTS")
    assert page_settings.settings_from_environment() == page_settings.PageSettings()


def test_streamlit_knows_every_option_that_is_set() -> None:
    from metseg.ui.page_server import streamlit_options

    known = {name.replace(".", "_") for name in config._config_options_template}
    assert set(streamlit_options("127.0.0.1", 8501, 2**30)) <= known


def test_the_command_hands_over_what_only_it_knows(
    monkeypatch: pytest.MonkeyPatch, run_metseg: Callable[..., Any]
) -> None:
    """Everything but the server itself, which would run until it is ended."""
    from metseg.ui import page_server

    ran: list[tuple[int, int, page_settings.PageSettings]] = []

    def pretend(listener: socket.socket, memory_bytes: int, http: type) -> None:
        assert http is TimedHttpProtocol
        ran.append((listener.getsockname()[1], memory_bytes, page_settings.current()))
        listener.close()

    monkeypatch.setattr(page_server, "run_page", pretend)
    monkeypatch.setenv("METSEG_PAGE_MEMORY_BYTES", "123456789")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    try:
        answer = run_metseg("ui", "--port", port, "--api", "http://127.0.0.1:8123")
        ((listened, memory_bytes, found),) = ran
        monkeypatch.setenv("METSEG_PAGE_MEMORY_BYTES", "much")
        wrong = run_metseg("ui", "--port", port)
    finally:
        page_settings.use(None)
    assert (wrong.status, "METSEG_PAGE_MEMORY_BYTES" in wrong.err) == (2, True)
    assert (listened, memory_bytes) == (port, 123456789)
    assert answer.status == 0
    assert found.api_url == "http://127.0.0.1:8123"
    said = found.read_names(["P7_T1_AX_POST_GAD", "P7_T1_AX_POST", "P7"])
    assert [name.sequence for name in said] == ["t1c", None, None]
    assert [name.is_doubtful for name in said] == [False, True, False]
    behind = found.read_names(["CT_001_T1", "CT_001_FLAIR"])  # the patient is called so, the images are no CT
    assert [name.sequence for name in behind] == ["t1n", "t2f"]
    assert list(found.describe([{"step": "resize", "from": [300, 200], "size": [256, 256]}])) == [
        "Each picture was resized from 300 \u00d7 200 to 256 \u00d7 256 pixels."
    ]


def test_samples_are_there_and_whole() -> None:
    volume, pictures = (sample_files(sample) for sample in SAMPLES.values())
    assert sorted(str(file.sequence) for file in volume) == ["t1c", "t1n", "t2f", "t2w"]
    assert len({len(file.content) for file in volume}) == 4
    # The study that `metseg demo` predicts, on which a test counts the lesions.
    study = {path.name: path.read_bytes() for path in sample_folder(STUDY).glob("*.nii.gz")}
    assert {file.name: file.content for file in volume} == study
    assert pictures
    assert all(file.content.startswith(b"\x89PNG") for file in pictures)


def test_samples_are_offered_where_a_model_takes_them() -> None:
    assert [sample.folder for sample in usable_samples(MODELS)] == ["sample-study", "pictures"]
    assert [sample.folder for sample in usable_samples(MODELS[:1])] == ["pictures"]
    assert usable_samples([]) == []


def test_known_figures_are_those_of_patients_that_were_not_seen() -> None:
    metrics = {"dice": {"mean": 0.83, "low": 0.778, "high": 0.872}, "n_tp": {"mean": 15.7}}
    summary = {"patients": 18, "regions": {"lesion": {"metrics": metrics}}}
    assert known_figures({"test": summary, "validation": {"patients": 9}}) == [
        "Dice 0.83 (0.78 to 0.87)",
        "Mean over 18 test patients, with 95% interval",
    ]
    several = {"patients": 1, "regions": {name: {"metrics": {"dice": {"mean": 0.5}}} for name in ("WT", "ET")}}
    assert known_figures({"test": several}) == [
        "Whole tumour with oedema: Dice 0.50",
        "Enhancing tumour: Dice 0.50",
        "1 test patient",
    ]
    assert known_figures({"validation": summary})[-1] == "Mean over 18 validation patients, with 95% interval"
    assert known_figures({}) == []
    assert known_figures({"test": None, "dice": "high"}) == []


def test_a_distribution_leaves_the_background_out() -> None:
    values = np.concatenate([np.zeros(900), np.linspace(10, 20, 100)])
    centres, shares = distribution(values)
    assert shares.sum() == pytest.approx(1)
    assert (np.diff(centres) > 0).all()
    assert shares.max() < 0.1  # the 900 zeros would be 0.9


@pytest.mark.parametrize("values", [np.zeros(10), np.array([np.nan, 1.0]), np.zeros(0)])
def test_a_distribution_of_hardly_anything(values: Any) -> None:
    _, shares = distribution(values)
    assert np.isfinite(shares).all()


def test_the_threshold_chart_counts_what_lies_above() -> None:
    probability = np.array([0, 20000, 40000, 65535], dtype=np.uint16)
    figure = threshold_chart(probability, 0.5, 2.0)
    curve = dict(zip(figure.data[0].x, figure.data[0].y, strict=True))
    assert (curve[0.01], curve[0.5], curve[0.99]) == (6.0, 4.0, 2.0)
    assert "mL" in figure.layout.yaxis.title.text


def test_values_before_and_after_are_two_lines() -> None:
    figure = values_chart({"Before": np.arange(100.0), "After": np.arange(100.0) / 7})
    assert [line.name for line in figure.data] == ["Before", "After"]


def test_the_table_has_mm_only_where_there_are_any() -> None:
    assert list(table_of(done_volume()).columns) == [
        "No.",
        "Volume (mL)",
        "Longest diameter (mm)",
        "Place",
        "Confidence",
    ]
    pictures = table_of(done_pictures(lesions=(PICTURE_LESION,)))
    assert list(pictures.columns) == ["No.", "Pixels", "Place", "Confidence"]
    assert list(pictures["Place"]) == ["picture 2"]
    several = [lesion.model_copy(update={"label": name}) for lesion, name in zip(volume_lesions(), "ab", strict=True)]
    assert "Kind" in table_of(done_volume(lesions=tuple(several))).columns
    # In a window of 1280 pixels, 917 are left for viewer and table: no column of the table is cut off.
    for study in (done_volume(), done_volume(lesions=tuple(several))):
        viewer, table = column_shares(study)
        assert table >= table_width(study)
        assert viewer + table == 917
        assert viewer > 500


def test_a_threshold_is_shown_as_the_slider_can() -> None:
    assert own_threshold(done_volume(facts=Facts(threshold=0.373))) == 0.37
    assert own_threshold(done_volume(facts=Facts())) == 0.5
    assert own_threshold(done_volume(facts=Facts(threshold=1.0))) == 0.99


def test_a_preview_says_what_it_is() -> None:
    said = threshold_words(done_volume(), 0.3, Burden(1, 50, None))
    assert said.startswith("Preview at 0.30: 1 finding, 50 pixels.")
    assert "the model's threshold, 0.50" in said


def test_phases_have_signs() -> None:
    signs = phase_signs(queued_study(state=State.RUNNING, phase=Phase.PREPROCESS))
    assert [sign.strip(":").rpartition("/")[2] for _, sign in signs] == [
        "check_circle",
        "check_circle",
        "pending",
        "radio_button_unchecked",
        "radio_button_unchecked",
        "radio_button_unchecked",
    ]
    assert not any("pending" in sign for _, sign in phase_signs(queued_study()))


def summary(**changes: Any) -> StudySummary:
    base = {"id": new_id(), "state": State.DONE, "phase": Phase.RENDER, "progress": 1.0, "kind": Kind.NIFTI}
    return StudySummary.model_validate({**base, "created_at": NOW, "updated_at": NOW, **changes})


def test_studies_in_a_line() -> None:
    assert [outcome_words(summary(lesions=count)) for count in (0, 1, 5)] == [
        "nothing found",
        "1 finding",
        "5 findings",
    ]
    running = summary(state=State.RUNNING, progress=0.4)
    assert (outcome_words(running), "being analysed" in short_words(running)) == ("40%", True)
    failed = summary(state=State.FAILED, failure=Failure(code="input.not_mr", detail="x"), model="mets-3d")
    assert long_words(failed) == "volume by mets-3d, failed: These are not MR images"


def test_slices_are_read_and_clicked() -> None:
    files = picture_files()
    piece = make_slice(*(files[f"{name}-2.png"] for name in ("image", "mask", "probability", "lesions")))
    assert piece.shape == (30, 40)
    assert piece.lesion_at(12, 23) == 1
    assert piece.lesion_at(23, 12) is None
    assert np.count_nonzero(piece.mask(0.9)) == 48
    assert np.count_nonzero(piece.mask(0.2)) == 30 * 40


def test_a_slice_of_0_1_0_can_be_looked_at_without_its_instance_map() -> None:
    files = picture_files()
    piece = make_slice(files["image-2.png"], files["mask-2.png"], files["probability-2.png"], None)
    assert piece.lesion_at(12, 23) is None
    assert np.count_nonzero(piece.mask(None)) == 48


def test_the_slice_to_begin_with() -> None:
    assert first_slice(done_pictures()) == 1
    assert first_slice(done_pictures(lesions=(), facts=Facts(slices=5))) == 2


def test_before_and_after_show_the_same_height() -> None:
    """Prepared with slices half as thick, and begun two slices of the original higher."""
    from metseg.ui.viewer.nifti_bytes import read_nifti

    before = read_nifti(nifti(np.zeros((4, 4, 10), dtype=np.uint8), np.diag([1.0, 1.0, 3.0, 1.0])))
    affine = np.diag([1.0, 1.0, 1.5, 1.0])
    affine[2, 3] = 6.0
    after = read_nifti(nifti(np.zeros((4, 4, 16), dtype=np.uint8), affine))
    assert same_slice(before, after, (1, 1, 5)) == 6
    assert same_slice(before, after, (1, 1, 0)) == 0
    assert same_slice(before, after, (1, 1, 9)) == 14


@pytest.mark.parametrize(
    "document", [b"", b"[]", b"null", b'{"technique": null}', b'{"technique": {"preprocess": [1]}}']
)
def test_a_document_without_steps(document: bytes) -> None:
    assert steps_of(document) == []
