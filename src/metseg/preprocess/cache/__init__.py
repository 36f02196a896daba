"""Cache of preprocessed cases on disk: built once, identified by recipe and files, read by slices or patches."""

from metseg.preprocess.cache.cache_build import build_cache
from metseg.preprocess.cache.cache_entry import CaseEntry
from metseg.preprocess.cache.cache_reader import Cache

__all__ = ["Cache", "CaseEntry", "build_cache"]
