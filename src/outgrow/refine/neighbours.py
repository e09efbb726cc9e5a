"""Refinement of choices by nearest neighbours in the strong model's features."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from outgrow.errors import ConfigError, DataError
from outgrow.labels import ChoiceTargets
from outgrow.refine.refinement import FeatureRefiner, check_features

_CHUNK = 1 << 24
"""Similarities at once: 64 MB."""


@dataclass(frozen=True)
class Neighbours(FeatureRefiner):
    """The mean of the targets of the k most similar other rows (`refine: neighbours`).

    Similarity is the cosine of centred features; without centring, states of language models are all similar. A row is
    not its own neighbour, nor are rows of weight zero; the others count by weight.

    Source:
        Ours, after k-nearest-neighbour denoising of labels in a network's feature space (Bahri, Jiang and Gupta 2020,
        arXiv 2004.12289, who drop the rows that disagree with their neighbours).

    Example:
        >>> features = np.array([[1, 0], [1, 0.1], [1, -0.1], [-1, 0], [-1, 0.1], [-1, -0.1]], dtype=np.float32)
        >>> wrong_on_the_first = np.eye(2)[[1, 0, 0, 1, 1, 1]]
        >>> targets = ChoiceTargets(tuple("abcdef"), wrong_on_the_first, np.ones(6))
        >>> Neighbours(k=2)(features, targets).probs[0].tolist()
        [1.0, 0.0]
    """

    k: int = 20
    """Number of neighbours."""

    def __post_init__(self) -> None:
        if self.k < 1:
            raise ConfigError("`k` of `refine: neighbours` is too small.", found=f"k: {self.k}", wanted="at least 1")

    def __call__(self, features: NDArray[np.float32], targets: ChoiceTargets, *, seed: int = 0) -> ChoiceTargets:
        """Return new targets from features (N, D); the seed has no effect. Time grows with N², memory with N.

        Raises:
            DataError: There are not more than k rows of positive weight, or the features are of other rows.
        """
        check_features(features, targets)
        teachers = np.flatnonzero(targets.weights > 0)
        if len(teachers) <= self.k:
            raise DataError(
                f"Too few rows for {self.k} neighbours each.",
                found=f"{len(teachers)} rows with a target",
                wanted=f"at least {self.k + 1}",
                fix="Lower `k` of `refine: neighbours`, or give more unlabelled rows.",
            )
        near = nearest(features, teachers, self.k)
        weights = targets.weights[near]
        probs = np.einsum("nj,njk->nk", weights / weights.sum(axis=1, keepdims=True), targets.probs[near])
        return ChoiceTargets(targets.ids, probs, targets.weights)


def nearest(features: NDArray[np.float32], teachers: NDArray[np.intp], k: int) -> NDArray[np.intp]:
    """Return for each row of features (N, D) the k most similar other rows among `teachers`, more than k; (N, k)."""
    import torch

    points = torch.nn.functional.normalize(torch.tensor(features - features.mean(axis=0)), dim=1)
    column = np.full(len(features), -1)
    column[teachers] = np.arange(len(teachers))
    pool = points[torch.tensor(teachers)].T
    found = []
    size = max(1, _CHUNK // len(teachers))
    for start in range(0, len(points), size):
        similar = points[start : start + size] @ pool
        own = column[start : start + size]
        itself = np.flatnonzero(own >= 0)
        similar[itself, own[itself]] = -torch.inf
        found.append(teachers[similar.topk(k, dim=1).indices.numpy()])
    return np.concatenate(found)
