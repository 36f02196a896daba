"""The augmentation preview shows what was read, what was prepared, and what training would draw."""

from __future__ import annotations

import shutil
import weakref
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from metseg.errors import InputError, UsageError
from metseg.experiment import recipe_preview
from metseg.io.case_discovery import find_cases
from metseg.preprocess.pipeline import prepare
from metseg.recipe import Recipe, parse_recipe

RECIPE = """
name = "previewed"
data = { channels = ["t1n", "t2f", "t1c"] }
preprocess = [{ name = "rescale" }]
augment = [{ name = "rotate", probability = 1, degrees = 30 }, { name = "brightness", probability = 1 }]
model = { name = "unet" }
"""


@pytest.fixture
def recipe() -> Recipe:
    return parse_recipe(RECIPE, where="test")


@pytest.fixture
def data(tiny_slices: Path, tmp_path: Path) -> Path:
    return shutil.copytree(tiny_slices, tmp_path / "data")


@pytest.fixture
def rows(monkeypatch):
    """Return a function that gives the rows that would be drawn."""
    drawn = []
    monkeypatch.setattr(recipe_preview, "augment_preview", lambda rows, path, heading: drawn.append((rows, heading)))

    def preview_rows(root: Path, recipe: Recipe):
        recipe_preview.preview_augmentation(find_cases(root, channels=recipe.data.channels), recipe, Path("unused.png"))
        return drawn[-1][0]

    return preview_rows


def test_rows_show_the_files_and_what_becomes_of_them(data, recipe, rows):
    found = rows(data, recipe)
    assert [row.title for row in found] == ["P0 (t2f)", "P2 (t2f)", "P4 (t2f)", "P6 (t2f)"]
    for row in found:
        patient = row.title[:2]
        masks = [np.asarray(Image.open(data / patient / f"{patient}_{z}_mask.png")) for z in range(4)]
        z = int(np.argmax([mask.sum() for mask in masks]))
        flair = np.asarray(Image.open(data / patient / f"{patient}_{z}.png"))[..., 1]
        assert np.array_equal(row.as_read.picture, flair)
        assert np.array_equal(row.as_read.labels, masks[z] > 0)
        assert row.prepared.picture == pytest.approx(flair / 255, abs=1e-6)
        assert np.array_equal(row.prepared.labels, masks[z] > 0)


def test_versions_differ_and_their_masks_lie_on_the_lesion(data, recipe, rows):
    for row in rows(data, recipe):
        assert len(row.augmented) == recipe_preview.VERSIONS
        assert len({version.picture.tobytes() for version in row.augmented}) == recipe_preview.VERSIONS
        for version in row.augmented:
            inside, outside = (version.picture[version.labels == value].mean() for value in (1, 0))
            assert inside > outside + 0.3


def test_versions_are_those_of_the_training(data, recipe, rows):
    """Version n is the draw of (seed, epoch n, row)."""
    from metseg.dataset import Augmenter, Draw, SliceDataset, SliceItem
    from metseg.labels import LABEL_SCHEMES
    from metseg.preprocess.cache import build_cache

    found = rows(data, recipe)
    sources = [source for source in find_cases(data, channels=recipe.data.channels) if source.case_id in ("P0", "P2")]
    cache = build_cache(sources, recipe, data.parent / "cache", workers=0, quiet=True)
    masks = [np.asarray(Image.open(data / "P2" / f"P2_{z}_mask.png")).sum() for z in range(4)]
    dataset = SliceDataset(
        cache,
        [SliceItem(1, int(np.argmax(masks)))],
        scheme=LABEL_SCHEMES["binary"],
        augmenter=Augmenter(recipe.augment, dimensions=2),
        seed=recipe.train.seed,
    )
    drawn = dataset[Draw(0, 3, 1)]
    difference = found[1].augmented[2].picture.T - drawn.image[1].numpy()
    assert np.abs(difference).max() < 2e-3  # the cache has 16 bits
    assert np.array_equal(found[1].augmented[2].labels.T, drawn.labels.numpy())


def test_patients_without_lesion_and_bad_files_stand_back(data, recipe, rows):
    for patient in ("P0", "P2", "P4"):
        for mask in (data / patient).glob("*_mask.png"):
            Image.new("L", (24, 24)).save(mask)
    (data / "P1" / "P1_1.png").write_bytes(b"not a supported image format")
    assert [row.title[:2] for row in rows(data, recipe)] == ["P3", "P5", "P6", "P7"]
    shutil.rmtree(data / "P3")
    shutil.rmtree(data / "P5")
    titles = [row.title[:2] for row in rows(data, recipe)]
    assert len(titles) == 4
    assert {"P6", "P7"} < set(titles), "the others fill up"


def test_where_nobody_has_a_lesion_the_search_ends_and_keeps_only_what_is_shown(data, recipe, rows, monkeypatch):
    for mask in data.glob("*/*_mask.png"):
        Image.new("L", (24, 24)).save(mask)
    prepared, held = [], []

    def watched(case, recipe):
        held.append(sum(reference() is not None for reference in prepared))
        found = prepare(case, recipe)
        prepared.append(weakref.ref(found))
        return found

    monkeypatch.setattr(recipe_preview, "prepare", watched)
    monkeypatch.setattr(recipe_preview, "SEARCHED", 7)
    assert len(rows(data, recipe)) == recipe_preview.PATIENTS
    assert len(prepared) == 7, "one of the eight patients is not looked at any more"
    assert max(held) <= recipe_preview.PATIENTS + 1, "those shown and the one just looked at"


def test_without_masks_there_is_no_outline(data, recipe, rows):
    for mask in data.glob("*/*_mask.png"):
        mask.unlink()
    for row in rows(data, recipe):
        assert row.as_read.labels is None
        assert all(version.labels is None for version in row.augmented)


def test_a_recipe_without_augmentation_shows_the_preparation_only(data, recipe, rows):
    assert all(row.augmented == () for row in rows(data, recipe.model_copy(update={"augment": ()})))


def test_volumes_are_augmented_whole(data, recipe, rows):
    text = RECIPE.replace('"t1c"] }', '"t1c"], dimensions = 3 }')
    row = rows(data, parse_recipe(text, where="test"))[0]
    assert row.augmented[0].picture.shape == (24, 24)
    assert not np.array_equal(row.augmented[0].picture, rows(data, recipe)[0].augmented[0].picture)


def test_nothing_to_show_is_an_error(data, recipe, rows):
    for picture in data.glob("*/P?_?.png"):
        picture.write_bytes(b"not a supported image format")
    with pytest.raises(InputError, match="not a supported image format"):
        rows(data, recipe)


def test_a_wrong_recipe_is_refused_before_anything_is_read(data, recipe, tmp_path):
    wrong = parse_recipe(RECIPE.replace('"rotate"', '"rotat"'), where="test")
    with pytest.raises(UsageError, match="Did you mean 'rotate'"):
        recipe_preview.preview_augmentation([], wrong, tmp_path / "preview.png")
