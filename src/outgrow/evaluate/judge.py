"""A language model as judge: ratings of answers on a fixed scale, and the agreement of several judges.

Any object with `generate(prompts, options)` is a judge. Replies are parsed strictly: an unreadable reply is requested
once more, and a rating that is still missing then is counted, never guessed.
"""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from outgrow.errors import ConfigError, DataError, ModelError
from outgrow.evaluate.variance import mean_scores
from outgrow.evaluate.wording import Interval
from outgrow.labels import Completion
from outgrow.templates import check_template, fill

REPAIR = (
    "{prompt}{reply}\n\nThat reply has no rating in the form asked for. "
    "Write nothing but the rating, a number from {low} to {high} in double brackets: [[number]]\nRating:"
)
"""The second request, after a reply that cannot be read."""

REPAIR_SEVERAL = (
    "{prompt}{reply}\n\nThat reply has not the {of} ratings in the form asked for. "
    "Write nothing but the ratings, in the order asked for, each a number from {low} to {high} in double brackets: "
    "[[number]]\nRatings:"
)
"""The same where one reply has several ratings."""

RATED = "rated"
"""Metric: share of its scales on which an answer has a rating."""

_BRACKETS = re.compile(r"\[\[([^\[\]]*)\]\]")
_PLAIN_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


class JudgeModel(Protocol):
    """The part of `outgrow.models.protocols.LanguageModel` that a judge needs."""

    def generate(self, prompts: Sequence[str], options: Any) -> Sequence[Sequence[Completion]]:
        """Return a list of replies per prompt, in order: at most `options.n`, fewer where there was no reply."""


@dataclass(frozen=True)
class Rubric:
    """Prompt and scale of a judge; a ConfigError if the scale is empty or the template has no place for the answer.

    Example:
        >>> Rubric("From {low} to {high}, how polite is this: {answer}?", low=1, high=5).prompt({"answer": "{Hi}"})
        'From 1 to 5, how polite is this: {Hi}?'
    """

    template: str
    """The prompt; `{answer}` and further places are filled from the item, `{low}` and `{high}` from the scale."""
    low: int = 1
    """The worst rating."""
    high: int = 10
    """The best rating."""
    of: int = 1
    """Number of ratings in a reply, for rubrics that are asked for together."""
    place: int = 0
    """Which of them is this one's, from 0."""

    def __post_init__(self) -> None:
        if self.low >= self.high:
            raise ConfigError(
                "A rubric's scale is empty.", found=f"from {self.low} to {self.high}", wanted="low below high"
            )
        check_template("rubric", self.template, needs=("answer",))

    def prompt(self, item: Mapping[str, str]) -> str:
        """Return the prompt for one item; braces in its texts stay as they are."""
        return fill(self.template, {**item, "low": str(self.low), "high": str(self.high)})

    def read(self, reply: str) -> float | None:
        """Return the rating in a reply; None unless it is on the scale, in brackets, and the reply has no others.

        A single rating may be repeated. Of several there are exactly as many as were asked for.

        Example:
            >>> rubric = Rubric("{answer}")
            >>> rubric.read("Fluent, but wrong. Rating: [[3]]"), rubric.read("[[3]] or [[4]]"), rubric.read("[[11]]")
            (3.0, None, None)
        """
        found = [text.strip() for text in _BRACKETS.findall(reply)]
        found = [*dict.fromkeys(found)] if self.of == 1 else found
        if len(found) != self.of or not _PLAIN_NUMBER.fullmatch(number := found[self.place]):
            return None
        return float(number) if self.low <= float(number) <= self.high else None


@dataclass(frozen=True, eq=False)
class Ratings:
    """Ratings of N items by one judge, n samples each."""

    samples: NDArray[np.float64]
    """Ratings of shape (N, n); NaN where there was no reply, or none that could be read."""
    repaired: int = 0
    """Number of ratings that were readable only at the second request."""
    example: str | None = None
    """A first reply whose rating is missing for good, or None."""

    @property
    def unread(self) -> int:
        """Number of missing ratings."""
        return int(np.isnan(self.samples).sum())

    @property
    def counts(self) -> NDArray[np.int64]:
        """Number of ratings of each item, shape (N,)."""
        counts: NDArray[np.int64] = np.isfinite(self.samples).sum(axis=1)
        return counts

    @property
    def means(self) -> NDArray[np.float64]:
        """Mean rating of each item, shape (N,); NaN where there is none."""
        return _divided(np.nansum(self.samples, axis=1), self.counts)

    @property
    def standard_errors(self) -> NDArray[np.float64]:
        """Standard error of each mean, shape (N,): sample deviation (n − 1) over √n; NaN below two ratings."""
        squares = np.nansum((self.samples - self.means[:, None]) ** 2, axis=1)
        return np.sqrt(_divided(_divided(squares, self.counts - 1), self.counts))


def rate(model: JudgeModel, rubric: Rubric, items: Sequence[Mapping[str, str]], *, options: Any) -> Ratings:
    """Rate N items with a judge; every rating that cannot be read is requested once more.

    Args:
        model: The judge.
        rubric: Prompt and scale.
        items: The texts that fill the rubric's places, among them `answer`.
        options: A `GenerateOptions`, or another dataclass with the field `n`, the number of samples per item.

    Source:
        [TL] (arXiv 2405.16236), section 5: ratings in `[[n]]`, the mean of 10 samples at temperature 1. The second
        request is ours.

    Example:
        >>> from outgrow.models.protocols import GenerateOptions
        >>> from outgrow.models.scripted import ScriptedLanguageModel
        >>> judge = ScriptedLanguageModel(lambda prompt: " [[9]]" if "Paris" in prompt else " [[2]]")
        >>> items = [{"answer": "Paris"}, {"answer": "Rome"}]
        >>> rate(judge, Rubric("Capital of France? {answer}"), items, options=GenerateOptions()).means.tolist()
        [9.0, 2.0]
    """
    return rate_together(model, [rubric], items, options=options)[0]


def rate_together(
    model: JudgeModel, rubrics: Sequence[Rubric], items: Sequence[Mapping[str, str]], *, options: Any
) -> list[Ratings]:
    """Rate N items by rubrics with one prompt, each of which reads its own rating in every reply; see `rate`.

    Source:
        [TL]'s released code (github.com/UMich-FATML/w2s-refinement, `eval.py`): one reply with a rating of the content
        and one of the style. A reply with another number of ratings is left out there, and requested again here.

    Example:
        >>> from outgrow.models.protocols import GenerateOptions
        >>> from outgrow.models.scripted import ScriptedLanguageModel
        >>> judge = ScriptedLanguageModel(lambda prompt: "Content: [[9]] Style: [[2]]")
        >>> both = [Rubric("Content and style? {answer}", of=2, place=place) for place in (0, 1)]
        >>> [one.means.tolist() for one in rate_together(judge, both, [{"answer": "Yes."}], options=GenerateOptions())]
        [[9.0], [2.0]]
    """
    prompts = [rubrics[0].prompt(item) for item in items]
    samples = np.full((len(rubrics), len(prompts), options.n), np.nan)
    unread: list[tuple[int, int, str]] = []
    for row, replies in enumerate(_ask(model, prompts, options)):
        for place, reply in enumerate(replies):
            samples[:, row, place] = [_number(rubric.read(reply)) for rubric in rubrics]
            if np.isnan(samples[:, row, place]).any():
                unread.append((row, place, reply))
    about = {name: str(getattr(rubrics[0], name)) for name in ("low", "high", "of")}
    template = REPAIR if rubrics[0].of == 1 else REPAIR_SEVERAL
    again = [fill(template, {"prompt": prompts[row], "reply": reply, **about}) for row, _, reply in unread]
    repaired = np.zeros(len(rubrics), dtype=int)
    examples: list[str | None] = [None] * len(rubrics)
    for (row, place, first), replies in zip(unread, _ask(model, again, dataclasses.replace(options, n=1)), strict=True):
        for index, rubric in enumerate(rubrics):
            if np.isnan(samples[index, row, place]):
                rating = _number(rubric.read(replies[0]) if replies else None)
                samples[index, row, place] = rating
                repaired[index] += not np.isnan(rating)
                examples[index] = first if np.isnan(rating) and examples[index] is None else examples[index]
    return [Ratings(*own) for own in zip(samples, repaired.tolist(), examples, strict=True)]


def _number(rating: float | None) -> float:
    return np.nan if rating is None else rating


def _ask(model: JudgeModel, prompts: Sequence[str], options: Any) -> list[list[str]]:
    replies = [[one.text for one in said][: options.n] for said in model.generate(prompts, options)] if prompts else []
    if len(replies) != len(prompts):
        raise ModelError("A judge did not reply to every prompt.", found=f"{len(replies)} of {len(prompts)}")
    return replies


def _divided(over: NDArray[Any], under: NDArray[Any]) -> NDArray[np.float64]:
    quotients: NDArray[np.float64] = np.full(len(under), np.nan)
    np.divide(over, under, out=quotients, where=under > 0)
    return quotients


def preference_accuracy(margins: ArrayLike) -> NDArray[np.float64]:
    """Return 1 for each pair with a positive margin, ½ for a margin of zero, else 0; the mean is the accuracy.

    A margin, shape (N,), is the score of the better text minus that of the other: a difference of rewards, of ratings,
    or of log π − log ref (the implicit reward of Rafailov et al. 2023, arXiv 2305.18290).

    Example:
        >>> preference_accuracy([1.5, 0.0, -0.1]).tolist()
        [1.0, 0.5, 0.0]
    """
    found = np.asarray(margins, dtype=np.float64)
    if np.isnan(found).any():
        raise DataError("A margin is NaN.", found=f"{int(np.isnan(found).sum())} of {len(found)}")
    scores: NDArray[np.float64] = (1 + np.sign(found)) / 2
    return scores


@dataclass(frozen=True)
class JudgeAccuracy:
    """How a judge rated right and wrong answers to the same questions."""

    pairs: int
    """Number of questions with both ratings, N."""
    right: float
    """Mean rating of the right answers."""
    wrong: float
    """Mean rating of the wrong answers."""
    accuracy: float
    """Share of the pairs whose right answer is rated higher; ties count half, so a guess has ½."""
    interval: Interval | None
    """95 % interval of the accuracy; None for a single pair."""


def judge_accuracy(right: NDArray[np.float64], wrong: NDArray[np.float64]) -> JudgeAccuracy:
    """Measure how often a judge rates the right answer to a question above a wrong one, from two arrays (N,).

    Source:
        For pairs, the common-language effect size of McGraw and Wong 1992.

    Example:
        >>> found = judge_accuracy(np.array([9.0, 9.0, 8.0, 5.0]), np.array([2.0, 3.0, 1.0, 5.0]))
        >>> found.right, found.wrong, found.accuracy
        (7.75, 2.75, 0.875)
    """
    if right.shape != wrong.shape or right.ndim != 1 or not right.size:
        shapes = right.shape, wrong.shape
        raise DataError("Ratings of right and of wrong answers must be pairs.", found=shapes, wanted="(N,) twice")
    wins = preference_accuracy(right - wrong)
    accuracy = float(wins.mean())
    interval = mean_scores([wins[None]]).contrast([1]).interval(0.0, 1.0)
    return JudgeAccuracy(len(wins), float(right.mean()), float(wrong.mean()), accuracy, interval)


@dataclass(frozen=True, eq=False)
class Agreement:
    """Agreement of J judges on N items."""

    alpha: float
    """Krippendorff's α for interval data: 1 for full agreement, 0 for chance; NaN where all ratings are equal."""
    correlations: NDArray[np.float64]
    """Pearson's r of each two judges over the items that both rated, shape (J, J); NaN where one is constant."""
    differences: NDArray[np.float64]
    """Mean rating of the row's judge minus that of the column's, over the items that both rated, shape (J, J)."""


def agreement(ratings: NDArray[np.float64]) -> Agreement:
    """Measure the agreement of ratings of shape (J, N), with NaN for missing ones.

    Source:
        Krippendorff 2011, *Computing Krippendorff's alpha-reliability*, for squared differences.

    Example:
        >>> found = agreement(np.array([[1.0, 2.0, 3.0], [2.0, 3.0, 4.0]]))
        >>> round(found.alpha, 3), round(float(found.correlations[0, 1]), 3), float(found.differences[0, 1])
        (0.545, 1.0, -1.0)
    """
    both = np.isfinite(ratings)
    if len(ratings) < 2 or not (both.sum(axis=0) >= 2).any():
        raise DataError("There is no agreement to measure.", found=ratings.shape, wanted="items rated by two judges")
    judges = len(ratings)
    correlations, differences = np.ones((judges, judges)), np.zeros((judges, judges))
    for one, other in itertools.permutations(range(judges), 2):
        shared = both[one] & both[other]
        correlations[one, other] = _correlation(ratings[one, shared], ratings[other, shared])
        gaps = ratings[one, shared] - ratings[other, shared]
        differences[one, other] = gaps.mean() if gaps.size else np.nan
    return Agreement(_alpha(ratings), correlations, differences)


def _alpha(ratings: NDArray[np.float64]) -> float:
    pairable = ratings[:, np.isfinite(ratings).sum(axis=0) >= 2]
    counts = np.isfinite(pairable).sum(axis=0)
    # A sum of squared differences over ordered pairs is twice the count times the sum of squares about the mean.
    means = np.nanmean(pairable, axis=0)
    within = 2 * counts * np.nansum((pairable - means) ** 2, axis=0)
    values = pairable[np.isfinite(pairable)]
    total = len(values)
    observed = float((within / (counts - 1)).sum()) / total
    expected = 2 * total * float(((values - values.mean()) ** 2).sum()) / (total * (total - 1))
    return 1 - observed / expected if expected else float("nan")


def _correlation(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    if len(one) < 2 or not np.ptp(one) or not np.ptp(other):
        return float("nan")
    return float(np.corrcoef(one, other)[0, 1])
