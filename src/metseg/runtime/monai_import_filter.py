"""Import MONAI without its optional packages, for programs that use only its networks.

MONAI imports all of its modules at once, and these import pandas, scikit-learn, OpenCV, Matplotlib and TensorBoard if
they are installed: 130 MB and two thirds of the import time in every process that loads a network. All of them are
optional for MONAI. The filter makes them look uninstalled to MONAI only. Other modules can import them as usual, and
MONAI still sees packages that were imported before.
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
    """Finder that rejects MONAI's imports of optional packages and leaves all others to the next finder."""

    def find_spec(self, fullname: str, *_path_and_target: object) -> ModuleSpec | None:
        if fullname in UNNEEDED and _who_imports().partition(".")[0] == IMPORTER:
            raise ModuleNotFoundError(f"{IMPORTER} does without {fullname} here", name=fullname)
        return None


def _who_imports() -> str:
    """Return the name of the module that triggered the current import."""
    frame = sys._getframe(2)
    while frame.f_back is not None and _name(frame.f_globals).partition(".")[0] == "importlib":
        frame = frame.f_back
    return _name(frame.f_globals)


def _name(names: dict[str, object]) -> str:
    return str(names.get("__name__", ""))


def import_lean() -> None:
    """Install the filter in this process.

    Programs only, not libraries: MONAI's own tables and plots would then report that pandas is not installed.
    """
    if not any(isinstance(finder, _Hidden) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Hidden())
