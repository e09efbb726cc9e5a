"""Refinement by in-context learning ([TL] = arXiv 2405.16236, Algorithm 1): weak answers show how, not what.

The strong model is asked every question of the unlabelled part again, behind a few *other* questions with their weak
answers. From those it takes the concept that all supervisors share; the content of its answer is its own, since the
weak answer to the question at hand is not in the prompt.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from outgrow.errors import ConfigError, DataError
from outgrow.labels import Completion, Rows, TextLabels
from outgrow.models.protocols import GenerateOptions, LanguageModel
from outgrow.refine.demonstrations import leave_one_out, usable_texts, without_leading_space
from outgrow.templates import check_template, fill


@dataclass(frozen=True)
class ICL:
    """Labels rows again behind demonstrations; found as `refine: icl` in an experiment file.

    The batches and the leave-one-out rule are the paper's; so are four demonstrations, its choice for personas (three
    for explanation techniques). The paper puts the demonstrations in the system turn of a chat; here all is one
    text, which also fits models without a chat format.

    Example:
        >>> from outgrow.models.scripted import ScriptedLanguageModel
        >>> rows = Rows(("a", "b"), ("1 + 1?", "2 + 2?"), ("unlabelled",) * 2, (None,) * 2)
        >>> weak = [(Completion(text, (), (), finished=True),) for text in ("Arr, 3!", "Arr, 4!")]
        >>> labels = TextLabels(rows.ids, ("weak",), tuple((one,) for one in weak))
        >>> icl = ICL(demonstrations=1)
        >>> print(icl.prompts(rows, labels, seed=0)[0])
        Question: 2 + 2?
        Answer: Arr, 4!
        <BLANKLINE>
        Question: 1 + 1?
        Answer:
        >>> strong = ScriptedLanguageModel(lambda prompt: " Arr, 2!")
        >>> icl(rows, labels, strong, options=GenerateOptions(), seed=0).best(0, 0).text
        'Arr, 2!'
    """

    demonstrations: int = 4
    """Weakly answered rows shown before each question."""
    demonstration: str = "Question: {prompt}\nAnswer: {answer}\n\n"
    """How one of them is shown."""
    query: str = "Question: {prompt}\nAnswer:"
    """How the question itself is asked."""

    def __post_init__(self) -> None:
        if self.demonstrations < 1:
            raise ConfigError(
                "In-context refinement needs demonstrations.",
                found=f"demonstrations: {self.demonstrations}",
                wanted="at least 1",
                fix="Leave `refine` out to train on the weak texts as they are.",
            )
        check_template("demonstration", self.demonstration, needs=("prompt", "answer"))
        check_template("query", self.query, needs=("prompt",), refuses=("answer",))

    def prompts(self, rows: Rows, labels: TextLabels, *, seed: int) -> list[str]:
        """The prompt in which each row is labelled again.

        Rows are put in random batches of one more than `demonstrations`, and each is asked behind the other members of
        its batch. Each demonstration shows the text of one supervisor, drawn at random from those that wrote one. A row
        without any weak text is not shown, but asked like the others.

        Args:
            rows: The rows to label, N of them.
            labels: What the supervisors wrote for them.
            seed: Seed of batches and draws.

        Returns:
            N prompts, in the order of the rows; none contains the weak answer to its own row.

        Raises:
            DataError: The labels are about other rows, or there are too few rows for that many demonstrations.
        """
        if labels.ids != rows.ids:
            raise DataError(
                "The weak labels are not about the rows to be refined.",
                found=f"{len(labels.ids)} labelled rows, {len(rows)} rows",
                wanted="the same ids in the same order",
            )
        rng = np.random.default_rng(seed)
        texts = usable_texts(labels)
        chosen = leave_one_out(rows, [bool(own) for own in texts], self.demonstrations, rng)
        return [self._prompt(rows, texts, item, shown, rng) for item, shown in enumerate(chosen)]

    def __call__(
        self, rows: Rows, labels: TextLabels, model: LanguageModel, *, options: GenerateOptions, seed: int
    ) -> TextLabels:
        """Labels the rows again.

        Args:
            rows: The rows to label.
            labels: What the supervisors wrote for them.
            model: The strong model, untrained.
            options: How it generates; a stop string keeps it from going on with a question of its own. Several samples
                are ordered by mean token log-probability.
            seed: Seed of the demonstrations.

        Returns:
            Labels of one supervisor named `icl`, without the space that separates them from the prompt.

        Raises:
            DataError: As for `prompts`.
        """
        answers = model.generate(self.prompts(rows, labels, seed=seed), options)
        texts = tuple((tuple(_best_first([without_leading_space(one) for one in row])),) for row in answers)
        return TextLabels(rows.ids, ("icl",), texts)

    def _prompt(
        self, rows: Rows, texts: Sequence[Sequence[str]], item: int, shown: Sequence[int], rng: np.random.Generator
    ) -> str:
        answers = [texts[index][int(rng.integers(len(texts[index])))] for index in shown]
        blocks = [
            fill(self.demonstration, {"prompt": rows.prompts[index], "answer": answer})
            for index, answer in zip(shown, answers, strict=True)
        ]
        return "".join([*blocks, fill(self.query, {"prompt": rows.prompts[item]})])


def _best_first(completions: Sequence[Completion]) -> list[Completion]:
    means = [sum(one.logprobs) / max(len(one.logprobs), 1) for one in completions]
    return [completions[index] for index in sorted(range(len(means)), key=lambda index: -means[index])]
