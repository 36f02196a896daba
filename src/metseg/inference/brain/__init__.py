"""Brain masks of heads with skull: made, checked, written."""
