"""Memory of the page while it sends files to the service."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from .fake import queued_study

#: Sends a file to the service, and prints by how many sizes of the file the peak of the memory rose.
SEND = """
import resource, sys
from metseg.schemas import Options
from metseg.ui.api_client import Api, Part
from metseg.ui.page_settings import PageSettings

def peak():
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

size = 2**26
part = Part("t1c", "file-1.nii", b"x" * size)
api = Api(PageSettings(api_url=sys.argv[1]))
before = peak()
api.hand_in([part], Options(), idempotency_key="a")
print((peak() - before) / size)
"""


@pytest.fixture
def sink() -> Iterator[tuple[str, list[int]]]:
    """Serve an API that discards uploads, and return its address and the sizes of what it received."""
    sizes: list[int] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            left = int(self.headers["Content-Length"])
            sizes.append(left)
            while left:
                left -= len(self.rfile.read(min(left, 2**16)))
            body = queued_study().model_dump_json().encode()
            self.send_response(202)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", sizes
    server.shutdown()
    server.server_close()


@pytest.mark.skipif(sys.platform != "linux", reason="the unit of ru_maxrss differs between systems")
def test_files_are_sent_without_copies(sink: tuple[str, list[int]]) -> None:
    address, sizes = sink
    done = subprocess.run([sys.executable, "-c", SEND, address], capture_output=True, text=True, check=True)
    assert sizes[0] > 2**26
    assert float(done.stdout) < 0.25
