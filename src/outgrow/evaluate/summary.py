"""Everything a table or a report says about an experiment, as plain data: means, intervals, gaps, tests, warnings.

`compare.summarise` makes a `Summary` from `ModelScores`; tables, reports and JSON only write down what is in it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from outgrow.evaluate.calibration import Bin
from outgrow.evaluate.certainty import Certainty
from outgrow.evaluate.gap import Gap
from outgrow.evaluate.wording import Interval
from outgrow.labels.notes import Note

Role = Literal["supervisor", "base", "ceiling", "student"]
"""What a model is in the experiment: who judges, the untouched strong model, the strong model on gold, the methods."""
ROLES: tuple[Role, ...] = get_args(Role)


@dataclass(frozen=True, eq=False)
class ModelScores:
    """How one model did on the test part."""

    name: str
    """Its name, unique within its role."""
    role: Role
    """What it is in the experiment; at most one base and one ceiling."""
    scores: Mapping[str, NDArray[np.float64]]
    """Per metric the score of every example, shape (seeds, examples); higher is better."""
    note: str = ""
    """A remark for the reader, such as where the labels come from."""
    certainty: Certainty | None = None
    """How sure it was of its answers, where it says so."""
    weights: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    """How much each example counts, shape (seeds, examples), for metrics that are weighted means."""


@dataclass(frozen=True)
class Estimate:
    """A number with its doubt."""

    value: float
    """The mean over examples and seeds, or a difference of two."""
    interval: Interval | None
    """95 % interval; None on a single example."""


@dataclass(frozen=True)
class Comparison:
    """A sign test of one student against another on the same examples."""

    against: str
    """The other student."""
    wins: int
    """Examples on which this student does better."""
    losses: int
    """Examples on which it does worse."""
    p: float
    """Two-sided p-value of the exact test."""


@dataclass(frozen=True)
class Line:
    """What is known about one model on one metric."""

    name: str
    """As in its `ModelScores`."""
    role: Role
    """As in its `ModelScores`."""
    note: str
    """As in its `ModelScores`."""
    seeds: int
    """Number of runs behind the score."""
    score: Estimate
    """Mean score."""
    against_best: Gap | None
    """Gap recovered from the best supervisor; None unless a student with supervisors and a ceiling to compare."""
    against_mean: Gap | None
    """Gap recovered from the average supervisor."""
    gain_over_best: Estimate | None
    """Student minus best supervisor: above 0, it has outgrown all of them."""
    gain_over_base: Estimate | None
    """Student minus untouched strong model."""
    comparison: Comparison | None
    """Against the naive student (the first one), or, for that one itself, against the best other."""


@dataclass(frozen=True)
class MetricSummary:
    """All models on one metric."""

    metric: str
    """Its name."""
    examples: int
    """Number of test examples."""
    chance: float | None
    """Score of a blind guess, where known."""
    lines: tuple[Line, ...]
    """One per model that has the metric, in the order given."""
    best_supervisor: str | None
    """The supervisor with the highest mean on test; None without supervisors."""
    best_supervisor_doubt: float
    """Share of the resamples in which another supervisor is strictly better than that one."""
    mean_supervisor: Estimate | None
    """The average supervisor."""

    def of(self, role: Role) -> tuple[Line, ...]:
        """The lines of one role."""
        return tuple(line for line in self.lines if line.role == role)


@dataclass(frozen=True)
class VacuitySummary:
    """Does the vacuity of an evidential student tell where it errs?"""

    detection: Estimate | None
    """Area under the ROC curve of vacuity as a detector of errors; None where a run has none, or nothing else."""
    confidence_detection: Estimate | None
    """The same of one minus confidence, which every model has."""
    bins: tuple[Bin, ...]
    """Error rate by deciles of vacuity, all seeds together."""


@dataclass(frozen=True)
class CalibrationLine:
    """How well one model knows how sure it may be."""

    name: str
    """As in its `ModelScores`."""
    role: Role
    """As in its `ModelScores`."""
    error: Estimate
    """Expected calibration error, mean over seeds; the interval begins at 0 where chance alone may explain it."""
    overconfidence: Estimate
    """Mean confidence minus accuracy: above 0 the model is surer than it may be."""
    brier: Estimate
    """Multi-class Brier score, in [0, 2]."""
    nll: Estimate
    """Negative log-likelihood of the right answer, in nats."""
    impossible: float
    """Share of examples whose right answer was given a probability of (nearly) zero; the floor decides their NLL."""
    against: str | None
    """The naive student (the first one) for every other student; else None."""
    error_change: Estimate | None
    """Calibration error minus that student's, on the same resamples: below 0 is better."""
    bins: tuple[Bin, ...]
    """Reliability diagram, all seeds together."""
    vacuity: VacuitySummary | None
    """Only for students that have it."""


@dataclass(frozen=True)
class CalibrationSummary:
    """Everyone who says how sure he is."""

    examples: int
    """Number of test examples."""
    bins: int
    """Number of bins of equal width behind the calibration error."""
    lines: tuple[CalibrationLine, ...]
    """One per model with certainties, in the order given."""


@dataclass(frozen=True)
class SweepPoint:
    """One student of a sweep on one metric."""

    value: float
    """The number that tells its method from the others'."""
    name: str
    """Its name."""
    score: Estimate
    """Mean score."""
    gain: Estimate | None
    """Student minus reference, on the same resamples; None without a reference."""

    @property
    def better(self) -> bool:
        """Whether the interval of the gain lies above 0."""
        return self.gain is not None and self.gain.interval is not None and self.gain.interval[0] > 0

    @property
    def worse(self) -> bool:
        """Whether the interval of the gain lies below 0."""
        return self.gain is not None and self.gain.interval is not None and self.gain.interval[1] < 0


@dataclass(frozen=True)
class SweptMetric:
    """A sweep on one metric."""

    metric: str
    """Its name."""
    points: tuple[SweepPoint, ...]
    """Two or more, smallest number first."""
    pays_from: float | None
    """From this number on every point is better than the reference; None where there is no such number."""
    best: float
    """The number with the highest mean score; of equally high ones the smallest."""
    fall: Estimate | None
    """Score at the largest number minus that at the best; None where it is as high."""


@dataclass(frozen=True)
class SweepSummary:
    """Students whose methods differ in one number."""

    setting: str
    """Where the number stands in a method, such as `refine.demonstrations`."""
    reference: str | None
    """The student they are compared with; None where there is none to compare."""
    metrics: tuple[SweptMetric, ...]
    """One per metric that they are scored on."""


@dataclass(frozen=True)
class Summary:
    """All models on all metrics."""

    metrics: tuple[MetricSummary, ...]
    """One per metric, in the order given."""
    notes: tuple[Note, ...]
    """What limits the meaning of the numbers; worded by `outgrow.report.notes`."""
    resamples: int
    """Bootstrap resamples behind every interval."""
    calibration: CalibrationSummary | None = None
    """None where nobody says how sure he is."""
    sweeps: tuple[SweepSummary, ...] = ()
    """Where students differ in a single number."""

    def to_dict(self) -> dict[str, Any]:
        """The same as lists, dictionaries, strings, numbers and None: ready for JSON, never NaN."""
        plain: dict[str, Any] = _plain(dataclasses.asdict(self))
        return plain | {"notes": [note.to_json() for note in self.notes]}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value
