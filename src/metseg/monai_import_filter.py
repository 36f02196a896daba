"""MONAI without the packages that it imports just in case: for programs, which use nothing of it but networks.

MONAI imports all of its own parts at once, and they whatever is there of pandas, scikit-learn, OpenCV, Matplotlib and
TensorBoard: 130 MB and two thirds of the time of the import, in every process that loads a network. Each of them is
optional to MONAI, which is told that it is not there; everybody else may import it as ever, and what somebody has
imported before stays visible to MONAI too.
"""

from __future__ import annotations

import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec

IMPORTER = "monai"

UNNEEDED = frozenset(
    {
        "cv2",
        "ignite",
        "matplotlib",
        "pandas",
        "skimage",
        "sklearn",
        "tensorboard",
        "tensorboardX",
        "torch.utils.tensorboard",
    }
)


class _Hidden(MetaPathFinder):
    """Finds nothing; refuses what MONAI asks for and does not need."""

    def find_spec(self, fullname: str, *_path_and_target: object) -> ModuleSpec | None:
        if fullname in UNNEEDED and _who_imports().partition(".")[0] == IMPORTER:
            raise ModuleNotFoundError(f"{IMPORTER} does without {fullname} here", name=fullname)
        return None


def _who_imports() -> str:
    """Return the name of the module whose code made Python look for another one."""
    frame = sys._getframe(2)
    while frame.f_back is not None and _name(frame.f_globals).partition(".")[0] == "importlib":
        frame = frame.f_back
    return _name(frame.f_globals)


def _name(names: dict[str, object]) -> str:
    return str(names.get("__name__", ""))


def import_lean() -> None:
    """Keep MONAI lean in this process, from now on.

    Not for a library: who goes on to use MONAI's own tables or plots would be told that pandas is not installed.
    """
    if not any(isinstance(finder, _Hidden) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Hidden())
