"""Explanations by a technique ([TL], section 5.2): the technique is described, the topics come from any file.

One row: `{"question": "What is a hash table?"}`.
"""

from __future__ import annotations

from dataclasses import dataclass

from outgrow.config import TaskConfig
from outgrow.evaluate.judge import Rubric
from outgrow.labels import Rows
from outgrow.tasks.judged import CONTENT, JudgedTask, check_concept
from outgrow.tasks.presets import with_defaults

CONCEPT = """Rate whether an explanation uses a given technique. Only the technique counts, not whether it is right.
The technique: {concept}

Asked for: {question}
Explanation: {answer}

Give one sentence of reasons, then the rating in double brackets, [[n]], with n from {low} (the technique is absent) \
to {high} (all of the explanation is built on it).
Rating:"""
"""What a judge is asked about the technique."""


@dataclass(frozen=True)
class Explanation(JudgedTask):
    """`task: {name: explanation, path: …, concept: "by an everyday analogy"}`: content and concept, each from 0 to 10.

    Columns are as in `task: persona`.
    """

    def read(self, config: TaskConfig) -> Rows:
        """All rows, each with its part."""
        check_concept(config, "an everyday analogy, carried through to the end")
        return super().read(config)

    def preset(self, config: TaskConfig) -> TaskConfig:
        """Columns as in a plain file of questions."""
        return with_defaults(config, columns={"prompt": "question", "gold": None})

    def own_rubrics(self) -> dict[str, Rubric]:
        """Content and concept, both from 0 to 10."""
        return {"content": Rubric(CONTENT, low=0), "concept": Rubric(CONCEPT, low=0)}
