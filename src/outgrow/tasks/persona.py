"""Answers in a persona ([TL], section 5.1): any persona, questions from any file.

One row: `{"question": "Where did fortune cookies originate?"}`; the columns of TruthfulQA's file are known too.
"""

from __future__ import annotations

from dataclasses import dataclass

from outgrow.config import TaskConfig
from outgrow.evaluate.judge import Rubric
from outgrow.labels import Rows
from outgrow.tasks.judged import CONTENT, JudgedTask, check_concept
from outgrow.tasks.presets import with_defaults

CONCEPT = """Rate how an answer is said. Only its voice counts, not whether it is right.
The voice that is wanted: {concept}

Question: {question}
Answer: {answer}

Give one sentence of reasons, then the rating in double brackets, [[n]], with n from {low} (nothing of that voice) to \
{high} (that voice throughout).
Rating:"""
"""What a judge is asked about the persona."""


@dataclass(frozen=True)
class Persona(JudgedTask):
    """`task: {name: persona, path: …, concept: "a pirate"}`: content and concept by a judge, each from 1 to 10.

    The questions are in the column `question` unless `columns.prompt` names another. Nobody needs right answers;
    where `columns.gold` names a column with them, the judge sees them, and a ceiling is trained on them.
    """

    def read(self, config: TaskConfig) -> Rows:
        """All rows, each with its part."""
        check_concept(config, "a pirate who answers in one sentence")
        return super().read(config)

    def preset(self, config: TaskConfig) -> TaskConfig:
        """Columns as in a plain file of questions."""
        return with_defaults(config, columns={"prompt": "question", "gold": None})

    def own_rubrics(self) -> dict[str, Rubric]:
        """Content and concept, both from 1 to 10 as in [TL]."""
        return {"content": Rubric(CONTENT), "concept": Rubric(CONCEPT)}
