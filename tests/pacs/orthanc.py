"""A real Orthanc with DICOMweb on loopback, in a folder of the test."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

import httpx

PROGRAM = shutil.which("Orthanc") or "/usr/sbin/Orthanc"
#: Where Debian's orthanc-dicomweb puts the plugin.
PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
TITLE = "ORTHANC"
PATIENCE_S = 60.0


def missing_programs() -> str:
    """Return why Orthanc cannot be started; empty if it can."""
    if not Path(PROGRAM).is_file():
        return "Orthanc is absent (Debian: orthanc)"
    return "" if PLUGIN.exists() else "the DICOMweb plugin of Orthanc is absent (Debian: orthanc-dicomweb)"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Orthanc:
    """An Orthanc that can be killed and started again on the same folder and ports.

    Args:
        folder: for its database, settings and log.
        titles: that it knows, with the port where each receives.
        settings: further settings of Orthanc.
    """

    def __init__(self, folder: Path, titles: Mapping[str, int] | None = None, **settings: object) -> None:
        self.http, self.dicom = free_port(), free_port()
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        known = {"METSEG": free_port(), **(titles or {})}
        content = {
            "Name": "test", "StorageDirectory": str(folder / "db"), "IndexDirectory": str(folder / "db"),
            "HttpPort": self.http, "DicomPort": self.dicom, "DicomAet": TITLE, "DicomCheckCalledAet": True,
            "DicomAlwaysAllowEcho": False, "DicomAlwaysAllowFind": False, "DicomAlwaysAllowGet": False,
            "DicomAlwaysAllowStore": False, "DicomAssociationCloseDelay": 0, "RemoteAccessAllowed": False,
            "AuthenticationEnabled": False, "Plugins": [str(PLUGIN)], "SynchronousCMove": True,
            "OverwriteInstances": False, "StableAge": 1,
            "DicomWeb": {"Enable": True, "Root": "/dicom-web/", "EnableWado": False},
            "DicomModalities": {
                title: {"AET": title, "Host": "127.0.0.1", "Port": port, "AllowEcho": True, "AllowFind": True,
                        "AllowGet": True, "AllowStore": True, "AllowMove": True}
                for title, port in known.items()
            },
            **settings,
        }  # fmt: skip
        (folder / "orthanc.json").write_text(json.dumps(content))

    @property
    def web(self) -> str:
        """Return the address for DICOMweb."""
        return f"http://127.0.0.1:{self.http}/dicom-web"

    @property
    def dimse(self) -> str:
        """Return the address for DIMSE."""
        return f"dimse://{TITLE}@127.0.0.1:{self.dicom}?calling=METSEG"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        log = (self._folder / "log").open("ab")
        command = [PROGRAM, str(self._folder / "orthanc.json")]
        self._process = subprocess.Popen(
            command, stdout=log, stderr=subprocess.STDOUT, env={**os.environ, "LC_ALL": "C"}
        )
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                if httpx.get(f"{self.web}/studies", trust_env=False).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            said = (self._folder / "log").read_text(errors="replace")
            assert self._process.poll() is None, said
            assert time.monotonic() < deadline, said
            time.sleep(0.05)

    def kill(self) -> None:
        """End it without a chance to finish anything."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    def count(self) -> int:
        """Return how many instances it has."""
        return len(httpx.get(f"http://127.0.0.1:{self.http}/instances", trust_env=False).json())

    def clear(self) -> None:
        """Delete everything."""
        for study in httpx.get(f"http://127.0.0.1:{self.http}/studies", trust_env=False).json():
            httpx.delete(f"http://127.0.0.1:{self.http}/studies/{study}", trust_env=False)
