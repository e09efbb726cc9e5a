"""Sentence polarity and its relatives: `mr`, `cr` (Pang & Lee, Hu & Liu) and `subj`.

One row: `{"text": "simplistic , silly and tedious .", "label": 0}`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from outgrow.config import TaskConfig
from outgrow.labels import Rows
from outgrow.tasks.files import read_rows
from outgrow.tasks.presets import with_defaults


@dataclass(frozen=True)
class Sentiment:
    """`task: {name: sentiment, path: mr.jsonl.gz}`: a table with `text` and a binary `label`."""

    def read(self, config: TaskConfig) -> Rows:
        """All rows, each with its part."""
        subjectivity = Path(config.path).name.startswith("subj")
        choices = ("subjective", "objective") if subjectivity else ("negative", "positive")
        return read_rows(with_defaults(config, choices=choices))
