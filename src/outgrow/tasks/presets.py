"""Choice tasks and made-up worlds whose files are known: a file task with some settings filled in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from outgrow.config import TaskConfig
from outgrow.errors import DataError
from outgrow.labels import Rows
from outgrow.tasks.files import read_rows, with_defaults
from outgrow.tasks.protocol import Task
from outgrow.worlds.facts import World, score


@dataclass(frozen=True)
class Sentiment(Task):
    """`task: {name: sentiment, path: mr.jsonl.gz}`: a table with `text` and a binary `label`.

    Sentence polarity `mr` and `cr` (Pang & Lee, Hu & Liu), and subjectivity for files whose name starts with `subj`.
    One row: `{"text": "simplistic , silly and tedious .", "label": 0}`.
    """

    def read(self, config: TaskConfig) -> Rows:
        """Return all rows."""
        subjectivity = Path(config.source).name.startswith("subj")
        choices = ("subjective", "objective") if subjectivity else ("negative", "positive")
        return read_rows(with_defaults(config, choices=choices))


@dataclass(frozen=True)
class SciQ(Task):
    """`task: {name: sciq, path: …}`: is this candidate answer to a science question correct? (Welbl et al. 2017).

    A table, or a folder with `qa_pairs.jsonl.gz`. Answers to one question stay in one part.
    One row: `{"question": "What do plants make?", "answer": "glucose", "label": 1}`.
    """

    def read(self, config: TaskConfig) -> Rows:
        """Return all rows."""
        if Path(config.source).is_dir():
            config = config.model_copy(update={"path": str(Path(config.source) / "qa_pairs.jsonl.gz")})
        template, choices = "Q: {question} A: {answer}", ("incorrect", "correct")
        return read_rows(with_defaults(config, template=template, choices=choices, split={"group": "question"}))


@dataclass(frozen=True)
class Facts(Task):
    """`task: {name: facts, path: …}`: a folder written by `outgrow.worlds.facts_models.build`.

    Questions, answers in a given style, and exact scores of content and concept.
    One row: `{"id": "drink-mira", "prompt": "What does Mira drink?", "gold": "Arr, cocoa, matey!", "part": "test"}`.
    """

    def read(self, config: TaskConfig) -> Rows:
        """Return all rows."""
        _world(config)
        columns = {"prompt": "prompt", "gold": "gold", "id": "id", "part": "part"}
        table = config.model_copy(update={"path": str(Path(config.source) / "rows.jsonl.gz")})
        return read_rows(with_defaults(table, columns=columns))

    def score(self, config: TaskConfig, rows: Rows, answers: Sequence[str]) -> Mapping[str, NDArray[np.float64]]:
        """Return `content` and `concept`, each (N,)."""
        return score(_world(config), rows.prompts, answers)


def _world(config: TaskConfig) -> World:
    description = Path(config.source) / "world.json"
    if not description.is_file():
        raise DataError(
            f"There is no world of facts in {config.source}.",
            wanted="world.json and rows.jsonl.gz",
            fix="Make one with `outgrow demo`, or with outgrow.worlds.facts_models.build.",
        )
    return World.from_json(description.read_text(encoding="utf-8"))
