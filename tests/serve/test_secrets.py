"""A patient's name in tags and names of files, given to the whole service: it must come out of no process, file or row.

`test_discretion.py` asks the same of the parts in one process; here the API, the process of ``/predict/``, the worker
and DBOS run as they do for people, at their most talkative.
"""

from __future__ import annotations

import gzip
import io
import re
import runpy
import warnings
import zipfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pypdfium2
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from . import running

pytestmark = pytest.mark.slow

#: Planted in tags, headers, names of files, of fields and of members of archives. All of ``scanner`` and more.
SECRETS = ("Mustermann", "Erika", "4711-SECRET", "19500607", "Klinikum-Geheim", "ACC-90210")
NAME = "Mustermann_Erika_4711-SECRET"
TAGS = {
    "InstitutionName": "Klinikum-Geheim",
    "AccessionNumber": "ACC-90210",
    "SeriesNumber": 1,
    "SeriesDescription": "T1 post Erika",
    "StudyDescription": "Klinikum-Geheim Mustermann",
    "ContrastBolusAgent": "Gd",
}

Part = tuple[str, tuple[str, bytes]]


#: A hundred identifiers, each in another element of a DICOM object.
_PLANTING = Path(__file__).parents[1] / "deidentification" / "planted.py"
PLANTED: dict[str, str] = runpy.run_path(str(_PLANTING))["planted"]()
_PLANTED = re.compile(rb"q\d{3}zwx")
#: DICOM results are made, and uploads are kept as de-identified copies.
SETTINGS = {
    "METSEG_LOG_LEVEL": "DEBUG",
    "METSEG_DICOM_EXPORTS": "seg,seg-classes,rtstruct,sr,pdf",
    "METSEG_DISCARD_INPUTS": "false",
    "METSEG_DEIDENTIFY_INPUTS": "true",
    "METSEG_PSEUDONYM_KEY": "a long random text",
}


def find_secrets(content: bytes) -> set[str]:
    """Return the secrets in some bytes, as they are or in UTF-16, in capitals or not."""
    lower = content.lower()
    ways = ("ascii", "utf-16-le")
    planted = {found.decode() for text in (lower, lower.replace(b"\0", b"")) for found in _PLANTED.findall(text)}
    return planted | {secret for secret in SECRETS if any(secret.lower().encode(way) in lower for way in ways)}


def unpacked(path: Path) -> Iterator[bytes]:
    """Yield the content of a file, and what is packed in it."""
    content = path.read_bytes()
    yield content
    if path.suffix == ".gz":
        yield gzip.decompress(content)
    if path.suffix == ".png":
        with Image.open(path) as picture:
            yield repr(picture.info).encode()
    if path.suffix == ".pdf":
        with pypdfium2.PdfDocument(path) as document:
            yield repr(document.get_metadata_dict()).encode()
            yield "".join(page.get_textpage().get_text_bounded() for page in document).encode()


def everything_below(home: Path) -> Iterator[tuple[str, bytes]]:
    """Yield what lies in a folder, by path: names and contents. Bundles are there from before."""
    for path in home.rglob("*"):
        if "bundles" in path.parts:
            continue
        name = str(path.relative_to(home))
        yield name, name.encode()
        if path.is_file():
            for content in unpacked(path):
                yield name, content


@dataclass
class Asking:
    """A client that remembers all that it was told."""

    client: httpx.Client
    told: list[tuple[str, bytes]] = field(default_factory=list)

    def send(self, method: str, url: str, **request: Any) -> httpx.Response:
        answer = self.client.request(method, url, **request)
        self.told.append((f"{method} {answer.request.url.path}", repr(answer.headers).encode() + answer.content))
        return answer


@pytest.fixture(scope="module")
def uploads(
    tmp_path_factory: pytest.TempPathFactory, scanner: SimpleNamespace, make: SimpleNamespace
) -> dict[str, list[Part]]:
    """Return uploads by what they are: good ones, and such as fail at each stage."""
    folder = tmp_path_factory.mktemp("planted")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom's, of what is planted
        paths = scanner.write(folder, scanner.slices(scanner.pixels(6, size=(16, 14)), **TAGS))
        hundred = {**PLANTED, "SeriesNumber": 1, "ContrastBolusAgent": "Gd"}
        marked = scanner.write(folder / "marked", scanner.slices(scanner.pixels(6, size=(16, 14)), **hundred))
        odd = scanner.write(folder / "odd", scanner.slices(scanner.pixels(6), PixelSpacing=[0.0, 0.0], **TAGS))
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for path in paths:
            archive.write(path, f"{NAME}/{path.name}")
    text = {"descrip": NAME.encode(), "db_name": b"Erika", "aux_file": b"4711-SECRET"}
    volume = make.nifti(**text)
    dicom = [("files", (f"{NAME}_{number}.dcm", path.read_bytes())) for number, path in enumerate(paths)]
    return {
        "nifti": [("files", (f"{NAME}_t1c.nii.gz", volume))],
        "dicom": dicom,
        "a hundred identifiers": [
            ("files", (f"{PLANTED['PatientID']}_{number}.dcm", path.read_bytes())) for number, path in enumerate(marked)
        ],
        "archive": [("files", (f"{NAME}.zip", packed.getvalue()))],
        "pictures": [("files", (f"{NAME}_{number}.png", planted_picture(make))) for number in (1, 2)],
        "sequence nobody knows": [("files", (f"{NAME}_{word}.nii.gz", volume)) for word in ("a", "b")],
        "cut short": [("files", (f"{NAME}_t1c.nii.gz", volume[:-30]))],
        "cut short in the middle of a tag": [*dicom[1:], ("files", (f"{NAME}.dcm", dicom[0][1][1][:-100]))],
        "no spacing": [("files", (path.name, path.read_bytes())) for path in odd],
        "nothing that is read": [("files", (f"../{NAME}\r\nX: {NAME}.txt", NAME.encode()))],
        "a field of that name": [(NAME, (f"{NAME}.png", planted_picture(make)))],
    }


def planted_picture(make: SimpleNamespace) -> bytes:
    texts = PngInfo()
    texts.add_text("Patient", NAME)
    texts.add_itxt("Comment", NAME)
    return bytes(make.png(make.square(), pnginfo=texts))


#: Uploads that end well, with the model that they need.
GOOD = {
    "nifti": "bright-t1c",
    "dicom": "bright-t1c",
    "a hundred identifiers": "bright-t1c",
    "archive": "bright-t1c",
    "pictures": "bright-pictures",
}


def test_the_search_finds_what_is_there(uploads: dict[str, list[Part]], tmp_path: Path) -> None:
    for name, parts in uploads.items():
        for field_name, (file_name, content) in parts:
            assert find_secrets(field_name.encode() + file_name.encode()), name
            whole = gzip.decompress(content) if content[:2] == b"\x1f\x8b" and "short" not in name else content
            assert "short" in name or find_secrets(whole), name
    assert find_secrets("xErIKAx".encode("utf-16-le")) == {"Erika"}
    (tmp_path / "packed.gz").write_bytes(gzip.compress(b"ACC-90210"))
    assert [name for name, content in everything_below(tmp_path) if find_secrets(content)] == ["packed.gz"]


def test_a_planted_name_comes_out_nowhere(bundle_store: Path, tmp_path: Path, uploads: dict[str, list[Part]]) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "bundles").symlink_to(bundle_store)
    with (
        running.metseg_up(home, **SETTINGS) as service,
        httpx.Client(base_url=service.url, timeout=running.PATIENCE_S) as client,
    ):
        asking = Asking(client)
        states = {name: hand_in(service, asking, name, parts) for name, parts in uploads.items()}
        ask_oddly(asking, uploads)
        asking.send("GET", "/studies")
        asking.send("GET", "/metrics")
    assert {name: state for name, state in states.items() if state == "done"} == dict.fromkeys(GOOD, "done")
    assert "failed" in states.values()  # accepted, and found wrong by the worker
    assert "refused" in states.values()
    found = [
        (where, secrets)
        for where, content in (("said", service.log.read_bytes()), *asking.told, *everything_below(home))
        if (secrets := find_secrets(content))
    ]
    assert found == []
    assert len(service.said().splitlines()) > len(uploads)
    ended = [path for path in (home / "studies").glob("??/*") if path.is_dir()]
    assert not [path for path in ended if (path / "inputs").exists()]
    copies = Counter(path.relative_to(home).parts[2] for path in home.glob("studies/*/*/deidentified/*/*/*.dcm"))
    # Those of the whole DICOM studies; of the damaged one, the images that can be read.
    assert sorted(copies.values())[-4:] == [6, 6, 6, 6]
    results = {path.name for path in home.glob("studies/*/*/artifacts/*.dcm")}
    assert {"seg.dcm", "seg-classes.dcm", "rtstruct.dcm", "sr.dcm", "report.dcm"} == results


def hand_in(service: running.Running, asking: Asking, name: str, parts: list[Part]) -> str:
    """Hand in a study, wait for its end, look at all of it, and return what became of it."""
    answer = asking.send(
        "POST", "/studies", files=parts, data={"model": GOOD.get(name, "bright-t1c"), **series_of(name)}
    )
    if answer.status_code != 202:
        return "refused"
    url = answer.headers["location"]
    service.wait_until_over(url)
    study = asking.send("GET", url).json()
    for artifact in study["artifacts"]:
        asking.send("GET", artifact["url"])
    return str(study["state"])


def series_of(name: str) -> dict[str, str]:
    """Return the field that says what a DICOM series shows, where there is one."""
    return {"series": "t1c=1"} if name in ("dicom", "archive", "a hundred identifiers") else {}


def ask_oddly(asking: Asking, uploads: dict[str, list[Part]]) -> None:
    """Put the name wherever a client can put one."""
    picture = uploads["pictures"][0][1]
    asking.send("POST", "/predict/", files={"file": picture})
    asking.send("POST", "/predict/", files={"file": picture}, headers={"Accept": "image/png; view=overlay"})
    asking.send("POST", "/predict/", files={"file": picture}, data={"model": NAME})
    asking.send("POST", "/predict/", files={"file": (f"{NAME}.png", NAME.encode())})
    asking.send("POST", "/predict/", content=picture[1][:-20], headers={"Content-Type": "image/png"})
    asking.send("GET", f"/studies/{NAME}")
    asking.send("GET", f"/{NAME}?q={NAME}")
    asking.send("GET", f"/studies?state={NAME}&after={NAME}")
    asking.send("GET", "/studies", headers={"Authorization": f"Bearer {NAME}", "Referer": f"http://{NAME}"})
