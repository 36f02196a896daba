"""The NiiVue component with a default that it has no setting for: the nose on the left.

The component is a folder of files for the browser. It is served from a copy with the default changed. NiiVue's ruler is
left off: beside the 3D rendering it is not drawn at the scale of the planes.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

#: Default in the component's script to its replacement. In the page's planes and in reports, the nose is on the left
#: in sagittal planes.
DEFAULTS: Final[Mapping[str, str]] = {"sagittalNoseLeft:!1": "sagittalNoseLeft:!0"}
SCRIPT: Final = Path("assets") / "index.js"


@cache
def viewer() -> Callable[..., Any]:
    """Return the component's function, with the changed default; once per process."""
    import niivue_component
    import streamlit.components.v1 as components

    source = Path(niivue_component.__file__).parent / "frontend" / "build"
    made = write_frontend(source, Path(tempfile.mkdtemp(prefix="metseg-niivue-")))
    niivue_component._component_func = components.declare_component("niivue_viewer", path=str(made))
    return niivue_component.niivue_viewer  # type: ignore[no-any-return]


def write_frontend(source: Path, target: Path) -> Path:
    """Copy the component's folder and change the default in its script; return the copy.

    Args:
        source: ``frontend/build`` of the component.
        target: folder, may exist.
    """
    shutil.copytree(source, target, dirs_exist_ok=True)
    script = (target / SCRIPT).read_text("utf-8")
    for default, wanted in DEFAULTS.items():
        script = script.replace(default, wanted)
    (target / SCRIPT).write_text(script, "utf-8")
    return target
