"""In-context learning for choice tasks: a causal language model scores the choices behind weakly labelled rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from outgrow.errors import DataError
from outgrow.labels import ChoiceTargets, Rows
from outgrow.models.protocols import LanguageModel, Messages, chats, logprobs
from outgrow.refine.refinement import ChoiceRefinement, StrongReader
from outgrow.refine.selection import Candidates, Select, similarity
from outgrow.refine.text_refiner import BLOCK, Block, Prompt, check_at_least, fitted
from outgrow.templates import asked_by, check_template, fill

Array = NDArray[np.float64]


@dataclass(frozen=True)
class ChoiceICL:
    r"""The strong model's probability of each choice behind demonstrations of other rows (`refine: icl`).

    For every draw of demonstrations, the choices' log-probabilities are calibrated against the model's prior for the
    choices, and normalised. The mean of the draws is the new target; the draws are its votes.

    Source:
        Ours, after [TL] = arXiv 2405.16236, Algorithm 1. Calibration with content-free inputs: Zhao et al. 2021 (arXiv
        2102.09690), with the prior divided out (W = diag(p̂)⁻¹) and several such inputs averaged.

    Example:
        >>> from outgrow.models.scripted import ScriptedLanguageModel
        >>> rows = Rows(tuple("abc"), ("hot", "cold", "icy"), ("unlabelled",) * 3, (None,) * 3, ("warm", "chilly"))
        >>> weak = ChoiceTargets(rows.ids, np.eye(2)[[0, 1, 0]], np.ones(3))
        >>> knows = lambda prompt: " warm" if prompt.endswith("hot\nAnswer:") else " chilly"
        >>> refined = ChoiceICL(demonstrations=1, draws=1, share=1, content_free=()).refine(
        ...     rows, weak, ScriptedLanguageModel(knows), seed=0
        ... )
        >>> refined.targets.probs.argmax(axis=1).tolist()
        [0, 1, 1]
    """

    reads_text: ClassVar[bool] = True

    demonstrations: int = 8
    """Weakly labelled rows shown before each question."""
    select: Select = "stratified"
    """How they are chosen: at `random`; the most similar by `tfidf` or by the strong model's `embedding`; at random
    among the quarter with the most confident weak labels (`confidence`); or `stratified`: all choices equally often."""
    share: int = 32
    """Number of questions with the same demonstrations, drawn from outside of them."""
    draws: int = 4
    """Number of draws of demonstrations."""
    content_free: tuple[str, ...] = ("N/A", "[MASK]", "")
    """Content-free inputs that measure the model's prior behind the same demonstrations; with none there is no
    calibration, nor for a chat model behind a server, which only names its choice."""
    normalise: Literal["sum", "mean"] = "sum"
    """Score of a choice: the sum of its tokens' log-probabilities, or their mean."""
    demonstration: str = BLOCK
    """Template of a demonstration in plain text; `{answer}` is the name of its likeliest choice."""
    query: str | None = None
    """Template of the question; a space and the name of a choice follow."""

    def __post_init__(self) -> None:
        for name in ("demonstrations", "share", "draws"):
            check_at_least(name, getattr(self, name), 1)
        check_template("demonstration", self.demonstration, needs=("prompt", "answer"))
        check_template("query", asked_by(self.query, chats=False), needs=("prompt",), refuses=("answer",))

    def choices(self, rows: Rows, targets: ChoiceTargets, strong: StrongReader, *, seed: int) -> ChoiceRefinement:
        """Return new targets, a vote per draw; see `refine` and `Refiner.choices`."""
        return self.refine(rows, targets, strong.model, seed=seed)

    def refine(self, rows: Rows, targets: ChoiceTargets, model: LanguageModel, *, seed: int) -> ChoiceRefinement:
        """Return new targets with the same weights and a vote per draw.

        Raises:
            DataError: The rows are others, or too few.
            ConfigError: The model has no embeddings, where `select` needs them.
        """
        if rows.ids != targets.ids or rows.choices is None:
            raise DataError("The targets are not about the rows to be refined.", found=f"{len(rows)} rows")
        rng = np.random.default_rng(seed)
        candidates = self._candidates(rows, targets, model)
        votes, dropped = [], 0
        for _ in range(self.draws):
            vote, short = self._vote(rows, self._blocks(rows, candidates, rng, chats(model)), model)
            votes.append(vote)
            dropped += short
        every = np.stack(votes, axis=1)
        read = ~np.isnan(every).any(axis=(1, 2))
        kept = targets.take(np.flatnonzero(read))
        lambdas = np.full(self.draws, 1 / self.draws)
        refined = ChoiceTargets(kept.ids, every[read].mean(axis=1), kept.weights, every[read], lambdas)
        return ChoiceRefinement(refined, dropped, int((~read).sum()))

    def base(self, rows: Rows, model: LanguageModel) -> Array:
        """Return the model's distributions without demonstrations, shape (N, K); NaN where a row is too long.

        Raises:
            DataError: The rows have no choices.
        """
        if rows.choices is None:
            raise DataError("Rows without choices cannot be scored.", found=f"{len(rows)} rows")
        return self._vote(rows, [()] * len(rows), model)[0]

    def ask(self, rows: Rows, shown: Sequence[bool], model: LanguageModel, *, seed: int) -> Array:
        """Return the model's distributions behind demonstrations with gold answers; the mean of the draws.

        Args:
            rows: The rows that may be demonstrations, which have gold answers, and those to be answered.
            shown: For each row, whether it may be a demonstration rather than be answered.
            model: The model.
            seed: Seed of the draws.

        Returns:
            Shape (N, K), the N rows that are not shown; NaN where a row is too long. Demonstrations for which the
            context has no room are left out.

        Raises:
            DataError: There are too few demonstrations.
            ConfigError: The model has no embeddings, where `select` needs them.
        """
        strata = [gold if own and isinstance(gold, int) else None for gold, own in zip(rows.gold, shown, strict=True)]
        alike = similarity(self.select, rows.prompts, model)
        others = [index for index, own in enumerate(shown) if not own]
        candidates = Candidates(rows.prompts, strata, np.ones(len(rows)), alike, others)
        rng, asked = np.random.default_rng(seed), rows.take(others)
        votes = [
            self._vote(asked, self._blocks(rows, candidates, rng, chats(model)), model)[0] for _ in range(self.draws)
        ]
        mean: Array = np.mean(votes, axis=0)
        return mean

    def _candidates(self, rows: Rows, targets: ChoiceTargets, model: LanguageModel) -> Candidates:
        labels = targets.probs.argmax(axis=1)
        strata = [int(label) if weight > 0 else None for label, weight in zip(labels, targets.weights, strict=True)]
        alike = similarity(self.select, rows.prompts, model)
        return Candidates(rows.prompts, strata, targets.probs.max(axis=1), alike)

    def _blocks(
        self, rows: Rows, candidates: Candidates, rng: np.random.Generator, turns: bool
    ) -> list[tuple[Block, ...]]:
        share = 1 if candidates.similarity is not None else self.share
        pool = self.demonstrations * self.draws
        chosen = candidates.choose(self.select, self.demonstrations, rng, share=share, pool=pool)
        names = ["" if label is None else rows.choices_of(row)[label] for row, label in enumerate(candidates.strata)]
        shown: list[Block] = [
            (self._query(prompt, turns), name)
            if turns
            else fill(self.demonstration, {"prompt": prompt, "answer": name})
            for prompt, name in zip(rows.prompts, names, strict=True)
        ]
        return [tuple(shown[index] for index in own) for own in chosen]

    def _vote(self, rows: Rows, blocks: Sequence[tuple[Block, ...]], model: LanguageModel) -> tuple[Array, int]:
        """Distributions (N, K) behind each row's demonstrations, and the number of these left out."""
        prompts = [self._prompt(own, one, model) for own, one in zip(blocks, rows.prompts, strict=True)]
        asked, dropped, _ = fitted(prompts, model, _room(rows))
        return self._calibrated([one.asked for one in asked], blocks, rows, model), dropped

    def _prompt(self, blocks: tuple[Block, ...], prompt: str, model: LanguageModel) -> Prompt:
        return Prompt(blocks, self._query(prompt, chats(model)), chats=chats(model))

    def _query(self, prompt: str, turns: bool) -> str:
        return fill(asked_by(self.query, chats=turns), {"prompt": prompt})

    def _calibrated(
        self, asked: Sequence[str | Messages], blocks: Sequence[tuple[Block, ...]], rows: Rows, model: LanguageModel
    ) -> Array:
        from scipy.special import softmax

        choices = [rows.choices_of(row) for row in range(len(rows))]
        scores = choice_scores(model, asked, choices, mean=self.normalise == "mean")
        if self.content_free and not hasattr(model, "choose"):
            behind = list(zip(blocks, choices, strict=True))
            distinct = list(dict.fromkeys(behind))
            empty = [self._prompt(own, text, model) for own, _ in distinct for text in self.content_free]
            prompts, _, _ = fitted(empty, model, _room(rows))
            texts = [one.asked for one in prompts]
            each = [own for _, own in distinct for _ in self.content_free]
            free = softmax(choice_scores(model, texts, each, mean=self.normalise == "mean"), axis=-1)
            priors = free.reshape(len(distinct), len(self.content_free), scores.shape[1]).mean(axis=1)
            place = {own: index for index, own in enumerate(distinct)}
            scores = scores - np.log(priors[[place[own] for own in behind]])
        distributions: Array = softmax(scores, axis=-1)
        return distributions


def choice_scores(
    model: LanguageModel, prompts: Sequence[str | Messages], choices: Sequence[Sequence[str]], *, mean: bool = False
) -> Array:
    """Return the log-probability of each of a row's K choices after its prompt and a space; NaN if too long.

    `choices` holds those of each of N rows; the result has the shape (N, K). A model with a method `choose` returns it
    itself.
    """
    if hasattr(model, "choose"):
        return np.asarray(model.choose(prompts, choices), dtype=np.float64)
    pairs = [(prompt, f" {choice}") for prompt, own in zip(prompts, choices, strict=True) for choice in own]
    scored = logprobs(model, pairs, too_long="empty")
    values = [np.nan if not one.logprobs else sum(one.logprobs) / (len(one.logprobs) if mean else 1) for one in scored]
    return np.array(values, dtype=np.float64).reshape(len(prompts), len(choices[0]) if choices else 0)


def _room(rows: Rows) -> int:
    """Most tokens of a choice's name: a token is at least a byte."""
    every = rows.choices or ("",) if rows.options is None else [choice for own in rows.options for choice in own]
    return max(len(choice.encode()) for choice in every) + 1
