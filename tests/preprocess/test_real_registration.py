"""An unprocessed clinical study, 0.9 x 0.9 x 5.5 mm, not skull-stripped: four sequences, brought onto T1c."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from metseg.errors import InputError
from metseg.preprocess.head_mask import head_mask
from metseg.preprocess.registration_metrics import normalised_mutual_information
from metseg.preprocess.steps import align
from metseg.volume import BRAIN_MASK, Case, Volume

from . import phantom

pytestmark = [pytest.mark.real, pytest.mark.slow]

FILES = {"t1c": "*_t1c.nii.gz", "t1n": "*_t1.nii.gz", "t2w": "*_t2.nii.gz", "t2f": "*_fla.nii.gz"}
#: How far a header is put out, and back: 11 degrees and 30 mm.
WRONG = phantom.rotation(6, -4, 8, (22, -16, 12))


def read(path: Path) -> Volume:
    image = nib.load(path)
    return Volume(np.asarray(image.dataobj, dtype=np.float32), image.affine.astype(np.float64))


@pytest.fixture(scope="module")
def study(real_data: Path) -> dict[str, Volume]:
    folder = real_data / "raw_clinical_glioma"
    images = {name: read(next(folder.glob(pattern))) for name, pattern in FILES.items()}
    return {**images, BRAIN_MASK: read(folder / "t1c_brain_mask.nii.gz")}


@pytest.fixture(scope="module")
def aligned(study) -> tuple[Case, dict]:
    case, record = align.apply(Case("real", "real", study), align.Options(), reference="t1c")
    return case, record.details["moved"]


def test_every_sequence_comes_out_right(study, aligned):
    case, moved = aligned
    assert {"t2w", "t2f"} <= set(moved)
    reference, brain = study["t1c"], study[BRAIN_MASK].data > 0.5
    assert np.array_equal(case.images["t1c"].data, reference.data)
    for name, figures in moved.items():
        assert case.images[name].shape == reference.shape
        assert figures["after"]["head_overlap"] > 0.9, name
        assert figures["after"]["coverage"] > 0.8
        # The coordinates in these files are wrong by 16 and 17 mm, 8 and 13 degrees, as checkerboards of both show.
        assert figures["after"]["mutual_information"] > figures["before"]["mutual_information"] + 0.02
        assert 10 < figures["moved_mm"] < 25
        # An independent look at it: within the brain, any shift by some millimetres makes the images agree less.
        here = normalised_mutual_information(reference.data[brain], case.images[name].data[brain])
        for axis, voxels in ((0, 5), (0, -5), (1, 5), (1, -5), (2, 1), (2, -1)):
            shifted = np.roll(case.images[name].data, voxels, axis=axis)
            assert normalised_mutual_information(reference.data[brain], shifted[brain]) < here


def test_a_wrong_header_leads_to_the_same_place(study, aligned):
    wrong = Volume(study["t2f"].data, WRONG @ study["t2f"].affine)
    images = {"t1c": study["t1c"], "t2f": wrong, BRAIN_MASK: study[BRAIN_MASK]}
    _, record = align.apply(Case("real", "real", images), align.Options(), reference="t1c")
    straight, found = (np.array(figures["world"]) for figures in (aligned[1]["t2f"], record.details["moved"]["t2f"]))
    voxels = np.argwhere(study[BRAIN_MASK].data > 0.5)[::97]
    points = study["t1c"].affine @ np.concatenate([voxels, np.ones((len(voxels), 1))], axis=1).T
    off_mm = np.linalg.norm(((WRONG @ straight - found) @ points)[:3], axis=0)
    assert off_mm.mean() < 1
    with pytest.raises(InputError, match="are not aligned") as caught:
        align.apply(Case("real", "real", images), align.Options(method="resample"), reference="t1c")
    assert caught.value.code == "input.registration"


def test_the_head_is_found_in_each(study):
    for name in FILES:
        share = head_mask(study[name].data[None]).mean()
        assert 0.15 < share < 0.7, name
