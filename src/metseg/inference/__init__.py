"""Prediction: from a `Case` to a mask on its own grid and a lesion table."""
