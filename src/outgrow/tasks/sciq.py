"""SciQ (Welbl et al. 2017) as binary correctness: is this candidate answer to a science question right?

One row: `{"question": "What do plants make?", "answer": "glucose", "label": 1}`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from outgrow.config import TaskConfig
from outgrow.labels import Rows
from outgrow.tasks.files import read_rows
from outgrow.tasks.presets import with_defaults


@dataclass(frozen=True)
class SciQ:
    """`task: {name: sciq, path: …}`: a table with `question`, `answer`, `label`, or a folder with `qa_pairs.jsonl.gz`.

    Answers of one question stay in one part.
    """

    def read(self, config: TaskConfig) -> Rows:
        """All rows, each with its part."""
        if Path(config.path).is_dir():
            config = config.model_copy(update={"path": str(Path(config.path) / "qa_pairs.jsonl.gz")})
        config = with_defaults(
            config,
            template="Q: {question} A: {answer}",
            choices=("incorrect", "correct"),
            split={"group": "question"},
        )
        return read_rows(config)
