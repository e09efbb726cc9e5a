"""Votes in the forms people have them: arrays, label matrices, long tables, records."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from outgrow.combine.ballots import Ballots
from outgrow.errors import DataError
from outgrow.labels import ChoiceVotes

COLUMNS = ("task", "worker", "label")
"""Columns of a long table, by name or, in tuples, by place."""


class NamedBallots(NamedTuple):
    """Ballots, with what their rows and choices are called."""

    ballots: Ballots
    """The votes."""
    rows: tuple[Hashable, ...] | None
    """Name of each row; None where the votes have none."""
    choices: tuple[Any, ...] | None
    """Name of each choice; None where the votes have none."""

    def gold(self, known: ArrayLike | Mapping[Any, Any] | None) -> ArrayLike | None:
        """Return known answers as an array over rows: as given, or by name from a mapping of rows to answers.

        Raises:
            DataError: A name does not occur among the votes.
        """
        if not isinstance(known, Mapping):
            return known
        rows = range(self.ballots.rows) if self.rows is None else self.rows
        choices = range(self.ballots.choices) if self.choices is None else self.choices
        place_of, index_of = ({name: at for at, name in enumerate(each)} for each in (rows, choices))
        unknown = [f"{row}: {answer}" for row, answer in known.items() if row not in place_of or answer not in index_of]
        if unknown:
            raise DataError("A gold answer is about no row, or outside the choices.", found=", ".join(unknown[:5]))
        gold = np.full(self.ballots.rows, -1)
        for row, answer in known.items():
            gold[place_of[row]] = index_of[answer]
        return gold


def read_votes(votes: Any, choices: int | Sequence[Any] | None = None) -> NamedBallots:
    """Return votes of any accepted form as ballots; see `combine`.

    Raises:
        DataError: The form is none of these, or a label is outside the choices.
    """
    if isinstance(choices, int):
        choices = range(choices)
    if isinstance(votes, ChoiceVotes):
        return NamedBallots(Ballots.of(votes), votes.ids, None if choices is None else tuple(choices))
    names = getattr(votes, "column_names", getattr(votes, "columns", None))  # of pyarrow, of pandas
    if names is not None:
        missing = [name for name in COLUMNS if name not in list(names)]
        if missing:
            found = ", ".join(map(str, list(names)[:8]))
            raise DataError("A table of votes lacks a column.", found=found, wanted=", ".join(COLUMNS))
        columns = [votes[name] for name in COLUMNS]
        return _long([each.to_pylist() if hasattr(each, "to_pylist") else list(each) for each in columns], choices)
    if isinstance(votes, Sequence) and len(votes) and all(map(_is_vote, votes)):
        wrong = [vote for vote in votes if len(vote) != 3]
        if wrong:
            raise DataError(
                "A vote is no (task, worker, label).", found=wrong[0], fix="Pass a label matrix as lists or an array."
            )
        return _long(list(zip(*votes, strict=True)), choices)
    count = None if choices is None else len(choices)
    return NamedBallots(Ballots.of(votes, choices=count), None, None if choices is None else tuple(choices))


def _long(columns: Sequence[Sequence[Any]], named: Sequence[Any] | None) -> NamedBallots:
    (row, rows), (person, people) = _coded(columns[0]), _coded(columns[1])
    if None in rows or None in people:
        raise DataError("A vote has no task or no worker.", wanted="both for every vote")
    labels = [None if _abstains(label, named) else label for label in columns[2]]
    given = {label for label in labels if label is not None}
    choices = tuple(named) if named is not None else tuple(sorted(given, key=lambda label: (str(type(label)), label)))
    outside = sorted(map(str, given - set(choices)))
    if outside or len(choices) < 2:
        raise DataError(
            "A label is outside the choices." if outside else "The votes leave nothing to choose from.",
            found=", ".join(outside[:5] or map(str, choices)),
            wanted=f"one of {', '.join(map(str, choices))}" if outside else "at least two choices",
            fix="Pass all choices as `choices`.",
        )
    place = {label: index for index, label in enumerate(choices)}
    code = np.array([-1 if label is None else place[label] for label in labels])
    kept = code >= 0
    names = tuple(map(str, people))
    ballots = Ballots.from_labels(
        row[kept], person[kept], code[kept], rows=len(rows), choices=len(choices), names=names
    )
    return NamedBallots(ballots, rows, choices)


def _is_vote(vote: Any) -> bool:
    return isinstance(vote, tuple) and not any(isinstance(value, tuple | list) for value in vote)


def _coded(column: Sequence[Any]) -> tuple[NDArray[np.int64], tuple[Any, ...]]:
    """Numbers in order of first appearance, and what they stand for."""
    place: dict[Any, int] = {}
    codes = [place.setdefault(None if _missing(value) else value, len(place)) for value in column]
    return np.array(codes, dtype=np.int64), tuple(place)


def _missing(value: Any) -> bool:
    return value is None or value != value  # NaN


def _abstains(label: Any, named: Sequence[Any] | None) -> bool:
    return _missing(label) or label == "" or (label in (-1, "-1") and label not in (named or ()))
