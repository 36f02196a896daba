"""Brain masks of heads with skull: extraction, checks, files."""
