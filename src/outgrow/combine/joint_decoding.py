"""Joint decoding: of all texts that supervisors wrote for a prompt, the one that all together find most probable."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from outgrow.combine.combiner import CombinedTexts, Combiner
from outgrow.combine.mean import Mean
from outgrow.combine.texts import Per, Scale, Target, joint_scores, score_matrices, standardised, text_targets
from outgrow.combine.weights import score_weights
from outgrow.labels import ChoiceTargets, ChoiceVotes, Opinion, TextLabels, with_leading_space

_LEAST = 1e-6
"""Probabilities are clipped here before logarithms are averaged, so that one supervisor alone cannot veto a choice."""


@dataclass(frozen=True)
class JointDecoding(Combiner):
    """What all supervisors together find most probable (`combine: joint_decoding`).

    Text tasks: all n-best texts of a row are pooled, every supervisor scores each by its mean token log-probability
    (or per character), and the candidate with the highest λ-weighted mean is the row's one target. Choice tasks, where
    all choices are candidates: the λ-weighted mean of the supervisors' probabilities.

    Source:
        Cui et al. 2025 (arXiv 2406.03199), joint decoding.

    Example:
        >>> votes = ChoiceVotes(("a",), ("x", "y"), np.array([[[0.2, 0.8], [0.8, 0.2]]]))
        >>> JointDecoding(pooling="log").choices(votes).probs.tolist()
        [[0.5, 0.5]]
    """

    weights: dict[str, float] | Literal["uniform", "estimated"] | None = None
    """λ by supervisor, `uniform` (the default), or `estimated` from agreement, which needs no gold."""
    pooling: Literal["linear", "log"] = "linear"
    """Choice tasks: the arithmetic mean of the probabilities, or the geometric one."""
    scores: Per = "token"
    """Text tasks: log-probability per token of each supervisor's own, or per character, which compares supervisors with
    different tokenizers."""
    scale: Scale = "none"
    """Text tasks: `standardise` brings the supervisors' scores to one spread within rows, so that none has more say
    because its probabilities differ more."""

    @property
    def needs_scores(self) -> bool:
        """Always: every supervisor scores every candidate."""
        return True

    def check_texts(self, supervisors: Sequence[str]) -> None:
        """Refuse given weights that do not fit the supervisors."""
        if self.weights != "estimated":
            score_weights(self.weights, supervisors, ())

    def choices(self, votes: ChoiceVotes, gold: NDArray[np.int64] | None = None) -> ChoiceTargets:
        """Return targets for the rows with a usable vote; see `ChoiceCombiner`."""
        mean = Mean(weights=self.weights)
        weights = mean.lambdas(votes.supervisors, votes, gold)
        linear = mean.weighted(votes, weights)
        if self.pooling == "linear":
            return linear
        kept = set(linear.ids)
        rows = [index for index, row in enumerate(votes.ids) if row in kept]
        logs = np.log(np.maximum(votes.probs[rows], _LEAST))
        total = np.stack([joint_scores(row.T, weights) for row in logs])
        probs = np.exp(total - total.max(axis=1, keepdims=True))
        return ChoiceTargets(linear.ids, probs / probs.sum(axis=1, keepdims=True), linear.weights)

    def texts(self, labels: TextLabels, prompts: Sequence[str], scored: Callable[[], TextLabels]) -> CombinedTexts:
        """Return the best candidate of each row, with λ; see `TextCombiner`."""
        judged = scored()
        matrices = self.comparable(score_matrices(judged, self.scores))
        lambdas = score_weights(self.weights, judged.supervisors, matrices)
        targets = []
        for row, row_id in enumerate(labels.ids):
            chosen = self.choose(matrices[row], lambdas)
            if chosen is None:
                continue
            cells = [cell[chosen] for cell in judged.texts[row]]
            opinions = tuple(Opinion(float(own), one) for own, one in zip(lambdas, cells, strict=True) if own > 0)
            text = cells[0].text
            wrote = [
                name
                for name, cell in zip(labels.supervisors, labels.texts[row], strict=True)
                if any(with_leading_space(one).text == text for one in cell)
            ]
            targets.append(Target(row_id, prompts[row], text, 1.0, "+".join(wrote), opinions))
        return CombinedTexts(text_targets(targets, len(labels.ids)), lambdas)

    def comparable(self, scores: Sequence[ArrayLike]) -> list[NDArray[np.float64]]:
        """Return the scores that are averaged: as they are, or `standardised`; one array (C, M) per row."""
        arrays = [np.asarray(each, dtype=np.float64) for each in scores]
        return standardised(arrays) if self.scale == "standardise" else arrays

    def choose(self, scores: ArrayLike, weights: ArrayLike) -> int | None:
        """Return the place of the best candidate by scores (C, M) and λ (M,); None if no supervisor could read any."""
        joint = joint_scores(scores, weights)
        return None if np.isnan(joint).all() else int(np.nanargmax(joint))
