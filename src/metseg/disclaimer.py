"""What every result says of itself."""

from __future__ import annotations

NOTICE = "Research use only: not a medical device."
