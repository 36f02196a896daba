"""Find equal images under different patient names: the same person in several parts of a split."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

from metseg.errors import MetsegError
from metseg.io.case_source import CaseSource
from metseg.io.images.images_2d import read_picture
from metseg.io.images.slice_stack import SliceStackSource
from metseg.io.images.slice_stats import picture_digest
from metseg.io.splits import Split
from metseg.io.volumes.image_files import read_images
from metseg.io.volumes.volume_case import VolumeSource
from metseg.io.volumes.volume_stats import volume_digest
from metseg.runtime.atomic_io import write_text
from metseg.runtime.progress import track
from metseg.runtime.system_info import processors

#: What is known of the images of the last data set in this process, by its root: a comparison splits one data set for
#: each training. Of others nothing is kept.
_KNOWN: dict[Path, dict[str, tuple[str, ...]]] = {}

#: Name of the file, in a cache folder, that spares later trainings the reading.
DIGESTS = "image_digests.json"

#: What counts as equal; the checksums of another version are not compared with these.
DIGESTS_VERSION = 2


def mark_duplicates(
    split: Split, sources: Sequence[CaseSource], *, cache: Path | None = None, quiet: bool = False
) -> Split:
    """Return the split with the groups of patients that share an image but are in different parts.

    Reads every image, but no masks. A split by slice leaks patients anyway and is returned unchanged.

    Args:
        split: of these sources.
        sources: the data set.
        cache: folder in which checksums of the images are kept for the next call; None: for this process only.
        quiet: show no progress.
    """
    if split.by == "slice":
        return split
    part = {patient: number for number, group in enumerate(_groups(split)) for patient in group}
    across = [
        group
        for group in equal_patients(sources, cache=cache, quiet=quiet)
        if len({part.get(patient) for patient in group}) > 1
    ]
    return replace(split, duplicates=tuple(across))


def _groups(split: Split) -> tuple[tuple[str, ...], ...]:
    """Return the patients of each fold or part of the split."""
    return (*split.folds, split.test) if split.folds else (split.train, split.validation, split.test)


def equal_patients(
    sources: Sequence[CaseSource], *, cache: Path | None = None, quiet: bool = False
) -> list[tuple[str, ...]]:
    """Return the groups of patients that share at least one image, pixel by pixel; constant images do not count.

    The order and direction of axes do not matter, so a DICOM study equals its converted files.

    Args:
        sources: the data set; an image that cannot be read is skipped; training reports it.
        cache, quiet: as in `mark_duplicates`.
    """
    return _sharing(_digests(sources, cache, quiet=quiet), [source.patient for source in sources])


def equal_cases(sources: Sequence[CaseSource]) -> list[tuple[str, ...]]:
    """Return the groups of cases, by their ids, that share at least one image; else as `equal_patients`.

    Args:
        sources: the cases; all their images are read, without progress.
    """
    return _sharing(_digests(sources, None, quiet=True), [source.case_id for source in sources])


def _sharing(found: Iterable[tuple[str, ...]], names: Sequence[str]) -> list[tuple[str, ...]]:
    """Return the groups of names that have a checksum in common."""
    owners: dict[str, set[str]] = defaultdict(set)
    for name, digests in zip(names, found, strict=True):
        for digest in digests:
            owners[digest].add(name)
    return _joined(group for group in owners.values() if len(group) > 1)


def _joined(groups: Iterable[set[str]]) -> list[tuple[str, ...]]:
    """Return the groups, merged where two have a member in common.

    >>> _joined([{"a", "b"}, {"c", "d"}, {"b", "e"}])
    [('a', 'b', 'e'), ('c', 'd')]
    """
    parent: dict[str, str] = {}

    def root(member: str) -> str:
        while parent.setdefault(member, member) != member:
            parent[member] = member = parent[parent[member]]
        return member

    for group in groups:
        first, *others = (root(member) for member in group)
        for other in others:
            parent[root(other)] = root(first)
    joined: dict[str, list[str]] = defaultdict(list)
    for member in sorted(parent):
        joined[root(member)].append(member)
    return sorted(map(tuple, joined.values()))


def _digests(sources: Sequence[CaseSource], cache: Path | None, *, quiet: bool) -> list[tuple[str, ...]]:
    keys = [_key(source) for source in sources]
    root = sources[0].root if sources else Path()
    known = {**_stored(cache), **_KNOWN.get(root, {})}
    todo = [(key, source) for key, source in zip(keys, sources, strict=True) if key not in known]

    def read(pair: tuple[str, CaseSource]) -> tuple[str, tuple[str, ...]]:
        return pair[0], _image_digests(pair[1])

    with ThreadPoolExecutor(processors()) as pool:
        title = "Looking for equal images"
        known |= dict(track(pool.map(read, todo), title, total=len(todo), quiet=quiet or not todo))
    wanted = {key: known[key] for key in keys}
    _KNOWN.clear()
    _KNOWN[root] = wanted
    if cache is not None and todo:
        write_text(cache / DIGESTS, json.dumps(wanted))
    return list(wanted[key] for key in keys)


def _key(source: CaseSource) -> str:
    """Return what tells whether images were read before: names, sizes and times of their files."""
    rows: list[Any] = []
    for file in source.files:
        try:
            status = file.stat()
        except OSError:  # reading it will say so
            rows.append([str(file)])
        else:
            rows.append([str(file.absolute()), status.st_size, status.st_mtime_ns, status.st_ctime_ns])
    return json.dumps([DIGESTS_VERSION, source.case_id, rows])


def _stored(cache: Path | None) -> dict[str, tuple[str, ...]]:
    """Return what an earlier call kept in a cache folder; nothing where it is gone or damaged."""
    if cache is None:
        return {}
    try:
        content: Mapping[str, Sequence[str]] = json.loads((cache / DIGESTS).read_text("utf-8"))
        return {str(key): tuple(map(str, digests)) for key, digests in content.items()}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}


def _image_digests(source: CaseSource) -> tuple[str, ...]:
    """Return the checksums of a case's images; of what cannot be read, none."""
    if isinstance(source, SliceStackSource):
        return tuple(digest for piece in source.slices for digest in _of_picture(piece.image, piece.page))
    if isinstance(source, VolumeSource):
        return tuple(digest for name in source.chosen for digest in _of_volume(source, name))
    try:
        images = source.load().images.values()
    except MetsegError:
        return ()
    return tuple(digest for image in images if (digest := volume_digest(image)) is not None)


def _of_picture(path: Path, page: int | None) -> tuple[str, ...]:
    try:
        digest = picture_digest(read_picture(path, page=page).pixels)
    except MetsegError:
        return ()
    return () if digest is None else (digest,)


def _of_volume(source: VolumeSource, name: str) -> tuple[str, ...]:
    try:
        images, _ = read_images({name: source.images[name]})
    except MetsegError:
        return ()
    return tuple(digest for image in images.values() if (digest := volume_digest(image)) is not None)
