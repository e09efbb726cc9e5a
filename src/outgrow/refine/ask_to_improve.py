"""Ask to improve ([TL] = arXiv 2405.16236, Algorithm 3): the strong model corrects the weak answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from outgrow.labels import Rows, TextLabels
from outgrow.models.protocols import GenerateOptions, LanguageModel
from outgrow.refine.refinement import weak_texts
from outgrow.refine.text_refiner import Prompt, Prompts, TextRefiner
from outgrow.templates import check_template, fill


@dataclass(frozen=True)
class AskToImprove(TextRefiner):
    """Shows each row its own weak answer and asks for a better one (`refine: ask_to_improve`).

    The only refiner that sees the answer it replaces: its mistakes may stay. A row without a weak text gets the plain
    question. Every draw shows the text of one supervisor, drawn at random.

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

    name: ClassVar[str] = "ask_to_improve"

    improve: str = (
        "Question: {prompt}\nDraft: {answer}\n"
        "The draft may be wrong. Keep the way it is written, and put right what it says.\n\n"
    )
    """Template of what comes before the question."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_template("improve", self.improve, needs=("answer",))

    def _prompts(
        self, rows: Rows, labels: TextLabels, model: LanguageModel | None, options: GenerateOptions, seed: int
    ) -> Prompts:
        texts, rng = weak_texts(rows, labels), np.random.default_rng(seed)

        def prompt_of(prompt: str, query: str, own: list[str]) -> Prompt:
            if not own:
                return Prompt((), query)
            return Prompt((), query, fill(self.improve, {"prompt": prompt, "answer": own[int(rng.integers(len(own)))]}))

        return Prompts(
            [
                [prompt_of(*each) for each in zip(rows.prompts, self._queries(rows, model), texts, strict=True)]
                for _ in range(self.draws)
            ]
        )
