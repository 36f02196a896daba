"""Clickable pictures, a browser component that Streamlit lacks.

Its script is complete here. It loads nothing, and receives only pictures and texts of the page.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import streamlit as st


@dataclass(frozen=True)
class Shown:
    """One picture.

    Args:
        name: identifies the picture in events.
        src: data URL of the picture.
        title: caption above it.
        alt: alternative text for screen readers.
    """

    name: str
    src: str
    title: str
    alt: str


@dataclass(frozen=True)
class Picked:
    """A click in a picture.

    Args:
        name: name of the picture.
        share: distances from the left and from the top as fractions, 0 to 1.
    """

    name: str
    share: tuple[float, float]


@dataclass(frozen=True)
class Turned:
    """The wheel or an arrow key over a picture.

    Args:
        name: name of the picture.
        steps: number of steps; up is positive.
    """

    name: str
    steps: int


_PICTURES_HTML: Final = '<div class="pictures"></div>'

_PICTURES_CSS: Final = """
.pictures { display: grid; gap: 0.6rem; grid-template-columns: repeat(var(--columns, 1), minmax(0, 1fr)); }
figure { margin: 0; }
figcaption { font: 600 0.82rem var(--st-font); color: var(--st-text-color); opacity: 0.8; padding: 0 0 0.25rem 0.1rem; }
.frame { background: #000; border-radius: var(--st-base-radius); overflow: hidden; display: flex;
  align-items: center; justify-content: center; aspect-ratio: 1 / 1; max-height: 58vh; width: 100%; }
img { max-width: 100%; max-height: 100%; width: 100%; height: 100%; object-fit: contain; cursor: crosshair;
  touch-action: manipulation; }
img:focus-visible { outline: 2px solid var(--st-primary-color); outline-offset: -2px; }
@media (max-width: 640px) { .pictures { grid-template-columns: minmax(0, 1fr); } }
"""

_PICTURES_JS: Final = """
const PAUSE_MS = 110;

// Position of a click within the picture, which is fitted into its frame with bars at the sides or above and below.
function shareOf(event) {
  const image = event.currentTarget;
  const box = image.getBoundingClientRect();
  const scale = Math.min(box.width / image.naturalWidth, box.height / image.naturalHeight);
  const width = image.naturalWidth * scale, height = image.naturalHeight * scale;
  const x = (event.clientX - box.left - (box.width - width) / 2) / width;
  const y = (event.clientY - box.top - (box.height - height) / 2) / height;
  return x >= 0 && x < 1 && y >= 0 && y < 1 ? { x, y } : null;
}

export default function (component) {
  const { data, parentElement, setTriggerValue } = component;
  const root = parentElement.querySelector(".pictures");
  const pictures = data.pictures;
  root.style.setProperty("--columns", String(data.columns));
  while (root.children.length > pictures.length) root.lastElementChild.remove();
  while (root.children.length < pictures.length) {
    const figure = document.createElement("figure");
    const caption = document.createElement("figcaption");
    const frame = document.createElement("div");
    const image = document.createElement("img");
    frame.className = "frame";
    image.tabIndex = 0;
    image.draggable = false;
    frame.append(image);
    figure.append(caption, frame);
    root.append(figure);
  }
  pictures.forEach((picture, place) => {
    const figure = root.children[place];
    const image = figure.querySelector("img");
    figure.querySelector("figcaption").textContent = picture.title;
    image.alt = picture.alt;
    image.dataset.name = picture.name;
    if (image.src !== picture.src) image.src = picture.src;
    let last = 0;
    const turn = (steps) => {
      const now = Date.now();
      if (now - last < PAUSE_MS) return;
      last = now;
      setTriggerValue("turned", { name: picture.name, steps });
    };
    image.onclick = (event) => {
      const share = shareOf(event);
      if (share) setTriggerValue("picked", { name: picture.name, ...share });
    };
    image.onwheel = (event) => {
      if (!data.turns || event.ctrlKey) return;
      event.preventDefault();
      if (event.deltaY !== 0) turn(event.deltaY < 0 ? 1 : -1);
    };
    image.onkeydown = (event) => {
      const steps = { ArrowUp: 1, ArrowRight: 1, ArrowDown: -1, ArrowLeft: -1 }[event.key];
      if (!data.turns || !steps) return;
      event.preventDefault();
      turn(steps);
    };
  });
}
"""

#: Maximum number of pictures side by side; more would be too small.
_COLUMNS: Final = 2
_pictures: Final = st.components.v2.component(
    "metseg_pictures", html=_PICTURES_HTML, css=_PICTURES_CSS, js=_PICTURES_JS
)


def pictures(
    shown: Sequence[Shown],
    *,
    key: str,
    on_picked: Callable[[Picked], None],
    on_turned: Callable[[Turned], None] | None = None,
) -> None:
    """Show pictures side by side that react to clicks, the mouse wheel and arrow keys.

    Args:
        shown: the pictures.
        key: key of this row of pictures in the session.
        on_picked: called with each click, before the page is redrawn.
        on_turned: called with each wheel step or arrow key; None: the wheel scrolls the page.
    """

    def picked() -> None:
        event = picked_of(_event(key, "picked"))
        if event is not None:
            on_picked(event)

    def turned() -> None:
        event = turned_of(_event(key, "turned"))
        if event is not None and on_turned is not None:
            on_turned(event)

    data = {
        "pictures": [asdict(picture) for picture in shown],
        "columns": min(len(shown), _COLUMNS),
        "turns": on_turned is not None,
    }
    _pictures(key=key, data=data, on_picked_change=picked, on_turned_change=turned)


def picked_of(raw: object) -> Picked | None:
    """Parse a click that the browser sent; return None if it is not valid.

    >>> picked_of({"name": "axial", "x": 0.25, "y": 0.5}), picked_of({"name": "axial", "x": 7})
    (Picked(name='axial', share=(0.25, 0.5)), None)
    """
    if not isinstance(raw, dict):
        return None
    name: Any = raw.get("name")
    x: Any = raw.get("x")
    y: Any = raw.get("y")
    if not isinstance(name, str) or not _is_share(x) or not _is_share(y):
        return None
    return Picked(name, (float(x), float(y)))


def turned_of(raw: object) -> Turned | None:
    """Parse a wheel step that the browser sent; return None if it is not valid.

    >>> turned_of({"name": "axial", "steps": -1}), turned_of("axial")
    (Turned(name='axial', steps=-1), None)
    """
    if not isinstance(raw, dict):
        return None
    name, steps = raw.get("name"), raw.get("steps")
    return Turned(name, steps) if isinstance(name, str) and steps in (-1, 1) else None


def _event(key: str, name: str) -> Any:
    known = st.session_state.get(key)
    return None if known is None else known.get(name)


def _is_share(value: Any) -> bool:
    return isinstance(value, int | float) and 0 <= value <= 1
