"""The page with a service that is not there, in a process of its own, for tests with a browser.

``python -m tests.ui.fake_page`` serves until it is ended; its first line is the address of a finished study.
"""

from __future__ import annotations

import socket
import sys

import httpx
import numpy as np

from metseg.runtime.http_protocol import TimedHttpProtocol
from metseg.ui import page_settings
from metseg.ui.page_server import run_page
from metseg.ui.page_settings import PageSettings

from . import fake

_MEMORY_BYTES = 4 * 2**30


def add_study(service: fake.FakeApi) -> str:
    """Add a study with two sequences, one on a grid of its own, a brain mask and a map; return its id."""
    files = fake.volume_files()
    image, mask, _ = fake.volume_arrays()
    coarse = fake.AFFINE.copy()
    coarse[:, 2] *= 2
    flair = np.where(mask, 900, image)[:, :, ::2].astype(np.int16)
    brain = np.zeros(fake.SHAPE, dtype=np.uint8)
    brain[2:18, 2:22, 1:15] = 1
    files |= {"sequence-t2f.nii.gz": fake.nifti(flair, coarse), "brain_mask.nii.gz": fake.nifti(brain)}
    uncertainty = np.where(mask, 32768, 0).astype(np.uint16)  # 0.5, the highest, in lesions
    files["uncertainty.nii.gz"] = fake.nifti(uncertainty, slope=1 / 65535)
    study = fake.done_volume()
    facts = study.facts.model_copy(update={"sequences": ("t1c", "t2f")})
    return service.add(study.model_copy(update={"facts": facts}), files).id


def main() -> None:
    service = fake.FakeApi()
    study_id = add_study(service)
    page_settings.use(PageSettings(transport=httpx.MockTransport(service), poll_s=3600))
    listener = socket.create_server(("127.0.0.1", 0))
    sys.stdout.write(f"http://127.0.0.1:{listener.getsockname()[1]}/?study={study_id}\n")
    sys.stdout.flush()
    run_page(listener, _MEMORY_BYTES, TimedHttpProtocol)


if __name__ == "__main__":
    main()
