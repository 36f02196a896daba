"""What a scanner makes of the phantom: grids, signal, motion."""
