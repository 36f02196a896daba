from __future__ import annotations

import collections
import pickle
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from metseg.errors import BundleError
from metseg.model.weights import check_keys, read_checkpoint, read_safetensors

TENSORS = {"a.weight": torch.arange(6.0).reshape(2, 3), "b": torch.tensor(7)}


class Trap:
    """A pickle that would leave a trace when opened."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.trace,))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    safetensors.torch.save_file(TENSORS, tmp_path / "model.safetensors")
    return tmp_path / "model.safetensors"


def test_reads_what_was_written(file: Path) -> None:
    read = read_safetensors(file)
    assert read.keys() == TENSORS.keys()
    assert all(torch.equal(read[key], value) for key, value in TENSORS.items())


@pytest.mark.parametrize("save", [torch.save, lambda o, p: p.write_bytes(pickle.dumps(o))], ids=["torch", "pickle"])
def test_a_pickle_named_safetensors_is_not_opened(save: Any, tmp_path: Path) -> None:
    path, trace = tmp_path / "model.safetensors", tmp_path / "trace"
    save(Trap(trace), path)
    with pytest.raises(BundleError, match="the file is a pickle, which can run any code when it is loaded") as caught:
        read_safetensors(path)
    assert (caught.value.code, caught.value.exit_status) == ("model.pickle", 4)
    assert not trace.exists()


@pytest.mark.parametrize("kept", [0, 5, 8, 40, -1])
def test_a_truncated_file_is_called_truncated(file: Path, kept: int) -> None:
    whole = file.read_bytes()
    file.write_bytes(whole[:kept])
    with pytest.raises(BundleError, match=r"the file is truncated \(expected \d+ bytes, got \d+ bytes\)") as caught:
        read_safetensors(file)
    assert (caught.value.code, caught.value.exit_status) == ("model.truncated", 4)
    if kept == -1:
        assert caught.value.expected == f"{len(whole)} bytes"


@pytest.mark.parametrize("content", [b"\x89PNG\r\n\x1a\n" * 4, b"<html>not found</html>", b"\x02" + bytes(7) + b"[]"])
def test_other_files_are_not_safetensors(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(BundleError, match="not a safetensors file") as caught:
        read_safetensors(path)
    assert caught.value.code == "model.invalid"


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="cannot read the weights") as caught:
        read_safetensors(tmp_path / "model.safetensors")
    assert caught.value.code == "model.missing"


def test_a_checkpoint_of_tensors_alone_is_read(tmp_path: Path) -> None:
    torch.save(collections.OrderedDict(TENSORS), tmp_path / "public.pth")
    assert torch.equal(read_checkpoint(tmp_path / "public.pth")["a.weight"], TENSORS["a.weight"])


def test_a_truncated_checkpoint_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "public.pth"
    torch.save(TENSORS, path)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(BundleError, match="damaged"):
        read_checkpoint(path)


def test_a_checkpoint_with_more_than_weights_is_refused(tmp_path: Path) -> None:
    torch.save({"epoch": 3, "state_dict": TENSORS}, tmp_path / "public.pth")
    with pytest.raises(BundleError, match="holds more than weights") as caught:
        read_checkpoint(tmp_path / "public.pth")
    assert caught.value.cure == "save only the network's state_dict()"


def test_the_first_five_keys_that_differ_are_described() -> None:
    expected = {name: torch.zeros(2) for name in "abcdef"}
    found = {"a": torch.zeros(2), "b": torch.zeros(3), "x": torch.zeros(1), "y": torch.zeros(1)}
    with pytest.raises(BundleError) as caught:
        check_keys(found, expected, where="w.safetensors", architecture="unet")
    assert caught.value.one_line() == (
        "w.safetensors: the weights belong to another architecture (expected unet, got b of shape (3,) instead of "
        "(2,), c missing, d missing, e missing, f missing and 2 more); "
        "use them with the recipe that they were trained with"
    )
    assert (caught.value.code, caught.value.exit_status) == ("model.architecture", 4)


def test_equal_keys_pass() -> None:
    check_keys(TENSORS, {key: torch.zeros_like(value) for key, value in TENSORS.items()}, where="", architecture="")
