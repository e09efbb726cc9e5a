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
ROWS = Bound("ROWS", 20_000_000, "rows of a table")
CELLS = Bound("CELLS", 10_000_000, "cells of a sheet, empty ones included")
SHEET_BYTES = Bound("SHEET_BYTES", 2**27, "bytes of a sheet, decompressed")
TABLE_BYTES = Bound("TABLE_BYTES", 2**33, "bytes of a table in memory")
INFLATED_BYTES = Bound("INFLATED_BYTES", 2**33, "bytes of a compressed file, decompressed")
INFLATION = Bound("INFLATION", 200, "times its size, decompressed")
"""Texts are compressed to a third or a tenth; the first `INFLATION_FROM` bytes may be anything."""
INFLATION_FROM = 2**24
PARQUET_INFLATION = Bound("PARQUET_INFLATION", 1000, "times its size in memory")
"""Columns of few values are stored in almost no space; the first `PARQUET_FROM` bytes may be anything."""
PARQUET_FROM = 2**28
TEMPLATE_WIDTH = Bound("TEMPLATE_WIDTH", 1000, "characters of padding or precision in a place of a template")
MODEL_PARTS = Bound("MODEL_PARTS", 10_000, "layers, experts or heads of a model")
MODEL_SIZE = Bound("MODEL_SIZE", 2**31, "as a number in the configuration of a model")
CONFIG_BYTES = Bound("CONFIG_BYTES", 2**24, "bytes of a model's configuration")
PADDING = Bound("PADDING", 2**24, "tokens to which a tokenizer pads")
CHAT_CHARS = Bound("CHAT_CHARS", 2**20, "characters that a chat template adds to a conversation")
