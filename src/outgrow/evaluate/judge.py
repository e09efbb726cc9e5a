"""A language model as judge: its ratings of answers on a fixed scale.

Nothing here knows what the model is: anything with `generate(prompts, options)` will do, local, served or scripted, and
whoever wants its replies kept passes one that keeps them. What a judge says is read strictly: a reply that cannot be
read is asked for once more, and what is then still unreadable is counted, never guessed.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from outgrow.errors import ConfigError, ModelError
from outgrow.templates import check_template, fill

REPAIR = (
    "{prompt}{reply}\n\nThat reply has no rating in the form asked for. "
    "Write nothing but the rating, a number from {low} to {high} in double brackets: [[number]]\nRating:"
)
"""How a judge is asked again after a reply that cannot be read."""

RATED = "rated"
"""Name of the metric that says on how many of its scales an answer has a rating."""

_BRACKETS = re.compile(r"\[\[([^\[\]]*)\]\]")
_PLAIN_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


class Reply(Protocol):
    """What a judge said."""

    @property
    def text(self) -> str:
        """The reply, without the prompt."""


class JudgeModel(Protocol):
    """Whatever replies to prompts; every `outgrow.models.protocols.LanguageModel` does."""

    def generate(self, prompts: Sequence[str], options: Any) -> Sequence[Sequence[Reply]]:
        """One list of replies per prompt, in order: at most `options.n`, fewer where there was no reply."""


@dataclass(frozen=True)
class Rubric:
    """What a judge is asked, and the scale of its answer.

    Raises:
        ConfigError: The scale is empty, or the template has no place for the answer.

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

    def __post_init__(self) -> None:
        if self.low >= self.high:
            raise ConfigError(
                "A rubric's scale is empty.", found=f"from {self.low} to {self.high}", wanted="low below high"
            )
        check_template("rubric", self.template, needs=("answer",))

    def prompt(self, item: Mapping[str, str]) -> str:
        """The prompt for one item; braces in its texts stay as they are."""
        return fill(self.template, {**item, "low": str(self.low), "high": str(self.high)})

    def read(self, reply: str) -> float | None:
        """The rating in a reply; None unless there is exactly one, on the scale, in double brackets.

        Saying the same rating twice is saying it once; two different ones are none.

        Example:
            >>> rubric = Rubric("{answer}")
            >>> rubric.read("Fluent, but wrong. Rating: [[3]]"), rubric.read("[[3]] or [[4]]"), rubric.read("[[11]]")
            (3.0, None, None)
        """
        said = {text.strip() for text in _BRACKETS.findall(reply)}
        if len(said) != 1:
            return None
        [number] = said
        value = float(number) if _PLAIN_NUMBER.fullmatch(number) else None
        return value if value is not None and self.low <= value <= self.high else None


@dataclass(frozen=True, eq=False)
class Ratings:
    """What a judge said of N items, n times each."""

    samples: NDArray[np.float64]
    """Ratings of shape (N, n); NaN where there was no reply, or none that could be read."""
    repaired: int = 0
    """Ratings that were read only after asking again."""
    example: str | None = None
    """A reply that could not be read even then, or None."""

    @property
    def unread(self) -> int:
        """Ratings that are missing."""
        return int(np.isnan(self.samples).sum())

    @property
    def counts(self) -> NDArray[np.int64]:
        """Ratings of each item, shape (N,)."""
        counts: NDArray[np.int64] = np.isfinite(self.samples).sum(axis=1)
        return counts

    @property
    def means(self) -> NDArray[np.float64]:
        """Mean rating of each item, shape (N,); NaN where there is none."""
        return _divided(np.nansum(self.samples, axis=1), self.counts)

    @property
    def standard_errors(self) -> NDArray[np.float64]:
        """Standard error of each mean, shape (N,): deviation (n − 1) over √n; NaN below two ratings.

        Example:
            >>> Ratings(np.array([[4.0, 6.0, np.nan], [5.0, np.nan, np.nan]])).standard_errors.tolist()
            [1.0, nan]
        """
        squares = np.nansum((self.samples - self.means[:, None]) ** 2, axis=1)
        return np.sqrt(_divided(_divided(squares, self.counts - 1), self.counts))


def rate(model: JudgeModel, rubric: Rubric, items: Sequence[Mapping[str, str]], *, options: Any) -> Ratings:
    """Lets a judge rate items, and asks once more for every rating that cannot be read.

    Args:
        model: The judge.
        rubric: What it is asked.
        items: The texts that fill the rubric's places, N of them, among them `answer`.
        options: How it generates, a `GenerateOptions` or anything like it: a dataclass with the field `n`, the number
            of samples per item. [TL] averages 10 at temperature 1.

    Raises:
        ModelError: The model gives another number of lists than there were prompts.

    Source:
        [TL] (arXiv 2405.16236), section 5: two ratings in `[[n]]`, samples averaged. The repair round is ours.

    Example:
        >>> from outgrow.models.protocols import GenerateOptions
        >>> from outgrow.models.scripted import ScriptedLanguageModel
        >>> judge = ScriptedLanguageModel(lambda prompt: " [[9]]" if "Paris" in prompt else " [[2]]")
        >>> items = [{"answer": "Paris"}, {"answer": "Rome"}]
        >>> rate(judge, Rubric("Capital of France? {answer}"), items, options=GenerateOptions()).means.tolist()
        [9.0, 2.0]
    """

    def again(prompt: str, reply: str) -> str:
        return fill(REPAIR, {"prompt": prompt, "reply": reply, "low": str(rubric.low), "high": str(rubric.high)})

    return Ratings(*read_replies(model, [rubric.prompt(item) for item in items], rubric.read, again, options))


class Reading(NamedTuple):
    """Numbers read from a judge's replies."""

    values: NDArray[np.float64]
    """One per prompt and sample, shape (N, n); NaN where there was no reply, or none that could be read."""
    repaired: int
    """How many were read only after asking again."""
    example: str | None
    """A reply that could not be read even then, or None."""


def read_replies(
    model: JudgeModel,
    prompts: Sequence[str],
    read: Callable[[str], float | None],
    again: Callable[[str, str], str],
    options: Any,
) -> Reading:
    """Asks a judge, and asks once more for every reply that cannot be read.

    Args:
        model: The judge.
        prompts: What it is asked, N prompts.
        read: What a reply says; None where it cannot be read.
        again: Prompt and reply → how to ask again.
        options: How the judge generates; see `rate`.

    Raises:
        ModelError: The model gives another number of lists than there were prompts.
    """
    values = np.full((len(prompts), options.n), np.nan)
    unread: list[tuple[int, int, str]] = []
    for row, said in enumerate(_ask(model, prompts, options)):
        for place, reply in enumerate(said):
            value = read(reply)
            if value is None:
                unread.append((row, place, reply))
            else:
                values[row, place] = value
    repairs = _ask(model, [again(prompts[row], reply) for row, _, reply in unread], dataclasses.replace(options, n=1))
    repaired, example = 0, None
    for (row, place, first), said in zip(unread, repairs, strict=True):
        value = read(said[0]) if said else None
        if value is None:
            example = first if example is None else example
        else:
            values[row, place] = value
            repaired += 1
    return Reading(values, repaired, example)


def _ask(model: JudgeModel, prompts: Sequence[str], options: Any) -> list[list[str]]:
    replies = [[one.text for one in said][: options.n] for said in model.generate(prompts, options)] if prompts else []
    if len(replies) != len(prompts):
        raise ModelError("A judge did not reply to every prompt.", found=f"{len(replies)} of {len(prompts)}")
    return replies


def _divided(over: NDArray[Any], under: NDArray[Any]) -> NDArray[np.float64]:
    """A quotient; NaN where there is nothing to divide by."""
    quotients: NDArray[np.float64] = np.full(len(under), np.nan)
    np.divide(over, under, out=quotients, where=under > 0)
    return quotients
