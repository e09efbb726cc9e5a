"""Refinement by in-context learning ([TL] = arXiv 2405.16236, Algorithm 1).

The strong model answers every unlabelled question again, behind a few *other* questions with their weak answers. From
those it takes the concept that all supervisors share. The content of its answer is its own, since the weak answer to
the question itself is not in the prompt.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from outgrow.labels import Rows, TextLabels
from outgrow.models.protocols import GenerateOptions, LanguageModel, chats
from outgrow.refine.refinement import weak_texts
from outgrow.refine.selection import Candidates, Select, similarity
from outgrow.refine.text_refiner import BLOCK, Block, Preset, Prompt, Prompts, TextRefiner, check_at_least
from outgrow.templates import check_template, fill


@dataclass(frozen=True)
class Demonstrations(TextRefiner):
    """Base of the refiners with demonstrations: how these are chosen and written."""

    demonstrations: int = 4
    """Weakly answered rows before each question."""
    select: Select = "random"
    """How they are chosen: at `random`; the most similar questions by `tfidf` or by the strong model's `embedding`; at
    random among the quarter with the highest mean token log-probability (`confidence`); or `stratified`: every
    supervisor's texts equally often in every prompt."""
    share: int = 1
    """Number of questions with the same demonstrations, drawn from outside of them; with 32, a model with a prefix
    cache reads demonstrations once for 32 questions. Chosen by similarity, similar questions share them."""
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
        check_at_least("share", self.share, 1)
        check_template("demonstration", self.demonstration, needs=("prompt", "answer"))

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
        texts = weak_texts(rows, labels)
        rng = np.random.default_rng(seed)
        alike = similarity(self.select, rows.prompts, model)
        turns = self._queries(rows, model) if chats(model) and self.preset == "default" else None
        shown_in = []
        for _ in range(self.draws):
            supervisors = [int(rng.integers(len(own))) if own else None for own in texts]
            answers = [own[place] if place is not None else "" for own, place in zip(texts, supervisors, strict=True)]
            candidates = Candidates(rows.prompts, supervisors, _confidence(labels), alike)
            pool = self.demonstrations * self.draws
            chosen = candidates.choose(self.select, self.demonstrations, rng, share=self.share, pool=pool)
            blocks: list[Block] = [
                fill(self.demonstration, {"prompt": prompt, "answer": answer})
                for prompt, answer in zip(rows.prompts, answers, strict=True)
            ]
            if turns is not None:
                blocks = list(zip(turns, answers, strict=True))
            shown_in.append([tuple(blocks[index] for index in shown) for shown in chosen])
        return shown_in


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


def _confidence(labels: TextLabels) -> NDArray[np.float64]:
    """The mean over supervisors of their best texts' mean token log-probability, shape (N,); NaN where unknown."""
    known = [[cell[0].score for cell in row if cell and cell[0].logprobs] for row in labels.texts]
    return np.array([np.mean(own) if own else np.nan for own in known], dtype=np.float64)
