"""Ask to improve ([TL] = arXiv 2405.16236, Algorithm 3): the strong model sees the weak answer and mends it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from outgrow.labels import Rows, TextLabels
from outgrow.models.protocols import GenerateOptions, LanguageModel
from outgrow.refine.asking import Asking, Prompt
from outgrow.refine.refinement import Refinement, weak_texts
from outgrow.templates import check_template, fill


@dataclass(frozen=True)
class AskToImprove(Asking):
    """Shows each row its own weak answer and asks for a better one; found as `refine: ask_to_improve`.

    The only refiner that sees the answer it is to replace: what is wrong in it may well stay. A row without a weak
    text is asked plainly. Every draw shows the text of one supervisor, drawn at random.

    Example:
        >>> from outgrow.labels import Completion
        >>> rows = Rows(("a",), ("1 + 1?",), ("unlabelled",), (None,))
        >>> labels = TextLabels(rows.ids, ("weak",), (((Completion("Arr, 3!", (), (), True),),),))
        >>> print(AskToImprove().prompts(rows, labels, seed=0)[0])
        Question: 1 + 1?
        Draft: Arr, 3!
        The draft may be wrong. Keep the way it is written, and put right what it says.
        <BLANKLINE>
        Question: 1 + 1?
        Answer:
    """

    improve: str = (
        "Question: {prompt}\nDraft: {answer}\n"
        "The draft may be wrong. Keep the way it is written, and put right what it says.\n\n"
    )
    """What stands before the question."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_template("improve", self.improve, needs=("answer",))

    def prompts(self, rows: Rows, labels: TextLabels, *, seed: int) -> list[str]:
        """One prompt per draw and row, the rows of the first draw first.

        Raises:
            DataError: The labels are about other rows.
        """
        return [one.text for draw in self._prompts(rows, labels, seed) for one in draw]

    def texts(
        self, rows: Rows, labels: TextLabels, model: LanguageModel, *, options: GenerateOptions, seed: int
    ) -> Refinement:
        """Labels the rows again (see `Refiner`).

        Raises:
            DataError: The labels are about other rows.
        """
        return self.ask(rows, self._prompts(rows, labels, seed), model, options, name="ask_to_improve")

    def _prompts(self, rows: Rows, labels: TextLabels, seed: int) -> list[list[Prompt]]:
        texts = weak_texts(rows, labels)
        rng = np.random.default_rng(seed)

        def head(prompt: str, own: list[str]) -> str:
            answer = own[int(rng.integers(len(own)))] if own else None
            return "" if answer is None else fill(self.improve, {"prompt": prompt, "answer": answer})

        return [
            [
                Prompt((), fill(self.query, {"prompt": prompt}), head(prompt, own))
                for prompt, own in zip(rows.prompts, texts, strict=True)
            ]
            for _ in range(self.draws)
        ]
