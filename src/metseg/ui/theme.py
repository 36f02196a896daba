"""How the page looks: quiet colours, light or dark as the user's system is, and nothing on it that is not ours."""

from __future__ import annotations

from functools import cache
from typing import Any, Final

import streamlit as st
from PIL import Image, ImageDraw

from metseg.schemas import NOTICE

#: Colours of lesions on grey pictures, which everybody can tell apart; red, green, blue.
Colour = tuple[int, int, int]
LESION: Final[Colour] = (255, 96, 40)
SELECTED: Final[Colour] = (0, 220, 255)
BOTH: Final[Colour] = (240, 228, 66)
FIRST_ONLY: Final[Colour] = (230, 159, 0)
SECOND_ONLY: Final[Colour] = (86, 180, 233)
#: Class id to colour, where a model tells several classes apart.
CLASS_COLOURS: Final[dict[int, Colour]] = {
    1: LESION,
    2: (86, 180, 233),
    3: (240, 228, 66),
    4: (204, 121, 167),
    5: (0, 158, 115),
    6: (213, 94, 0),
    7: (0, 114, 178),
}

_LIGHT: Final = {
    "primaryColor": "#0b6e7f",
    "backgroundColor": "#fbfbfa",
    "secondaryBackgroundColor": "#f0f2f2",
    "textColor": "#1d2528",
    "borderColor": "#dbe1e2",
}
_DARK: Final = {
    "primaryColor": "#4fb3c2",
    "backgroundColor": "#14191c",
    "secondaryBackgroundColor": "#1d2427",
    "textColor": "#e4e9ea",
    "borderColor": "#333d41",
}

#: Streamlit's options, by the names that it gives them.
OPTIONS: Final[dict[str, Any]] = {
    "theme.baseRadius": "0.5rem",
    "theme.baseFontSize": 15,
    "theme.headingFontSizes": ["1.55rem", "1.25rem", "1.1rem", "1rem", "0.95rem", "0.9rem"],
    "theme.metricValueFontSize": "1.4rem",
    "theme.showWidgetBorder": True,
    "theme.showSidebarBorder": True,
    **{f"theme.light.{name}": value for name, value in _LIGHT.items()},
    **{f"theme.dark.{name}": value for name, value in _DARK.items()},
    "client.toolbarMode": "minimal",
    "client.showErrorDetails": "none",
    "client.showErrorLinks": False,
    "client.showSidebarNavigation": False,
    "browser.gatherUsageStats": False,
    "global.developmentMode": False,
    "server.fileWatcherType": "none",
    "server.runOnSave": False,
    "server.headless": True,
    "logger.hideWelcomeMessage": True,
    "server.showEmailPrompt": False,
    "server.enableStaticServing": False,
}

#: Name of what holds images and table side by side; on narrow screens they stand below one another.
BESIDE: Final = "beside"
#: Name of what holds the headline and, beside it, figures; on narrow screens the headline has a line of its own.
HEAD: Final = "head"

#: Above Streamlit's sidebar, which lies over everything else: on a small screen it would hide the notice.
_ABOVE_ALL: Final = 1_000_000

_STYLE: Final = f"""
<style>
  #MainMenu, footer, [data-testid="stAppDeployButton"], [data-testid="stDecoration"],
  [data-testid="stStatusWidget"] {{ display: none !important; }}
  [data-testid="stHeader"] {{ background: transparent; }}
  [data-testid="stMainBlockContainer"] {{ padding: 1.6rem 2.2rem 4rem; max-width: 1440px; }}
  [data-testid="stMetric"] {{ padding: 0.15rem 0; }}
  [data-testid="stSidebarContent"] {{ padding-bottom: 2.6rem; }}
  .metseg-notice {{
    position: fixed; left: 0; right: 0; bottom: 0; padding: 0.3rem 1rem; text-align: center;
    z-index: {_ABOVE_ALL}; font-size: 0.82rem; letter-spacing: 0.01em; color: #ffffff; background: #7a4a00;
  }}
  .metseg-brand {{ font-size: 1.3rem; font-weight: 650; letter-spacing: -0.01em; }}
  .metseg-sub {{ opacity: 0.72; font-size: 0.85rem; }}
  @media (max-width: 1100px) {{
    [data-testid="stMainBlockContainer"] {{ padding-left: 1.2rem; padding-right: 1.2rem; }}
    .st-key-{BESIDE} > * > [data-testid="stHorizontalBlock"] > [data-testid="stColumn"],
    .st-key-{BESIDE} > [data-testid="stHorizontalBlock"] > [data-testid="stColumn"],
    .st-key-{HEAD} > * > [data-testid="stHorizontalBlock"] > [data-testid="stColumn"]:first-child,
    .st-key-{HEAD} > [data-testid="stHorizontalBlock"] > [data-testid="stColumn"]:first-child {{ min-width: 100%; }}
  }}
</style>
"""
_NOTICE_BAR: Final = f'<div class="metseg-notice" role="note">{NOTICE}</div>'
_BRAND: Final = '<div class="metseg-brand">metseg</div><div class="metseg-sub">Brain lesions in MRI</div>'


def set_up() -> None:
    """Begin a page; to be called before anything else is drawn."""
    st.set_page_config(
        page_title="metseg",
        page_icon=icon(),
        layout="wide",
        initial_sidebar_state="auto",
        menu_items={"Get help": None, "Report a bug": None, "About": None},
    )


@cache
def icon() -> Image.Image:
    """Return the sign of the page; one that Streamlit knows by name, browsers would fetch from elsewhere."""
    drawn = Image.new("RGBA", (64, 64))
    pen = ImageDraw.Draw(drawn)
    pen.ellipse((4, 4, 60, 60), fill=_LIGHT["primaryColor"])
    pen.ellipse((34, 20, 48, 34), fill=LESION)
    return drawn


def dress() -> None:
    """Give the page its style, and the notice its place at the foot of every screen."""
    st.html(_STYLE)
    st.markdown(_NOTICE_BAR, unsafe_allow_html=True)


def brand() -> None:
    """Draw what the page is called."""
    st.markdown(_BRAND, unsafe_allow_html=True)


def css(colour: Colour) -> str:
    """Return a colour as the web writes it.

    >>> css((255, 96, 40))
    '#ff6028'
    """
    return "#{:02x}{:02x}{:02x}".format(*colour)
