from __future__ import annotations

import numpy as np
import pytest

from metseg.errors import InputError
from metseg.preprocess.prepared_case import Prepared
from metseg.preprocess.steps import n4

from . import phantom

GRID = phantom.grid((32, 36, 26), (5.0, 5.0, 5.0))


def tissue() -> np.ndarray:
    """Two kinds of tissue in small blocks, on air."""
    blocks = np.indices(GRID.shape).sum(axis=0) // 3 % 2
    return np.where(blocks, 100.0, 160.0) * phantom.inside(GRID)


def bias() -> np.ndarray:
    x, y, z = np.moveaxis(phantom.points_mm(GRID), -1, 0)
    return np.exp(0.4 * x / 80 - 0.3 * (y / 90) ** 2 + 0.2 * np.sin(z / 50))


def corrected(image: np.ndarray, **options: object) -> Prepared:
    prepared = Prepared(image[None].astype(np.float32), ("t1n",), affine=GRID.affine, head=phantom.inside(GRID))
    return n4.apply(prepared, n4.Options(**options))


def test_a_known_field_is_taken_out():
    result = corrected(tissue() * bias(), shrink=2, iterations=[20, 20])
    for value in (100, 160):
        where = tissue() == value
        before, after = (tissue() * bias())[where], result.image[0][where]
        assert after.std() / after.mean() < 0.4 * before.std() / before.mean()
    head = phantom.inside(GRID)
    found = np.log((tissue() * bias())[head] / result.image[0][head])
    assert np.corrcoef(found, np.log(bias())[head])[0, 1] > 0.95
    assert result.full_scale is None
    assert not result.image[0][tissue() == 0].any()


def test_unshrunken_it_is_simpleitks_own_answer():
    import SimpleITK as sitk

    image = (tissue() * bias()).astype(np.float32)
    corrector = sitk.N4BiasFieldCorrectionImageFilter()
    corrector.SetMaximumNumberOfIterations([3])
    corrector.SetConvergenceThreshold(1e-3)
    mask = sitk.GetImageFromArray((image > 0).astype(np.uint8))
    wanted = sitk.GetArrayFromImage(corrector.Execute(sitk.GetImageFromArray(image), mask))
    # Axes in our order give the filter the transposed image: the spline has no preferred axis.
    found = corrected(image, shrink=1, iterations=[3]).image[0]
    assert np.abs(found - wanted)[image > 0].max() < 0.5


def test_it_can_be_repeated():
    first, second = (corrected(tissue() * bias(), shrink=4, iterations=[3]).image for _ in range(2))
    assert np.array_equal(first, second)


def test_normalised_images_are_refused():
    with pytest.raises(
        InputError, match="n4 needs the scanner's original intensities, but t1n has negative values"
    ) as caught:
        corrected((tissue() - 120) * phantom.inside(GRID))
    assert caught.value.code == "input.value_range"


def test_nothing_to_find_is_warned_of():
    flat = corrected(np.full(GRID.shape, 50.0))
    assert (flat.image == 50).all()
    assert flat.warnings == ("n4: t1n has no contrast within the head and was not changed",)
