"""Which rows show the strong model how to answer which other row: pure functions, no model.

The rule everything here serves: the weak answer to a row is never part of the prompt in which that row is labelled.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from outgrow.errors import DataError
from outgrow.refine.refinement import normal_questions

CONFIDENT_SHARE = 0.25
"""Share of the rows, the surest ones, that demonstrations by confidence are drawn from."""


def leave_one_out(
    prompts: Sequence[str], usable: Sequence[bool], count: int, rng: np.random.Generator
) -> list[list[int]]:
    """Demonstrations at random.

    The usable rows are shuffled and cut into batches of `count + 1`, in which each member is shown the others. Where
    that gives too few (the last batch may be short, a row without a usable text is in no batch, and a row that asks the
    same as the item is passed over), random usable rows make up the number.

    Args:
        prompts: What the rows ask, N of them.
        usable: Whether each row may be a demonstration.
        count: Demonstrations per row.
        rng: Source of the shuffle.

    Returns:
        For each row the positions of its `count` demonstrations, none of which asks the same as the row.

    Raises:
        DataError: There are too few rows to choose from.

    Source:
        [TL] = arXiv 2405.16236, Algorithm 1.
    """
    asked = normal_questions(prompts)
    pool = [int(index) for index in rng.permutation(len(asked)) if usable[index]]
    batch_of = {index: place // (count + 1) for place, index in enumerate(pool)}
    chosen = []
    for item in range(len(asked)):
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
    similarity: Callable[[int], NDArray[np.float64]],
    pool: int | None = None,
) -> list[list[int]]:
    """The rows most like each row, the most similar last, next to the question.

    Args:
        prompts: What the rows ask, N of them.
        usable: Whether each row may be a demonstration.
        count: Demonstrations per row.
        similarity: From a row's position to the similarity of all rows to it, shape (N,).
        pool: How many to return where there are so many; by default `count`.

    Raises:
        DataError: There are too few rows to choose from.
    """
    asked = np.unique(normal_questions(prompts), return_inverse=True)[1]
    may = np.asarray(usable, dtype=bool)
    chosen = []
    for item in range(len(asked)):
        others = np.flatnonzero(may & (asked != asked[item]))
        _check_enough(len(others), count, prompts[item])
        nearest = np.argsort(-similarity(item)[others], kind="stable")[: pool or count]
        chosen.append([int(index) for index in others[nearest][::-1]])
    return chosen


def stratified(
    prompts: Sequence[str], strata: Sequence[int | None], count: int, rng: np.random.Generator
) -> list[list[int]]:
    """Demonstrations at random, of every stratum as many as of the others (but for one, and where one runs out).

    Args:
        prompts: What the rows ask, N of them.
        strata: The stratum of each row; None is a row that is no demonstration.
        count: Demonstrations per row.
        rng: Source of all draws.

    Raises:
        DataError: There are too few rows to choose from.

    Example:
        >>> [shown] = stratified("abcde", [0, 0, 0, 1, 1], 2, np.random.default_rng(0))[:1]
        >>> sorted([0, 0, 0, 1, 1][index] for index in shown)
        [0, 1]
    """
    asked = normal_questions(prompts)
    chosen = []
    for item in range(len(asked)):
        others = [index for index, own in enumerate(strata) if own is not None and asked[index] != asked[item]]
        _check_enough(len(others), count, prompts[item])
        shuffled = [others[place] for place in rng.permutation(len(others))]
        rank: dict[int | None, int] = {}
        turn = []
        for index in shuffled:
            rank[strata[index]] = rank.get(strata[index], -1) + 1
            turn.append(rank[strata[index]])
        # The first of every stratum come before the second of any; the sort keeps the random order within a turn.
        first = [shuffled[place] for place in np.argsort(turn, kind="stable")[:count]]
        chosen.append([first[place] for place in rng.permutation(count)])
    return chosen


def confident(usable: Sequence[bool], confidence: NDArray[np.float64], least: int) -> list[bool]:
    """The surest quarter of the usable rows, or `least` of them where that is more.

    Args:
        usable: Whether each row may be a demonstration.
        confidence: How sure the supervisors are of it, shape (N,); NaN is not known, and least.
        least: So many are needed for everybody to be shown enough of them.
    """
    order = [
        int(index) for index in np.argsort(-np.nan_to_num(confidence, nan=-np.inf), kind="stable") if usable[index]
    ]
    size = max(least, round(CONFIDENT_SHARE * len(order)))
    kept = set(order[:size])
    return [index in kept for index in range(len(usable))]


def shared_blocks(
    prompts: Sequence[str], usable: Sequence[bool], count: int, share: int, rng: np.random.Generator
) -> list[list[int]]:
    """The same demonstrations, in the same order, for blocks of `share` random rows, drawn from outside the block.

    A model that keeps what it has read need then read them once per block.

    Args:
        prompts: What the rows ask, N of them.
        usable: Whether each row may be a demonstration.
        count: Demonstrations per row.
        share: Rows per block.
        rng: Source of all draws.

    Raises:
        DataError: There are too few rows to choose from.
    """
    asked = normal_questions(prompts)
    order = [int(index) for index in rng.permutation(len(asked))]
    chosen: list[list[int]] = [[] for _ in asked]
    for start in range(0, len(order), share):
        block = order[start : start + share]
        inside = {asked[index] for index in block}
        others = [index for index in range(len(asked)) if usable[index] and asked[index] not in inside]
        _check_enough(len(others), count, prompts[block[0]])
        shown = [others[place] for place in rng.choice(len(others), count, replace=False)]
        for item in block:
            chosen[item] = shown
    return chosen


def batches_of_questions(prompts: Sequence[str], size: int, rng: np.random.Generator) -> list[list[int]]:
    """All rows in random batches of about `size`, rows that ask the same in the same batch.

    Raises:
        DataError: There are not two batches of different questions, so nobody could learn from the others.
    """
    together: dict[str, list[int]] = {}
    for index, question in enumerate(normal_questions(prompts)):
        together.setdefault(question, []).append(index)
    questions = list(together.values())
    if len(questions) < 2:
        raise DataError(
            "There are too few rows to infer from some what the others are to be answered by.",
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


def _check_enough(available: int, count: int, prompt: str) -> None:
    if available < count:
        raise DataError(
            f"Too few rows to show {count} demonstration(s) before {prompt[:60]!r}.",
            found=f"{available} other row(s) with a weak text and another prompt",
            wanted=f"at least {count}",
            fix="Give more unlabelled rows, or ask for fewer demonstrations.",
        )
