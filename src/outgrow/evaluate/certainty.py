"""How sure a model was of each of its answers, and how right: what calibration is measured on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import ArrayLike, NDArray

from outgrow.errors import DataError
from outgrow.evaluate.accuracy import choice_scores
from outgrow.evaluate.calibration import brier_scores, confidences, negative_log_likelihoods


@dataclass(frozen=True, eq=False)
class Certainty:
    """One model's certainty on the test part; every array is shaped (seeds, examples).

    Example:
        >>> probs, gold = np.array([[0.9, 0.1], [0.4, 0.6]]), np.array([0, 0])
        >>> certainty = Certainty.stack([Certainty.of_choices(probs, gold)] * 3)
        >>> certainty.confidence.shape, certainty.correct[0].tolist()
        ((3, 2), [1.0, 0.0])
    """

    confidence: NDArray[np.float64]
    """Probability given to the answer."""
    correct: NDArray[np.float64]
    """1 where the answer is right, 0 where not, between the two where a fair coin breaks a tie."""
    brier: NDArray[np.float64]
    """Brier score, in [0, 2]."""
    nll: NDArray[np.float64]
    """Negative log-likelihood of the right answer, in nats."""
    vacuity: NDArray[np.float64] | None = None
    """How little evidence there was for any answer, from 1 for none towards 0; None unless the model says it."""

    def __post_init__(self) -> None:
        shapes = {name: array.shape for name, array in self.arrays().items()}
        if len(set(shapes.values())) > 1 or len(self.confidence.shape) != 2:
            raise DataError("Certainties do not fit together.", found=shapes, wanted="(seeds, examples) for all")

    def arrays(self) -> dict[str, NDArray[np.float64]]:
        """Whatever is there, by name."""
        found = {each.name: getattr(self, each.name) for each in fields(self)}
        return {name: array for name, array in found.items() if array is not None}

    @classmethod
    def of_choices(cls, probs: ArrayLike, gold: ArrayLike, vacuity: ArrayLike | None = None) -> Certainty:
        """One run on a choice task; an abstention is a uniform guess.

        Args:
            probs: Probabilities of shape (N, K); an abstention is K NaNs.
            gold: Index of the right choice, shape (N,).
            vacuity: Of each row, shape (N,).

        Raises:
            DataError: Shapes do not fit, or rows are not distributions.
        """
        return cls(
            confidences(probs, gold)[None],
            choice_scores(probs, gold)[None],
            brier_scores(probs, gold)[None],
            negative_log_likelihoods(probs, gold)[None],
            None if vacuity is None else np.asarray(vacuity, dtype=np.float64)[None],
        )

    @classmethod
    def stack(cls, runs: Sequence[Certainty]) -> Certainty:
        """Several seeds as one record.

        Raises:
            DataError: Runs on other examples, or some with vacuity and some without.
        """
        found = [run.arrays() for run in runs]
        if len({(*each, *(array.shape[1] for array in each.values())) for each in found}) != 1:
            raise DataError("Certainties of several runs do not fit together.", wanted="the same examples and fields")
        return cls(**{name: np.concatenate([each[name] for each in found]) for name in found[0]})
