"""A service in a folder of its own, models that find what is bright, and a worker that works studies off at once."""

from __future__ import annotations

import io
import runpy
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nibabel
import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from metseg import bundle_folder
from metseg.bundle_folder import checksums
from metseg.recipe import Recipe, parse_recipe
from metseg.schemas import Phase
from metseg.serve.app import create_app
from metseg.serve.service_context import Service
from metseg.serve.settings import Settings, load_settings
from metseg.serve.storage.database import Database, open_database
from metseg.serve.storage.folders import Folders
from metseg.serve.sync_predict.messages import Ask, Refusal, Result

from .fleet import Fleet

#: A voxel above this is lesion to the models here.
BRIGHT = 200.0
#: As a browser on this machine calls the service.
BASE_URL = "http://127.0.0.1:8000"
AFFINE = np.array([[-1.0, 0, 0, 10], [0, 1.0, 0, -12], [0, 0, 2.0, 5], [0, 0, 0, 1]])

PICTURES = """
name = "bright-pictures"
description = "Bright is lesion."
data = { channels = ["t2f"], licence = "Made-up squares" }
model = { name = "cnn", channels = [1, 1] }
train = { precision = "float32" }
"""

VOLUMES = """
name = "NAME"
data = { modalities = MODALITIES, dimensions = 3 }
preprocess = [{ name = "reorient" }]
model = { name = "cnn", channels = [1, 1] }
train = { precision = "float32", patch_size = [12, 12, 12] }
"""


def save_bright_bundle(folder: Path, recipe: Recipe) -> None:
    """Write a bundle whose network says lesion where its first sequence is brighter than `BRIGHT`."""
    import torch
    from torch import nn

    from metseg.model import build_from_recipe
    from metseg.model.bundle import save_bundle

    network = build_from_recipe(recipe).eval()
    convolutions = [module for module in network.modules() if isinstance(module, nn.Conv2d | nn.Conv3d)]
    *before, last = convolutions
    with torch.no_grad():
        for convolution in before:  # each passes the first channel on; batch normalisation begins as no change
            convolution.weight.zero_()
            convolution.weight[(0, 0, *[1] * (convolution.weight.ndim - 2))] = 1.0
        last.weight.fill_(0.1)
        assert last.bias is not None
        last.bias.fill_(-0.1 * BRIGHT)
    save_bundle(folder, networks=[network], recipe=recipe, card=f"# {recipe.name}\n", metrics={"dice": 0.5})


def recipes() -> dict[str, Recipe]:
    """Return the recipes of ``bright-pictures``, ``bright-t1c`` and ``bright-two`` (two sequences)."""
    volumes = {"bright-t1c": '["t1c"]', "bright-two": '["t1c", "t2f"]'}
    texts = {name: VOLUMES.replace("NAME", name).replace("MODALITIES", wanted) for name, wanted in volumes.items()}
    return {name: parse_recipe(text, where="test") for name, text in {"bright-pictures": PICTURES, **texts}.items()}


@pytest.fixture(scope="session")
def bundle_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a bundle for each of `recipes`."""
    folder = tmp_path_factory.mktemp("store") / "bundles"
    for name, recipe in recipes().items():
        save_bright_bundle(folder / name, recipe)
    return folder


@pytest.fixture(scope="session")
def empty_records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file with the records' tables as the migrations make them, made once for all tests."""
    folder = tmp_path_factory.mktemp("records")
    open_database(load_settings(home=folder)).close()
    return folder / "service.sqlite"


@pytest.fixture
def home(tmp_path: Path, empty_records: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a home of the service with bundles that can be listed and not run: most tests need no network."""
    folder = tmp_path / "home"
    for name, recipe in recipes().items():
        bundle = folder / "bundles" / name
        bundle.mkdir(parents=True)
        (bundle / "recipe.toml").write_text(recipe.to_toml())
        (bundle / "card.md").write_text(f"# {name}\n")
        (bundle / "metrics.json").write_text('{"dice": 0.5}')
        (bundle / "model.safetensors").write_bytes(b"no weights")
        (bundle / "sha256").write_text(checksums(bundle))
    shutil.copyfile(empty_records, folder / empty_records.name)
    for name in ("METSEG_DATABASE_URL", "METSEG_PORT", "METSEG_HOST"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("METSEG_HOME", str(folder))
    # Not those of the checkout, too: what is found must not depend on what is shipped.
    monkeypatch.setattr(bundle_folder, "bundle_places", lambda: (bundle_folder.user_bundles(),))
    return folder


@pytest.fixture
def bright(home: Path, bundle_store: Path) -> Path:
    """Give the bundles of the home their networks."""
    shutil.rmtree(home / "bundles")
    shutil.copytree(bundle_store, home / "bundles")
    return home


class Here:
    """Answers pictures in this process, by the function that the child process runs."""

    is_warm = True

    def __init__(self) -> None:
        self._models: Any = None

    async def ask(self, ask: Ask) -> Result | Refusal:
        from metseg.serve.jobs.phases.model_cache import Models
        from metseg.serve.sync_predict.child import _reply

        self._models = self._models or Models(kept=2, device="cpu")
        reply = _reply(ask, self._models)
        assert isinstance(reply, Result | Refusal)
        return reply

    def start(self) -> None: ...

    def stop(self) -> None: ...


MakeClient = Callable[..., TestClient]


@pytest.fixture
def make_client(home: Path) -> Iterator[MakeClient]:
    """Return a function that gives a client of a new service on the same home, with other settings."""
    services: list[Service] = []

    def make(**changes: Any) -> TestClient:
        settings = load_settings(**{"disk_reserve_bytes": 1, "picture_model": "bright-pictures", **changes})
        app = create_app(settings)
        service: Service = app.state.service
        service.instant = Here()  # type: ignore[assignment]
        services.append(service)
        return TestClient(app, base_url=BASE_URL)

    yield make
    for service in services:
        service.database.close()


@pytest.fixture
def client(make_client: MakeClient) -> TestClient:
    """Return a client of a service without keys."""
    return make_client()


@pytest.fixture
def service(client: TestClient) -> Service:
    found: Service = client.app.state.service  # type: ignore[attr-defined]
    return found


WorkOff = Callable[[Service, str], None]


@pytest.fixture
def work_off(bright: Path) -> WorkOff:
    """Return a function that does with a study what a worker does, in this process."""
    from metseg.serve.jobs.heartbeat import Lease
    from metseg.serve.jobs.phase_runner import OVER, PhaseRunner, Tools
    from metseg.serve.jobs.phases.model_cache import Models
    from metseg.serve.storage.job_repository import Store

    def run(service: Service, study_id: str) -> None:
        tools = Tools(
            store=Store(service.database, service.settings),
            token="worker-1:life-1",
            models=Models(kept=2, device="cpu"),
            is_given=lambda _study_id: True,
            lease=Lease(3600),
            stop=threading.Event(),
        )
        bench = PhaseRunner(tools)
        with bench.opened(study_id) as hold:
            for phase in Phase:
                if bench.do(hold, phase) == OVER:
                    return
            bench.finish(hold)

    return run


@pytest.fixture
def settings(home: Path) -> Settings:
    return load_settings(disk_reserve_bytes=1)


@pytest.fixture
def database(settings: Settings) -> Iterator[Database]:
    """Return the records of a new service."""
    Folders(settings.home).make()
    database = open_database(settings)
    yield database
    database.close()


def png(pixels: np.ndarray, **options: Any) -> bytes:
    """Return a picture as the bytes of a PNG."""
    encoded = io.BytesIO()
    Image.fromarray(pixels).save(encoded, format="PNG", **options)
    return encoded.getvalue()


def square(side: int = 3, *, bright: int = 255, dtype: type = np.uint8) -> np.ndarray:
    """Return a picture (32 rows, 40 columns), dark, with a bright square at row 4, column 10."""
    picture = np.full((32, 40), 60, dtype=dtype)
    picture[4 : 4 + side, 10 : 10 + side] = bright
    return picture


def volume(dtype: type = np.int16) -> np.ndarray:
    """Return a volume (20, 24, 10) with a lesion of 27 voxels."""
    data = np.zeros((20, 24, 10), dtype=dtype)
    data[2:18, 2:22, 1:9] = 100
    data[4:7, 5:8, 3:6] = 300
    return data


def nifti(data: np.ndarray | None = None, affine: np.ndarray = AFFINE, *, packed: bool = True, **header: Any) -> bytes:
    """Return a volume as the bytes of a NIfTI file; `header` is put into the header as it stands."""
    import gzip

    image = nibabel.Nifti1Image(volume() if data is None else data, affine)
    image.header.set_xyzt_units("mm")
    raw = bytearray(image.to_bytes())
    if header:
        changed = nibabel.Nifti1Header(bytes(raw[:348]), check=False)
        for name, value in header.items():
            changed[name] = value
        raw[: len(changed.binaryblock)] = changed.binaryblock
    return gzip.compress(bytes(raw), mtime=0) if packed else bytes(raw)


@pytest.fixture(scope="session")
def make() -> SimpleNamespace:
    """Return the functions that make files to upload."""
    return SimpleNamespace(
        png=png, square=square, volume=volume, nifti=nifti, affine=AFFINE, save_bundle=save_bright_bundle
    )


@pytest.fixture(scope="session")
def scanner() -> SimpleNamespace:
    """Return the functions of the tests' own scanner, which makes DICOM objects."""
    return SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[1] / "io" / "dicom" / "scanner.py")))


@pytest.fixture(scope="session")
def audited() -> Callable[[Service], list[str]]:
    """Return a function that gives who did what, in order."""
    import sqlalchemy as sa

    from metseg.serve.storage.db_models import AuditRecord

    def entries(service: Service) -> list[str]:
        with service.database.read() as session:
            found = session.scalars(sa.select(AuditRecord).order_by(AuditRecord.number))
            return [f"{entry.actor} {entry.action}" for entry in found]

    return entries


@pytest.fixture
def make_fleet(home: Path) -> Iterator[Callable[[], Fleet]]:
    """Return a function that makes a fleet on the database that the settings name now; no process outlives its test."""
    from metseg.serve.settings import load_settings
    from metseg.serve.storage.database import open_database
    from metseg.serve.storage.folders import Folders
    from metseg.serve.storage.job_repository import Store

    made: list[Fleet] = []

    def make() -> Fleet:
        settings = load_settings()
        Folders(settings.home).make()
        made.append(Fleet(home, Store(open_database(settings), settings)))
        return made[-1]

    yield make
    for fleet in made:
        fleet.kill_all()
        fleet.store.database.close()
