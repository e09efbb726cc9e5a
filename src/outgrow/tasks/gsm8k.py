"""GSM8K (Cobbe et al. 2021): worked solutions to grade-school mathematics that end in `#### n`.

One row: `{"question": "…", "answer": "48/2 = 24 … #### 72"}`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from outgrow.config import TaskConfig
from outgrow.evaluate.final_answers import FinalAnswer, final_answer
from outgrow.evaluate.judge import Rubric
from outgrow.labels import Rows
from outgrow.tasks.judged import JudgedTask
from outgrow.tasks.presets import with_defaults

SOLVED = """Decide whether a solution to a problem reaches the right result. How it gets there does not count.

Problem: {question}
Reference solution: {gold}

Solution: {answer}

Give one sentence of reasons, then [[1]] if the final result is right, or [[0]] if it is wrong or missing.
Rating:"""
"""What a judge is asked about a solution."""


@dataclass(frozen=True)
class GSM8K(JudgedTask):
    """`task: {name: gsm8k, path: …}`: a folder with `train.jsonl.gz`, or one file of the same form.

    Scored by exact final answer; with a judge also by its verdict, 0 or 1.
    """

    needs_judge: ClassVar[bool] = False

    def preset(self, config: TaskConfig) -> TaskConfig:
        """GSM8K's columns, and of a folder the training file, dealt to all parts."""
        folder = Path(config.path)
        files = [folder / f"train{ending}" for ending in (".jsonl", ".jsonl.gz", ".parquet")]
        path = next((str(file) for file in files if file.is_file()), config.path)
        named = with_defaults(config, columns={"prompt": "question", "gold": "answer"})
        return named.model_copy(update={"path": path})

    def own_rubrics(self) -> dict[str, Rubric]:
        """Right or wrong, as in [TL]."""
        return {"judged": Rubric(SOLVED, low=0, high=1)}

    def score(self, config: TaskConfig, rows: Rows, answers: Sequence[str]) -> Mapping[str, NDArray[np.float64]]:
        """`final_answer`: 1 where the last number is the right one."""
        return {"final_answer": FinalAnswer()(answers, [str(gold) for gold in rows.gold])}

    def remarks(self, config: TaskConfig, rows: Rows, answers: Sequence[str]) -> list[str]:
        """How many answers end in no number at all."""
        without = sum(final_answer(answer) is None for answer in answers)
        return [f"Of {len(answers)} answers, {without} have no number in them."] if without else []
