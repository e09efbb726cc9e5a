"""Combining what several supervisors said about a row into one target."""

from __future__ import annotations

from outgrow.combine.mean import Mean

__all__ = ["Mean"]
