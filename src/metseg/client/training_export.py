"""Write corrected masks as a training set: nnU-Net's folders, which `metseg train` reads.

The service keeps the reference image of a study and no other sequence. These are found by their checksums in a folder
of the user, or the mask is written without images.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from metseg.errors import UsageError
from metseg.labels import LABEL_SCHEMES
from metseg.runtime.atomic_io import atomic_file, write_bytes, write_text
from metseg.schemas import Artifact, Kind, State, Study
from metseg.version_schemas import Version, VersionSummary

if TYPE_CHECKING:
    from metseg.client.study_client import Client

#: List of what was written, and of what was not and why.
MANIFEST: Final = "corrections.json"
#: Folder of masks without their images.
MASKS_ONLY: Final = "masks_only"
_ENDINGS: Final = (".nii.gz", ".nii")
_IMAGE, _MASK = "image.nii.gz", "mask.nii.gz"


class CorrectedStudies(Protocol):
    """Gives the corrected studies of a service."""

    def studies(self) -> Iterator[tuple[Study, tuple[VersionSummary, ...]]]:
        """Yield each study that is done, newest first, with its versions, oldest first."""

    def version(self, study: Study, number: int) -> Version:
        """Return a version."""

    def content(self, study: Study, version: int, name: str) -> bytes:
        """Return the content of a file of a version."""


@dataclass(frozen=True)
class ClientSource:
    """The corrected studies that a client has access to.

    Args:
        client: the client.
    """

    client: Client

    def studies(self) -> Iterator[tuple[Study, tuple[VersionSummary, ...]]]:
        for summary in self.client.list(state=State.DONE):
            yield self.client.get(summary.id), self.client.versions(summary.id)

    def version(self, study: Study, number: int) -> Version:
        return self.client.version(study, number)

    def content(self, study: Study, version: int, name: str) -> bytes:
        return self.client.artifact(study, name, version=version)


@dataclass
class _Export:
    """An export in progress.

    Args:
        source: of studies and files.
        out: folder of the training set.
        by_checksum: files of the user by their SHA-256.
        datasets: label scheme to the names of its sequences, in the order of the channels.
        counts: label scheme to its number of cases.
        entries: of the manifest.
    """

    source: CorrectedStudies
    out: Path
    by_checksum: Mapping[str, Path]
    datasets: dict[str, list[str]] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    entries: list[dict[str, Any]] = field(default_factory=list)

    def add(self, study: Study, version: Version) -> None:
        """Write a case, or its mask alone where an image is missing."""
        scheme, case = study.facts.scheme or "binary", f"study-{study.id}"
        mask = self._content(study, version.number, _artifact(version.artifacts, _MASK))
        missing = [name for name in study.facts.sequences if not self._has(study, name)]
        folder = self.out / scheme
        if missing or study.facts.slices or not study.facts.sequences:
            path = self.out / MASKS_ONLY / f"{case}.nii.gz"
            reason = f"no image of {', '.join(missing)}" if missing else "a study of pictures"
            self._note(study, version, path, reason)
        else:
            path = folder / "labelsTr" / f"{case}.nii.gz"
            for name in study.facts.sequences:
                self._write_image(study, name, folder / "imagesTr" / f"{case}_{self._channel(scheme, name):04d}")
            self.counts[scheme] = self.counts.get(scheme, 0) + 1
            self._note(study, version, path, "")
        write_bytes(path, mask)

    def finish(self) -> dict[str, Any]:
        """Write the tables of the data sets and the manifest, and return the manifest."""
        for scheme, channels in self.datasets.items():
            table = {
                "channel_names": {str(index): name for index, name in enumerate(channels)},
                "labels": {"background": 0, **{name: value for value, name in LABEL_SCHEMES[scheme].classes.items()}},
                "numTraining": self.counts[scheme],
                "file_ending": ".nii.gz",
                "description": "Corrected segmentations of a metseg service.",
            }
            write_text(self.out / scheme / "dataset.json", json.dumps(table, indent=2))
        manifest = {"datasets": sorted(self.datasets), "cases": self.entries}
        write_text(self.out / MANIFEST, json.dumps(manifest, indent=2))
        return manifest

    def _channel(self, scheme: str, name: str) -> int:
        channels = self.datasets.setdefault(scheme, [])
        if name not in channels:
            channels.append(name)
        return channels.index(name)

    def _has(self, study: Study, sequence: str) -> bool:
        return sequence == study.facts.reference or _checksum(study, sequence) in self.by_checksum

    def _write_image(self, study: Study, sequence: str, stem: Path) -> None:
        """Write an image from the user's folder, else the reference image that the service keeps."""
        own = self.by_checksum.get(_checksum(study, sequence) or "")
        if own is None:
            content = self._content(study, 0, _artifact(study.artifacts, _IMAGE))
            write_bytes(stem.with_name(f"{stem.name}.nii.gz"), content)
            return
        with atomic_file(stem.with_name(f"{stem.name}{_ending(own)}")) as temporary:
            shutil.copyfile(own, temporary)

    def _content(self, study: Study, version: int, artifact: Artifact) -> bytes:
        content = self.source.content(study, version, artifact.name)
        if hashlib.sha256(content).hexdigest() != artifact.sha256:
            raise UsageError(
                "a result file is damaged",
                where=f"study {study.id}, {artifact.name}",
                cure="restore the folder of the service from a back-up",
                code="usage.damaged",
            )
        return content

    def _note(self, study: Study, version: Version, mask: Path, reason: str) -> None:
        self.entries.append(
            {
                "study": study.id,
                "version": version.number,
                "author": version.author,
                "model": study.facts.model,
                "mask": str(mask.relative_to(self.out)),
                "complete": not reason,
                "reason": reason,
                "inputs": [
                    {"sequence": item.sequence, "sha256": item.sha256, "bytes": item.bytes} for item in study.inputs
                ],
            }
        )


def export_corrections(
    source: CorrectedStudies, out: Path, *, images: Path | None = None, reviewed_only: bool = False
) -> dict[str, Any]:
    """Write the latest corrected version of each study, and return the manifest.

    A case with all images goes to ``OUT/<label scheme>/imagesTr`` and ``labelsTr``, another one to
    ``OUT/masks_only``. Of studies of the same files only the newest is written, so that no image is in two cases.

    Args:
        source: of studies and files.
        out: empty or absent folder.
        images: folder with the files that were uploaded, under any names; they are matched by their checksums.
        reviewed_only: use the latest version in which no lesion is unreviewed, and leave out studies without one.
    Raises:
        UsageError: `out` is not empty, or `images` is no folder; ``usage.damaged``, a stored file is damaged.
    """
    _require_folders(out, images)
    chosen = []
    seen: set[tuple[str, ...]] = set()
    for study, versions in source.studies():
        fitting = [item.number for item in versions if item.number and not (reviewed_only and item.unreviewed)]
        files = tuple(sorted(item.sha256 for item in study.inputs))
        if fitting and files not in seen:
            seen.add(files)
            chosen.append((study, fitting[-1]))
    wanted = {item.sha256: item.bytes for study, _ in chosen for item in study.inputs if item.kind == Kind.NIFTI}
    export = _Export(source, out, {} if images is None else find_files(images, wanted))
    for study, number in chosen:
        export.add(study, source.version(study, number))
    return export.finish()


def find_files(root: Path, wanted: Mapping[str, int]) -> dict[str, Path]:
    """Return NIfTI files below a folder by their SHA-256; only files of a wanted size are read.

    Args:
        root: the folder.
        wanted: SHA-256 to size in bytes.
    """
    sizes = set(wanted.values())
    found: dict[str, Path] = {}
    for path in _nifti_files(root.rglob("*")):
        if path.stat().st_size in sizes:
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            if digest in wanted:
                found.setdefault(digest, path)
    return found


def _nifti_files(paths: Iterable[Path]) -> list[Path]:
    return sorted(path for path in paths if path.name.lower().endswith(_ENDINGS) and path.is_file())


def _ending(path: Path) -> str:
    return next(ending for ending in _ENDINGS if path.name.lower().endswith(ending))


def _checksum(study: Study, sequence: str) -> str | None:
    """Return the SHA-256 of the NIfTI file of a sequence; None: it was uploaded in another way."""
    found = (item.sha256 for item in study.inputs if item.sequence == sequence and item.kind == Kind.NIFTI)
    return next(found, None)


def _artifact(artifacts: Iterable[Artifact], name: str) -> Artifact:
    return next(artifact for artifact in artifacts if artifact.name == name)


def _require_folders(out: Path, images: Path | None) -> None:
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(
            "the folder is not empty", where=out, cure="choose another one with --out", code="usage.folder"
        )
    if images is not None and not images.is_dir():
        raise UsageError("no such folder", where=images, cure="check --images", code="usage.folder")
