"""Weak reward models: supervisors of preference pairs, fitted to pairs whose better text is known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from outgrow.combine.combiner import ChoiceCombiner
from outgrow.errors import ConfigError, DataError
from outgrow.labels import ChoiceVotes, PreferencePairs

if TYPE_CHECKING:
    from outgrow.models.classifier import Encoder

Array = NDArray[np.float64]
Texts = Callable[[Sequence[str], Sequence[str]], Any]
"""Features of prompts and answers: a matrix (N, D), dense or sparse."""


class RewardModel(Protocol):
    """Whatever says how good an answer is."""

    @property
    def name(self) -> str:
        """A short name for tables."""

    def rewards(self, prompts: Sequence[str], answers: Sequence[str]) -> Array:
        """How good each answer is, shape (N,): P(a is better than b) = σ(reward of a − reward of b)."""


def fit_bradley_terry(chosen: Any, rejected: Any, *, regularization: float = 1.0) -> Array:
    """Weights w of shape (D,) of a linear reward: the most probable under P(chosen) = σ(w·(φ_c − φ_r)).

    Args:
        chosen: Features of the better texts, shape (N, D), dense or sparse.
        rejected: Features of the others, shape (N, D).
        regularization: Inverse strength C of the L2 penalty.

    Raises:
        DataError: There are fewer than two pairs.

    Source:
        Bradley & Terry 1952, with rewards linear in features.

    Example:
        >>> fit_bradley_terry(np.array([[1.0], [1.0], [0.0]]), np.array([[0.0], [0.0], [1.0]])).round(2).tolist()
        [0.29]
    """
    from sklearn.linear_model import LogisticRegression

    differences = chosen - rejected
    if differences.shape[0] < 2:
        raise DataError("A reward model needs two pairs at least.", found=differences.shape[0])
    # The likelihood of a pair is that of the pair turned round; a classifier wants to see both of its classes.
    labels = np.arange(differences.shape[0]) % 2
    signs = (2.0 * labels - 1.0)[:, None]
    signed = differences.multiply(signs).tocsr() if hasattr(differences, "tocsr") else differences * signs
    fitted = LogisticRegression(C=regularization, fit_intercept=False, max_iter=1000).fit(signed, labels)
    weights: Array = fitted.coef_[0]
    return weights


@dataclass(frozen=True)
class LinearReward:
    """A reward that is linear in features of prompt and answer."""

    name: str
    """A short name for tables."""
    features: Texts
    """Features of prompts and answers."""
    weights: Array
    """Shape (D,)."""

    @classmethod
    def fit(cls, name: str, features: Texts, pairs: PreferencePairs, *, regularization: float) -> LinearReward:
        """Fits the weights to pairs; see `fit_bradley_terry`."""
        chosen, rejected = features(pairs.prompts, pairs.chosen), features(pairs.prompts, pairs.rejected)
        return cls(name, features, fit_bradley_terry(chosen, rejected, regularization=regularization))

    def rewards(self, prompts: Sequence[str], answers: Sequence[str]) -> Array:
        """How good each answer is, shape (N,)."""
        found: Array = np.asarray(self.features(prompts, answers) @ self.weights, dtype=np.float64)
        return found


@dataclass(frozen=True)
class TfidfReward:
    """A linear reward on TF-IDF features of the answer alone; a weak judge that is trained in seconds.

    Example:
        >>> pairs = PreferencePairs(
        ...     ("a", "b"), ("Hi", "Ho"), ("be kind", "so kind"), ("be rude", "so rude"), (1.0,) * 2, (1.0,) * 2
        ... )
        >>> judge = TfidfReward(min_count=1).fit(pairs)
        >>> (reward_margins(judge, pairs) > 0).tolist()
        [True, True]
    """

    ngrams: int = 1
    """Longest n-gram, of words or of characters."""
    analyzer: Literal["word", "char_wb"] = "word"
    """What is counted: words, or characters within words."""
    min_count: int = 2
    """Leave out n-grams that occur in fewer texts."""
    regularization: float = 1.0
    """Inverse strength C of the L2 penalty."""

    def __post_init__(self) -> None:
        if self.ngrams < 1 or self.min_count < 1 or self.regularization <= 0:
            raise ConfigError("A parameter of the reward model is out of range.", found=self, wanted="positive numbers")

    def fit(self, pairs: PreferencePairs, *, name: str = "tfidf") -> LinearReward:
        """Trains on pairs whose better text is known.

        Raises:
            DataError: Too few pairs, or no words in them.
        """
        from sklearn.feature_extraction.text import TfidfVectorizer

        vectorizer = TfidfVectorizer(analyzer=self.analyzer, ngram_range=(1, self.ngrams), min_df=self.min_count)
        try:
            vectorizer.fit([*pairs.chosen, *pairs.rejected])
        except ValueError as error:
            raise DataError(
                f"The answers have no words to count: {error}", found=f"{len(pairs)} pairs", fix="Lower min_count."
            ) from error

        def features(prompts: Sequence[str], answers: Sequence[str]) -> Any:
            return vectorizer.transform(answers)

        return LinearReward.fit(name, features, pairs, regularization=self.regularization)


@dataclass(frozen=True)
class EncoderReward:
    """A linear reward on what a frozen pretrained network makes of prompt and answer together."""

    model: str
    """A folder or hub id."""
    max_length: int | None = 256
    """Cut texts to so many tokens."""
    batch_size: int = 32
    """Texts at once."""
    regularization: float = 1.0
    """Inverse strength C of the L2 penalty; features have spread one."""

    def fit(self, pairs: PreferencePairs, *, name: str = "encoder") -> LinearReward:
        """Trains on pairs whose better text is known.

        Raises:
            DataError: Too few pairs.
            ModelError: The model cannot be loaded.
        """
        from outgrow.models.classifier import Encoder, default_pooling
        from outgrow.models.loading import load_encoder

        network = load_encoder(self.model)
        encoder, pooling = Encoder.load(self.model, network, max_length=self.max_length), default_pooling(network)
        seen = self._embed(network, encoder, pooling, [p + a for p, a in zip(pairs.prompts, pairs.chosen, strict=True)])
        scale = np.maximum(seen.std(axis=0), 1e-6)

        def features(prompts: Sequence[str], answers: Sequence[str]) -> Any:
            texts = [prompt + answer for prompt, answer in zip(prompts, answers, strict=True)]
            return self._embed(network, encoder, pooling, texts) / scale

        return LinearReward.fit(name, features, pairs, regularization=self.regularization)

    def _embed(self, network: Any, encoder: Encoder, pooling: Any, texts: Sequence[str]) -> Array:
        from outgrow.models.classifier import by_length, embed

        found = by_length(
            lambda **batch: embed(network, batch, pooling), network, encoder, texts, batch_size=self.batch_size
        )
        return np.asarray(found.numpy(), dtype=np.float64)


def reward_margins(model: RewardModel, pairs: PreferencePairs) -> Array:
    """How much better a model finds the chosen text than the rejected one, shape (N,), in logits."""
    return model.rewards(pairs.prompts, pairs.chosen) - model.rewards(pairs.prompts, pairs.rejected)


def reward_votes(models: Sequence[RewardModel], pairs: PreferencePairs) -> ChoiceVotes:
    """What M reward models say of N pairs: P(chosen is better), P(rejected is better).

    Returns:
        Votes of shape (N, M, 2); rows are numbered.

    Raises:
        DataError: Two models share a name.
    """
    margins = np.stack([reward_margins(model, pairs) for model in models], axis=1)
    better = 1 / (1 + np.exp(-np.clip(margins, -500, 500)))
    ids = tuple(str(index) for index in range(len(pairs)))
    return ChoiceVotes(ids, tuple(model.name for model in models), np.stack([better, 1 - better], axis=2))


def judged_pairs(
    pairs: PreferencePairs,
    models: Sequence[RewardModel],
    combiner: ChoiceCombiner,
    *,
    seed: int = 0,
) -> PreferencePairs:
    """Pairs as an ensemble of reward models sees them, each with the probability that it is the right way round.

    Which text the pairs call chosen has no influence: they are shown to the models, and to the combiner, in an order
    drawn at random. (A combiner that learns how common each answer is would find the better text by its place.)

    Args:
        pairs: What to judge.
        models: Who judges.
        combiner: How votes become probabilities: any combiner of choice tasks.
        seed: Of the order in which texts are shown.

    Raises:
        DataError: See `reward_votes` and the combiner.
    """
    shown = pairs.turned(np.random.default_rng(seed).random(len(pairs)) < 0.5)
    targets = combiner.choices(reward_votes(models, shown))
    return shown.take([int(index) for index in targets.ids]).judged(targets.probs[:, 0])
