"""What Streamlit runs: `metseg ui` starts it."""

from metseg.ui.page import show

if __name__ == "__main__":
    show()
