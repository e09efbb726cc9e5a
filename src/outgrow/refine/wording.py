"""Whose wording refined answers have: the supervisors', or that of the untrained strong model, without a judge.

A classifier learns to tell weak answers from base answers to other questions, and says of each refined answer which it
resembles. It sees how something is said rather than what: words of the question, numbers and words that few answers
share are masked, and only n-grams (of words and of characters) that occur in answers to many questions count.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from outgrow.evaluate.gap import performance_gap

LEAST = 16
"""With fewer questions the test says nothing."""
TOLD_APART = 0.75
"""Held-out accuracy below which weak and base answers are too alike for the test."""
FOLDS = 8
COMMON = 0.1
"""Words and n-grams in the answers to fewer than this share of the questions are taken for content."""

MASK = "□"
"""Stands for a word of the question or a rare one."""

_TOKEN = re.compile(r"\d+|[\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff]|\w+|[^\w\s]|\n+")
"""Numbers, words, punctuation, line breaks; single characters of scripts that are written without spaces."""


@dataclass(frozen=True)
class Wording:
    """Share of refined answers that are worded like the supervisors'; NaN where the test says nothing."""

    rows: int
    """Rows with all three answers."""
    accuracy: float = math.nan
    """Held-out accuracy at telling weak from base answers, .5 by chance; NaN with too few rows."""
    adopted: float = math.nan
    """Share of refined answers worded like weak ones, corrected for the errors of the classifier."""
    low: float = math.nan
    """Lower end of its 95 % interval over rows."""
    high: float = math.nan
    """Upper end."""


def wording(
    prompts: Sequence[str], weak: Sequence[Sequence[str]], base: Sequence[str], refined: Sequence[str]
) -> Wording:
    """Return whose wording the refined answers to n questions have.

    Every answer is judged by a classifier that has seen no answer to its question. The share of refined answers that
    are taken for weak ones is (observed − false positives) / (true positives − false positives), where the two rates
    are those of base and weak answers.

    Args:
        prompts: The questions; rows with the same one stay together.
        weak: The supervisors' answers to each. Rows without a weak, base or refined answer are left out.
        base: Answers of the untrained strong model.
        refined: Refined answers.

    Source:
        Rogan and Gladen 1978; the interval is Fieller's, as for PGR.

    Example:
        >>> weak, base = [[f"Arr, {n}, matey!"] for n in range(40)], [f"It is {n}." for n in range(40)]
        >>> refined = [f"Arr, {n + 1}, matey!" if n % 4 else f"It is {n}." for n in range(40)]
        >>> found = wording([f"What is {n}?" for n in range(40)], weak, base, refined)
        >>> found.accuracy, found.adopted
        (1.0, 0.75)
    """
    kept = [row for row in range(len(prompts)) if weak[row] and base[row].strip() and refined[row].strip()]
    answers = [[base[row], refined[row], *weak[row]] for row in kept]
    asked = [_words(prompts[row].lower()) for row in kept]
    questions, question = np.unique([" ".join(words) for words in asked], return_inverse=True)
    if len(questions) < LEAST:
        return Wording(len(kept))
    as_weak = _judged(_features(asked, answers), question)
    taken = np.array([[each[0], each[1], np.mean(each[2:])] for each in as_weak])
    accuracy = float((1 - taken[:, 0].mean() + taken[:, 2].mean()) / 2)
    gap = performance_gap(taken[None, :, 1], taken[None, :, 0], taken[None, :, 2])
    if accuracy < TOLD_APART or gap.pgr is None or gap.pgr_interval is None:
        return Wording(len(kept), accuracy)
    adopted, low, high = (min(1.0, max(0.0, one)) for one in (gap.pgr, *gap.pgr_interval))
    return Wording(len(kept), accuracy, adopted, low, high)


def _words(text: str) -> list[str]:
    return _TOKEN.findall(text)


def _features(asked: Sequence[Sequence[str]], answers: Sequence[Sequence[str]]) -> list[list[set[str]]]:
    """N-grams of words and characters of each answer (base, refined, weak …) that recur in base and weak answers."""
    least = max(3, math.ceil(COMMON * len(answers)))
    masked = [
        [[_masked(word, question) for word in _words(text)] for text in own]
        for question, own in zip(map(set, asked), answers, strict=True)
    ]
    usual = _common([[set(words) for words in own] for own in masked], least)
    found = [[_ngrams(words, usual) for words in own] for own in masked]
    usual = _common(found, least)
    return [[ngrams & usual for ngrams in own] for own in found]


def _masked(word: str, question: set[str]) -> str:
    return "0" if word[0].isdigit() else MASK if word.lower() in question else word


def _ngrams(words: Sequence[str], usual: set[str]) -> set[str]:
    # Endings of rare words count; the words themselves do not.
    style = ["⊢", *(word if word in usual or not word[0].isalnum() else MASK for word in words), "⊣"]
    found = {" ".join(style[at : at + n]) for n in (1, 2, 3) for at in range(len(style) - n + 1)}
    text = " ".join(words)
    return found | {f"…{text[at : at + n]}" for n in (2, 3) for at in range(len(text) - n + 1)}


def _common(found: Sequence[Sequence[set[str]]], least: int) -> set[str]:
    # Refined answers, in the second place, have no say in this.
    counts = Counter(one for own in found for one in own[0].union(*own[2:]))
    return {one for one, rows in counts.items() if rows >= least}


def _judged(features: Sequence[Sequence[set[str]]], question: NDArray[np.int64]) -> list[NDArray[np.float64]]:
    """For each row whether each of its answers is taken for a weak one, by a classifier trained on other questions."""
    from sklearn.feature_extraction import DictVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import normalize

    def present(one: set[str]) -> Mapping[str, float]:
        return dict.fromkeys(sorted(one), 1.0)

    fold = np.random.default_rng(0).permutation(question.max() + 1)[question] % FOLDS
    row = np.repeat(np.arange(len(features)), [len(own) for own in features])
    place = np.concatenate([np.arange(len(own)) for own in features])
    table = normalize(DictVectorizer().fit_transform([present(one) for own in features for one in own]))
    weights = np.array([1 / max(1, len(own) - 2) for own in features])[row]
    weights[place == 0] = 1.0
    said = np.zeros(len(row))
    for held_out in range(FOLDS):
        seen = (fold[row] != held_out) & (place != 1)
        model = LogisticRegression(C=10.0, max_iter=1000)
        model.fit(table[seen], place[seen] > 1, sample_weight=weights[seen])
        said[fold[row] == held_out] = model.predict(table[fold[row] == held_out])
    return np.split(said, np.flatnonzero(np.diff(row)) + 1)
