"""Selection of demonstrations: the weak answer to a row is never part of the prompt that labels this row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from outgrow.errors import ConfigError, DataError
from outgrow.models.protocols import LanguageModel, embed
from outgrow.refine.refinement import normal_questions

Select = Literal["random", "tfidf", "embedding", "confidence", "stratified"]
"""How demonstrations are chosen."""
Similarity = Callable[[int], NDArray[np.float64]]
"""From the position of a row to the similarity of all N rows to it, shape (N,)."""
CONFIDENT_SHARE = 0.25
"""Share of the rows, the most confident ones, that demonstrations by confidence are drawn from."""


@dataclass(frozen=True)
class Candidates:
    """The rows of a task as demonstrations of each other."""

    prompts: Sequence[str]
    """The rows' prompts, N of them."""
    strata: Sequence[int | None]
    """Groups to show equally often, supervisors or choices; None is a row that cannot be shown."""
    confidence: NDArray[np.float64]
    """The supervisors' confidence, shape (N,); NaN where unknown."""
    similarity: Similarity | None = None
    """Given for demonstrations by similarity."""

    asked: Sequence[int] | None = None
    """Positions of the rows that need demonstrations; by default all."""

    def choose(
        self, select: Select, count: int, rng: np.random.Generator, *, share: int = 1, pool: int | None = None
    ) -> list[list[int]]:
        """Return for each row that is asked the positions of its demonstrations, none of which asks the same question.

        Raises:
            DataError: There are too few rows to choose from.
        """
        items = range(len(self.prompts)) if self.asked is None else self.asked
        usable = [own is not None for own in self.strata]
        if select in ("tfidf", "embedding") and self.similarity is not None:
            return most_similar(self.prompts, usable, count, self.similarity, rng, share=share, pool=pool, items=items)
        if select == "stratified":
            return shared_blocks(self.prompts, self.strata, count, share, rng, items)
        if select == "confidence":
            usable = confident(usable, self.confidence, count + share)
        if share == 1:
            return leave_one_out(self.prompts, usable, count, rng, items)
        return shared_blocks(self.prompts, [0 if one else None for one in usable], count, share, rng, items)


def leave_one_out(
    prompts: Sequence[str],
    usable: Sequence[bool],
    count: int,
    rng: np.random.Generator,
    items: Sequence[int] | None = None,
) -> list[list[int]]:
    """Return demonstrations at random for each of `items`, by default all rows.

    The usable rows are shuffled and cut into batches of `count + 1`, in which each member is shown the others. Where
    these are too few (in the last batch, for an unusable row, or without those that ask the same question), random
    usable rows make up the number.

    Source:
        [TL] = arXiv 2405.16236, Algorithm 1.
    """
    asked = normal_questions(prompts)
    pool = [int(index) for index in rng.permutation(len(asked)) if usable[index]]
    batch_of = {index: place // (count + 1) for place, index in enumerate(pool)}
    chosen = []
    for item in range(len(asked)) if items is None else items:
        batch = batch_of.get(item)
        own = pool[batch * (count + 1) : (batch + 1) * (count + 1)] if batch is not None else []
        picked = [index for index in own if asked[index] != asked[item]]
        if len(picked) < count:
            taken = set(picked)
            others = [index for index in pool if index not in taken and asked[index] != asked[item]]
            _check_enough(len(others) + len(picked), count, prompts[item])
            extra = rng.choice(len(others), count - len(picked), replace=False)
            picked += [others[place] for place in extra]
        chosen.append([picked[place] for place in rng.permutation(count)])
    return chosen


def most_similar(
    prompts: Sequence[str],
    usable: Sequence[bool],
    count: int,
    similarity: Similarity,
    rng: np.random.Generator,
    *,
    share: int = 1,
    pool: int | None = None,
    items: Sequence[int] | None = None,
) -> list[list[int]]:
    """Return the most similar usable rows for each of `items` (by default all rows), the most similar last.

    They are shared by blocks of `share` rows that are similar themselves, and most similar to all of these together;
    `count` of them are drawn from the `pool` (by default `count`) most similar ones. A block has at most half of all
    rows, and none of its questions is shown to it.

    Example:
        >>> likeness = np.array([[3, 2, 1, 0], [2, 3, 0, 1], [1, 0, 3, 2], [0, 1, 2, 3.0]])
        >>> most_similar("abcd", [True] * 4, 1, likeness.__getitem__, np.random.default_rng(0), share=2, items=[0, 1])
        [[2], [2]]
    """
    asked = np.unique(normal_questions(prompts), return_inverse=True)[1]
    may = np.asarray(usable, dtype=bool)
    waiting = list(range(len(asked)) if items is None else items)
    wanted, chosen = tuple(waiting), dict[int, list[int]]()
    share = min(share, max(1, len(asked) // 2))
    while waiting:
        near = similarity(waiting[0])
        block = sorted(waiting, key=lambda item: -near[item])[:share] if share > 1 else waiting[:1]
        others = np.flatnonzero(may & ~np.isin(asked, asked[block]))
        _check_enough(len(others), count, prompts[block[0]])
        together = np.sum([similarity(item) for item in block], axis=0)
        nearest = others[np.argsort(-together[others], kind="stable")[: pool or count]][::-1]
        shown = [int(nearest[place]) for place in sorted(rng.choice(len(nearest), count, replace=False))]
        chosen |= dict.fromkeys(block, shown)
        waiting = [item for item in waiting if item not in chosen]
    return [chosen[item] for item in wanted]


def best(chosen: Sequence[int], scores: NDArray[np.float64], count: int) -> list[int]:
    """Return the `count` positions with the highest scores, in the order they come in.

    Example:
        >>> best([4, 0, 2], np.array([-1.0, 0, -3, 0, -2]), 2)
        [4, 0]
    """
    kept = set(sorted(chosen, key=lambda index: -scores[index])[:count])
    return [index for index in chosen if index in kept]


def confident(usable: Sequence[bool], confidence: NDArray[np.float64], least: int) -> list[bool]:
    """Mark the most confident quarter of the usable rows, or `least` of them where that is more; NaN counts least."""
    order = [
        int(index) for index in np.argsort(-np.nan_to_num(confidence, nan=-np.inf), kind="stable") if usable[index]
    ]
    size = max(least, round(CONFIDENT_SHARE * len(order)))
    kept = set(order[:size])
    return [index in kept for index in range(len(usable))]


def shared_blocks(
    prompts: Sequence[str],
    strata: Sequence[int | None],
    count: int,
    share: int,
    rng: np.random.Generator,
    items: Sequence[int] | None = None,
) -> list[list[int]]:
    """Return demonstrations shared by blocks of `share` random rows among `items` (by default all), from outside of it.

    Every stratum is shown equally often, up to one demonstration, unless it runs out. A block has at most half of all
    rows. A model with a prefix cache reads the demonstrations once per block.

    Example:
        >>> [shown] = shared_blocks("abcde", [0, 0, 0, 1, 1], 2, 1, np.random.default_rng(0))[:1]
        >>> sorted([0, 0, 0, 1, 1][index] for index in shown)
        [0, 1]
    """
    asked = normal_questions(prompts)
    wanted = range(len(asked)) if items is None else items
    order = [wanted[place] for place in rng.permutation(len(wanted))]
    share = min(share, max(1, len(asked) // 2))
    chosen: dict[int, list[int]] = {}
    for start in range(0, len(order), share):
        block = order[start : start + share]
        inside = {asked[index] for index in block}
        others = [index for index, own in enumerate(strata) if own is not None and asked[index] not in inside]
        _check_enough(len(others), count, prompts[block[0]])
        shown = _evenly(others, strata, count, rng)
        chosen |= dict.fromkeys(block, shown)
    return [chosen[item] for item in wanted]


def similarity(select: Select, prompts: Sequence[str], model: LanguageModel | None) -> Similarity | None:
    """Return the similarity of prompts that `select` needs; None if it needs none.

    Raises:
        ConfigError: It needs embeddings, and the model has none.
    """
    if select == "tfidf":
        return tfidf_similarity(prompts)
    if select != "embedding":
        return None
    if model is None:
        raise ConfigError("Demonstrations by embedding need the model that embeds.")
    return cosine_similarity(embed(model, prompts))


def tfidf_similarity(prompts: Sequence[str]) -> Similarity:
    """Return the cosine similarity of TF-IDF vectors over n-grams of 2 to 4 characters within words.

    Example:
        >>> tfidf_similarity(["a red bird", "two red birds", "an old stone"])(0).round(2).tolist()
        [1.0, 0.53, 0.06]
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    matrix = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4)).fit_transform(prompts)
    return lambda item: (matrix @ matrix[item].T).toarray()[:, 0]


def cosine_similarity(points: NDArray[np.float64]) -> Similarity:
    """Return the cosine similarity of centred points (N, D); without centring, hidden states are all similar.

    Example:
        >>> cosine_similarity(np.array([[9.0, 1], [9, 2], [9, -1.5]]))(0).round(2).tolist()
        [1.0, 1.0, -1.0]
    """
    centred = points - points.mean(axis=0)
    centred = centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-12)
    return lambda item: centred @ centred[item]


def batches_of_questions(prompts: Sequence[str], size: int, rng: np.random.Generator) -> list[list[int]]:
    """Return all rows in random batches of about `size`, rows with the same question in the same batch.

    Raises:
        DataError: There are not two different questions.
    """
    together: dict[str, list[int]] = {}
    for index, question in enumerate(normal_questions(prompts)):
        together.setdefault(question, []).append(index)
    questions = list(together.values())
    if len(questions) < 2:
        raise DataError(
            "There are too few rows to infer a concept from other rows.",
            found=f"{len(questions)} distinct question(s)",
            wanted="at least 2",
            fix="Give more unlabelled rows.",
        )
    shuffled = [questions[place] for place in rng.permutation(len(questions))]
    count = max(2, round(len(questions) / size))
    return [
        [index for group in piece for index in shuffled[group]]
        for piece in np.array_split(np.arange(len(shuffled)), count)
    ]


def _evenly(others: Sequence[int], strata: Sequence[int | None], count: int, rng: np.random.Generator) -> list[int]:
    """`count` of these rows at random, equally many of every stratum as long as it has any."""
    shuffled = [others[place] for place in rng.permutation(len(others))]
    seen: dict[int | None, int] = {}
    turns = []
    for index in shuffled:
        seen[strata[index]] = seen.get(strata[index], 0) + 1
        turns.append(seen[strata[index]])
    # The first of every stratum come before the second of any; the sort keeps the random order within a turn.
    first = [shuffled[place] for place in np.argsort(turns, kind="stable")[:count]]
    return [first[place] for place in rng.permutation(count)]


def _check_enough(available: int, count: int, prompt: str) -> None:
    if available < count:
        raise DataError(
            f"Too few rows to show {count} demonstration(s) before {prompt[:60]!r}.",
            found=f"{available} other row(s) with a label and another prompt",
            wanted=f"at least {count}",
            fix="Give more rows, or ask for fewer demonstrations.",
        )
