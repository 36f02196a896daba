"""2D images: file signatures, decoding, masks, stacks of slices."""
