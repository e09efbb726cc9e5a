"""Refinement by in-context learning ([TL] = arXiv 2405.16236, Algorithm 1).

The strong model answers every unlabelled question again, behind a few *other* questions with their weak answers. From
those it takes the concept that all supervisors share. The content of its answer is its own, since the weak answer to
the question itself is not in the prompt.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from outgrow.errors import ConfigError
from outgrow.labels import Rows, TextLabels
from outgrow.models.protocols import GenerateOptions, LanguageModel, chats, logprobs
from outgrow.refine.refinement import Refinement, normal_questions, weak_texts
from outgrow.refine.selection import Candidates, Select, best, similarity
from outgrow.refine.text_refiner import BLOCK, Block, Preset, Prompt, Prompts, TextRefiner, check_at_least
from outgrow.templates import check_template, fill

READ_TOGETHER = 16
"""Rows behind the same random demonstrations when the strong model reads how plausible answers are."""
SETS = 32
"""By default rows share demonstrations only as far as so many different sets of them are left, so that what a bad set
does to its rows averages out."""


@dataclass(frozen=True)
class Demonstrations(TextRefiner):
    """Base of the refiners with demonstrations: how these are chosen and written."""

    demonstrations: int = 4
    """Weakly answered rows before each question."""
    select: Select = "random"
    """How they are chosen: at `random`; the most similar questions by `tfidf` or by the strong model's `embedding`; at
    random among the quarter with the highest mean token log-probability (`confidence`); or `stratified`: every
    supervisor's texts equally often in every prompt."""
    share: int | None = None
    """Number of questions with the same demonstrations, drawn from outside of them; with 32, a model with a prefix
    cache reads demonstrations once for 32 questions. Chosen by similarity, similar questions share them. None is 1 by
    similarity and with `preset: paper`, else as many as leave 32 different sets of demonstrations, at most 32."""
    plausible: float = 1.0
    """Share of the chosen demonstrations that is shown: those whose weak answers the strong model itself finds most
    probable. At 0.25 four times `demonstrations` are chosen, or as many as there are. Not for served models without
    log-probabilities."""
    rounds: int = 1
    """Times to refine; from the second on, refined answers are the demonstrations. What was left out of prompts is
    counted in the last round."""
    demonstration: str = BLOCK
    """Template of a demonstration in plain text; in a conversation it is a question and an answer of its own."""
    preset: Preset = field(default="default", kw_only=True)
    """`paper` puts demonstrations, written out, into the system message of a model that chats; other models read one
    text either way."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least(
            "demonstrations",
            self.demonstrations,
            1,
            "In-context refinement needs demonstrations: leave `refine` out to train on the weak texts as they are.",
        )
        check_at_least("share", self.shared(0), 1)
        check_at_least("rounds", self.rounds, 1)
        if not 0 < self.plausible <= 1:
            raise ConfigError(
                "A refiner's `plausible` is no share.",
                found=f"plausible: {self.plausible}",
                wanted="more than 0, at most 1",
            )
        check_template("demonstration", self.demonstration, needs=("prompt", "answer"))

    def shared(self, rows: int) -> int:
        """Return how many of so many questions have the same demonstrations.

        Example:
            >>> icl = ICL()
            >>> icl.shared(20), icl.shared(200), icl.shared(5000)
            (1, 6, 32)
        """
        if self.share is not None:
            return self.share
        alone = self.preset == "paper" or self.select in ("tfidf", "embedding")
        return 1 if alone else min(max(rows // SETS, 1), 32)

    def blocks(
        self, rows: Rows, labels: TextLabels, *, seed: int, model: LanguageModel | None = None
    ) -> list[list[tuple[Block, ...]]]:
        """Return the demonstrations of every draw and row; none has the weak answer to its own row.

        For a model that chats they are turns.

        In every draw each row is shown with the text of one of its supervisors, at random. A row without any weak text
        is not shown, but has demonstrations like the others.

        Raises:
            DataError: The labels are about other rows, or there are too few rows for that many demonstrations.
            ConfigError: The model has no embeddings.
        """
        texts, share = weak_texts(rows, labels), self.shared(len(rows))
        rng = np.random.default_rng(seed)
        alike = similarity(self.select, rows.prompts, model)
        turns = self._queries(rows, model) if chats(model) and self.preset == "default" else None
        shown_in = []
        for _ in range(self.draws):
            supervisors = [int(rng.integers(len(own))) if own else None for own in texts]
            answers = [own[place] if place is not None else "" for own, place in zip(texts, supervisors, strict=True)]
            candidates = Candidates(rows.prompts, supervisors, _confidence(labels), alike)
            blocks: list[Block] = [
                fill(self.demonstration, {"prompt": prompt, "answer": answer})
                for prompt, answer in zip(rows.prompts, answers, strict=True)
            ]
            if turns is not None:
                blocks = list(zip(turns, answers, strict=True))
            count, scores = self.demonstrations, None
            if self.plausible < 1:
                behind = _shown(blocks, candidates.choose("random", count, rng, share=READ_TOGETHER))
                scores = self._plausibility(rows, answers, behind, model)
                known = len({asked for asked, own in zip(normal_questions(rows.prompts), answers, strict=True) if own})
                count = max(count, min(round(count / self.plausible), known - share))
            chosen = candidates.choose(self.select, count, rng, share=share, pool=count * self.draws)
            if scores is not None:
                chosen = [best(own, scores, self.demonstrations) for own in chosen]
            shown_in.append(_shown(blocks, chosen))
        return shown_in

    def texts(
        self, rows: Rows, labels: TextLabels, model: LanguageModel, *, options: GenerateOptions, seed: int
    ) -> Refinement:
        """Return new texts for the rows, after all rounds; see `TextRefiner.texts`."""
        refined = super().texts(rows, labels, model, options=options, seed=seed)
        for further in range(1, self.rounds):
            anew = int(np.random.default_rng([seed, further]).integers(2**31))
            refined = super().texts(rows, refined.labels, model, options=options, seed=anew)
        return refined

    def _plausibility(
        self, rows: Rows, answers: Sequence[str], behind: Sequence[tuple[Block, ...]], model: LanguageModel | None
    ) -> NDArray[np.float64]:
        """Mean token log-probability of every answer under the strong model, shape (N,); −inf without one.

        It is read behind random demonstrations, after which the style is no surprise and what the answer says is.
        """
        if model is None:
            raise ConfigError("Plausible demonstrations need the strong model.")
        chat = chats(model)
        pairs = [
            (Prompt(blocks, query, chats=chat).asked, answer if chat else f" {answer}")
            for blocks, query, answer in zip(behind, self._queries(rows, model), answers, strict=True)
        ]
        written = [index for index, answer in enumerate(answers) if answer]
        scores = np.full(len(rows), -np.inf)
        for index, one in zip(written, logprobs(model, [pairs[i] for i in written], too_long="empty"), strict=True):
            if one.logprobs:
                scores[index] = one.score
        return scores


@dataclass(frozen=True)
class ICL(Demonstrations):
    """Refines texts by demonstrations (`refine: icl`).

    The batches and the leave-one-out rule are the paper's; so are four demonstrations, its choice for personas (three
    for explanation techniques), one draw, greedy answers, and with `preset: paper` demonstrations in the system
    message. Other ways to choose demonstrations, several draws and votes are ours.

    Example:
        >>> from outgrow.labels import Completion
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
        >>> icl.texts(rows, labels, strong, options=GenerateOptions(), seed=0).texts()
        ['Arr, 2!', 'Arr, 2!']
    """

    name: ClassVar[str] = "icl"

    def _prompts(
        self, rows: Rows, labels: TextLabels, model: LanguageModel | None, options: GenerateOptions, seed: int
    ) -> Prompts:
        queries = self._queries(rows, model)
        return Prompts(
            [
                [Prompt(blocks, query, chats=chats(model)) for blocks, query in zip(draw, queries, strict=True)]
                for draw in self.blocks(rows, labels, seed=seed, model=model)
            ]
        )


def _shown(blocks: Sequence[Block], chosen: Sequence[Sequence[int]]) -> list[tuple[Block, ...]]:
    return [tuple(blocks[index] for index in own) for own in chosen]


def _confidence(labels: TextLabels) -> NDArray[np.float64]:
    """The mean over supervisors of their best texts' mean token log-probability, shape (N,); NaN where unknown."""
    known = [[cell[0].score for cell in row if cell and cell[0].logprobs] for row in labels.texts]
    return np.array([np.mean(own) if own else np.nan for own in known], dtype=np.float64)
