"""Heads synthesised from label maps, with exact brain masks."""
