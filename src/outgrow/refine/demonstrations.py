"""Demonstrations of a row: chosen, written out, and never the row's own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from outgrow.errors import ConfigError
from outgrow.labels import Rows, TextLabels
from outgrow.models.protocols import LanguageModel, embed
from outgrow.refine.asking import Asking
from outgrow.refine.refinement import weak_texts
from outgrow.refine.selection import confident, leave_one_out, most_similar, shared_blocks, stratified
from outgrow.refine.wording import BLOCK, check_at_least
from outgrow.templates import check_template, fill

Select = Literal["random", "tfidf", "embedding", "confidence", "stratified"]
"""How demonstrations are chosen."""


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
    keeps what it has read reads demonstrations once for 32 questions (`random` and `confidence` only)."""
    demonstration: str = BLOCK
    """How one of them is shown."""

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
        if self.share > 1 and self.select not in ("random", "confidence"):
            raise ConfigError(
                f"Demonstrations chosen for each question cannot be shared by {self.share} questions.",
                found=f"select: {self.select}, share: {self.share}",
                fix="Set `select` to random or confidence, or leave `share` out.",
            )

    def blocks(
        self, rows: Rows, labels: TextLabels, *, seed: int, model: LanguageModel | None = None
    ) -> list[list[tuple[str, ...]]]:
        """The demonstrations of every draw and row, written out.

        Each demonstration shows the text of one supervisor, drawn at random from those that wrote one. A row without
        any weak text is not shown, but has demonstrations like the others.

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
            spoken, usable = self._speakers(texts, rng), [bool(own) for own in texts]
            if self.select == "confidence":
                usable = confident(usable, _confidence(labels), self.demonstrations + self.share)
            chosen = self._chosen(rows.prompts, usable, spoken, similarity, rng)
            written.append([tuple(self._block(rows, texts, spoken, index, rng) for index in shown) for shown in chosen])
        return written

    def _speakers(self, texts: Sequence[Sequence[str]], rng: np.random.Generator) -> list[int | None]:
        """With `stratified`, which of its texts each row shows; else nothing is settled yet."""
        if self.select != "stratified":
            return [None] * len(texts)
        return [int(rng.integers(len(own))) if own else None for own in texts]

    def _chosen(
        self,
        prompts: Sequence[str],
        usable: Sequence[bool],
        spoken: Sequence[int | None],
        similarity: Callable[[int], NDArray[np.float64]] | None,
        rng: np.random.Generator,
    ) -> list[list[int]]:
        count = self.demonstrations
        if self.select == "stratified":
            return stratified(prompts, spoken, count, rng)
        if similarity is not None:
            near = most_similar(prompts, usable, count, similarity, pool=count * self.draws)
            return [[own[place] for place in sorted(rng.choice(len(own), count, replace=False))] for own in near]
        if self.share > 1:
            return shared_blocks(prompts, usable, count, self.share, rng)
        return leave_one_out(prompts, usable, count, rng)

    def _similarity(
        self, prompts: Sequence[str], model: LanguageModel | None
    ) -> Callable[[int], NDArray[np.float64]] | None:
        if self.select == "tfidf":
            return tfidf_similarity(prompts)
        if self.select != "embedding":
            return None
        if model is None:
            raise ConfigError("Demonstrations by embedding need the model that embeds.")
        points = embed(model, prompts)
        points = points - points.mean(axis=0)  # states of language models all point much the same way
        points /= np.maximum(np.linalg.norm(points, axis=1, keepdims=True), 1e-12)
        return lambda item: points @ points[item]

    def _block(
        self,
        rows: Rows,
        texts: Sequence[Sequence[str]],
        spoken: Sequence[int | None],
        index: int,
        rng: np.random.Generator,
    ) -> str:
        settled = spoken[index]
        place = int(rng.integers(len(texts[index]))) if settled is None else settled
        return fill(self.demonstration, {"prompt": rows.prompts[index], "answer": texts[index][place]})


def tfidf_similarity(prompts: Sequence[str]) -> Callable[[int], NDArray[np.float64]]:
    """The cosine of TF-IDF vectors over n-grams of 2 to 4 characters within words, which fits any script.

    Returns:
        From a position to the similarity of all N prompts to that one, shape (N,).

    Example:
        >>> tfidf_similarity(["a red bird", "two red birds", "an old stone"])(0).round(2).tolist()
        [1.0, 0.53, 0.06]
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    matrix = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4)).fit_transform(prompts)
    return lambda item: (matrix @ matrix[item].T).toarray()[:, 0]


def _confidence(labels: TextLabels) -> NDArray[np.float64]:
    """The mean over supervisors of their best texts' mean token log-probability, shape (N,); NaN where unknown."""
    known = [[cell[0].score for cell in row if cell and cell[0].logprobs] for row in labels.texts]
    return np.array([np.mean(own) if own else np.nan for own in known], dtype=np.float64)
