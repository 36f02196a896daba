"""Checkpoints: whole or not there, the newest good one found, code never run."""

from __future__ import annotations

import contextlib
import errno
import os
import pickle
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from metseg.errors import BundleError, ResourceError
from metseg.training.loop.checkpoint import (
    AtomicCheckpointIO,
    EpochCheckpoint,
    latest_good,
    read_checkpoint,
    remove_unfinished,
)


def save(path: Path, epoch: int) -> Path:
    AtomicCheckpointIO().save_checkpoint({"epoch": epoch, "weights": torch.arange(1000)}, path)
    return path


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def trainer(epoch: int) -> SimpleNamespace:
    """Return as much of a trainer as the callback uses."""
    return SimpleNamespace(save_checkpoint=lambda path: save(path, epoch), is_global_zero=True)


def test_the_last_two_are_kept(tmp_path: Path) -> None:
    callback = EpochCheckpoint(tmp_path)
    for epoch in range(3):
        callback.on_train_epoch_end(trainer(epoch), None)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["last.ckpt", "previous.ckpt"]
    assert [read_checkpoint(tmp_path / name)["epoch"] for name in ("last.ckpt", "previous.ckpt")] == [2, 1]


def test_none_and_the_newest() -> None:
    assert latest_good(Path("/nowhere")) is None


def test_a_truncated_one_is_passed_over_with_a_warning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truncate(save(tmp_path / "last.ckpt", 2))
    good = save(tmp_path / "previous.ckpt", 1)
    assert latest_good(tmp_path) == good
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"metseg: warning: {tmp_path / 'last.ckpt'}: cannot read the checkpoint")
    assert line.endswith("resuming from previous.ckpt, one epoch earlier")


def test_a_damaged_one_never_takes_the_place_of_the_good_one(tmp_path: Path) -> None:
    truncate(save(tmp_path / "last.ckpt", 2))
    save(tmp_path / "previous.ckpt", 1)

    def full(path: Path) -> None:
        raise ResourceError("full")

    with pytest.raises(ResourceError):
        EpochCheckpoint(tmp_path).on_train_epoch_end(SimpleNamespace(save_checkpoint=full, is_global_zero=True), None)
    assert latest_good(tmp_path) == tmp_path / "previous.ckpt"


def test_nothing_that_can_be_read_is_an_error(tmp_path: Path) -> None:
    for name in ("last.ckpt", "previous.ckpt"):
        truncate(save(tmp_path / name, 1))
    with pytest.raises(
        BundleError,
        match=r"cannot read any checkpoint of this run .*; restore the files from a copy, or start again",
    ):
        latest_good(tmp_path)


def test_one_flipped_bit_is_noticed(tmp_path: Path) -> None:
    path = save(tmp_path / "last.ckpt", 1)
    content = bytearray(path.read_bytes())
    content[content.index(bytes(torch.arange(500, 510).numpy().tobytes()))] ^= 1
    path.write_bytes(content)
    with pytest.raises(BundleError):
        read_checkpoint(path)


def test_code_is_not_run(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(tmp_path / "run"),)

    (tmp_path / "last.ckpt").write_bytes(pickle.dumps(Trap()))
    with pytest.raises(BundleError):
        latest_good(tmp_path)
    assert not (tmp_path / "run").exists()


def test_a_full_disk_under_torch_save_is_a_resource_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = save(tmp_path / "last.ckpt", 1)
    original = torch.save

    def half(content: object, file: object) -> None:
        file.write(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(torch, "save", half)
    with pytest.raises(ResourceError) as raised:
        EpochCheckpoint(tmp_path).on_train_epoch_end(trainer(2), None)
    assert raised.value.exit_status == 5
    monkeypatch.setattr(torch, "save", original)
    assert read_checkpoint(good)["epoch"] == 1
    assert list(tmp_path.iterdir()) == [good]


def test_torch_save_reports_a_really_full_device_as_an_os_error() -> None:
    device = Path("/dev/full")
    if not device.is_char_device():
        pytest.skip("no /dev/full on this system")
    # Given a path instead of a file it raises a RuntimeError that says nothing of the disk.
    with pytest.raises(OSError, match="No space left"), device.open("wb") as file:
        torch.save({"weights": torch.zeros(100_000)}, file)


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    good = save(tmp_path / "last.ckpt", 1)
    (tmp_path / ".next.ckpt.abc.ckpt").touch()
    (tmp_path / "next.ckpt").touch()
    remove_unfinished(tmp_path)
    assert list(tmp_path.iterdir()) == [good]


class Killed(BaseException):
    """The process ends here: nothing after this runs."""


@pytest.mark.parametrize(("renames", "expected"), [(0, (2, 1)), (1, (3, 2)), (2, (3, 2)), (3, (3, 2))])
def test_a_kill_between_two_renames_loses_no_whole_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, renames: int, expected: tuple[int, int]
) -> None:
    """The first rename ends the writing of the new one; from then on it is whole, and the next two move it in."""
    save(tmp_path / "previous.ckpt", 1)
    save(tmp_path / "last.ckpt", 2)
    replace, done = os.replace, []

    def until_killed(source: object, target: object) -> None:
        if len(done) == renames:
            raise Killed
        replace(source, target)
        done.append(target)

    with monkeypatch.context() as patch, contextlib.suppress(Killed):
        patch.setattr(os, "replace", until_killed)
        EpochCheckpoint(tmp_path).on_train_epoch_end(trainer(3), None)
    remove_unfinished(tmp_path)
    assert latest_good(tmp_path) == tmp_path / "last.ckpt"
    assert tuple(read_checkpoint(tmp_path / name)["epoch"] for name in ("last.ckpt", "previous.ckpt")) == expected
    assert sorted(path.name for path in tmp_path.iterdir()) == ["last.ckpt", "previous.ckpt"]
