"""The gold rows that a supervisor learns from, and the rows it labels."""

from __future__ import annotations

import zlib

import numpy as np
from pydantic import Field

from outgrow.config import Frozen
from outgrow.errors import ConfigError, DataError
from outgrow.labels import ChoiceVotes, Rows


class Trained(Frozen):
    """Settings of supervisors that learn from the gold part."""

    name: str | None = None
    """A name for tables; by default derived from the model."""
    rows: int | None = Field(default=None, gt=0)
    """Number of gold rows it is trained on, drawn anew for every seed; by default all."""


def training_rows(rows: Rows, count: int | None, *, seed: int, name: str) -> Rows:
    """Return the gold part, or `count` of its rows, drawn anew for every seed and every supervisor.

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
    if rows.choices is not None and rows.options is None and len(set(gold.gold)) < 2:
        raise DataError(
            f"The supervisor {name} cannot be trained on one class only.",
            found=f"{len(gold)} gold rows, all {rows.choices[gold.gold_indices()[0]]}",
            wanted="at least two classes among its gold rows",
            fix="Give it more rows, or check task.split and the gold column.",
        )
    return gold


def judged_rows(rows: Rows) -> Rows:
    """Return the rows that supervisors label: the validation, unlabelled and test rows, in that order."""
    return rows.take(np.concatenate([rows.where("validation"), rows.where("unlabelled"), rows.where("test")]))


def shared_choices(rows: Rows, name: str) -> tuple[str, ...]:
    """Return the choices of all rows.

    Raises:
        ConfigError: Every row has its own, which a supervisor that reads prompts alone cannot see.
    """
    if rows.options is not None:
        raise ConfigError(
            f"The supervisor {name} reads prompts alone, and every row has choices of its own.",
            found="task.columns.choices",
            fix="Use votes, features, trained models or models behind servers.",
        )
    return rows.choices or ()


def made_up_votes(rows: Rows, name: str) -> ChoiceVotes:
    """Return random votes on rows, for dry runs."""
    probs = _draws(0, name).dirichlet(np.ones(len(rows.choices or ())), size=len(rows))
    return ChoiceVotes(rows.ids, (name,), probs[:, None, :])


def _draws(seed: int, name: str) -> np.random.Generator:
    # By name: two supervisors that learned from the same rows would err on the same rows.
    return np.random.default_rng([seed, zlib.crc32(name.encode())])
