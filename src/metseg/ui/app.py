"""Streamlit script of the page; `metseg ui` runs it."""

from metseg.ui.pages.main_page import show

if __name__ == "__main__":
    show()
