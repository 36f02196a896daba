"""Pictures: file signatures, decoding, masks, stacks of slices."""
