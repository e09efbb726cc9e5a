"""Dawid–Skene: answers and confusion matrices, estimated from agreement alone."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from outgrow.combine.ballots import Ballots, Merged, checked_gold, pooled
from outgrow.combine.combiner import PosteriorCombiner
from outgrow.combine.likelihoods import Channels, Form, Likelihood, Rules, likelihoods
from outgrow.combine.open_answers import OpenVotes
from outgrow.combine.result import Posterior, finished, held, normalised

Array = NDArray[np.float64]

_MOST_DENIED = 0.4
"""Share of the rows where a rule speaks alone on which its label may be denied: planted rules reach .38, word lists on
`mr` with words for neither label .47 to .70 (and .27)."""
_DENIED = (
    "Fitted one by one, rules would often be wrong where one speaks alone: they meet for another reason than the "
    "answer. So all rules count alike, and their silence tells nothing."
)
_FORMS: tuple[Form, ...] = get_args(Form)
_SAMPLE = 10_000
"""Votes of which it is decided in which form all supervisors err."""
_STRONG = 3.0
"""Log Bayes factor from which evidence is strong (Kass & Raftery 1995)."""
_ALONE = "No task has two votes, so that no accuracy can be estimated: votes are taken as they are."


@dataclass(frozen=True)
class DawidSkene(PosteriorCombiner):
    """Expectation–maximisation over answers and the supervisors' confusion matrices (`combine: dawid_skene`).

    Plain choices: a confusion matrix per supervisor, as full as its votes allow (`Channels`). Answers that all of them
    often miss, such as rare ones, and labels that all confuse, such as neighbours on a scale, are learned from all
    together where a bound of the votes' probability speaks strongly for it (`Usual`). Supervisors with one
    label only, such as rules: how often they vote where it is right (`Rules`). Probabilistic votes have a likelihood of
    their own (`SoftVotes`); as fractional counts they would contract to the uniform posterior. Assumes that supervisors
    err independently given the answer: copies make it confidently wrong, see `Dependence`.

    Source:
        Dawid & Skene 1979, with hierarchical priors of ours.

    Example:
        >>> from outgrow.labels import ChoiceVotes
        >>> one, two = [1.0, 0.0], [0.0, 1.0]
        >>> cast = np.array([[one, one, two], [two, two, one], [one, one, two], [two, two, one]])
        >>> votes = ChoiceVotes(("a", "b", "c", "d"), ("x", "y", "contrary"), cast)
        >>> DawidSkene().choices(votes).probs.argmax(axis=1).tolist()
        [0, 1, 0, 1]
    """

    smoothing: float = 4.0
    """Strength of the prior on accuracies at the start, in votes; then it is chosen by marginal likelihood."""
    iterations: int = 500
    """Most rounds of EM."""
    tolerance: float = 1e-3
    """Stop when no probability moves further than this."""

    def __post_init__(self) -> None:
        if self.smoothing <= 0 or self.iterations < 1 or self.tolerance <= 0:
            raise ValueError("smoothing, iterations and tolerance are above 0")

    def posterior(self, ballots: Ballots, *, gold: NDArray[np.int64] | None = None) -> Posterior:
        """Return the posterior of every row; gold rows (`gold >= 0`) keep their answer and inform the accuracies."""
        merged = Merged.of(ballots, checked_gold(gold, ballots.rows, ballots.choices))
        fit = self.fit(merged.ballots, merged.gold)
        return Posterior(finished(fit.probs, merged.ballots, merged.gold)[merged.of_row], notes=fit.notes)

    def fit(self, lines: Ballots, gold: NDArray[np.int64]) -> Fit:
        """Return the fit to P lines, which may stand for several rows each (`Merged`); gold is (P,), -1 = unknown."""
        some, known = lines, gold
        # With two votes a row, answers that are hard to see cannot be told from rare ones.
        if lines.open or lines.per_row.max(initial=0) < 3:
            return self._settled(lines, gold, "even")
        if len(lines.row) > _SAMPLE:
            rows = np.linspace(0, lines.rows - 1, _SAMPLE * lines.rows // len(lines.row)).astype(np.int64)
            some, known = lines.some(rows), gold[rows]
        found: dict[Form, Fit] = {"even": self._settled(some, known, "even")}
        if any(isinstance(part, Channels) for part in found["even"].parts):
            found |= {form: self._settled(some, known, form) for form in _FORMS[1 : lines.choices]}
        bounds = {form: fit.bound(some) for form, fit in found.items()}
        likeliest = max(found, key=lambda form: bounds[form])
        chosen = likeliest if bounds[likeliest] > bounds["even"] + _STRONG else "even"
        return found[chosen] if some is lines else self._settled(lines, gold, chosen)

    def _settled(self, lines: Ballots, gold: NDArray[np.int64], form: Form, *, alike: bool = False) -> Fit:
        """The fit where all supervisors err in a form, with rules that count alike or by what they are worth."""
        usable = lines.has_votes | (gold >= 0)
        probs = held(pooled(lines), usable, gold)
        checked = (lines.per_row > 1) | (gold >= 0)
        if not checked.any():
            # No accuracy is identified, and the most probable fit would be the commonest label on every row.
            return Fit(probs, np.log(np.maximum(probs, np.finfo(float).tiny)), [], (_ALONE,))
        weight = lines.count * checked
        parts: list[Likelihood] = (
            [OpenVotes(lines, weight, self.smoothing)]
            if lines.open
            else likelihoods(lines, weight, self.smoothing, form, alike=alike)
        )
        rules = next((part for part in parts if isinstance(part, Rules)), None)
        usable |= rules is not None  # where all of them are silent, that is evidence too
        share = lines.count * usable
        notes: tuple[str, ...] = (f"Expectation–maximisation had not settled after {self.iterations} rounds.",)
        for step in range(self.iterations):
            for part in parts:
                part.fit(probs)
            balance = share @ probs + 1.0 if rules is None else rules.balance
            log_balance = np.log(balance / balance.sum())
            log_joint = np.zeros(probs.shape) if lines.open else np.tile(log_balance, (len(probs), 1))
            for part in parts:
                part.add_to(log_joint)
            before, probs = probs, held(normalised(log_joint.copy()), usable, gold)
            if step > 2 and np.abs(probs - before).max(initial=0.0) < self.tolerance:
                notes = ()
                break
        if rules is not None and not alike:
            heard = rules.ballots.row
            alone = lines.count[heard] * ((lines.per_row[heard] == 1) & (gold[heard] < 0))
            denied = alone @ (probs[heard].argmax(axis=1) != rules.ballots.label)
            if denied > _MOST_DENIED * alone.sum() + np.sqrt(alone.sum()):  # two standard errors
                fit = self._settled(lines, gold, form, alike=True)
                return replace(fit, notes=(_DENIED, *fit.notes))
        return Fit(probs, log_joint, parts, notes)


@dataclass(frozen=True, eq=False)
class Fit:
    """What expectation–maximisation found."""

    probs: Array
    """Posterior of each line, shape (P, K), gold lines at their answer."""
    log_joint: Array
    """Log-probability of each answer and the votes, shape (P, K), up to a constant per line; gold is not used."""
    parts: list[Likelihood]
    """How the supervisors vote; none if there is only one."""
    notes: tuple[str, ...] = ()
    """Sentences about this fit for readers."""

    def bound(self, lines: Ballots) -> float:
        """Lower bound of the log-probability of the votes that meet others, matrices integrated out (Attias 2000)."""
        share = lines.count * (lines.per_row > 1)
        balance = share @ self.probs + 1.0
        found = np.log(balance / balance.sum()) - np.log(np.maximum(self.probs, np.finfo(float).tiny))
        for part in self.parts:
            if not isinstance(part, Channels):
                part.add_to(found)
        matrices = sum(part.bound() for part in self.parts if isinstance(part, Channels))
        return float(share @ (self.probs * found).sum(axis=1)) + matrices
