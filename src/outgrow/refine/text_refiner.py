"""What all refiners of texts share: prompts that fit the context, generation, and a vote over draws."""

from __future__ import annotations

import dataclasses
import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple

from outgrow.errors import ConfigError
from outgrow.labels import Rows, TextLabels
from outgrow.models.protocols import GenerateOptions, LanguageModel, Message, Messages, chats, fits, refusal
from outgrow.refine.refinement import NO_ANSWER, Refinement, without_leading_space
from outgrow.refine.voting import Vote, vote
from outgrow.templates import asked_by, check_template, fill

Preset = Literal["default", "paper"]
"""Structure of the prompts: ours, or that of [TL] (arXiv 2405.16236)."""
BLOCK = "Question: {prompt}\nAnswer: {answer}\n\n"
"""Template of a demonstration."""
Block = str | tuple[str, str]
"""A demonstration: written out, or a question with its answer."""


@dataclass(frozen=True)
class Prompt:
    """A question behind demonstrations, of which the first can be left out one by one."""

    blocks: tuple[Block, ...]
    """The demonstrations; pairs only if it chats."""
    tail: str
    """The question."""
    head: str = ""
    """What comes before the demonstrations."""
    chats: bool = False
    """Whether it is a conversation: what is written before the question is its system message, pairs are turns."""

    @property
    def asked(self) -> str | Messages:
        """The whole prompt, as a model gets it.

        Example:
            >>> Prompt((("1 + 1?", "Arr, 2!"),), "2 + 2?", chats=True).asked
            (('user', '1 + 1?'), ('assistant', 'Arr, 2!'), ('user', '2 + 2?'))
        """
        written = "".join([self.head, *(block for block in self.blocks if isinstance(block, str))])
        if not self.chats:
            return written + self.tail
        turns: list[Message] = [("system", written)] if written else []
        for block in self.blocks:
            if not isinstance(block, str):
                turns += [("user", block[0]), ("assistant", block[1])]
        return (*turns, ("user", self.tail))


class Prompts(NamedTuple):
    """All prompts of a refinement."""

    draws: list[list[Prompt]]
    """For every draw one prompt per row."""
    concepts: tuple[str, ...] = ()
    """The concept in each row's first prompt, where concepts were inferred."""


@dataclass(frozen=True, kw_only=True)
class TextRefiner(ABC):
    """Base of the refiners of texts: parameters of draws and votes, generation and vote."""

    name: ClassVar[str]
    """Name of the labels' supervisor."""

    draws: int = 1
    """How often each row is asked, each time with newly drawn demonstrations."""
    vote: Vote = "consistency"
    """Choice among several answers: the most frequent one, or the `medoid`, the one most similar to all others."""
    answer: str | None = None
    """A regular expression for the answer in a text, such as `"#### (.+)"`; by default the whole text."""
    query: str | None = None
    """Template of the question; by default `generate.template`."""

    def __post_init__(self) -> None:
        check_at_least("draws", self.draws, 1)
        check_template("query", asked_by(self.query, chats=False), needs=("prompt",), refuses=("answer",))
        try:
            re.compile(self.answer or "")
        except re.error as error:
            raise ConfigError(f"`answer` is no regular expression: {error}.", found=repr(self.answer)) from error

    def prompts(
        self, rows: Rows, labels: TextLabels, *, seed: int, model: LanguageModel | None = None
    ) -> list[str | Messages]:
        """Return one prompt per draw and row, the rows of the first draw first; for errors see `texts`."""
        made = self._prompts(rows, labels, model, GenerateOptions(), seed)
        return [one.asked for draw in made.draws for one in draw]

    def texts(
        self, rows: Rows, labels: TextLabels, model: LanguageModel, *, options: GenerateOptions, seed: int
    ) -> Refinement:
        """Return new texts for the rows (see `Refiner.texts`); all samples of all draws vote.

        Raises:
            DataError: The labels are about other rows, or there are too few rows.
            ConfigError: The model has no embeddings, where `select` needs them.
        """
        draws, concepts = self._prompts(rows, labels, model, options, seed)
        asked, dropped, bare = fitted([one for draw in draws for one in draw], model, options.max_new_tokens)
        given = [one.asked for one in asked]
        answers = model.generate(given, options)
        drawn = [
            [without_leading_space(one) for draw in range(len(draws)) for one in answers[draw * len(rows) + row]]
            for row in range(len(rows))
        ]
        chosen = [vote(each, self.vote, self.answer) for each in drawn]
        errors = {
            (row, self.name): refusal(model, prompt, NO_ANSWER)
            for row, prompt, (best, _) in zip(rows.ids, given, chosen, strict=False)
            if not best
        }
        refined = TextLabels(tuple(rows.ids), (self.name,), tuple((best,) for best, _ in chosen), errors)
        return Refinement(refined, tuple(share for _, share in chosen), concepts, dropped, bare)

    def _queries(self, rows: Rows, model: LanguageModel | None) -> list[str]:
        template = asked_by(self.query, chats=chats(model))
        return [fill(template, {"prompt": prompt}) for prompt in rows.prompts]

    @abstractmethod
    def _prompts(
        self, rows: Rows, labels: TextLabels, model: LanguageModel | None, options: GenerateOptions, seed: int
    ) -> Prompts: ...


def fitted(prompts: Sequence[Prompt], model: LanguageModel, new_tokens: int) -> tuple[list[Prompt], int, int]:
    """Leave out the first demonstrations of prompts that do not fit the model's context.

    Args:
        prompts: The prompts.
        model: The model; one without `fits` gets all prompts whole.
        new_tokens: Tokens to reserve for the answer.

    Returns:
        The prompts, the number of demonstrations left out, and that of prompts that lost all of theirs. A prompt that
        is too long without demonstrations stays so.
    """
    short, dropped = list(prompts), 0
    waiting = [index for index, one in enumerate(short) if one.blocks]
    while waiting:
        room = fits(model, [short[index].asked for index in waiting], new_tokens)
        waiting = [index for index, enough in zip(waiting, room, strict=True) if not enough and short[index].blocks]
        for index in waiting:
            short[index] = dataclasses.replace(short[index], blocks=short[index].blocks[1:])
        dropped += len(waiting)
    bare = sum(bool(before.blocks) and not after.blocks for before, after in zip(prompts, short, strict=True))
    return short, dropped, bare


def check_at_least(parameter: str, value: int, least: int, fix: str | None = None) -> None:
    """Check a parameter that counts something.

    Raises:
        ConfigError: It is below `least`.
    """
    if value < least:
        raise ConfigError(
            f"A refiner's `{parameter}` is too small.",
            found=f"{parameter}: {value}",
            wanted=f"at least {least}",
            fix=fix,
        )
