"""Which rows show the strong model how to answer which other row: pure functions, no model.

The rule everything here serves: the weak answer to a row is never part of the prompt in which that row is labelled.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from outgrow.errors import DataError
from outgrow.labels import Completion, Rows, TextLabels


def usable_texts(labels: TextLabels) -> list[list[str]]:
    """For each row the best text of every supervisor that wrote anything but space, without space around it."""
    return [[one[0].text.strip() for one in cells if one and one[0].text.strip()] for cells in labels.texts]


def leave_one_out(rows: Rows, usable: Sequence[bool], count: int, rng: np.random.Generator) -> list[list[int]]:
    """Picks the demonstrations of every row.

    The usable rows are shuffled and cut into batches of `count + 1`, in which each member is shown the others. Where
    that gives too few (the last batch may be short, a row without a usable text is in no batch, and a row that asks the
    same as the item is passed over), random usable rows make up the number.

    Args:
        rows: The rows, N of them.
        usable: Whether each row may be a demonstration.
        count: Demonstrations per row.
        rng: Source of the shuffle.

    Returns:
        For each row the positions of its `count` demonstrations, none of which asks the same as the row.

    Raises:
        DataError: There are too few rows to choose from.
    """
    asked = [" ".join(prompt.split()).casefold() for prompt in rows.prompts]
    pool = [int(index) for index in rng.permutation(len(rows)) if usable[index]]
    batch_of = {index: place // (count + 1) for place, index in enumerate(pool)}
    chosen = []
    for item in range(len(rows)):
        batch = batch_of.get(item)
        own = pool[batch * (count + 1) : (batch + 1) * (count + 1)] if batch is not None else []
        picked = [index for index in own if asked[index] != asked[item]]
        if len(picked) < count:
            taken = set(picked)
            others = [index for index in pool if index not in taken and asked[index] != asked[item]]
            _check_enough(len(others) + len(picked), count, rows.ids[item])
            extra = rng.choice(len(others), count - len(picked), replace=False)
            picked += [others[place] for place in extra]
        chosen.append([picked[place] for place in rng.permutation(count)])
    return chosen


def without_leading_space(completion: Completion) -> Completion:
    """The completion without the space that separates it from its prompt; spans move along.

    Example:
        >>> without_leading_space(Completion(" Paris", (-0.1,), ((0, 6),), finished=False))
        Completion(text='Paris', logprobs=(-0.1,), offsets=((0, 5),), finished=False)
    """
    if not completion.text.startswith(" "):
        return completion
    offsets = tuple((max(start - 1, 0), max(end - 1, 0)) for start, end in completion.offsets)
    return Completion(completion.text[1:], completion.logprobs, offsets, completion.finished)


def _check_enough(available: int, count: int, row: str) -> None:
    if available < count:
        raise DataError(
            f"Too few rows to show {count} demonstration(s) for row {row!r}.",
            found=f"{available} other row(s) with a weak text and another prompt",
            wanted=f"at least {count}",
            fix="Give more unlabelled rows, or ask for fewer demonstrations.",
        )
