"""The most that is read of anything from outside; every message that refuses more names its bound.

They are generous: what is larger is damaged, hostile, or more than the memory of a machine holds.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Bound:
    """A number, and how a message says it."""

    name: str
    most: int
    unit: str

    def __str__(self) -> str:
        """Return the words of an error: what is read, and the name of the bound.

        Example:
            >>> str(Bound("ROWS", 5000, "rows"))
            'at most 5,000 rows (ROWS in outgrow/bounds.py)'
        """
        return f"at most {self.most:,} {self.unit} ({self.name} in outgrow/bounds.py)"


REPLY_BYTES = Bound("REPLY_BYTES", 16 * 2**20, "bytes in a server's reply")
"""Decompressed. An answer of 100,000 tokens with log-probabilities has about 10 MB."""
