from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from metseg.errors import ResourceError
from metseg.model.folder import whole_folder, write_durably


def names(folder: Path) -> list[str]:
    return sorted(item.name for item in folder.iterdir())


def test_a_folder_appears_only_when_it_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "new" / "bundle"
    with whole_folder(target) as partial:
        write_durably(partial / "a", b"1")
        assert not target.exists()
    assert (target / "a").read_bytes() == b"1"
    assert names(target.parent) == ["bundle"]


def test_the_old_folder_is_replaced_as_a_whole(tmp_path: Path) -> None:
    for name in ("old", "new"):
        with whole_folder(tmp_path / "bundle") as partial:
            write_durably(partial / name, b"")
    assert names(tmp_path / "bundle") == ["new"]
    assert names(tmp_path) == ["bundle"]


@pytest.mark.parametrize("failure", [KeyboardInterrupt(), ValueError("no")])
def test_whatever_goes_wrong_leaves_the_old_one(tmp_path: Path, failure: BaseException) -> None:
    with whole_folder(tmp_path / "bundle") as partial:
        write_durably(partial / "old", b"")

    def fail_half_way() -> None:
        with whole_folder(tmp_path / "bundle") as partial:
            write_durably(partial / "new", b"")
            raise failure

    with pytest.raises(type(failure)):
        fail_half_way()
    assert names(tmp_path / "bundle") == ["old"]
    assert names(tmp_path) == ["bundle"]


def test_a_full_disk_is_a_resource_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ResourceError, match="the disk is full") as caught, whole_folder(tmp_path / "bundle") as partial:
        write_durably(partial / "a", b"1")
    assert (caught.value.code, caught.value.exit_status) == ("resources.disk", 5)
    assert names(tmp_path) == []


def test_the_old_folder_returns_when_the_new_one_cannot_take_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with whole_folder(tmp_path / "bundle") as partial:
        write_durably(partial / "old", b"")
    rename = os.rename

    def fail_for_the_new_one(source: Path, destination: Path) -> None:
        if Path(source).suffix == ".partial":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        rename(source, destination)

    monkeypatch.setattr(os, "rename", fail_for_the_new_one)
    with pytest.raises(ResourceError, match="cannot write the folder") as caught, whole_folder(tmp_path / "bundle"):
        pass
    assert caught.value.code == "resources.write"
    assert names(tmp_path / "bundle") == ["old"]
    assert names(tmp_path) == ["bundle"]
