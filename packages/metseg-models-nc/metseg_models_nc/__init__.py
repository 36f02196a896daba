"""Model bundles of metseg for non-commercial use; data only, found by metseg through an entry point."""
