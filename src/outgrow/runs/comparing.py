"""The models of several runs side by side, with paired differences where they answered the same rows."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from outgrow.errors import DataError
from outgrow.evaluate import ModelScores, mean_scores
from outgrow.evaluate.gap import score_range
from outgrow.evaluate.summary import Estimate
from outgrow.report.table import columns_text
from outgrow.report.words import ORDER
from outgrow.results import Results

_Model = tuple[str, str]
"""Role and name."""


@dataclass(frozen=True)
class ComparedModel:
    """One model of several runs on one metric."""

    name: str
    role: str
    scores: tuple[Estimate | None, ...]
    """Its mean in each run; None where the run has no such model."""
    gains: tuple[Estimate | None, ...]
    """Its mean in each run minus that in the first one, on the rows that both answered; None where there are none."""


@dataclass(frozen=True)
class RunComparison:
    """Several runs on one metric."""

    metric: str
    runs: tuple[str, ...]
    """Names of the runs."""
    examples: tuple[int, ...]
    """Number of test examples of each."""
    shared: tuple[int, ...]
    """How many of them are test examples of the first run too."""
    models: tuple[ComparedModel, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return dataclasses.asdict(self)

    def text(self) -> str:
        """Return a table: a line for each model, with its score in each run and its gain over the first run."""
        titles, rows = ["", "role", self.runs[0]], []
        for name, shared in zip(self.runs[1:], self.shared[1:], strict=True):
            titles += [name, *(["difference"] if shared else [])]
        for model in self.models:
            row = [model.name, model.role, _text(model.scores[0])]
            for score, gain, shared in zip(model.scores[1:], model.gains[1:], self.shared[1:], strict=True):
                row += [_text(score), *([_text(gain, signed=True)] if shared else [])]
            rows.append(row)
        return f"{self.metric}\n{columns_text(titles, rows)}\n\n{self._about()}"

    def _about(self) -> str:
        first, *others = zip(self.runs, self.examples, self.shared, strict=True)
        lines = [f"{first[0]}: {first[1]:,} test examples."]
        for name, count, shared in others:
            told = (
                f"{shared:,} of them the same: differences are paired by row and seed" if shared else "no common rows"
            )
            lines.append(f"{name}: {count:,} test examples, {told}.")
        return "\n".join(lines)


def compare_runs(folders: Sequence[str | Path]) -> tuple[RunComparison, ...]:
    """Compare the results in several folders, metric by metric; differences are paired by test row and seed.

    Rows are the same where their ids are, in runs whose tasks have the same contents or the same path. Of different
    numbers of seeds the first ones that both runs have are compared.

    Raises:
        StoreError: A folder has no results.
        DataError: The runs have no metric in common.
    """
    runs = [Results.load(folder) for folder in folders]
    metrics = [
        metric
        for metric in dict.fromkeys(name for model in runs[0].models for name in model.scores)
        if all(any(metric in model.scores for model in run.models) for run in runs)
    ]
    if not metrics:
        found = "; ".join(", ".join({name for model in run.models for name in model.scores}) or "none" for run in runs)
        raise DataError(
            "The runs have no metric in common.", found=found, wanted="runs that were evaluated on the same metric"
        )
    names = _names(runs, folders)
    shared = [_shared(runs[0], run) for run in runs]
    return tuple(_compared(metric, names, runs, shared) for metric in metrics)


def _names(runs: Sequence[Results], folders: Sequence[str | Path]) -> tuple[str, ...]:
    """The names of the experiments, or where these are not distinct their folders."""
    names = [run.name for run in runs]
    return tuple(names if len({*names}) == len(names) else map(str, folders))


def _shared(one: Results, other: Results) -> tuple[list[int], list[int]]:
    """Places of the test rows that two runs share, in each of them."""
    known = [_task(run.provenance) for run in (one, other)]
    same = any(first == second is not None for first, second in zip(*known, strict=True))
    if one.ids is None or other.ids is None or not same:
        return [], []
    places = {name: index for index, name in enumerate(one.ids)}
    pairs = [(places[name], index) for index, name in enumerate(other.ids) if name in places]
    return [first for first, _ in pairs], [second for _, second in pairs]


def _task(about: Mapping[str, Any]) -> tuple[Any, Any]:
    return (about.get("hashes") or {}).get("rows"), ((about.get("config") or {}).get("task") or {}).get("path")


def _compared(
    metric: str, names: tuple[str, ...], runs: Sequence[Results], shared: Sequence[tuple[list[int], list[int]]]
) -> RunComparison:
    tables: list[dict[_Model, ModelScores]] = [
        {(model.role, model.name): model for model in run.models if metric in model.scores} for run in runs
    ]
    low, high = score_range(np.asarray(model.scores[metric]) for table in tables for model in table.values())
    every = sorted(dict.fromkeys(who for table in tables for who in table), key=lambda who: ORDER.index(who[0]))
    models = []
    for who in every:
        own = [table.get(who) for table in tables]
        scores = tuple(None if model is None else _estimate([_arrays(model, metric)], [1], low, high) for model in own)
        gains = tuple(
            _gain(metric, own[0], model, places, high - low) for model, places in zip(own, shared, strict=True)
        )
        models.append(ComparedModel(who[1], who[0], scores, (None, *gains[1:])))
    examples = tuple(next(iter(table.values())).scores[metric].shape[1] for table in tables)
    return RunComparison(metric, names, examples, tuple(len(places) for _, places in shared), tuple(models))


_Arrays = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Scores and their weights, both (seeds, examples)."""


def _arrays(model: ModelScores, metric: str) -> _Arrays:
    scores = np.asarray(model.scores[metric])
    return scores, np.asarray(model.weights.get(metric, np.ones_like(scores)))


def _gain(
    metric: str, first: ModelScores | None, other: ModelScores | None, places: tuple[list[int], list[int]], span: float
) -> Estimate | None:
    if first is None or other is None or not places[0]:
        return None
    seeds = min(len(model.scores[metric]) for model in (first, other))
    taken = [
        (scores[:seeds, own], weights[:seeds, own])
        for (scores, weights), own in zip((_arrays(other, metric), _arrays(first, metric)), places[::-1], strict=True)
    ]
    return _estimate(taken, [1, -1], -span, span)


def _estimate(arrays: Sequence[_Arrays], vector: Sequence[int], low: float, high: float) -> Estimate:
    contrast = mean_scores([scores for scores, _ in arrays], [weights for _, weights in arrays]).contrast(vector)
    return Estimate(contrast.value, contrast.interval(low, high))


def _text(estimate: Estimate | None, *, signed: bool = False) -> str:
    return "" if estimate is None else estimate.text(signed=signed)
