"""A vote over several texts: the most frequent answer, or the text most similar to all others."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Literal

import numpy as np

from outgrow.evaluate.accuracy import token_f1, words_of
from outgrow.labels import Completion

Vote = Literal["consistency", "medoid"]
"""How several draws become one answer."""


def vote(
    completions: Sequence[Completion], how: Vote = "consistency", answer: str | None = None
) -> tuple[tuple[Completion, ...], float]:
    r"""Return the distinct texts, the chosen one first, and the share of all texts with its answer.

    Args:
        completions: The draws; an empty text is chosen only if there is nothing else.
        how: `consistency` takes the most frequent answer, `medoid` the text with the highest mean token F1 to all.
            Ties go to the highest mean token log-probability.
        answer: A regular expression for the answer in a text: the last match, or its last group. By default, and where
            it does not match, the whole text is the answer, up to case and punctuation around words.

    Returns:
        Texts, best first, and the share in (0, 1]; nothing and NaN without draws.

    Source:
        Self-consistency: Wang et al. 2023 (arXiv 2203.11171). The medoid is ours, since free texts are seldom equal.

    Example:
        >>> drawn = [Completion(text, (), (), True) for text in ("so: 4", "It is 5", "hence 4")]
        >>> best, share = vote(drawn, answer=r"\d+")
        >>> best[0].text, round(share, 2)
        ('so: 4', 0.67)
    """
    if not completions:
        return (), math.nan
    keys = [answer_of(one.text, answer) for one in completions]
    support = [keys.count(key) / len(keys) for key in keys]
    weights = support if how == "consistency" else _closeness([one.text for one in completions])
    order = sorted(
        range(len(keys)),
        key=lambda index: (not completions[index].text.strip(), -round(weights[index], 9), -_score(completions[index])),
    )
    distinct: dict[str, Completion] = {}
    for index in order:
        distinct.setdefault(completions[index].text.strip(), completions[index])
    return tuple(distinct.values()), support[order[0]]


def answer_of(text: str, pattern: str | None = None) -> str:
    """Return the answer in a text, without case and punctuation; see `vote`."""
    found = re.findall(pattern, text) if pattern else []
    last = found[-1] if found else text
    return " ".join(words_of(last[-1] if isinstance(last, tuple) else last))


def medoid(texts: Sequence[str]) -> int:
    """Return the position of the text with the highest mean token F1 to all; the first of several.

    Example:
        >>> medoid(["Talk like a pirate.", "Be brief.", "Answer like a pirate."])
        0
    """
    return int(np.argmax(_closeness(texts)))


def _closeness(texts: Sequence[str]) -> list[float]:
    """Mean token F1 of each text to all; each distinct text is compared once."""
    distinct = list(dict.fromkeys(texts))
    counts = np.array([texts.count(text) for text in distinct])
    similar = np.stack([token_f1(distinct, [text] * len(distinct)) for text in distinct])
    means = dict(zip(distinct, similar @ counts / len(texts), strict=True))
    return [round(float(means[text]), 9) for text in texts]


def _score(completion: Completion) -> float:
    return completion.score if completion.logprobs else -math.inf
