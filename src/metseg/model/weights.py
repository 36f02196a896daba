"""Read weights without running code: safetensors, and public checkpoints with torch's weights-only reader."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError

import safetensors.torch
import torch
from safetensors import SafetensorError

from metseg.errors import BundleError

#: How a zip (what torch.save writes) and a pickle of protocol 2 to 5 begin.
_PICKLE_STARTS = (b"PK\x03\x04", *(bytes([0x80, protocol]) for protocol in range(2, 6)))
#: How many keys a message names.
_NAMED_KEYS = 5


def read_safetensors(path: Path) -> dict[str, torch.Tensor]:
    """Return the tensors of a safetensors file by name.

    Raises:
        BundleError: the file is absent, a pickle (which is not opened), cut short, or not safetensors.
    """
    data = _read(path)
    if data.startswith(_PICKLE_STARTS):
        raise BundleError(
            "the file is a pickle, which can run any code when it is loaded; it was not loaded",
            where=path,
            expected="safetensors",
            cure="ask its author for safetensors, or convert it yourself if you trust it",
            code="model.pickle",
        )
    missing = _missing_bytes(data)
    if missing > 0:
        raise BundleError(
            "the file is truncated",
            where=path,
            expected=f"{len(data) + missing} bytes",
            got=f"{len(data)} bytes",
            cure="copy it again",
            code="model.truncated",
        )
    try:
        return safetensors.torch.load(data)
    except SafetensorError as error:
        raise BundleError(
            f"not a safetensors file: {error}", where=path, cure="copy it again", code="model.invalid"
        ) from None


def read_checkpoint(path: Path) -> dict[str, torch.Tensor]:
    """Return the tensors of a public checkpoint: safetensors, or a ``.pth`` read by torch's weights-only reader.

    Raises:
        BundleError: as `read_safetensors`; also a pickle that holds anything but tensors and plain containers.
    """
    if not _read(path, size=4).startswith(_PICKLE_STARTS):
        return read_safetensors(path)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        first_line = (str(error).splitlines() or ["no reason given"])[0]
        raise BundleError(
            "the checkpoint is damaged, or holds code besides weights; no code was run",
            where=path,
            got=first_line,
            cure="use the original file, or convert it to safetensors if you trust it",
            code="model.pickle",
        ) from None
    if not isinstance(content, Mapping) or not all(isinstance(value, torch.Tensor) for value in content.values()):
        raise BundleError(
            "the checkpoint holds more than weights",
            where=path,
            expected="a mapping from names to tensors",
            cure="save only the network's state_dict()",
            code="model.invalid",
        )
    return dict(content)


def check_keys(
    found: Mapping[str, torch.Tensor], expected: Mapping[str, torch.Tensor], *, where: object, architecture: str
) -> None:
    """Check that weights fit a network, name by name and shape by shape.

    Raises:
        BundleError: they do not; the message counts the keys that differ and describes the first five.
    """
    differences = [_difference(key, found.get(key), value) for key, value in expected.items()]
    differences += [f"{key} not expected" for key in found if key not in expected]
    real = [text for text in differences if text]
    if real:
        more = f" and {len(real) - _NAMED_KEYS} more" if len(real) > _NAMED_KEYS else ""
        raise BundleError(
            "the weights belong to another architecture",
            where=where,
            expected=architecture,
            got=", ".join(real[:_NAMED_KEYS]) + more,
            cure="use them with the recipe that they were trained with",
            code="model.architecture",
        )


def _difference(key: str, found: torch.Tensor | None, expected: torch.Tensor) -> str:
    if found is None:
        return f"{key} missing"
    if found.shape != expected.shape:
        return f"{key} of shape {tuple(found.shape)} instead of {tuple(expected.shape)}"
    return ""


def _read(path: Path, size: int = -1) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(size)
    except OSError as error:
        raise BundleError(
            "cannot read the weights",
            where=path,
            got=error.strerror,
            cure="check the path and its permissions",
            code="model.missing",
        ) from None


def _missing_bytes(data: bytes) -> int:
    """Return how many bytes a safetensors file lacks of what its own header promises.

    The format: 8 bytes with the header's length (little-endian), the header (JSON: name to dtype, shape and the
    (begin, end) of its data), the data. See https://huggingface.co/docs/safetensors/index#format.
    """
    if len(data) < 8:
        return 8 - len(data)
    data_start = 8 + int.from_bytes(data[:8], "little")
    if data_start > len(data):
        # A length beyond anything sensible is no header at all; safetensors itself then says what is wrong.
        looks_like_header = data[8:9] in (b"", b"{") and data_start < 100_000_000
        return data_start - len(data) if looks_like_header else 0
    try:
        header = json.loads(data[8:data_start])
        ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
    except (ValueError, AttributeError, KeyError, TypeError, IndexError):
        return 0
    return data_start + max((end for end in ends if isinstance(end, int)), default=0) - len(data)
