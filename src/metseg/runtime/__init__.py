"""Files, processes, memory and imports: what is not about images."""
