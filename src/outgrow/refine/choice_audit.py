"""What a refinement of choices did, said before hours are spent; the counterpart of `outgrow.refine.audit` for texts.

Everything here is counted from distributions, without a model; what is compared with the base is counted on a sample.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from outgrow.errors import DataError
from outgrow.evaluate.wording import number_text, share_text
from outgrow.labels import ChoiceTargets, positions
from outgrow.refine.audit import UNCHANGED, below

COLLAPSED = 0.8
"""From this share on of the labels with other choices that became the commonest one, a refinement has broken down."""

Array = NDArray[np.float64]


@dataclass(frozen=True)
class ChoiceAudit:
    """A refinement of N rows with K choices in numbers; a row's label is its likeliest choice."""

    rows: int
    """Rows that were labelled again and have a label."""
    choices: tuple[str, ...]
    """Names of the choices, K of them."""
    as_weak: float
    """Share of the rows with the label they had."""
    shares: Mapping[str, tuple[float, ...]]
    """Who (`weak`, `refined`; `base` on the sample) → share of the rows with each choice as label, K of them."""
    confidence: Mapping[str, float]
    """Who → mean probability of the label."""
    entropy: Mapping[str, float]
    """Who → mean entropy, divided by ln K: 0 is certain of every row, 1 of none."""
    moved: float
    """Mean total variation distance from the weak distributions to the refined ones, between 0 and 1."""
    agreement: float
    """Mean share of the draws that gave the label; 1 where nothing was drawn."""
    sample: int = 0
    """Rows that were compared with the base, and scored."""
    as_base: float = float("nan")
    """Share of these with the label of the untouched strong model; NaN where it was not asked."""
    weak_as_base: float = float("nan")
    """The same for the weak labels."""
    scores: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """On the sample: metric → who → mean; nothing where gold is missing."""
    lower: tuple[str, ...] = ()
    """Metrics on which refined labels are worse than weak ones, by more than two standard errors of the difference."""

    def warnings(self) -> list[str]:
        """What should keep a user from training on this, in whole sentences; nothing where all is well."""
        found = []
        weak, refined = self.shares["weak"], self.shares["refined"]
        if self.rows and max(weak) == 1:
            only = self.choices[int(np.argmax(weak))]
            found.append(f"all weak labels are {only!r}: nothing shows the strong model when another choice is right.")
        if self.as_weak >= UNCHANGED:
            found.append(self._unchanged())
        elif self.as_base >= UNCHANGED > self.weak_as_base:
            shown = share_text(self.as_base)
            found.append(f"refinement has no effect: {shown} of its labels are those of the untouched strong model.")
        common = int(np.argmax(refined))
        if max(weak) < 1 and 1 - refined[common] <= (1 - COLLAPSED) * (1 - weak[common]):
            counts = f"{share_text(refined[common])} of its labels are {self.choices[common]!r}"
            found.append(f"refinement breaks down: {counts}, of the weak ones {share_text(weak[common])}.")
        for metric in self.lower:
            own = self.scores[metric]
            means = f"{number_text(own['refined'])}, against {number_text(own['weak'])}"
            found.append(f"refined labels have a lower {metric} than the weak ones: {means}.")
        return found

    def _unchanged(self) -> str:
        same = f"{share_text(self.as_weak)} of its labels are the weak ones"
        if self.moved <= 1 - UNCHANGED:
            return f"refinement changes nothing: {same}."
        drift = f"from {number_text(self.confidence['weak'])} to {number_text(self.confidence['refined'])}"
        return f"refinement changes hardly a label: {same}; their mean confidence goes {drift}."

    def to_json(self) -> dict[str, Any]:
        """All numbers as plain values."""
        return {**dataclasses.asdict(self), "warnings": self.warnings()}


def choice_audit(choices: Sequence[str], weak: ChoiceTargets, refined: ChoiceTargets) -> ChoiceAudit:
    """Counts what a refinement did to the rows it labelled again.

    Args:
        choices: Names of the K choices.
        weak: The combined weak labels.
        refined: The new ones of all rows or some, with a vote per draw where anything was drawn.

    Raises:
        DataError: There are other choices, or rows without a weak label.

    Example:
        >>> weak = ChoiceTargets(("a", "b"), np.array([[0.9, 0.1], [0.4, 0.6]]), np.ones(2))
        >>> refined = ChoiceTargets(("a", "b"), np.array([[0.8, 0.2], [0.7, 0.3]]), np.ones(2))
        >>> found = choice_audit(("no", "yes"), weak, refined)
        >>> found.as_weak, found.shares["refined"], found.warnings()
        (0.5, (1.0, 0.0), ["refinement breaks down: 100 % of its labels are 'no', of the weak ones 50 %."])
    """
    if weak.probs.shape[1:] != refined.probs.shape[1:] or weak.probs.shape[1] != len(choices):
        found = f"{weak.probs.shape[1]} weak, {refined.probs.shape[1]} refined"
        raise DataError("Labels do not have the choices that they are audited for.", found=found, wanted=len(choices))
    before = weak.probs[positions(weak.ids, refined.ids)]
    voices = {"weak": before, "refined": refined.probs}
    labels = refined.probs.argmax(axis=1)
    votes = refined.probs[:, None] if refined.votes is None else refined.votes
    return ChoiceAudit(
        rows=len(labels),
        choices=tuple(choices),
        as_weak=_mean(before.argmax(axis=1) == labels),
        shares={who: label_shares(probs) for who, probs in voices.items()},
        confidence={who: _mean(probs.max(axis=1)) for who, probs in voices.items()},
        entropy={who: _mean(relative_entropy(probs)) for who, probs in voices.items()},
        moved=_mean(np.abs(before - refined.probs).sum(axis=1) / 2),
        agreement=_mean(votes.argmax(axis=2) == labels[:, None]),
    )


def choices_compared(
    found: ChoiceAudit, weak: Array, refined: Array, base: Array | None, gold: NDArray[np.int64] | None
) -> ChoiceAudit:
    """The audit with what a comparison with the untouched strong model and with gold answers shows, on n rows.

    Args:
        found: The audit of all rows.
        weak: Weak distributions of the sample, shape (n, K).
        refined: Refined ones.
        base: Those of the strong model without demonstrations, NaN where it has none; None where it was not asked.
        gold: Gold choices, shape (n,); None where one is missing.
    """
    voices = {"weak": weak, "refined": refined}
    if base is not None:
        read = ~np.isnan(base).any(axis=1)
        own = base[read]
        labels = own.argmax(axis=1)
        found = dataclasses.replace(
            found,
            as_base=_mean(refined[read].argmax(axis=1) == labels),
            weak_as_base=_mean(weak[read].argmax(axis=1) == labels),
            shares={**found.shares, "base": label_shares(own)},
            confidence={**found.confidence, "base": _mean(own.max(axis=1))},
            entropy={**found.entropy, "base": _mean(relative_entropy(own))},
        )
        if read.all():
            voices["base"] = base
    if gold is None:
        return dataclasses.replace(found, sample=len(weak))
    right = {who: (probs.argmax(axis=1) == gold) * 1.0 for who, probs in voices.items()}
    return dataclasses.replace(
        found,
        sample=len(weak),
        scores={"accuracy": {who: _mean(hits) for who, hits in right.items()}},
        lower=("accuracy",) if below(right["refined"] - right["weak"]) else (),
    )


def label_shares(probs: Array) -> tuple[float, ...]:
    """How often each of the K choices is the likeliest, of distributions (N, K)."""
    counts = np.bincount(probs.argmax(axis=1), minlength=probs.shape[1])
    return tuple((counts / max(1, len(probs))).tolist())


def relative_entropy(probs: Array) -> Array:
    """Entropies of distributions (N, K), divided by ln K; shape (N,).

    Example:
        >>> relative_entropy(np.array([[1.0, 0.0], [0.5, 0.5]])).tolist()
        [0.0, 1.0]
    """
    logs = np.log(probs, out=np.zeros_like(probs), where=probs > 0)
    entropies: Array = np.abs((probs * logs).sum(axis=1)) / np.log(max(2, probs.shape[1]))
    return entropies


def _mean(values: NDArray[Any]) -> float:
    return float(values.mean()) if values.size else float("nan")
