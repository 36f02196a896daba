"""Files and folders that are written whole or not at all."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from metseg.errors import ResourceError
from metseg.runtime.atomic_io import atomic_file, atomic_folder, disk_full_is_an_error, remove_leftovers, write_bytes


def full(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_file_appears_at_the_end_only(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.txt"
    with atomic_file(path) as temporary:
        temporary.write_text("one")
        assert not path.exists()
        assert temporary.parent == path.parent  # a rename within one file system
        assert temporary.suffix == ".txt"
    assert path.read_text() == "one"
    assert list(path.parent.iterdir()) == [path]


def test_an_error_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), atomic_file(path) as temporary:
        temporary.write_text(str(1 / len(temporary.read_bytes())))
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("refused", ["fsync", "replace", "open"])
def test_a_full_disk_is_a_resource_error_and_nothing_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: str
) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    monkeypatch.setattr(os, refused, full) if refused != "open" else monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(ResourceError) as raised:
        write_bytes(path, b"new")
    assert raised.value.code == "resources.disk"
    assert raised.value.exit_status == 5
    assert "the disk is full" in raised.value.one_line()
    assert "MB free" in raised.value.one_line()
    monkeypatch.undo()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_quota_is_a_full_disk_and_a_missing_permission_is_not(tmp_path: Path) -> None:
    with pytest.raises(ResourceError), disk_full_is_an_error(tmp_path / "not" / "yet" / "there"):
        raise OSError(errno.EDQUOT, "quota")
    with pytest.raises(PermissionError), disk_full_is_an_error(tmp_path):
        raise PermissionError(errno.EACCES, "no")


def test_a_really_full_device_is_noticed() -> None:
    device = Path("/dev/full")
    if not device.is_char_device():
        pytest.skip("no /dev/full on this system")
    with pytest.raises(ResourceError), disk_full_is_an_error(device), device.open("wb") as file:
        file.write(b"x")


def test_permissions_follow_the_umask(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        write_bytes(tmp_path / "file", b"")
        with atomic_folder(tmp_path / "folder"):
            pass
    finally:
        os.umask(old)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640
    assert (tmp_path / "folder").stat().st_mode & 0o777 == 0o750


def test_a_folder_is_replaced_as_a_whole(tmp_path: Path) -> None:
    for names in (("a", "b"), ("c",)):
        with atomic_folder(tmp_path / "folder") as temporary:
            for name in names:
                (temporary / name).write_text(name)
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["c"]
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_a_folder_that_cannot_be_moved_in_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "old").touch()
    moves, replace = [], os.replace

    def second_fails(source: Path, target: Path) -> None:
        moves.append(source)
        if len(moves) == 2:
            full()
        replace(source, target)

    monkeypatch.setattr(os, "replace", second_fails)
    with pytest.raises(ResourceError), atomic_folder(folder) as temporary:
        (temporary / "new").touch()
    assert [path.name for path in tmp_path.rglob("*")] == ["folder", "old"]


def test_leftovers_of_a_killed_process_are_removed_and_nothing_else(tmp_path: Path) -> None:
    for name in ("last.ckpt", ".last.ckpt.x1.ckpt", ".other.y", "last.ckpt.copy"):
        (tmp_path / name).touch()
    (tmp_path / ".last.ckpt.folder").mkdir()
    remove_leftovers(tmp_path / "last.ckpt")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".other.y", "last.ckpt", "last.ckpt.copy"]


#: Replaces a folder and kills itself, as the kernel would, right after its n-th rename.
KILLED = """
import os, signal, sys
from pathlib import Path
from metseg.runtime.atomic_io import atomic_folder

replace, done = os.replace, []

def replace_and_die(source, target):
    if len(done) == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
    replace(source, target)
    done.append(target)

os.replace = replace_and_die
import shutil
shutil.rmtree = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)
with atomic_folder(Path(sys.argv[1])) as temporary:
    (temporary / "new").write_text("whole")
"""


@pytest.mark.parametrize(("renames", "kept"), [(0, "old"), (1, "new"), (2, "new")])
def test_a_kill_at_any_moment_of_a_replacement_leaves_a_whole_folder(tmp_path: Path, renames: int, kept: str) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "old").write_text("whole")
    child = subprocess.run([sys.executable, "-c", KILLED, str(folder), str(renames)], check=False)
    assert child.returncode == -signal.SIGKILL
    assert len(list(tmp_path.iterdir())) == 2  # as it was found: with leftovers
    remove_leftovers(folder)
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
    assert [(path.name, path.read_text()) for path in folder.iterdir()] == [(kept, "whole")]


def test_a_folder_set_aside_comes_back_where_the_new_one_is_gone(tmp_path: Path) -> None:
    (tmp_path / ".folder.x1.old").mkdir()
    (tmp_path / ".folder.x1.old" / "old").touch()
    remove_leftovers(tmp_path / "folder")
    assert [path.name for path in tmp_path.rglob("*")] == ["folder", "old"]
