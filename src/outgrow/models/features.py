"""Classifiers on word counts: cheap weak supervisors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from outgrow.errors import ConfigError, DataError
from outgrow.models.protocols import Classifier

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline


@dataclass(frozen=True)
class Tfidf:
    """TF-IDF of words and word n-grams, then logistic regression (`features: tfidf`).

    Example:
        >>> classifier = Tfidf().fit(["good film", "bad film"], np.array([1, 0]), classes=2)
        >>> bool(classifier.predict_proba(["a good one"])[0, 1] > 0.5)
        True
    """

    ngrams: int = 2
    """Longest word n-gram."""
    min_count: int = 1
    """N-grams in fewer texts are dropped."""
    regularization: float = 10.0
    """Inverse strength C of the L2 penalty; 10 suits a thousand short texts better than scikit-learn's 1."""

    def __post_init__(self) -> None:
        if self.ngrams < 1 or self.min_count < 1 or self.regularization <= 0:
            raise ConfigError("A parameter of tfidf is out of range.", found=self, wanted="positive numbers")

    def fit(self, texts: Sequence[str], labels: NDArray[np.int64], classes: int, *, seed: int = 0) -> Classifier:
        """Train on texts and class indices of at least two classes."""
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline

        if len(np.unique(labels)) < 2:
            raise DataError(
                "A supervisor cannot be trained on one class only.",
                found=f"{len(labels)} gold rows, all of class {labels[0] if len(labels) else 'none'}",
                wanted="at least two classes among its gold rows",
                fix="Give it more rows, or check task.split and the gold column.",
            )
        pipeline = make_pipeline(
            TfidfVectorizer(ngram_range=(1, self.ngrams), min_df=self.min_count),
            LogisticRegression(C=self.regularization, max_iter=1000, random_state=seed),
        )
        try:
            pipeline.fit(texts, labels)
        except ValueError as error:
            raise DataError(
                f"The texts have no words to count: {error}",
                found=f"{len(texts)} texts such as {texts[0][:60]!r}",
                fix="Check the prompt column, or lower min_count.",
            ) from error
        return _Fitted(pipeline, classes)


@dataclass(frozen=True)
class _Fitted:
    pipeline: Pipeline
    classes: int

    def predict_proba(self, texts: Sequence[str]) -> NDArray[np.float64]:
        # A class that no training row had gets probability zero.
        probs = np.zeros((len(texts), self.classes))
        probs[:, self.pipeline.classes_] = self.pipeline.predict_proba(texts)
        return probs
