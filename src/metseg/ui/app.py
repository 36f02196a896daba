"""What Streamlit runs: `metseg ui` starts it."""

from metseg.ui.pages.main_page import show

if __name__ == "__main__":
    show()
