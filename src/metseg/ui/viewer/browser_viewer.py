"""The viewer in the browser: planes with linked crosshair, sequences side by side, 3D.

Its scripts are in the folder ``browser``. They receive addresses of small files, which the browser fetches once, and
draw slices, windows and lesions without asking the page. They report clicks and selected lesions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import streamlit as st
import streamlit.components.v1 as components
from streamlit.runtime import get_instance

from metseg.class_styles import TISSUE_STYLES, class_styles
from metseg.picture_style import (
    BAR_LENGTHS_MM,
    BAR_SHARE,
    BRAIN_COLOUR,
    SELECTED_COLOUR,
    ClassStyle,
    Styles,
    class_colour,
    hexadecimal,
)
from metseg.schemas import NOTICE, Study
from metseg.sequence_titles import sequence_short_title, sequence_title
from metseg.ui import result_cache, session_state
from metseg.ui.api_client import Api
from metseg.ui.viewer import crosshair
from metseg.ui.viewer.heat_map import colour_table, gradient, maps_of
from metseg.ui.viewer.nifti_bytes import inverse
from metseg.ui.viewer.scene import Point, Scene
from metseg.ui.viewer.viewer_files import FIRST_PRESET, GreyCopy

#: Height in pixels, controls included.
_HEIGHT: Final = 645
_FOLDER: Final = Path(__file__).with_name("browser")
_CLICK, _LESION, _PLACE, _READY = "click", "lesion", "place", "ready"


@dataclass(frozen=True)
class Report:
    """What the viewer reports.

    Args:
        voxel: at the crosshair.
        lesion: number of the selected lesion; None: none.
        by: ``click``; ``lesion``: another lesion was selected; ``place``: the pointer left after the crosshair moved;
            ``ready``: the first image shows.
        is_ready: whether the first image has been shown, so that the other sequences can be sent.
    """

    voxel: Point
    lesion: int | None
    by: str
    is_ready: bool


def show_viewer(api: Api, study: Study, scene: Scene, threshold: float | None) -> None:
    """Show the viewer at the crosshair of the session."""
    content = _arguments(api, study, scene, threshold)
    _component()(**content, key=viewer_key(study.id), default=None, on_change=lambda: follow(study, scene))


def viewer_key(study_id: str) -> str:
    """Return the session key of the viewer, which holds its last report."""
    return f"viewer-{study_id}"


def follow(study: Study, scene: Scene) -> None:
    """Move crosshair and selection to what the viewer reports; runs before the table is drawn."""
    report = report_of(st.session_state.get(viewer_key(study.id)), scene)
    if report is None or report.by == _READY:
        return
    if report.by == _CLICK:
        crosshair.pick(study.id, scene, report.voxel)
    elif report.by == _LESION:
        crosshair.look_at(study.id, report.voxel)
        crosshair.select(study.id, report.lesion, [lesion.id for lesion in scene.lesions])
    elif _follows(study, scene):
        crosshair.look_at(study.id, report.voxel)
    else:
        return  # a click on a row came with this report, and the viewer moves there
    st.session_state[_shown_key(study.id)] = _shown(study, scene)  # the viewer shows this already


def _follows(study: Study, scene: Scene) -> bool:
    """Return whether the viewer has been sent to where the page is; False after a click on a row, until it is drawn."""
    return bool(st.session_state.get(_shown_key(study.id)) == _shown(study, scene))


def report_of(raw: object, scene: Scene) -> Report | None:
    """Parse what the browser sent; return None if it is not valid."""
    if not isinstance(raw, Mapping):
        return None
    voxel, lesion, by = raw.get("voxel"), raw.get("lesion"), raw.get("by")
    if not isinstance(voxel, Sequence) or len(voxel) != 3 or not isinstance(by, str):
        return None
    if not all(isinstance(value, int | float) and np.isfinite(value) for value in voxel):
        return None
    point = scene.inside(voxel)
    if point is None or not (lesion is None or (isinstance(lesion, int) and lesion in scene.places)):
        return None
    return Report(point, lesion, by, raw.get("all") is True)


@cache
def _component() -> Callable[..., Any]:
    """Return the component's function; declared at its first use, when the server runs."""
    return components.declare_component("volumes", path=str(_FOLDER))


def _arguments(api: Api, study: Study, scene: Scene, threshold: float | None) -> dict[str, Any]:
    report = report_of(st.session_state.get(viewer_key(study.id)), scene)
    reference = result_cache.reference_name(study)
    # The first picture must not wait for the other sequences; the viewer reports when it shows it.
    wanted = result_cache.sequence_names(study) if report and report.is_ready else [reference]
    files = result_cache.viewer_overlays(study, scene, threshold)
    return {
        "height": _HEIGHT,
        "caseLabel": f"Study {study.id[:8]}",
        "notice": NOTICE.partition(":")[0],
        "grid": {"shape": list(scene.shape), "spacing": list(scene.spacing_mm)},
        "reference": reference,
        "preset": FIRST_PRESET,
        "images": [_image(study, name, result_cache.viewer_image(api, study, name, scene), scene) for name in wanted],
        "classes": [_style(value, style) for value, style in shown_classes(study, scene, threshold).items()],
        "colours": {"selected": hexadecimal(SELECTED_COLOUR), "brain": hexadecimal(BRAIN_COLOUR)},
        "maps": [
            {
                "name": kind.name,
                "title": kind.title,
                "legend": f"{kind.title}, 0 to {kind.highest:g}: {kind.meaning}",
                "url": _address(study, kind.name, result_cache.viewer_map(api, study, kind)),
            }
            for kind in maps_of(study)
        ],
        "mapColours": {"table": colour_table().tolist(), "gradient": gradient()},
        "bar": {"lengths": list(BAR_LENGTHS_MM), "share": BAR_SHARE},
        **{name: {"url": _address(study, name, content)} for name, content in files.items()},
        "lesionList": _lesions(scene),
        "point": list(crosshair.crosshair(study.id, scene)),
        "selected": session_state.selected_lesion(study.id),
        "serial": _serial(study, scene),
    }


def shown_classes(study: Study, scene: Scene, threshold: float | None) -> Styles:
    """Return the style of each class id that the viewer is given; a preview at another threshold has no classes."""
    if threshold is not None:
        return {1: TISSUE_STYLES["lesion"]}
    known = class_styles(study.facts.scheme)
    if known:
        return known
    values = [int(value) for value in np.unique(scene.labels) if value]
    names = {value: f"class {value}" if len(values) > 1 else "lesion" for value in values}
    return {value: ClassStyle(name, class_colour(value)) for value, name in names.items()}


def matrix_to(copy: GreyCopy, scene: Scene) -> list[list[float]] | None:
    """Return the first three lines of the matrix from voxels of a scene to voxels of an image; None on equal grids."""
    found = inverse(copy.affine) @ scene.image.affine
    is_same = copy.shape == scene.shape and np.allclose(found, np.eye(4), atol=1e-3)
    return None if is_same else found[:3].tolist()


def _image(study: Study, name: str, copy: GreyCopy, scene: Scene) -> dict[str, Any]:
    return {
        "name": name,
        "title": sequence_title(name),
        "shortTitle": sequence_short_title(name),
        "url": _address(study, name, copy.content),
        "matrix": matrix_to(copy, scene),
        "slope": copy.slope,
        "intercept": copy.intercept,
        "presets": {preset: list(window) for preset, window in copy.presets.items()},
    }


def _style(value: int, style: ClassStyle) -> dict[str, Any]:
    return {"value": value, "title": style.title, "rgb": list(style.colour), "colour": hexadecimal(style.colour)}


def _lesions(scene: Scene) -> list[dict[str, Any]]:
    """Return number and voxel of each lesion that lies in the volume, in the order of the table."""
    placed = ((lesion.id, scene.inside(scene.places[lesion.id])) for lesion in scene.lesions)
    return [{"id": number, "voxel": list(point)} for number, point in placed if point is not None]


def _address(study: Study, name: str, content: bytes) -> str:
    """Return the address at which the browser fetches a file. It contains a hash of the content, so equal content is
    fetched once; Streamlit removes the file when no session shows it."""
    files = get_instance().media_file_mgr
    return files.add(content, "application/gzip", f"viewer-{study.id}-{name}")


def _serial(study: Study, scene: Scene) -> int:
    """Return a number that grows each time the page moves the crosshair or selects a lesion.

    The viewer follows the page when the number changes; any other run of the page leaves its picture as it is.
    """
    now, key = _shown(study, scene), f"_serial-{study.id}"
    if not _follows(study, scene):
        st.session_state[_shown_key(study.id)] = now
        st.session_state[key] = st.session_state.get(key, 0) + 1
    return int(st.session_state.get(key, 0))


def _shown_key(study_id: str) -> str:
    return f"_viewer-shows-{study_id}"


def _shown(study: Study, scene: Scene) -> tuple[Point, int | None]:
    return crosshair.crosshair(study.id, scene), session_state.selected_lesion(study.id)
