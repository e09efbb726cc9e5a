"""The gold rows that a supervisor learns from, and the rows it judges."""

from __future__ import annotations

import zlib

import numpy as np

from outgrow.errors import DataError
from outgrow.labels import Rows


def training_rows(rows: Rows, count: int | None, *, seed: int, name: str) -> Rows:
    """The gold part, or `count` of its rows drawn at random, for every seed and every supervisor others.

    Raises:
        DataError: There are not as many gold rows, or those of a choice task are all of one class.
    """
    gold = rows.part("gold")
    if not len(gold) or (count or 0) > len(gold):
        raise DataError(
            f"The supervisor {name} has too few gold rows to learn from.",
            found=f"{len(gold)} gold rows",
            wanted=f"{count} rows" if count else "at least one",
            fix="Raise task.split.gold, or lower the supervisor's rows.",
        )
    if count is not None:
        gold = gold.take(np.sort(_draws(seed, name).permutation(len(gold))[:count]))
    if rows.choices is not None and len(set(gold.gold)) < 2:
        raise DataError(
            f"The supervisor {name} cannot be trained on one class only.",
            found=f"{len(gold)} gold rows, all {rows.choices[gold.gold_indices()[0]]}",
            wanted="at least two classes among its gold rows",
            fix="Give it more rows, or check task.split and the gold column.",
        )
    return gold


def judged_rows(rows: Rows) -> Rows:
    """The rows that supervisors judge: validation, those the student learns from, those everyone is tested on."""
    judged = [
        index for part in ("validation", "unlabelled", "test") for index, own in enumerate(rows.parts) if own == part
    ]
    return rows.take(judged)


def _draws(seed: int, name: str) -> np.random.Generator:
    """Of its own for every supervisor: two that learnt from the same rows would err on the same rows."""
    return np.random.default_rng([seed, zlib.crc32(name.encode())])
