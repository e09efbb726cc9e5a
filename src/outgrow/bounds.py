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
YAML_CHARS = Bound("YAML_CHARS", 2**18, "characters of YAML")
YAML_VALUES = Bound("YAML_VALUES", 50_000, "values in YAML, aliases expanded")
YAML_DEPTH = Bound("YAML_DEPTH", 50, "levels of YAML in one another")
PATH_CHARS = Bound("PATH_CHARS", 4096, "characters in a path")
SEEDS = Bound("SEEDS", 1000, "training seeds")
SEED = Bound("SEED", 2**32 - 1, "as a seed")
"""The largest seed that numpy, torch and scikit-learn all take."""
