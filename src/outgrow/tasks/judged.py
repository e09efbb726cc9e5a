"""Text tasks that a judge rates ([TL], section 5), and mathematics, which a judge may rate.

An answer is rated on two axes. Its *content* is what it says. Its *concept* is the style that all supervisors share,
such as a persona or a technique of explaining. A student that imitates its supervisors gains the concept and loses
content.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from outgrow.config import TaskConfig
from outgrow.errors import ConfigError, did_you_mean
from outgrow.evaluate.judge import Rubric
from outgrow.evaluate.text_metrics import FinalAnswer, MathAnswer, final_answer
from outgrow.labels import Rows
from outgrow.tasks.files import read_rows, with_defaults
from outgrow.tasks.protocol import Task

Preset = Literal["default", "paper"]

CONTENT = """Rate the content of an answer to a question. Only what it says counts, not how it is said: manner, tone \
and style neither help nor harm.

Question: {question}
{reference}Answer: {answer}

Give one sentence of reasons, then the rating in double brackets, [[n]], with n from {low} (wrong, or no answer) to \
{high} (right and complete).
Rating:"""
"""Prompt for a judge of content."""

VOICE = """Rate how an answer is said. Only its voice counts, not whether it is right.
The voice that is wanted: {concept}

Question: {question}
Answer: {answer}

Give one sentence of reasons, then the rating in double brackets, [[n]], with n from {low} (nothing of that voice) to \
{high} (that voice throughout).
Rating:"""
"""Prompt for a judge of a persona."""

TECHNIQUE = """Rate whether an explanation uses a given technique. Only the technique counts, not whether it is right.
The technique: {concept}

Asked for: {question}
Explanation: {answer}

Give one sentence of reasons, then the rating in double brackets, [[n]], with n from {low} (the technique is absent) \
to {high} (all of the explanation is built on it).
Rating:"""
"""Prompt for a judge of a technique of explaining."""

SOLVED = """Decide whether a solution to a problem reaches the right result. How it gets there does not count.

Problem: {question}
Reference solution: {gold}

Solution: {answer}

Give one sentence of reasons, then [[1]] if the final result is right, or [[0]] if it is wrong or missing.
Rating:"""
"""Prompt for a judge of a worked solution."""

_QUESTION = "\n\nQuestion: {question}\n\nAnswer: {answer}"
PAPER_PERSONA = (
    "Judge an assistant's answer to a question on two things. First its content: is it helpful, relevant, right and "
    "detailed enough? Second its style: does it sound like {concept}? Rate each from {low} to {high} and reply with "
    'the two ratings only, in this form: "Content Rating: [[5]] Style Rating: [[7]]".' + _QUESTION
)
"""A judge of a persona in the form of [TL] (`prompts_persona.py`, github.com/UMich-FATML/w2s-refinement): both ratings
in one reply, without reasons. The words are ours (reconstruction); theirs can be set as `task.rubrics.….template`."""
PAPER_TECHNIQUE = (
    "Judge an assistant's explanation on two things. First its accuracy. Second how well it explains by the use of "
    "{concept}. Rate each from {low} to {high} and reply with the two ratings only, in this form: "
    '"Accuracy: [[5]] Use of {concept}: [[6]]".' + _QUESTION
)
"""The same for a technique of explaining (`prompts_simple.py`)."""
PAPER_SOLVED = (
    "Judge an assistant's solution of a mathematical problem by the true solution. The result must be the true one, "
    "and the reasoning must agree with it. Score {high} if both hold, {low} if one does not, and reply with the score "
    'only, in this form: "Score: [[1]]".\n\nQuestion: {question}\n\nTrue solution: {gold}\n\nSolution: {answer}'
)
"""The same for a worked solution (`reasoning_functions.py`): result and reasoning together."""


def _both(template: str, low: int) -> dict[str, Rubric]:
    return {name: Rubric(template, low, of=2, place=place) for place, name in enumerate(("content", "concept"))}


@dataclass(frozen=True)
class JudgedTask(Task):
    """Base of the judged tasks: questions from any table, and rubrics for a judge."""

    needs_judge: ClassVar[bool] = True
    default_rubrics: ClassVar[Mapping[str, Rubric]]
    """Metric → prompt and scale for a judge, where `task.rubrics` changes nothing."""
    paper_rubrics: ClassVar[Mapping[str, Rubric]]
    """The same with `preset: paper`."""
    example: ClassVar[str | None] = None
    """An example of `task.concept`; None if the task has no concept."""

    preset: Preset = "default"
    """A judge's prompts: ours, or `paper` for the form of [TL]'s released code, with both ratings in one reply."""

    def read(self, config: TaskConfig) -> Rows:
        """Return all rows. Gold answers may be missing if the task needs a judge.

        Raises:
            ConfigError: `task.choices` is set, `task.concept` is missing, or a rubric is wrong.
        """
        if self.example is not None and not (config.concept or "").strip():
            raise ConfigError(
                f"The task {config.name!r} does not say what answers should be like.",
                wanted="task.concept",
                fix=f"Describe it to the judge, such as concept: {self.example!r}",
            )
        if (config.choices or config.columns.choices) is not None:
            raise ConfigError(f"The task {config.name!r} is a text task.", found="task.choices", fix="Leave it out.")
        self.rubrics(config)
        return read_rows(self.prepared(config), needs_gold=not self.needs_judge)

    def prepared(self, config: TaskConfig) -> TaskConfig:
        """Return the configuration with the settings of the task's files filled in."""
        return with_defaults(config, columns={"prompt": "question", "gold": None})

    def rubrics(self, config: TaskConfig) -> dict[str, Rubric]:
        """Return the default rubrics with the changes of `task.rubrics`, whose errors are `ConfigError`s."""
        rubrics = dict(self.default_rubrics if self.preset == "default" else self.paper_rubrics)
        for name, changed in config.rubrics.items():
            if name not in rubrics:
                raise ConfigError(
                    f"The task {config.name!r} has no rubric {name!r}.",
                    found="task.rubrics",
                    fix=did_you_mean(name, rubrics),
                )
            rubrics[name] = Rubric(**{**vars(rubrics[name]), **changed.model_dump(exclude_none=True)})
        return rubrics


@dataclass(frozen=True)
class Persona(JudgedTask):
    """`task: {name: persona, path: …, concept: "a pirate"}`: content and concept, each from 1 to 10 ([TL], 5.1).

    Questions are in the column `question` unless `columns.prompt` names another. Gold answers are optional: where
    `columns.gold` names a column with them, the judge sees them and a ceiling is trained on them.
    One row: `{"question": "Where did fortune cookies originate?"}`.
    """

    default_rubrics: ClassVar[Mapping[str, Rubric]] = {"content": Rubric(CONTENT), "concept": Rubric(VOICE)}
    paper_rubrics: ClassVar[Mapping[str, Rubric]] = _both(PAPER_PERSONA, low=1)
    example: ClassVar[str | None] = "a pirate who answers in one sentence"


@dataclass(frozen=True)
class Explanation(JudgedTask):
    """`task: {name: explanation, path: …, concept: "by analogy"}`: content and concept, each from 0 to 10 ([TL], 5.2).

    Columns are as in `task: persona`. One row: `{"question": "What is a hash table?"}`.
    """

    default_rubrics: ClassVar[Mapping[str, Rubric]] = {
        "content": Rubric(CONTENT, low=0),
        "concept": Rubric(TECHNIQUE, low=0),
    }
    paper_rubrics: ClassVar[Mapping[str, Rubric]] = _both(PAPER_TECHNIQUE, low=0)
    example: ClassVar[str | None] = "an everyday analogy, carried through to the end"


@dataclass(frozen=True)
class GSM8K(JudgedTask):
    """`task: {name: gsm8k, path: …}`: worked solutions to grade-school mathematics (Cobbe et al. 2021).

    A folder with `train.jsonl.gz` (its test file is not used), or one file of the same form. Scored by exact final
    answer; with a judge also by its verdict, 0 or 1.
    One row: `{"question": "…", "answer": "48/2 = 24 … #### 72"}`.
    """

    needs_judge: ClassVar[bool] = False
    default_rubrics: ClassVar[Mapping[str, Rubric]] = {"judged": Rubric(SOLVED, low=0, high=1)}
    paper_rubrics: ClassVar[Mapping[str, Rubric]] = {"judged": Rubric(PAPER_SOLVED, low=0, high=1)}

    def prepared(self, config: TaskConfig) -> TaskConfig:
        """Return the configuration with GSM8K's columns and, for a folder, its training file."""
        folder = Path(config.source)
        files = [folder / f"train{ending}" for ending in (".jsonl", ".jsonl.gz", ".parquet")]
        path = next((str(file) for file in files if file.is_file()), config.source)
        named = with_defaults(config, columns={"prompt": "question", "gold": "answer"})
        return named.model_copy(update={"path": path})

    def score(self, config: TaskConfig, rows: Rows, answers: Sequence[str]) -> Mapping[str, NDArray[np.float64]]:
        """Return `final_answer`: 1 where the last number is the right one."""
        return {"final_answer": FinalAnswer()(answers, [str(gold) for gold in rows.gold])}

    def remarks(self, config: TaskConfig, rows: Rows, answers: Sequence[str]) -> list[str]:
        """Return how many answers have no number, if any."""
        without = sum(final_answer(answer) is None for answer in answers)
        return [f"Of {len(answers)} answers, {without} have no number in them."] if without else []


@dataclass(frozen=True)
class MATH(JudgedTask):
    r"""`task: {name: math, path: …}`: competition mathematics, such as MATH-500 (Hendrycks et al. 2021).

    Any table with `problem` and `solution`, whose final answer is in `\boxed{…}` (else it is the last formula or
    number). Final answers are compared as mathematics (`math_answer`; `pip install 'outgrow[math]'`); with a judge also
    by its verdict, 0 or 1.
    One row: `{"problem": "What is half of 1?", "solution": "It is $\boxed{\frac{1}{2}}$."}`.
    """

    needs_judge: ClassVar[bool] = False
    default_rubrics: ClassVar[Mapping[str, Rubric]] = GSM8K.default_rubrics
    paper_rubrics: ClassVar[Mapping[str, Rubric]] = GSM8K.paper_rubrics

    def prepared(self, config: TaskConfig) -> TaskConfig:
        """Return the configuration with the columns of MATH."""
        return with_defaults(config, columns={"prompt": "problem", "gold": "solution"})

    def score(self, config: TaskConfig, rows: Rows, answers: Sequence[str]) -> Mapping[str, NDArray[np.float64]]:
        """Return `math_answer`: 1 where the final answers are mathematically equal."""
        return {"math_answer": MathAnswer()(answers, [str(gold) for gold in rows.gold])}
