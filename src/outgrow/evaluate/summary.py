"""The records of a summary: scores, intervals, gaps, tests and notes of all models, as plain data.

`compare.summarise` makes a `Summary` from `ModelScores`; tables, reports and JSON show what is in it.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from outgrow.evaluate.calibration import Bin, Certainty
from outgrow.evaluate.gap import Gap
from outgrow.evaluate.wording import Interval, estimate_text
from outgrow.labels.notes import Note

Role = Literal["supervisor", "combined", "base", "gold", "ceiling", "student"]
"""Supervisor, combination of the supervisors' votes, student of a method, or the strong model: before training (base),
trained on the gold rows alone (gold), or on gold labels of the unlabelled rows (ceiling)."""
ROLES: tuple[Role, ...] = get_args(Role)
LEVEL = 0.05
"""Level of every test."""


@dataclass(frozen=True, eq=False)
class ModelScores:
    """Scores of one model on the test part."""

    name: str
    """Unique within its role."""
    role: Role
    """At most one model is the base, one the ceiling, and one has the role `gold`."""
    scores: Mapping[str, NDArray[np.float64]]
    """Per metric the score of every example, shape (seeds, examples); higher is better."""
    note: str = ""
    """A remark for tables, such as where the labels come from."""
    certainty: Certainty | None = None
    """Confidence in its answers; None for models without probabilities."""
    weights: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    """Per metric that is a weighted mean the weight of every example, shape (seeds, examples)."""


@dataclass(frozen=True)
class Estimate:
    """A mean over examples and seeds, or a difference of two, with its uncertainty."""

    value: float
    interval: Interval | None
    """95 % interval; None on a single example."""

    @property
    def ends(self) -> Interval:
        """The interval, or the value twice without one."""
        return self.interval or (self.value, self.value)

    @property
    def sign(self) -> int:
        """1 where the interval lies above 0, −1 where it lies below, 0 where it holds 0 or is missing."""
        low, high = self.interval or (0.0, 0.0)
        return int(low > 0) - int(high < 0)

    def text(self, *, decimals: int = 3, signed: bool = False, separator: str = " ") -> str:
        """Return value and interval as `estimate_text` does."""
        return estimate_text(self.value, self.interval, decimals=decimals, signed=signed, separator=separator)


@dataclass(frozen=True)
class Comparison:
    """One student against another on the same examples and seeds."""

    against: str
    """The other student."""
    wins: int
    """Examples on which this student does better, averaged over seeds."""
    losses: int
    """Examples on which it does worse."""
    p: float
    """Two-sided p-value of equal means (`Contrast.p`)."""
    corrected: float
    """The same, corrected for the number of students (Holm)."""


@dataclass(frozen=True)
class Rival:
    """A reference point that a student must beat to have outgrown its supervisors."""

    kind: Literal["supervisor", "combined", "base", "chance"]
    """Of several supervisors or combinations the one that is hardest to beat."""
    name: str
    score: float
    gain: Estimate
    """Student minus rival."""
    p: float
    """p-value of a student that is not above it, corrected for the number of students; 1 without a positive gain. The
    largest of a student's is that of beating all of them (Holm over the students)."""
    seeds: int | None = None
    """Seeds that would settle a gain of this size four times in five; None where it is settled or none would do."""
    examples: int | None = None
    """Test examples that would."""

    @property
    def sign(self) -> int:
        """1 where the student is above it at the 5 % level, −1 where the interval of the gain lies below 0, else 0."""
        return 1 if self.p <= LEVEL else min(0, self.gain.sign)


@dataclass(frozen=True)
class Line:
    """One model on one metric, with gaps and gains for students; name, role and note are those of its `ModelScores`."""

    name: str
    role: Role
    note: str
    seeds: int
    """Number of runs behind the score."""
    score: Estimate
    against_best: Gap | None = None
    """Gap between best supervisor and ceiling; None without either."""
    against_mean: Gap | None = None
    """Gap between average supervisor and ceiling."""
    against_combined: Gap | None = None
    """Gap between best combination and ceiling."""
    gain_over_best: Estimate | None = None
    """Student minus best supervisor: above 0, it has outgrown all supervisors."""
    gain_over_base: Estimate | None = None
    """Student minus untouched strong model."""
    comparison: Comparison | None = None
    """Against the student `naive` (else the first one); for that one itself, against the best other."""
    rivals: tuple[Rival, ...] = ()
    """Of a student, in the order of the kinds."""

    @property
    def hardest(self) -> Gap | None:
        """The gap to the highest floor: best supervisor, average supervisor or best combination."""
        gaps = (self.against_best, self.against_mean, self.against_combined)
        return max((gap for gap in gaps if gap), key=lambda gap: gap.floor, default=None)


@dataclass(frozen=True)
class MetricSummary:
    """All models on one metric."""

    metric: str
    examples: int
    """Number of test examples."""
    chance: float | None
    """Score of a blind guess, where known."""
    lines: tuple[Line, ...]
    """One per model with the metric, in the order given."""
    best_supervisor: str | None
    """The supervisor with the highest mean on validation rows, else on test; None without supervisors."""
    best_supervisor_doubt: float
    """One-sided p-value of another supervisor that is better after all; 0 where it was chosen on validation rows."""
    mean_supervisor: Estimate | None
    """The average supervisor."""

    def of(self, role: Role) -> tuple[Line, ...]:
        """Return the lines of one role."""
        return tuple(line for line in self.lines if line.role == role)


@dataclass(frozen=True)
class VacuitySummary:
    """Error detection by the vacuity of an evidential student."""

    detection: Estimate | None
    """AUROC of vacuity as a detector of errors; None where a run has only right or only wrong answers."""
    confidence_detection: Estimate | None
    """AUROC of one minus confidence, for comparison."""
    bins: tuple[Bin, ...]
    """Error rate by deciles of vacuity, seeds pooled."""


@dataclass(frozen=True)
class CalibrationLine:
    """Calibration of one model; name and role are those of its `ModelScores`."""

    name: str
    role: Role
    error: Estimate
    """Expected calibration error, mean over seeds; the interval begins at 0 where chance alone may explain it."""
    overconfidence: Estimate
    """Mean confidence minus accuracy."""
    brier: Estimate
    """Multi-class Brier score, in [0, 2]."""
    nll: Estimate
    """Negative log-likelihood of the right answer, in nats."""
    impossible: float
    """Share of examples whose right answer has a probability below the floor, which then sets their NLL."""
    against: str | None
    """For students: the student `naive` (else the first one); None for that one and for other roles."""
    error_change: Estimate | None
    """Calibration error minus that of `against`, on the same resamples: below 0 is better."""
    bins: tuple[Bin, ...]
    """Reliability diagram, seeds pooled."""
    vacuity: VacuitySummary | None
    """None for students without vacuity."""


@dataclass(frozen=True)
class CalibrationSummary:
    """Calibration of all models that report probabilities."""

    examples: int
    """Number of test examples."""
    bins: int
    """Number of bins of equal width behind the calibration error."""
    lines: tuple[CalibrationLine, ...]
    """In the order of the models."""


@dataclass(frozen=True)
class SweepPoint:
    """One student of a sweep on one metric."""

    value: float
    """The swept number."""
    name: str
    score: Estimate
    gain: Estimate | None
    """Student minus reference, on the same resamples; None without a reference."""

    @property
    def sign(self) -> int:
        """1 where it is better than the reference, −1 where it is worse, 0 where neither is shown."""
        return self.gain.sign if self.gain else 0


@dataclass(frozen=True)
class SweptMetric:
    """A sweep on one metric."""

    metric: str
    points: tuple[SweepPoint, ...]
    """Two or more, smallest number first."""
    pays_from: float | None
    """From this number on every point is better than the reference; None where there is no such number."""
    best: float
    """The number with the highest mean score; of several the smallest."""
    fall: Estimate | None
    """Score at the largest number minus that at the best; None where it is as high."""


@dataclass(frozen=True)
class SweepSummary:
    """Students whose methods differ in one number; setting and reference are those of the `Sweep`."""

    setting: str
    reference: str | None
    metrics: tuple[SweptMetric, ...]


@dataclass(frozen=True)
class Summary:
    """All models on all metrics."""

    metrics: tuple[MetricSummary, ...]
    notes: tuple[Note, ...]
    """What limits the meaning of the numbers; worded by `outgrow.report.notes`."""
    resamples: int
    """Bootstrap resamples behind the intervals of calibration."""
    calibration: CalibrationSummary | None = None
    """None where no model reports probabilities."""
    sweeps: tuple[SweepSummary, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the summary as dictionaries, lists, strings, numbers and None."""
        values = dataclasses.asdict(self) | {"notes": [note.to_json() for note in self.notes]}
        plain: dict[str, Any] = json.loads(json.dumps(values))
        return plain
