"""Theme of the page: colours for light and dark mode, page configuration, style sheet and disclaimer."""

from __future__ import annotations

from functools import cache
from typing import Any, Final

import streamlit as st
from PIL import Image, ImageDraw

from metseg.picture_style import ORANGE, SKY_BLUE, YELLOW
from metseg.schemas import NOTICE

#: Colours of two results on each other.
BOTH, FIRST_ONLY, SECOND_ONLY = YELLOW, ORANGE, SKY_BLUE

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

#: Streamlit options by name.
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

#: Key of the container with images and table side by side; on narrow screens they are stacked.
BESIDE: Final = "beside"
#: Key of the container with headline and figures; on narrow screens the headline has a separate line.
HEAD: Final = "head"
#: Key of the container with the viewer of volumes. Streamlit fades what it draws anew; the viewer goes on working.
VIEWER: Final = "viewer"

#: z-index above Streamlit's sidebar, which would hide the disclaimer on a small screen.
_ABOVE_ALL: Final = 1_000_000

_STYLE: Final = f"""
<style>
  #MainMenu, footer, [data-testid="stAppDeployButton"], [data-testid="stDecoration"],
  [data-testid="stStatusWidget"] {{ display: none !important; }}
  [data-testid="stHeader"] {{ background: transparent; }}
  [data-testid="stMainBlockContainer"] {{ padding: 1.6rem 2.2rem 4rem; max-width: 1440px; }}
  [data-testid="stMetric"] {{ padding: 0.15rem 0; }}
  [data-testid="stMetricLabel"] * {{ white-space: normal !important; overflow: visible !important; }}
  [data-testid="stSidebarContent"] {{ padding-bottom: 2.6rem; }}
  .metseg-notice {{
    position: fixed; left: 0; right: 0; bottom: 0; padding: 0.3rem 1rem; text-align: center;
    z-index: {_ABOVE_ALL}; font-size: 0.82rem; letter-spacing: 0.01em; color: #ffffff; background: #7a4a00;
  }}
  .metseg-brand {{ font-size: 1.3rem; font-weight: 650; letter-spacing: -0.01em; }}
  .metseg-sub {{ opacity: 0.72; font-size: 0.85rem; }}
  .st-key-{VIEWER} [data-stale="true"] {{ opacity: 1 !important; transition: none !important; }}
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
    """Configure the page; call before anything is drawn."""
    st.set_page_config(
        page_title="metseg",
        page_icon=icon(),
        layout="wide",
        initial_sidebar_state="auto",
        menu_items={"Get help": None, "Report a bug": None, "About": None},
    )


@cache
def icon() -> Image.Image:
    """Return the icon of the page; browsers would fetch Streamlit's named icons from another server."""
    drawn = Image.new("RGBA", (64, 64))
    pen = ImageDraw.Draw(drawn)
    pen.ellipse((4, 4, 60, 60), fill=_LIGHT["primaryColor"])
    pen.ellipse((34, 20, 48, 34), fill=ORANGE)
    return drawn


def dress() -> None:
    """Add the style sheet, and the disclaimer at the bottom of every screen."""
    st.html(_STYLE)
    st.markdown(_NOTICE_BAR, unsafe_allow_html=True)


def brand() -> None:
    """Show the name of the page."""
    st.markdown(_BRAND, unsafe_allow_html=True)
