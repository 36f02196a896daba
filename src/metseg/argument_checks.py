"""Check arguments of the Python API: each function returns the checked value or raises an error that names it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from metseg.errors import GeometryError, InputError, UsageError

Checked = TypeVar("Checked")

#: Class ids are stored as uint8.
MAX_CLASS_ID = 255


def describe_type(value: object) -> str:
    """Describe a value in a few words for a message.

    >>> describe_type(None), describe_type(5), describe_type(np.zeros((2, 3)))
    ('None', 'int', 'an array of shape (2, 3)')
    """
    if value is None:
        return "None"
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape}"
    return type(value).__name__


def wrong_type(name: str, value: object, *, expected: str, cure: str | None = None) -> UsageError:
    """Return the error for an argument of the wrong type.

    Args:
        name: of the argument.
        value: what was passed.
        expected: the accepted type.
        cure: how the caller can fix it.
    """
    return UsageError(
        "the argument has a wrong type",
        where=name,
        expected=expected,
        got=describe_type(value),
        cure=cure,
        code="usage.type",
    )


def require_instance(name: str, value: object, wanted: type[Checked], *, expected: str) -> Checked:
    """Return a value of the wanted type.

    Raises:
        UsageError: ``usage.type``, it has another.
    """
    if isinstance(value, wanted):
        return value
    raise wrong_type(name, value, expected=expected)


def require_path(name: str, value: object) -> Path:
    """Return a path.

    Raises:
        UsageError: ``usage.type``, the value is neither text nor a path.

    >>> require_path("out", 5)
    Traceback (most recent call last):
    ...
    metseg.errors.UsageError: out: the argument has a wrong type (expected a path, got int)
    """
    if isinstance(value, str | Path):
        return Path(value)
    raise wrong_type(name, value, expected="a path")


def optional_path(name: str, value: object) -> Path | None:
    """Return a path, or None for None; see `require_path`."""
    return None if value is None else require_path(name, value)


def require_texts(name: str, value: object) -> tuple[str, ...]:
    """Return a list of texts. A single text is rejected, because Python would iterate over its letters.

    Raises:
        UsageError: ``usage.type``.
    """
    if isinstance(value, str):
        raise wrong_type(name, value, expected="a list of texts", cure=f'write {name}=["{value}"]')
    if not isinstance(value, Iterable):
        raise wrong_type(name, value, expected="a list of texts")
    texts = tuple(value)
    for text in texts:
        require_instance(name, text, str, expected="a list of texts")
    return texts


def require_mapping(name: str, value: object, *, expected: str) -> Mapping[str, Any]:
    """Return a mapping with at least one entry and text keys.

    Raises:
        UsageError: ``usage.type``, not a mapping or a key is not a text; ``usage.empty``, the mapping is empty.
    """
    if not isinstance(value, Mapping):
        raise wrong_type(name, value, expected=expected)
    if not value:
        raise UsageError("the mapping is empty", where=name, expected=expected, code="usage.empty")
    for key in value:
        require_instance(f"a key of {name}", key, str, expected="a text")
    return value


def require_file_name(name: str, value: object) -> str:
    """Return a text that can be part of a file name.

    Raises:
        UsageError: ``usage.type``, not a text; ``usage.file_name``, an empty one or one with a slash.
    """
    text = require_instance(name, value, str, expected="a text")
    if not text.strip() or set(text) & set("/\\") or not text.isprintable():
        raise UsageError(
            "the text cannot be part of a file name",
            where=name,
            expected="a text without slashes",
            got=repr(text),
            code="usage.file_name",
        )
    return text


def image_array(name: str, value: object) -> npt.NDArray[np.generic]:
    """Return the voxels of an image as an array with three axes.

    Args:
        name: of the argument.
        value: (X, Y, Z), or (X, Y) for one slice; anything that numpy takes for an array of numbers.
    Returns:
        (X, Y, Z), integers as they are, floating-point numbers as float32; not copied where that can be avoided.
    Raises:
        UsageError: ``usage.type``, not an array of numbers.
        GeometryError: ``input.axes``, another number of axes, or an axis of length 0.
        InputError: ``input.not_finite``, values that are NaN or infinite.
    """
    array = number_array(name, value)
    if array.dtype.kind == "f":
        array = array.astype(np.float32, copy=False)
        if not np.isfinite(array).all():
            raise InputError(
                "the image contains values that are NaN or infinite",
                where=name,
                expected="finite numbers",
                got=f"{np.count_nonzero(~np.isfinite(array))} of {array.size} voxels",
                cure="replace them, for instance with numpy.nan_to_num",
                code="input.not_finite",
            )
    return array


def label_array(name: str, value: object) -> npt.NDArray[np.uint8]:
    """Return class ids as an array (X, Y, Z) uint8.

    Args:
        name: of the argument.
        value: (X, Y, Z), or (X, Y) for one slice; whole numbers from 0 to 255 of any type, or bool.
    Raises:
        UsageError, GeometryError: as `image_array`.
        InputError: ``input.labels``, a value that is not a class id.
    """
    array: npt.NDArray[Any] = number_array(name, value)
    wrong = (array != np.rint(array)) | (array < 0) | (array > MAX_CLASS_ID) if array.dtype != np.bool_ else None
    if wrong is not None and wrong.any():
        raise InputError(
            "the labels contain a value that is not a class id",
            where=name,
            expected=f"whole numbers from 0 to {MAX_CLASS_ID}",
            got=array[wrong][0],
            cure="threshold probabilities before you pass them as labels",
            code="input.labels",
        )
    return array.astype(np.uint8, copy=False)


def affine_matrix(name: str, value: object) -> npt.NDArray[np.float64]:
    """Return a voxel-to-RAS matrix.

    Args:
        name: of the argument.
        value: (4, 4), mm.
    Raises:
        UsageError: ``usage.type``, not an array of numbers.
        GeometryError: another shape.
    """
    try:
        affine = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise wrong_type(name, value, expected="a (4, 4) matrix of numbers") from None
    if affine.shape != (4, 4):
        raise GeometryError("the affine is not a 4x4 matrix", where=name, expected=(4, 4), got=affine.shape)
    return affine


def number_array(name: str, value: object) -> npt.NDArray[np.generic]:
    """Return an array of real numbers with three axes, (X, Y, Z); (X, Y) becomes a single slice.

    Args:
        name: of the argument.
        value: anything that numpy takes for an array of numbers.
    Raises:
        UsageError: ``usage.type``, not an array of real numbers.
        GeometryError: ``input.axes``, another number of axes, or an axis of length 0.
    """
    if value is None or isinstance(value, str | bytes | Path | Mapping):
        raise wrong_type(name, value, expected="an array of numbers")
    try:
        array = np.asarray(value)
    except (TypeError, ValueError, RuntimeError):  # torch refuses tensors on a GPU or with a gradient
        raise wrong_type(name, value, expected="an array of numbers in main memory") from None
    if array.dtype.kind not in "buif":
        raise wrong_type(name, value, expected="an array of real numbers")
    if array.ndim not in (2, 3) or 0 in array.shape:
        raise GeometryError(
            "the image is neither a volume nor a slice",
            where=name,
            expected="(X, Y, Z) or (X, Y)",
            got=array.shape,
            cure="pass each sequence or channel as a separate array",
            code="input.axes",
        )
    return array[:, :, np.newaxis] if array.ndim == 2 else array
