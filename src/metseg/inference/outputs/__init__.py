"""Predictions as files: masks, overlays, probabilities, instance maps, documents."""
