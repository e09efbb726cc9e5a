"""`combine`: one function over all combiners and the forms in which people have votes."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from outgrow.combine.agreement import agreement_of
from outgrow.combine.ballots import Ballots, Merged, checked_gold
from outgrow.combine.calibration import apply_temperatures, fit_temperatures
from outgrow.combine.combined import Combined
from outgrow.combine.dependence import Dependence
from outgrow.combine.diagnostics import shared_errors
from outgrow.combine.open_answers import Candidates, is_open, places
from outgrow.combine.result import Posterior, finished
from outgrow.combine.weights import Weights, check_weighting, explicit_weights, informed_weights
from outgrow.errors import ConfigError, DataError
from outgrow.labels import ChoiceVotes, positions
from outgrow.registry import can, create, require

Array = NDArray[np.float64]
COLUMNS = ("task", "worker", "label")
"""Columns of a long table, by name or, in tuples, by place."""


def combine(
    votes: ChoiceVotes | Ballots | ArrayLike | Sequence[tuple[Any, Any, Any]] | Any,
    method: str | Any = "dependence",
    *,
    choices: int | Sequence[Any] | None = None,
    gold: ArrayLike | Mapping[Any, Any] | None = None,
    seed: int = 0,
    weights: Weights | None = None,
    calibrate: bool = False,
) -> Combined:
    """Combine the votes of several supervisors into a posterior per row.

    Args:
        votes: One of

            - whole numbers (N, M), the label of each row by each supervisor, -1 for abstentions;
            - probabilities (N, M, K), K NaNs for an abstention, or `ChoiceVotes`;
            - a long table with columns `task`, `worker` and `label` (pandas or pyarrow), or a list of such tuples.
              Labels may be strings; missing ones, empty ones and -1 are abstentions;
            - `Ballots`, for very many votes.
        method: Name of a registered combiner with its default parameters, or a combiner, such as `DawidSkene(…)`.
        choices: K or the labels in order, where the votes do not show them all. Default: the labels that occur, sorted.
            More than 200, or more than a few that nobody listed for the rows there are, are open answers, such as
            numbers: every row then has its own candidates (`Combined.answers`).
        gold: Known answers, shape (N,), -1 where unknown, or a mapping of rows to labels by name. They hold their
            rows, and show who is right.
        seed: Ignored: all methods are deterministic.
        weights: λ by `uniform`, `calibrated` (on gold), `estimated` (on the posterior), or a number per supervisor.
            `mean` and `majority` use them; the other methods weigh supervisors themselves and only report λ. Default:
            those of the combiner for `mean`, uniform for `majority`, estimated for the others.
        calibrate: Fit a temperature per supervisor on the gold rows first; votes must be probabilities.

    Raises:
        DataError: Votes or gold have a wrong form or wrong values.
        ConfigError: Unknown method or weighting, weights that do not fit, or calibration without gold.

    Example:
        >>> cast = [("a", "ann", "yes"), ("a", "bob", "yes"), ("a", "eve", "no"), ("b", "ann", "no")]
        >>> combined = combine(cast, "majority")
        >>> combined.rows, combined.choices, combined.probs.round(2).tolist()
        (('a', 'b'), ('no', 'yes'), [[0.33, 0.67], [1.0, 0.0]])
        >>> combine([[1, 1, 0], [0, -1, -1]], "majority").probs.round(2).tolist()
        [[0.33, 0.67], [1.0, 0.0]]
    """
    if calibrate:
        votes = _calibrated(votes, gold)
    every, rows, names = named = read_votes(votes, choices)
    known = checked_gold(named.gold(gold), every.rows, every.choices)
    combiner = create("combiner", method, {}) if isinstance(method, str) else method
    if isinstance(weights, str):
        check_weighting(weights, has_gold=bool((known >= 0).any()))
    if is_open(every, listed=choices is not None) and can(combiner, "posterior"):
        candidates = Candidates.of(every)
        one = _posterior_of(combiner, candidates.ballots, places(candidates.answers, known), weights)
        return dataclasses.replace(one, rows=rows, choices=names, answers=candidates.answers)
    combined = _posterior_of(combiner, every, known, weights, name=method)
    return dataclasses.replace(combined, rows=rows, choices=names)


def _posterior_of(
    combiner: Any, every: Ballots, known: NDArray[np.int64], weights: Weights | None, *, name: Any = None
) -> Combined:
    own = getattr(combiner, "weighting", None)
    wanted = weights if weights is not None else "estimated" if own is None else own
    if not can(combiner, "posterior"):
        merged = Merged(every, known, np.arange(every.rows))
        return Combined(merged, _by_choices(combiner, name, every, known), _lambdas(wanted, merged))
    # Rows with the same votes become one: with few people and choices a thousand lines stand for millions.
    merged = Merged.of(every, known)
    given, options = _lambdas(wanted, merged), {}
    if own is not None:
        if given is None:
            given = Combined(merged, Dependence().posterior(merged.ballots, gold=merged.gold), None).weights
        options["weights"] = given
    posterior = combiner.posterior(merged.ballots, gold=merged.gold, **options)
    return Combined(merged, posterior, given)


def _by_choices(combiner: Any, name: Any, ballots: Ballots, gold: NDArray[np.int64]) -> Posterior:
    """The targets of a combiner without `posterior`; uniform where it leaves a row out."""
    if not can(combiner, "choices") and not callable(combiner):
        require("combiner", str(name), combiner, "choices", door="combine")
    votes = ballots.votes()
    targets = getattr(combiner, "choices", combiner)(votes, gold)
    probs = np.full((ballots.rows, ballots.choices), 1 / ballots.choices)
    probs[positions(votes.ids, targets.ids)] = targets.probs
    return Posterior(finished(probs, ballots, gold))


def _lambdas(wanted: Weights, merged: Merged) -> Array | None:
    """λ (M,) of each supervisor; None where it is estimated from a posterior."""
    ballots, gold = merged.ballots, merged.gold
    if not isinstance(wanted, str):
        return explicit_weights(wanted, ballots.names)
    if wanted == "uniform":
        return np.full(len(ballots.names), 1.0 / len(ballots.names))
    if wanted == "calibrated":
        checked = ballots.select(gold[ballots.row] >= 0)
        certain = np.eye(ballots.choices)[np.maximum(gold, 0)]
        return informed_weights(checked, certain, shared_errors(checked, certain, agreement_of(checked)))
    return None


def _calibrated(votes: Any, gold: ArrayLike | Mapping[Any, Any] | None) -> ChoiceVotes | Array:
    if gold is None or isinstance(gold, Mapping) or not (isinstance(votes, ChoiceVotes) or np.ndim(votes) == 3):
        raise ConfigError(
            "Temperatures are fitted to probabilities of shape (N, M, K) on gold answers.",
            found="no gold" if gold is None else "votes or gold of another form",
            fix="Pass gold as an array, -1 where unknown, and votes as ChoiceVotes or an array.",
        )
    temperatures = fit_temperatures(votes, gold)
    if isinstance(votes, ChoiceVotes):
        return dataclasses.replace(votes, probs=apply_temperatures(votes.probs, temperatures))
    return apply_temperatures(votes, temperatures)


class NamedBallots(NamedTuple):
    """Ballots, with the names of their rows and choices; None where the votes have none."""

    ballots: Ballots
    rows: Sequence[Hashable] | None
    choices: tuple[Any, ...] | None

    def gold(self, known: ArrayLike | Mapping[Any, Any] | None) -> ArrayLike | None:
        """Return known answers as an array over rows: as given, or by name from a mapping of rows to answers."""
        if not isinstance(known, Mapping):
            return known
        rows = range(self.ballots.rows) if self.rows is None else self.rows
        choices = range(self.ballots.choices) if self.choices is None else self.choices
        place_of, index_of = ({name: at for at, name in enumerate(each)} for each in (rows, choices))
        unknown = [f"{row}: {answer}" for row, answer in known.items() if row not in place_of or answer not in index_of]
        if unknown:
            raise DataError("A gold answer is for a row or choice that does not occur.", found=", ".join(unknown[:5]))
        gold = np.full(self.ballots.rows, -1)
        for row, answer in known.items():
            gold[place_of[row]] = index_of[answer]
        return gold


def read_votes(votes: Any, choices: int | Sequence[Any] | None = None) -> NamedBallots:
    """Return votes of any form that `combine` accepts as ballots."""
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
                "A vote is not (task, worker, label).",
                found=wrong[0],
                fix="Pass a label matrix as lists or an array.",
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
    place: dict[Any, int] = {}
    codes = [place.setdefault(None if _missing(value) else value, len(place)) for value in column]
    return np.array(codes, dtype=np.int64), tuple(place)


def _missing(value: Any) -> bool:
    return value is None or value != value  # NaN


def _abstains(label: Any, named: Sequence[Any] | None) -> bool:
    return _missing(label) or label == "" or (label in (-1, "-1") and label not in (named or ()))
