"""Grade of a glioma from its outlines and images: features, classifier and its file."""
