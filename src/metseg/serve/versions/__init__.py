"""Corrections of finished studies: edits of lesions and uploaded masks become versions. Uses no torch."""
