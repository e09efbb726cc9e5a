"""Demonstrations of a row: chosen, written out, and never the row's own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from outgrow.errors import ConfigError
from outgrow.labels import Rows, TextLabels
from outgrow.models.protocols import LanguageModel, embed
from outgrow.refine.asking import Asking
from outgrow.refine.refinement import weak_texts
from outgrow.refine.selection import Candidates, Select, cosine_similarity, tfidf_similarity
from outgrow.refine.wording import BLOCK, Preset, check_at_least
from outgrow.templates import check_template, fill


@dataclass(frozen=True)
class Demonstrating(Asking):
    """What refiners with demonstrations have in common: which ones, and what they look like."""

    demonstrations: int = 4
    """Weakly answered rows shown before each question."""
    select: Select = "random"
    """Which ones: at `random`; the most similar questions by `tfidf` or by the strong model's `embedding`; at random
    among the quarter that supervisors are surest of (`confidence`, the mean token log-probability); or `stratified`:
    every supervisor's texts equally often in every prompt."""
    share: int = 1
    """How many questions are asked behind the same demonstrations, drawn from outside of them; with 32 a model that
    keeps what it has read reads demonstrations once for 32 questions (not where they are chosen for each question)."""
    demonstration: str = BLOCK
    """How one of them is shown."""
    preset: Preset = field(default="default", kw_only=True)
    """`paper` shows demonstrations in the system turn of a chat, and asks the question in the user's; a model that
    speaks no chat reads one text either way."""

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
        if self.share > 1 and self.select in ("tfidf", "embedding"):
            raise ConfigError(
                f"Demonstrations chosen for each question cannot be shared by {self.share} questions.",
                found=f"select: {self.select}, share: {self.share}",
                fix="Leave `share` out, or choose at random, by confidence or stratified.",
            )

    def blocks(
        self, rows: Rows, labels: TextLabels, *, seed: int, model: LanguageModel | None = None
    ) -> list[list[tuple[str, ...]]]:
        """The demonstrations of every draw and row, written out.

        For every draw each row speaks with the text of one supervisor, at random among those that wrote one. A row
        without any weak text is not shown, but has demonstrations like the others.

        Args:
            rows: The rows to label, N of them.
            labels: What the supervisors wrote for them.
            seed: Seed of all draws.
            model: Whose embeddings say what is similar, where `select` asks for that.

        Returns:
            For every draw and row its `demonstrations` blocks; none has the weak answer to its own row.

        Raises:
            DataError: The labels are about other rows, or there are too few rows for that many demonstrations.
            ConfigError: The model has no embeddings.
        """
        texts = weak_texts(rows, labels)
        rng = np.random.default_rng(seed)
        similarity = self._similarity(rows.prompts, model)
        written = []
        for _ in range(self.draws):
            speakers = [int(rng.integers(len(own))) if own else None for own in texts]
            answers = [own[place] if place is not None else "" for own, place in zip(texts, speakers, strict=True)]
            candidates = Candidates(rows.prompts, speakers, _confidence(labels), similarity)
            pool = self.demonstrations * self.draws
            chosen = candidates.choose(self.select, self.demonstrations, rng, share=self.share, pool=pool)
            blocks = [self._block(*pair) for pair in zip(rows.prompts, answers, strict=True)]
            written.append([tuple(blocks[index] for index in shown) for shown in chosen])
        return written

    def _similarity(
        self, prompts: Sequence[str], model: LanguageModel | None
    ) -> Callable[[int], NDArray[np.float64]] | None:
        if self.select == "tfidf":
            return tfidf_similarity(prompts)
        if self.select != "embedding":
            return None
        if model is None:
            raise ConfigError("Demonstrations by embedding need the model that embeds.")
        return cosine_similarity(embed(model, prompts))

    def _block(self, prompt: str, answer: str) -> str:
        return fill(self.demonstration, {"prompt": prompt, "answer": answer})


def _confidence(labels: TextLabels) -> NDArray[np.float64]:
    """The mean over supervisors of their best texts' mean token log-probability, shape (N,); NaN where unknown."""
    known = [[cell[0].score for cell in row if cell and cell[0].logprobs] for row in labels.texts]
    return np.array([np.mean(own) if own else np.nan for own in known], dtype=np.float64)
