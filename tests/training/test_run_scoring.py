"""What is scored of a case, and that it is kept as it was."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from metseg.errors import InputError
from metseg.evaluation import summarize
from metseg.inference.prediction import Prediction
from metseg.io.splits import SelectedCases
from metseg.training.run_scoring import FIGURES, PICTURES, ScoredRun, score_run
from metseg.volume import Case, Volume


@dataclass(frozen=True)
class Source:
    """A stack of four slices; slice z of the picture is 10 (z + 1) + noise, the truth is what exceeds 25."""

    patient: str

    @property
    def case_id(self) -> str:
        return self.patient

    def load(self) -> Case:
        rng = np.random.default_rng(int(self.patient))
        picture = 10.0 * np.arange(1, 5) + rng.normal(0, 3, (6, 5, 4))
        names = tuple(str(z) for z in range(4))
        truth = Volume((picture > 25).astype(np.uint8))
        return Case(self.patient, self.patient, {"t2f": Volume(picture)}, truth, slice_names=names)


def brighter_than_the_mean(case: Case) -> Prediction:
    """Stand in for a model whose preparation measures the case, as ``zscore`` does."""
    picture = case.images["t2f"].data
    labels = (picture > picture.mean()).astype(np.uint8)
    return Prediction(case, labels, labels.astype(np.float32), (), labels.astype(np.uint16), {}, (), "model", "binary")


def judged(*chosen: SelectedCases) -> ScoredRun:
    return score_run(brighter_than_the_mean, chosen, "Scoring", quiet=True)  # type: ignore[arg-type]


def test_slices_are_scored_as_predicted_within_their_whole_case() -> None:
    (score,) = judged(SelectedCases(Source("1"), (2, 3))).scores
    case = Source("1").load()
    whole = brighter_than_the_mean(case).labels[:, :, 2:] > 0  # the mean over all four slices is near 25
    truth = case.labels.data[:, :, 2:] > 0
    assert score["lesion"]["dice"] == 2 * (whole & truth).sum() / (whole.sum() + truth.sum())
    assert score["lesion"].slices.n_slices == 2
    assert score.joint.sum() == truth.size
    alone = brighter_than_the_mean(case.take_slices((2, 3))).labels > 0  # what would come out of the slices alone
    assert (alone != whole).sum() > 10


def test_whole_cases_are_scored_whole() -> None:
    found = judged(SelectedCases(Source("1"), None), SelectedCases(Source("2"), None))
    assert [score.patient for score in found.scores] == ["1", "2"]
    assert all(score["lesion"].slices.n_slices == 4 for score in found.scores)
    assert found.slices_per_s > 0


def test_probabilities_are_looked_at_unless_that_is_not_wanted() -> None:
    chosen = [SelectedCases(Source("1"), None)]
    (score,) = judged(*chosen).scores
    assert score.chances is not None
    assert score.chances.voxels[:, 0].sum() == 6 * 5 * 4  # every voxel is in a bin
    quick = score_run(brighter_than_the_mean, chosen, "Scoring", probabilities=False, quiet=True)  # type: ignore[arg-type]
    assert quick.scores[0].chances is None
    assert quick.scores[0]["lesion"]["dice"] == score["lesion"]["dice"]


def test_what_was_seen_is_kept_to_the_last_digit(tmp_path: Path) -> None:
    found = judged(SelectedCases(Source("1"), None), SelectedCases(Source("2"), (3, 0)))
    assert not ScoredRun.is_in(tmp_path)
    found.save(tmp_path)
    again = ScoredRun.load(tmp_path)
    assert again.slices_per_s == found.slices_per_s
    assert summarize(again.scores, resamples=50) == summarize(found.scores, resamples=50)
    assert len(again.snapshots) == 2
    for one, other in zip(again.snapshots, found.snapshots, strict=True):
        assert (one.patient, one.voxels) == (other.patient, other.voxels)
        for name in ("picture", "truth", "prediction"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
            assert getattr(one, name).dtype == getattr(other, name).dtype


def test_no_case_is_kept_too(tmp_path: Path) -> None:
    judged().save(tmp_path)
    assert ScoredRun.load(tmp_path) == ScoredRun((), (), 0.0)


@pytest.mark.parametrize("name", [FIGURES, PICTURES])
@pytest.mark.parametrize("content", [b"", b"{}", None])
def test_damage_is_named_with_its_cure(tmp_path: Path, name: str, content: bytes | None) -> None:
    judged(SelectedCases(Source("1"), None)).save(tmp_path)
    if content is None:
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=f"remove {FIGURES} there"):
        ScoredRun.load(tmp_path)
