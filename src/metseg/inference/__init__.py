"""Prediction: a `Case` goes in, a mask on its own grid and a lesion table come out."""
