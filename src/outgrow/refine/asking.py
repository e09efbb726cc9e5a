"""From prompts that may be too long to one answer per row: what all refiners of text tasks have in common."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from dataclasses import dataclass

from outgrow.errors import ConfigError
from outgrow.labels import Completion, Rows, TextLabels
from outgrow.models.protocols import GenerateOptions, LanguageModel, chat, fits, refusal
from outgrow.refine.refinement import NO_ANSWER, Refinement, without_leading_space
from outgrow.refine.voting import Vote, vote
from outgrow.refine.wording import QUERY, Preset, check_at_least
from outgrow.templates import check_template


@dataclass(frozen=True)
class Prompt:
    """A question behind demonstrations that may be left out, one by one."""

    blocks: tuple[str, ...]
    """The demonstrations, each a whole."""
    tail: str
    """What follows them."""
    head: str = ""
    """What comes before them."""

    @property
    def text(self) -> str:
        """What the model reads."""
        return self.front + self.tail

    @property
    def front(self) -> str:
        """What comes before the question."""
        return "".join([self.head, *self.blocks])


@dataclass(frozen=True, kw_only=True)
class Asking:
    """How often every row is asked, and what becomes of the answers."""

    draws: int = 1
    """How often each row is asked, each time behind newly drawn demonstrations."""
    vote: Vote = "consistency"
    """Which of several answers is taken: the most frequent one, or the `medoid`, the one most like all others."""
    answer: str | None = None
    """A regular expression for what of a text is its answer, such as `"#### (.+)"`; by default the whole text."""
    query: str = QUERY
    """How the question itself is asked."""

    def __post_init__(self) -> None:
        check_at_least("draws", self.draws, 1)
        check_template("query", self.query, needs=("prompt",), refuses=("answer",))
        try:
            re.compile(self.answer or "")
        except re.error as error:
            raise ConfigError(f"`answer` is no regular expression: {error}.", found=repr(self.answer)) from error

    def ask(
        self,
        rows: Rows,
        prompts: Sequence[Sequence[Prompt]],
        model: LanguageModel,
        options: GenerateOptions,
        *,
        name: str,
        preset: Preset = "default",
    ) -> Refinement:
        """Lets the model answer, and votes.

        Args:
            rows: The rows, N of them.
            prompts: For every draw the N prompts.
            model: Who answers.
            options: How it generates. All samples of all draws vote.
            name: What to call the labels' supervisor.
            preset: `paper` tells a model that speaks chat in the system turn what comes before the question.
        """
        asked, dropped, bare = shortened([one for draw in prompts for one in draw], model, options.max_new_tokens)
        texts = [one.text for one in asked]
        if preset == "paper":
            answers = chat(model, [(one.front, one.tail) for one in asked], options)
        else:
            answers = model.generate(texts, options)
        drawn = [
            [without_leading_space(one) for draw in range(len(prompts)) for one in answers[draw * len(rows) + row]]
            for row in range(len(rows))
        ]
        chosen = [vote(each, self.vote, self.answer) for each in drawn]
        errors = {
            (row, name): refusal(model, text, NO_ANSWER)
            for row, text, (best, _) in zip(rows.ids, texts, chosen, strict=False)
            if not best
        }
        labels = TextLabels(rows.ids, (name,), tuple((best,) for best, _ in chosen), errors)
        return Refinement(labels, tuple(share for _, share in chosen), dropped=dropped, bare=bare)


def fitted(prompts: Sequence[Prompt], model: LanguageModel, new_tokens: int) -> tuple[list[str], int, int]:
    """The texts of prompts as `shortened` leaves them, and its counts."""
    short, dropped, bare = shortened(prompts, model, new_tokens)
    return [one.text for one in short], dropped, bare


def shortened(prompts: Sequence[Prompt], model: LanguageModel, new_tokens: int) -> tuple[list[Prompt], int, int]:
    """Prompts that the model's context has room for: where it has none, the first demonstrations are left out, whole.

    Args:
        prompts: The prompts.
        model: Who will read them; one that cannot tell what fits gets all of them whole.
        new_tokens: Room to leave for an answer.

    Returns:
        The prompts, how many demonstrations were left out, and how many prompts lost all of theirs. What is too long
        without any demonstration stays so: the model says what becomes of it.
    """
    short, dropped = list(prompts), 0
    waiting = [index for index, one in enumerate(short) if one.blocks]
    while waiting:
        room = fits(model, [short[index].text for index in waiting], new_tokens)
        waiting = [index for index, enough in zip(waiting, room, strict=True) if not enough and short[index].blocks]
        for index in waiting:
            short[index] = dataclasses.replace(short[index], blocks=short[index].blocks[1:])
        dropped += len(waiting)
    bare = sum(bool(before.blocks) and not after.blocks for before, after in zip(prompts, short, strict=True))
    return short, dropped, bare


def one_line(completions: Sequence[Completion]) -> str:
    r"""The first line of the first completion that says anything; empty where none does.

    Example:
        >>> one_line([Completion("\n Answer like a pirate. \nQuestion:", (), (), False)])
        'Answer like a pirate.'
    """
    lines = [line.strip() for one in completions[:1] for line in one.text.splitlines()]
    return next((line for line in lines if line), "")
