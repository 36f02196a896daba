"""Heads painted from label maps, with exact brain masks."""
