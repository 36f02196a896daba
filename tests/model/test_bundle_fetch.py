"""Released bundles: packed, downloaded from a server on loopback that does everything wrong, checked, installed."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import shutil
import threading
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from metseg import bundle_folder
from metseg.bundle_folder import fingerprint_of, verify_bundle
from metseg.errors import BundleError, UsageError
from metseg.model import download, releases
from metseg.model.bundle_archive import pack_bundle, unpack_bundle
from metseg.model.bundle_fetch import fetch_bundle
from metseg.model.releases import RELEASES, Release

Run = Callable[..., tuple[int, str, str]]
ROOT = Path(__file__).parents[2]


@dataclass
class Server:
    """What the server on loopback sends, and what it was asked for.

    Args:
        content: of the file.
        cuts: at how many bytes each of the next responses ends, although more was announced.
        ranges: whether it sends parts (206) where one is asked for.
        announces: whether it says how much it sends.
        status: of every response, if not that of a file.
    """

    content: bytes
    cuts: list[int] = field(default_factory=list)
    ranges: bool = True
    announces: bool = True
    status: int | None = None
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    url: str = ""


class Handler(BaseHTTPRequestHandler):
    serves: Server

    def do_GET(self) -> None:
        told, wanted = self.serves, self.headers.get("Range")
        told.asked.append((self.path, wanted))
        if told.status is not None:
            self.send_error(told.status)
            return
        if self.path.startswith("/latest/"):
            self.send_response(302)
            self.send_header("Location", self.path.replace("/latest/", "/files/"))
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        begin = int(re.findall(r"\d+", wanted)[0]) if wanted and told.ranges else 0
        self.send_response(206 if begin else 200)
        if begin:
            self.send_header("Content-Range", f"bytes {begin}-{len(told.content) - 1}/{len(told.content)}")
        rest = told.content[begin:]
        if told.announces:
            self.send_header("Content-Length", str(len(rest)))
        self.end_headers()
        self.wfile.write(rest[: told.cuts.pop(0)] if told.cuts else rest)
        self.close_connection = True

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def archive(tiny_bundle: Path, tmp_path: Path) -> Path:
    path = tmp_path / "tiny-1.zip"
    pack_bundle(tiny_bundle, path)
    return path


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("METSEG_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def server(archive: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """Return a server that holds the archive, which is the one release there is."""
    content = archive.read_bytes()
    told = Server(content)
    listening = ThreadingHTTPServer(("127.0.0.1", 0), type("OurHandler", (Handler,), {"serves": told}))
    threading.Thread(target=listening.serve_forever, daemon=True).start()
    told.url = f"http://127.0.0.1:{listening.server_port}/files"
    release = Release("tiny-1.zip", hashlib.sha256(content).hexdigest(), len(content), "made-up squares")
    monkeypatch.setattr(releases, "RELEASES", {"tiny": release})
    monkeypatch.setattr(download, "PAUSE_S", 0.0)
    monkeypatch.setenv("METSEG_MODELS_URL", told.url)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    yield told
    listening.shutdown()
    listening.server_close()


def part_of(home: Path) -> Path:
    return home / "downloads" / "tiny-1.zip.part"


def test_a_bundle_is_downloaded_and_installed(server: Server, home: Path, tiny_bundle: Path) -> None:
    shares: list[float] = []
    installed = fetch_bundle("tiny", on_share=shares.append)
    assert installed == home / "bundles" / "tiny"
    assert fingerprint_of(installed) == fingerprint_of(tiny_bundle)
    verify_bundle(installed)
    assert shares[-1] == 1.0
    assert server.asked == [("/files/tiny-1.zip", None)]
    assert not part_of(home).exists()


def test_a_redirect_is_followed(server: Server, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METSEG_MODELS_URL", server.url.replace("/files", "/latest/"))
    assert fetch_bundle("tiny").is_dir()
    assert [path for path, _ in server.asked] == ["/latest/tiny-1.zip", "/files/tiny-1.zip"]


@pytest.mark.parametrize("announces", [True, False], ids=["announced", "not announced"])
def test_a_cut_transfer_is_continued(server: Server, announces: bool) -> None:
    server.cuts, server.announces = [1000], announces
    assert fetch_bundle("tiny").is_dir()
    assert [wanted for _, wanted in server.asked] == [None, "bytes=1000-"]


def test_a_server_without_ranges_sends_all_again(server: Server) -> None:
    server.cuts, server.ranges = [1000], False
    assert fetch_bundle("tiny").is_dir()
    assert [wanted for _, wanted in server.asked] == [None, "bytes=1000-"]


def test_what_has_arrived_is_kept_for_the_next_call(server: Server, home: Path) -> None:
    server.cuts = [1000, 500, 0]
    with pytest.raises(BundleError) as cut:
        fetch_bundle("tiny")
    assert (cut.value.code, len(server.asked)) == ("model.download", 3)
    assert part_of(home).read_bytes() == server.content[:1500]
    assert not (home / "bundles").exists()
    assert fetch_bundle("tiny").is_dir()
    assert server.asked[-1][1] == "bytes=1500-"


def test_a_part_of_another_file_is_thrown_away(server: Server, home: Path) -> None:
    part_of(home).parent.mkdir(parents=True)
    part_of(home).write_bytes(b"x" * 1000)
    assert fetch_bundle("tiny").is_dir()
    assert [wanted for _, wanted in server.asked] == ["bytes=1000-", None]


@pytest.mark.parametrize("change", ["one byte", "longer"])
def test_a_wrong_checksum_installs_nothing(server: Server, home: Path, change: str) -> None:
    server.content = server.content[:-1] + b"?" if change == "one byte" else server.content + b"more"
    with pytest.raises(BundleError) as wrong:
        fetch_bundle("tiny")
    assert wrong.value.code == "model.checksum"
    assert wrong.value.where == f"{server.url}/tiny-1.zip"
    assert not (home / "bundles").exists()
    assert not part_of(home).exists()  # the next call begins anew


@pytest.mark.parametrize(("status", "code"), [(404, "model.missing"), (503, "model.download")])
def test_a_server_that_has_it_not(server: Server, home: Path, status: int, code: str) -> None:
    server.status = status
    with pytest.raises(BundleError) as absent:
        fetch_bundle("tiny")
    assert (absent.value.code, len(server.asked)) == (code, 1)
    assert f"status {status}" in str(absent.value)
    assert not (home / "bundles").exists()


def test_nothing_listens(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METSEG_MODELS_URL", "http://127.0.0.1:1")
    with pytest.raises(BundleError) as away:
        fetch_bundle("tiny")
    assert away.value.code == "model.download"


def test_an_existing_bundle_is_replaced_on_request_only(
    server: Server, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = fetch_bundle("tiny")
    (installed / "card.md").write_text("old", "utf-8")
    with pytest.raises(UsageError, match="already exists; replace it with --overwrite"):
        fetch_bundle("tiny")
    assert len(server.asked) == 1  # refused before the download
    assert fetch_bundle("tiny", overwrite=True) == installed
    verify_bundle(installed)
    elsewhere = tmp_path / "package"
    shutil.move(installed, elsewhere / "tiny")
    monkeypatch.setattr(bundle_folder, "bundle_places", lambda: (elsewhere, home / "bundles"))
    with pytest.raises(UsageError, match="none is replaced"):
        fetch_bundle("tiny", overwrite=True)


def test_a_bundle_outside_the_users_folder_is_not_replaced_and_the_command_says_what_to_do(
    server: Server, run_metseg: Run, home: Path, tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(tiny_bundle, tmp_path / "package" / "tiny")
    monkeypatch.setattr(bundle_folder, "bundle_places", lambda: (tmp_path / "package", home / "bundles"))
    use = "use the one that is there (metseg predict --model tiny)"
    for words in (("fetch", "tiny"), ("fetch", "tiny", "--overwrite")):
        status, _, err = run_metseg("models", *words)
        assert (status, server.asked) == (2, [])
        assert f"a bundle named 'tiny' already exists; {use}" in err
    _, _, err = run_metseg("models", "add", tiny_bundle, "--overwrite")
    assert f"already exists; choose another name with --name; {use}" in err


def test_an_archive_on_this_machine(server: Server, archive: Path, tmp_path: Path, home: Path) -> None:
    damaged = tmp_path / "damaged.zip"
    damaged.write_bytes(archive.read_bytes()[:-1])
    for path, code in ((damaged, "model.checksum"), (tmp_path / "absent.zip", "model.missing")):
        with pytest.raises(BundleError) as refused:
            fetch_bundle("tiny", file=path)
        assert refused.value.code == code
    assert not (home / "bundles").exists()
    verify_bundle(fetch_bundle("tiny", file=archive))
    assert server.asked == []


def test_without_an_address(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("METSEG_MODELS_URL")
    with pytest.raises(UsageError, match="METSEG_MODELS_URL: no address"):
        fetch_bundle("tiny")
    with pytest.raises(UsageError, match=r"Unknown released model 'tinny'\. Did you mean 'tiny'"):
        fetch_bundle("tinny")


def test_an_archive_holds_plain_files_only(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    for name in ("../outside", "a/b", "/etc/x", ".hidden"):
        path = tmp_path / "bad.zip"
        with zipfile.ZipFile(path, "w") as bad:
            bad.writestr(name, b"")
        with pytest.raises(BundleError, match="a folder or a path"):
            unpack_bundle(path, folder)
    path.write_bytes(b"no zip")
    with pytest.raises(BundleError, match="not a bundle archive"):
        unpack_bundle(path, folder)
    assert list(folder.iterdir()) == []


def test_equal_bundles_give_equal_archives(archive: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(tiny_bundle, tmp_path / "copy")
    for path in copy.iterdir():
        path.touch()  # another date
    pack_bundle(copy, tmp_path / "again.zip")
    assert (tmp_path / "again.zip").read_bytes() == archive.read_bytes()


@pytest.mark.parametrize("name", RELEASES)
def test_the_table_has_the_checksum_of_the_bundle_of_this_checkout(name: str, tmp_path: Path) -> None:
    """After a change of a bundle: ``metseg models pack NAME --out FILE`` prints what belongs into the table."""
    pack_bundle(ROOT / "bundles" / name, tmp_path / "packed.zip")
    content = (tmp_path / "packed.zip").read_bytes()
    packed = dataclasses.replace(RELEASES[name], sha256=hashlib.sha256(content).hexdigest(), size=len(content))
    assert packed == RELEASES[name]


def test_the_commands(server: Server, run_metseg: Run, home: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    status, out, err = run_metseg("models", "pack", tiny_bundle, "--out", tmp_path / "packed.zip", "--json")
    assert (status, json.loads(out)["sha256"]) == (0, hashlib.sha256(server.content).hexdigest()), err
    status, out, err = run_metseg("models", "fetch", "tiny", "--from", tmp_path / "packed.zip", "--json")
    assert status == 0, err
    assert json.loads(out) == {
        "name": "tiny",
        "bundle": str(home / "bundles" / "tiny"),
        "licence": "made-up squares",
    }
    status, out, err = run_metseg("models", "fetch", "tiny")
    assert (status, out) == (2, "")
    assert "--overwrite" in err
    status, out, _ = run_metseg("models", "fetch", "tiny", "--overwrite")
    assert status == 0
    assert "licence of the weights: made-up squares" in out
    server.content = b"else"
    status, out, err = run_metseg("models", "fetch", "tiny", "--overwrite")
    assert (status, out, err.count("\n")) == (4, "", 1)
    verify_bundle(home / "bundles" / "tiny")
    assert run_metseg("models", "add", tiny_bundle, "--overwrite")[0] == 0
