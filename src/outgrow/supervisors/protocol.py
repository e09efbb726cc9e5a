"""The protocol of supervisors: sections of the experiment file that vote on rows, write texts, or score given texts."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from outgrow.config import Generate
from outgrow.labels import ChoiceVotes, Rows, TextLabels
from outgrow.models.protocols import GenerateOptions
from outgrow.templates import asked_by, fill

if TYPE_CHECKING:
    from outgrow.run import Run

Part = Literal["validation", "unlabelled", "test"]


@dataclass(frozen=True)
class Asking:
    """Prompts and generation settings of a text task."""

    template: str | None = None
    """The prompt of a model, with the row's `{prompt}`; by default `QUERY`, and for a model that chats the row's prompt
    alone."""
    options: GenerateOptions = dataclasses.field(default_factory=lambda: GenerateOptions(too_long="empty"))
    """How models generate."""

    @classmethod
    def of(cls, generate: Generate, *, labelling: int | None = None) -> Asking:
        """How all models answer in an experiment, greedily; or how supervisors write what is learned, with a seed."""
        options = dataclasses.replace(cls().options, max_new_tokens=generate.max_new_tokens, stop=generate.stop)
        if labelling is not None:
            options = dataclasses.replace(
                options,
                n=generate.n_best,
                beams=generate.beams,
                temperature=generate.temperature,
                seed=labelling if generate.temperature else 0,
            )
        return cls(generate.template, options)

    def prompts(self, rows: Rows, *, chats: bool) -> list[str]:
        """Return the rows' prompts as a model is asked, in plain text or as a user's messages."""
        template = asked_by(self.template, chats=chats)
        return [fill(template, {"prompt": prompt}) for prompt in rows.prompts]


class Supervisor(Protocol):
    """Has at least one of `vote`, `write` and `score`; all get every row, and may learn from those of the gold part."""

    @property
    def title(self) -> str:
        """Its name in tables (text tasks)."""
        return type(self).__name__

    @property
    def uses_gold(self) -> bool:
        """Whether it may learn from rows of the gold part."""
        return True

    def check(self, task: Literal["choice", "text"], asking: Asking) -> None:
        """Raise a ConfigError for what cannot work, before anything is computed."""

    def vote(self, rows: Rows, run: Run, *, seed: int) -> ChoiceVotes:
        """Return votes on `judged_rows(rows)`: the validation, unlabelled and test rows, in that order."""

    def write(self, rows: Rows, part: Part, asking: Asking, run: Run, *, seed: int) -> TextLabels:
        """Return one or several texts for each row of a part, the best first."""

    def check_scores(self) -> None:
        """Raise a ConfigError if `score` cannot work, before anything is computed; called where scores are needed."""

    def score(
        self, rows: Rows, part: Part, candidates: Sequence[Sequence[str]], asking: Asking, run: Run, *, seed: int
    ) -> TextLabels:
        """Return token log-probabilities of the candidates of each row of a part; each begins with a space."""
