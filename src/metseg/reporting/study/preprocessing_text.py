"""What preprocessing did to a study, in words: one sentence for each step's record."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

Details = Mapping[str, Any]


def describe_steps(records: Sequence[Details]) -> tuple[str, ...]:
    """Return a sentence for each record, as `metseg.preprocess.prepared_case.Record.to_json` gives it.

    A step that this version does not know, or whose record lacks what its sentence tells, is named and no more.

    >>> describe_steps([{"step": "resize", "from": [300, 200], "size": [256, 256]}, {"step": "new"}])
    ('Each picture was resized from 300 × 200 to 256 × 256 pixels.', 'Step: new.')
    """
    return tuple(map(_sentence, records))


def _sentence(record: Details) -> str:
    name = str(record.get("step", "unknown"))
    try:
        return SENTENCES[name](record)
    except (KeyError, TypeError, ValueError, AttributeError):
        return f"Step: {name}."


def _align(record: Details) -> str:
    moved: Mapping[str, Details] = record["moved"]
    if not moved:
        return "All sequences lay on one grid; none was moved."
    return " ".join(_moved(name, figures, record) for name, figures in moved.items())


def _moved(name: str, figures: Details, record: Details) -> str:
    if record["method"] == "resample":
        return f"{name} was brought to the grid of {record['reference']} by the scanner's coordinates."
    by = f"{float(figures['moved_mm']):.1f} mm and {float(figures['turned_degrees']):.1f}°"
    return f"{name} was registered rigidly to {record['reference']}, by {by}, and resampled to its grid."


def _brain_mask(record: Details) -> str:
    found = {
        "file": "The brain mask that came with the study was used.",
        "nonzero": "The images came without skull and scalp; what is not zero was taken as the brain.",
        "network": f"The brain was outlined in {record.get('sequence')} by the network brain-extraction, "
        f"{record.get('volume_ml')} mL; the skull was left out.",
        "deepbet": f"The brain was outlined in {record.get('sequence')} by deepbet, {record.get('volume_ml')} mL; the "
        "skull was left out.",
        "head": "No brain mask was found; the whole head, skull and scalp included, was taken.",
    }
    return found[record["found"]]


def _reorient(record: Details) -> str:
    as_read = list(record["order"]) == [0, 1, 2] and not any(record["flipped"])
    if as_read:
        return "The axes already ran to right, anterior and superior."
    return "The axes were turned to right, anterior and superior; no value was changed."


def _resample(record: Details) -> str:
    if all(step == 1 for step in record["steps"]):
        return "The voxels had the size that the network expects; nothing was resampled."
    return f"The images were resampled from {_size(record['from'])} to {_size(record['size'])} voxels."


def _crop_to_head(record: Details) -> str:
    return (
        f"A window of {_size(record['size'])} around the head was cut out of {_size(record['shape'])} voxels; outside "
        "it, nothing is marked."
    )


def _pad_or_crop(record: Details) -> str:
    return f"The images were padded or cropped from {_size(record['shape'])} to {_size(record['size'])} voxels."


def _resize(record: Details) -> str:
    return f"Each picture was resized from {_size(record['from'])} to {_size(record['size'])} pixels."


def _clahe(record: Details) -> str:
    columns, rows = record["tiles"]
    which = f" of {', '.join(record['modalities'])}" if record.get("modalities") else ""
    return (
        f"The contrast{which} was equalised slice by slice (CLAHE, clip limit {float(record['clip_limit']):g}, "
        f"{columns} × {rows} tiles)."
    )


def _clip(record: Details) -> str:
    lower, upper = float(record["lower"]), float(record["upper"])
    return f"Intensities were clipped to their {lower:g} and {upper:g} percentiles, {_scope(record)}."


def _rescale(record: Details) -> str:
    if record["by"] == "type":
        return "Intensities were divided by the largest value that the files can hold."
    return f"Intensities were rescaled to the range 0 to 1, {_scope(record)}."


def _zscore(record: Details) -> str:
    return f"Intensities were normalised to mean 0 and standard deviation 1, {_scope(record)}."


def _scope(record: Details) -> str:
    """Return over what the statistics were taken."""
    whole = {"case": "over the study", "slice": "slice by slice"}[record["scope"]]
    region = {"head": "within the head", "interior": "within the head without its shell", "all": "over all voxels"}
    return f"each sequence by itself, {whole}, {region[record['region']]}"


def _size(size: Sequence[int]) -> str:
    return " × ".join(str(int(extent)) for extent in size)


#: Step in `metseg.preprocess.STEPS` to its sentence; a test compares.
SENTENCES: Mapping[str, Callable[[Details], str]] = {
    "align": _align,
    "brain_mask": _brain_mask,
    "clahe": _clahe,
    "clip_percentiles": _clip,
    "crop_to_head": _crop_to_head,
    "n4": lambda _: "The bias field was removed (N4).",
    "pad_or_crop": _pad_or_crop,
    "reorient": _reorient,
    "resample": _resample,
    "rescale": _rescale,
    "resize": _resize,
    "select_channels": lambda record: f"Of the sequences, {', '.join(record['modalities'])} were used.",
    "zscore": _zscore,
}
