"""Built-in tasks that are a file task with some settings filled in."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from outgrow.config import TaskConfig
from outgrow.errors import DataError
from outgrow.labels import Rows
from outgrow.tasks.files import read_rows, shuffled, with_defaults
from outgrow.tasks.protocol import Task
from outgrow.tasks.tables import column
from outgrow.worlds.facts import World, score

_SCIQ = ("correct_answer", "distractor1", "distractor2", "distractor3")
_COSMOSQA = ("answer0", "answer1", "answer2", "answer3")


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
    With `four_way: true`: which of four answers is correct? One row, as in `allenai/sciq` on the hub:
    `{"question": "…", "correct_answer": "glucose", "distractor1": "…", "distractor2": "…", "distractor3": "…"}`.
    """

    four_way: bool = False
    """Whether each row has the right answer and three wrong ones as choices, in an order drawn for each question."""

    def read(self, config: TaskConfig) -> Rows:
        """Return all rows; with `four_way`, those whose four answers differ."""
        if self.four_way:
            own = {"prompt": "question", "gold": "correct_answer", "choices": _SCIQ}
            named = with_defaults(config, columns=own)
            return shuffled(read_rows(named, convert=lambda table: _different(table, _SCIQ)))
        if Path(config.source).is_dir():
            config = config.model_copy(update={"path": str(Path(config.source) / "qa_pairs.jsonl.gz")})
        template, choices = "Q: {question} A: {answer}", ("incorrect", "correct")
        return read_rows(with_defaults(config, template=template, choices=choices, split={"group": "question"}))


@dataclass(frozen=True)
class CosmosQA(Task):
    """`task: {name: cosmosqa, path: …}`: which of four answers to a question about a story fits? (Huang et al. 2019).

    A table such as `allenai/cosmos_qa:train` on the hub. Questions about one story stay in one part; rows whose four
    answers do not differ are left out.
    One row: `{"context": "…", "question": "…", "answer0": "…", …, "answer3": "…", "label": 1}`.
    """

    def read(self, config: TaskConfig) -> Rows:
        """Return all rows."""
        named = with_defaults(
            config,
            columns={"gold": "label", "id": "id", "choices": _COSMOSQA},
            template="{context}\nQuestion: {question}",
            split={"group": "context"},
        )
        return read_rows(named, convert=lambda table: _different(table, _COSMOSQA))


@dataclass(frozen=True)
class TruthfulQA(Task):
    """`task: {name: truthfulqa, path: …}`: which answer to a question is true? (Lin et al. 2022).

    The authors' file `TruthfulQA.csv`, or `truthfulqa/truthful_qa` on the hub with `config: multiple_choice` (the
    answers of MC1) or `generation`. A row's choices are the best answer and some wrong ones, in an order drawn for each
    question; questions with fewer wrong answers are left out. Truthfulness of free answers is rated by a judge with
    `name: persona`.
    """

    wrong: int = 3
    """Number of wrong answers to choose among; 1 is the binary form that the authors recommend since 2025."""

    def read(self, config: TaskConfig) -> Rows:
        """Return all rows."""
        own = {"id": "id", "prompt": "question", "gold": "answer", "choices": "choices"}
        return shuffled(read_rows(with_defaults(config, columns=own), convert=self._table))

    def _table(self, table: pa.Table) -> pa.Table:
        rows = []
        for number, row in enumerate(table.to_pylist()):
            question, right, wrong = _true_and_false(row)
            others = sorted({*wrong} - {right, ""})
            if len(others) >= self.wrong:
                drawn = np.random.default_rng(zlib.crc32(question.encode())).permutation(len(others))[: self.wrong]
                choices = [right, *(others[index] for index in drawn)]
                rows.append({"id": number, "question": question, "answer": right, "choices": choices})
        return pa.Table.from_pylist(rows)


def _true_and_false(row: Mapping[str, Any]) -> tuple[str, str, Sequence[str]]:
    """Question, best answer and wrong answers of a row of any of the three forms."""
    try:
        if "mc1_targets.choices" in row:
            answers = list(zip(row["mc1_targets.choices"], row["mc1_targets.labels"], strict=True))
            wrong = [text for text, label in answers if not label]
            return row["question"], next(text for text, label in answers if label), wrong
        if "best_answer" in row:
            return row["question"], row["best_answer"], row["incorrect_answers"]
        wrong = [text.strip() for text in row["Incorrect Answers"].split(";")]
        return row["Question"], row["Best Answer"].strip(), wrong
    except (KeyError, TypeError, AttributeError, StopIteration) as error:
        raise DataError(
            "A row is not one of TruthfulQA's.",
            found=", ".join(row),
            wanted="the columns of TruthfulQA.csv, or of truthfulqa/truthful_qa with a configuration",
        ) from error


def _different(table: pa.Table, names: Sequence[str]) -> pa.Table:
    """The rows with different texts in all of these columns."""
    columns = [column(table, name, where="The data set", setting="task.columns.choices") for name in names]
    return table.filter(pa.array([len({*own}) == len(own) for own in zip(*columns, strict=True)]))


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
