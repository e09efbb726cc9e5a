"""Choices as texts: what a language model is trained on, and what a served one chooses behind demonstrations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from outgrow.config import ServerStrong
from outgrow.labels import ChoiceTargets, Completion, Rows, TextTargets
from outgrow.models.protocols import GenerateOptions, LanguageModel, Messages, refusal
from outgrow.supervisors.server import as_asked, choice_options, votes_of
from outgrow.train.targets import rows_of


def choice_texts(template: str, targets: ChoiceTargets, rows: Rows) -> TextTargets:
    """Return targets of some of the rows as texts: the row as it is asked, and the name of its likeliest choice.

    Targets of weight 0 are left out; other weights, and the other choices' probabilities, are not learned.

    Example:
        >>> rows = Rows(("a", "b"), ("Dear sir", "You won!"), ("unlabelled",) * 2, (None,) * 2, ("mail", "spam"))
        >>> targets = ChoiceTargets(("b",), np.array([[0.2, 0.8]]), np.ones(1))
        >>> learned = choice_texts("{prompt} Spam?", targets, rows)
        >>> learned.prompts, learned.texts
        (('You won! Spam?',), ('spam',))
    """
    taught = targets.take(np.flatnonzero(targets.weights > 0))
    asked = as_asked(template, rows_of(rows, taught))
    names = tuple(asked.choices_of(row)[int(own.argmax())] for row, own in enumerate(taught.probs))
    count = len(names)
    return TextTargets(tuple(asked.ids), tuple(asked.prompts), names, (1.0,) * count, ("targets",) * count)


@dataclass(frozen=True)
class ChoosingModel:
    """A served chat model that a refiner asks for its choice, because it cannot score given texts."""

    model: LanguageModel
    """The model."""
    strong: ServerStrong
    """How it is asked."""
    dry: bool = False
    """Whether it is part of a dry run, where choices are made up."""
    chats: ClassVar[bool] = True

    @property
    def name(self) -> str:
        """Its own name."""
        return self.model.name

    def generate(self, prompts: Sequence[Any], options: GenerateOptions) -> list[list[Completion]]:
        """Continue every prompt; see `LanguageModel.generate`."""
        return self.model.generate(prompts, options)

    def choose(self, prompts: Sequence[str | Messages], choices: Sequence[Sequence[str]]) -> NDArray[np.float64]:
        """Return the log-probabilities (N, K) of the choices of each of N prompts, read from the model's answers.

        A row is NaN where the answer names none of the choices, or several. See `outgrow.supervisors.server.read_vote`.
        """
        answers = self.model.generate(prompts, choice_options(self.strong))
        if self.dry:
            return np.log(np.random.default_rng(0).dirichlet(np.ones(len(choices[0])), size=len(prompts)))
        refusals = [refusal(self.model, prompt, "") for prompt in prompts]
        votes = votes_of([str(row) for row in range(len(prompts))], "", answers, choices, refusals)
        with np.errstate(divide="ignore"):  # a choice that is not named may have no probability at all
            logs: NDArray[np.float64] = np.log(votes.probs[:, 0])
        return logs
