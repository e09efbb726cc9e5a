"""Whether a refinement of choices is worth training on; the counterpart of `TextAudit`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from outgrow.errors import DataError
from outgrow.labels import ChoiceTargets, positions
from outgrow.refine.audit import UNCHANGED, Audit, Reason

COLLAPSED = 0.8
"""If this share of the labels other than the commonest one became the commonest one, refinement has broken down."""
UNRELATED = 0.2
"""If Cohen's κ of weak and refined labels is below this by two standard errors, one of the two knows little."""

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class ChoiceAudit(Audit):
    """A refinement of rows with K choices in numbers; a row's label is its likeliest choice."""

    unit: ClassVar[str] = "labels"
    compared_with: ClassVar[tuple[str, ...]] = ("weak",)

    choices: tuple[str, ...]
    """Names of the choices, K of them."""
    shares: Mapping[str, tuple[float, ...]]
    """Who (`weak`, `refined`; `base` on the sample) → share of each choice among the labels, K of them."""
    confidence: Mapping[str, float]
    """Who → mean probability of the label."""
    entropy: Mapping[str, float]
    """Who → mean entropy, divided by ln K."""
    moved: float
    """Mean total variation distance between weak and refined distributions, between 0 and 1."""

    @classmethod
    def of(cls, choices: Sequence[str], weak: ChoiceTargets, refined: ChoiceTargets) -> ChoiceAudit:
        """Audit refined targets of all rows or some, with a vote per draw where anything was drawn.

        Raises:
            DataError: The targets have other choices, or a row has no weak target.

        Example:
            >>> weak = ChoiceTargets(("a", "b"), np.array([[0.9, 0.1], [0.4, 0.6]]), np.ones(2))
            >>> refined = ChoiceTargets(("a", "b"), np.array([[0.8, 0.2], [0.7, 0.3]]), np.ones(2))
            >>> found = ChoiceAudit.of(("no", "yes"), weak, refined)
            >>> found.as_weak, found.shares["refined"], found.notes("icl", 0)[0].code
            (0.5, (1.0, 0.0), 'refine.collapsed')
        """
        if weak.probs.shape[1:] != refined.probs.shape[1:] or weak.probs.shape[1] != len(choices):
            shapes = f"{weak.probs.shape[1]} weak, {refined.probs.shape[1]} refined"
            raise DataError("The targets do not have the task's choices.", found=shapes, wanted=len(choices))
        before = weak.probs[positions(weak.ids, refined.ids)]
        labels = refined.probs.argmax(axis=1)
        votes = refined.probs[:, None] if refined.votes is None else refined.votes
        return cls(
            rows=len(labels),
            as_weak=_mean(before.argmax(axis=1) == labels),
            agreement=_mean(votes.argmax(axis=2) == labels[:, None]),
            choices=tuple(choices),
            moved=_mean(np.abs(before - refined.probs).sum(axis=1) / 2),
            **_summaries({"weak": before, "refined": refined.probs}),
        )

    def compared(self, weak: Array, refined: Array, base: Array | None, gold: NDArray[np.int64] | None) -> ChoiceAudit:
        """Add the comparison with the base and with gold answers on a sample of n rows.

        Args:
            weak: Weak distributions, shape (n, K).
            refined: Refined ones.
            base: Those of the untrained strong model, NaN where a row is too long; None without base.
            gold: Gold choices, shape (n,); None where one is missing.
        """
        known, found = {"weak": weak, "refined": refined}, dataclasses.replace(self, sample=len(weak))
        if base is not None:
            read = ~np.isnan(base).any(axis=1)
            labels = base[read].argmax(axis=1)
            own = _summaries({"base": base[read]})
            found = dataclasses.replace(
                found,
                as_base=_mean(refined[read].argmax(axis=1) == labels),
                weak_as_base=_mean(weak[read].argmax(axis=1) == labels),
                shares={**self.shares, **own["shares"]},
                confidence={**self.confidence, **own["confidence"]},
                entropy={**self.entropy, **own["entropy"]},
            )
            if read.all():
                known["base"] = base
        if gold is None:
            return found
        return found._scored({"accuracy": {who: (probs.argmax(axis=1) == gold) * 1.0 for who, probs in known.items()}})

    def _drift(self) -> dict[str, Any]:
        if self.moved <= 1 - UNCHANGED:
            return {}
        return {"before": self.confidence["weak"], "after": self.confidence["refined"]}

    def _doubts(self) -> list[Reason]:
        chance = float(np.dot(self.shares["weak"], self.shares["refined"]))
        kappa, error = (self.as_weak - chance) / (1 - chance), (chance / (1 - chance) / max(1, self.rows)) ** 0.5
        most = kappa + 2 * error
        return [("caution", "refine.unrelated", {"kappa": kappa, "most": most})] if most < UNRELATED else []

    def _broken(self) -> list[Reason]:
        weak, refined = self.shares["weak"], self.shares["refined"]
        if max(weak) == 1:
            return [("warning", "refine.one_label", {"choice": self.choices[int(np.argmax(weak))]})]
        common = int(np.argmax(refined))
        if 1 - refined[common] > (1 - COLLAPSED) * (1 - weak[common]):
            return []
        values = {"choice": self.choices[common], "refined": refined[common], "weak": weak[common]}
        return [("warning", "refine.collapsed", values)]


def label_shares(probs: Array) -> tuple[float, ...]:
    """Return how often each of the K choices is the likeliest, of distributions (N, K)."""
    counts = np.bincount(probs.argmax(axis=1), minlength=probs.shape[1])
    return tuple((counts / max(1, len(probs))).tolist())


def relative_entropy(probs: Array) -> Array:
    """Return the entropies of distributions (N, K), divided by ln K; shape (N,).

    Example:
        >>> relative_entropy(np.array([[1.0, 0.0], [0.5, 0.5]])).tolist()
        [0.0, 1.0]
    """
    logs = np.log(probs, out=np.zeros_like(probs), where=probs > 0)
    entropies: Array = np.abs((probs * logs).sum(axis=1)) / np.log(max(2, probs.shape[1]))
    return entropies


def _summaries(distributions: Mapping[str, Array]) -> dict[str, Any]:
    return {
        "shares": {who: label_shares(probs) for who, probs in distributions.items()},
        "confidence": {who: _mean(probs.max(axis=1)) for who, probs in distributions.items()},
        "entropy": {who: _mean(relative_entropy(probs)) for who, probs in distributions.items()},
    }


def _mean(values: NDArray[Any]) -> float:
    return float(values.mean()) if values.size else float("nan")
