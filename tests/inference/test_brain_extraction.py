"""The brain in heads with skull: when it is looked for, in which image, what is checked, and what follows from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from metseg.errors import InputError, UsageError
from metseg.inference.batch import predict_paths
from metseg.inference.brain import brain_extraction
from metseg.inference.brain.brain_border import border_warnings
from metseg.inference.brain.brain_extraction import ensure_brain_mask, extract_brain, extraction_fingerprint
from metseg.inference.outputs.case_document import CaseReport
from metseg.inference.prediction_data import brain_of
from metseg.inference.predictor import Predictor
from metseg.io.volumes.volume_case import ImageFile, VolumeSource
from metseg.preprocess.brain_mask_rules import extraction_method, needs_brain_extraction
from metseg.preprocess.cache import build_cache
from metseg.preprocess.cache.cache_key import recipe_stamp
from metseg.preprocess.pipeline import prepare
from metseg.recipe import Recipe, parse_recipe
from metseg.volume import BRAIN_MASK, Case, Volume

GRID = (36, 40, 32)
AFFINE = np.diag([5.0, 5.0, 5.0, 1.0])


def ball(radius: float, shape: tuple[int, int, int] = GRID) -> np.ndarray:
    index = np.moveaxis(np.indices(shape), 0, -1) - (np.array(shape) - 1) / 2
    return np.linalg.norm(index, axis=-1) < radius


#: 1,149 mL.
BRAIN_VOXELS = ball(13.0)


def head(value: float = 300, *, noise: float = 9.0) -> Volume:
    """Return a head: brain, a dark skull, bright skin, and air of noise."""
    data = np.where(ball(15.4), 900.0, 0.0)
    data[ball(14.4)] = 60.0
    data[BRAIN_VOXELS] = value
    data += np.abs(np.random.default_rng(0).normal(0, noise, GRID)) if noise else 0
    return Volume(data.astype(np.float32), AFFINE)


def stripped(value: float = 300) -> Volume:
    return Volume((BRAIN_VOXELS * np.linspace(value, 1.2 * value, GRID[0])[:, None, None]).astype(np.float32), AFFINE)


def study(**images: Volume) -> Case:
    return Case("case", "patient", images)


def recipe(step: str = "{ name = 'brain_mask', zero_outside = true }", *, more: str = "", before: str = "") -> Recipe:
    return parse_recipe(
        f"""
        name = "known"
        data = {{ modalities = ["t1c", "t2f"], optional = ["t2f"], reference = "t1c", dimensions = 3 }}
        preprocess = [{before} {step} {more}]
        model = {{ name = "cnn", channels = [1, 1] }}
        train = {{ precision = "float32", patch_size = [16, 16, 16] }}
        """,
        where="test",
    )


@pytest.fixture
def by_value(monkeypatch: pytest.MonkeyPatch) -> list[Volume]:
    """Let the "network" take for brain what has a value from 200 to 400, and return the images that it was given."""
    seen: list[Volume] = []

    def find(image: Volume, device: str, on_share: Callable[[float], None]) -> np.ndarray:
        seen.append(image)
        on_share(1.0)
        values = np.asarray(image.data, dtype=np.float32)
        return (values > 200) & (values < 400)

    monkeypatch.setitem(brain_extraction.METHODS, "network", find)  # type: ignore[index]
    return seen


@pytest.mark.parametrize(
    ("case", "step", "wanted"),
    [
        (study(t1c=head()), "{ name = 'brain_mask' }", True),
        (study(t1c=stripped()), "{ name = 'brain_mask' }", False),
        (study(t1c=stripped(), t2f=head()), "{ name = 'brain_mask' }", True),
        (study(t1c=head(noise=0)), "{ name = 'brain_mask' }", True),  # air erased, and larger than a brain
        (study(t1c=stripped(), t2f=stripped(90), adc=head()), "{ name = 'brain_mask' }", False),  # adc is not used
        (study(t1c=head(), brain_mask=stripped(1)), "{ name = 'brain_mask' }", False),
        (study(t1c=head()), "{ name = 'brain_mask', otherwise = 'head' }", False),
        (study(t1c=head()), "{ name = 'brain_mask', source = 'file' }", False),
        (study(t1c=head()), "{ name = 'brain_mask', source = 'nonzero' }", False),
        (study(t1c=stripped()), "{ name = 'brain_mask', source = 'network' }", False),
        (study(t1c=head(), brain_mask=stripped(1)), "{ name = 'brain_mask', source = 'network' }", False),
        (study(t1c=head()), "{ name = 'brain_mask', source = 'network', otherwise = 'head' }", True),
        (study(t1c=head()), "{ name = 'zscore' }", False),
        (study(t1c=Volume(head().data)), "{ name = 'brain_mask' }", False),  # of unknown size
        (study(adc=head()), "{ name = 'brain_mask' }", False),
        (replace(study(t1c=head()), slice_names=("a",) * GRID[2]), "{ name = 'brain_mask' }", False),
    ],
)
def test_when_the_brain_is_looked_for(case: Case, step: str, wanted: bool) -> None:
    assert needs_brain_extraction(case, recipe(step)) is wanted


def test_a_head_gets_the_mask_of_its_reference(by_value: list[Volume]) -> None:
    case = study(t2f=head(250), t1c=head())
    found = ensure_brain_mask(case, recipe())
    assert [image.data is case.images["t1c"].data for image in by_value] == [True]
    assert np.array_equal(found.images[BRAIN_MASK].data, BRAIN_VOXELS)
    record = found.brain_mask_record
    assert record is not None
    assert (record.method, record.sequence) == ("network", "t1c")
    assert record.volume_ml == pytest.approx(BRAIN_VOXELS.sum() * 0.125, abs=0.1)
    assert record.model == extraction_fingerprint(recipe())
    assert found.warnings == (
        "the images show a head with skull; the network brain-extraction outlined the brain in t1c",
    )
    prepared = prepare(found, recipe())
    assert np.array_equal(prepared.head, BRAIN_VOXELS)
    assert not prepared.image[:, ~BRAIN_VOXELS].any()
    details = next(each.details for each in prepared.records if each.step == "brain_mask")
    assert (details["found"], details["sequence"]) == ("network", "t1c")


def test_what_has_a_mask_or_no_skull_is_left_as_it_is(by_value: list[Volume]) -> None:
    for case in (study(t1c=stripped()), study(t1c=head(), brain_mask=stripped(1))):
        assert ensure_brain_mask(case, recipe()) is case
    assert by_value == []


def test_where_the_reference_shows_no_brain_the_next_image_is_taken(by_value: list[Volume]) -> None:
    found = ensure_brain_mask(study(t1c=head(value=600), t2f=head(250), t2w=head(650)), recipe())
    assert found.brain_mask_record is not None
    assert found.brain_mask_record.sequence == "t2f"
    assert len(by_value) == 3  # t1c, t2w, t2f


def test_an_image_on_another_grid_is_taken_only_where_the_recipe_aligns(by_value: list[Volume]) -> None:
    elsewhere = head(250)
    assert elsewhere.affine is not None
    elsewhere = Volume(elsewhere.data, elsewhere.affine @ np.diag([0.99, 1, 1, 1]))
    case = study(t1c=head(value=600), t2f=elsewhere)
    with pytest.raises(InputError) as caught:
        ensure_brain_mask(case, recipe())
    assert caught.value.code == "input.brain_mask"
    aligned = ensure_brain_mask(case, recipe(before='{ name = "align", method = "resample" },'))
    assert np.array_equal(aligned.images[BRAIN_MASK].affine, elsewhere.affine)


def test_where_no_image_shows_a_brain_the_head_is_refused(by_value: list[Volume]) -> None:
    case = study(t1c=head(value=600), t2f=head(value=500))
    with pytest.raises(InputError, match="the images show a head with skull, but no brain was found") as caught:
        ensure_brain_mask(case, recipe())
    assert caught.value.code == "input.brain_mask"
    assert "0 mL in t1c, 0 mL in t2f" in str(caught.value.got)
    assert "--modality brain_mask=FILE" in str(caught.value.cure)
    heads = recipe("{ name = 'brain_mask', source = 'network', otherwise = 'head' }")
    assert ensure_brain_mask(case, heads) is case
    assert "the whole head is used" in prepare(case, heads).warnings[-1]


def test_source_file_still_refuses_a_head(by_value: list[Volume]) -> None:
    given = recipe("{ name = 'brain_mask', source = 'file' }")
    with pytest.raises(InputError, match="a head with skull") as caught:
        prepare(ensure_brain_mask(study(t1c=head()), given), given)
    assert caught.value.code == "input.brain_mask"
    assert by_value == []


def test_the_largest_piece_is_kept_and_filled(by_value: list[Volume]) -> None:
    data = np.asarray(head(noise=0).data).copy()
    data[18, 20, 16] = 0
    data[1:3, 1:3, 1:3] = 300
    brain = extract_brain(Volume(data, AFFINE))
    assert np.array_equal(brain.mask, BRAIN_VOXELS)
    assert brain.warnings == ()  # eight voxels are a crumb
    data[:, :2] = 300
    assert any("was not connected" in text for text in extract_brain(Volume(data, AFFINE)).warnings)


@pytest.mark.parametrize(
    ("zoom", "warned", "possible"), [(1.0, False, True), (0.7, True, True), (1.25, True, True), (1.4, True, False)]
)  # 1,149 mL, 394 mL, 2,244 mL and 3,153 mL
def test_a_volume_that_no_brain_has_is_said(by_value: list[Volume], zoom: float, warned: bool, possible: bool) -> None:
    brain = extract_brain(Volume(head().data, np.diag([5 * zoom] * 3 + [1])))
    assert brain.is_possible is possible
    assert any("700 to 2000 mL is usual" in text for text in brain.warnings) is warned


def test_an_image_without_a_place_is_refused(by_value: list[Volume]) -> None:
    with pytest.raises(InputError) as caught:
        extract_brain(Volume(head().data))
    assert caught.value.code == "input.no_affine"
    with pytest.raises(UsageError, match="Unknown brain extraction 'netwerk'"):
        extract_brain(head(), method="netwerk")


def test_lesions_at_the_border_are_named_for_masks_of_our_own_only(by_value: list[Volume]) -> None:
    case = ensure_brain_mask(study(t1c=head()), recipe())
    records = prepare(case, recipe()).records
    instances = np.zeros(GRID, np.uint16)
    instances[16:20, 18:22, 14:18] = 1  # deep
    assert border_warnings(case, instances, records) == ()
    instances[30, 20, 16] = 3  # the last voxel of the brain along x
    (text,) = border_warnings(case, instances, records)
    assert text == "lesion 3 touches the border of the brain mask: check it"
    instances[18, 7:9, 16] = 2
    (text,) = border_warnings(case, instances, records)
    assert text == "lesions 2, 3 touch the border of the brain mask: check them"
    assert border_warnings(replace(case, brain_mask_record=None), instances, records) == ()


def test_the_border_is_that_of_the_mask_moved_onto_the_reference(by_value: list[Volume]) -> None:
    aligning = recipe(before='{ name = "align", method = "resample" },')
    turned = Volume(np.ascontiguousarray(head(250).data[::-1]), AFFINE @ _flip_x())
    case = ensure_brain_mask(study(t1c=head(value=600), t2f=turned), aligning)
    records = prepare(case, aligning).records
    instances = np.zeros(GRID, np.uint16)
    instances[18, 20, 16] = 1
    assert border_warnings(case, instances, records) == ()
    instances[30, 20, 16] = 1
    assert len(border_warnings(case, instances, records)) == 1


def _flip_x() -> np.ndarray:
    flip = np.diag([-1.0, 1, 1, 1])
    flip[0, 3] = GRID[0] - 1
    return flip


@pytest.fixture
def bright(first_channel: Callable[..., object]) -> Callable[[Recipe], Predictor]:
    """Return a function that makes a predictor for which bright t1c is lesion."""
    from metseg.model import SegmentationNetwork

    def make(made_for: Recipe) -> Predictor:
        body = first_channel(1.0, -350.0)
        return Predictor([SegmentationNetwork(body, in_channels=2, out_channels=1, dimensions=3)], made_for)  # type: ignore[arg-type]

    return make


def test_a_prediction_on_a_head_finds_nothing_outside_the_brain(
    by_value: list[Volume], bright: Callable[[Recipe], Predictor]
) -> None:
    t1c = head()
    t1c.data[16:19, 20:22, 16:18] = 700  # a lesion; the stand-in leaves a hole there, which is filled
    prediction = bright(recipe())(study(t1c=t1c, t2f=head(250)))
    assert [lesion.voxels for lesion in prediction.lesions] == [12]
    assert prediction.case.brain_mask_record is not None
    assert np.array_equal(brain_of(prediction).data, BRAIN_VOXELS)
    assert any("head with skull" in text for text in prediction.warnings)
    assert not any("touches" in text for text in prediction.warnings)
    report = CaseReport("c", "m")
    report.add(prediction)
    assert list(report.document()["technique"]["images"]) == ["t1c", "t2f"]  # what was read; the mask was made
    at_border = head()
    at_border.data[29:31, 20, 16] = 370
    prediction = bright(recipe())(study(t1c=at_border))
    assert "lesion 1 touches the border of the brain mask: check it" in prediction.warnings


def save(path: Path, volume: Volume) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(np.asarray(volume.data, dtype=np.float32), volume.affine), path)


def test_the_brain_mask_is_written_on_request(
    by_value: list[Volume], bright: Callable[[Recipe], Predictor], tmp_path: Path
) -> None:
    for name, volume in {"a": head(), "b": stripped()}.items():
        save(tmp_path / "in" / name / "t1c.nii.gz", volume)
    outcome = predict_paths([tmp_path / "in"], bright(recipe()), tmp_path / "out", formats=["brain-mask"], quiet=True)
    assert outcome.errors == []
    for name in "ab":
        (path,) = (tmp_path / "out").glob(f"*{name}-brain_mask.nii.gz")
        assert np.array_equal(np.asarray(nib.load(path).dataobj), BRAIN_VOXELS)
    of_heads = bright(recipe("{ name = 'zscore' }"))
    with pytest.raises(UsageError, match="uses no brain mask"):
        predict_paths([tmp_path / "in"], of_heads, tmp_path / "no", formats=["brain-mask"], quiet=True)


def test_a_cache_of_heads_is_made_with_their_brains_and_stamped_with_the_network(
    by_value: list[Volume], tmp_path: Path
) -> None:
    save(tmp_path / "data" / "t1c.nii.gz", head())
    images = {"t1c": ImageFile(tmp_path / "data" / "t1c.nii.gz")}
    sources = [VolumeSource("case", "patient", tmp_path / "data", images=images, wanted=("t1c",))]
    made_for = recipe()
    with pytest.raises(InputError, match="a head with skull"):
        build_cache(sources, made_for, tmp_path / "refused", workers=0, quiet=True)
    model = extraction_fingerprint(made_for)
    cache = build_cache(
        sources, made_for, tmp_path / "cache", find_brain=ensure_brain_mask, brain_model=model, workers=0, quiet=True
    )
    assert len(by_value) == 1
    assert any("head with skull" in text for text in cache.entries[0].warnings)
    build_cache(
        sources, made_for, tmp_path / "cache", find_brain=ensure_brain_mask, brain_model=model, workers=0, quiet=True
    )
    assert len(by_value) == 1
    build_cache(
        sources, made_for, tmp_path / "cache", find_brain=ensure_brain_mask, brain_model="new", workers=0, quiet=True
    )
    assert len(by_value) == 2
    assert recipe_stamp(made_for, brain_model=model) != recipe_stamp(made_for)


def test_only_recipes_that_find_brains_depend_on_the_network() -> None:
    assert extraction_method(recipe()) == "network"
    assert len(extraction_fingerprint(recipe())) == 16
    for step in ("{ name = 'zscore' }", "{ name = 'brain_mask', source = 'file' }"):
        assert extraction_method(recipe(step)) is None
        assert extraction_fingerprint(recipe(step)) == ""
    assert extraction_fingerprint(recipe("{ name = 'brain_mask', source = 'deepbet' }")).startswith("deepbet")


def test_deepbet_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    from metseg.inference.brain import deepbet_program

    deepbet_program._program.cache_clear()
    monkeypatch.setitem(sys.modules, "deepbet", None)
    with pytest.raises(UsageError, match="deepbet is not installed") as caught:
        extract_brain(head(), method="deepbet")
    assert caught.value.code == "usage.missing_extra"


def test_deepbet_works_on_t1_only(by_value: list[Volume], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(brain_extraction.METHODS, "deepbet", brain_extraction.METHODS["network"])  # type: ignore[index]
    text = recipe("{ name = 'brain_mask', source = 'deepbet' }").to_toml()
    on_t2 = parse_recipe(text.replace('reference = "t1c"', 'reference = "t2f"'), where="test")
    found = ensure_brain_mask(study(t1c=head(), t2f=head(250)), on_t2)
    assert found.brain_mask_record is not None
    assert (found.brain_mask_record.method, found.brain_mask_record.sequence) == ("deepbet", "t1c")
    with pytest.raises(InputError, match="no brain was found") as caught:
        ensure_brain_mask(study(t2f=head(250)), on_t2)
    assert "no image that deepbet can work on" in str(caught.value.got)
