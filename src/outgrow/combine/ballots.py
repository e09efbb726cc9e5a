"""Votes as a long list: one entry per vote that was given, so that memory grows with the votes alone."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from outgrow.errors import DataError
from outgrow.labels import ChoiceVotes, check_probabilities

if TYPE_CHECKING:
    from scipy import sparse

Index: TypeAlias = NDArray[np.signedinteger[Any]]
"""Indices of votes take four bytes where that is enough: fifty million votes have three of them each."""

SMALL = 20_000
"""Numbers up to which a matrix is dense: `scipy.sparse` takes longer to import than few votes to combine."""
_SAMPLE, _DIFFERENT = 1000, 0.95
"""Rows that are looked at first, and share of different ones from which rows are not merged."""
HARD = 1e-9
"""A vote whose largest probability is this close to one counts as a plain choice, not as probabilistic."""


@dataclass(frozen=True, eq=False)
class Ballots:
    """V votes of M supervisors on N rows with K choices, sorted by row.

    Example:
        >>> ballots = Ballots.from_labels([0, 0, 2], [0, 1, 1], [1, 1, 0], rows=3, choices=2)
        >>> ballots.has_votes.tolist(), ballots.per_supervisor.tolist()
        ([True, False, True], [1, 2])
    """

    row: Index
    """Row of each vote, shape (V,), not decreasing."""
    supervisor: Index
    """Supervisor of each vote, shape (V,)."""
    label: Index
    """Most probable choice of each vote, shape (V,); the first one of a tie."""
    probs: NDArray[np.float64] | None
    """Probabilities of each vote, shape (V, K); None if every vote is a plain choice."""
    rows: int
    """N, rows without a vote included."""
    choices: int
    """K."""
    names: tuple[str, ...]
    """Names of the M supervisors, including those without a vote."""
    repeats: NDArray[np.float64] | None = None
    """How many rows each row stands for, shape (N,), where rows with the same votes are merged; None: one each."""
    open: bool = False
    """Whether choices are each row's own answers, the last one standing for none of these; see `Candidates`."""

    @classmethod
    def of(cls, votes: ChoiceVotes | ArrayLike | Ballots, *, choices: int | None = None) -> Ballots:
        """Return a record, probabilities (N, M, K) or labels (N, M) as ballots; abstentions are K NaNs or -1.

        K (`choices`) of a label matrix is by default its largest label + 1, at least 2.

        Raises:
            DataError: The shape is wrong, there is no supervisor, K < 2, or a vote is no distribution.
        """
        if isinstance(votes, Ballots):
            return votes
        names: tuple[str, ...] | None = None
        if isinstance(votes, ChoiceVotes):
            names, votes = votes.supervisors, votes.probs
        matrix = np.asarray(votes)
        if matrix.ndim == 2 and matrix.dtype.kind in "iu" and matrix.shape[1]:
            row, supervisor = np.nonzero(matrix != -1)
            k = max(int(matrix.max(initial=1)) + 1, 2) if choices is None else choices
            people = _numbered(matrix.shape[1])
            label = matrix[row, supervisor]
            return cls.from_labels(row, supervisor, label, rows=len(matrix), choices=k, names=people)
        probs = np.asarray(matrix, dtype=np.float64)
        if probs.ndim != 3 or probs.shape[1] < 1 or probs.shape[2] < 2:
            raise DataError(
                "Votes have the wrong shape.",
                found=probs.shape,
                wanted="probabilities (rows, supervisors, choices) or whole numbers (rows, supervisors)",
            )
        row, supervisor = np.nonzero(~np.isnan(probs).all(axis=2))
        given = probs[row, supervisor]
        check_probabilities(given, "votes")
        n, m, k = probs.shape
        hard = not len(given) or bool((given.max(axis=1) >= 1 - HARD).all())
        given = given / given.sum(axis=1, keepdims=True) if len(given) else given
        label = given.argmax(axis=1) if len(given) else np.zeros(0, dtype=np.int64)
        return cls(row, supervisor, label, None if hard else given, n, k, names or _numbered(m))

    @classmethod
    def from_labels(
        cls,
        row: ArrayLike,
        supervisor: ArrayLike,
        label: ArrayLike,
        *,
        rows: int,
        choices: int,
        names: tuple[str, ...] | None = None,
    ) -> Ballots:
        """Return a long table of plain choices as ballots: indices of row, supervisor and choice, shape (V,) each."""
        columns = [_whole(each) for each in (row, supervisor, label)]
        if len({column.shape for column in columns}) != 1 or columns[0].ndim != 1:
            raise DataError("The columns of the votes differ in length.", found=[column.shape for column in columns])
        people = len(names) if names is not None else int(columns[1].max(initial=-1)) + 1
        for column, limit, what in zip(columns, (rows, people, choices), ("row", "supervisor", "choice"), strict=True):
            if len(column) and (column.min() < 0 or column.max() >= limit):
                found = f"{column.min()} to {column.max()}"
                raise DataError(f"A vote names a {what} that does not exist.", found=found, wanted=f"0 to {limit - 1}")
        if choices < 2 or people < 1:
            raise DataError(
                "Votes need a supervisor and two choices.", found=f"{people} supervisors, {choices} choices"
            )
        largest = max(rows, people, choices, len(columns[0]))
        small = np.int32 if largest <= np.iinfo(np.int32).max else np.int64
        columns = [column.astype(small, copy=False) for column in columns]
        if (columns[0][1:] < columns[0][:-1]).any():
            order = np.argsort(columns[0], kind="stable")
            columns = [column[order] for column in columns]
        rows_of, people_of, labels = columns
        return cls(rows_of, people_of, labels, None, rows, choices, names or _numbered(people))

    @cached_property
    def per_row(self) -> NDArray[np.int64]:
        """Number of votes on each row, shape (N,)."""
        return np.bincount(self.row, minlength=self.rows)

    @property
    def has_votes(self) -> NDArray[np.bool_]:
        """Whether a row has any vote, shape (N,)."""
        return self.per_row > 0

    @property
    def per_supervisor(self) -> NDArray[np.int64]:
        """Number of votes of each supervisor, shape (M,)."""
        weights = None if self.repeats is None else self.repeats[self.row]
        return np.rint(np.bincount(self.supervisor, weights, minlength=len(self.names))).astype(np.int64)

    @property
    def count(self) -> NDArray[np.float64]:
        """How many rows each row stands for, shape (N,)."""
        return np.ones(self.rows) if self.repeats is None else self.repeats

    def distributions(self) -> NDArray[np.float64]:
        """Probabilities of each vote, shape (V, K); plain choices become certain."""
        if self.probs is not None:
            return self.probs
        certain = np.zeros((len(self.label), self.choices))
        certain[np.arange(len(self.label)), self.label] = 1.0
        return certain

    def votes(self) -> ChoiceVotes:
        """Return the same votes as a dense record: N·M·K numbers, rows named 0 to N − 1."""
        probs = np.full((self.rows, len(self.names), self.choices), np.nan)
        probs[self.row, self.supervisor] = self.distributions()
        return ChoiceVotes(tuple(map(str, range(self.rows))), self.names, probs)

    def soft_supervisors(self) -> NDArray[np.bool_]:
        """Which supervisors give probabilities rather than plain choices, shape (M,)."""
        if self.probs is None:
            return np.zeros(len(self.names), dtype=bool)
        soft = self.probs.max(axis=1) < 1 - HARD
        return np.bincount(self.supervisor[soft], minlength=len(self.names)) > 0

    def symbols(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the pairs that occur, as supervisor·K + label in order, and the pair of each vote."""
        code = self.codes()
        occurs = np.bincount(code, minlength=len(self.names) * self.choices) > 0
        return np.flatnonzero(occurs), (np.cumsum(occurs) - 1).astype(self.row.dtype)[code]

    def codes(self) -> Index:
        """Supervisor·K + label of each vote, shape (V,)."""
        return self._places(self.supervisor, len(self.names))

    def cells(self) -> Index:
        """Row·K + label of each vote, shape (V,)."""
        return self._places(self.row, self.rows)

    def _places(self, of: Index, count: int) -> Index:
        small = count * self.choices <= np.iinfo(np.int32).max
        place: Index = np.multiply(of, self.choices, dtype=of.dtype if small else np.int64)
        place += self.label.astype(place.dtype, copy=False)
        return place

    def some(self, rows: Index) -> Ballots:
        """Return the votes on some rows; these and the supervisors who voted there are numbered anew."""
        start, end = (np.searchsorted(self.row, rows, side) for side in ("left", "right"))
        given = end - start
        own = np.arange(given.sum()) + np.repeat(start - np.cumsum(given) + given, given)
        present, supervisor = np.unique(self.supervisor[own], return_inverse=True)
        return dataclasses.replace(
            self,
            row=np.repeat(np.arange(len(rows), dtype=self.row.dtype), given),
            supervisor=supervisor.astype(self.supervisor.dtype),
            label=self.label[own],
            probs=None if self.probs is None else self.probs[own],
            rows=len(rows),
            names=tuple(self.names[each] for each in present.tolist()),
            repeats=None if self.repeats is None else self.repeats[rows],
        )

    def incidence(self, column: Index, width: int) -> sparse.csr_matrix | NDArray[np.float64]:
        """Return ones at (row, column) of each vote, (N, width), sparse unless that is small."""
        if self.rows * width <= SMALL:
            dense = np.zeros((self.rows, width))
            np.add.at(dense, (self.row, column), 1.0)
            return dense
        from scipy import sparse

        # In place, because votes are sorted by row.
        ends = np.zeros(self.rows + 1, dtype=np.int64)
        np.cumsum(self.per_row, out=ends[1:])
        return sparse.csr_matrix((np.ones(len(column)), column, ends), (self.rows, width))

    def select(self, which: NDArray[np.bool_]) -> Ballots:
        """Return the votes that a mask (V,) keeps; rows and supervisors stay as they are."""
        if which.all():
            return self
        probs = None if self.probs is None else self.probs[which]
        kept: dict[str, Any] = {name: getattr(self, name)[which] for name in ("row", "supervisor", "label")}
        return dataclasses.replace(self, probs=probs, **kept)


@dataclass(frozen=True, eq=False)
class Merged:
    """P distinct lines that stand for N rows: ten voters with two choices give at most 3¹⁰ different lines."""

    ballots: Ballots
    """The votes of the lines: P rows, with how many rows of the table each stands for."""
    gold: NDArray[np.int64]
    """Gold answer of each line, shape (P,), -1 where unknown."""
    of_row: NDArray[np.intp]
    """Line of each row, shape (N,)."""

    @classmethod
    def of(cls, ballots: Ballots, gold: NDArray[np.int64]) -> Merged:
        """Merge rows with the same plain choices and the same gold; probabilistic votes are left as they are.

        So are rows of which a sample is nearly all different.
        """
        plain = ballots.probs is None and ballots.repeats is None
        some = ballots.rows > 2 * _SAMPLE and plain
        if not plain or (
            some and len(np.unique(_keys(ballots.some(np.arange(_SAMPLE)), gold[:_SAMPLE]))) > _DIFFERENT * _SAMPLE
        ):
            return cls(ballots, gold, np.arange(ballots.rows))
        key = _keys(ballots, gold)
        _, first, of_row, count = np.unique(key, return_index=True, return_inverse=True, return_counts=True)
        kept = np.zeros(ballots.rows, dtype=bool)
        kept[first] = True
        chosen = ballots.select(kept[ballots.row])
        # `first` is in the order of the keys; lines are numbered in the order of the rows, as ballots are.
        order = np.argsort(first)
        rank = np.empty_like(order)
        rank[order] = np.arange(len(order))
        row = (np.cumsum(kept) - 1).astype(chosen.row.dtype)[chosen.row]
        repeats = count[order].astype(np.float64)
        lines = dataclasses.replace(chosen, row=row, rows=len(first), repeats=repeats)
        return cls(lines, gold[first[order]], rank[of_row])


def _keys(ballots: Ballots, gold: NDArray[np.int64]) -> NDArray[np.uint64]:
    """A 64-bit sum of random numbers for each row's votes and gold: two of 10⁸ rows collide with probability 3·10⁻⁴."""
    random = np.random.default_rng(0)
    key = random.integers(1, 2**63, size=ballots.choices + 1, dtype=np.uint64)[gold + 1]
    symbols = random.integers(1, 2**63, size=len(ballots.names) * ballots.choices, dtype=np.uint64)
    running = np.zeros(len(ballots.row) + 1, dtype=np.uint64)
    np.cumsum(symbols[ballots.codes()], out=running[1:])
    ends = np.cumsum(ballots.per_row)
    return key + running[ends] - running[np.concatenate([[0], ends[:-1]]).astype(np.intp)][: len(ends)]


def checked_gold(gold: ArrayLike | None, rows: int, choices: int) -> NDArray[np.int64]:
    """Return gold answers as indices of shape (N,), -1 where unknown; raises `DataError` for any others."""
    if gold is None:
        return np.full(rows, -1, dtype=np.int64)
    known = np.asarray(gold)
    if known.shape != (rows,):
        raise DataError("Gold answers do not fit the votes.", found=known.shape, wanted=f"({rows},), -1 where unknown")
    if known.size and (known.astype(np.int64) != known).any():
        raise DataError("Gold answers are not whole numbers.", wanted="indices of choices, -1 where unknown")
    if known.size and (known.min() < -1 or known.max() >= choices):
        found = f"{known.min()} to {known.max()}"
        raise DataError(
            "A gold answer is outside the choices.", found=found, wanted=f"0 to {choices - 1}, -1 = unknown"
        )
    return known.astype(np.int64)


def _whole(column: ArrayLike) -> Index:
    values = np.asarray(column)
    return values if values.dtype in (np.int32, np.int64) else values.astype(np.int64)


def _numbered(count: int) -> tuple[str, ...]:
    return tuple(f"supervisor {index}" for index in range(count))


def pooled(
    ballots: Ballots, weights: NDArray[np.float64] | None = None, *, favourites: bool = False
) -> NDArray[np.float64]:
    """Return the mean vote of each row, shape (N, K), weighted by λ (M,); uniform where nobody voted.

    If all voters of a row have λ = 0 they count alike. With `favourites` the most probable choice of each vote counts
    (a tie is split) instead of its probabilities.
    """
    k, strength = ballots.choices, None
    if weights is not None or ballots.probs is not None:
        strength = np.ones(len(ballots.row)) if weights is None else weights[ballots.supervisor]
        mass = np.bincount(ballots.row, strength, minlength=ballots.rows)
        strength = np.where(mass[ballots.row] > 0, strength, 1.0)
    if ballots.probs is None:
        total = np.bincount(ballots.cells(), strength, minlength=ballots.rows * k)
        total = total.reshape(ballots.rows, k)
    else:
        votes = split_ties(ballots.probs) if favourites else ballots.probs
        columns = [np.bincount(ballots.row, strength * column, minlength=ballots.rows) for column in votes.T]
        total = np.stack(columns, axis=1)
    whole = total @ np.ones((k, 1))  # for a few choices many times as fast as `sum`
    return np.where(whole > 0, total / np.where(whole > 0, whole, 1.0), 1.0 / k)


def split_ties(probs: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return distributions (N, K) with all probability on the most probable choice; ties share it."""
    best = np.isclose(probs, probs.max(axis=1, keepdims=True), rtol=0, atol=1e-12)
    shares: NDArray[np.float64] = best / best.sum(axis=1, keepdims=True)
    return shares
