"""The disclaimer that every result carries."""

from __future__ import annotations

NOTICE = "Research use only: not a medical device."
